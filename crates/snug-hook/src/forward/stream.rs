//! TCP: two connections made one. The bytes go through a pipe of the kernel's (splice(2)), never through this process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

/// Bytes at once: what a pipe holds.
const CHUNK: usize = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Until a descriptor may be free again.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(30);

/// A socket that listens at `address`.
///
/// # Errors
/// It is taken, or not this user's to take.
pub fn listen(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // As servers do: what is left of connections that ended is nobody's port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Accepts one connection; waits where no descriptor is left.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(_) => tokio::time::sleep(EXHAUSTED).await,
        }
    }
}

/// Connects a socket that was made somewhere.
///
/// # Errors
/// What the other side says.
pub async fn connect(socket: Socket, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
    let connecting = tokio::time::timeout(CONNECTING, socket.connect(to)).await;
    connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Refuses a connection that was accepted already: the peer sees it reset.
pub fn refuse(stream: TcpStream) {
    // Without it, it sees an end of file.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Moves bytes both ways until both sides have ended, or one has failed: then both are reset.
pub async fn join(one: TcpStream, other: TcpStream) {
    // What is typed shall not wait for more.
    for stream in [&one, &other] {
        let _ = stream.set_nodelay(true);
    }
    if tokio::try_join!(pump(&one, &other), pump(&other, &one)).is_err() {
        refuse(one);
        refuse(other);
    }
}

async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let take = || Ok(splice(from, None, &into, None, CHUNK, flags)?);
        let mut left = from.async_io(Interest::READABLE, take).await?;
        if left == 0 {
            return SockRef::from(to).shutdown(std::net::Shutdown::Write);
        }
        while left > 0 {
            let give = || Ok(splice(&out, None, to, None, left, flags)?);
            left -= to.async_io(Interest::WRITABLE, give).await?;
        }
    }
}
