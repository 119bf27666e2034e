//! A connection to the system bus that takes no descriptors: nobody can then hold the daemon by one whose closing takes
//! hours (a socket that lingers, a file of a file system of the sender's own). The bus refuses a message with descriptors in
//! the place of its receiver (D-Bus specification, `NEGOTIATE_UNIX_FD`; dbus-daemon says `NotSupported`, dbus-broker
//! `Failed`). The bus' own answers must carry none either.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::{Address, Connection, connection};

/// Connects to the system bus.
///
/// # Errors
/// When there is none, or it is reached by something else than a unix socket.
pub async fn without_descriptors() -> zbus::Result<Connection> {
    let address = Address::system()?;
    let Transport::Unix(unix) = address.transport() else {
        return Err(zbus::Error::Address(format!("{address} is no unix socket")));
    };
    let socket = match unix.path() {
        UnixSocket::File(path) => UnixStream::connect(path).await?,
        UnixSocket::Abstract(name) => {
            let socket = StdStream::connect_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
            socket.set_nonblocking(true)?;
            UnixStream::from_std(socket)?
        }
        _ => return Err(zbus::Error::Address(format!("{address} is an address to listen at"))),
    };
    connection::Builder::socket(Plain(socket)).build().await
}

/// A unix socket that is read and written like any other stream: that it takes no descriptors is what zbus assumes of one
/// that says nothing about it.
struct Plain(UnixStream);

impl Socket for Plain {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(Reader(read), Writer(write))
    }
}

#[derive(Debug)]
struct Reader(OwnedReadHalf);

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        Ok((self.0.read(buffer).await?, Vec::new()))
    }
}

#[derive(Debug)]
struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(io::Error::other("this connection carries no descriptors"));
        }
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}
