//! The tour of the README, line by line: what a newcomer types must do what it says.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test's name is its documentation")]

mod common;

use std::time::Duration;

use common::{PATIENCE, SnugConfig, TemporaryUser};
use snug_testbed::{Bed, UserCommand};

const README: &str = include_str!("../../../README.md");

/// What is installed first needs a container, and the distribution's package lists.
const LONG: Duration = Duration::from_secs(300);

/// The lines of the tour without their comments.
fn tour() -> Vec<(String, String)> {
    let section = README.split("## The tour").nth(1).unwrap();
    let block = section.split("```").nth(1).unwrap();
    let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
    let lines = lines.map(|line| line.split_once(" # ").unwrap_or((line, "")));
    lines.map(|(line, comment)| (line.trim().to_owned(), comment.trim().to_owned())).collect()
}

#[test]
fn every_line_of_the_tour_does_what_it_says() {
    let bed = Bed::require();
    let _config = SnugConfig::write(&bed, "default_image = \"local:debian/13\"\n");
    let user = TemporaryUser::new(&bed, "snug-tourist");
    let bash = |line: &str| {
        let argv = ["/bin/bash", "-c", line].map(Into::into).to_vec();
        let deadline = if line.starts_with("snug install") { LONG } else { PATIENCE };
        UserCommand::for_account(user.account().clone(), argv).deadline(deadline)
    };
    let lines = tour();
    assert!(lines.len() > 12, "the tour was not found: {lines:?}");
    for (line, comment) in lines {
        let refused = comment.starts_with("refused");
        if line == "snug enter" {
            let mut pty = bash(&line).on_pty().unwrap();
            pty.line("echo in-$(hostname); exit 0").unwrap();
            assert!(pty.ends_with(0).contains("in-tools"), "{line}");
            continue;
        }
        let ended = bash(&line).run().unwrap();
        assert_eq!(ended.code(), if refused { 125 } else { 0 }, "{line}: {}{}", ended.out(), ended.err());
        let says = match line.as_str() {
            "snug run -- cat /etc/os-release" => "VERSION_ID=\"13\"",
            "echo hi | snug run wc -c" => "3\n",
            "snug install hello" => "hello\n",
            "~/.local/bin/hello" | "snug stop tools; snug run hello" => "Hello, world!\n",
            "snug run sudo id -un" => "root\n",
            "snug run -w / -- uname -a" => "Linux tools",
            "snug run --rm -- id" => "snug-tourist",
            "snug list; snug info play --json" => "\"memory\"",
            _ => "",
        };
        assert!(ended.out().contains(says), "{line}: {}", ended.out());
    }
    assert_eq!(user.snug(["list"]).run().unwrap().success().out(), "");
    // The tour removes its containers; the home is never touched.
    bash("test -e when.txt && grep -q '\"hello\"' tools.toml").run().unwrap().success();
}
