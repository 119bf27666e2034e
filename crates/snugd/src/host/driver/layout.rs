//! What is where for a guest: libraries for the linker, programs and configuration below the paths that they are linked at. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use snug_wire::driver::{FILES, LIBRARIES, PLACES, PROGRAMS};

use super::library::Library;
use super::specification::{Link, Mount};

/// Where programs look for what names a driver, by the end of the directory in a specification (`/usr/share/vulkan/icd.d`,
/// `/etc/vulkan/icd.d`), and where a guest gets it.
const CONFIGURATION: [(&str, &str); 6] = [
    ("vulkan/icd.d", PLACES[1]),
    ("vulkan/implicit_layer.d", PLACES[2]),
    ("glvnd/egl_vendor.d", PLACES[3]),
    ("egl/egl_external_platform.d", PLACES[4]),
    ("OpenCL/vendors", PLACES[5]),
    ("usr/share/nvidia", PLACES[6]),
];

/// What tells a file from another that has its path later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device, inode.
    pub inode: (u64, u64),
    /// Bytes.
    pub size: u64,
    /// When it was written: seconds and nanoseconds.
    pub written: (i64, i64),
}

/// A file that may be taken.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the specification says.
    pub mount: Mount,
    /// Which file it is.
    pub identity: Identity,
    /// Whether everybody may run it.
    pub is_program: bool,
    /// What the linker would say.
    pub library: Option<Library>,
}

/// One name in a guest's directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entry {
    /// The file of this place among the candidates.
    File(usize, PathBuf, Identity),
    /// A link to a name beside it.
    Link(PathBuf),
}

/// What a guest is to have, by its path in the directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layout(BTreeMap<PathBuf, Entry>);

impl Layout {
    /// Puts each where it belongs. What no program of a guest would look for (firmware, modules of X servers) is left out.
    #[must_use]
    pub fn of(candidates: Vec<Candidate>, links: &[Link]) -> Self {
        let mut building = Building::default();
        for (index, candidate) in candidates.into_iter().enumerate() {
            building.file(index, candidate);
        }
        building.links(links);
        Self(building.entries)
    }

    /// Each name with what is there, in the order of the paths.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// How many files there are; names that are links lead to one of them.
    #[must_use]
    pub fn files(&self) -> usize {
        self.0.values().filter(|entry| matches!(entry, Entry::File(..))).count()
    }

    /// A name that another layout does not have; `None` for an empty one.
    #[must_use]
    pub fn generation(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        Some(format!("{:016x}", hasher.finish()))
    }
}

#[derive(Default)]
struct Building {
    entries: BTreeMap<PathBuf, Entry>,
    /// Where what a container has at a path went.
    placed: BTreeMap<PathBuf, PathBuf>,
}

impl Building {
    /// What has a name first keeps it.
    fn place(&mut self, guest: PathBuf, path: PathBuf, entry: Entry) {
        self.entries.entry(path.clone()).or_insert(entry);
        self.placed.entry(guest).or_insert(path);
    }

    fn file(&mut self, index: usize, candidate: Candidate) {
        let Some(path) = destination(&candidate) else { return };
        let Candidate { mount: Mount { host, guest }, identity, library, .. } = candidate;
        if let Some(name) = library.and_then(|library| library.name)
            && LIBRARIES.iter().any(|directory| path.starts_with(directory))
            && path.file_name() != Some(name.as_ref())
        {
            let own = path.file_name().unwrap_or_default().into();
            self.place(guest.with_file_name(&name), path.with_file_name(&name), Entry::Link(own));
        }
        // A file is what its name says, whatever a link beside it was to be.
        if let Some(Entry::Link(_)) = self.entries.get(&path) {
            self.entries.remove(&path);
        }
        self.place(guest, path, Entry::File(index, host, identity));
    }

    /// Those that lead to what is there; a link to a link is made after it, in whatever order they come.
    fn links(&mut self, links: &[Link]) {
        let mut left: Vec<&Link> = links.iter().collect();
        loop {
            let before = left.len();
            left.retain(|link| !self.link(link));
            if left.len() == before {
                return;
            }
        }
    }

    fn link(&mut self, Link { at, to }: &Link) -> bool {
        let Some(target) = self.placed.get(to) else { return false };
        let (Some(name), Some(own)) = (at.file_name(), target.file_name()) else { return false };
        let (path, entry) = (target.with_file_name(name), Entry::Link(own.into()));
        self.place(at.clone(), path, entry);
        true
    }
}

/// Where a file goes.
fn destination(candidate: &Candidate) -> Option<PathBuf> {
    let guest = &candidate.mount.guest;
    let (directory, name) = (guest.parent()?, guest.file_name()?);
    let below = |place: &str| Path::new(FILES).join(place.trim_start_matches('/')).join(name);
    if let Some((_, place)) = CONFIGURATION.iter().find(|(end, _)| directory.ends_with(end)) {
        return Some(below(place));
    }
    let is_in_programs = matches!(directory.file_name()?.to_str()?, "bin" | "sbin");
    if is_in_programs && candidate.is_program {
        return Some(below(PROGRAMS));
    }
    let text = name.to_str()?;
    let library = candidate.library.as_ref()?;
    let is_named_so = text.ends_with(".so") || text.contains(".so.");
    let is_of_x = directory.components().any(|part| part.as_os_str() == "xorg");
    (is_named_so && !is_of_x).then(|| Path::new(LIBRARIES[usize::from(library.is_32_bit)]).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(path: &str, library: Option<(bool, &str)>) -> Candidate {
        Candidate {
            mount: Mount { host: format!("/host{path}").into(), guest: path.into() },
            identity: Identity { inode: (1, 2), size: 3, written: (4, 5) },
            is_program: path.contains("bin/"),
            library: library.map(|(is_32_bit, name)| Library {
                is_32_bit,
                name: (!name.is_empty()).then(|| name.to_owned()),
            }),
        }
    }

    fn shown(layout: &Layout) -> Vec<String> {
        let one = |(path, entry): (&Path, &Entry)| match entry {
            Entry::File(index, ..) => format!("{} = {index}", path.display()),
            Entry::Link(to) => format!("{} -> {}", path.display(), to.display()),
        };
        layout.entries().map(one).collect()
    }

    #[test]
    fn each_goes_where_it_is_looked_for_and_the_rest_stays() {
        let elf = Some((false, ""));
        for (path, library, wanted) in [
            ("/usr/lib/x86_64-linux-gnu/libcuda.so.550", elf, "lib/libcuda.so.550 = 0"),
            ("/usr/lib64/vdpau/libvdpau_nvidia.so.550", elf, "lib/libvdpau_nvidia.so.550 = 0"),
            ("/usr/lib/libcuda.so.550", Some((true, "")), "lib32/libcuda.so.550 = 0"),
            ("/usr/bin/nvidia-smi", elf, "files/usr/local/bin/nvidia-smi = 0"),
            ("/usr/bin/nvidia-bug-report.sh", None, "files/usr/local/bin/nvidia-bug-report.sh = 0"),
            ("/usr/share/vulkan/icd.d/nvidia_icd.json", None, "files/etc/vulkan/icd.d/nvidia_icd.json = 0"),
            ("/etc/OpenCL/vendors/nvidia.icd", None, "files/etc/OpenCL/vendors/nvidia.icd = 0"),
            ("/usr/share/nvidia/nvoptix.bin", None, "files/usr/share/nvidia/nvoptix.bin = 0"),
            ("/etc/shadow", None, ""),
            ("/lib/firmware/nvidia/550/gsp_ga10x.bin", elf, ""),
            ("/usr/lib64/libtext.so.1", None, ""),
            ("/usr/lib/xorg/modules/drivers/nvidia_drv.so", elf, ""),
            ("/opt/data", elf, ""),
        ] {
            let layout = Layout::of(vec![candidate(path, library)], &[]);
            assert_eq!(shown(&layout).join(""), wanted, "{path}");
        }
    }

    #[test]
    fn libraries_have_their_own_names_and_those_that_the_hook_gives_them() {
        let link = |at: &str, to: &str| Link { at: at.into(), to: to.into() };
        let layout = Layout::of(
            vec![
                candidate("/usr/lib64/libcuda.so.550", Some((false, "libcuda.so.1"))),
                candidate("/usr/lib/libcuda.so.550", Some((true, "libcuda.so.1"))),
                candidate("/usr/lib64/libnvidia-allocator.so.550", Some((false, "libnvidia-allocator.so.1"))),
                candidate("/usr/bin/nvidia-smi", Some((false, ""))),
            ],
            &[
                // To what is a link itself, and comes later.
                link("/usr/lib64/libcuda_alias.so", "/usr/lib64/libcuda.so"),
                link("/usr/lib64/libcuda.so", "/usr/lib64/libcuda.so.1"),
                link("/usr/lib64/gbm/nvidia-drm_gbm.so", "/usr/lib64/libnvidia-allocator.so.1"),
                link("/usr/bin/smi", "/usr/bin/nvidia-smi"),
                link("/usr/lib64/libother.so", "/usr/lib64/libother.so.1"),
                link("/etc/passwd", "/etc/shadow"),
                link("/usr/lib64/libround.so", "/usr/lib64/libround.so"),
            ],
        );
        assert_eq!(
            shown(&layout),
            [
                "files/usr/local/bin/nvidia-smi = 3",
                "files/usr/local/bin/smi -> nvidia-smi",
                "lib/libcuda.so -> libcuda.so.1",
                "lib/libcuda.so.1 -> libcuda.so.550",
                "lib/libcuda.so.550 = 0",
                "lib/libcuda_alias.so -> libcuda.so",
                "lib/libnvidia-allocator.so.1 -> libnvidia-allocator.so.550",
                "lib/libnvidia-allocator.so.550 = 2",
                "lib/nvidia-drm_gbm.so -> libnvidia-allocator.so.1",
                "lib32/libcuda.so.1 -> libcuda.so.550",
                "lib32/libcuda.so.550 = 1",
            ]
        );
    }

    #[test]
    fn a_file_keeps_its_name_before_a_link_and_the_first_before_the_second() {
        let layout = Layout::of(
            vec![
                candidate("/usr/lib64/liba.so.550", Some((false, "liba.so.1"))),
                candidate("/usr/lib64/liba.so.1", Some((false, "liba.so.1"))),
                candidate("/opt/lib/liba.so.1", Some((false, "liba.so.1"))),
            ],
            &[Link { at: "/usr/lib64/liba.so.1".into(), to: "/usr/lib64/liba.so.550".into() }],
        );
        assert_eq!(shown(&layout), ["lib/liba.so.1 = 1", "lib/liba.so.550 = 0"]);
    }

    #[test]
    fn another_file_is_another_generation() {
        let layout = |size| {
            let mut one = candidate("/usr/lib64/liba.so.1", Some((false, "")));
            one.identity.size = size;
            Layout::of(vec![one], &[]).generation()
        };
        assert_eq!(layout(1), layout(1));
        assert_ne!(layout(1), layout(2));
        assert_eq!((Layout::default().generation(), Layout::default().files()), (None, 0));
    }

    #[test]
    fn what_is_left_out_and_names_that_are_links_are_no_files() {
        let layout = Layout::of(
            vec![
                candidate("/usr/lib64/liba.so.550", Some((false, "liba.so.1"))),
                candidate("/lib/firmware/nvidia/550/gsp.bin", None),
            ],
            &[],
        );
        assert_eq!((layout.entries().count(), layout.files()), (2, 1));
    }
}
