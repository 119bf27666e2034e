//! Manual pages and completions of installed commands, by the host's own man, bash, zsh and fish; packages and versions in `snug exports`.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Finally, answer, fresh, fresh_with, json};
use snug_testbed::{Bed, Captured, Container, UserCommand};

/// A repository of the guest's, below `/var/lib/t84`, which apt takes for trusted: `t84-tool` in two versions, with all that a command may have.
const REPOSITORY: &str = r##"set -e
mkdir -p /var/lib/t84; cd /var/lib/t84
pack() { # VERSION
  root=$(mktemp -d)
  share=$root/usr/share
  mkdir -p "$root/DEBIAN" "$root/usr/bin" "$share/man/man1" "$share/man/de/man1" "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d"
  printf 'Package: t84-tool\nVersion: %s\nArchitecture: all\nMaintainer: T <t@invalid>\nDescription: a tool of the test t84\n' "$1" > "$root/DEBIAN/control"
  printf '#!/bin/sh\necho t84-tool %s\n' "$1" > "$root/usr/bin/t84-tool"; chmod 755 "$root/usr/bin/t84-tool"
  printf '.TH T84-TOOL 1\n.SH NAME\nt84-tool \\- the page of version %s\n' "$1" | gzip -9n > "$share/man/man1/t84-tool.1.gz"
  printf '.TH T84-TOOL 1\n.SH NAME\nt84-tool \\- die Seite der Version %s\n' "$1" | gzip -9n > "$share/man/de/man1/t84-tool.1.gz"
  printf '.so man1/t84-tool.1\n' | gzip -9n > "$share/man/man1/t84-other.1.gz"
  ln -s t84-tool "$root/usr/bin/t84-other"
  printf '_t84_tool() { COMPREPLY=($(compgen -W "bash-word" -- "$2")); }\ncomplete -F _t84_tool t84-tool\n' > "$share/bash-completion/completions/t84-tool"
  printf '#compdef t84-tool\n_arguments "--zsh-word[a word]"\n' > "$share/zsh/vendor-completions/_t84-tool"
  printf 'complete -c t84-tool -f -l fish-word\n' > "$share/fish/vendor_completions.d/t84-tool.fish"
  dpkg-deb --root-owner-group -b "$root" "./t84-tool_$1_all.deb" >/dev/null
  rm -r "$root"
}
pack 1.0; pack 2.0
for deb in *.deb; do
  dpkg-deb -f "$deb"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
echo 'deb [trusted=yes] file:/var/lib/t84 ./' > /etc/apt/sources.list.d/t84.list
mkdir -p off; mv /etc/apt/sources.list.d/*.sources /etc/apt/sources.list off/ 2>/dev/null || true
apt-get -q update
"##;

/// Where the user has them, below `~/.local/share`.
const PLACES: [&str; 5] = [
    "man/man1/t84-tool.1.gz",
    "man/de/man1/t84-tool.1.gz",
    "man/man1/t84-other.1.gz",
    "bash-completion/completions/t84-tool",
    "fish/vendor_completions.d/t84-tool.fish",
];

fn prepared<'a>(bed: &'a Bed, name: &str) -> Container<'a> {
    let guest = fresh(bed, "tester", name, common::DEBIAN_13);
    root(&guest, REPOSITORY).success();
    guest
}

fn root(guest: &Container<'_>, line: &str) -> Captured {
    guest.snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", line]).run().unwrap()
}

fn home(path: &str) -> PathBuf {
    Bed::require().account("tester").home.join(path)
}

fn there() -> Vec<bool> {
    PLACES.iter().map(|place| home(".local/share").join(place).exists()).collect()
}

/// The host's shell or another program of its, as after a login.
fn typed<const N: usize>(words: [&str; N]) -> UserCommand {
    let path = format!("{}:/usr/bin:/bin", home(".local/bin").display());
    Bed::require().as_user("tester", words).env("PATH", path).env("LANG", "C.UTF-8")
}

fn snug<'a>(guest: &'a Container<'_>, verb: &'a str, words: impl IntoIterator<Item = &'a str>) -> Captured {
    let all: Vec<&str> = [verb, "-c", guest.name()].into_iter().chain(words).collect();
    let path = format!("{}:/usr/bin:/bin", home(".local/bin").display());
    guest.snug(all).env("PATH", path).run().unwrap()
}

/// Package and version of each command that the host has of a container.
fn exported(guest: &Container<'_>) -> Vec<(String, String, String)> {
    let all = json(&guest.bed().snug("tester").args(["exports", "--json"]).run().unwrap().success());
    let of_guest = |export: &&serde_json::Value| export["container"] == guest.name();
    let text = |export: &serde_json::Value, key: &str| export[key].as_str().unwrap_or_default().to_owned();
    let three = |export| (text(export, "path"), text(export, "package"), text(export, "version"));
    all["exports"].as_array().unwrap().iter().filter(of_guest).map(three).collect()
}

fn row(name: &str, version: &str) -> (String, String, String) {
    (format!("/usr/bin/{name}"), "t84-tool".to_owned(), version.to_owned())
}

/// What bash completes a command by, after bash-completion has looked for it.
fn bash_completes_by(command: &str) -> String {
    let line = format!(
        ". /usr/share/bash-completion/bash_completion; if declare -F _comp_load >/dev/null; then _comp_load {command}; else _completion_loader {command}; fi; complete -p {command}"
    );
    answer(typed(["bash", "--norc", "-c", &line]))
}

/// Types half an option in zsh, and the key that completes.
#[track_caller]
fn zsh_completes(half: &str, whole: &str) {
    let mut pty = typed(["zsh", "-f", "-i"]).on_pty().unwrap();
    pty.line("bindkey -e; autoload -U compinit; compinit -u -D; echo re''ady").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write(format!("{half}\t\x01echo ty''ped: \r")).unwrap();
    pty.until(&format!("typed: {whole}")).unwrap();
    pty.line("exit").unwrap();
    pty.ends_with(0);
}

#[test]
fn what_was_installed_has_its_page_and_completions_in_all_shells_until_it_is_uninstalled() {
    let bed = Bed::require();
    let guest = prepared(&bed, "documents");
    snug(&guest, "install", ["t84-tool=1.0"]).success();
    assert_eq!(there(), [true; 5]);
    let page = home(".local/share").join(PLACES[0]);
    let found = answer(typed(["man", "-w", "t84-tool"]));
    assert_eq!(fs::canonicalize(found).unwrap(), page.canonicalize().unwrap());
    assert!(answer(typed(["man", "t84-tool"])).contains("the page of version 1.0"));
    assert!(
        answer(typed(["man", "t84-other"])).contains("the page of version 1.0"),
        "a page that refers to it"
    );
    assert_eq!(bash_completes_by("t84-tool"), "complete -F _t84_tool t84-tool");
    zsh_completes("t84-tool --zs", "t84-tool --zsh-word");
    assert_eq!(answer(typed(["fish", "-c", "complete -C 't84-tool --fi'"])), "--fish-word");
    assert_eq!(exported(&guest), [row("t84-other", "1.0"), row("t84-tool", "1.0")]);
    // A new version.
    snug(&guest, "install", ["t84-tool=2.0"]).success();
    assert!(answer(typed(["man", "t84-tool"])).contains("the page of version 2.0"));
    assert_eq!(exported(&guest), [row("t84-other", "2.0"), row("t84-tool", "2.0")]);
    snug(&guest, "uninstall", ["-y", "t84-tool"]).success();
    assert_eq!(there(), [false; 5]);
    assert_eq!(typed(["man", "-w", "t84-tool"]).run().unwrap().code(), 16);
    assert!(!home(".local/share/snug/documents/t84-tool").exists());
}

#[test]
fn by_another_name_it_has_them_by_that_and_they_go_with_the_container() {
    let bed = Bed::require();
    let guest = prepared(&bed, "documents-other");
    snug(&guest, "install", ["--no-export", "t84-tool"]).success();
    assert_eq!(there(), [false; 5]);
    snug(&guest, "export", ["--bin", "t84-tool=t84-mine"]).success();
    assert!(answer(typed(["man", "t84-mine"])).contains("the page of version 2.0"));
    assert_eq!(bash_completes_by("t84-mine"), "complete -F _t84_tool t84-mine");
    zsh_completes("t84-mine --zs", "t84-mine --zsh-word");
    assert_eq!(answer(typed(["fish", "-c", "complete -C 't84-mine --fi'"])), "--fish-word");
    assert_eq!(exported(&guest), [row("t84-tool", "2.0")]);
    bed.snug("tester").args(["rm", "-f", guest.name()]).run().unwrap().success();
    assert_eq!(typed(["man", "-w", "t84-mine"]).run().unwrap().code(), 16);
    for place in ["man/man1/t84-mine.1.gz", "bash-completion/completions/t84-mine", "snug/documents/t84-mine"]
    {
        assert!(fs::symlink_metadata(home(".local/share").join(place)).is_err(), "{place}");
    }
}

#[test]
fn a_file_of_the_users_own_stays() {
    let bed = Bed::require();
    let guest = prepared(&bed, "documents-own");
    let mine = home(".local/share/bash-completion/completions/t84-tool");
    let made = bed.as_user(
        "tester",
        ["sh", "-c", "mkdir -p \"${1%/*}\" && echo mine > \"$1\"", "sh", mine.to_str().unwrap()],
    );
    made.run().unwrap().success();
    let away = Finally(|| drop(fs::remove_file(&mine)));
    snug(&guest, "install", ["t84-tool"]).success();
    assert_eq!(there(), [true; 5]);
    snug(&guest, "uninstall", ["-y", "t84-tool"]).success();
    let left = (there(), fs::read_to_string(&mine).unwrap());
    drop(away);
    assert_eq!(left, (vec![false, false, false, true, false], "mine\n".to_owned()));
}

#[test]
fn an_isolated_container_brings_no_code() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "documents-alone", common::DEBIAN_13, &["--preset", "isolated"]);
    root(&guest, REPOSITORY).success();
    snug(&guest, "install", ["t84-tool"]).success();
    assert_eq!(exported(&guest), [row("t84-other", "2.0"), row("t84-tool", "2.0")]);
    assert_eq!(there(), [false; 5]);
    let own = home(".local/share/snug/documents/t84-tool");
    let left: Vec<_> = fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["about.json"]);
    snug(&guest, "uninstall", ["-y", "t84-tool"]).success();
    assert!(!own.exists());
}

#[test]
fn an_image_that_leaves_pages_out_has_them_again() {
    let bed = Bed::require();
    let guest = prepared(&bed, "documents-small");
    // As an image that has never been started.
    let strip = "rm -f /var/lib/snug/documentation /etc/dpkg/dpkg.cfg.d/zz-snug-documentation; echo 'path-exclude /usr/share/man/*' > /etc/dpkg/dpkg.cfg.d/excludes";
    root(&guest, strip).success();
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    snug(&guest, "install", ["t84-tool"]).success();
    assert_eq!(there(), [true; 5]);
    // What a person switches off afterwards stays off.
    root(&guest, "rm /etc/dpkg/dpkg.cfg.d/zz-snug-documentation").success();
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    assert_eq!(root(&guest, "test -e /etc/dpkg/dpkg.cfg.d/zz-snug-documentation").code(), 1);
    snug(&guest, "uninstall", ["-y", "t84-tool"]).success();
}

#[test]
fn the_doctor_tells_of_a_link_that_is_missing() {
    let bed = Bed::require();
    let guest = prepared(&bed, "documents-ill");
    snug(&guest, "install", ["t84-tool"]).success();
    fs::remove_file(home(".local/bin/t84-tool")).unwrap();
    let told = || {
        let path = format!("{}:/usr/bin:/bin", home(".local/bin").display());
        let all = json(&bed.snug("tester").args(["doctor", "--json"]).env("PATH", path).run().unwrap());
        let texts = all["checks"].as_array().unwrap().iter().filter(|check| check["check"] == "exports");
        texts.map(|check| format!("{} {}", check["status"], check["text"])).collect::<Vec<_>>().join("\n")
    };
    assert!(told().contains("links of commands are missing: t84-tool"), "{}", told());
    snug(&guest, "export", ["--bin", "/usr/bin/t84-tool=t84-tool"]).success();
    assert!(!told().contains("missing"), "{}", told());
    snug(&guest, "uninstall", ["-y", "t84-tool"]).success();
}
