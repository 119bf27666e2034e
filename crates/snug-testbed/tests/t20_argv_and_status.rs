//! `snug run`: the words of the command arrive as they were typed, and its end is the client's own.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;

use snug_testbed::{Bed, Container, UserCommand};

/// Writes its arguments, each with a NUL behind it. A builtin writes them, so no second exec bounds their length.
const SHOW: &str = r#"for word do printf '%s\0' "$word"; done"#;

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "argv", "local:debian/13")
}

fn shown(command: UserCommand) -> Vec<Vec<u8>> {
    let stdout = command.run().expect("it ends").success().stdout;
    let mut words: Vec<Vec<u8>> = stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(words.pop(), Some(Vec::new()), "the last word has its end");
    words
}

fn arrives(words: &[&[u8]]) {
    let argv = [b"sh", b"-c", SHOW.as_bytes(), b"show"].into_iter().chain(words.iter().copied());
    let arrived = shown(guest().run(argv.map(OsStr::from_bytes)));
    assert_eq!(arrived, words);
}

#[test]
fn spaces_quotes_dollars_stars_and_newlines_arrive_unchanged() {
    arrives(&[
        b" two  words ",
        b"'single' \"double\" \\back\\",
        b"$HOME ${x} $(id) `id` !!",
        b"*",
        b"~ ? [a-z] {a,b}",
        b"line one\nline two\n",
        b"\ttab\r\x1b[0m",
        b"; exit 3 & | > /dev/full #",
    ]);
}

#[test]
fn empty_words_arrive_at_their_places() {
    arrives(&[b"", b"a", b"", b"", b"b", b""]);
}

#[test]
fn bytes_that_are_no_utf_8_arrive_unchanged() {
    let all: Vec<u8> = (1..=255).collect();
    arrives(&[b"\xff\xfe\x80", &all, "ä€𝄞".as_bytes()]);
}

#[test]
fn words_with_a_leading_dash_after_the_command_belong_to_it() {
    let out = guest().snug(["run", "echo", "-t", "--login", "-c", "nowhere", "--", "-h"]).run().unwrap();
    assert_eq!(out.success().out(), "-t --login -c nowhere -- -h\n");
    arrives(&[b"-t", b"--help", b"--", b"-"]);
}

#[test]
fn a_command_whose_name_begins_with_a_dash_can_be_run_behind_two_dashes() {
    let out = guest().snug(["run", "--", "-no-such-command"]).run().unwrap().ends_with(127);
    assert!(out.err().contains("-no-such-command"), "{}", out.err());
}

#[test]
fn an_argument_of_100_kb_arrives() {
    arrives(&[&b"x".repeat(100_000)]);
}

#[test]
fn two_megabytes_of_arguments_arrive_together() {
    let words: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![b'a' + n; 100_000]).collect();
    let argv = ["sh", "-c", SHOW, "show"].map(OsString::from).into_iter();
    let arrived = shown(guest().run(argv.chain(words.iter().cloned().map(OsString::from_vec))));
    assert!(arrived == words, "{} words arrived", arrived.len());
}

#[test]
fn nothing_passes_through_a_shell() {
    let out = guest().run(["echo hi"]).run().unwrap().ends_with(127);
    assert!(out.err().contains("echo hi"), "{}", out.err());
    let out = guest().run(["echo", "$HOME", "&&", "exit", "3"]).run().unwrap().success();
    assert_eq!(out.out(), "$HOME && exit 3\n");
}

#[test]
fn every_status_from_0_to_255_is_kept() {
    let line = "n=0; while [ $n -le 255 ]; do snug run sh -c 'exit $0' $n; s=$?; \
                [ $s = $n ] || echo $n became $s; n=$((n+1)); done";
    let out = guest().shell(line).run().unwrap().success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("", ""));
}

#[test]
fn death_by_a_signal_is_128_and_its_number() {
    // HUP, INT, QUIT, PIPE and TERM are in the next test.
    for signal in [4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 25, 31, 34, 64] {
        let out = guest().run(["sh", "-c", &format!("kill -{signal} $$")]).run().unwrap();
        assert_eq!(out.status.code(), Some(128 + signal), "signal {signal}: {:?}", out.status);
        assert_eq!(out.err(), "");
    }
}

#[test]
fn the_client_dies_of_the_signal_that_a_shells_loop_must_see() {
    for signal in [1, 2, 3, 13, 15] {
        let out = guest().run(["sh", "-c", &format!("kill -{signal} $$")]).run().unwrap();
        assert_eq!(out.status.signal(), Some(signal), "{:?}", out.status);
        assert!(!out.status.core_dumped(), "no core of the client");
        assert_eq!(out.err(), "");
    }
}

#[test]
fn what_is_found_but_cannot_be_executed_is_126() {
    let bed = guest().bed();
    bed.shell("tester", "echo text >~/plain-file").run().unwrap().success();
    for path in ["/home/tester/plain-file", "/etc", "/etc/passwd", "./plain-file"] {
        let out = guest().run([path]).run().unwrap().ends_with(126);
        assert!(out.err().contains(path) && out.err().starts_with("error: "), "{}", out.err());
        assert_eq!(out.out(), "");
    }
    bed.shell("tester", "rm ~/plain-file").run().unwrap().success();
}

#[test]
fn what_is_not_found_is_127_and_named() {
    for name in ["no-such-command", "/no/such/command", "./no-such-command", ""] {
        let out = guest().run([name]).run().unwrap().ends_with(127);
        assert!(out.err().contains(name) && out.err().starts_with("error: "), "{}", out.err());
        assert_eq!(out.out(), "");
    }
}

#[test]
fn a_file_in_the_path_that_cannot_be_executed_does_not_hide_one_that_can() {
    let line = "mkdir -p ~/hide/echo ~/hide2; echo x >~/hide2/echo; \
                PATH=~/hide:~/hide2:$PATH snug run echo found; s=$?; rm -r ~/hide ~/hide2; exit $s";
    assert_eq!(guest().shell(line).run().unwrap().success().out(), "found\n");
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_sh() {
    let line = "printf 'echo \"$0 $1\"\\nexit 4\\n' >~/script; chmod +x ~/script; snug run ~/script one; \
                s=$?; rm ~/script; exit $s";
    let out = guest().shell(line).run().unwrap().ends_with(4);
    assert_eq!(out.out(), "/home/tester/script one\n");
}

#[test]
fn snugs_own_failure_is_125_with_an_error_on_stderr_alone() {
    for args in [
        &["run", "-c", "no-such-container", "true"][..],
        &["run", "-c", "Not_A_Name", "true"],
        &["run", "-u", "no-such-user", "true"],
        &["run", "-w", "/no/such/directory", "true"],
        &["run", "--no-such-option", "true"],
        &["run"],
    ] {
        let out = guest().snug(args).run().unwrap().ends_with(125);
        assert_eq!(out.out(), "", "{args:?}");
        assert!(out.err().starts_with("error: "), "{args:?}: {}", out.err());
    }
}

#[test]
fn true_prints_nothing_on_either_stream() {
    let out = guest().run(["true"]).run().unwrap().success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("", ""));
}

#[test]
fn true_prints_nothing_also_when_it_had_to_start_the_container() {
    guest().snug(["stop", "argv"]).run().unwrap().success();
    let out = guest().run(["true"]).run().unwrap().success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("", ""));
}

#[test]
fn on_a_terminal_the_progress_of_a_start_is_erased() {
    guest().snug(["stop", "argv"]).run().unwrap().success();
    let shown = guest().run(["true"]).on_pty().unwrap().ends_with(0);
    // What stands behind the last erasure is what the user still sees.
    let seen = shown.rsplit(['K', 'J']).next().unwrap_or_default();
    let erased = shown.is_empty() || shown.contains("\x1b[");
    assert!(erased && !seen.chars().any(char::is_alphanumeric), "{shown:?}");
}

#[test]
fn the_options_that_fingers_know_are_accepted() {
    for options in ["-i", "-it", "-ti"] {
        let mut pty = guest().snug(["run", options, "echo", "hi"]).on_pty().unwrap();
        assert_eq!(pty.ends_with(0), "hi\r\n", "{options}");
    }
}

#[test]
fn a_command_can_run_as_root_and_as_another_user_of_the_guest() {
    for (options, expected) in [
        (&["--root"][..], "0 root /root\n"),
        (&["-u", "root"], "0 root /root\n"),
        (&["-u", "nobody", "-w", "/"], "65534 nobody /nonexistent\n"),
        (&["-u", "65534", "-w", "/"], "65534 nobody /nonexistent\n"),
    ] {
        let args = ["run"].iter().chain(options).chain(&["sh", "-c", "echo $(id -u) $USER $HOME"]);
        assert_eq!(guest().snug(args).run().unwrap().success().out(), expected, "{options:?}");
    }
}
