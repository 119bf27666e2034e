//! Answers of one's own.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::route::Route;

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// JSON as it is, without an envelope around it.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// A synchronous success.
    pub fn sync(metadata: Value) -> Self {
        Self::json(
            200,
            &json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "",
            "error_code": 0, "error": "", "metadata": metadata}),
        )
    }

    /// An error.
    pub fn error(status: u16, text: &str) -> Self {
        Self::json(status, &error_envelope(status, text))
    }

    /// An operation that was started.
    pub fn operation(operation: &Value) -> Self {
        let url = format!("/1.0/operations/{}", operation["id"].as_str().unwrap_or_default());
        let body = json!({"type": "async", "status": "Operation created", "status_code": 100, "operation": url,
            "error_code": 0, "error": "", "metadata": operation});
        Self::json(202, &body).header("location", &url)
    }

    /// Bytes without an envelope.
    pub fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(crate) fn error_envelope(code: u16, text: &str) -> Value {
    json!({"type": "error", "status": "", "status_code": 0, "operation": "", "error_code": code, "error": text,
        "metadata": null})
}

#[derive(Deserialize)]
struct Recorded {
    method: String,
    path: String,
    status: u16,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    body: Value,
}

/// Reads a list of recorded answers.
pub(crate) fn read_recording(text: &str) -> serde_json::Result<Vec<(Route, Answer)>> {
    let list: Vec<Recorded> = serde_json::from_str(text)?;
    Ok(list
        .into_iter()
        .map(|recorded| {
            let mut answer = Answer::json(recorded.status, &recorded.body);
            answer.headers.extend(recorded.headers);
            (Route::new(&recorded.method, &recorded.path), answer)
        })
        .collect())
}
