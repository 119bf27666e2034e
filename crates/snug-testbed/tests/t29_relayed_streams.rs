//! Streams and terminals of an isolated container's commands, which are relayed: the command and its caller must not notice.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{answer, eventually};
use rustix::process::Signal;
use snug_testbed::{Bed, Container};

fn guest() -> &'static Container<'static> {
    Bed::shared_with("tester", "relayed", "local:debian/13", &["--preset", "isolated"])
}

/// stdout of a line of bash on the host that ends with 0 and prints nothing on stderr.
#[track_caller]
fn says(line: &str) -> String {
    let out = guest().bash(line).run().expect("it ends").success();
    assert_eq!(out.err(), "");
    out.out()
}

#[test]
fn the_three_streams_stay_three() {
    let out = guest()
        .snug(["run", "-w", "/", "sh", "-c", "cat; echo err >&2; echo out"])
        .input("in\n")
        .run()
        .unwrap()
        .success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("in\nout\n", "err\n"));
}

#[test]
fn each_combination_of_terminals_and_others_is_seen_as_it_is() {
    // The container has a home of its own: the marks are written and read there.
    let isatty = "exec 9>>~/isatty; for n in 0 1 2; do if test -t $n; then printf 1 >&9; else printf 0 >&9; fi; done; \
                  echo >&9";
    for (no_in, no_out) in [("</dev/null", ">/dev/null"), ("<~/empty", ">>~/empty"), ("< <(:)", "> >(cat)")] {
        let mut line = String::from("snug run -w / sh -c 'rm -f ~/isatty' </dev/null; : >~/empty; ");
        let mut expected = String::new();
        for bits in 0..8 {
            let redirect = |bit: i32, number: &str, other: &str| {
                if bits & bit != 0 { String::new() } else { format!("{number}{other} ") }
            };
            let streams = redirect(4, "", no_in) + &redirect(2, "1", no_out) + &redirect(1, "2", no_out);
            line += &format!("snug run -w / sh -c '{isatty}' {streams}; ");
            expected += &format!("{bits:03b}\n");
        }
        line += "echo; snug run -w / sh -c 'cat ~/isatty'; rm ~/empty";
        let shown = guest().bash(&line).on_pty().unwrap().ends_with(0).replace('\r', "");
        assert!(shown.ends_with(&expected), "with {no_in}: {shown}");
    }
}

#[test]
fn binary_data_passes_both_ways_with_the_same_hash() {
    let line = "head -c 256M /dev/urandom >~/data; \
                cmp <(sha256sum <~/data) <(cat ~/data | snug run -w / cat | sha256sum) && echo same; rm ~/data";
    assert_eq!(says(line), "same\n");
}

#[test]
fn a_reader_that_leaves_ends_the_command_and_a_command_that_reads_no_more_the_writer() {
    assert_eq!(says("set -o pipefail; snug run -w / yes | head -1; echo $?"), "y\n141\n");
    assert_eq!(says("yes | snug run -w / head -1; echo ${PIPESTATUS[0]}"), "y\n141\n");
}

#[test]
fn process_substitutions_arrive() {
    let out = guest().bash("snug run -w / diff <(echo a) <(echo b)").run().unwrap().ends_with(1);
    assert_eq!(out.out(), "1c1\n< a\n---\n> b\n");
    assert_eq!(says("snug run -w / sort --files0-from=<(printf /etc/hostname)"), "relayed\n");
    assert_eq!(says("snug run -w / tee >(tr a-z A-Z) <<<hi >/dev/null | cat"), "HI\n");
    let line = "cmp <(seq 1000000) <(snug run -w / cat <(seq 1000000)) && echo same";
    assert_eq!(says(line), "same\n");
}

#[test]
fn what_a_command_leaves_behind_keeps_its_client_and_a_signal_ends_that() {
    // As a pipe does on the host; there a signal would end whoever reads it.
    let line = "snug run -w / sh -c 'echo said; setsid sleep 1000 &' >~/left & sleep 2; kill -TERM $!; wait $!; \
                echo $?; cat ~/left; rm ~/left";
    assert_eq!(guest().bash(line).run().unwrap().success().out(), "143\nsaid\n");
}

#[test]
fn what_no_argument_names_is_neither_there_nor_read() {
    let listed = says("snug run -w / ls /proc/self/fd 7</etc/hostname");
    assert!(listed.contains("\n2\n") && !listed.contains("\n7\n"), "{listed}");
    let line = "while read -ru 3 word; do snug run -w / echo $word </dev/null; done 3< <(seq 5) | sha256sum";
    assert_eq!(says(line), says("seq 5 | sha256sum"));
}

#[test]
fn a_command_may_leave_a_named_descriptor_unread() {
    assert_eq!(says("snug run -w / echo <(yes) | grep -c ^/dev/fd/"), "1\n");
    assert_eq!(says("snug run -w / true >(cat); echo $?"), "0\n");
}

#[test]
fn what_a_command_says_is_there_at_once_and_not_at_its_end() {
    for _ in 0..6 {
        let run = guest().snug(["run", "-w", "/", "sh", "-c", "echo said; read line; echo $line"]);
        let mut client = run.spawn(Stdio::piped(), Stdio::piped(), Stdio::null()).unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
        // It ends only when it was heard.
        assert_eq!(said.next().unwrap().unwrap(), "said");
        client.stdin.take().unwrap().write_all(b"heard\n").unwrap();
        assert_eq!(said.next().unwrap().unwrap(), "heard");
        assert!(client.wait().unwrap().success());
    }
}

#[test]
fn the_size_of_the_terminal_is_right_at_first_and_after_each_resize() {
    let line = "old=$(stty size); echo first: $old; while :; do new=$(stty size); \
                [ \"$new\" = \"$old\" ] || echo $new; old=$new; done";
    let mut pty = guest().snug(["run", "-w", "/", "sh", "-c", line]).on_pty().unwrap();
    pty.until("first: 24 80\r\n").unwrap();
    for (rows, columns) in [(40, 100), (10, 20)] {
        pty.resize(rows, columns).unwrap();
        pty.until(&format!("{rows} {columns}\r\n")).unwrap();
    }
    pty.write("\x03").unwrap();
    pty.ends_with(130);
}

#[test]
fn a_signal_to_the_client_ends_the_command_and_restores_the_terminal() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT, Signal::INT] {
        let line = "ulimit -c 0; echo ready; exec sleep 1000";
        let mut pty = guest().snug(["run", "-w", "/", "sh", "-c", line]).on_pty().unwrap();
        let unused = guest().shell("sleep 0").on_pty().unwrap();
        pty.until("ready\r\n").unwrap();
        assert_ne!(common::modes(&pty), common::modes(&unused), "raw while it runs");
        pty.signal(signal).unwrap();
        pty.ends_with(128 + signal.as_raw());
        assert_eq!(common::modes(&pty), common::modes(&unused), "{signal:?}");
    }
}

#[test]
fn ctrl_z_stops_the_command_and_fg_goes_on_with_it() {
    let shell = guest().bed().as_user("tester", ["bash", "--norc", "--noprofile", "-i"]);
    let mut pty = shell.env("SNUG_CONTAINER", "relayed").env("PS1", "host> ").on_pty().unwrap();
    pty.until("host> ").unwrap();
    pty.line("bind 'set enable-bracketed-paste off'").unwrap();
    pty.until("host> ").unwrap();
    pty.line("snug run -w / sh -c 'echo rea''dy; read word; echo got-$word; exit 5'").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x1a").unwrap();
    pty.until("Stopped").unwrap();
    pty.until("host> ").unwrap();
    pty.line("fg").unwrap();
    pty.until("snug run").unwrap();
    pty.line("it").unwrap();
    pty.until("got-it\r\n").unwrap();
    pty.until("host> ").unwrap();
    pty.line("exit $?").unwrap();
    pty.ends_with(5);
}

#[test]
fn a_killed_client_hangs_up_its_command_and_one_that_ignores_it_is_killed() {
    for (trap, said) in [("echo hung-up >~/said; exit", "hung-up"), ("", "")] {
        let line = format!("rm -f ~/said; trap '{trap}' HUP; echo $$; while :; do sleep 0.1; done");
        let run = guest().snug(["run", "-w", "/", "sh", "-c", &line]);
        let mut client = run.spawn(Stdio::null(), Stdio::piped(), Stdio::null()).unwrap();
        let mut pid = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        let alive =
            format!("if kill -0 {}; then echo alive; fi 2>/dev/null; cat ~/said 2>/dev/null", pid.trim());
        let look = || answer(guest().snug(["run", "-w", "/", "sh", "-c", &format!("{alive}; :")]));
        eventually("the command ends", || look() == said);
    }
}
