//! `snug cp`: a tar stream through `snug run`, with the guest's agent at the other end.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use rustix::process::{Signal, set_parent_process_death_signal};
use snug_core::name::ContainerName;
use snug_core::paths::GUEST_AGENT;
use snug_wire::pack::NO_PERMISSION;

use super::arguments::DryRunArgs;
use crate::archive::pack::pack;
use crate::archive::unpack::unpack;
use crate::archive::{ArchiveError, Skipped};
use crate::bus::options::Options;
use crate::context::{Context, parse_name};
use crate::error::{CommandError, Kind};
use crate::progress::Line;
use crate::{completion, entry, words};

/// Copy files into a container or out of it
///
/// One side is NAME:/PATH (or :/PATH for the default container). Directories are copied whole. Modes (less the umask) and
/// times are kept; in the container the files belong to you, or to root with --root.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// What is copied
    #[arg(value_name = "SRC", value_hint = ValueHint::AnyPath, add = ArgValueCompleter::new(completion::places))]
    source: OsString,
    /// Where to: a directory, or the copy's name
    #[arg(value_name = "DST", value_hint = ValueHint::AnyPath, add = ArgValueCompleter::new(completion::places))]
    destination: OsString,
    /// Directories are copied whole anyway; fingers know it
    #[arg(short = 'r', short_alias = 'R', long, hide = true)]
    recursive: bool,
    /// In the container, read and write as root
    #[arg(long)]
    root: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Links that are followed one after the other, as the kernel does (path_resolution(7)).
const LONGEST_CHAIN: usize = 40;

/// Statuses of the agent, and of `snug run` in its place, with which they have told what went wrong.
const TOLD: [i32; 5] = [1, NO_PERMISSION as i32, 125, 126, 127];

/// A side of the copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Host(PathBuf),
    Guest(Option<String>, PathBuf),
}

/// A container and who works in it.
struct Guest<'a> {
    name: &'a ContainerName,
    root: bool,
}

/// Copies.
pub fn execute(context: &Context, args: CpArgs) -> Result<ExitCode, CommandError> {
    let (inwards, name, host, guest_path) = match (side(&args.source)?, side(&args.destination)?) {
        (Side::Host(host), Side::Guest(name, path)) => (true, name, host, path),
        (Side::Guest(name, path), Side::Host(host)) => (false, name, host, path),
        _ => {
            return Err(CommandError::usage("exactly one side has to be in a container")
                .hint("write it as NAME:/PATH: `snug cp notes.txt tools:/tmp`"));
        }
    };
    let name = context.container(name.as_deref())?;
    context.require_host_paths()?;
    if inwards {
        readable(&host)?;
    }
    if args.dry_run.dry_run {
        // The default one would be made. What can be done in it only its end there knows, and that would have to be started.
        if name != context.default_container()? {
            must_exist(context, &name)?;
        }
        let guest = format!("{name}:{}", guest_path.display());
        let (from, to) =
            if inwards { (host.display().to_string(), guest) } else { (guest, host.display().to_string()) };
        context.printer.answer_line(&snug_core::text::escape(&format!("copy {from} to {to}")))?;
        return Ok(ExitCode::SUCCESS);
    }
    // `snug run`, which does the rest, would offer to make it; one that was used before has a directory.
    if !context.paths.container_dir(context.uid(), &name).is_dir() && name != context.default_container()? {
        must_exist(context, &name)?;
    }
    let guest = Guest { name: &name, root: args.root };
    let whole = if inwards {
        copy_in(context, &guest, &host, &guest_path)
    } else {
        copy_out(context, &guest, &guest_path, &host)
    }?;
    Ok(ExitCode::from(u8::from(!whole)))
}

fn must_exist(context: &Context, name: &ContainerName) -> Result<(), CommandError> {
    let bus = context.bus()?;
    let found = bus.get(name.as_str(), &Options::new());
    found.map(drop).map_err(|error| entry::suggest(&bus, name.as_str(), error))
}

/// Names what was left out; whether nothing was.
fn tell(context: &Context, skipped: &[Skipped]) -> bool {
    for Skipped { entry, reason } in skipped {
        context.printer.warning(&format!("left out: {entry}: {reason}"));
    }
    skipped.is_empty()
}

/// `NAME:/PATH` and `:/PATH` are in a container, all else on the host; `./a:/b` is a file of the host.
fn side(word: &OsStr) -> Result<Side, CommandError> {
    let bytes = word.as_bytes();
    let Some(at) = bytes.iter().position(|byte| *byte == b':') else { return Ok(Side::Host(word.into())) };
    let (name, path) = (&bytes[..at], OsString::from_vec(bytes[at + 1..].to_vec()));
    let Ok(name) = std::str::from_utf8(name) else { return Ok(Side::Host(word.into())) };
    if name.contains('/') {
        return Ok(Side::Host(word.into()));
    }
    if !Path::new(&path).is_absolute() {
        let shown = snug_core::text::escape_bytes(bytes);
        return Err(CommandError::usage(format!("the path in '{shown}' is not absolute")).hint(
            "in a container a path starts with '/'; a file of the host with a colon in its name is ./NAME",
        ));
    }
    let name = if name.is_empty() { None } else { Some(parse_name(name)?.to_string()) };
    Ok(Side::Guest(name, path.into()))
}

fn readable(host: &Path) -> Result<(), CommandError> {
    std::fs::metadata(host).map(drop).map_err(|error| {
        CommandError::new(Kind::NotFound, format!("{} cannot be read: {error}", host.display()))
    })
}

/// Whether all was copied.
fn copy_in(context: &Context, guest: &Guest<'_>, host: &Path, path: &Path) -> Result<bool, CommandError> {
    let name = std::path::absolute(host).ok().and_then(|path| path.file_name().map(OsStr::to_owned));
    let name =
        name.ok_or_else(|| CommandError::user(format!("{} has no name to copy under", host.display())))?;
    // Whether that is a directory, into which it goes, only its other end knows.
    let mut child = guest.agent("unpack", &[path.as_os_str(), &name], Stdio::piped(), Stdio::null())?;
    let stdin = child.stdin.take().ok_or_else(|| CommandError::failed("no stream to the container"))?;
    let progress = context.printer.progress();
    let counted = Counted { inner: stdin, line: progress.line("copying"), total: 0, shown: 0 };
    let packed = pack(host, &name, std::io::BufWriter::with_capacity(1 << 17, counted));
    // How the guest's end failed says more than that the pipe to it broke.
    let taken = guest.end(context, &mut child)?;
    match packed {
        Ok(skipped) => Ok(tell(context, &skipped) && taken),
        Err(ArchiveError::Stream(_)) if !taken => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

/// Whether all was copied.
fn copy_out(context: &Context, guest: &Guest<'_>, path: &Path, host: &Path) -> Result<bool, CommandError> {
    let (directory, name) = if host.is_dir() {
        (host, path.file_name())
    } else if host.as_os_str().as_bytes().ends_with(b"/") {
        return Err(CommandError::new(Kind::NotFound, format!("there is no directory {}", host.display())));
    } else {
        (
            host.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            host.file_name(),
        )
    };
    let name =
        name.ok_or_else(|| CommandError::user(format!("{} has no name to copy under", path.display())))?;
    let place = directory;
    let directory: OwnedFd = File::open(directory)
        .map_err(|error| CommandError::user(format!("{} cannot be opened: {error}", directory.display())))?
        .into();
    // A link that was named is followed, as `cp` does. Its target is looked up in the container, where it belongs.
    let mut path = path.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let directory = directory
            .try_clone()
            .map_err(|error| CommandError::failed(format!("no descriptor is left: {error}")))?;
        let mut child = guest.agent("pack", &[path.as_os_str()], Stdio::null(), Stdio::piped())?;
        let stdout =
            child.stdout.take().ok_or_else(|| CommandError::failed("no stream from the container"))?;
        let progress = context.printer.progress();
        let mut counted = Counted { inner: stdout, line: progress.line("copying"), total: 0, shown: 0 };
        let unpacked = unpack(&mut counted, directory, name);
        drop(counted);
        let ended = guest.end(context, &mut child);
        // Why nothing more was read of it comes first: the agent dies of that, or tells that nobody reads.
        match unpacked {
            Err(ArchiveError::Link(target)) => {
                let target = OsString::from_vec(target);
                path = path.parent().unwrap_or(Path::new("/")).join(target);
            }
            // What came is there; the guest said on standard error what it could not read.
            Ok(skipped) => return Ok(tell(context, &skipped) && ended?),
            // The guest said on standard error why it sent nothing, or too little.
            Err(error @ (ArchiveError::Empty | ArchiveError::Stream(_))) => {
                return if ended? { Err(failed(&error)) } else { Ok(false) };
            }
            Err(ArchiveError::Host { path, source }) => {
                let path = place.join(path);
                return Err(CommandError::failed(format!("{} cannot be written: {source}", path.display())));
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    Err(CommandError::failed(format!("{} is one of too many links", path.display())))
}

fn failed(error: &ArchiveError) -> CommandError {
    CommandError::failed(error.to_string())
}

impl Guest<'_> {
    /// This program again, as `snug run`: it has the streams, the starting and the errors already.
    fn agent(
        &self,
        verb: &str,
        arguments: &[&OsStr],
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Child, CommandError> {
        let program = std::env::current_exe()
            .map_err(|error| CommandError::failed(format!("this program cannot be found: {error}")))?;
        let mut command = Command::new(program);
        command.args(["run", "--container", self.name.as_str(), "--no-tty", "--workdir", "/"]);
        if self.root {
            command.arg("--root");
        }
        command.args(["--", GUEST_AGENT, verb]).args(arguments).stdin(stdin).stdout(stdout);
        let with_this = || Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
        // It would go on with a guest that keeps it when this is ended.
        // SAFETY: one system call between fork and exec, without memory or locks.
        unsafe { command.pre_exec(with_this) };
        command.spawn().map_err(|error| CommandError::failed(format!("snug run cannot be started: {error}")))
    }

    /// Waits for the agent's end; whether it could do all that it was to. What it could not, it has told, as `snug run` tells
    /// why there is no agent.
    fn end(&self, context: &Context, child: &mut Child) -> Result<bool, CommandError> {
        let status = child
            .wait()
            .map_err(|error| CommandError::failed(format!("snug run cannot be waited for: {error}")))?;
        if status.code() == Some(NO_PERMISSION.into()) && !self.root {
            context.printer.hint("`--root` reads and writes as root of the container");
        }
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(true),
            // It has told why, as `snug run` has.
            (Some(code), _) if TOLD.contains(&code) => Ok(false),
            (Some(code), _) => {
                Err(CommandError::failed(format!("the copy's end in {} ended with status {code}", self.name)))
            }
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                Err(CommandError::failed(format!(
                    "the copy's end in {} was ended by signal {signal}",
                    self.name
                )))
            }
        }
    }
}

/// Counts what passes, for the progress line.
struct Counted<T> {
    inner: T,
    line: Line,
    total: u64,
    shown: u64,
}

impl<T> Counted<T> {
    fn count(&mut self, count: usize) {
        self.total += count as u64;
        if self.total - self.shown > 1 << 20 {
            self.shown = self.total;
            self.line.stage(&words::size(self.total));
        }
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count(count);
        Ok(count)
    }
}

impl<T: std::io::Write> std::io::Write for Counted<T> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.count(count);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_in_a_container_when_a_name_and_an_absolute_path_say_so() {
        let guest = |name: Option<&str>, path: &str| Side::Guest(name.map(str::to_owned), path.into());
        for (word, expected) in [
            ("a.txt", Side::Host("a.txt".into())),
            ("./a:/b", Side::Host("./a:/b".into())),
            ("/tmp/a:b", Side::Host("/tmp/a:b".into())),
            ("tools:/tmp", guest(Some("tools"), "/tmp")),
            (":/tmp", guest(None, "/tmp")),
            ("tools:/a:b", guest(Some("tools"), "/a:b")),
        ] {
            assert_eq!(side(OsStr::new(word)).unwrap(), expected, "{word}");
        }
        for word in ["tools:tmp", "tools:", "Tools:/tmp", "a b:/x"] {
            assert!(side(OsStr::new(word)).is_err(), "{word}");
        }
    }
}
