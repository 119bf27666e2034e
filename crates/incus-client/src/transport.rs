//! How a connection is made: today a unix socket; TLS is another implementation of [`Transport`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// A byte stream to the server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A connection under way.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Makes connections to one server.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens a new connection. The client sets the deadline.
    fn connect(&self) -> Connecting<'_>;

    /// Where it connects to, for messages.
    fn endpoint(&self) -> String;

    /// Value of the `Host` header.
    fn host(&self) -> &str {
        "incus"
    }
}

/// A unix socket of the local server.
#[derive(Clone, Debug)]
pub struct UnixTransport {
    path: PathBuf,
}

impl UnixTransport {
    /// Connects to the socket at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Transport for UnixTransport {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = UnixStream::connect(&self.path).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn endpoint(&self) -> String {
        self.path.display().to_string()
    }
}
