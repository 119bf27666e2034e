//! The client: one server, one project, cheap to clone.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::connection::{Body, Connections, Exchange, empty, full};
use crate::envelope::{self, Envelope, EnvelopeType};
use crate::error::{Context, Error};
use crate::operation::{Operation, OperationInfo};
use crate::path::ApiPath;
use crate::server::Server;
use crate::transport::{Transport, UnixTransport};

/// A connection is made within this time or not at all.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An ordinary request is answered within this time. Creating a pool or a network is synchronous and
/// may take a while; waiting for operations, exec and transfers of files have no deadline of ours.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Largest answer that is read into memory, in bytes.
pub const MAX_REPLY: usize = 64 << 20;

/// Version of an object, for conditional changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// Wraps the value of an `ETag` header.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    connect_timeout: Duration,
    request_timeout: Duration,
    max_reply: usize,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self { connect_timeout: CONNECT_TIMEOUT, request_timeout: REQUEST_TIMEOUT, max_reply: MAX_REPLY }
    }
}

impl ClientBuilder {
    /// Deadline for connecting.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Deadline for the whole of an ordinary request.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Largest answer in bytes that is read into memory.
    #[must_use]
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = bytes;
        self
    }

    /// A client that connects by `transport`. Nothing is sent yet.
    pub fn build(self, transport: impl Transport) -> Client {
        Client {
            shared: Arc::new(Shared {
                connections: Connections::new(Box::new(transport), self.connect_timeout),
                request_timeout: self.request_timeout,
                max_reply: self.max_reply,
                server: RwLock::new(None),
            }),
            project: None,
        }
    }
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    request_timeout: Duration,
    max_reply: usize,
    server: RwLock<Option<Arc<Server>>>,
}

/// A client of one Incus server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    project: Option<Arc<str>>,
}

impl Client {
    /// A client of the unix socket at `path`. Nothing is sent yet: a missing server shows at the first call.
    pub fn connect(path: impl Into<PathBuf>) -> Self {
        Self::builder().build(UnixTransport::new(path))
    }

    /// A client of the local server, found as the `incus` command does: `$INCUS_SOCKET`,
    /// `$INCUS_DIR/unix.socket`, `/run/incus/unix.socket`, `/var/lib/incus/unix.socket`; where the socket
    /// exists and may not be written, `unix.socket.user` beside it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with reason `Missing` when there is no socket at all.
    pub fn discover() -> Result<Self> {
        let path = discover_in(|name| env::var_os(name).map(PathBuf::from), Path::exists, writable)?;
        Ok(Self::connect(path))
    }

    /// Settings other than the default ones.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same server seen from `project`.
    #[must_use]
    pub fn project(&self, project: impl AsRef<str>) -> Self {
        Self { shared: Arc::clone(&self.shared), project: Some(Arc::from(project.as_ref())) }
    }

    /// The project of this view; `None` is Incus' default project.
    pub fn project_name(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Where the server is, for messages.
    pub fn endpoint(&self) -> String {
        self.shared.connections.endpoint()
    }

    /// The answer's metadata of a GET.
    ///
    /// This and the other raw calls are for what the crate has no type for.
    pub async fn get<T: DeserializeOwned>(&self, path: &ApiPath) -> Result<T> {
        Ok(self.get_with_etag(path).await?.0)
    }

    /// The list that a GET answers; Incus writes an empty one as `null` in places (storage pools of 6.0.4 as packaged by
    /// Debian in 2026).
    pub async fn list<T: DeserializeOwned>(&self, path: &ApiPath) -> Result<Vec<T>> {
        Ok(self.get::<Option<Vec<T>>>(path).await?.unwrap_or_default())
    }

    /// The same as [`Client::get`] with the object's ETag.
    pub async fn get_with_etag<T: DeserializeOwned>(&self, path: &ApiPath) -> Result<(T, ETag)> {
        let reply = self.call(Call::new(Method::GET, path)).await?;
        let etag = reply.etag();
        Ok((envelope::metadata(&reply.context, reply.envelope)?, etag))
    }

    /// A synchronous change. Should Incus answer with an operation, it is waited for.
    pub async fn change(
        &self,
        method: Method,
        path: &ApiPath,
        body: &impl Serialize,
        if_match: Option<&ETag>,
    ) -> Result<()> {
        let reply = self.call(Call::new(method, path).json(body)?.if_match(if_match)?).await?;
        if reply.envelope.kind == EnvelopeType::Async {
            self.adopt(reply)?.wait().await?;
        }
        Ok(())
    }

    /// A change that Incus carries out as an operation. Should it answer at once, the operation is an
    /// ended one.
    pub async fn start(
        &self,
        method: Method,
        path: &ApiPath,
        body: &impl Serialize,
        if_match: Option<&ETag>,
    ) -> Result<Operation> {
        let reply = self.call(Call::new(method, path).json(body)?.if_match(if_match)?).await?;
        self.adopt(reply)
    }

    pub(crate) fn adopt(&self, reply: Reply) -> Result<Operation> {
        if reply.envelope.kind == EnvelopeType::Sync {
            return Ok(Operation::ended(self.clone(), OperationInfo::succeeded(reply.envelope.metadata)));
        }
        let request = format!("{} {}", reply.context.method, reply.context.path);
        let info: OperationInfo = envelope::metadata(&reply.context, reply.envelope)?;
        Ok(Operation::follow(self.clone(), OperationInfo { request, ..info }))
    }

    /// An ordinary exchange: JSON answer, bounded in size and time.
    pub(crate) async fn call(&self, call: Call) -> Result<Reply> {
        let after = call.timeout.unwrap_or(self.shared.request_timeout);
        let context = call.context(self.project.as_deref());
        let exchange = async {
            let exchange = self.open(call).await?;
            let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
            let body = self.shared.connections.read_all(&context, exchange, self.shared.max_reply).await?;
            Ok(Reply {
                envelope: envelope::parse(&context, status, &body)?,
                headers,
                context: context.clone(),
            })
        };
        tokio::time::timeout(after, exchange).await.map_err(|_| context.timed_out(after))?
    }

    /// An exchange whose answer is no envelope, unless it failed: the whole body, bounded in size and time.
    pub(crate) async fn call_raw(&self, call: Call) -> Result<(HeaderMap, Bytes)> {
        let after = call.timeout.unwrap_or(self.shared.request_timeout);
        let context = call.context(self.project.as_deref());
        let exchange = async {
            let exchange = self.open_checked(call).await?;
            let headers = exchange.response.headers().clone();
            let body = self.shared.connections.read_all(&context, exchange, self.shared.max_reply).await?;
            Ok((headers, body))
        };
        tokio::time::timeout(after, exchange).await.map_err(|_| context.timed_out(after))?
    }

    /// Sends a request; an error answer becomes an error, otherwise the body is left to be read.
    pub(crate) async fn open_checked(&self, call: Call) -> Result<Exchange> {
        let context = call.context(self.project.as_deref());
        let exchange = self.open(call).await?;
        let status = exchange.response.status();
        if status.is_success() {
            return Ok(exchange);
        }
        let body = self.shared.connections.read_all(&context, exchange, self.shared.max_reply).await?;
        Err(match envelope::parse(&context, status, &body) {
            Err(error) => error,
            Ok(_) => context.api(status, 0, "unexpected status"),
        })
    }

    async fn open(&self, call: Call) -> Result<Exchange> {
        let context = call.context(self.project.as_deref());
        let request = call.request(&context)?;
        self.shared.connections.send(&context, request).await
    }

    /// Sends an upgrade request; anything but 101 is an error.
    pub(crate) async fn upgrade(&self, call: Call) -> Result<http::Response<hyper::body::Incoming>> {
        let context = call.context(self.project.as_deref());
        let after = self.shared.request_timeout;
        let exchange = async {
            let request = call.request(&context)?;
            let exchange = self.shared.connections.send_upgrade(&context, request).await?;
            let status = exchange.response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(exchange.response);
            }
            let body = self.shared.connections.read_all(&context, exchange, self.shared.max_reply).await?;
            Err(match envelope::parse(&context, status, &body) {
                Err(error) => error,
                Ok(_) => context.malformed("no upgrade"),
            })
        };
        tokio::time::timeout(after, exchange).await.map_err(|_| context.timed_out(after))?
    }

    /// The next piece of an answer opened by [`Client::open_checked`].
    pub(crate) async fn read_some(
        &self,
        context: &Context,
        exchange: &mut Exchange,
    ) -> Result<Option<Bytes>> {
        self.shared.connections.read_some(context, exchange).await
    }

    /// Gives back the connection of an answer that was read to its end.
    pub(crate) fn finish(&self, exchange: Exchange) {
        self.shared.connections.keep_after(exchange);
    }

    pub(crate) fn cached_server(&self) -> Option<Arc<Server>> {
        self.shared.server.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn cache_server(&self, server: Option<Arc<Server>>) {
        *self.shared.server.write().unwrap_or_else(PoisonError::into_inner) = server;
    }
}

/// Finds the local socket; the system is asked through the three functions.
fn discover_in(
    variable: impl Fn(&str) -> Option<PathBuf>,
    exists: impl Fn(&Path) -> bool,
    writable: impl Fn(&Path) -> bool,
) -> Result<PathBuf> {
    // An explicit choice is taken as it is, so that the error names it.
    if let Some(socket) = variable("INCUS_SOCKET").filter(|path| !path.as_os_str().is_empty()) {
        return Ok(socket);
    }
    let directories = match variable("INCUS_DIR").filter(|path| !path.as_os_str().is_empty()) {
        Some(directory) => vec![directory],
        None => vec![PathBuf::from("/run/incus"), PathBuf::from("/var/lib/incus")],
    };
    let mut fallback = None;
    for directory in &directories {
        let (socket, user) = (directory.join("unix.socket"), directory.join("unix.socket.user"));
        if exists(&socket) && writable(&socket) {
            return Ok(socket);
        }
        if exists(&user) && writable(&user) {
            return Ok(user);
        }
        if exists(&socket) {
            fallback.get_or_insert(socket);
        }
    }
    fallback.ok_or_else(|| {
        let places: Vec<_> =
            directories.iter().map(|path| path.join("unix.socket").display().to_string()).collect();
        Error::unavailable(places.join(" or "), std::io::ErrorKind::NotFound.into())
    })
}

/// Whether the caller may connect to a socket: connecting needs write permission on it.
fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// A request before it is sent.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: ApiPath,
    headers: HeaderMap,
    body: Body,
    timeout: Option<Duration>,
}

impl Call {
    pub(crate) fn new(method: Method, path: &ApiPath) -> Self {
        Self { method, path: path.clone(), headers: HeaderMap::new(), body: empty(), timeout: None }
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| Error::InvalidArgument { what: "body", message: error.to_string() })?;
        if bytes == b"null" {
            return Ok(self);
        }
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = full(bytes);
        Ok(self)
    }

    pub(crate) fn body(mut self, content_type: &str, body: Body) -> Result<Self> {
        self.body = body;
        self.header(header::CONTENT_TYPE, content_type)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value)
            .map_err(|error| Error::InvalidArgument { what: "header", message: error.to_string() })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(crate) fn if_match(self, etag: Option<&ETag>) -> Result<Self> {
        match etag.filter(|etag| !etag.0.is_empty()) {
            Some(etag) => self.header(header::IF_MATCH, &etag.0),
            None => Ok(self),
        }
    }

    /// Another deadline than that of ordinary requests.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn context(&self, project: Option<&str>) -> Context {
        Context { method: self.method.clone(), path: self.path.target(project) }
    }

    fn request(self, context: &Context) -> Result<Request<Body>> {
        let uri = context
            .path
            .parse::<http::Uri>()
            .map_err(|error| Error::InvalidArgument { what: "path", message: error.to_string() })?;
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// An answer that is no error.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) envelope: Envelope,
    pub(crate) headers: HeaderMap,
    pub(crate) context: Context,
}

impl Reply {
    pub(crate) fn etag(&self) -> ETag {
        let value = self.headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        ETag(value.unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::discover_in;
    use crate::UnavailableReason;

    fn discover(variables: &[(&str, &str)], there: &[&str], writable: &[&str]) -> crate::Result<PathBuf> {
        let is_in = |list: &[&str], path: &Path| list.iter().any(|item| Path::new(item) == path);
        discover_in(
            |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value)),
            |path| is_in(there, path),
            |path| is_in(writable, path),
        )
    }

    const RUN: &str = "/run/incus/unix.socket";
    const LIB: &str = "/var/lib/incus/unix.socket";
    const LIB_USER: &str = "/var/lib/incus/unix.socket.user";

    #[test]
    fn the_socket_is_found_in_the_order_of_the_incus_command() {
        for (variables, there, writable, expected) in [
            (&[("INCUS_SOCKET", "/s"), ("INCUS_DIR", "/d")][..], &[RUN][..], &[RUN][..], "/s"),
            (&[("INCUS_DIR", "/d")], &[RUN, "/d/unix.socket"], &["/d/unix.socket"], "/d/unix.socket"),
            (&[("INCUS_SOCKET", "")], &[RUN, LIB], &[RUN, LIB], RUN),
            (&[], &[LIB, LIB_USER], &[LIB, LIB_USER], LIB),
            (&[], &[LIB, LIB_USER], &[LIB_USER], LIB_USER),
            (&[], &[LIB], &[], LIB),
        ] {
            assert_eq!(discover(variables, there, writable).unwrap(), Path::new(expected));
        }
    }

    #[test]
    fn no_socket_at_all_is_unavailable_and_names_the_places() {
        let error = discover(&[], &[], &[]).unwrap_err();
        assert_eq!(error.unavailable_reason(), Some(UnavailableReason::Missing));
        assert!(error.to_string().contains(RUN) && error.to_string().contains(LIB), "{error}");
    }
}
