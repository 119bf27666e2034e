//! `snug run` and `snug enter` as jobs of a shell: Ctrl-C, Ctrl-Z, Ctrl-\, `fg`, `bg`, and what is stopped or ended by them.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::time::{Duration, Instant};

use snug_testbed::{Bed, Container, Pty};

/// How long a step may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "jobs", "local:debian/13")
}

/// An interactive shell of the host on a terminal, with the prompt `host> `.
fn host_shell() -> Pty {
    let bed = guest().bed();
    let shell = bed.as_user("tester", ["bash", "--norc", "--noprofile", "-i"]);
    let shell = shell.env("SNUG_CONTAINER", "jobs").env("PS1", "host> ").deadline(PATIENCE);
    let mut pty = shell.on_pty().expect("a shell starts");
    pty.until("host> ").expect("a prompt");
    // Bracketed paste and the echo of the line editor only blur what is to be read.
    pty.line("bind 'set enable-bracketed-paste off'").expect("typing");
    pty.until("host> ").expect("a prompt");
    pty
}

fn leave(mut pty: Pty) {
    pty.line("exit 0").expect("typing");
    pty.ends_with(0);
}

#[test]
fn ctrl_c_ends_the_command_and_the_client_dies_of_sigint() {
    let mut pty =
        guest().run(["sh", "-c", "echo ready; exec sleep 1000"]).deadline(PATIENCE).on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x03").unwrap();
    assert_eq!(pty.ends_with(130), "^C");
    let status = pty.finish().unwrap().0;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
}

#[test]
fn ctrl_backslash_quits_the_command_without_a_core_of_the_client() {
    let mut pty = guest()
        .run(["sh", "-c", "ulimit -c 0; echo ready; exec sleep 1000"])
        .deadline(PATIENCE)
        .on_pty()
        .unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x1c").unwrap();
    pty.ends_with(131);
    let status = pty.finish().unwrap().0;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(3));
    assert!(!std::os::unix::process::ExitStatusExt::core_dumped(&status));
}

#[test]
fn ctrl_c_reaches_only_the_foreground_process_of_the_guest() {
    let mut pty = guest()
        .snug(["run", "bash", "--norc", "-i"])
        .env("PS1", "guest> ")
        .deadline(PATIENCE)
        .on_pty()
        .unwrap();
    pty.until("guest> ").unwrap();
    pty.line("sh -c 'echo rea''dy; exec sleep 1000'").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x03").unwrap();
    pty.until("guest> ").unwrap();
    pty.line("echo status-$?").unwrap();
    pty.until("status-130\r\n").unwrap();
    // At the prompt it ends nothing at all.
    pty.until("guest> ").unwrap();
    pty.write("\x03").unwrap();
    // readline shows its prompt again, and goes on, with the next key: a space, which may be lost.
    pty.line(" echo still-$((40+2)); exit 5").unwrap();
    pty.until("still-42\r\n").unwrap();
    pty.ends_with(5);
}

#[test]
fn a_command_that_handles_ctrl_c_goes_on() {
    // bash looks for signals before it waits in read(2), and misses one that comes in between until the next line: once
    // in a thousand times, on any terminal. A read that ends each second sees it then.
    let line = "trap 'echo caught' INT; echo ready; until read -t 1 x; do :; done; read y; echo got $y";
    let mut pty = guest().run(["bash", "-c", line]).deadline(PATIENCE).on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x03").unwrap();
    pty.until("caught").unwrap();
    pty.line("one").unwrap();
    pty.line("two").unwrap();
    assert!(pty.ends_with(0).ends_with("got two\r\n"));
}

#[test]
fn an_interactive_loop_ends_at_ctrl_c() {
    let mut pty = host_shell();
    pty.line("for n in 1 2 3; do snug run sh -c 'echo rou''nd-$0; exec sleep 1000' $n; done; echo status-$?")
        .unwrap();
    pty.until("round-1\r\n").unwrap();
    pty.write("\x03").unwrap();
    let shown = pty.until("host> ").unwrap();
    assert!(!shown.contains("round-2"), "{shown}");
    leave(pty);
}

#[test]
fn the_loop_of_a_script_ends_at_ctrl_c() {
    for shell in ["sh", "bash"] {
        let line =
            "for n in 1 2 3; do snug run sh -c 'echo round-$0; exec sleep 1000' $n; done; echo not-reached";
        let bed = guest().bed();
        let mut pty = bed
            .as_user("tester", [shell, "-c", line])
            .env("SNUG_CONTAINER", "jobs")
            .deadline(PATIENCE)
            .on_pty()
            .unwrap();
        pty.until("round-1\r\n").unwrap();
        pty.write("\x03").unwrap();
        let shown = pty.ends_with(130);
        assert!(!shown.contains("round-2") && !shown.contains("not-reached"), "{shell}: {shown}");
    }
}

#[test]
fn ctrl_z_stops_and_fg_continues() {
    let mut pty = host_shell();
    for _ in 0..3 {
        pty.line("snug run sh -c 'echo rea''dy; read a; echo got-$a'").unwrap();
        pty.until("ready\r\n").unwrap();
        pty.write("\x1a").unwrap();
        pty.until("Stopped").unwrap();
        pty.until("host> ").unwrap();
        pty.line("echo at-the-$((1+1))nd-prompt").unwrap();
        pty.until("at-the-2nd-prompt\r\n").unwrap();
        pty.until("host> ").unwrap();
        pty.line("fg").unwrap();
        pty.until("snug run").unwrap();
        pty.line("answer").unwrap();
        pty.until("got-answer\r\n").unwrap();
        pty.until("host> ").unwrap();
    }
    leave(pty);
}

#[test]
fn ctrl_z_in_a_pipeline_stops_all_of_it() {
    let mut pty = host_shell();
    // Perl's handlers run between its steps alone: one that is not yet in the middle of reading would wait for the line.
    let asks = "open T, q(+<), q(/dev/tty); $SIG{CONT} = sub { syswrite T, qq(awa) . qq(ke\\n); $woken = 1 }; \
                syswrite T, qq(rea) . qq(dy\\n); select undef, undef, undef, 0.1 until $woken; \
                $a = <T>; print qq(got-$a)";
    pty.line(format!("snug run perl -e '{asks}' | snug run tr a-z A-Z")).unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x1a").unwrap();
    pty.until("Stopped").unwrap();
    pty.until("host> ").unwrap();
    pty.line("fg").unwrap();
    pty.until("awake\r\n").unwrap();
    pty.line("x").unwrap();
    pty.until("GOT-X\r\n").unwrap();
    pty.until("host> ").unwrap();
    leave(pty);
}

#[test]
fn a_command_in_the_background_runs_and_leaves_the_terminal_alone() {
    let mut pty = host_shell();
    pty.line("snug run sh -c 'echo backgr''ound' & wait; echo wai''ted-$?").unwrap();
    let shown = pty.until("waited-0\r\n").unwrap();
    assert!(shown.contains("background\r\n"), "{shown}");
    pty.until("host> ").unwrap();
    pty.line("echo sane-$((1+1))").unwrap();
    pty.until("sane-2\r\n").unwrap();
    pty.until("host> ").unwrap();
    leave(pty);
}

#[test]
fn a_background_command_gets_the_keyboard_with_fg() {
    let mut pty = host_shell();
    pty.line("snug run sh -c 'echo rea''dy; read a; echo got-$a' &").unwrap();
    pty.until("ready").unwrap();
    pty.line("fg").unwrap();
    pty.until("snug run").unwrap();
    // The shell shows the command before it gives the terminal away.
    let end = Instant::now() + PATIENCE;
    while pty.foreground().unwrap() == pty.pid() {
        assert!(Instant::now() < end, "fg gives the terminal away");
        std::thread::yield_now();
    }
    pty.line("words").unwrap();
    pty.until("got-words\r\n").unwrap();
    pty.until("host> ").unwrap();
    leave(pty);
}

#[test]
fn a_stopped_command_goes_on_in_the_background() {
    let mut pty = host_shell();
    pty.line("mkfifo ~/go; snug run sh -c 'echo rea''dy; read a <~/go; echo got-$a >~/went'").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x1a").unwrap();
    pty.until("Stopped").unwrap();
    pty.until("host> ").unwrap();
    pty.line("bg; echo on >~/go; wait; cat ~/went; rm ~/went ~/go").unwrap();
    pty.until("got-on\r\n").unwrap();
    pty.until("host> ").unwrap();
    leave(pty);
}

#[test]
fn job_control_works_in_the_guests_shell() {
    let mut pty = guest()
        .snug(["run", "bash", "--norc", "-i"])
        .env("PS1", "guest> ")
        .deadline(PATIENCE)
        .on_pty()
        .unwrap();
    assert!(!pty.until("guest> ").unwrap().contains("no job control"));
    pty.line("sh -c 'echo rea''dy; read a; echo got-$a'").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x1a").unwrap();
    pty.until("Stopped").unwrap();
    pty.until("guest> ").unwrap();
    pty.line("jobs").unwrap();
    pty.until("[1]+").unwrap();
    pty.until("guest> ").unwrap();
    pty.line("fg").unwrap();
    // The shell shows the command when the terminal is its own no more.
    pty.until("got-$a'\r\n").unwrap();
    pty.line("answer").unwrap();
    pty.until("got-answer\r\n").unwrap();
    pty.until("guest> ").unwrap();
    pty.line("exit 0").unwrap();
    pty.ends_with(0);
}

#[test]
fn a_command_in_a_session_of_its_own_has_the_keyboard_of_the_job_that_waits_for_it() {
    let mut pty = host_shell();
    // As `su -c` has its command, too. A shell could lose the interrupt while it starts another program.
    pty.line("setsid -w snug run sed -u s/^/got-/; echo sta''tus $?").unwrap();
    pty.line("answer").unwrap();
    pty.until("got-answer\r\n").unwrap();
    pty.write("\x03").unwrap();
    // Which it is, is setsid's word: the client died of the signal.
    pty.until("status ").unwrap();
    pty.until("host> ").unwrap();
    // One that nobody in front waits for leaves the keyboard to the shell.
    pty.line("(setsid snug run sh -c 'echo rea\"\"dy; read word; echo got-$word' &) ; sleep 1").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.line("echo of-the-sh''ell").unwrap();
    pty.until("of-the-shell\r\n").unwrap();
    leave(pty);
}

#[test]
fn enter_gives_a_login_shell_in_the_callers_directory() {
    let mut pty = guest().snug(["enter", "jobs"]).deadline(PATIENCE).on_pty().unwrap();
    pty.line("shopt -q login_shell && echo lo''gin-$PWD-$(hostname); exit 7").unwrap();
    pty.until("login-/home/tester-jobs\r\n").unwrap();
    pty.ends_with(7);
}

#[test]
fn the_terminal_knows_while_a_containers_shell_is_in_front_and_of_no_single_command() {
    let (push, pop) = ("\x1b]777;container;push;jobs;snug\x1b\\", "\x1b]777;container;pop;;\x1b\\");
    let mut pty = host_shell();
    pty.line("snug enter -- sh -c 'echo now; kill -STOP $$; echo again; read x'").unwrap();
    let before = pty.until("now\r\n").unwrap();
    assert!(before.contains(push) && !before.contains(pop), "{before:?}");
    let stopped = pty.until("host> ").unwrap();
    assert!(stopped.contains(pop), "{stopped:?}");
    pty.line("fg").unwrap();
    let again = pty.until("again\r\n").unwrap();
    assert!(again.contains(push), "{again:?}");
    pty.write("\x03").unwrap();
    let ended = pty.until("host> ").unwrap();
    assert!(ended.contains(pop) && !ended.contains(push), "{ended:?}");
    pty.line("snug run true").unwrap();
    assert!(!pty.until("host> ").unwrap().contains("777"));
    leave(pty);
}
