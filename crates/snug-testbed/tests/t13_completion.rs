//! Completion in the shells themselves: what a key press offers on a user's command line.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test's name is its documentation")]

mod common;

use common::{Doomed, NO_INIT, PATIENCE};
use snug_testbed::Bed;

/// A container of tester's that the shells are asked for.
fn made<'a>(bed: &'a Bed, name: &str) -> Doomed<'a> {
    let doomed = Doomed::new(bed, "tester", name);
    let create = bed.snug("tester").args(["create", name, "-i", NO_INIT, "--no-start"]);
    create.deadline(PATIENCE).run().unwrap().success();
    doomed
}

/// Types half a name, the key that completes, and has the shell print the line instead of running it.
#[track_caller]
fn completes_on_a_terminal(shell: &[&str], setup: &str, half: &str, whole: &str) {
    let bed = Bed::require();
    let mut pty = bed.as_user("tester", shell.iter().copied()).on_pty().unwrap();
    // Quotes, so that the echo of what is typed is not taken for the answer.
    pty.line(format!("{setup}; echo re''ady")).unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write(format!("snug enter {half}\t\x01echo ty''ped: \r")).unwrap();
    pty.until(&format!("typed: snug enter {whole}")).unwrap();
    pty.line("exit").unwrap();
    pty.ends_with(0);
}

#[test]
fn bash_completes_a_container_at_a_key_press() {
    let bed = Bed::require();
    let _one = made(&bed, "offered-bash");
    let setup = "source <(snug completion bash)";
    completes_on_a_terminal(&["bash", "--norc", "--noprofile", "-i"], setup, "offered-b", "offered-bash");
}

#[test]
fn zsh_completes_a_container_at_a_key_press() {
    let bed = Bed::require();
    let _one = made(&bed, "offered-zsh");
    let setup = "bindkey -e; autoload -U compinit; compinit -u -D; source <(snug completion zsh)";
    completes_on_a_terminal(&["zsh", "-f", "-i"], setup, "offered-z", "offered-zsh");
}

#[test]
fn zsh_completes_by_the_file_that_is_installed() {
    let bed = Bed::require();
    let _one = made(&bed, "offered-installed");
    let setup = "bindkey -e; autoload -U compinit; compinit -u -D";
    completes_on_a_terminal(&["zsh", "-f", "-i"], setup, "offered-i", "offered-installed");
}

#[test]
fn fish_offers_containers_with_what_they_are() {
    let bed = Bed::require();
    let _one = made(&bed, "offered-fish");
    let asked = "complete --do-complete 'snug enter offered-'";
    for script in [format!("snug completion fish | source; {asked}"), asked.to_owned()] {
        let offered = bed.as_user("tester", ["fish", "-c", &script]).run().unwrap().success().out();
        assert_eq!(offered.trim(), format!("offered-fish\tstopped, {NO_INIT}"), "{script}");
    }
}
