//! Several programs on one terminal, Snug's and the host's: `snug run a | snug run b`.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod common;

use snug_testbed::{Bed, Container};

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "pipelines", "local:debian/13")
}

fn not_trusted() -> &'static Container<'static> {
    Bed::shared_with("tester", "pipelines-not", "local:minimal/none", &["--preset", "isolated"])
}

fn leaves_the_terminal(line: &str, keys: &[(&str, &str)]) -> String {
    common::leaves_the_terminal(guest(), line, keys)
}

#[test]
fn less_pages_in_each_position_of_a_pipeline() {
    for line in [
        "snug run less ~/pages",
        "snug run cat ~/pages | less",
        "cat ~/pages | snug run less",
        "snug run cat ~/pages | snug run less",
        "seq 1000 | snug run cat | snug run less",
    ] {
        let line = format!("seq 1000 >~/pages; {line}");
        let shown = leaves_the_terminal(&line, &[("\n23", "G"), ("\n1000", "q")]);
        assert!(!shown.contains("500"), "{line}: {shown}");
    }
    guest().shell("rm ~/pages").run().unwrap().success();
}

#[test]
fn two_clients_on_one_terminal_leave_it_as_it_was() {
    for line in [
        "snug run echo a | snug run cat",
        "snug run true | snug run true | snug run true",
        "snug run sh -c 'exit 3' | snug run sh -c 'exit 4'",
        "snug run seq 100000 | snug run head -1",
    ] {
        leaves_the_terminal(line, &[]);
    }
}

#[test]
fn a_password_is_asked_for_without_echo() {
    // As sudo and ssh ask, and as Python's getpass does: `ECHO` alone, which is not to be seen in a terminal without echo.
    for silent in ["-echo -echonl", "-echo"] {
        let ask = format!(
            "stty {silent} </dev/tty; echo ask: >/dev/tty; read p </dev/tty; stty echo </dev/tty; echo got $p"
        );
        for line in [
            format!("snug run sh -c '{ask}' | snug run tr a-z A-Z"),
            format!("snug run true | snug run sh -c '{ask}' | tr a-z A-Z"),
            format!("snug run sh -c '{ask}' | tr a-z A-Z"),
        ] {
            let shown = leaves_the_terminal(&line, &[("ask:", "secret\r")]);
            assert!(shown.contains("GOT SECRET") && !shown.contains("secret"), "{line}: {shown:?}");
        }
    }
}

#[test]
fn a_commands_end_does_not_bring_the_echo_back_into_another_ones_question() {
    // The host's program has turned the echo off before the guest's command ends, and asks after it.
    let ask =
        "stty -echo </dev/tty; cat >/dev/null; echo ask:; read p </dev/tty; stty echo </dev/tty; echo got $p";
    for options in ["", "-c pipelines-not -w /"] {
        let _other = not_trusted();
        for command in ["sleep 1", "sleep 1 </dev/null"] {
            let line = format!("snug run {options} -- sh -c '{command}' | sh -c '{ask}' | tr a-z A-Z");
            let shown = leaves_the_terminal(&line, &[("ASK:", "secret\r")]);
            assert!(shown.contains("GOT SECRET") && !shown.contains("secret"), "{line}: {shown:?}");
        }
    }
}

#[test]
fn an_untrusted_guest_gets_nothing_that_is_typed_for_another_program() {
    let other = not_trusted();
    let steal = "stty -echo -icanon </dev/tty 2>/dev/null; echo ready; cat </dev/tty >~/stolen";
    let ask = "read ready; echo ask:; read p </dev/tty; echo got $p";
    let line = format!("snug run -c pipelines-not -w / -- sh -c '{steal}' </dev/null | sh -c '{ask}'");
    let mut pty = guest().shell(&line).on_pty().expect("it starts");
    pty.until("ask:").expect("it asks");
    pty.line("secret").expect("it is typed");
    pty.until("got secret").expect("the host's program has it");
    pty.close();
    let stolen = other.snug(["run", "-w", "/", "sh", "-c", "cat ~/stolen"]).run().expect("it ends");
    assert!(!stolen.out().contains("secret"), "{}", stolen.out());
}

#[test]
fn what_is_typed_for_a_pipeline_is_shown_once() {
    for line in ["snug run tr a-z A-Z | snug run cat", "snug run tr a-z A-Z | cat"] {
        let shown = leaves_the_terminal(&format!("echo ask; {line}"), &[("ask\r\n", "typed\r\x04")]);
        assert!(shown.contains("typed\r\nTYPED\r\n") && !shown.contains("\r\n\r\n\r\n"), "{line}: {shown:?}");
    }
}

#[test]
fn what_is_typed_ahead_and_its_end_arrive() {
    let slow = "snug run sh -c 'sleep 1; wc -lc' | cat";
    let shown = leaves_the_terminal(&format!("echo ask; {slow}"), &[("ask\r\n", "one\rtwo\r\x04")]);
    assert!(shown.contains("2       8"), "{shown:?}");
}

#[test]
fn a_line_is_for_the_program_that_has_the_terminal_as_its_input() {
    let line = "echo ask; head -1 | snug run tr a-z A-Z";
    for _ in 0..10 {
        let shown = leaves_the_terminal(line, &[("ask\r\n", "line\r")]);
        assert!(shown.contains("line\r\nLINE\r\n"), "{shown:?}");
    }
}

#[test]
fn a_program_that_reads_from_a_pipe_may_ask_on_the_terminal() {
    // What `curl … | sh` does.
    let script = r#"echo "echo ask; read a </dev/tty; echo got-\$a" | snug run sh"#;
    let shown = leaves_the_terminal(script, &[("ask\r\n", "answer\r")]);
    assert!(shown.contains("answer\r\ngot-answer\r\n"), "{shown:?}");
}

#[test]
fn the_terminal_of_a_pipeline_has_its_ordinary_modes() {
    let shown = leaves_the_terminal("snug run sh -c 'stty -a </dev/tty' | cat", &[]);
    for mode in [" icanon ", " echo ", " isig ", " icrnl "] {
        assert!(shown.replace(['\r', '\n', ';'], " ").contains(mode), "{mode}: {shown}");
    }
}

#[test]
fn two_programs_that_want_single_keys_have_them_one_after_the_other() {
    let line = "seq 1000 >~/lines; snug run sh -c 'less ~/lines >/dev/tty; echo done' | \
                snug run sh -c 'read a; less ~/lines; echo $a'";
    let shown = leaves_the_terminal(line, &[("\n23", "q"), ("\n23", "q")]);
    assert!(shown.contains("done"), "{shown:?}");
    guest().shell("rm ~/lines").run().unwrap().success();
}

#[test]
fn a_client_whose_terminal_is_quiet_does_nothing() {
    // Calls of read(2), by /proc/PID/io (proc_pid_io(5)): whoever wakes up reads.
    let reads = |pid: i32| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
    };
    let client =
        "{ echo client=$BASHPID. >/dev/tty; exec snug run sh -c 'echo here >/dev/tty; read a </dev/tty'; }";
    for line in [client.to_owned(), format!("true | {client}"), format!("{client} > >(cat)")] {
        let mut pty = guest().bash(&line).on_pty().unwrap();
        let shown = pty.until("here\r\n").unwrap();
        let pid = shown.split(['=', '.']).nth(1).and_then(|pid| pid.parse().ok()).expect("the client's pid");
        let before = reads(pid);
        for _ in 0..20 {
            guest().run(["true"]).run().unwrap().success();
        }
        // The word that the command has begun may come this late; one that does not sleep reads thousands of times.
        let more = reads(pid) - before;
        assert!(more < 20, "{line}: {more}");
        pty.close();
    }
}
