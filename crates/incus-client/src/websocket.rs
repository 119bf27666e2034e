//! Websockets of the API: events, exec.

use http::{Method, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::Result;
use crate::client::{Call, Client};
use crate::path::ApiPath;

/// A websocket to the server.
pub type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// Largest message that is accepted, in bytes. Exec sends at most 32 KiB; an event repeats a whole operation.
const MAX_MESSAGE: usize = 16 << 20;

impl Client {
    /// Opens a websocket on a connection of its own.
    ///
    /// # Errors
    /// Those of any call; an answer other than 101 is read as Incus' error envelope.
    pub async fn websocket(&self, path: &ApiPath) -> Result<WebSocket> {
        let key = generate_key();
        let call = Call::new(Method::GET, path)
            .header(header::CONNECTION, "Upgrade")?
            .header(header::UPGRADE, "websocket")?
            .header(header::SEC_WEBSOCKET_VERSION, "13")?
            .header(header::SEC_WEBSOCKET_KEY, &key)?;
        let context = call.context(self.project_name());
        let response = self.upgrade(call).await?;
        let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accept.map(header::HeaderValue::as_bytes) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(context.malformed("wrong Sec-WebSocket-Accept"));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| context.lost(error))?;
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await)
    }
}
