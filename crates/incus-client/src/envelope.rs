//! The envelope around every JSON answer.

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Result;
use crate::error::Context;
use crate::json::null_as_default;

/// `type` of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvelopeType {
    /// The answer is in `metadata`.
    Sync,
    /// An operation was started; it is in `metadata`, its URL in `operation`.
    Async,
    /// The request failed.
    Error,
}

/// An answer of Incus.
#[derive(Clone, Debug, Deserialize)]
pub struct Envelope {
    /// Kind of answer. This decides, not the HTTP status: `operations/ID/wait` sends 200 before it
    /// knows the outcome.
    #[serde(rename = "type")]
    pub kind: EnvelopeType,
    /// URL of the operation of an async answer.
    #[serde(default, deserialize_with = "null_as_default")]
    pub operation: String,
    /// Text of an error.
    #[serde(default, deserialize_with = "null_as_default")]
    pub error: String,
    /// Code of an error, in the manner of HTTP.
    #[serde(default, deserialize_with = "null_as_default")]
    pub error_code: u16,
    /// The answer proper.
    #[serde(default)]
    pub metadata: Value,
}

/// Reads an answer; an error envelope becomes an error whatever the HTTP status was.
pub(crate) fn parse(context: &Context, status: StatusCode, body: &[u8]) -> Result<Envelope> {
    match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) if envelope.kind == EnvelopeType::Error => {
            Err(context.api(status, envelope.error_code, envelope.error))
        }
        Ok(envelope) if status.is_success() => Ok(envelope),
        Ok(_) => Err(context.api(status, 0, "a success envelope with an error status")),
        Err(_) if !status.is_success() => {
            let text = String::from_utf8_lossy(&body[..body.len().min(500)]);
            Err(context.api(status, 0, text.trim()))
        }
        Err(error) => Err(context.malformed(error.to_string())),
    }
}

/// Reads `metadata` as a type.
pub(crate) fn metadata<T: DeserializeOwned>(context: &Context, envelope: Envelope) -> Result<T> {
    serde_json::from_value(envelope.metadata).map_err(|error| context.malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::parse;
    use crate::error::Context;

    fn context() -> Context {
        Context { method: Method::GET, path: "/1.0/x".into() }
    }

    #[test]
    fn an_error_envelope_is_an_error_even_with_http_200() {
        let body = br#"{"type":"error","error":"Operation is not running","error_code":400,"metadata":null}"#;
        let error = parse(&context(), StatusCode::OK, body).unwrap_err();
        assert_eq!(error.status(), Some(400));
        assert_eq!(error.to_string(), "GET /1.0/x: Operation is not running (status 400)");
    }

    #[test]
    fn an_error_that_is_no_json_keeps_status_and_text() {
        let error = parse(&context(), StatusCode::BAD_GATEWAY, b"upstream gone\n").unwrap_err();
        assert_eq!(error.to_string(), "GET /1.0/x: upstream gone (status 502)");
    }

    #[test]
    fn a_success_that_is_no_json_is_malformed() {
        let error = parse(&context(), StatusCode::OK, b"{\"type\":\"sync\"").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Protocol);
    }
}
