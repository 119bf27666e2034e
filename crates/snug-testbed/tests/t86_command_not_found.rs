//! Commands that are not there, explained by what the packages of a Debian have: that of an archive which the guest has in itself.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Finally, answer, eventually, explains, json, state};
use snug_testbed::{Bed, Container, UserCommand};

const RG: &str = "rg: not here; \"snug install ripgrep\" gets it (Debian 13, ripgrep 14.1";
/// An archive of the guest's, below `/var/lib/t86`, which apt takes for trusted: two packages, and a list of files.
const ARCHIVE: &str = r#"set -e
rm -rf /var/lib/t86; mkdir -p /var/lib/t86/dists/t86/main/binary-amd64; cd /var/lib/t86/dists/t86
for package in 'ripgrep 14.1.1-1' 'fd-find 10.2.0-1'; do
  printf 'Package: %s
Version: %s
Architecture: amd64
Priority: optional
Maintainer: T <t@invalid>
Description: a tool of the test t86
Filename: pool/none.deb
Size: 1
SHA256: %064d

' $package 0
done > main/binary-amd64/Packages
printf '%s
' 'usr/bin/rg utils/ripgrep' 'usr/bin/fdfind utils/fd-find' 'usr/share/doc/ripgrep/README utils/ripgrep' > main/Contents-amd64
sums() { for file; do printf ' %s %s %s
' "$(sha256sum "$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "$file"; done; }
plain=$(sums main/Contents-amd64); gzip -n main/Contents-amd64
{ printf 'Suite: t86
Codename: t86
Architectures: amd64
Components: main
Date: %s
SHA256:
%s
' "$(LC_ALL=C date -Ru)" "$plain"
  sums main/binary-amd64/Packages main/Contents-amd64.gz; } > Release
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/var/lib/t86 t86 main' > /etc/apt/sources.list.d/t86.list
apt-get -q update
"#;

/// A container whose list is made. Its files on the host are gone when this is.
struct Listed(&'static Container<'static>);

impl Listed {
    fn new() -> Self {
        static PREPARED: std::sync::Once = std::sync::Once::new();
        let listed = Self(Bed::shared("tester", "not-found", common::DEBIAN_13));
        let name = listed.0.name();
        let archive = ["run", "--root", "-w", "/", "-c", name, "--", "sh", "-c", ARCHIVE];
        PREPARED.call_once(|| drop(listed.0.snug(archive).run().unwrap().success()));
        listed.0.snug(["command-not-found", "--refresh", "-c", name]).run().unwrap().success();
        listed
    }

    /// A shell whose default container it is, without the user's own files.
    fn shell(&self, words: &[&str]) -> UserCommand {
        let shell = Bed::require().as_user("tester", words.iter().copied());
        shell.env("SNUG_CONTAINER", self.0.name()).env("PATH", "/usr/local/bin:/usr/bin:/bin")
    }

    fn file(&self) -> PathBuf {
        lists().join(format!("{}.list", self.0.name()))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(lists());
    }
}

fn lists() -> PathBuf {
    Bed::require().account("tester").home.join(".cache/snug/commands")
}

const BASH: [&str; 4] = ["bash", "--norc", "--noprofile", "-i"];
const HOOK: &str = "eval \"$(snug shell-hook bash)\"";

/// Types a word into a shell that has the hook; what is shown until its status.
#[track_caller]
fn typed(listed: &Listed, shell: &[&str], hook: &str, word: &str) -> String {
    let mut pty = listed.shell(shell).on_pty().unwrap();
    pty.line(format!("{hook}; echo re''ady")).unwrap();
    pty.until("ready\r\n").unwrap();
    let status = if shell[0] == "fish" { "$status" } else { "$?" };
    pty.line(format!("{word}; echo sta''tus={status}")).unwrap();
    let shown = pty.until("status=127").unwrap();
    pty.line("exit 0").unwrap();
    pty.ends_with(0);
    shown
}

#[test]
fn each_shell_explains_what_the_distributions_packages_have() {
    let listed = Listed::new();
    let zsh = "eval \"$(snug shell-hook zsh)\"";
    let fish = "snug shell-hook fish | source";
    for (shell, hook) in
        [(&BASH[..], HOOK), (&["zsh", "-f", "-i"], zsh), (&["fish", "--no-config", "-i"], fish)]
    {
        let shown = typed(&listed, shell, hook, "rg");
        assert!(shown.contains(RG), "{shell:?}: {shown}");
    }
    let shown = typed(&listed, &BASH, HOOK, "nobody-has-this-command");
    assert!(shown.contains("nobody-has-this-command: command not found"), "{shown}");
}

#[test]
fn the_files_for_distributions_do_the_same() {
    let listed = Listed::new();
    let place = "/usr/share/snug/shell/command-not-found";
    let shown = typed(&listed, &BASH, &format!(". {place}.bash"), "rg");
    assert!(shown.contains(RG), "{shown}");
    let shown = typed(&listed, &["fish", "--no-config", "-i"], &format!("source {place}.fish"), "rg");
    assert!(shown.contains(RG), "{shown}");
}

#[test]
fn scripts_are_told_what_they_always_were() {
    let listed = Listed::new();
    let shell = || listed.shell(&["bash", "-c", "eval \"$(snug shell-hook bash)\"; rg"]);
    let plain = shell().run().unwrap();
    assert_eq!((plain.code(), plain.out().as_str()), (127, ""));
    assert!(
        plain.err().contains("rg: command not found") && !plain.err().contains("not here"),
        "{}",
        plain.err()
    );
    let shown = shell().on_pty().unwrap().ends_with(127);
    assert!(!shown.contains("not here"), "{shown}");
}

#[test]
fn the_handler_that_was_there_before_gets_what_snug_does_not_know() {
    let listed = Listed::new();
    let hook = format!("command_not_found_handle() {{ echo \"earlier $1\"; return 127; }}; {HOOK}; {HOOK}");
    let shown = typed(&listed, &BASH, &hook, "nobody-has-this-command");
    assert!(shown.contains("earlier nobody-has-this-command"), "{shown}");
    let shown = typed(&listed, &BASH, &hook, "rg");
    assert!(shown.contains(RG) && !shown.contains("earlier rg"), "{shown}");
}

#[test]
fn a_command_that_is_in_the_container_is_there_already_and_an_exported_one_is_out_of_the_path() {
    let listed = Listed::new();
    let name = listed.0.name();
    let make =
        "printf '#!/bin/sh\\necho here\\n' > /usr/local/bin/t86-tool; chmod 755 /usr/local/bin/t86-tool";
    listed.0.snug(["run", "--root", "-w", "/", "-c", name, "--", "sh", "-c", make]).run().unwrap().success();
    let told = format!("t86-tool: in {name}; \"snug export --bin t86-tool\"");
    // A guest that answers late is not waited for.
    eventually("the guest has answered in time", || typed(&listed, &BASH, HOOK, "t86-tool").contains(&told));
    let away = Finally(|| drop(listed.0.snug(["unexport", "-c", name, "--bin", "t86-tool"]).run()));
    listed.0.snug(["export", "-c", name, "--bin", "t86-tool"]).run().unwrap().success();
    let shown = typed(&listed, &BASH, HOOK, "t86-tool");
    assert!(shown.contains(".local/bin is not on your PATH"), "{shown}");
    drop(away);
}

#[test]
fn a_container_that_does_not_run_is_not_started_for_it() {
    let listed = Listed::new();
    let (bed, name) = (Bed::require(), listed.0.name());
    listed.0.snug(["stop", name]).run().unwrap().success();
    let shown = typed(&listed, &BASH, HOOK, "rg");
    assert!(shown.contains(RG), "{shown}");
    // Neither by a list that is missing.
    for name in fs::read_dir(lists()).unwrap() {
        fs::remove_file(name.unwrap().path()).unwrap();
    }
    typed(&listed, &BASH, HOOK, "rg");
    listed
        .0
        .snug(["-q", "command-not-found", "--refresh", "--background", "-c", name])
        .run()
        .unwrap()
        .success();
    assert_eq!(state(&bed, "tester", name), "stopped");
    assert!(!listed.file().exists());
}

#[test]
fn a_list_that_is_missing_is_made_in_the_background() {
    let listed = Listed::new();
    listed.0.run(["true"]).run().unwrap().success();
    fs::remove_dir_all(lists()).unwrap();
    let shown = typed(&listed, &BASH, HOOK, "rg");
    assert!(shown.contains("snug is reading which commands the packages of"), "{shown}");
    eventually("the list is there", || listed.file().exists());
    assert!(typed(&listed, &BASH, HOOK, "rg").contains(RG));
}

#[test]
fn the_list_answers_what_else_asks_for_a_command() {
    let listed = Listed::new();
    let name = listed.0.name();
    let provides = json(&listed.0.snug(["provides", "-c", name, "--json", "fd"]).run().unwrap().success());
    assert_eq!(provides["packages"][0]["name"], "fd-find");
    let refused = listed.0.snug(["install", "-c", name, "rg"]).run().unwrap();
    explains(&refused, 1, &["has no package rg", "ripgrep has the command rg: `snug install ripgrep`"]);
}

#[test]
fn in_the_container_its_own_packages_are_meant() {
    let listed = Listed::new();
    let line = format!("{HOOK}; rg-of-nobody; rg; echo status=$?");
    let shown = listed.0.run(["bash", "--norc", "--noprofile", "-ic", &line]).on_pty().unwrap().ends_with(0);
    assert!(shown.contains(RG) && shown.contains("status=127"), "{shown}");
    assert_eq!(answer(listed.0.run(["sh", "-c", "snug provides rg | tail -n1 | cut -d' ' -f1"])), "ripgrep");
}
