//! Terminals, relayed streams, signals and the end of a client.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod harness;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use harness::{Agent, Client, Options, PATIENCE, exec, script};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, test_kill_process};
use snug_wire::message::{Exec, FromAgent, Stdio, Terminal, ToAgent, WindowSize};
use snug_wire::socket::{Descriptors, connect};

const SIZE: WindowSize = WindowSize { rows: 31, columns: 97, x_pixels: 0, y_pixels: 0 };

fn on_terminal(text: &str, relayed: bool) -> Exec {
    Exec {
        stdio: [Stdio::Tty; 3],
        terminal: Some(Terminal { size: SIZE, modes: None, terminfo: None, relayed }),
        ..script(text)
    }
}

fn relayed(argv: Exec) -> Exec {
    Exec { stdio: [Stdio::Relayed; 3], ..argv }
}

/// Starts `exec` on a passed terminal: the client and the master.
fn start_on_terminal(agent: &Agent, text: &str) -> (Client, File, Pid) {
    let mut client = agent.client();
    client.send(&ToAgent::Exec(Box::new(on_terminal(text, false))));
    assert_eq!(client.expect(), FromAgent::Pty);
    let master = client.connection.take_fds(1).unwrap().remove(0);
    let pid = client.expect_started();
    (client, File::from(master), Pid::from_raw(pid.cast_signed()).unwrap())
}

/// Reads until `wanted` has come.
#[track_caller]
fn read_until(file: &mut File, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(wanted) {
        let timeout = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&*file, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_ne!(ready, 0, "{wanted:?} does not come, only {text:?}");
        let count = file.read(&mut buffer).unwrap_or(0);
        assert_ne!(count, 0, "{wanted:?} has not come, only {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

/// Everything until the terminal says that nobody has it open.
fn read_rest(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = file.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    bytes
}

fn attach(agent: &Agent, token: [u8; 16], stream: u8) -> OwnedFd {
    let mut connection = connect(&agent.socket(), PATIENCE, Descriptors::Refuse).unwrap();
    connection.receive::<FromAgent>(harness::soon()).unwrap();
    connection.send(&ToAgent::Attach { token, stream }, &[], harness::soon()).unwrap();
    connection.into_raw().0
}

/// Starts `exec` with relayed streams: the client and its token.
fn start_relayed(agent: &Agent, exec: Exec) -> (Client, [u8; 16]) {
    let mut client = agent.client();
    client.send(&ToAgent::Exec(Box::new(exec)));
    let FromAgent::Streams { token } = client.expect() else { panic!("no token") };
    (client, token)
}

#[track_caller]
fn wait_until_gone(pid: Pid) {
    let end = Instant::now() + PATIENCE;
    while test_kill_process(pid).is_ok() {
        assert!(Instant::now() < end, "process {pid:?} is still there");
        std::thread::yield_now();
    }
}

fn pid_in(text: &str) -> Pid {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().unwrap()).unwrap()
}

#[test]
fn a_terminal_has_its_size_and_belongs_to_the_user() {
    let agent = Agent::start();
    let (mut client, mut master, _) =
        start_on_terminal(&agent, "stty size; test -O $(tty) && echo mine; tty; ps -o stat= -p $$");
    assert_eq!(client.expect(), FromAgent::Exited(0));
    let text = String::from_utf8(read_rest(&mut master)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["31 97", "mine"], "{text}");
    assert!(lines[2].starts_with("/dev/pts/"), "{text}");
    assert!(lines[3].contains('+'), "in the foreground: {text}");
}

#[test]
fn nothing_of_a_terminals_output_is_lost_at_the_end() {
    let agent = Agent::start();
    for _ in 0..20 {
        let (mut client, mut master, _) = start_on_terminal(&agent, "seq 1 700");
        assert_eq!(client.expect(), FromAgent::Exited(0));
        // Only now, when the command and its session are gone.
        let text = String::from_utf8(read_rest(&mut master)).unwrap();
        assert!(text.ends_with("700\r\n") && text.lines().count() == 700, "{} lines", text.lines().count());
    }
}

#[test]
fn keys_of_the_terminal_reach_the_foreground_and_stopping_is_told() {
    let agent = Agent::start();
    let (mut client, mut master, _) =
        start_on_terminal(&agent, "echo ready; read line; echo got $line; exec sleep 60");
    read_until(&mut master, "ready");
    master.write_all(b"\x1a").unwrap();
    assert_eq!(client.expect(), FromAgent::Stopped(20));
    client.send(&ToAgent::Resume);
    master.write_all(b"text\n").unwrap();
    read_until(&mut master, "got text");
    master.write_all(b"\x03").unwrap();
    assert_eq!(client.expect(), FromAgent::Killed { signal: 2, core: false });
}

#[test]
fn a_relayed_terminal_works_like_a_passed_one() {
    let agent = Agent::start_with(&Options { trusted: false, ..Options::default() });
    // The resize and the line take different ways: the line is not written before the resize has arrived.
    let text = "stty size; until stty size | grep '^10 '; do :; done; read line; echo got $line; seq 1 3000";
    let request = on_terminal(text, true);
    let (mut client, token) = start_relayed(&agent, request);
    let mut stream = File::from(attach(&agent, token, 3));
    client.expect_started();
    read_until(&mut stream, "31 97");
    client.send(&ToAgent::Resize(WindowSize { rows: 10, ..SIZE }));
    read_until(&mut stream, "10 97");
    stream.write_all(b"text\n").unwrap();
    assert_eq!(client.expect(), FromAgent::Exited(0));
    let text = String::from_utf8(read_rest(&mut stream)).unwrap();
    assert!(text.contains("got text\r\n") && text.ends_with("3000\r\n"), "{text}");
}

#[test]
fn relayed_streams_carry_everything_both_ways() {
    let agent = Agent::start_with(&Options { trusted: false, ..Options::default() });
    let (mut client, token) = start_relayed(&agent, relayed(script("cat; echo done >&2")));
    let (mut input, output, errors) =
        (File::from(attach(&agent, token, 0)), attach(&agent, token, 1), attach(&agent, token, 2));
    client.expect_started();
    let data: Vec<u8> = (0..32_u32 << 18)
        .flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes())
        .collect();
    let expected = data.clone();
    let writer = std::thread::spawn(move || {
        input.write_all(&data).unwrap();
    });
    let received = harness::read_all(output);
    writer.join().unwrap();
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    assert_eq!(harness::read_all(errors), b"done\n");
    assert_eq!(client.expect(), FromAgent::Exited(0));
}

#[test]
fn a_short_command_waits_with_its_output_until_it_is_taken() {
    let agent = Agent::start_with(&Options { trusted: false, ..Options::default() });
    let (mut client, token) = start_relayed(&agent, relayed(exec(&["echo", "hi"])));
    client.expect_started();
    assert_eq!(client.expect(), FromAgent::Exited(0));
    assert_eq!(harness::read_all(attach(&agent, token, 1)), b"hi\n");
}

#[test]
fn a_reader_that_leaves_ends_the_writer() {
    let agent = Agent::start_with(&Options { trusted: false, ..Options::default() });
    let (mut client, token) = start_relayed(&agent, relayed(exec(&["yes"])));
    let mut output = File::from(attach(&agent, token, 1));
    client.expect_started();
    output.read_exact(&mut [0; 2]).unwrap();
    drop(output);
    assert_eq!(client.expect(), FromAgent::Killed { signal: 13, core: false });
}

#[test]
fn a_command_that_closes_its_input_ends_the_sender() {
    let agent = Agent::start_with(&Options { trusted: false, ..Options::default() });
    let (mut client, token) = start_relayed(&agent, relayed(script("exec <&-; sleep 60")));
    let mut input = attach(&agent, token, 0);
    client.expect_started();
    let end = Instant::now() + PATIENCE;
    // A file would turn EPIPE into a signal only if the test let it.
    while rustix::net::send(&mut input, b"data", rustix::net::SendFlags::NOSIGNAL).is_ok() {
        assert!(Instant::now() < end, "the agent goes on reading");
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_goes_to_whoever_has_the_token_and_once() {
    let agent = Agent::start_with(&Options { trusted: false, ..Options::default() });
    let (mut client, token) = start_relayed(&agent, relayed(exec(&["echo", "hi"])));
    assert_eq!(harness::read_all(attach(&agent, [0; 16], 1)), b"");
    assert_eq!(harness::read_all(attach(&agent, token, 7)), b"");
    assert_eq!(harness::read_all(attach(&agent, token, 1)), b"hi\n");
    assert_eq!(harness::read_all(attach(&agent, token, 1)), b"");
    client.expect_started();
}

#[test]
fn signals_reach_the_whole_group() {
    let agent = Agent::start();
    let (out, end) = rustix::pipe::pipe().unwrap();
    let mut client = agent.client();
    client.send_fds(&[(1, end.as_fd())]);
    drop(end);
    let text = "trap 'echo usr1' USR1; trap 'exit 3' TERM; echo ready; while :; do sleep 60 & wait $!; done";
    client.run(Exec { stdio: [Stdio::Null, Stdio::Passed, Stdio::Null], ..script(text) });
    let mut out = File::from(out);
    read_until(&mut out, "ready");
    client.send(&ToAgent::Signal(10));
    // `sleep` dies of it, so the shell's wait ends.
    read_until(&mut out, "usr1");
    client.send(&ToAgent::Signal(200));
    client.send(&ToAgent::Signal(15));
    assert_eq!(client.expect(), FromAgent::Exited(3));
}

#[test]
fn without_its_client_a_command_is_hung_up_and_what_detached_itself_lives() {
    let agent = Agent::start();
    let (out, end) = rustix::pipe::pipe().unwrap();
    let mut client = agent.client();
    client.send_fds(&[(1, end.as_fd())]);
    drop(end);
    // Each tells its number itself, when it is what it is to be; the pause keeps the order.
    let text = "sleeper='echo $$.; exec sleep 300'; setsid sh -c \"$sleeper\" & sleep 0.2; \
                trap '' HUP; sh -c \"$sleeper\" & while :; do wait; done";
    let request = Exec { stdio: [Stdio::Null, Stdio::Passed, Stdio::Null], ..script(text) };
    let command = Pid::from_raw(client.run(request).cast_signed()).unwrap();
    let mut out = File::from(out);
    let text = {
        let mut text = read_until(&mut out, ".");
        while text.matches('.').count() < 2 {
            text.push_str(&read_until(&mut out, "."));
        }
        text
    };
    let mut pids = text.split('.').filter(|part| part.chars().any(|c| c.is_ascii_digit())).map(pid_in);
    let (detached, ignores) = (pids.next().unwrap(), pids.next().unwrap());
    let begun = Instant::now();
    drop(client);
    wait_until_gone(command);
    assert!(begun.elapsed() >= Duration::from_millis(250), "it may go on for the grace");
    for pid in [detached, ignores] {
        assert!(test_kill_process(pid).is_ok(), "only the command itself is killed");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn closing_the_terminal_ends_the_shell_and_its_children() {
    let agent = Agent::start();
    let (client, mut master, command) = start_on_terminal(&agent, "sleep 300 & echo $!.; wait");
    let child = pid_in(read_until(&mut master, ".").split('.').next().unwrap());
    drop((client, master));
    wait_until_gone(command);
    wait_until_gone(child);
}
