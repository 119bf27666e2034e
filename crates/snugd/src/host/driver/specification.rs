//! A specification of the Container Device Interface (CDI, SPEC.md 1.1.0), as far as it is about files. Pure.
//!
//! It is root's own, and yet taken for what it may be: whoever can have a file generated has a say in its text.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Of whom specifications are taken: the vendor and class of NVIDIA's cards (nvidia-ctk-cdi-generate).
pub const KIND: &str = "nvidia.com/gpu";
/// Bytes of a file; what nvidia-ctk makes for eight cards has less than 100 KiB.
pub const LONGEST: usize = 1 << 20;
/// Bytes of a path (limits.h, `PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// How a file is written; its name says so (SPEC.md, "CDI JSON Specification").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.json`
    Json,
    /// `.yaml`
    Yaml,
}

impl Format {
    /// Of a file with this name; `None` for what is no specification.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match Path::new(name).extension()?.to_str()? {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            _ => None,
        }
    }

    fn parse<T: DeserializeOwned>(self, text: &str) -> Result<T, String> {
        match self {
            Self::Json => serde_json::from_str(text).map_err(|error| error.to_string()),
            Self::Yaml => serde_saphyr::from_str(text).map_err(|error| error.to_string()),
        }
    }
}

/// Why a text is no specification.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unusable {
    /// What the parser says.
    #[error("it cannot be read: {0}")]
    Syntax(String),
    /// A path that nothing can be mounted by.
    #[error("the path '{path}' {what}", path = path.escape_debug())]
    Path {
        /// As it is written.
        path: String,
        /// What is wrong with it, to be read after the path.
        what: &'static str,
    },
}

/// What of a specification is about files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Specification {
    /// What each device brings, by its name.
    pub devices: BTreeMap<String, Edits>,
    /// What any of them brings.
    pub edits: Edits,
}

/// Files and links that a container has for a device. Its environment is not taken: what NVIDIA's generator sets
/// (`NVIDIA_VISIBLE_DEVICES=void`) is said to another runtime, and what anybody else may set would reach each program of a guest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Edits {
    /// Files.
    pub mounts: Vec<Mount>,
    /// Links, which a hook would make.
    pub links: Vec<Link>,
}

/// A file of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub host: PathBuf,
    /// In a container.
    pub guest: PathBuf,
}

/// A link in a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Where it is.
    pub at: PathBuf,
    /// Where it leads to: the path, whether it is written so or from where the link is.
    pub to: PathBuf,
}

/// Reads a specification; `None` for one of another kind.
///
/// # Errors
/// When it is none, or when it names what nothing can be mounted by: then nothing of it is taken.
pub fn parse(text: &str, format: Format) -> Result<Option<Specification>, Unusable> {
    #[derive(Deserialize)]
    struct Head {
        kind: String,
    }
    // Others' specifications are not ours to judge.
    let head: Head = format.parse(text).map_err(syntax)?;
    if head.kind != KIND {
        return Ok(None);
    }
    let written: Written = format.parse(text).map_err(syntax)?;
    let mut out = Specification { edits: written.container_edits.edits()?, ..Specification::default() };
    for device in written.devices.unwrap_or_default() {
        out.devices.insert(device.name, device.container_edits.edits()?);
    }
    Ok(Some(out))
}

/// The parser's first line: the others show the place by drawing.
fn syntax(error: String) -> Unusable {
    /// Of a message that quotes the text.
    const LONGEST_MESSAGE: usize = 200;
    let line = error.lines().next().unwrap_or_default();
    Unusable::Syntax(line.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect())
}

/// As it is written. What is not about files is left out, and so is what a later version adds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    devices: Option<Vec<WrittenDevice>>,
    #[serde(default)]
    container_edits: WrittenEdits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDevice {
    name: String,
    #[serde(default)]
    container_edits: WrittenEdits,
}

#[derive(Deserialize, Default)]
struct WrittenEdits {
    mounts: Option<Vec<WrittenMount>>,
    hooks: Option<Vec<WrittenHook>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMount {
    host_path: String,
    container_path: String,
}

#[derive(Deserialize)]
struct WrittenHook {
    args: Option<Vec<String>>,
}

impl WrittenEdits {
    fn edits(self) -> Result<Edits, Unusable> {
        let mut out = Edits::default();
        for mount in self.mounts.unwrap_or_default() {
            let (host, guest) = (path(&mount.host_path)?, path(&mount.container_path)?);
            out.mounts.push(Mount { host, guest });
        }
        for hook in self.hooks.unwrap_or_default() {
            out.links.extend(links_of(&hook.args.unwrap_or_default())?);
        }
        Ok(out)
    }
}

/// The links that the hook `create-symlinks` of nvidia-cdi-hook (and before it nvidia-ctk) would make: no program of a
/// specification is run. `update-ldcache` needs no word: all libraries are where the guest's linker looks. Others (`chmod`,
/// `enable-cuda-compat`, `disable-device-node-modification`) are about a container that a runtime makes.
fn links_of(arguments: &[String]) -> Result<Vec<Link>, Unusable> {
    if !arguments.iter().any(|word| word == "create-symlinks") {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--link") {
            Some("") => words.next().map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        let Some((target, at)) = value.and_then(|value| value.split_once("::")) else { continue };
        let at = path(at)?;
        let to = if target.starts_with('/') { path(target)? } else { beside(&at, target)? };
        out.push(Link { at, to });
    }
    Ok(out)
}

/// A path that leads from `/` to a name, by no way back.
fn path(text: &str) -> Result<PathBuf, Unusable> {
    let refused = |what| Err(Unusable::Path { path: text.chars().take(80).collect(), what });
    let path = Path::new(text);
    if !path.is_absolute() {
        return refused("is not absolute");
    }
    if text.len() > LONGEST_PATH {
        return refused("is too long");
    }
    if text.chars().any(char::is_control) {
        return refused("holds a control character");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return refused("leads back by '..'");
    }
    if path.file_name().is_none() {
        return refused("names nothing");
    }
    if path.starts_with("/.snug") {
        return refused("is Snug's own");
    }
    Ok(path.components().collect())
}

/// Where a relative `target` of a link leads to, by its text.
fn beside(at: &Path, target: &str) -> Result<PathBuf, Unusable> {
    let mut out = at.parent().unwrap_or(Path::new("/")).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    path(&out.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  deviceNodes:
  - path: /dev/nvidiactl
  hooks:
  - hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
    args: [nvidia-cdi-hook, create-symlinks, --link, "libcuda.so.1::/usr/lib64/libcuda.so", "--link=../libx.so.1::/usr/lib64/gbm/x.so"]
    env: [NVIDIA_CTK_DEBUG=false]
  - hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
    args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib64]
  mounts:
  - containerPath: /usr/lib64/libcuda.so.550.54
    hostPath: /usr/lib64//libcuda.so.550.54
    options: [ro, nosuid, nodev, bind]
devices:
- name: "0"
  containerEdits:
    mounts: null
    deviceNodes:
    - path: /dev/nvidia0
- name: all
  annotations: {later: thing}
"#;

    fn taken(text: &str, format: Format) -> Specification {
        parse(text, format).unwrap().unwrap()
    }

    #[test]
    fn files_and_links_are_taken_and_the_rest_is_not() {
        let found = taken(YAML, Format::Yaml);
        let lib = "/usr/lib64/libcuda.so.550.54";
        let link = |at: &str, to: &str| Link { at: at.into(), to: to.into() };
        assert_eq!(
            found.edits,
            Edits {
                mounts: vec![Mount { host: lib.into(), guest: lib.into() }],
                links: vec![
                    link("/usr/lib64/libcuda.so", "/usr/lib64/libcuda.so.1"),
                    link("/usr/lib64/gbm/x.so", "/usr/lib64/libx.so.1"),
                ],
            }
        );
        let devices: Vec<_> = found.devices.keys().map(String::as_str).collect();
        assert_eq!(devices, ["0", "all"]);
        let json = r#"{"cdiVersion": "1.0.0", "kind": "nvidia.com/gpu", "new": 1, "devices": [{"name": "all",
            "containerEdits": {"mounts": [{"hostPath": "/a/b", "containerPath": "/c/d"}]}}]}"#;
        let found = taken(json, Format::Json);
        assert_eq!(found.devices["all"].mounts, [Mount { host: "/a/b".into(), guest: "/c/d".into() }]);
        assert_eq!(taken(json, Format::Yaml), found, "JSON is YAML");
    }

    #[test]
    fn a_files_name_says_how_it_is_written() {
        for (name, wanted) in [
            ("nvidia.yaml", Some(Format::Yaml)),
            ("nvidia.json", Some(Format::Json)),
            ("nvidia.yml", None),
            ("nvidia.yaml.bak", None),
            ("yaml", None),
        ] {
            assert_eq!(Format::of(name), wanted, "{name}");
        }
    }

    #[test]
    fn other_kinds_are_left_alone_whatever_is_in_them() {
        for text in ["kind: intel.com/gpu\ndevices: 5", "kind: nvidia.com/mig\ncontainerEdits: []"] {
            assert_eq!(parse(text, Format::Yaml), Ok(None));
        }
    }

    fn with_mount(host: &str, guest: &str) -> String {
        let mount = serde_json::json!({"hostPath": host, "containerPath": guest});
        serde_json::json!({"kind": KIND, "containerEdits": {"mounts": [mount]}}).to_string()
    }

    #[test]
    fn what_nothing_can_be_mounted_by_is_refused_with_the_reason() {
        let long = format!("/{}", "a".repeat(5000));
        for (host, guest, reason) in [
            ("usr/lib/a", "/a", "is not absolute"),
            ("", "/a", "is not absolute"),
            ("/usr/../etc/shadow", "/a", "leads back"),
            ("/usr/lib/a", "/a/..", "leads back"),
            ("/usr/lib/a\0b", "/a", "control character"),
            ("/usr/lib/a", "/a\n/etc", "control character"),
            ("/", "/a", "names nothing"),
            ("/usr/lib/a", "/.snug/bin/snug-agent", "Snug's own"),
            (&long, "/a", "too long"),
        ] {
            let error = parse(&with_mount(host, guest), Format::Json).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains('\0'), "{host}: {error}");
        }
        assert!(parse(&with_mount("/usr/lib/a", "/a"), Format::Json).is_ok());
    }

    #[test]
    fn a_link_that_leads_out_is_refused_and_one_without_two_ends_is_none() {
        let links =
            |value: &str| links_of(&["x".into(), "create-symlinks".into(), "--link".into(), value.into()]);
        assert_eq!(links("a:/b").unwrap(), []);
        assert!(links("a::b").is_err());
        assert!(links("../../..::/usr/lib/a").is_err());
        assert_eq!(links("../../../../b::/usr/a").unwrap(), [Link { at: "/usr/a".into(), to: "/b".into() }]);
        assert_eq!(links_of(&["create-symlinks".into(), "--link".into()]).unwrap(), []);
        assert_eq!(links_of(&["chmod".into(), "--link".into(), "a::/b".into()]).unwrap(), []);
    }

    #[test]
    fn what_is_no_specification_says_so_in_one_line() {
        // Ten levels of ten references each: more than the memory of any machine.
        let bomb: String = (1..10)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(",")))
            .collect();
        let bomb = format!("a0: &a0 [x]\n{bomb}kind: nvidia.com/gpu\n");
        let deep = format!("kind: {}", "[".repeat(100_000));
        for (text, format) in [
            ("", Format::Yaml),
            ("", Format::Json),
            ("kind: [", Format::Yaml),
            ("{\"kind\": \"nvidia.com/gpu\", \"devices\": 7}", Format::Json),
            ("kind: nvidia.com/gpu\ncontainerEdits:\n  mounts:\n  - hostPath: /a\n", Format::Yaml),
            ("kind: nvidia.com/gpu\ndevices:\n- containerEdits: {}\n", Format::Yaml),
            ("- a\n- b\n", Format::Yaml),
            ("\u{1b}[31m", Format::Json),
            (&bomb, Format::Yaml),
            (&deep, Format::Yaml),
        ] {
            let Err(Unusable::Syntax(said)) = parse(text, format) else {
                panic!("{} is taken", text.chars().take(40).collect::<String>())
            };
            assert!(!said.is_empty() && said.len() <= 800 && !said.contains(char::is_control), "{said}");
        }
    }
}
