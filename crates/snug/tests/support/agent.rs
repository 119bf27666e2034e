//! An agent that plays a guest: it runs what it is asked to on this machine, and knows which commands its guest has.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use snug_wire::message::{Directory, Exec, FailureKind, FromAgent, PROTOCOL, ToAgent};
use snug_wire::socket::{Connection, Descriptors};

/// What it was asked to run.
pub type Asked = Arc<Mutex<Vec<Exec>>>;

/// An agent that serves a container. It goes with the test's process.
pub struct Agent {
    pub asked: Asked,
}

impl Agent {
    /// In the run directory of a container (`STATE/run/UID/NAME`), which is made. `commands`: paths in the guest, and the programs of
    /// this machine that stand for them.
    pub fn serve(directory: &Path, commands: &[(&str, &str)]) -> Self {
        fs::create_dir_all(directory.join("guest")).unwrap();
        fs::write(directory.join("policy"), "version=1\ntrusted=yes\nentry=direct\n").unwrap();
        let socket = directory.join("guest/agent.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(socket).unwrap();
        let asked = Asked::default();
        let commands: BTreeMap<Vec<u8>, PathBuf> =
            commands.iter().map(|(path, program)| (path.as_bytes().to_vec(), program.into())).collect();
        let told = asked.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (commands, told) = (commands.clone(), told.clone());
                let connection = Connection::new(client.unwrap().into(), Descriptors::Accept);
                thread::spawn(move || converse(connection, &commands, &told));
            }
        });
        Self { asked }
    }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn converse(mut connection: Connection, commands: &BTreeMap<Vec<u8>, PathBuf>, asked: &Asked) -> Option<()> {
    let (version, settled) = (b"test".to_vec(), true);
    let hello = FromAgent::Hello { protocol: PROTOCOL, oldest: PROTOCOL, version, settled, offered: true };
    connection.send(&hello, &[], soon()).ok()?;
    let mut streams = BTreeMap::new();
    let exec = loop {
        match connection.receive::<ToAgent>(soon()).ok()?? {
            ToAgent::Fds(numbers) => {
                let descriptors = connection.take_fds(numbers.len()).ok()?;
                streams.extend(numbers.into_iter().zip(descriptors));
            }
            ToAgent::Exec(exec) => break *exec,
            _ => {}
        }
    };
    asked.lock().unwrap().push(exec.clone());
    let end = run(&mut connection, &exec, streams, commands);
    connection.send(&end, &[], soon()).ok()
}

fn run(
    connection: &mut Connection,
    exec: &Exec,
    mut streams: BTreeMap<u32, OwnedFd>,
    commands: &BTreeMap<Vec<u8>, PathBuf>,
) -> FromAgent {
    let words: Vec<&OsStr> = exec.argv.iter().map(|word| OsStr::from_bytes(word)).collect();
    if words[..2.min(words.len())] == [OsStr::new("/.snug/bin/snug-agent"), OsStr::new("find")] {
        let answer: Vec<u8> = exec.argv[2..].iter().flat_map(|word| found(word, commands)).collect();
        let stdout = streams.remove(&1).unwrap();
        rustix::io::write(stdout.as_fd(), &answer).unwrap();
        return FromAgent::Exited(0);
    }
    let Some(program) = commands.get(&exec.argv[0]) else {
        let text = [&exec.argv[0][..], b": no such file in the container"].concat();
        return FromAgent::Failed { kind: FailureKind::NotFound, text };
    };
    let mut command = Command::new(program);
    command.arg0(words[0]).args(&words[1..]).env_clear();
    for variable in &exec.environment {
        let at = variable.iter().position(|byte| *byte == b'=').unwrap();
        command.env(OsStr::from_bytes(&variable[..at]), OsStr::from_bytes(&variable[at + 1..]));
    }
    if let Directory::Same { path, .. } | Directory::Guest(path) = &exec.directory {
        command.current_dir(OsStr::from_bytes(path));
    }
    let mut stream = |number| streams.remove(&number).map_or_else(Stdio::null, Stdio::from);
    let mut child = command.stdin(stream(0)).stdout(stream(1)).stderr(stream(2)).spawn().unwrap();
    drop(command);
    connection.send(&FromAgent::Started { pid: child.id() }, &[], soon()).unwrap();
    // The child's number, which nobody else has before it was waited for.
    let pid = i32::try_from(child.id()).unwrap();
    let mut heard = Connection::new(connection.as_fd().try_clone_to_owned().unwrap(), Descriptors::Accept);
    thread::spawn(move || {
        while let Ok(Some(message)) = heard.receive::<ToAgent>(None) {
            if let ToAgent::Signal(number) = message {
                // SAFETY: a plain system call.
                unsafe { libc::kill(pid, number.into()) };
            }
        }
    });
    let status = child.wait().unwrap();
    match (status.code(), status.signal()) {
        (Some(code), _) => FromAgent::Exited(u8::try_from(code).unwrap()),
        (None, signal) => FromAgent::Killed { signal: u8::try_from(signal.unwrap()).unwrap(), core: false },
    }
}

/// What `snug-agent find` answers for a word. The guest's PATH is `/usr/bin`. A command whose program is gone is gone, too.
fn found(word: &[u8], commands: &BTreeMap<Vec<u8>, PathBuf>) -> Vec<u8> {
    let path = if word.contains(&b'/') { word.to_vec() } else { [b"/usr/bin/", word].concat() };
    let is_there = |program: &PathBuf| program.as_os_str().is_empty() || program.exists();
    [if commands.get(&path).is_some_and(is_there) { path } else { Vec::new() }, vec![0]].concat()
}
