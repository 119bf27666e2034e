//! `snug run` on a terminal: the guest's programs have one of their own, and the caller's is left as it was.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod common;

use rustix::process::Signal;
use rustix::termios::LocalModes;
use snug_testbed::{Bed, Container};

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "terminal", "local:debian/13")
}

fn leaves_the_terminal(line: &str, keys: &[(&str, &str)]) -> String {
    common::leaves_the_terminal(guest(), line, keys)
}

#[test]
fn the_size_is_right_from_the_first_prompt() {
    let mut pty = guest().run(["stty", "size"]).on_pty().unwrap();
    assert_eq!(pty.ends_with(0), "24 80\r\n");
}

#[test]
fn the_size_is_right_after_each_resize() {
    // Asks all the time; that the signal arrives is a test of its own.
    let line = "old=$(stty size); echo ready; while :; do new=$(stty size); \
                [ \"$new\" = \"$old\" ] || echo $new; old=$new; done";
    let mut pty = guest().run(["sh", "-c", line]).on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    for (rows, columns) in [(40, 100), (10, 20), (300, 400)] {
        pty.resize(rows, columns).unwrap();
        pty.until(&format!("{rows} {columns}\r\n")).unwrap();
    }
    pty.write("\x03").unwrap();
    pty.ends_with(130);
}

#[test]
fn the_modes_are_restored_after_every_end() {
    for line in [
        "snug run true",
        "snug run false",
        "snug run no-such-command",
        "snug run sh -c 'kill -9 $$'",
        "snug run sh -c 'stty raw -echo; exit 3'",
        "snug run -T true",
        "snug run true | cat",
        "snug run true </dev/null",
        "snug run -w /no/such true",
        "snug run sh -c 'kill -TERM $$'",
    ] {
        leaves_the_terminal(line, &[]);
    }
}

#[test]
fn the_modes_are_restored_when_the_client_is_ended_by_a_signal() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::INT] {
        let mut pty = guest().run(["sh", "-c", "echo ready; exec sleep 1000"]).on_pty().unwrap();
        let unused = guest().shell("sleep 0").on_pty().unwrap();
        pty.until("ready\r\n").unwrap();
        assert!(!pty.modes().unwrap().local_modes.contains(LocalModes::ICANON), "raw while it runs");
        pty.signal(signal).unwrap();
        pty.ends_with(128 + signal.as_raw());
        assert_eq!(common::modes(&pty), common::modes(&unused), "{signal:?}");
    }
}

#[test]
fn what_was_typed_ahead_arrives_the_end_of_the_input_too() {
    // Nothing may read it before: not a shell that waits for a line.
    let mut pty = guest().bash("echo ready; sleep 1; snug run cat; echo ended $?").on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("ahead\n\x04").unwrap();
    let shown = pty.ends_with(0);
    assert!(
        shown.ends_with("ahead\r\nended 0\r\n") && !shown.contains('\0') && !shown.contains("^@"),
        "{shown:?}"
    );
}

#[test]
fn the_callers_modes_are_those_of_the_guest() {
    let line = "stty erase ^H intr ^G -ixon; snug run stty -a";
    let shown = guest().bash(line).on_pty().unwrap().ends_with(0);
    for part in ["erase = ^H", "intr = ^G", "-ixon", " icanon", " echo "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn the_terminal_is_a_device_of_the_guest_that_belongs_to_the_user() {
    let line = "t=$(tty) && test -c $t && stat -c '%U %G %a' $t && stat -Lc %d /proc/self/fd/0";
    let mut pty = guest().run(["sh", "-c", line]).on_pty().unwrap();
    let shown = pty.ends_with(0);
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("tester tty 620"));
    // Never the caller's own: a program in the guest could type into it.
    let of_host = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(pty.device()).unwrap());
    assert_ne!(lines.next(), Some(of_host.to_string().as_str()));
}

#[test]
fn the_terminal_can_be_opened_by_its_names() {
    let line = "echo by-name >$(tty); echo controlling >/dev/tty; echo stdout >/dev/stdout; ps -o tty= -p $$";
    let shown = guest().run(["sh", "-c", line]).on_pty().unwrap().ends_with(0);
    assert!(shown.starts_with("by-name\r\ncontrolling\r\nstdout\r\npts/"), "{shown}");
}

#[test]
fn what_is_typed_is_echoed_once_and_arrives() {
    let mut pty = guest().run(["sh", "-c", "echo ask; read a b; echo \"got <$a> <$b>\""]).on_pty().unwrap();
    pty.until("ask\r\n").unwrap();
    pty.line("one two ä").unwrap();
    assert_eq!(pty.ends_with(0), "one two ä\r\ngot <one> <two ä>\r\n");
}

#[test]
fn the_end_of_input_can_be_typed() {
    let mut pty = guest().run(["sh", "-c", "echo ask; wc -l"]).on_pty().unwrap();
    pty.until("ask\r\n").unwrap();
    pty.write("a\rb\r\x04").unwrap();
    assert!(pty.ends_with(0).ends_with("2\r\n"));
}

#[test]
fn every_byte_can_be_typed() {
    // All but what the local driver of a raw terminal would eat: nothing.
    let line = "stty raw -echo; echo ready; head -c 256 | od -An -v -tu1 | tr -s ' \\n' ' '; stty sane";
    let mut pty = guest().run(["sh", "-c", line]).on_pty().unwrap();
    pty.until("ready").unwrap();
    let all: Vec<u8> = (0..=255).collect();
    pty.write(&all).unwrap();
    let expected: Vec<String> = all.iter().map(u8::to_string).collect();
    assert!(pty.ends_with(0).trim().ends_with(&expected.join(" ")));
}

#[test]
fn a_long_paste_arrives_whole() {
    let line = "stty -echo; echo ready; head -n 3000 | sha256sum";
    let mut pty = guest().run(["sh", "-c", line]).on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    let text: String = (0..3000).map(|n| format!("line {n} {}\n", "x".repeat(70))).collect();
    pty.write(&text).unwrap();
    let expected = guest().bed().shell("tester", "sha256sum").input(text).run().unwrap().success().out();
    assert_eq!(pty.ends_with(0).replace('\r', ""), expected);
}

#[test]
fn vi_edits_a_file() {
    let keys = [("\"", "iwritten in vi\x1b:wq\r")];
    leaves_the_terminal("snug run vi ~/in-vi", &keys);
    let out = guest().shell("cat ~/in-vi; rm ~/in-vi").run().unwrap().success();
    assert_eq!(out.out(), "written in vi\n");
}

#[test]
fn top_runs_and_is_left_by_a_key() {
    let shown = leaves_the_terminal("snug run top", &[("PID", "q")]);
    assert!(shown.contains("load average"), "{shown}");
}

#[test]
fn tmux_and_htop_run() {
    let install = "apt-get install -y --no-install-recommends tmux htop >/dev/null 2>&1 || \
                   { apt-get update && apt-get install -y --no-install-recommends tmux htop; } >&2";
    guest().snug(["run", "--root", "-w", "/", "sh", "-c", install]).run().unwrap().success();
    let shown = leaves_the_terminal("snug run htop", &[("PID", "q")]);
    assert!(shown.contains("Load average"), "{shown}");
    let tmux = [("[0]", "echo in-$((1+1))-tmux\r"), ("in-2-tmux", "exit\r")];
    leaves_the_terminal("snug run tmux -f /dev/null new", &tmux);
}

#[test]
fn the_callers_terminfo_entry_works_in_the_guest() {
    // It is compiled for the host alone: the guest does not see /opt of the host.
    let dir = tempfile::Builder::new().prefix("snug-").tempdir_in("/opt").unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let source = "snug-test|a terminal that no guest knows, am, cols#80, lines#24, bel=^G, cup=\\E[%i%p1%d;%p2%dH, \
                  clear=\\E[H\\E[J, setaf=<%p1%d>,\n";
    let tic = guest().shell("tic -o \"$TERMINFO\" -").env("TERMINFO", dir.path()).input(source);
    tic.run().unwrap().success();
    let run = guest().run(["tput", "setaf", "5"]).env("TERM", "snug-test").env("TERMINFO", dir.path());
    assert_eq!(run.on_pty().unwrap().ends_with(0), "<5>");
    let names = guest().run(["sh", "-c", "echo $TERM; infocmp -1 | grep -c setaf"]);
    let names = names.env("TERM", "snug-test").env("TERMINFO", dir.path());
    assert_eq!(names.on_pty().unwrap().ends_with(0), "snug-test\r\n1\r\n");
}

#[test]
fn a_forced_terminal_works_without_one_of_the_callers() {
    let out = guest().snug(["run", "-t", "sh", "-c", "tty; stty size"]).run().unwrap().success();
    assert!(out.out().starts_with("/dev/pts/"), "{}", out.out());
}

#[test]
fn sudo_works_on_a_terminal_and_without() {
    assert_eq!(guest().run(["sudo", "id", "-u"]).run().unwrap().success().out(), "0\n");
    assert_eq!(guest().run(["sudo", "id", "-u"]).on_pty().unwrap().ends_with(0), "0\r\n");
}
