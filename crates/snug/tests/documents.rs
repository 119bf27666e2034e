//! What the host has of an exported command besides its link. The guest of these tests is this machine, and its commands have a prefix of
//! their own.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::TestEnv;
use support::agent::Agent;

/// The container that shares its owner's home, and one that does not.
const SHARES: &str = "home-dev";
const ALONE: &str = "alone";

/// This machine's, but that it is one with apt.
const SHELL: &str = r#"#!/bin/sh
case "$*" in *os-release*) echo /usr/bin/apt-get; exit 0 ;; esac
[ ! -e PREFIX/broken ] || exit 3
exec /bin/sh "$@"
"#;
/// The package `tools` has the command `tool`, and a page for it in section 5.
const DPKG: &str = r#"#!/bin/sh
case "$*" in
*--search*bin/tool*) echo "tools: PREFIX/bin/tool" ;;
*--listfiles*tools) printf '%s\n' PREFIX/bin/tool PREFIX/share/man/man5/tool.5 ;;
*--show*' tools') printf 'ii \ttools\t%s\n' "$(/bin/cat PREFIX/version)" ;;
*) exit 1 ;;
esac
"#;

struct Prepared {
    environment: TestEnv,
    prefix: tempfile::TempDir,
    _agents: Vec<Agent>,
}

impl Prepared {
    fn new() -> Self {
        let environment = TestEnv::with_daemon(&[SHARES, ALONE]);
        environment.install_shim();
        let prefix = tempfile::tempdir().unwrap();
        let bin = |name: &str| prefix.path().join("bin").join(name).display().to_string();
        let (tool, other) = (bin("tool"), bin("other"));
        let program = |name: &str, text: &str| {
            let file = prefix.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            file.display().to_string()
        };
        let in_prefix = |text: &str| text.replace("PREFIX", &prefix.path().display().to_string());
        let shell = program("sh", &in_prefix(SHELL));
        let dpkg = program("dpkg-query", &in_prefix(DPKG));
        let commands =
            [(tool.as_str(), ""), (other.as_str(), ""), ("/bin/sh", &shell), ("dpkg-query", &dpkg)];
        let agents = [SHARES, ALONE].map(|name| environment.agent(name, &commands)).into();
        let prepared = Self { environment, prefix, _agents: agents };
        prepared.is_version("1.0-1");
        prepared.write("man/man1/tool.1", "a page");
        prepared.write("man/de/man1/tool.1", "eine Seite");
        prepared.write("bash-completion/completions/tool", "complete -W 'one two' tool\n");
        prepared.write("zsh/site-functions/_tool", "#compdef tool\n");
        prepared.write("fish/vendor_completions.d/tool.fish", "complete -c tool -l one\n");
        prepared
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.prefix.path().join("share").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// The package's.
    fn is_version(&self, version: &str) {
        fs::write(self.prefix.path().join("version"), version).unwrap();
    }

    fn tool(&self) -> String {
        self.prefix.path().join("bin/tool").display().to_string()
    }

    fn share(&self, path: &str) -> PathBuf {
        self.environment.home().join(".local/share").join(path)
    }

    #[track_caller]
    fn snug(&self, arguments: &[&str]) -> String {
        let ran = self.environment.snug(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        ran.stdout
    }

    fn there(&self, name: &str) -> Vec<bool> {
        let files = [
            format!("man/man1/{name}.1"),
            format!("man/de/man1/{name}.1"),
            format!("bash-completion/completions/{name}"),
            format!("fish/vendor_completions.d/{name}.fish"),
            format!("snug/documents/{name}/zsh/_tool"),
        ];
        files.iter().map(|file| self.share(file).exists()).collect()
    }
}

fn bash_completes_by(script: &Path) -> String {
    let line = r#". "$1"; complete -p"#;
    let ran = Command::new("bash").args(["--norc", "-c", line, "bash"]).arg(script).output().unwrap();
    assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn pages_and_completions_come_with_a_command_and_go_with_it() {
    let prepared = Prepared::new();
    prepared.snug(&["export", "-c", SHARES, "--bin", &prepared.tool()]);
    assert_eq!(prepared.there("tool"), [true; 5]);
    assert_eq!(fs::read_to_string(prepared.share("man/de/man1/tool.1")).unwrap(), "eine Seite");
    let script = prepared.share("bash-completion/completions/tool");
    assert_eq!(bash_completes_by(&script), "complete -W 'one two' tool\n");
    // Once more brings what there is by then.
    prepared.write("man/man1/tool.1", "a newer page");
    fs::remove_file(prepared.prefix.path().join("share/man/de/man1/tool.1")).unwrap();
    prepared.snug(&["export", "-c", SHARES, "--bin", &prepared.tool()]);
    assert_eq!(fs::read_to_string(prepared.share("man/man1/tool.1")).unwrap(), "a newer page");
    assert_eq!(prepared.there("tool"), [true, false, true, true, true]);
    prepared.snug(&["unexport", "-c", SHARES, "--bin", "tool"]);
    assert_eq!(prepared.there("tool"), [false; 5]);
    assert_eq!(fs::read_dir(prepared.share("snug/documents")).unwrap().count(), 0);
}

#[test]
fn by_another_name_a_command_has_its_page_and_completions_by_that() {
    let prepared = Prepared::new();
    prepared.snug(&["export", "-c", SHARES, "--bin", &format!("{}=mine", prepared.tool())]);
    assert_eq!(prepared.there("mine"), [true; 5]);
    assert_eq!(prepared.there("tool")[..4], [false; 4]);
    let script = prepared.share("bash-completion/completions/mine");
    assert_eq!(bash_completes_by(&script), "complete -W 'one two' mine\n");
    let fish = fs::read_to_string(prepared.share("fish/vendor_completions.d/mine.fish")).unwrap();
    assert!(fish.ends_with("complete -c 'mine' -w 'tool'\n"), "{fish}");
    prepared.snug(&["rm", "-f", SHARES]);
    assert_eq!(prepared.there("mine"), [false; 5]);
}

#[test]
fn the_package_and_its_version_are_told_without_asking_the_container() {
    let prepared = Prepared::new();
    prepared.write("man/man5/tool.5", "of its file");
    let other = prepared.prefix.path().join("bin/other").display().to_string();
    prepared.snug(&["export", "-c", SHARES, "--bin", &prepared.tool(), &other]);
    assert!(prepared.share("man/man5/tool.5").exists(), "what its package has");
    prepared.is_version("2.0-1");
    let shown: serde_json::Value = serde_json::from_str(&prepared.snug(&["exports", "--json"])).unwrap();
    let of = |at: usize| {
        let export = &shown["exports"][at];
        (export["path"].as_str().unwrap().to_owned(), export["package"].clone(), export["version"].clone())
    };
    assert_eq!(of(0), (other, serde_json::Value::Null, serde_json::Value::Null));
    assert_eq!(of(1), (prepared.tool(), "tools".into(), "1.0-1".into()));
    assert!(prepared.snug(&["exports"]).contains(" tools 1.0-1 "));
    prepared.snug(&["export", "-c", SHARES, "--bin", &prepared.tool()]);
    assert!(prepared.snug(&["exports"]).contains(" tools 2.0-1 "));
    // What another container has by that name is not it.
    let about = prepared.share("snug/documents/tool/about.json");
    let text = fs::read_to_string(&about).unwrap().replace(SHARES, ALONE);
    fs::write(&about, text).unwrap();
    assert!(!prepared.snug(&["exports"]).contains("tools"));
}

#[test]
fn after_a_change_of_packages_the_host_has_what_is_of_the_new_version() {
    let prepared = Prepared::new();
    prepared.snug(&["export", "-c", SHARES, "--bin", &prepared.tool()]);
    prepared.write("man/man1/tool.1", "a newer page");
    // The version is the same: nothing is asked for.
    prepared.snug(&["undo", "-y", "-c", SHARES]);
    assert_eq!(fs::read_to_string(prepared.share("man/man1/tool.1")).unwrap(), "a page");
    prepared.is_version("2.0-1");
    // A guest that does not answer takes nothing away, and is asked again the next time.
    let broken = prepared.prefix.path().join("broken");
    fs::write(&broken, "").unwrap();
    prepared.snug(&["undo", "-y", "-c", SHARES]);
    assert_eq!(prepared.there("tool"), [true; 5]);
    fs::remove_file(&broken).unwrap();
    prepared.snug(&["undo", "-y", "-c", SHARES]);
    assert_eq!(fs::read_to_string(prepared.share("man/man1/tool.1")).unwrap(), "a newer page");
    assert!(prepared.snug(&["exports"]).contains(" tools 2.0-1 "));
}

#[test]
fn a_container_that_does_not_share_the_home_brings_no_code() {
    let prepared = Prepared::new();
    prepared.snug(&["export", "-c", ALONE, "--bin", &prepared.tool()]);
    assert_eq!(prepared.there("tool"), [false; 5]);
    let left: Vec<_> = fs::read_dir(prepared.share("snug/documents/tool"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, ["about.json"]);
    prepared.snug(&["unexport", "-c", ALONE, "--bin", "tool"]);
    assert!(!prepared.share("snug/documents/tool").exists());
}

#[test]
fn a_file_of_the_users_own_stays() {
    let prepared = Prepared::new();
    let mine = [prepared.share("bash-completion/completions/tool"), prepared.share("man/man1/tool.1")];
    for file in &mine {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "mine").unwrap();
    }
    prepared.snug(&["export", "-c", SHARES, "--bin", &prepared.tool()]);
    prepared.snug(&["unexport", "-c", SHARES, "--bin", "tool"]);
    for file in &mine {
        assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    }
}

#[test]
fn a_guest_without_a_shell_exports_commands_all_the_same() {
    let environment = TestEnv::with_daemon(&[SHARES]);
    environment.install_shim();
    let _agent = environment.agent(SHARES, &[("/usr/bin/rg", "")]);
    let ran = environment.snug(&["export", "-c", SHARES, "--bin", "rg"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let shown: serde_json::Value =
        serde_json::from_str(&environment.snug(&["exports", "--json"]).stdout).unwrap();
    assert_eq!(shown["exports"][0]["package"], serde_json::Value::Null);
}
