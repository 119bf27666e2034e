//! HTTP/1.1 exchanges over kept connections.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::Result;
use crate::error::{Context, Error};
use crate::transport::Transport;

/// Body of a request: in memory or streamed.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body in memory.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Idle connections kept for reuse: dropping one makes incusd log a broken pipe (lxc/incus#2302).
const IDLE_CONNECTIONS: usize = 4;

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Connections {
    transport: Box<dyn Transport>,
    connect_timeout: Duration,
    idle: Mutex<VecDeque<SendRequest<Body>>>,
}

/// The head of an answer, and what its body arrives on.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    connection: SendRequest<Body>,
}

impl Connections {
    pub(crate) fn new(transport: Box<dyn Transport>, connect_timeout: Duration) -> Self {
        Self { transport, connect_timeout, idle: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.transport.endpoint()
    }

    /// Sends a request and returns when the answer's head is there. There is no deadline but that for
    /// connecting.
    pub(crate) async fn send(&self, context: &Context, mut request: Request<Body>) -> Result<Exchange> {
        let host = header::HeaderValue::from_str(self.transport.host())
            .map_err(|error| context.malformed(error.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
        // A kept connection may have been closed meanwhile. A request that was not written is sent again;
        // one that was written only if it changes nothing.
        let repeat = (*request.method() == Method::GET).then(|| repeatable(&request));
        while let Some(mut connection) = self.take_idle().await {
            match connection.try_send_request(request).await {
                Ok(response) => return Ok(Exchange { response, connection }),
                Err(mut failed) => match (failed.take_message(), &repeat) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some(again)) => request = repeatable(again),
                    (None, None) => return Err(context.lost(failed.into_error())),
                },
            }
        }
        let mut connection = self.open().await?;
        let response = connection.send_request(request).await.map_err(|error| context.lost(error))?;
        Ok(Exchange { response, connection })
    }

    /// Sends an upgrade request on a connection of its own.
    pub(crate) async fn send_upgrade(
        &self,
        context: &Context,
        mut request: Request<Body>,
    ) -> Result<Exchange> {
        let host = header::HeaderValue::from_str(self.transport.host())
            .map_err(|error| context.malformed(error.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
        let mut connection = self.open().await?;
        let response = connection.send_request(request).await.map_err(|error| context.lost(error))?;
        Ok(Exchange { response, connection })
    }

    /// Reads the rest of an answer, at most `limit` bytes, and keeps the connection.
    pub(crate) async fn read_all(
        &self,
        context: &Context,
        exchange: Exchange,
        limit: usize,
    ) -> Result<Bytes> {
        let Exchange { mut response, connection } = exchange;
        let mut body = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|error| context.lost(error))?;
            if let Some(data) = frame.data_ref() {
                if body.len() + data.len() > limit {
                    return Err(context.too_large(limit));
                }
                body.extend_from_slice(data);
            }
        }
        self.keep(connection);
        Ok(body.into())
    }

    /// The next piece of an answer. At its end the connection is kept by [`Self::keep_after`].
    pub(crate) async fn read_some(
        &self,
        context: &Context,
        exchange: &mut Exchange,
    ) -> Result<Option<Bytes>> {
        while let Some(frame) = exchange.response.body_mut().frame().await {
            let frame = frame.map_err(|error| context.lost(error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Keeps a connection whose answer has been read.
    pub(crate) fn keep_after(&self, exchange: Exchange) {
        self.keep(exchange.connection);
    }

    fn keep(&self, connection: SendRequest<Body>) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE_CONNECTIONS {
            idle.pop_front();
        }
        idle.push_back(connection);
    }

    async fn take_idle(&self) -> Option<SendRequest<Body>> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back()?;
            // Its answer was read to the end: it is ready at once, or closed.
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<Body>> {
        let unavailable = |error| Error::unavailable(self.transport.endpoint(), error);
        let connecting = async {
            let stream = self.transport.connect().await?;
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| unavailable(io::Error::from(io::ErrorKind::TimedOut)))?
            .map_err(unavailable)?;
        tokio::spawn(async move {
            // Its error reaches whoever waits for the answer.
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%error, "connection to Incus ended");
            }
        });
        Ok(sender)
    }
}

/// A copy of a request without body.
fn repeatable(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(empty());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}
