//! Sockets of containers that the host has: who connects to one is joined to the container's.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::event::PollFd;
use rustix::net::SocketType;
use snug_exec::sys::door::Door;
use snug_exec::sys::process::{self, Fork, fork_into};
use snug_exec::sys::{peer, signal};
use snug_exports::socket::{Socket, make_directory};

use super::joints::Joints;
use super::listener::{inode, listen_alone};
use crate::context::OWN_PROGRAM;
use crate::exports;

/// Joins a connection to a socket of the guest.
const JOIN: [&str; 2] = ["/.snug/bin/snug-agent", "connect"];

/// One that is listened at.
struct Open {
    socket: Socket,
    place: PathBuf,
    /// Of the place: another one's socket may have come there.
    inode: (u64, u64),
    door: Door,
}

/// Those of one user.
#[derive(Default)]
pub struct Exported {
    open: Vec<Open>,
    joints: Joints,
}

impl Exported {
    /// Opens and closes them as the index says. One that cannot be opened is left out: whoever exports looks for it.
    pub fn look(&mut self) {
        // An index that cannot be read says nothing; what is open stays.
        let Ok(wanted) = exports::of_user().and_then(|exports| exports.read()) else { return };
        let wanted = wanted.sockets;
        self.open.retain(|open| {
            let stays = wanted.contains(&open.socket) && open.is_where_it_belongs();
            if !stays {
                open.remove();
            }
            stays
        });
        for socket in wanted {
            if !self.open.iter().any(|open| open.socket == socket)
                && let Ok(open) = Open::new(socket)
            {
                self.open.push(open);
            }
        }
    }

    /// Whether there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.joints.is_empty()
    }

    /// What to wait for of the connections that there are.
    pub fn wait_for<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        self.joints.wait_for(polled);
    }

    /// When [`Exported::advance`] has something to do at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.joints.deadline()
    }

    /// Looks after the connections that there are.
    pub fn advance(&mut self, now: Instant) {
        self.joints.advance(now);
    }

    /// Who may have connected.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|open| open.door.as_fd())
    }

    /// Joins whoever has connected to that one to the container's socket.
    pub fn join(&mut self, index: usize, descriptor_limit: Option<(u64, u64)>) {
        let Some(open) = self.open.get_mut(index) else { return };
        let Some(client) = open.door.accept() else { return };
        if peer::uid(client.as_fd()).ok() != Some(rustix::process::getuid().as_raw()) {
            return;
        }
        let container = &open.socket.container;
        // The client sees its connection end where there are too many, and where no process is to be had.
        if !self.joints.has_room(container) {
            return;
        }
        let Ok(copy) = client.try_clone() else { return };
        match fork_into(None) {
            Ok(Fork::Child) => {
                let _ = become_joint(&open.socket, client, descriptor_limit);
                process::exit(1);
            }
            Ok(Fork::Parent(child)) => self.joints.add(container.clone(), copy, child.pidfd),
            Err(_) => {}
        }
    }

    /// Closes all of them.
    pub fn close(&mut self) {
        self.open.drain(..).for_each(|open| open.remove());
    }
}

impl Open {
    fn new(socket: Socket) -> io::Result<Self> {
        let place = socket.place()?;
        make_directory(&place)?;
        // Left by a service that was killed. Whatever else lies there is not Snug's.
        if socket.is_there() {
            fs::remove_file(&place)?;
        }
        let listener = listen_alone(&place, SocketType::STREAM)?;
        let inode = inode(&place)?;
        Ok(Self { socket, place, inode, door: Door::new(listener) })
    }

    /// Whether who looks for it now finds this one: its place goes with the user's runtime directory.
    fn is_where_it_belongs(&self) -> bool {
        self.is_in_place() && self.socket.place().is_ok_and(|place| place == self.place)
    }

    fn is_in_place(&self) -> bool {
        inode(&self.place).is_ok_and(|inode| inode == self.inode)
    }

    fn remove(&self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.place);
            // Others may lie beside it.
            let _ = self.place.parent().map(fs::remove_dir);
        }
    }
}

/// Makes the process, just forked, `snug run` with the connection as its streams: a container that does not run is started.
fn become_joint(
    socket: &Socket,
    client: OwnedFd,
    descriptor_limit: Option<(u64, u64)>,
) -> io::Result<std::convert::Infallible> {
    rustix::process::setsid()?;
    signal::reset_dispositions(0);
    signal::unblock_all();
    if let Some((soft, hard)) = descriptor_limit {
        process::set_limit(process::OPEN_FILES, soft, hard)?;
    }
    let output = client.try_clone()?;
    let options = ["run", "--root", "--clean-env", "-T", "-w", "/", "-c", socket.container.as_str(), "--"];
    Err(Command::new(OWN_PROGRAM)
        .arg0("snug")
        .args(options)
        .args(JOIN)
        .arg(&socket.path)
        .current_dir("/")
        .stdin(Stdio::from(client))
        .stdout(Stdio::from(output))
        .stderr(Stdio::null())
        .exec())
}
