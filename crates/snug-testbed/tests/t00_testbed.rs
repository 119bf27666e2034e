//! The test bed's own suite: what the other suites stand on.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use snug_testbed::{Bed, Error, Leaks};

#[test]
fn a_command_of_a_user_has_his_ids_his_home_and_a_clean_environment() {
    let bed = Bed::require();
    let account = bed.account("tester");
    let out = bed.shell("tester", "id -u; id -g; pwd; env").run().unwrap().success().out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], [account.uid.to_string(), account.gid.to_string(), "/home/tester".to_owned()]);
    assert!(lines.contains(&"HOME=/home/tester") && lines.contains(&"USER=tester"));
    assert!(!out.contains("CARGO") && !out.contains("SNUG_TESTBED"));
}

#[test]
fn the_user_atomic_lives_behind_a_link() {
    let bed = Bed::require();
    let out = bed.shell("atomic", "echo $HOME; pwd; pwd -P").run().unwrap().success().out();
    assert_eq!(out, "/home-link/atomic\n/home-link/atomic\n/var/home/atomic\n");
}

#[test]
fn status_output_and_input_are_those_of_the_command() {
    let bed = Bed::require();
    let captured = bed.shell("tester", "cat; echo oops >&2; exit 7").input("in").run().unwrap().ends_with(7);
    assert_eq!((captured.out().as_str(), captured.err().as_str()), ("in", "oops\n"));
    bed.shell("tester", "kill -TERM $$").run().unwrap().ends_with(143);
    bed.as_user("tester", ["no-such-command"]).run().unwrap().ends_with(127);
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_its_children() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let outcome = bed.shell("tester", "sleep 1000 & sleep 1000").deadline(Duration::from_millis(300)).run();
    assert!(matches!(outcome, Err(Error::Deadline { .. })), "{outcome:?}");
    leaks.assert_none();
}

#[test]
fn a_terminal_is_the_users_own_and_takes_keys_sizes_and_hang_ups() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let shell = ["bash", "--norc", "--noprofile"];
    let mut pty = bed
        .as_user("tester", shell)
        .env("PS1", "ready> ")
        .deadline(Duration::from_secs(10))
        .on_pty()
        .unwrap();
    pty.until("ready> ").unwrap();
    pty.resize(40, 123).unwrap();
    pty.line("stty size; stat -c %U $(tty)").unwrap();
    pty.until("40 123").unwrap();
    pty.until("tester").unwrap();
    // A key that comes before the program runs is readline's, which may show no new prompt for it.
    pty.line("sh -c 'echo beg''un; exec sleep 1000'").unwrap();
    pty.until("begun").unwrap();
    pty.write("\x03").unwrap();
    pty.until("ready> ").unwrap();
    pty.line("exit 3").unwrap();
    pty.ends_with(3);
    let line = "trap 'exit 9' HUP; sleep 1000 & echo trap set; wait";
    let mut pty = bed.shell("tester", line).deadline(Duration::from_secs(10)).on_pty().unwrap();
    pty.until("trap set").unwrap();
    pty.close();
    pty.ends_with(9);
    leaks.assert_none();
}

#[test]
fn a_signal_reaches_the_command_on_a_terminal_itself() {
    let bed = Bed::require();
    let mut pty = bed.as_user("tester", ["sleep", "1000"]).on_pty().unwrap();
    pty.signal(Signal::TERM).unwrap();
    pty.ends_with(143);
}

#[test]
fn what_a_test_leaves_over_is_named() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let null = Stdio::null;
    let line = "echo begun; exec sleep 1000";
    let mut child = bed.shell("tester", line).spawn(null(), Stdio::piped(), null()).unwrap();
    // Until then it may be root's program that becomes the user.
    child.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    let left = leaks.left(Duration::ZERO);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(left.iter().any(|line| line.contains("sleep 1000")), "{left:?}");
    leaks.assert_none();
}

#[test]
fn guests_go_on_while_incusd_dies_and_comes_back() {
    let bed = Bed::require();
    bed.restart_incusd(true).unwrap();
    bed.restart_incusd(false).unwrap();
    assert!(bed.incus(["image", "show", "debian/13"]).succeeds());
}
