//! The guest's side: what was steered to our sockets there goes to the same port of the host's loopback, and what was asked of the
//! resolver to the host's name servers.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::conversation::Conversations;
use super::datagram::{self, LONGEST, Sender};
use super::{RESOLVER, inode, register, resolver, stream};

/// Names that are being looked up; more are lost, and asked for again.
const MOST_QUERIES: usize = 128;
/// Connections to the host's ports, each of six descriptors.
const MOST_STREAMS: usize = 2048;
/// And to the host's name servers, which others need, too.
const MOST_RESOLVER_STREAMS: usize = 16;
/// The longest of these.
const RESOLVING: Duration = Duration::from_secs(30);

/// Made by root in the guest's network namespace.
#[derive(Debug)]
pub struct Sockets {
    /// IPv4, and IPv6 where the guest has it.
    streams: (Socket, Option<Socket>),
    datagrams: (Socket, Option<Socket>),
    sender: Sender,
}

impl Sockets {
    /// For what is steered: on the loopback, at ports that nobody asks for. In the calling thread's network namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn steered() -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// For names alone, at the resolver's own address: where nothing can be steered.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn resolver() -> io::Result<Self> {
        Self::at((RESOLVER, 53).into())
    }

    fn at(v4: SocketAddr) -> io::Result<Self> {
        let v6 = (Ipv6Addr::LOCALHOST, 0).into();
        Ok(Self {
            // A kernel or a guest without IPv6 refuses.
            streams: (stream::listen(v4, true)?, stream::listen(v6, true).ok()),
            datagrams: (datagram::bind(v4, true)?, datagram::bind(v6, true).ok()),
            sender: Sender::here()?,
        })
    }

    /// The number that the kernel has for the network namespace (`SO_NETNS_COOKIE`, Linux 5.14).
    ///
    /// # Errors
    /// It has none.
    pub fn namespace_cookie(&self) -> io::Result<u64> {
        let mut cookie = 0u64;
        let mut length = size_of::<u64>() as libc::socklen_t;
        // SAFETY: the pointers are to a live number of the length beside it.
        let status = unsafe {
            libc::getsockopt(
                self.streams.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NETNS_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut length,
            )
        };
        if status == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
    }

    /// In the order of [`crate::bpf::steer::Way`].
    #[must_use]
    pub fn by_way(&self) -> [Option<BorrowedFd<'_>>; 4] {
        let ((tcp4, tcp6), (udp4, udp6)) = (&self.streams, &self.datagrams);
        [Some(tcp4), tcp6.as_ref(), Some(udp4), udp6.as_ref()].map(|socket| socket.map(Socket::as_fd))
    }
}

/// Serves as long as it lives.
#[derive(Debug)]
pub struct Inside {
    _tasks: JoinSet<()>,
}

impl Inside {
    /// Begins; answers the inodes of our own sockets there too.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn serve(sockets: Sockets) -> io::Result<(Self, HashSet<u32>)> {
        let mut tasks = JoinSet::new();
        let mut ours = HashSet::new();
        for socket in [Some(sockets.streams.0), sockets.streams.1].into_iter().flatten() {
            ours.insert(inode(&socket)?);
            tasks.spawn_local(streams(TcpListener::from_std(socket.into())?));
        }
        let sender = Rc::new(sockets.sender);
        for socket in [Some(sockets.datagrams.0), sockets.datagrams.1].into_iter().flatten() {
            ours.insert(inode(&socket)?);
            let socket = register(socket.into())?;
            tasks.spawn_local(datagrams(socket, Rc::clone(&sender)));
        }
        Ok((Self { _tasks: tasks }, ours))
    }
}

fn is_resolver(to: SocketAddr) -> bool {
    to == SocketAddr::from((RESOLVER, 53))
}

async fn streams(listener: TcpListener) {
    let own = listener.local_addr().ok();
    let (places, resolver_places) =
        (Arc::new(Semaphore::new(MOST_STREAMS)), Arc::new(Semaphore::new(MOST_RESOLVER_STREAMS)));
    loop {
        let (guest, _) = stream::accept(&listener).await;
        let to = guest.local_addr();
        let for_names = to.as_ref().is_ok_and(|to| is_resolver(*to));
        let places = if for_names { &resolver_places } else { &places };
        // Nobody asks for our own port but to be led to what the host has there by chance.
        let (Ok(to), Ok(place)) = (to, Arc::clone(places).try_acquire_owned()) else {
            stream::refuse(guest);
            continue;
        };
        if !for_names && Some(to) == own {
            stream::refuse(guest);
            continue;
        }
        tokio::task::spawn_local(async move {
            let _place = place;
            let host = if for_names { resolver::connect().await } else { TcpStream::connect(to).await };
            match host {
                // Whoever keeps it open and asks nothing gives its place to others.
                Ok(host) if for_names => {
                    let _ = tokio::time::timeout(RESOLVING, stream::join(guest, host)).await;
                }
                Ok(host) => stream::join(guest, host).await,
                Err(_) => stream::refuse(guest),
            }
        });
    }
}

async fn datagrams(socket: AsyncFd<OwnedFd>, sender: Rc<Sender>) {
    let own = rustix::net::getsockname(socket.get_ref()).ok().and_then(|own| SocketAddr::try_from(own).ok());
    let mut conversations = Conversations::default();
    let mut queries = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let receive = |socket: &OwnedFd| datagram::receive(socket, &mut buffer);
        // An error of one datagram is not the next one's.
        let Ok(received) = socket.async_io(Interest::READABLE, receive).await else { continue };
        let data = &buffer[..received.length];
        let sender = Rc::clone(&sender);
        let datagram::Received { from, to, .. } = received;
        if is_resolver(to) {
            while queries.try_join_next().is_some() {}
            if queries.len() < MOST_QUERIES && resolver::is_query(data) {
                let query = data.to_vec();
                queries.spawn_local(async move {
                    // Whoever asked asks again.
                    if let Ok(answer) = resolver::ask(&query).await {
                        sender.send(&answer, to, from);
                    }
                });
            }
            continue;
        }
        if Some(to) == own {
            continue;
        }
        let open = || {
            let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            socket.connect(&to.into())?;
            UdpSocket::from_std(socket.into())
        };
        conversations.say(&(from, to), data, open, move |answer| sender.send(answer, to, from));
    }
}
