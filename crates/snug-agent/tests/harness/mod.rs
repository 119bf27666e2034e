//! A server of the built agent on this machine, without a container, and clients that speak the protocol to it.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests, outside of #[test] functions")]

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio as ProcessStdio};
use std::time::{Duration, Instant};

use snug_wire::message::{Directory, Exec, FromAgent, PROTOCOL, Stdio, ToAgent, User};
use snug_wire::provision::{Account, Followed, Provision};
use snug_wire::socket::{Connection, Descriptors, connect};

/// A uid that no account of this machine has.
pub const OWNER: u32 = 54321;
/// Far longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn soon() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

pub struct Agent {
    pub directory: tempfile::TempDir,
    process: Child,
}

pub struct Options {
    pub trusted: bool,
    pub grace: u32,
    /// What `boot` of the state directory says.
    pub boot: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self { trusted: true, grace: 300, boot: None }
    }
}

impl Agent {
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    pub fn start_with(options: &Options) -> Self {
        let directory = tempfile::Builder::new().prefix("snug-agent").tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), open).unwrap();
        let home = directory.path().join("home");
        for name in ["run", "state", "home"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        std::os::unix::fs::chown(&home, Some(OWNER), Some(OWNER)).unwrap();
        let provision = Provision {
            owner: Account {
                name: "tester".into(),
                uid: OWNER,
                gid: OWNER,
                group: "tester".into(),
                gecos: String::new(),
                shell: "/bin/bash".into(),
                home: home.clone(),
                home_real: home,
                home_also: None,
            },
            hostname: "guest".into(),
            image: "images:debian/13".into(),
            id: "1f".into(),
            followed: Followed::default(),
            network: None,
            places: Vec::new(),
            session: false,
            host_exec: false,
            host_open: false,
            private: Vec::new(),
            home_shared: true,
            trusted: options.trusted,
            hangup_grace: options.grace,
            reserve: false,
            mirrored: false,
        };
        let text = serde_json::to_vec(&provision).unwrap();
        fs::write(directory.path().join("run/provision.json"), text).unwrap();
        if let Some(boot) = options.boot {
            fs::write(directory.path().join("state/boot"), boot).unwrap();
        }
        let process = Self::spawn(directory.path());
        let agent = Self { directory, process };
        agent.wait_until_it_serves();
        agent
    }

    fn spawn(directory: &std::path::Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_snug-agent"))
            .args(["serve", "--foreground", "--run"])
            .arg(directory.join("run"))
            .arg("--state")
            .arg(directory.join("state"))
            .stdin(ProcessStdio::null())
            .spawn()
            .unwrap()
    }

    /// Another server for the same guest.
    pub fn start_second(&self) -> std::process::ExitStatus {
        Self::spawn(self.directory.path()).wait().unwrap()
    }

    pub fn wait_until_it_serves(&self) {
        let end = Instant::now() + PATIENCE;
        // Connecting is not enough: the spare session of a server that was just killed still holds its socket.
        let greeted = || {
            let mut connection = connect(&self.socket(), PATIENCE, Descriptors::Accept).ok()?;
            connection.receive::<FromAgent>(soon()).ok()?
        };
        while greeted().is_none() {
            assert!(Instant::now() < end, "the agent does not come up");
            std::thread::yield_now();
        }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.process = Self::spawn(self.directory.path());
        self.wait_until_it_serves();
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("run/agent.sock")
    }

    pub fn state(&self, name: &str) -> PathBuf {
        self.directory.path().join("state").join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// A connection that has been greeted.
    pub fn client(&self) -> Client {
        let mut connection = connect(&self.socket(), PATIENCE, Descriptors::Accept).unwrap();
        let hello = connection.receive::<FromAgent>(soon()).unwrap().unwrap();
        assert!(matches!(hello, FromAgent::Hello { protocol: PROTOCOL, .. }), "{hello:?}");
        Client { connection }
    }

    /// Runs a command with its streams captured in pipes that are handed over.
    pub fn capture(&self, exec: Exec) -> Captured {
        let mut exec = exec;
        exec.stdio = [Stdio::Null, Stdio::Passed, Stdio::Passed];
        let (out, out_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (err, err_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut client = self.client();
        client.send_fds(&[(1, out_end.as_fd()), (2, err_end.as_fd())]);
        drop((out_end, err_end));
        client.send(&ToAgent::Exec(Box::new(exec)));
        let reader = std::thread::spawn(move || (read_all(out), read_all(err)));
        let mut messages = Vec::new();
        while let Some(message) = client.receive() {
            let last = is_last(&message);
            messages.push(message);
            if last {
                break;
            }
        }
        let (stdout, stderr) = reader.join().unwrap();
        Captured { stdout, stderr, messages }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn is_last(message: &FromAgent) -> bool {
    matches!(
        message,
        FromAgent::Exited(_) | FromAgent::Killed { .. } | FromAgent::Failed { .. } | FromAgent::Done
    )
}

pub fn read_all(fd: OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut fs::File::from(fd), &mut bytes).unwrap();
    bytes
}

pub struct Captured {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub messages: Vec<FromAgent>,
}

impl Captured {
    pub fn end(&self) -> &FromAgent {
        self.messages.last().unwrap()
    }

    #[track_caller]
    pub fn text(&self) -> String {
        assert_eq!(*self.end(), FromAgent::Exited(0), "{}", String::from_utf8_lossy(&self.stderr));
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

pub struct Client {
    pub connection: Connection,
}

impl Client {
    pub fn send(&mut self, message: &ToAgent) {
        self.connection.send(message, &[], soon()).unwrap();
    }

    pub fn send_fds(&mut self, fds: &[(u32, BorrowedFd<'_>)]) {
        let numbers = fds.iter().map(|fd| fd.0).collect();
        let fds: Vec<_> = fds.iter().map(|fd| fd.1).collect();
        self.connection.send(&ToAgent::Fds(numbers), &fds, soon()).unwrap();
    }

    pub fn receive(&mut self) -> Option<FromAgent> {
        self.connection.receive(soon()).unwrap()
    }

    /// The next message, which must be there.
    #[track_caller]
    pub fn expect(&mut self) -> FromAgent {
        self.receive().expect("the agent has closed the connection")
    }

    #[track_caller]
    pub fn run(&mut self, exec: Exec) -> u32 {
        self.send(&ToAgent::Exec(Box::new(exec)));
        self.expect_started()
    }

    /// Runs a script that says `ready` when it is, and returns then.
    #[track_caller]
    pub fn run_until_ready(&mut self, text: &str) {
        let (out, out_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        self.send_fds(&[(1, out_end.as_fd())]);
        drop(out_end);
        let mut exec = script(text);
        exec.stdio[1] = Stdio::Passed;
        self.run(exec);
        let mut said = [0; 6];
        std::io::Read::read_exact(&mut fs::File::from(out), &mut said).unwrap();
        assert_eq!(&said, b"ready\n");
    }

    #[track_caller]
    pub fn expect_started(&mut self) -> u32 {
        match self.expect() {
            FromAgent::Started { pid } => pid,
            other => panic!("{other:?} instead of Started"),
        }
    }
}

/// A request with everything at its plainest.
pub fn exec(argv: &[&str]) -> Exec {
    Exec {
        protocol: PROTOCOL,
        argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
        environment: vec![b"PATH=/usr/local/bin:/usr/bin:/bin".to_vec()],
        overrides: Vec::new(),
        clean: false,
        login: false,
        early: false,
        user: User::Owner,
        directory: Directory::Guest(b"/".to_vec()),
        stdio: [Stdio::Null; 3],
        terminal: None,
        umask: 0o022,
        limits: Vec::new(),
        ignored: 0,
        further: Vec::new(),
    }
}

/// A script for sh.
pub fn script(text: &str) -> Exec {
    exec(&["sh", "-c", text])
}
