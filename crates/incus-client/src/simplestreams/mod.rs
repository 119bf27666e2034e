//! What a static image server has. incusd fetches images from such servers and lists none for its clients, so the lists
//! are read here: `streams/v1/index.json` names files of *products*, and those name the images.
//!
//! Everything that a server sends is bounded: in time, in bytes, in redirections.

mod products;
mod tls;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connection::empty;

pub use products::StreamImage;

/// The server answers a connection within this time or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The whole list is there within this time.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The list of the largest public server has 3 MB.
const MAX_FILE: usize = 32 << 20;
/// Files that an index may name.
const MAX_FILES: usize = 16;
const MAX_REDIRECTIONS: usize = 4;

/// Why a server's list cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The address or the certificate that the caller gave.
    #[error("{what}: {problem}")]
    InvalidArgument {
        /// What was given.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No connection, or it broke: names, routes, ports, certificates.
    #[error("{host}: {source}")]
    Unreachable {
        /// Name and port.
        host: String,
        /// What the system or TLS said.
        source: io::Error,
    },
    /// The server answered that it has no such file, or will not give it.
    #[error("{url}: the server answered {status}")]
    Refused {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// It sent what is no list of images.
    #[error("{url}: {problem}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

impl StreamError {
    /// Whether the server was there and its certificate was not one to trust.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        let Self::Unreachable { source, .. } = self else { return false };
        let cause = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
    }
}

/// A simplestreams server.
#[derive(Clone, Debug)]
pub struct SimpleStreams {
    server: String,
    tls: TlsConnectorDebug,
}

impl SimpleStreams {
    /// A server at an `https://` address. With `certificate` (PEM) only a server with that certificate, or with one that it
    /// signed, is the right one; without, one that the host's authorities vouch for. Reads their files: blocks for a moment.
    ///
    /// # Errors
    /// [`StreamError::InvalidArgument`].
    pub fn new(server: &str, certificate: Option<&str>) -> Result<Self, StreamError> {
        let tls = TlsConnectorDebug(tls::connector(certificate)?);
        Ok(Self { server: server.trim_end_matches('/').to_owned(), tls })
    }

    /// All images of containers: of each product the newest version.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn images(&self) -> Result<Vec<StreamImage>, StreamError> {
        match tokio::time::timeout(TIMEOUT, self.read()).await {
            Ok(images) => images,
            Err(_) => Err(StreamError::Unreachable {
                host: self.server.clone(),
                source: io::Error::from(io::ErrorKind::TimedOut),
            }),
        }
    }

    async fn read(&self) -> Result<Vec<StreamImage>, StreamError> {
        let url = format!("{}/streams/v1/index.json", self.server);
        let index = products::read_index(&self.get(&url).await?).map_err(|error| malformed(&url, error))?;
        let mut images = Vec::new();
        for path in index.iter().take(MAX_FILES) {
            let url = format!("{}/{}", self.server, path.trim_start_matches('/'));
            let file = self.get(&url).await?;
            // A list of megabytes takes tens of milliseconds: not on the thread that serves everybody.
            let read = tokio::task::spawn_blocking(move || products::read_products(&file)).await;
            let read = read.map_err(|error| malformed(&url, error))?;
            images.extend(read.map_err(|error| malformed(&url, error))?);
        }
        Ok(images)
    }

    /// One file, wherever the server sends us for it.
    async fn get(&self, url: &str) -> Result<Bytes, StreamError> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTIONS {
            let response = self.request(&url).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return read_all(&url, response).await;
            }
            let location =
                response.headers().get(header::LOCATION).filter(|_| status.is_redirection()).cloned();
            match location.as_ref().and_then(|location| location.to_str().ok()) {
                Some(next) if next.starts_with("https://") => next.clone_into(&mut url),
                // To the same server under another path.
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    let uri = parse(&url)?;
                    url = format!("https://{}{path}", uri.authority().map_or("", |it| it.as_str()));
                }
                _ => return Err(StreamError::Refused { url, status: status.as_u16() }),
            }
        }
        Err(malformed(&url, "it leads in circles"))
    }

    async fn request(&self, url: &str) -> Result<Response<Incoming>, StreamError> {
        let uri = parse(url)?;
        let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
            return Err(invalid("address", format!("{url} names no server")));
        };
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(443);
        let unreachable = |source| StreamError::Unreachable { host: format!("{host}:{port}"), source };
        let server_name = tls::server_name(name)?;
        let connecting = async {
            let stream = TcpStream::connect((name, port)).await?;
            let stream = self.tls.0.connect(server_name, stream).await?;
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        };
        let (mut sender, connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| unreachable(io::Error::from(io::ErrorKind::TimedOut)))?
            .map_err(unreachable)?;
        tokio::spawn(async move {
            // Its error reaches whoever reads the answer.
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to an image server ended");
            }
        });
        let target = uri.path_and_query().map_or("/", |it| it.as_str());
        let request = Request::builder()
            .method(Method::GET)
            .uri(target)
            .header(header::HOST, authority.as_str())
            .header(header::USER_AGENT, concat!("incus-client/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(empty())
            .map_err(|error| invalid("address", error.to_string()))?;
        sender.send_request(request).await.map_err(|error| unreachable(io::Error::other(error)))
    }
}

async fn read_all(url: &str, mut response: Response<Incoming>) -> Result<Bytes, StreamError> {
    let mut body = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|error| StreamError::Unreachable {
            host: url.to_owned(),
            source: io::Error::other(error),
        })?;
        if let Some(data) = frame.data_ref() {
            if body.len() + data.len() > MAX_FILE {
                return Err(malformed(url, format!("it is larger than {MAX_FILE} bytes")));
            }
            body.extend_from_slice(data);
        }
    }
    Ok(body.into())
}

fn parse(url: &str) -> Result<Uri, StreamError> {
    let uri: Uri = url.parse().map_err(|error| invalid("address", format!("{url}: {error}")))?;
    if uri.scheme_str() != Some("https") {
        return Err(invalid("address", format!("{url} does not start with https://")));
    }
    Ok(uri)
}

fn invalid(what: &'static str, problem: impl Into<String>) -> StreamError {
    StreamError::InvalidArgument { what, problem: problem.into() }
}

fn malformed(url: &str, problem: impl ToString) -> StreamError {
    StreamError::Malformed { url: url.to_owned(), problem: problem.to_string() }
}

/// The connector has no `Debug` of its own.
#[derive(Clone)]
struct TlsConnectorDebug(TlsConnector);

impl std::fmt::Debug for TlsConnectorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_tls_are_refused() {
        for url in ["http://example.com/x", "ftp://example.com", "example.com", "/x"] {
            assert!(matches!(parse(url), Err(StreamError::InvalidArgument { .. })), "{url}");
        }
        assert!(parse("https://[::1]:8443/streams/v1/index.json").is_ok());
    }

    #[test]
    fn a_text_that_is_no_certificate_is_refused() {
        assert!(matches!(
            SimpleStreams::new("https://x", Some("nothing")),
            Err(StreamError::InvalidArgument { .. })
        ));
    }
}
