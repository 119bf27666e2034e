//! The end of a client, whatever its cause, is the end of its command; signals to the client are signals to the command.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, WaitOptions};
use snug_testbed::{Bed, Container, Lifeline};

/// What a shell starts has the shell's traps until it is another program: a signal just then is lost, in any terminal. So the
/// other program says that it is there.
const SLEEPER: &str = "sh -c \"echo up >&9; exec sleep 1000\"";

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "hangup", "local:debian/13")
}

/// `snug run sh -c LINE` without a terminal, descriptor 9 of the command being a lifeline. The child is the client itself.
fn start(line: &str) -> (Child, Lifeline) {
    let life = Lifeline::new(guest().bed(), "tester");
    let host = "exec 9>\"$0\"; exec snug run sh -c \"$1\"";
    let command = guest().bed().as_user("tester", ["sh", "-c", host]).arg(life.path()).arg(line);
    let child = command.env("SNUG_CONTAINER", "hangup").spawn(Stdio::null(), Stdio::null(), Stdio::null());
    (child.expect("the client starts"), life)
}

fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).expect("the client lives");
}

fn is_alive(pid: &str) -> bool {
    guest().run(["kill", "-0", pid]).run().expect("it ends").code() == 0
}

fn end(pid: &str) {
    guest().run(["kill", "-9", pid]).run().expect("it ends").success();
}

#[test]
fn a_killed_client_hangs_up_its_command() {
    // `wait` is ended by a trap at any time; for a signal just before it starts a program a shell first waits for that one.
    let (mut client, mut life) = start(&format!("trap 'echo hung-up >&9; exit' HUP; {SLEEPER} & wait"));
    life.until("up\n");
    signal(&client, Signal::KILL);
    client.wait().unwrap();
    assert_eq!(life.gone(), "hung-up\n");
}

#[test]
fn the_whole_process_group_is_hung_up() {
    let (mut client, mut life) = start(&format!("{SLEEPER} & {SLEEPER} | cat & wait"));
    life.until("up\nup\n");
    signal(&client, Signal::KILL);
    client.wait().unwrap();
    life.gone();
}

#[test]
fn a_command_that_ignores_the_hang_up_is_killed() {
    let (mut client, mut life) = start("trap '' HUP TERM INT; echo ready >&9; while :; do :; done");
    life.until("ready\n");
    signal(&client, Signal::KILL);
    client.wait().unwrap();
    life.gone();
}

#[test]
fn a_command_that_was_stopped_is_hung_up_too() {
    let (mut client, mut life) =
        start("trap 'echo hung-up >&9; exit' HUP; echo ready >&9; kill -STOP $$; sleep 1000");
    life.until("ready\n");
    // The client stops with its command.
    let stopped = rustix::process::waitpid(Some(Pid::from_child(&client)), WaitOptions::UNTRACED).unwrap();
    assert!(stopped.is_some_and(|(_, status)| status.stopped()));
    signal(&client, Signal::KILL);
    client.wait().unwrap();
    assert_eq!(life.gone(), "hung-up\n");
}

#[test]
fn what_detached_itself_lives() {
    for detach in ["setsid", "nohup"] {
        // Not the lifeline's: it is closed for what shall live.
        let line = format!(
            "{detach} sh -c 'echo $$ >&9; exec 9>&-; exec sleep 1000' </dev/null >/dev/null 2>&1 & exec sleep 1000"
        );
        let (mut client, mut life) = start(&line);
        let pid = life.until("\n").trim().to_owned();
        signal(&client, Signal::KILL);
        client.wait().unwrap();
        life.gone();
        assert!(is_alive(&pid), "{detach}");
        end(&pid);
    }
}

#[test]
fn a_closed_terminal_hangs_up_the_command() {
    let mut life = Lifeline::new(guest().bed(), "tester");
    let line = format!(
        "exec 9>{}; exec snug run sh -c 'trap \"echo hung-up >&9; exit\" HUP; {SLEEPER} & wait'",
        life.path().display()
    );
    let mut pty = guest().shell(&line).on_pty().unwrap();
    life.until("up\n");
    pty.close();
    let (status, _) = pty.finish().unwrap();
    assert_eq!(status.signal(), Some(1));
    assert!(life.gone().contains("hung-up\n"));
}

#[test]
fn a_closed_terminal_ends_the_guests_shell_and_its_jobs_but_not_what_was_detached() {
    let mut life = Lifeline::new(guest().bed(), "tester");
    let line = format!("exec 9>{}; exec snug run bash --norc -i", life.path().display());
    let mut pty = guest().shell(&line).env("PS1", "guest> ").on_pty().unwrap();
    pty.until("guest> ").unwrap();
    let line = "sleep 1000 & (trap '' HUP TERM; exec sleep 1000) & \
                nohup sh -c 'echo nohup-$$ >&9; exec 9>&-; exec sleep 1001' >/dev/null 2>&1 &";
    pty.line(line).unwrap();
    let said = life.until("\n");
    let detached = said.trim().trim_start_matches("nohup-").to_owned();
    pty.line("echo $$ >&9; sh -c 'echo ready >&9; sleep 1000'").unwrap();
    let shell = life.until("ready\n").lines().next().unwrap_or_default().to_owned();
    pty.close();
    pty.finish().unwrap();
    // The job that ignores the hang-up has it open still: as on any terminal, it is no command of ours that ends it.
    assert!(life.is_held());
    assert!(is_alive(&detached), "nohup");
    guest().run(["pkill", "-9", "-x", "sleep"]).run().unwrap().success();
    life.gone();
    assert!(!is_alive(&shell), "the shell");
}

#[test]
fn signals_to_the_client_reach_the_command() {
    let line = "exec perl -e 'open F, q(>&=9); for my $s (qw(HUP INT QUIT TERM USR1 USR2)) { \
                $SIG{$s} = sub { syswrite F, qq(got-$s\\n) } } syswrite F, qq(ready\\n); sleep 1 while 1'";
    let (mut client, mut life) = start(line);
    life.until("ready\n");
    for (number, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::TERM, "TERM"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        signal(&client, number);
        life.until(&format!("got-{name}\n"));
    }
    signal(&client, Signal::KILL);
    client.wait().unwrap();
}

#[test]
fn a_signal_that_follows_a_commands_first_word_is_the_commands() {
    // The client may not have heard yet that it has begun.
    for _ in 0..50 {
        let (mut client, mut life) = start("trap 'exit 9' TERM; echo ready >&9; while :; do :; done");
        life.until("ready\n");
        signal(&client, Signal::TERM);
        assert_eq!(client.wait().unwrap().code(), Some(9));
        life.gone();
    }
}

#[test]
fn a_client_that_is_asked_to_stop_stops_with_its_command_and_continues_with_it() {
    let (mut client, mut life) = start("echo $$ ready >&9; exec sleep 1000");
    let said = life.until("ready\n");
    let pid = said.split(' ').next().unwrap_or_default().to_owned();
    let state = |wanted: fn(char) -> bool| {
        // Bounded by attempts, each of which takes a whole command.
        (0..2000).any(|_| {
            let out = guest().run(["ps", "-o", "stat=", "-p", &pid]).run().unwrap().success();
            out.out().starts_with(wanted)
        })
    };
    signal(&client, Signal::TSTP);
    let stopped = rustix::process::waitpid(Some(Pid::from_child(&client)), WaitOptions::UNTRACED).unwrap();
    assert!(stopped.is_some_and(|(_, status)| status.stopped()), "the client");
    assert!(state(|state| state == 'T'), "the command");
    signal(&client, Signal::CONT);
    assert!(state(|state| state != 'T'), "the command again");
    signal(&client, Signal::TERM);
    assert_eq!(client.wait().unwrap().signal(), Some(15));
    life.gone();
}

#[test]
fn a_resize_signal_reaches_a_command_without_a_terminal_too() {
    let (mut client, mut life) = start("trap 'kill $!; exit 9' WINCH; sleep 1000 & echo ready >&9; wait");
    life.until("ready\n");
    signal(&client, Signal::WINCH);
    assert_eq!(client.wait().unwrap().code(), Some(9));
    life.gone();
}

#[test]
fn a_resize_reaches_a_command_with_a_terminal() {
    let line = "trap 'echo winch; exit 9' WINCH; echo ready; while :; do sleep 0.1; done";
    let mut pty = guest().run(["bash", "-c", line]).on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    pty.resize(30, 90).unwrap();
    pty.until("winch\r\n").unwrap();
    pty.ends_with(9);
}

#[test]
fn the_client_dies_of_the_signal_that_ended_its_command() {
    for number in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let (mut client, mut life) = start("ulimit -c 0; echo ready >&9; exec sleep 1000");
        life.until("ready\n");
        signal(&client, number);
        let status = client.wait().unwrap();
        assert_eq!((status.signal(), status.core_dumped()), (Some(number.as_raw()), false));
        life.gone();
    }
}

#[test]
fn a_client_under_nohup_survives_the_hang_up_of_its_terminal() {
    let mut life = Lifeline::new(guest().bed(), "tester");
    let line = format!(
        "exec 9>{}; nohup snug run sh -c 'echo ready >&9; kill -HUP $$; echo alive >&9; exec sleep 1000' \
         </dev/null >/dev/null 2>&1",
        life.path().display()
    );
    let mut pty = guest().shell(&line).on_pty().unwrap();
    life.until("alive\n");
    pty.close();
    let _ = pty.finish();
    assert!(life.is_held());
    guest().run(["pkill", "-9", "-x", "sleep"]).run().unwrap().success();
    life.gone();
}
