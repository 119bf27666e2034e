//! Process 1 of the guest, until it becomes the guest's own init: the agent answers before that has done anything.
//!
//! Whatever fails here is told on the console and gone past: a guest that boots can be repaired.

mod process_one;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::process::Pid;

use crate::console;
use crate::places::{Guest, Places};
use crate::provision;
use crate::server::{self, Server};
use snug_exec::cgroup::Tree;
use snug_exec::sys::process::{Fork, Strings, c_string, execute, fork_into};
use snug_exec::sys::{process, signal};

/// Where a guest's init may be, in the order of preference.
const INITS: [&str; 7] = [
    "/sbin/init",
    "/usr/sbin/init",
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/etc/init",
    "/bin/init",
    "/init",
];

/// What kind of init the guest has, as far as the agent must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tells us by a unit of ours when early boot is done.
    Systemd,
    /// Leaves marks of the services that it has started.
    OpenRc,
    /// Anything else.
    Other,
    /// The image has none: the agent stays.
    None,
}

impl Kind {
    /// Signals that are to wait until its process 1 reads them. LXC stops a guest by `SIGRTMIN+3` where its process 1 blocks
    /// that one, and by `SIGPWR` else (liblxc's `task_blocks_signal`); before systemd has set its own mask the latter is
    /// lost, since process 1 gets no signal that it does not handle (pid_namespaces(7)): a stop in the first moments of
    /// a boot would wait for its timeout. systemd keeps the mask it is started with until it reads them by signalfd.
    fn held_signals(self) -> Vec<i32> {
        match self {
            Self::Systemd | Self::None => vec![libc::SIGRTMIN() + 3],
            Self::OpenRc | Self::Other => Vec::new(),
        }
    }
}

/// Runs as process 1. Returns only when the guest has no init and has been told to stop.
pub fn run() {
    let places = Places::default();
    let guest = Guest::default();
    let kind = kind_of_init(&guest);
    signal::block_only(&kind.held_signals());
    let provision = server::read_provision(&places);
    step("/run", provision::mounts::mount_run(&guest));
    step("the agent's directory", prepare_state(&places, kind));
    if let Some(provision) = &provision {
        provision::apply(&guest, &places, provision, kind);
    }
    let tree = Tree::prepare(provision.as_ref().map(|provision| provision.owner.uid));
    let server = start_server(&places, tree.as_ref());
    become_init(&guest, kind);
    process_one::stay(server.ok(), || start_server(&places, tree.as_ref()).ok());
}

/// Tells what failed, and goes on.
fn step<T>(what: &str, result: io::Result<T>) {
    if let Err(error) = result {
        console::say(format_args!("{what}: {error}"));
    }
}

fn prepare_state(places: &Places, kind: Kind) -> io::Result<()> {
    fs::create_dir_all(&places.state)?;
    match kind {
        Kind::Systemd => {
            provision::systemd::write_ready_units(&Guest::default(), places)?;
            fs::write(places.boot(), server::BY_UNIT)
        }
        Kind::OpenRc => fs::write(places.boot(), server::BY_OPENRC),
        Kind::Other | Kind::None => Ok(()),
    }
}

/// Starts the server in a session and a control group of its own: systemd moves every process of the root group into
/// its `init.scope`, and ends what it finds there.
fn start_server(places: &Places, tree: Option<&Tree>) -> io::Result<Pid> {
    let group = tree.and_then(|tree| tree.open_server().ok());
    match fork_into(group.as_ref().map(AsFd::as_fd))? {
        Fork::Parent(child) => Ok(child.pid),
        Fork::Child => {
            process::belong_to_nobody();
            match Server::open(places.clone(), tree.cloned()) {
                Ok(server) => server.run(),
                Err(error) => console::say(error),
            }
            process::exit(0)
        }
    }
}

/// What the guest's init is, by the file that it would be started from.
fn kind_of_init(guest: &Guest) -> Kind {
    let Some(path) = INITS.iter().map(|path| guest.path(path)).find(|path| is_executable(path)) else {
        return Kind::None;
    };
    let real = fs::canonicalize(&path).unwrap_or(path);
    if real.file_name().is_some_and(|name| name == "systemd") {
        return Kind::Systemd;
    }
    let empties_tmp = fs::symlink_metadata(guest.path("/etc/runlevels/boot/bootmisc")).is_ok();
    if empties_tmp && ["/sbin/openrc", "/usr/sbin/openrc"].iter().any(|path| guest.path(path).exists()) {
        return Kind::OpenRc;
    }
    Kind::Other
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Returns only where nothing could be started.
fn become_init(guest: &Guest, kind: Kind) {
    let environment = Strings::new(
        std::env::vars_os().map(|(key, value)| [key.into_vec(), b"=".to_vec(), value.into_vec()].concat()),
    );
    // Rust ignores SIGPIPE; what is ignored stays so over an exec.
    signal::reset_dispositions(0);
    signal::block_only(&kind.held_signals());
    for path in INITS.into_iter().filter(|path| is_executable(&guest.path(path))) {
        let name = path.as_bytes().to_vec();
        let error = execute(&c_string(name.clone()), &Strings::new([name]), &environment);
        console::say(format_args!("{path}: {}", io::Error::from(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn with(paths: &[&str]) -> (tempfile::TempDir, Guest) {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for path in paths {
            let path = guest.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        (directory, guest)
    }

    #[test]
    fn the_guests_init_is_known_by_what_its_link_points_at() {
        let (_directory, guest) = with(&["/usr/lib/systemd/systemd"]);
        fs::create_dir_all(guest.path("/sbin")).unwrap();
        symlink("../usr/lib/systemd/systemd", guest.path("/sbin/init")).unwrap();
        assert_eq!(kind_of_init(&guest), Kind::Systemd);
        let (_directory, guest) = with(&["/sbin/init", "/sbin/openrc", "/etc/runlevels/boot/bootmisc"]);
        assert_eq!(kind_of_init(&guest), Kind::OpenRc);
        let (_directory, guest) = with(&["/sbin/init", "/sbin/openrc"]);
        assert_eq!(kind_of_init(&guest), Kind::Other);
        let (_directory, guest) = with(&["/bin/sh"]);
        assert_eq!(kind_of_init(&guest), Kind::None);
    }
}
