//! Network namespaces as machines, and programs in them.
#![allow(dead_code, reason = "each suite takes what it needs")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests: a panic fails the one that calls")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Nobody's, by whom the host's ports are opened.
pub const OWNER: &str = "65534:65534";

/// A line of words.
pub fn run(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{line}: {status}");
}

/// Waits until `look` finds it. There is no event for what another program does with a file or a socket.
pub fn eventually<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A process in a network namespace of its own, which ends with the test.
pub struct Namespace(Child);

impl Namespace {
    pub fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", "echo ready && exec sleep 600"]);
        command.stdout(Stdio::piped());
        // SAFETY: one system call, which a child between fork and exec may make.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let mut child = command.spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
        Self(child)
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// A line of words, in it.
    pub fn run(&self, line: &str) {
        run(&format!("nsenter --net=/proc/{}/ns/net {line}", self.id()));
    }

    /// A thread in it, which goes on for as long as this process.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let namespace = File::open(format!("/proc/{}/ns/net", self.id())).unwrap();
        thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work();
        });
    }

    /// Ends the process.
    pub fn end(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.end();
    }
}

/// Answers each connection with who it is from and what was said, until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    listener: Option<TcpListener>,
}

impl Server {
    pub fn start(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let ours = listener.try_clone().unwrap();
        thread::spawn(move || {
            for stream in ours.incoming() {
                let Ok(mut stream) = stream else { return };
                thread::spawn(move || {
                    let mut said = Vec::new();
                    stream.read_to_end(&mut said).unwrap();
                    let from = stream.peer_addr().unwrap().ip();
                    write!(stream, "{from} ").unwrap();
                    stream.write_all(&said).unwrap();
                });
            }
        });
        Self { address, listener: Some(listener) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread's `accept` ends with an error then.
        if let Some(listener) = self.listener.take() {
            let _ = socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both);
        }
    }
}
