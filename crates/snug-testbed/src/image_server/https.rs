//! As much of HTTP as a client of images needs: GET of a file, one for each connection.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Shared;

/// A client that neither reads nor writes for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// The head of a request is not longer.
const HEAD: u64 = 16 << 10;

/// Serves until the server stops; returns when the last client has its answer.
pub(super) fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, tree: &Path, shared: &Arc<Shared>) {
    let mut clients = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if shared.is_stopped() {
            break;
        }
        let (config, tree, shared) = (config.clone(), tree.to_owned(), shared.clone());
        clients.push(std::thread::spawn(move || {
            // A client that breaks off is what some tests do; Incus tries each file without TLS first.
            let _ = answer(stream, config, &tree, &shared);
        }));
    }
    for client in clients {
        let _ = client.join();
    }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, tree: &Path, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let target = read_target(&mut stream)?;
    let file = target.and_then(|path| File::open(tree.join(&path)).ok().map(|file| (path, file)));
    let Some((path, mut file)) = file else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return close(stream);
    };
    let size = file.metadata()?.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut (&mut file).take(size / 2), &mut stream)?;
    stream.flush()?;
    shared.pass(&path);
    if shared.is_stopped() {
        return Ok(());
    }
    io::copy(&mut file, &mut stream)?;
    close(stream)
}

fn close(mut stream: StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> {
    stream.conn.send_close_notify();
    stream.flush()
}

/// The path of a GET below the tree; `None` when it asks for anything else.
fn read_target(stream: &mut impl Read) -> io::Result<Option<PathBuf>> {
    let mut head = BufReader::new(stream.take(HEAD));
    let mut first = String::new();
    head.read_line(&mut first)?;
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(target(&first))
}

fn target(line: &str) -> Option<PathBuf> {
    let path = line.strip_prefix("GET /")?.split([' ', '?']).next()?;
    let path = PathBuf::from(path);
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_below_the_tree_are_served() {
        assert_eq!(target("GET /streams/v1/index.json HTTP/1.1\r\n"), Some("streams/v1/index.json".into()));
        for line in
            ["GET /../etc/passwd HTTP/1.1\r\n", "GET //etc/passwd HTTP/1.1\r\n", "PUT /x HTTP/1.1", ""]
        {
            assert_eq!(target(line), None, "{line}");
        }
    }
}
