//! The guest's resolver: what it asks is asked of the host's name servers, as the host's `/etc/resolv.conf` names them at that
//! moment. Nothing in the guest has to follow.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};

use super::datagram::with_buffer;

/// Where the host says whom it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// More are not asked (`MAXNS`, resolv.conf(5)).
const MOST: usize = 3;
/// How long one may take before the next is asked (`RES_TIMEOUT`, resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(5);
const PORT: u16 = 53;

/// The host's name servers by now, with their ports.
fn servers() -> Vec<SocketAddr> {
    parse(&std::fs::read_to_string(Path::new(RESOLV_CONF)).unwrap_or_default())
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        // An address of a link has its interface behind it.
        let (keyword, address) = (words.next()?, words.next()?);
        (keyword == "nameserver").then(|| resolve(address)).flatten()
    };
    let found: Vec<_> = text.lines().filter_map(server).take(MOST).collect();
    // Without one it is this machine (resolv.conf(5)).
    if found.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], PORT))] } else { found }
}

fn resolve(address: &str) -> Option<SocketAddr> {
    let (ip, interface) = address.split_once('%').map_or((address, None), |(ip, name)| (ip, Some(name)));
    match ip.parse().ok()? {
        IpAddr::V6(ip) => {
            let scope = interface.and_then(|name| nix::net::if_::if_nametoindex(name).ok()).unwrap_or(0);
            Some(std::net::SocketAddrV6::new(ip, PORT, 0, scope).into())
        }
        ip => Some(SocketAddr::new(ip, PORT)),
    }
}

/// Whether it is a question (RFC 1035, 4.1.1: a whole header, `QR` 0, `OPCODE` 0), and not an answer, an update or anything else
/// that the host's server might obey.
#[must_use]
pub fn is_query(data: &[u8]) -> bool {
    data.len() >= 12 && data[2] & 0xf8 == 0
}

/// What `attempt` gives with the first server that it works with.
async fn first<T>(attempt: impl AsyncFn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for server in servers() {
        match tokio::time::timeout(PATIENCE, attempt(server)).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// The answer of the first server that gives one.
///
/// # Errors
/// None does.
pub async fn ask(query: &[u8]) -> io::Result<Vec<u8>> {
    first(async |server| ask_one(query, server).await).await
}

async fn ask_one(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    loop {
        socket.readable().await?;
        let answer = with_buffer(|buffer| socket.try_recv(buffer).map(|length| buffer[..length].to_vec()));
        match answer {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            answer => return answer,
        }
    }
}

/// A connection to the first server that takes one: long answers come by TCP (RFC 7766).
///
/// # Errors
/// None does.
pub async fn connect() -> io::Result<TcpStream> {
    first(async |server| TcpStream::connect(server).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_question_is_not_passed_on() {
        let query = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert!(is_query(&query));
        for (second, name) in [(0x81, "an answer"), (0x29, "an update"), (0x11, "a status")] {
            let mut other = query;
            other[2] = second;
            assert!(!is_query(&other), "{name}");
        }
        assert!(!is_query(&query[..11]));
    }

    #[test]
    fn name_servers_are_read_as_the_resolver_reads_them() {
        let read = |text: &str| parse(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            read("# x\nnameserver 192.0.2.1\nsearch a\n nameserver\t::1 # y\n"),
            ["192.0.2.1:53", "[::1]:53"]
        );
        assert_eq!(read("nameserver fe80::1%lo"), ["[fe80::1%1]:53"]);
        assert_eq!(read("nameserver 1.1.1.1\n".repeat(5).as_str()).len(), 3);
        for without in ["", "nameserver", "nameservers 1.1.1.1", "nameserver host"] {
            assert_eq!(read(without), ["127.0.0.1:53"], "{without}");
        }
    }
}
