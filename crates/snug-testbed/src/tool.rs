//! Programs of the host, run with a deadline.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Doing, Error, Result};
use crate::process::wait_readable;

/// The search path of everything that the bed starts; sudo's and cron's own are not enough everywhere.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program of the host: no terminal, no input unless given, a deadline always.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    input: Vec<u8>,
    deadline: Duration,
}

/// What a program wrote and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Tool {
    /// A program by name (searched in [`PATH`]) or path, with one minute to live.
    pub fn new(program: impl AsRef<OsStr>) -> Tool {
        let mut command = Command::new(program);
        command.env("PATH", PATH).env("LC_ALL", "C.UTF-8").process_group(0);
        Tool { command, input: Vec::new(), deadline: Duration::from_secs(60) }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Tool {
        self.command.args(args);
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool {
        self.command.arg(arg);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Tool {
        self.command.env(key, value);
        self
    }

    /// What it reads from stdin.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Tool {
        self.input = bytes.into();
        self
    }

    /// How long it may take; after that its process group is killed.
    pub fn deadline(mut self, deadline: Duration) -> Tool {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end. Its own failure is an answer, not an error.
    pub fn run(mut self) -> Result<Output> {
        let shown = shown(&self.command);
        self.command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().doing(|| format!("starting `{shown}`"))?;
        capture(child, self.input, self.deadline, &shown)
    }

    /// Runs it; anything but status 0 is an error that shows what it wrote.
    pub fn ok(self) -> Result<Output> {
        let command = shown(&self.command);
        let output = self.run()?;
        if output.status.success() {
            return Ok(output);
        }
        let written = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        Err(Error::Program { command, how: output.status.to_string(), output: tail(written) })
    }

    /// Whether it can be run and ends with 0.
    pub fn succeeds(self) -> bool {
        self.ok().is_ok()
    }
}

/// Whether a program can be found.
pub fn exists(program: &str) -> bool {
    if program.contains('/') {
        return std::path::Path::new(program).exists();
    }
    PATH.split(':').any(|dir| std::path::Path::new(dir).join(program).exists())
}

/// Feeds and drains a child until it ends or the deadline passes; then its process group is killed.
pub(crate) fn capture(mut child: Child, input: Vec<u8>, deadline: Duration, shown: &str) -> Result<Output> {
    let end = Instant::now() + deadline;
    let pid = Pid::from_child(&child);
    let writer = child.stdin.take().map(|mut stdin| {
        // A child that does not read its input is its own affair: EPIPE is no failure.
        thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let in_time = crate::process::ended_by(pid, end)?;
    if !in_time {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait().doing(|| format!("waiting for `{shown}`"))?;
    // A grandchild may hold the pipes for ever; what was written by then is the answer.
    let stdout = stdout.finish(Duration::from_secs(2));
    let stderr = stderr.finish(Duration::from_secs(2));
    if let Some(writer) = writer.filter(thread::JoinHandle::is_finished) {
        let _ = writer.join();
    }
    if !in_time {
        return Err(Error::Deadline { what: format!("`{shown}` ({})", tail(&stderr)), deadline });
    }
    Ok(Output { status, stdout, stderr })
}

struct Drain(std::sync::mpsc::Receiver<Vec<u8>>);

impl Drain {
    fn finish(self, patience: Duration) -> Vec<u8> {
        let end = Instant::now() + patience;
        let mut all = Vec::new();
        while let Ok(chunk) = self.0.recv_timeout(end.saturating_duration_since(Instant::now())) {
            all.extend(chunk);
        }
        all
    }
}

fn drain<R: Read + Send + 'static + std::os::fd::AsFd>(stream: Option<R>) -> Drain {
    let (sender, receiver) = std::sync::mpsc::channel();
    if let Some(mut stream) = stream {
        thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while wait_readable(&stream, None).is_ok() {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(n) if sender.send(buffer[..n].to_vec()).is_err() => break,
                    Ok(_) => {}
                }
            }
        });
    }
    Drain(receiver)
}

/// The command line as a person would read it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words: Vec<OsString> = vec![command.get_program().to_owned()];
    words.extend(command.get_args().map(OsStr::to_owned));
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
