//! What a login in the guest would find in its environment: asked once per start, in the background, of the guest's
//! own `/etc/profile` as the owner, and bounded in time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};
use snug_exec::environment::{self, key};
use snug_exec::sys::process::{Fork, Strings, fork};
use snug_exec::sys::{descriptor, process, signal};
use snug_exec::system::Identity;
use snug_wire::message::User;

use crate::console;
use crate::files;
use crate::places::Guest;
use crate::session::Context;
use crate::users::Users;

/// A profile that takes longer hangs; a command must not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any sane environment.
const MAX_ANSWER: usize = 1 << 20;
/// The descriptor that the answer goes to: the profile may print what it likes to its own streams.
const ANSWER: i32 = 3;

/// What a login shell sets for itself, and what belongs to the user rather than to the guest.
const NOT_THE_GUESTS: [&[u8]; 13] = [
    b"PWD",
    b"OLDPWD",
    b"SHLVL",
    b"_",
    b"PS1",
    b"PS2",
    b"PS4",
    b"HOME",
    b"USER",
    b"LOGNAME",
    b"SHELL",
    b"MAIL",
    b"XDG_RUNTIME_DIR",
];

/// A question that is asked, or not.
pub enum Probe {
    /// Nothing is asked.
    Idle,
    /// A shell is at work.
    Running {
        /// Leader of its process group.
        shell: Pid,
        /// Its answer.
        answer: OwnedFd,
        /// What has come of it.
        read: Vec<u8>,
        /// When it is given up.
        deadline: Instant,
        /// What the guest's files say.
        base: Vec<Vec<u8>>,
    },
}

impl Probe {
    /// Asks. Stays idle where there is nobody to ask as, or nothing can be started.
    pub fn start(context: &Context) -> Self {
        let owner = context.provision.as_ref().map(|provision| &provision.owner);
        let Some(identity) = Users::new(&context.guest, owner).identify(&User::Owner) else {
            return Self::Idle;
        };
        let base = files_of(&context.guest);
        match ask(&identity, &base) {
            Ok((shell, answer)) => {
                Self::Running { shell, answer, read: Vec::new(), deadline: Instant::now() + PATIENCE, base }
            }
            Err(error) => {
                console::say(format_args!("cannot ask for the login environment: {error}"));
                Self::Idle
            }
        }
    }

    /// What to wait for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Idle => None,
            Self::Running { answer, .. } => Some(answer.as_fd()),
        }
    }

    /// Until when.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Running { deadline, .. } => Some(*deadline),
        }
    }

    /// Whether that is over.
    pub fn is_late(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Takes what has come; the environment when that was all, or all that will come.
    pub fn read(&mut self) -> Option<Vec<Vec<u8>>> {
        let late = self.is_late();
        let Self::Running { shell, answer, read: text, base, .. } = self else { return None };
        let mut buffer = vec![0; 16 << 10];
        let ended = match read(answer, &mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                text.extend_from_slice(&buffer[..count]);
                // print-env ends with an empty string: a profile's background process may hold the pipe for ever.
                text.ends_with(b"\0\0") || text.len() > MAX_ANSWER
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        };
        if !ended && !late {
            return None;
        }
        if late {
            console::say("the guest's /etc/profile takes too long; going on without its environment");
        }
        let _ = kill_process_group(*shell, Signal::KILL);
        let found = merge(std::mem::take(base), environment::split(text));
        *self = Self::Idle;
        Some(found)
    }
}

fn ask(identity: &Identity, base: &[Vec<u8>]) -> Result<(Pid, OwnedFd), std::io::Error> {
    let (answer, speaker) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&answer, OFlags::NONBLOCK)?;
    let program = std::env::current_exe()?;
    match fork()? {
        Fork::Parent(shell) => Ok((shell, answer)),
        Fork::Child => {
            let _ = become_shell(identity, base, &speaker, program.as_os_str().as_encoded_bytes());
            process::exit(127)
        }
    }
}

fn become_shell(
    identity: &Identity,
    base: &[Vec<u8>],
    speaker: &OwnedFd,
    program: &[u8],
) -> std::io::Result<()> {
    rustix::process::setsid()?;
    let entry = &identity.entry;
    let mut variables = vec![[b"PATH=", environment::DEFAULT_PATH].concat()];
    for variable in base {
        let key = key(variable);
        environment::set(&mut variables, key, &variable[key.len() + 1..]);
    }
    for (key, value) in [
        (&b"HOME"[..], &entry.home),
        (b"USER", &entry.name),
        (b"LOGNAME", &entry.name),
        (b"SHELL", &entry.shell),
        (b"SNUG_AGENT", &program.to_vec()),
    ] {
        environment::set(&mut variables, key, value);
    }
    descriptor::close_on_exec_from(3);
    // A pipe end below 3 does not occur: the server's own streams are open.
    if std::os::fd::AsRawFd::as_raw_fd(speaker) == ANSWER {
        rustix::io::fcntl_setfd(speaker, rustix::io::FdFlags::empty())?;
    } else {
        descriptor::place(speaker.as_fd(), ANSWER)?;
    }
    if let Some((soft, hard)) = process::limit(process::OPEN_FILES) {
        let _ = process::set_limit(process::OPEN_FILES, soft.min(1024), hard);
    }
    process::become_user(entry.uid, entry.gid, identity.groups.as_deref().unwrap_or_default())?;
    let _ = rustix::process::chdir("/");
    signal::reset_dispositions(0);
    signal::unblock_all();
    let script = b"[ -r /etc/profile ] && . /etc/profile >/dev/null 2>&1; exec \"$SNUG_AGENT\" print-env >&3";
    let words = [b"sh".to_vec(), b"-c".to_vec(), script.to_vec()];
    Err(process::execute(c"/bin/sh", &Strings::new(words), &Strings::new(variables)).into())
}

/// `snug-agent print-env`: writes its environment for the probe.
pub fn print_environment() -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut text = Vec::new();
    for (key, value) in std::env::vars_os() {
        text.extend_from_slice(&[key.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    text.push(0);
    std::io::stdout().write_all(&text)
}

/// What pam_env(8) would add for every user.
fn files_of(guest: &Guest) -> Vec<Vec<u8>> {
    let mut variables = Vec::new();
    for file in ["/etc/locale.conf", "/etc/default/locale", "/etc/environment"] {
        for (key, value) in parse_file(&files::read(&guest.path(file)).unwrap_or_default()) {
            environment::set(&mut variables, &key, &value);
        }
    }
    variables
}

/// Reads `KEY=VALUE` lines as pam_env(8) does: comments, `export`, one pair of quotes.
fn parse_file(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut variables = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"export ").unwrap_or(line).trim_ascii_start();
        let Some(end) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (key, value) = (&line[..end], &line[end + 1..]);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if key.is_empty() || !key.iter().all(is_name) {
            continue;
        }
        let value = match value {
            [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
            other => other,
        };
        variables.push((key.to_vec(), value.to_vec()));
    }
    variables
}

fn merge(mut base: Vec<Vec<u8>>, answer: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for variable in answer {
        let key = key(&variable).to_vec();
        if key != b"SNUG_AGENT" {
            environment::set(&mut base, &key, &variable[key.len() + 1..]);
        }
    }
    base.retain(|variable| !NOT_THE_GUESTS.contains(&key(variable)));
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_files_are_read_as_pam_reads_them() {
        let text =
            b"# A=1\n\nB=2\nexport C=\"three words\"\nD='x'\n E = no\nF=\"half\n=x\nLANG=de_DE.UTF-8\n";
        let pair = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        let expected = [
            pair("B", "2"),
            pair("C", "three words"),
            pair("D", "x"),
            pair("F", "\"half"),
            pair("LANG", "de_DE.UTF-8"),
        ];
        assert_eq!(parse_file(text), expected);
    }

    #[test]
    fn what_a_shell_sets_for_itself_is_left_out() {
        let answer = environment::split(b"PWD=/\0A=login\0SHLVL=1\0PATH=/usr/bin\0HOME=/x\0\0");
        let found = merge(vec![b"A=file".to_vec(), b"B=file".to_vec()], answer);
        assert_eq!(found, [&b"A=login"[..], b"B=file", b"PATH=/usr/bin"]);
    }
}
