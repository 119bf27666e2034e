//! What applications the host has: what they are called, and what they open. So that none of a container is taken for one of them, or opens by
//! itself what one of them has opened so far.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use snug_desktop::key_file::{self, KeyFile};
use snug_desktop::value;
use snug_exports::ApplicationName;
use snug_wire::small_file;

use crate::env_vars;

/// Where the environment names nothing (XDG Base Directory Specification).
const DATA: &str = "/usr/local/share:/usr/share";
const CONFIGURATION: &str = "/etc/xdg";
/// Entries that are looked at, and how deep directories of them are.
const MOST_ENTRIES: usize = 5000;
const DEPTH: usize = 4;
/// Types that one opens.
const MOST_TYPES: usize = 1000;
/// Who opens what by choice of the user or of his distribution.
const DEFAULTS: &str = "mimeapps.list";

/// What the host has.
#[derive(Debug, Default)]
pub struct Survey {
    /// Ids that have been looked at, those that are hidden among them.
    seen: BTreeSet<String>,
    ids: BTreeSet<String>,
    /// In small letters.
    names: BTreeSet<String>,
    /// By what windows of its applications are known, in small letters: ids and what entries say.
    classes: BTreeSet<String>,
    /// The same of applications of containers.
    exported_classes: BTreeSet<String>,
    /// Types that something opens.
    opened: BTreeSet<String>,
    /// Types of which somebody has said what opens them.
    chosen: BTreeSet<String>,
}

/// Where to look.
#[derive(Debug)]
pub struct Places {
    /// Directories of data, the user's own first.
    pub data: Vec<PathBuf>,
    /// Directories of configuration, the user's own first.
    pub configuration: Vec<PathBuf>,
    /// The desktops that this session is of, in small letters.
    pub desktops: Vec<String>,
}

impl Places {
    /// Those of this process's environment; `data` is the user's own directory.
    pub fn of_environment(data: &Path) -> Self {
        let paths = |name: &str, without: &str| -> Vec<PathBuf> {
            let value = env_vars::non_empty(name).unwrap_or_else(|| without.into());
            std::env::split_paths(&value).filter(|path| path.is_absolute()).collect()
        };
        let home = std::env::home_dir().unwrap_or_default().join(".config");
        let own = paths(env_vars::XDG_CONFIG_HOME, home.to_str().unwrap_or_default());
        let desktops = env_vars::non_empty(env_vars::XDG_CURRENT_DESKTOP).unwrap_or_default();
        Self {
            data: [vec![data.to_owned()], paths(env_vars::XDG_DATA_DIRS, DATA)].concat(),
            configuration: [own, paths(env_vars::XDG_CONFIG_DIRS, CONFIGURATION)].concat(),
            desktops: desktops.to_string_lossy().to_lowercase().split(':').map(str::to_owned).collect(),
        }
    }
}

impl Survey {
    /// Looks around; passes over the applications that are about to be written (`own`).
    pub fn take(places: &Places, own: &[ApplicationName]) -> Self {
        let mut survey = Self::default();
        let mut left = MOST_ENTRIES;
        for data in &places.data {
            survey.walk(&data.join("applications"), OsStr::new(""), DEPTH, &mut left, own);
        }
        survey.choices(places);
        survey
    }

    /// Whether windows that say they are of that class are known as those of an application of the host's. Desktops look at what entries say
    /// before they look at ids: one of a container with the class would have the host's windows, and be started where a new one is asked for.
    pub fn has_class(&self, class: &str) -> bool {
        has(&self.classes, class)
    }

    /// The same for applications of other containers.
    pub fn is_exported_class(&self, class: &str) -> bool {
        has(&self.exported_classes, class)
    }

    /// Whether people call one so.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains(&name.to_lowercase())
    }

    /// Whether another application may say that it opens that type. Where nobody has chosen, desktops take the first that says so, and look
    /// into the user's own directory first: one of a container would come before what has opened it so far.
    pub fn leaves_open(&self, kind: &str) -> bool {
        !self.opened.contains(kind) || self.chosen.contains(kind)
    }

    /// Another one will open these types.
    pub fn open(&mut self, types: &[String]) {
        self.opened.extend(types.iter().cloned());
    }

    fn walk(
        &mut self,
        directory: &Path,
        before: &OsStr,
        depth: usize,
        left: &mut usize,
        own: &[ApplicationName],
    ) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let path = entry.path();
            let mut id: OsString = before.to_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth > 1 {
                    id.push(entry.file_name());
                    id.push("-");
                    self.walk(&path, &id, depth - 1, left, own);
                }
            } else if path.extension() == Some(OsStr::new("desktop"))
                && let Some(stem) = path.file_stem()
            {
                id.push(stem);
                let id = id.to_string_lossy();
                let is_own = ApplicationName::parse(&id).is_some_and(|name| own.contains(&name));
                if !is_own {
                    self.add(&id, &path);
                }
            }
        }
    }

    fn add(&mut self, id: &str, path: &Path) {
        // The first of an id counts: the user's own may say that one is not there.
        if !self.seen.insert(id.to_owned()) {
            return;
        }
        let Some(file) =
            small_file::read(path, key_file::LONGEST as u64).ok().and_then(|text| KeyFile::read(&text))
        else {
            return;
        };
        let Some(group) = file.group("Desktop Entry") else { return };
        if group.plain("Hidden") == Some("true") {
            return;
        }
        self.ids.insert(id.to_owned());
        let classes = match ApplicationName::parse(id) {
            Some(_) => &mut self.exported_classes,
            None => &mut self.classes,
        };
        classes.insert(id.to_lowercase());
        classes.extend(group.plain("StartupWMClass").map(|class| value::unescape(class).to_lowercase()));
        self.names.extend(group.plain("Name").map(|name| value::unescape(name).trim().to_lowercase()));
        self.opened.extend(value::items(group.plain("MimeType").unwrap_or_default(), MOST_TYPES));
    }

    /// What somebody has chosen to open types by, as far as that is there (MIME Applications Associations 1.0.1).
    fn choices(&mut self, places: &Places) {
        let directories = places.configuration.iter().cloned();
        let directories = directories.chain(places.data.iter().map(|data| data.join("applications")));
        let own = places.desktops.iter().filter(|desktop| !desktop.is_empty());
        let names: Vec<String> =
            own.map(|desktop| format!("{desktop}-{DEFAULTS}")).chain([DEFAULTS.to_owned()]).collect();
        for directory in directories {
            for name in &names {
                let Ok(text) = small_file::read(&directory.join(name), key_file::LONGEST as u64) else {
                    continue;
                };
                self.read_choices(&String::from_utf8_lossy(&text));
            }
        }
    }

    fn read_choices(&mut self, text: &str) {
        let mut is_default = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                is_default = line == "[Default Applications]";
            } else if is_default && let Some((kind, ids)) = line.split_once('=') {
                let mut ids = ids.split(';').filter_map(|id| id.trim().strip_suffix(".desktop"));
                if ids.any(|id| self.ids.contains(id)) {
                    self.chosen.insert(kind.trim().to_owned());
                }
            }
        }
    }
}

/// A class as it stands there, or as a desktop makes an id of it (GNOME Shell, `shell_app_system_lookup_desktop_wmclass`).
fn has(classes: &BTreeSet<String>, class: &str) -> bool {
    let class = class.to_lowercase();
    classes.contains(&class) || classes.contains(&class.replace(' ', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let places = Places {
            data: ["own", "system"].map(|name| root.path().join(name)).to_vec(),
            configuration: vec![root.path().join("config")],
            desktops: vec!["gnome".to_owned()],
        };
        (root, places)
    }

    fn entry(name: &str, types: &str) -> String {
        format!("[Desktop Entry]\nType=Application\nName={name}\nMimeType={types}\n")
    }

    #[test]
    fn what_the_host_opens_stays_its_own_unless_somebody_has_chosen() {
        let (_root, places) = host(&[
            ("system/applications/viewer.desktop", &entry("Image Viewer", "image/png;image/gif;image/bmp;")),
            ("system/applications/gone.desktop", &entry("Gone", "text/plain;")),
            ("own/applications/gone.desktop", "[Desktop Entry]\nHidden=true\n"),
            (
                "config/mimeapps.list",
                "[Added Associations]\nimage/bmp=viewer.desktop\n[Default Applications]\nimage/png=viewer.desktop;\n",
            ),
            ("system/applications/gnome-mimeapps.list", "[Default Applications]\nimage/gif=none.desktop\n"),
        ]);
        let survey = Survey::take(&places, &[]);
        for (kind, open) in
            [("image/png", true), ("image/gif", false), ("image/bmp", false), ("image/webp", true)]
        {
            assert_eq!(survey.leaves_open(kind), open, "{kind}");
        }
        assert!(survey.has_class("viewer") && survey.has_name("image viewer") && !survey.has_class("other"));
        assert!(!survey.has_name("Gone") && survey.leaves_open("text/plain"), "the user has hidden it");
    }

    #[test]
    fn windows_of_the_hosts_applications_are_known() {
        let with_class = |class: &str| format!("{}StartupWMClass={class}\n", entry("X", ""));
        let (_root, places) = host(&[
            ("system/applications/org.example.Browser.desktop", &with_class("Web Browser")),
            ("system/applications/my-terminal.desktop", &entry("Terminal", "")),
            ("own/applications/snug.web.mail.desktop", &with_class("mail")),
        ]);
        let survey = Survey::take(&places, &[]);
        for (class, is_hosts, is_exported) in [
            ("web browser", true, false),
            ("org.example.Browser", true, false),
            ("My Terminal", true, false),
            ("Mail", false, true),
            ("other", false, false),
        ] {
            assert_eq!(
                (survey.has_class(class), survey.is_exported_class(class)),
                (is_hosts, is_exported),
                "{class}"
            );
        }
    }

    #[test]
    fn what_is_about_to_be_written_is_not_in_its_own_way() {
        let (_root, places) = host(&[
            ("own/applications/snug.dev.tool.desktop", &entry("Tool", "image/png;")),
            ("own/applications/kde/snug.web.tool.desktop", &entry("Other", "")),
        ]);
        let dev = ApplicationName { container: "dev".parse().unwrap(), id: "tool".parse().unwrap() };
        let survey = Survey::take(&places, &[dev]);
        assert!(!survey.has_name("Tool") && survey.leaves_open("image/png"));
        assert!(survey.has_name("Other"));
        assert!(Survey::take(&places, &[]).has_name("tool"));
    }
}
