//! `snug-agent applications` and `snug-agent application ID…`: the guest's applications, for the user that it runs as.
//!
//! The first writes their ids, each with a zero behind it. The second writes a tar stream: for each application that is there its entry, as
//! `entry/ID/PATH`, and behind it the images that its icons may be:
//!
//! | name | what |
//! |---|---|
//! | `theme/SIZE/FILE` | one of the theme that all others fall back on |
//! | `plain/FILE` | one without a size (`pixmaps`) |
//! | `file/PATH` | one that the entry names by its path |
//!
//! What of it is good for anything is decided by who reads the stream: this looks for files, and bounds what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use snug_wire::small_file;
use tar::{Builder, Header};

/// Directories of data where the environment names none (XDG Base Directory Specification).
const DATA: &str = "/usr/local/share:/usr/share";
/// Bytes of an entry, and of an image.
const LONGEST_ENTRY: u64 = 512 << 10;
const LONGEST_IMAGE: u64 = 1 << 20;
/// Entries that are looked at, and how deep directories of them are.
const MOST_ENTRIES: usize = 5000;
const DEPTH: usize = 4;
/// Images of one application, and names of icons in one entry.
const MOST_IMAGES: usize = 96;
const MOST_NAMES: usize = 24;
/// Directories of one theme.
const MOST_SIZES: usize = 200;
/// How images end.
const ENDINGS: [&str; 3] = ["png", "svg", "xpm"];

/// Writes the ids of all applications.
pub fn list() -> Result<(), String> {
    let applications = found(&data_directories());
    let mut answer = Vec::new();
    for id in applications.keys() {
        answer.extend_from_slice(id.as_bytes());
        answer.push(0);
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(|error| error.to_string())
}

/// Writes the entries and images of these.
pub fn pack(ids: &[OsString]) -> Result<(), String> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    pack_from(&data_directories(), ids, &mut stdout)
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}

fn data_directories() -> Vec<PathBuf> {
    let named = std::env::var_os("XDG_DATA_DIRS").unwrap_or_default();
    let mut all: Vec<PathBuf> = Vec::new();
    for directory in std::env::split_paths(&named).chain(std::env::split_paths(DATA)) {
        if directory.is_absolute() && !all.contains(&directory) {
            all.push(directory);
        }
    }
    all
}

/// The entries by their ids: that of a file in a directory has its name with a dash in the place of each slash, and of two the first counts
/// (Desktop Entry Specification, "Desktop File ID").
fn found(data: &[PathBuf]) -> BTreeMap<OsString, PathBuf> {
    let mut all = BTreeMap::new();
    let mut left = MOST_ENTRIES;
    for directory in data {
        walk(&directory.join("applications"), OsStr::new(""), DEPTH, &mut left, &mut all);
    }
    all
}

fn walk(
    directory: &Path,
    before: &OsStr,
    depth: usize,
    left: &mut usize,
    all: &mut BTreeMap<OsString, PathBuf>,
) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = entry.path();
        let mut id = before.to_owned();
        // A link to a directory may lead above it.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 1 {
                id.push(entry.file_name());
                id.push("-");
                walk(&path, &id, depth - 1, left, all);
            }
        } else if path.extension() == Some(OsStr::new("desktop"))
            && let Some(stem) = path.file_stem()
        {
            id.push(stem);
            all.entry(id).or_insert(path);
        }
    }
}

fn pack_from(data: &[PathBuf], ids: &[OsString], output: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(output);
    let entries = found(data);
    for id in ids {
        let Some(path) = entries.get(id) else { continue };
        // One that cannot be read is none.
        let Ok(text) = small_file::read(path, LONGEST_ENTRY) else { continue };
        add(&mut builder, &Path::new("entry").join(id).join(relative(path)), &text)?;
        let mut left = MOST_IMAGES;
        for icon in icons(&text) {
            for (name, path) in images(data, &icon) {
                if left > 0
                    && let Ok(image) = small_file::read(&path, LONGEST_IMAGE)
                {
                    left -= 1;
                    add(&mut builder, &name, &image)?;
                }
            }
        }
    }
    builder.into_inner()?.flush()
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn add(builder: &mut Builder<impl Write>, name: &Path, content: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content)
}

/// The values of `Icon` in an entry, each once.
fn icons(text: &[u8]) -> BTreeSet<OsString> {
    let value = |line: &[u8]| -> Option<OsString> {
        let rest = line.trim_ascii().strip_prefix(b"Icon")?.trim_ascii_start().strip_prefix(b"=")?;
        let value = rest.trim_ascii();
        (!value.is_empty() && value.len() < 4096).then(|| OsStr::from_bytes(value).to_owned())
    };
    text.split(|byte| *byte == b'\n').filter_map(value).take(MOST_NAMES).collect()
}

/// Where the images of an icon may be, each with its name in the stream.
fn images(data: &[PathBuf], icon: &OsStr) -> Vec<(PathBuf, PathBuf)> {
    let path = Path::new(icon);
    if path.is_absolute() {
        return vec![(Path::new("file").join(relative(path)), path.to_owned())];
    }
    if icon.as_bytes().contains(&b'/') {
        return Vec::new();
    }
    let is_image = |ending: &OsStr| ENDINGS.iter().any(|known| ending == *known);
    let name = if path.extension().is_some_and(is_image) { path.file_stem() } else { None }.unwrap_or(icon);
    let file = |after: &str, ending: &str| {
        let mut file = name.to_owned();
        file.push(after);
        file.push(".");
        file.push(ending);
        file
    };
    let files: Vec<OsString> = ENDINGS.iter().map(|ending| file("", ending)).collect();
    let mut all = Vec::new();
    for directory in data {
        let theme = directory.join("icons/hicolor");
        for size in directories(&theme) {
            let symbolic = file("-symbolic", "svg");
            let files = files.iter().chain((size == "symbolic").then_some(&symbolic));
            // Applications' own are in `apps`; some are among others.
            let places = std::iter::once(OsString::from("apps")).chain(directories(&theme.join(&size)));
            let places: Vec<PathBuf> = places.map(|place| theme.join(&size).join(place)).collect();
            for file in files {
                let found = places.iter().map(|place| place.join(file)).find(|path| path.is_file());
                all.extend(found.map(|path| (Path::new("theme").join(&size).join(file), path)));
            }
        }
    }
    for place in data.iter().flat_map(|data| [data.join("pixmaps"), data.join("icons")]) {
        for file in &files {
            let path = place.join(file);
            if path.is_file() {
                all.push((Path::new("plain").join(file), path));
            }
        }
    }
    all
}

/// The names of the directories in one.
fn directories(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(MOST_SIZES);
    let mut names: Vec<OsString> =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    struct Data {
        root: tempfile::TempDir,
    }

    impl Data {
        fn new(files: &[(&str, &str)]) -> Self {
            let data = Self { root: tempfile::tempdir().unwrap() };
            for (path, text) in files {
                let path = data.at(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            data
        }

        fn at(&self, path: &str) -> PathBuf {
            self.root.path().join(path)
        }

        fn directories(&self) -> Vec<PathBuf> {
            vec![self.at("local"), self.at("share"), self.at("none")]
        }

        fn ids(&self) -> Vec<String> {
            found(&self.directories()).into_keys().map(|id| id.into_string().unwrap()).collect()
        }

        /// The names in the stream, below this directory, and what they have.
        fn packed(&self, ids: &[&str]) -> Vec<(String, String)> {
            let ids: Vec<OsString> = ids.iter().map(OsString::from).collect();
            let mut stream = Vec::new();
            pack_from(&self.directories(), &ids, &mut stream).unwrap();
            let mut archive = tar::Archive::new(stream.as_slice());
            let entry = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (name.replace(relative(self.root.path()).to_str().unwrap(), "ROOT"), text)
            };
            archive.entries().unwrap().map(entry).collect()
        }
    }

    #[test]
    fn applications_have_ids_and_the_first_of_two_counts() {
        let data = Data::new(&[
            ("share/applications/tool.desktop", "second"),
            ("local/applications/tool.desktop", "first"),
            ("share/applications/kde/deep/er.desktop", ""),
            ("share/applications/a/b/c/d/e/deepest.desktop", ""),
            ("share/applications/mimeinfo.cache", ""),
        ]);
        symlink("..", data.at("share/applications/loop")).unwrap();
        assert_eq!(data.ids(), ["kde-deep-er", "tool"]);
        assert_eq!(
            data.packed(&["tool", "none"]),
            [("entry/tool/ROOT/local/applications/tool.desktop".into(), "first".into())]
        );
    }

    #[test]
    fn an_applications_images_come_with_it() {
        let entry = "[Desktop Entry]\nIcon = tool\n[Desktop Action a]\nIcon=other.png\n#Icon=no\nIconic=no\n";
        let data = Data::new(&[
            ("share/applications/tool.desktop", entry),
            ("share/icons/hicolor/48x48/apps/tool.png", "48"),
            ("share/icons/hicolor/scalable/apps/tool.svg", "svg"),
            ("share/icons/hicolor/symbolic/apps/tool-symbolic.svg", "symbolic"),
            ("share/icons/hicolor/16x16/actions/other.png", "16"),
            ("share/icons/hicolor/48x48/apps/stranger.png", "no"),
            ("share/icons/hicolor/index.theme", "no"),
            ("local/pixmaps/tool.xpm", "xpm"),
            ("elsewhere/big.png", "linked"),
        ]);
        fs::create_dir_all(data.at("share/icons/hicolor/256x256/apps")).unwrap();
        symlink(data.at("elsewhere/big.png"), data.at("share/icons/hicolor/256x256/apps/tool.png")).unwrap();
        let packed = data.packed(&["tool"]);
        let mut names: Vec<&str> = packed[1..].iter().map(|(name, _)| name.as_str()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "plain/tool.xpm",
                "theme/16x16/other.png",
                "theme/256x256/tool.png",
                "theme/48x48/tool.png",
                "theme/scalable/tool.svg",
                "theme/symbolic/tool-symbolic.svg"
            ]
        );
        assert!(packed.contains(&("theme/256x256/tool.png".into(), "linked".into())));
    }

    #[test]
    fn an_image_may_be_named_by_its_path_and_by_nothing_else_that_has_a_slash() {
        let data = Data::new(&[("share/x/icon.png", "image"), ("share/pixmaps/secret.png", "no")]);
        let entry =
            format!("Icon={}\nIcon=../pixmaps/secret\nIcon=x/icon\n", data.at("share/x/icon.png").display());
        fs::create_dir_all(data.at("share/applications")).unwrap();
        fs::write(data.at("share/applications/tool.desktop"), entry).unwrap();
        let packed = data.packed(&["tool"]);
        assert_eq!(packed[1..], [("file/ROOT/share/x/icon.png".into(), "image".into())]);
    }

    #[test]
    fn what_is_no_file_or_has_no_end_is_passed_over() {
        let data = Data::new(&[
            ("share/applications/tool.desktop", "Icon=tool\n"),
            ("share/applications/long.desktop", &"x".repeat(LONGEST_ENTRY as usize + 1)),
            ("share/icons/hicolor/48x48/apps/other.png", ""),
        ]);
        let fifo =
            |path: &str| mknodat(CWD, data.at(path), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        fifo("share/applications/pipe.desktop");
        fs::create_dir_all(data.at("share/applications/directory.desktop")).unwrap();
        symlink("/dev/zero", data.at("share/applications/zero.desktop")).unwrap();
        symlink("zero.png", data.at("share/icons/hicolor/48x48/apps/tool.png")).unwrap();
        symlink("/dev/zero", data.at("share/icons/hicolor/48x48/apps/zero.png")).unwrap();
        fs::create_dir_all(data.at("share/pixmaps")).unwrap();
        fifo("share/pixmaps/tool.png");
        fs::File::create(data.at("share/pixmaps/tool.svg")).unwrap().set_len(1 << 40).unwrap();
        let packed = data.packed(&["long", "pipe", "directory", "zero", "tool"]);
        assert_eq!(packed.len(), 1, "{packed:?}");
        assert!(packed[0].0.starts_with("entry/tool/"));
    }

    #[test]
    fn no_more_is_sent_than_anybody_needs() {
        let names: String = (0..500).map(|number| format!("Icon=i{number}\n")).collect();
        let data = Data::new(&[("share/applications/tool.desktop", &names)]);
        for size in 1..40 {
            let place = data.at(&format!("share/icons/hicolor/{size}x{size}/apps"));
            fs::create_dir_all(&place).unwrap();
            for number in 0..30 {
                fs::write(place.join(format!("i{number}.png")), "").unwrap();
            }
        }
        assert_eq!(data.packed(&["tool"]).len(), 1 + MOST_IMAGES);
    }
}
