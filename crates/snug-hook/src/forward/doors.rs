//! The host's side: sockets that stand for those of the guest.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use snug_wire::ports::{self, Opened};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::conversation::Conversations;
use super::datagram::{self, with_buffer};
use super::{inode, register, stream};
use crate::namespace::Namespace;
use crate::plan::Door;
use crate::sockets::Protocol;

/// Connections to one port of the guest's, each of six descriptors.
const MOST_STREAMS: usize = 2048;

/// All of one guest.
#[derive(Debug)]
pub struct Doors {
    guest: Namespace,
    all: BTreeMap<Door, State>,
}

#[derive(Debug)]
struct State {
    /// The guest's sockets.
    inodes: BTreeSet<u32>,
    open: io::Result<Open>,
}

#[derive(Debug)]
struct Open {
    inode: u32,
    task: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Doors {
    /// None yet.
    #[must_use]
    pub fn new(guest: Namespace) -> Self {
        Self { guest, all: BTreeMap::new() }
    }

    /// The inodes of our sockets.
    #[must_use]
    pub fn inodes(&self) -> HashSet<u32> {
        self.all.values().filter_map(|state| Some(state.open.as_ref().ok()?.inode)).collect()
    }

    /// Closes those that nothing stands behind any more, opens new ones, and tries again what could not be opened.
    pub fn become_like(&mut self, mut wanted: BTreeMap<Door, BTreeSet<u32>>) {
        self.all.retain(|door, state| match wanted.remove(door) {
            None => false,
            Some(inodes) => {
                state.inodes = inodes;
                if state.open.is_err() {
                    state.open = open(*door, &self.guest);
                }
                true
            }
        });
        for (door, inodes) in wanted {
            self.all.insert(door, State { inodes, open: open(door, &self.guest) });
        }
    }

    /// What there is, for people.
    #[must_use]
    pub fn report(&self) -> Vec<ports::Door> {
        let one = |(door, state): (&Door, &State)| ports::Door {
            protocol: match door.protocol {
                Protocol::Tcp => ports::Protocol::Tcp,
                Protocol::Udp => ports::Protocol::Udp,
            },
            address: door.address,
            inodes: state.inodes.iter().copied().collect(),
            opened: match &state.open {
                Ok(_) => Opened::Yes,
                Err(error) => match error.kind() {
                    io::ErrorKind::AddrInUse => Opened::Taken,
                    io::ErrorKind::PermissionDenied => Opened::NotPermitted,
                    _ => Opened::Failed(error.to_string()),
                },
            },
        };
        self.all.iter().map(one).collect()
    }
}

fn open(door: Door, guest: &Namespace) -> io::Result<Open> {
    let guest = guest.clone();
    let (inode, task) = match door.protocol {
        Protocol::Tcp => {
            let socket = stream::listen(door.address, door.only_v6)?;
            let inode = inode(&socket)?;
            (inode, tokio::task::spawn_local(streams(TcpListener::from_std(socket.into())?, door, guest)))
        }
        Protocol::Udp => {
            let socket = datagram::bind(door.address, door.only_v6)?;
            let inode = inode(&socket)?;
            (inode, tokio::task::spawn_local(datagrams(register(socket.into())?, door, guest)))
        }
    };
    Ok(Open { inode, task: task.abort_handle() })
}

/// Where it goes in the guest. What comes from another machine comes from the guest's own address there and not from its
/// loopback: servers trust that one.
fn target(door: Door, from: SocketAddr, guest: &Namespace) -> io::Result<SocketAddr> {
    let port = door.address.port();
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let ip = match (door.address.ip(), from.ip()) {
        (bound, _) if !bound.is_unspecified() => bound,
        (_, from) if from.is_loopback() => match from {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        },
        _ => guest.own_address(from)?.ip(),
    };
    Ok(SocketAddr::new(ip, port))
}

async fn streams(listener: TcpListener, door: Door, guest: Namespace) {
    let places = Arc::new(Semaphore::new(MOST_STREAMS));
    loop {
        let (host, from) = stream::accept(&listener).await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            stream::refuse(host);
            continue;
        };
        let guest = guest.clone();
        // One that is under way stays when the door is closed.
        tokio::task::spawn_local(async move {
            let _place = place;
            let connected = async {
                let to = target(door, from, &guest)?;
                stream::connect(guest.stream(to)?, to).await
            };
            match connected.await {
                Ok(inner) => stream::join(host, inner).await,
                Err(_) => stream::refuse(host),
            }
        });
    }
}

async fn datagrams(socket: AsyncFd<OwnedFd>, door: Door, guest: Namespace) {
    let socket = Rc::new(socket);
    let mut conversations = Conversations::default();
    loop {
        let pass_on = |own: &OwnedFd| {
            with_buffer(|buffer| {
                let datagram::Received { from, to, length } = datagram::receive(own, buffer)?;
                let open = || UdpSocket::from_std(guest.datagram(target(door, from, &guest)?)?.into());
                let back = Rc::clone(&socket);
                conversations.say(&(from, to), &buffer[..length], open, move |answer| {
                    // A datagram that cannot be sent is lost.
                    let _ = datagram::send_from(back.get_ref(), answer, to.ip(), from);
                });
                Ok(())
            })
        };
        // An error of one datagram (a port that was unreachable) is not the next one's.
        let _: io::Result<()> = socket.async_io(Interest::READABLE, pass_on).await;
    }
}
