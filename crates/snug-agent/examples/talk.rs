//! Talks to an agent's socket by hand: `talk SOCKET [--root] [--early] [--home] [--login] [--times N] COMMAND…`,
//! or `talk SOCKET --hello`, `--hang-up-all`, `--relay MIB`.
//!
//! With `--times` it repeats the command and tells how long that took, from connect to the end.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a tool for developers"
)]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use snug_wire::message::{Directory, Exec, FromAgent, PROTOCOL, Stdio, ToAgent, User};
use snug_wire::socket::{Connection, Descriptors, connect};

fn open(socket: &Path) -> Connection {
    let mut connection = connect(socket, Duration::from_secs(2), Descriptors::Accept).unwrap();
    let hello = connection.receive::<FromAgent>(Some(Instant::now() + Duration::from_secs(2))).unwrap();
    assert!(matches!(hello, Some(FromAgent::Hello { .. })), "{hello:?}");
    connection
}

fn run(socket: &Path, exec: &Exec, pass: bool) -> FromAgent {
    let mut connection = open(socket);
    if pass {
        let (output, errors) = (std::io::stdout(), std::io::stderr());
        let fds = [output.as_fd(), errors.as_fd()];
        connection.send(&ToAgent::Fds(vec![1, 2]), &fds, None).unwrap();
    }
    connection.send(&ToAgent::Exec(Box::new(exec.clone())), &[], None).unwrap();
    loop {
        match connection.receive::<FromAgent>(None).unwrap() {
            Some(FromAgent::Started { .. }) => {}
            Some(FromAgent::Notice(text)) => eprintln!("notice: {}", String::from_utf8_lossy(&text)),
            Some(other) => return other,
            None => panic!("the agent closed the connection"),
        }
    }
}

/// Sends so many MiB through a relayed `cat` and tells how fast that was.
fn relay(socket: &Path, exec: &Exec, size: usize) {
    const BLOCK: usize = 1 << 18;
    let mut connection = open(socket);
    let exec = Exec { argv: vec![b"cat".to_vec()], stdio: [Stdio::Relayed; 3], ..exec.clone() };
    let begun = Instant::now();
    connection.send(&ToAgent::Exec(Box::new(exec)), &[], None).unwrap();
    let Some(FromAgent::Streams { token }) = connection.receive::<FromAgent>(None).unwrap() else {
        panic!("no streams")
    };
    let [input, output] = [0, 1].map(|stream| {
        let mut connection = open(socket);
        connection.send(&ToAgent::Attach { token, stream }, &[], None).unwrap();
        std::fs::File::from(connection.into_raw().0)
    });
    let writer = std::thread::spawn(move || {
        let mut input = input;
        for _ in 0..size << 20 >> 18 {
            input.write_all(&vec![7; BLOCK]).unwrap();
        }
    });
    let (mut output, mut received, mut buffer) = (output, 0, vec![0; BLOCK]);
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        received += count;
    }
    writer.join().unwrap();
    assert_eq!(received, size << 20);
    println!("{:.0} MiB/s", received as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64());
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let socket = PathBuf::from(arguments.next().unwrap());
    let mut exec = Exec {
        protocol: PROTOCOL,
        argv: Vec::new(),
        environment: std::env::vars()
            .filter(|(key, _)| ["PATH", "TERM", "LANG"].contains(&key.as_str()))
            .map(|(key, value)| format!("{key}={value}").into_bytes())
            .collect(),
        overrides: Vec::new(),
        clean: false,
        login: false,
        early: false,
        user: User::Owner,
        directory: Directory::Guest(b"/".to_vec()),
        stdio: [Stdio::Null, Stdio::Passed, Stdio::Passed],
        terminal: None,
        umask: 0o022,
        limits: Vec::new(),
        ignored: 0,
        further: Vec::new(),
    };
    let mut times = 0;
    while let Some(option) = arguments.next_if(|argument| argument.starts_with("--")) {
        match option.as_str() {
            "--root" => exec.user = User::Root,
            "--early" => exec.early = true,
            "--home" => exec.directory = Directory::Home,
            "--login" => exec.login = true,
            "--times" => times = arguments.next().unwrap().parse().unwrap(),
            "--hello" => {
                let mut connection = connect(&socket, Duration::from_secs(2), Descriptors::Refuse).unwrap();
                for _ in 0..2 {
                    let deadline = Some(Instant::now() + Duration::from_millis(100));
                    println!("{:?}", connection.receive::<FromAgent>(deadline));
                }
                return ExitCode::SUCCESS;
            }
            "--hang-up-all" => {
                let mut connection = open(&socket);
                let begun = Instant::now();
                connection.send(&ToAgent::HangUpAll { grace: 2000 }, &[], None).unwrap();
                println!("{:?} after {:?}", connection.receive::<FromAgent>(None), begun.elapsed());
                return ExitCode::SUCCESS;
            }
            "--relay" => {
                relay(&socket, &exec, arguments.next().unwrap().parse().unwrap());
                return ExitCode::SUCCESS;
            }
            other => panic!("unknown option {other}"),
        }
    }
    exec.argv = arguments.map(String::into_bytes).collect();
    if times > 0 {
        exec.stdio = [Stdio::Null; 3];
        let mut taken: Vec<Duration> = (0..times)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                let begun = Instant::now();
                assert_eq!(run(&socket, &exec, false), FromAgent::Exited(0));
                begun.elapsed()
            })
            .collect();
        taken.sort_unstable();
        let at = |percent: usize| taken[(taken.len() - 1) * percent / 100];
        println!("median {:?}, 10 % {:?}, 90 % {:?}", at(50), at(10), at(90));
        return ExitCode::SUCCESS;
    }
    match run(&socket, &exec, true) {
        FromAgent::Exited(status) => ExitCode::from(status),
        other => {
            eprintln!("{other:?}");
            ExitCode::from(125)
        }
    }
}
