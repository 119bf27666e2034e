//! What `snugd …` does.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::bus::connection;
use crate::bus::service::{self, End};
use crate::daemon::{Daemon, Places};
use crate::error::{Error, ErrorKind, Result};
use crate::work::cleanup;
use crate::{autostart, detachment, follower, lock, server_list};

const HELP: &str = "\
snugd, the daemon of Snug. The bus starts it and it leaves when there is nothing to do.

usage: snugd                    serve org.snug.Snug1 on the system bus
       snugd autostart --boot   start the containers with autostart=boot (snug-autostart.service)
       snugd follow             tell running containers what changes on the host (snug-follow.service)
       snugd list-server URL [CERTIFICATE]
                                print what an image server has, as JSON (snug runs it as the user: the daemon
                                itself has no network)
       snugd detach-all         take Snug out of all its containers, so that they start without it
       snugd --version | --help
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Serve,
    Autostart,
    Follow,
    DetachAll,
    ListServer { url: String, certificate: Option<String> },
    Version,
    Help,
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command> {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Ok(Command::Serve),
        ["autostart", "--boot"] => Ok(Command::Autostart),
        ["follow"] => Ok(Command::Follow),
        ["detach-all"] => Ok(Command::DetachAll),
        ["list-server", url] => Ok(Command::ListServer { url: (*url).to_owned(), certificate: None }),
        ["list-server", url, certificate] => {
            let certificate = Some((*certificate).to_owned());
            Ok(Command::ListServer { url: (*url).to_owned(), certificate })
        }
        ["--version" | "-V"] => Ok(Command::Version),
        ["--help" | "-h" | "help"] => Ok(Command::Help),
        other => {
            Err(Error::new(ErrorKind::InvalidArgument, format!("snugd does not know '{}'", other.join(" ")))
                .hint("snugd --help"))
        }
    }
}

/// Does what the arguments say.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SNUGD_LOG")
                .unwrap_or_else(|_| "info,zbus=warn".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // The journal has its own clock.
        .without_time()
        .init();
    match parse(arguments).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            // Nobody is left to be told of a failure to tell.
            let _ = writeln!(stderr, "error: {}", error.text());
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Help => return Ok(say(HELP)),
        Command::Version => return Ok(say(&format!("snugd {}\n", env!("CARGO_PKG_VERSION")))),
        _ => {}
    }
    return_memory();
    // One thread of ours; what blocks gets its own for as long as it does.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .map_err(|error| Error::system("start the executor", error))?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Autostart => autostart::boot().await,
            Command::Follow => follower::run().await,
            Command::DetachAll => detachment::all(&places()).await.map(|text| say(&text)),
            Command::ListServer { url, certificate } => {
                Ok(say(&server_list::read(&url, certificate.as_deref().map(Path::new)).await))
            }
            _ => serve().await,
        }
    });
    // A thread that waits for a hostile guest must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Has the allocator give back what it does not need. Threads come and go here, each would leave an arena behind (glibc keeps
/// eight for each core), and a big answer of Incus would make it keep blocks of that size: measured after a suite of tests, 24 MiB
/// where 11 are in use.
#[cfg(target_env = "gnu")]
fn return_memory() {
    /// Bytes above which a block is mapped by itself, and of the heap's end that are kept (glibc's defaults, which grow unless they
    /// are set: mallopt(3)).
    const THRESHOLD: libc::c_int = 128 << 10;
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, THRESHOLD), (libc::M_TRIM_THRESHOLD, THRESHOLD)]
    {
        // SAFETY: plain numbers, before there is a second thread. Refused, it stays as it was.
        unsafe { libc::mallopt(parameter, value) };
    }
}

#[cfg(not(target_env = "gnu"))]
fn return_memory() {}

/// Where things are. Tests put them elsewhere; a release does not look at these variables at all.
fn places() -> Places {
    let mut places = Places::default();
    if !cfg!(any(feature = "failpoints", feature = "root-tests")) {
        return places;
    }
    if let Some(socket) = std::env::var_os("SNUG_INCUS_SOCKET") {
        places.incus_socket = Some(socket.into());
    }
    if let Some(root) = std::env::var_os("SNUG_TEST_ROOT") {
        let root = std::path::PathBuf::from(root);
        places.paths = snug_core::paths::Paths::below(&root);
        places.subids.subuid = root.join("etc/subuid");
        places.subids.subgid = root.join("etc/subgid");
        places.subids.password_lock = root.join("etc/.pwd.lock");
    }
    places
}

/// Where the configuration cannot be read.
const IDLE_SECONDS: u32 = 60;

async fn serve() -> Result<ExitCode> {
    let bus = connection::without_descriptors().await.map_err(|error| {
        Error::from(error)
            .hint("is a system bus running? snugd is usually started by it: systemctl start dbus")
    })?;
    let daemon = Daemon::new(bus, places());
    // An earlier daemon that is about to leave ends first: two would not see each other's queues.
    let _lock = lock::take(daemon.paths().clone()).await?;
    // What is wrong with the configuration is told to who calls, with the line.
    let idle_seconds = daemon.config().await.map_or(IDLE_SECONDS, |config| config.idle_seconds);
    let idle = Duration::from_secs(idle_seconds.max(1).into());
    cleanup::begin(&daemon).await;
    match service::run(&daemon, idle).await? {
        End::Idle => tracing::info!("nothing to do: leaving"),
        End::Told => {}
        End::Disconnected => return Err(Error::new(ErrorKind::Failed, "the system bus is gone")),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from));
        assert_eq!(parse(&[]).unwrap(), Command::Serve);
        assert_eq!(parse(&["autostart", "--boot"]).unwrap(), Command::Autostart);
        assert!(parse(&["--force"]).is_err());
    }

    #[test]
    fn the_units_and_the_bus_call_what_exists() {
        for (file, expected) in [
            (include_str!("../../../data/systemd/system/snugd.service"), Command::Serve),
            (include_str!("../../../data/systemd/system/snug-autostart.service"), Command::Autostart),
            (include_str!("../../../data/systemd/system/snug-follow.service"), Command::Follow),
            (include_str!("../../../data/dbus/org.snug.Snug1.service"), Command::Serve),
        ] {
            let lines: Vec<&str> = file.lines().filter(|line| line.starts_with("Exec")).collect();
            let [line] = lines[..] else { panic!("{lines:?}") };
            let (_, arguments) = line.split_once("=/usr/libexec/snug/snugd").unwrap();
            assert_eq!(parse(arguments.split_whitespace().map(OsString::from)).unwrap(), expected);
        }
    }
}
