//! A home, and containers whose agents say what applications they have.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Ran, TestEnv};

pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x30\0\0\0\x30\x08\x06\0\0\0";
pub const ENTRY: &str = "[Desktop Entry]\nType=Application\nName=The Tool\nName[de]=Das Werkzeug\nExec=tool --x %U\nTryExec=tool\nIcon=tool\n\
                     DBusActivatable=true\nMimeType=image/png;\nCategories=Graphics;\nActions=new;\n\n\
                     [Desktop Action new]\nName=New\nExec=tool --new\n";

/// The home of a test, and what its containers have.
pub struct Host {
    pub environment: TestEnv,
}

impl Host {
    /// `dev` and `web` run; both have nothing yet.
    pub fn new() -> Self {
        let environment = TestEnv::with_daemon(&["dev", "web"]);
        environment.install_shim();
        let host = Self { environment };
        for container in ["dev", "web"] {
            host.guest_has(container, &[]);
            host.environment
                .agent(container, &[("/.snug/bin/snug-agent", host.agent(container).to_str().unwrap())]);
        }
        host
    }

    /// A program that answers as the agent of a container does.
    pub fn agent(&self, container: &str) -> PathBuf {
        let place = self.environment.system().join(container);
        let program = place.join("agent");
        let script = format!(
            "#!/bin/sh\ncase $1 in applications) exec cat {0}/ids ;; application) exec cat {0}/stream ;; esac\nexit 1\n",
            place.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// From now on it has these: the files of the agent's stream.
    pub fn guest_has(&self, container: &str, files: &[(&str, &[u8])]) {
        let place = self.environment.system().join(container);
        fs::create_dir_all(&place).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut ids = String::new();
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            // Past the checks of the crate, as a hostile guest would.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
            ids.extend(
                name.strip_prefix("entry/")
                    .and_then(|rest| rest.split('/').next())
                    .map(|id| format!("{id}\0")),
            );
        }
        fs::write(place.join("stream"), builder.into_inner().unwrap()).unwrap();
        fs::write(place.join("ids"), ids).unwrap();
    }

    /// The container has `tool` with an icon.
    pub fn guest_has_tool(&self, container: &str, entry: &str) {
        let path = "entry/tool/usr/share/applications/tool.desktop";
        self.guest_has(container, &[(path, entry.as_bytes()), ("theme/48x48/tool.png", PNG)]);
    }

    pub fn data(&self, path: &str) -> PathBuf {
        self.environment.home().join(".local/share").join(path)
    }

    pub fn entry(&self, container: &str) -> PathBuf {
        self.data(&format!("applications/snug.{container}.tool.desktop"))
    }

    pub fn icon(&self, container: &str) -> PathBuf {
        self.data(&format!("icons/hicolor/48x48/apps/snug.{container}.tool.png"))
    }

    pub fn link(&self, container: &str) -> PathBuf {
        self.data(&format!("snug/applications/snug.{container}.tool"))
    }

    pub fn snug(&self, arguments: &[&str]) -> Ran {
        let mut command = self.environment.command(arguments);
        // Nothing of this machine's applications.
        command.env("XDG_DATA_DIRS", self.environment.system().join("usr/share")).output().unwrap().into()
    }

    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        let ran = self.snug(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        ran.stdout
    }

    #[track_caller]
    pub fn refused(&self, arguments: &[&str], words: &[&str]) {
        let ran = self.snug(arguments);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    }

    /// All files and links of the home, by their paths.
    pub fn home(&self) -> Vec<String> {
        let mut all = Vec::new();
        walk(&self.environment.home(), &mut all);
        let root = format!("{}/", self.environment.home().display());
        let mut names: Vec<String> =
            all.iter().map(|path| path.display().to_string().replacen(&root, "", 1)).collect();
        // Of what the host's own programs keep for themselves.
        names.retain(|name| !name.ends_with("mimeinfo.cache"));
        names.sort();
        names
    }
}

fn walk(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { walk(&entry.path(), all) } else { all.push(entry.path()) }
    }
}

/// What the entry has for a key.
pub fn value(entry: &Path, key: &str) -> Option<String> {
    let text = fs::read_to_string(entry).unwrap();
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
}
