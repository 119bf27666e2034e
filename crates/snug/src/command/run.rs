//! `snug run`: the hot path. Until the container turns out not to run, nothing here may touch the bus.

use std::ffi::{OsStr, OsString};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap_complete::{ArgValueCompleter, PathCompleter};
use snug_client::{Directory, Outcome, Request, TerminalChoice, User};
use snug_core::name::ContainerName;

use super::arguments::ContainerArgs;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::context::Context;
use crate::creation;
use crate::error::{CommandError, Kind};
use crate::{completion, entry, env_vars};

/// Run a command in a container
///
/// The command runs where you are, with your environment, and ends as it would have ended on the host. Options before
/// CMD are Snug's, everything after it is CMD's. The container is started when it does not run; the default container
/// is also made when it does not exist.
///
/// Exit status: the command's own; 128 + n when it died of signal n; 125 when Snug itself failed, 126 when the command
/// cannot be executed, 127 when it is not found.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    container: ContainerArgs,
    #[command(flatten)]
    how: HowArgs,
    /// Run in a fresh container that is removed at the end, whatever ends it
    #[arg(long, conflicts_with = "container")]
    rm: bool,
    /// Image of the fresh container; without it, the default image
    #[arg(long, value_name = "IMAGE", requires = "rm", add = ArgValueCompleter::new(completion::images))]
    image: Option<String>,
    /// Preset of the fresh container
    #[arg(long, value_name = "PRESET", requires = "rm", add = ArgValueCompleter::new(completion::presets))]
    preset: Option<String>,
    /// Run as the login shell would: CMD through `-SHELL -c`
    #[arg(long)]
    login: bool,
    /// A descriptor of Snug's own that is written to when Snug itself fails: CMD may end with any status
    #[arg(long, value_name = "FD", hide = true, conflicts_with = "rm")]
    failure_to: Option<RawFd>,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, value_hint = clap::ValueHint::CommandWithArguments, add = ArgValueCompleter::new(PathCompleter::any()))]
    command: Vec<OsString>,
}

impl RunArgs {
    /// `snug run [-c CONTAINER] COMMAND…` and no other option.
    pub fn plain(container: Option<String>, command: Vec<OsString>) -> Self {
        let container = ContainerArgs { container };
        Self {
            container,
            how: HowArgs::default(),
            rm: false,
            image: None,
            preset: None,
            login: false,
            failure_to: None,
            command,
        }
    }
}

#[cfg(test)]
impl RunArgs {
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    pub fn terminal(&self) -> (bool, bool) {
        (self.how.tty, self.how.no_tty)
    }
}

/// How a command runs; the same for `run` and `enter`.
#[derive(Debug, Default, Args)]
pub struct HowArgs {
    /// Directory in the container, from its `/` on; it must exist there
    #[arg(short = 'w', long, value_name = "DIR", value_parser = PathBufValueParser::new().try_map(absolute))]
    workdir: Option<PathBuf>,
    /// Set a variable, or pass yours on when there is no value; several times
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    env: Vec<OsString>,
    /// Start from the container's login environment alone
    #[arg(long)]
    clean_env: bool,
    /// As root of the container
    #[arg(long, conflicts_with = "user")]
    root: bool,
    /// As this user of the container, by name or number
    #[arg(short, long, value_name = "USER")]
    user: Option<OsString>,
    /// With a terminal, even if yours is redirected
    #[arg(short = 't', long = "tty", overrides_with = "no_tty")]
    tty: bool,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", overrides_with = "tty")]
    no_tty: bool,
    /// Accepted because fingers know it; input is always passed on
    #[arg(short = 'i', long)]
    interactive: bool,
    /// Do not wait until the container has booted far enough
    #[arg(long)]
    early: bool,
}

/// The container has no current directory that another path could begin at, and the caller's may be another one there.
fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() { Ok(path) } else { Err("a path in the container begins with `/`".to_owned()) }
}

impl HowArgs {
    /// The request of a command in a container.
    pub fn request(
        self,
        context: &Context,
        container: &ContainerName,
        argv: Vec<OsString>,
        login: bool,
        or_home: bool,
    ) -> Result<Request, CommandError> {
        Ok(Request {
            target: context.target(container),
            argv,
            overrides: overrides(&self.env)?,
            clean: self.clean_env,
            login,
            early: self.early,
            detached: false,
            announced: or_home,
            user: match self.user {
                Some(user) => User::Named(user),
                None if self.root => User::Root,
                None => User::Owner,
            },
            directory: match self.workdir {
                Some(directory) => Directory::Guest(directory),
                None => typed_in(container, or_home)?,
            },
            terminal: TerminalChoice::of(self.tty, self.no_tty),
            quiet: context.printer.is_quiet(),
        })
    }
}

/// Where the command is typed, which may be in a container.
fn typed_in(container: &ContainerName, or_home: bool) -> Result<Directory, CommandError> {
    let same = Directory::Same { or_home };
    let Some(there) = env_vars::non_empty(env_vars::SNUG_GUEST_DIRECTORY) else { return Ok(same) };
    let guest = env_vars::non_empty(env_vars::SNUG_CONTAINER).unwrap_or_default();
    // What asks for this process has compared them.
    let is_here = env_vars::non_empty(env_vars::PWD).is_some_and(|here| here == there);
    if guest == container.as_str() {
        return Ok(Directory::Guest(there.into()));
    }
    if is_here || or_home {
        return Ok(same);
    }
    let (shown, guest) = (Path::new(&there).display(), Path::new(&guest).display());
    Err(CommandError::failed(format!(
        "{shown} is a directory of {guest} alone: {container} does not have it"
    ))
    .hint(format!("`-w DIR` names a directory of {container}")))
}

/// `KEY=VALUE` as it is, `KEY` with the caller's value. A KEY that the caller does not have is left out, as docker and
/// podman do.
fn overrides(given: &[OsString]) -> Result<Vec<(OsString, OsString)>, CommandError> {
    let mut pairs = Vec::new();
    for word in given {
        let bytes = word.as_bytes();
        let (key, value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
            None => (bytes, None),
        };
        let key = OsStr::from_bytes(key);
        if key.is_empty() {
            let shown = snug_core::text::escape_bytes(bytes);
            return Err(CommandError::usage(format!("-e '{shown}' has no name before '='"))
                .hint("write -e KEY=VALUE"));
        }
        if let Some(value) = value.or_else(|| std::env::var_os(key)) {
            pairs.push((key.to_owned(), value));
        }
    }
    Ok(pairs)
}

/// Runs it.
pub fn execute(context: &Context, args: RunArgs) -> Result<ExitCode, CommandError> {
    if args.rm {
        return execute_fresh(context, args);
    }
    // Before anything of this process's is handed over.
    let failure = args.failure_to.map(own_descriptor).transpose()?;
    let first = args.command.first().cloned();
    let container = context.container(args.container.container.as_deref())?;
    let run = || {
        let request = args.how.request(context, &container, args.command, args.login, false)?;
        entry::run(context, &request, &|bus| entry::ensure(context, bus, container.as_str()))
    };
    let outcome = run();
    if let Some(failure) = failure
        && !matches!(&outcome, Ok(outcome) if !is_own_failure(outcome))
    {
        // Whoever does not hear it takes the status for the command's.
        let _ = rustix::io::write(failure, b"!");
    }
    let mut outcome = outcome?;
    if let Outcome::Failed { status: 127, hints, .. } = &mut outcome
        && let Some(name) = first.and_then(|first| own_container(context, &first))
    {
        hints.push(format!("{name} is a container: `snug run -c {name} …` runs a command in it"));
    }
    Ok(entry::finish(context, &outcome))
}

fn is_own_failure(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { status: 125, .. })
}

/// A descriptor that whoever started this process has left to it alone, and not to the command.
fn own_descriptor(number: RawFd) -> Result<OwnedFd, CommandError> {
    let refused =
        |error| CommandError::usage(format!("descriptor {number} cannot be written to")).caused_by(error);
    if number <= 2 {
        return Err(refused(std::io::ErrorKind::InvalidInput.into()));
    }
    // SAFETY: fcntl(2) looks at a number; where it is none of an open descriptor it fails.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(refused(std::io::Error::last_os_error()));
    }
    // SAFETY: it is open, and was left to this option alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A word that is the name of a container of the caller's, as far as its directory tells.
fn own_container(context: &Context, word: &OsStr) -> Option<ContainerName> {
    let name: ContainerName = word.to_str()?.parse().ok()?;
    let directory = context.paths.container_dir(context.uid(), &name);
    directory.is_dir().then_some(name)
}

/// In a container of its own. The daemon knows this process and removes the container when it is gone, whatever ends it;
/// here it is removed in good order, and waited for.
fn execute_fresh(context: &Context, args: RunArgs) -> Result<ExitCode, CommandError> {
    let config = context.config()?;
    let image = args.image.as_deref().unwrap_or(&config.default_image);
    let preset = args.preset.as_deref().unwrap_or(&config.default_preset);
    let container = fresh_name()?;
    let request = args.how.request(context, &container, args.command, args.login, false)?;
    let bus = context.bus()?;
    let image = super::image::file::reference_of(context, &bus, image)?;
    let options = creation::options(context, preset, &[], Options::new())?;
    let options = options.text("image", Some(&image)).switch("temporary", true);
    let create = Change::create(container.as_str(), options)
        .with_administrator(super::create::is_privileged(context, preset, &[]));
    bus.change(&create)?;
    let name = container.as_str();
    let ensure = Change::ensure(name, Options::new());
    let outcome = entry::run(context, &request, &|bus| bus.change(&ensure).map(drop));
    if let Err(error) = remove_fresh(&bus, name) {
        context.printer.error(&error);
        context
            .printer
            .warning(&format!("container {name} is left; snugd removes it when this command has ended"));
    }
    Ok(entry::finish(context, &outcome?))
}

/// Removes the container. A daemon that has just died takes along what was on its way to it, and nobody looks for this
/// container before the next call starts another: that is made here.
fn remove_fresh(bus: &Bus, name: &str) -> Result<(), CommandError> {
    let remove = Change::remove(name, Options::new().switch("force", true)).uncancellable();
    let remove = || bus.change(&remove).map(drop);
    match remove() {
        Err(error) if error.kind == Kind::Unavailable => match remove() {
            // The new daemon has finished what the old one began.
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            result => result,
        },
        result => result,
    }
}

/// A name that nobody else takes: `run-` and 40 random bits.
fn fresh_name() -> Result<ContainerName, CommandError> {
    let mut random = [0; 5];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| CommandError::failed("no random number to be had").caused_by(error))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("run-{digits}").parse()?)
}
