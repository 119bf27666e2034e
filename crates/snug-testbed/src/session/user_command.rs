//! A command as an ordinary user, with an environment of its own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::session::pty::Pty;
use crate::stack::users::Account;
use crate::tool;

/// A command to be run as a user: his ids and groups, a clean environment, his home as directory.
#[derive(Debug, Clone)]
pub struct UserCommand {
    account: Account,
    argv: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: PathBuf,
    input: Vec<u8>,
    deadline: Duration,
}

/// What a command wrote and how it ended.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl UserCommand {
    /// A command as the user with this account.
    pub fn for_account(account: Account, argv: Vec<OsString>) -> UserCommand {
        let mut environment = BTreeMap::new();
        for (key, value) in [
            ("HOME", account.home.as_os_str()),
            ("USER", OsStr::new(&account.name)),
            ("LOGNAME", OsStr::new(&account.name)),
            ("SHELL", OsStr::new(&account.shell)),
            ("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games")),
            ("LANG", OsStr::new("C.UTF-8")),
            ("TERM", OsStr::new("xterm-256color")),
        ] {
            environment.insert(key.into(), value.into());
        }
        let directory = account.home.clone();
        UserCommand {
            account,
            argv,
            environment,
            directory,
            input: Vec::new(),
            deadline: Duration::from_secs(120),
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> UserCommand {
        self.argv.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds one argument.
    pub fn arg(self, arg: impl AsRef<OsStr>) -> UserCommand {
        self.args([arg])
    }

    /// Sets a variable.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> UserCommand {
        self.environment.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Takes a variable away.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> UserCommand {
        self.environment.remove(key.as_ref());
        self
    }

    /// The working directory, under this logical name (`PWD` is set, as a shell would).
    pub fn dir(mut self, dir: impl AsRef<Path>) -> UserCommand {
        self.directory = dir.as_ref().to_owned();
        self
    }

    /// What it reads from stdin; without it, stdin is `/dev/null`.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> UserCommand {
        self.input = bytes.into();
        self
    }

    /// How long it may take (two minutes); then its process group is killed and the result is an error.
    pub fn deadline(mut self, deadline: Duration) -> UserCommand {
        self.deadline = deadline;
        self
    }

    /// The prepared command: for tests that wire its descriptors themselves. The process started is the command
    /// itself (`setpriv` executes it), so its id takes signals.
    pub fn command(&self) -> Command {
        self.prepared(&[])
    }

    /// Starts it with these three streams.
    pub fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        let mut command = self.command();
        command.process_group(0).stdin(stdin).stdout(stdout).stderr(stderr);
        command.spawn().doing(|| format!("starting `{}`", self.shown()))
    }

    /// Runs it to its end, whatever the status.
    ///
    /// # Errors
    /// It could not be started, or took longer than the deadline.
    pub fn run(self) -> Result<Captured> {
        let stdin = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let child = self.spawn(stdin, Stdio::piped(), Stdio::piped())?;
        let shown = self.shown();
        let output = tool::capture(child, self.input, self.deadline, &shown)?;
        Ok(Captured { command: shown, status: output.status, stdout: output.stdout, stderr: output.stderr })
    }

    /// Runs it on a fresh terminal of its own, in a session of its own.
    pub fn on_pty(self) -> Result<Pty> {
        let account = self.account.clone();
        let shown = self.shown();
        // `--ctty` makes stdin the controlling terminal; without a fork, since a child is no group leader here.
        Pty::spawn(self.prepared(&["setsid", "--ctty", "--wait"]), &account, shown, self.deadline)
    }

    fn prepared(&self, wrapper: &[&str]) -> Command {
        let mut argv: Vec<OsString> = wrapper.iter().map(OsString::from).collect();
        // A suite that was started with `&` by a shell without job control, or by nohup, ignores signals: those that a user
        // types would be ignored, too.
        argv.extend(["env", "--default-signal", "setpriv"].map(OsString::from));
        argv.push(format!("--reuid={}", self.account.uid).into());
        argv.push(format!("--regid={}", self.account.gid).into());
        argv.extend(["--init-groups", "--inh-caps=-all", "--"].map(OsString::from));
        argv.extend(self.argv.iter().cloned());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().envs(&self.environment).env("PWD", &self.directory);
        command.current_dir(&self.directory);
        command
    }

    fn shown(&self) -> String {
        let words = self.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        format!("{}$ {words}", self.account.name)
    }
}

impl Captured {
    /// stdout as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The status as a shell would put it: 128+n for death by signal n.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// Itself, if the status is 0; for what is no test.
    ///
    /// # Errors
    /// With what the command wrote to stderr, if it is not.
    pub fn ok(self) -> Result<Captured> {
        if self.code() == 0 {
            return Ok(self);
        }
        Err(Error::Program { how: self.status.to_string(), output: self.err(), command: self.command })
    }

    /// Itself, if the status is 0.
    ///
    /// # Panics
    /// With everything that the command wrote, if it is not.
    #[track_caller]
    pub fn success(self) -> Captured {
        self.ends_with(0)
    }

    /// Itself, if the status is this one.
    ///
    /// # Panics
    /// With everything that the command wrote, if it is not.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Captured {
        assert_eq!(
            self.code(),
            code,
            "status of `{}`\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.out(),
            self.err()
        );
        self
    }
}
