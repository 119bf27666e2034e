//! Connections to the owner's session bus, for programs of a container.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use snug_exec::control::Order;
use snug_exec::session::{Event, Session};
use snug_wire::message::{FailureKind, FromAgent};
use snug_wire::session::RUNTIME_DIRECTORIES;

use super::system::Host;

/// Makes a connection, hands it over, and stays until whoever has it ends: services ask the bus who has connected and look at
/// that process.
pub fn run(host: &Host, session: &mut Session) {
    let bus = match open(host) {
        Ok(bus) => bus,
        Err((kind, text)) => {
            session.tell(&FromAgent::Failed { kind, text: text.into() }, &[]);
            return;
        }
    };
    if !session.tell(&FromAgent::Dialled, &[bus.as_fd()]) {
        return;
    }
    // The bus sees its client's end at once, not when this process has been told of it.
    drop(bus);
    while !matches!(
        session.wait(None),
        Event::ClientGone | Event::Terminate | Event::Order(Order::HangUp { .. })
    ) {}
}

/// Makes what programs make when they start, and cannot make through the link that a container has there: the directory where dconf
/// marks that a setting has changed. Without it each program complains, and reads the settings again each time. It goes with its user's login.
pub fn prepare() {
    // Nobody logged in, or a full file system: then it is as before.
    let _ = DirBuilder::new().mode(0o700).create(runtime_directory().join("dconf"));
}

/// Where a login puts what belongs to it.
pub fn runtime_directory() -> PathBuf {
    Path::new(RUNTIME_DIRECTORIES).join(rustix::process::getuid().as_raw().to_string())
}

fn open(host: &Host) -> Result<OwnedFd, (FailureKind, String)> {
    if !host.joins_bus() {
        return Err((FailureKind::Denied, "the container has no grant `session`".into()));
    }
    prepare();
    let path = runtime_directory().join("bus");
    let connected = UnixStream::connect(&path).map(OwnedFd::from);
    connected.map_err(|error| (FailureKind::Other, format!("{}: {error}", path.display())))
}
