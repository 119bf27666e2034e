//! Where each file goes.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::build::{self, GUEST_PROGRAMS, HOST_PROGRAMS};

/// The usual place of the state, as the files of `data/` name it.
pub const STATE_DIR: &str = "/var/lib/snug";

/// Where to install.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The directory of programs and data
    #[arg(long, default_value = "/usr")]
    pub prefix: PathBuf,
    /// Where Snug keeps its state: the programs are built for it, and the units look there
    #[arg(long, default_value = STATE_DIR)]
    pub state_dir: PathBuf,
    /// Put everything below this directory (for packages); nothing of the running system is touched
    #[arg(long, default_value = "/")]
    pub destdir: PathBuf,
}

impl Default for Place {
    fn default() -> Place {
        Place { prefix: "/usr".into(), state_dir: STATE_DIR.into(), destdir: "/".into() }
    }
}

impl Place {
    /// Programs that nobody types.
    pub fn libexec(&self) -> PathBuf {
        self.prefix.join("libexec/snug")
    }

    /// The vendor's configuration, and the manifest.
    pub fn vendor(&self) -> PathBuf {
        self.prefix.join("lib/snug")
    }

    /// The bus, polkit and systemd read these from /usr alone, wherever the programs are.
    fn system(path: &str) -> PathBuf {
        Path::new("/usr").join(path)
    }

    /// A path below the destination directory.
    pub fn below_destdir(&self, path: &Path) -> PathBuf {
        self.destdir.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether this is the running system.
    pub fn is_running_system(&self) -> bool {
        self.destdir == Path::new("/")
    }

    /// What the programs are told at build time (`snug_core::paths`); nothing for the usual place.
    pub fn build_environment(&self) -> Vec<(String, String)> {
        let usual = Place::default();
        let mut told = Vec::new();
        if self.prefix != usual.prefix {
            told.push(("SNUG_PREFIX", self.prefix.clone()));
            told.push(("SNUG_LIBEXEC_DIR", self.libexec()));
            told.push(("SNUG_VENDOR_DIR", self.vendor()));
        }
        if self.state_dir != usual.state_dir {
            told.push(("SNUG_STATE_DIR", self.state_dir.clone()));
        }
        let text = |(key, path): (&str, PathBuf)| (key.to_owned(), path.to_string_lossy().into_owned());
        told.into_iter().map(text).collect()
    }
}

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Copied as it is.
    File(PathBuf),
    /// A text that names the programs' directory; the usual one is replaced by the chosen one.
    Text(PathBuf),
    /// Made by the program at run time.
    Made(Vec<u8>),
}

/// One file to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its content.
    pub source: Source,
    /// Its path, without the destination directory.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
}

/// The programs.
pub fn programs(place: &Place, built: &Path) -> Vec<Item> {
    let mut items: Vec<Item> = HOST_PROGRAMS
        .iter()
        .map(|name| {
            let dir = if *name == "snug" { place.prefix.join("bin") } else { place.libexec() };
            Item { source: Source::File(built.join(name)), path: dir.join(name), mode: 0o755 }
        })
        .collect();
    items.extend(GUEST_PROGRAMS.map(|(name, _)| Item {
        source: Source::File(build::guest_program(name)),
        path: place.libexec().join("guest").join(name),
        mode: 0o755,
    }));
    items
}

/// Programs among the files of `data/`.
const GENERATORS: &str = "systemd/user-environment-generators";

/// The mode of a file of `data/`.
pub fn mode(relative: &Path) -> u32 {
    if relative.starts_with(GENERATORS) { 0o755 } else { 0o644 }
}

/// Where zsh finds completions: Debian's reads another directory than zsh's own default.
pub fn zsh_functions(place: &Place) -> PathBuf {
    let name =
        if Path::new("/etc/debian_version").exists() { "vendor-completions" } else { "site-functions" };
    place.prefix.join("share/zsh").join(name)
}

/// Where a file of `data/` goes; `None` for what is not to be installed.
pub fn data(place: &Place, relative: &Path) -> Option<PathBuf> {
    let name = relative.file_name()?;
    let extension = relative.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let directory = relative.parent().and_then(Path::to_str).unwrap_or_default();
    let system = Place::system;
    let directory = match (directory, extension) {
        ("", "toml") => place.vendor(),
        (_, "policy") => system("share/polkit-1/actions"),
        (dir, "rules") if dir.starts_with("udev") => system("lib/udev/rules.d"),
        (_, "rules") => system("share/polkit-1/rules.d"),
        (dir, "service") if dir.starts_with("dbus") => system("share/dbus-1/system-services"),
        (_, "conf") if name.to_str().is_some_and(|name| name.starts_with("org.")) => {
            system("share/dbus-1/system.d")
        }
        (GENERATORS, _) => system("lib/systemd/user-environment-generators"),
        (dir, _) if dir.starts_with("systemd/user") => system("lib/systemd/user"),
        (dir, _) if dir.starts_with("systemd/preset") => system("lib/systemd/system-preset"),
        (dir, "service" | "socket" | "path" | "timer" | "target" | "slice") if dir.starts_with("systemd") => {
            system("lib/systemd/system")
        }
        (dir, "conf") if dir.starts_with("sysctl") => system("lib/sysctl.d"),
        (dir, "conf") if dir.starts_with("tmpfiles") => system("lib/tmpfiles.d"),
        (dir, "conf") if dir.starts_with("sysusers") => system("lib/sysusers.d"),
        // Shells look for it nowhere else.
        ("profile.d", "sh") => PathBuf::from("/etc/profile.d"),
        ("zsh", "") => zsh_functions(place),
        ("fish/vendor_conf.d", "fish") => system("share/fish/vendor_conf.d"),
        // Read by nobody until a distribution, an administrator or a user says so.
        ("shell", _) => place.prefix.join("share/snug/shell"),
        _ => return None,
    };
    Some(directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(path: &str) -> Option<String> {
        let place = Place { prefix: "/opt/snug".into(), ..Place::default() };
        data(&place, Path::new(path)).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn each_kind_of_file_goes_where_its_reader_looks() {
        let cases = [
            ("dbus/org.snug.Snug1.conf", "/usr/share/dbus-1/system.d/org.snug.Snug1.conf"),
            ("org.snug.Snug1.conf", "/usr/share/dbus-1/system.d/org.snug.Snug1.conf"),
            ("dbus/org.snug.Snug1.service", "/usr/share/dbus-1/system-services/org.snug.Snug1.service"),
            ("polkit/org.snug.policy", "/usr/share/polkit-1/actions/org.snug.policy"),
            ("systemd/snugd.service", "/usr/lib/systemd/system/snugd.service"),
            ("systemd/system/snugd.service", "/usr/lib/systemd/system/snugd.service"),
            ("systemd/user/snug-login.service", "/usr/lib/systemd/user/snug-login.service"),
            ("systemd/user/snug-upgrade.timer", "/usr/lib/systemd/user/snug-upgrade.timer"),
            ("sysctl/60-snug.conf", "/usr/lib/sysctl.d/60-snug.conf"),
            ("config.toml", "/opt/snug/lib/snug/config.toml"),
            ("profile.d/snug.sh", "/etc/profile.d/snug.sh"),
            ("fish/vendor_conf.d/snug.fish", "/usr/share/fish/vendor_conf.d/snug.fish"),
            ("shell/command-not-found.bash", "/opt/snug/share/snug/shell/command-not-found.bash"),
            (
                "systemd/user-environment-generators/60-snug",
                "/usr/lib/systemd/user-environment-generators/60-snug",
            ),
        ];
        for (from, to) in cases {
            assert_eq!(place_of(from).as_deref(), Some(to), "{from}");
        }
        let zsh = place_of("zsh/_snug_exports").unwrap();
        assert!(zsh.starts_with("/opt/snug/share/zsh/") && zsh.ends_with("/_snug_exports"), "{zsh}");
        assert_eq!(place_of("README.md"), None);
    }

    #[test]
    fn what_is_a_program_can_be_executed() {
        for (path, wanted) in
            [("systemd/user-environment-generators/60-snug", 0o755), ("profile.d/snug.sh", 0o644)]
        {
            assert_eq!(mode(Path::new(path)), wanted, "{path}");
        }
        for item in crate::install::data_files(&Place::default()).unwrap() {
            let Source::Text(file) = &item.source else { panic!("{item:?}") };
            let is_script = std::fs::read_to_string(file).unwrap().starts_with("#!");
            assert_eq!(item.mode == 0o755, is_script, "{}", file.display());
        }
    }

    #[test]
    fn the_links_of_exported_commands_lead_to_an_installed_program() {
        let mut installed = programs(&Place::default(), Path::new("/built")).into_iter();
        assert!(installed.any(|item| item.path == Path::new("/usr/libexec/snug/snug-shim")));
    }

    #[test]
    fn every_program_that_a_file_of_data_starts_is_installed() {
        let installed: Vec<PathBuf> =
            programs(&Place::default(), Path::new("/built")).into_iter().map(|item| item.path).collect();
        let mut started = 0;
        for item in crate::install::data_files(&Place::default()).unwrap() {
            let Source::Text(file) = item.source else { panic!("{item:?}") };
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| line.starts_with("Exec")) {
                let (_, command) = line.split_once('=').unwrap();
                let program =
                    command.split(' ').next().unwrap().trim_start_matches(['-', '+', '@', ':', '!']);
                assert!(installed.contains(&program.into()), "{}: {line}", file.display());
                started += 1;
            }
        }
        assert_ne!(started, 0);
    }
}
