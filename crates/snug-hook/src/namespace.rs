//! Sockets in the guest's network namespace, made by a thread that has gone there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

/// Documentation's addresses (RFC 5737, RFC 3849): nothing is sent there, the route to them is the default one.
const SOMEWHERE: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 9),
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// A socket that somebody waits for, of this family and type.
type Request = (Domain, Type, SyncSender<io::Result<Socket>>);

/// Makes sockets in another network namespace, whoever this process has become.
#[derive(Debug, Clone)]
pub struct Namespace(Sender<Request>);

impl Namespace {
    /// Goes there with a thread, which first does `setup`. Root's.
    ///
    /// # Errors
    /// What the kernel says, or `setup`.
    pub fn enter<T: Send + 'static>(
        namespace: OwnedFd,
        setup: impl FnOnce(BorrowedFd<'_>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<(Self, T)> {
        use std::os::fd::AsFd;
        let (ready, made) = sync_channel(1);
        let (requests, received) = channel::<Request>();
        thread::Builder::new().name("guest".into()).stack_size(128 << 10).spawn(move || {
            let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(io::Error::from)
                .and_then(|()| setup(namespace.as_fd()));
            drop(namespace);
            let go_on = entered.is_ok();
            if ready.send(entered).is_err() || !go_on {
                return;
            }
            while let Ok((domain, kind, answer)) = received.recv() {
                // Nobody is left to be told.
                let _ = answer.send(socket(domain, kind));
            }
        })?;
        let made = made.recv().map_err(|_| io::Error::other("the guest's thread has ended"))??;
        Ok((Self(requests), made))
    }

    fn make(&self, domain: Domain, kind: Type) -> io::Result<Socket> {
        let gone = || io::Error::other("the guest's thread has ended");
        let (answer, made) = sync_channel(1);
        self.0.send((domain, kind, answer)).map_err(|_| gone())?;
        made.recv().map_err(|_| gone())?
    }

    /// A TCP connection's end there, not yet connected.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn stream(&self, to: SocketAddr) -> io::Result<Socket> {
        self.make(Domain::for_address(to), Type::STREAM)
    }

    /// A UDP socket there that speaks with `to` alone.
    ///
    /// # Errors
    /// No descriptor is left, no way there.
    pub fn datagram(&self, to: SocketAddr) -> io::Result<Socket> {
        let socket = self.make(Domain::for_address(to), Type::DGRAM)?;
        socket.connect(&to.into())?;
        Ok(socket)
    }

    /// The address that programs there have for others, of the family of `like`.
    ///
    /// # Errors
    /// It has none.
    pub fn own_address(&self, like: SocketAddr) -> io::Result<SocketAddr> {
        let socket = self.datagram(SOMEWHERE[usize::from(like.is_ipv6())])?;
        let own = socket.local_addr()?.as_socket();
        let own = own.filter(|own| !own.ip().is_unspecified() && !own.ip().is_loopback());
        own.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

/// One that does not block.
fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
