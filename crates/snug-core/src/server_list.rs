//! What `snugd list-server` answers `snug`, as one line of JSON: `{"images": […]}` or `{"error": {"kind": …, "message": …}}`.

use serde::{Deserialize, Serialize};

/// An image of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerImage {
    /// What may stand behind `REMOTE:`.
    pub aliases: Vec<String>,
    /// Its hash.
    pub fingerprint: String,
    /// As the kernel names it.
    pub architecture: String,
    /// What it is.
    pub description: String,
    /// Bytes, packed.
    pub size: u64,
    /// RFC 3339.
    pub created: String,
}

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerFault {
    /// Its certificate is not one to trust.
    Untrusted,
    /// It cannot be reached.
    Unreachable,
    /// Its address, or the certificate that was given for it, makes no sense.
    Invalid,
    /// It answers something else than a list, or a fault that this version does not know.
    #[serde(other)]
    Malformed,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerList {
    /// What it has.
    Images(Vec<ServerImage>),
    /// Why that cannot be told.
    Error {
        /// What kind of fault.
        kind: ServerFault,
        /// For a person.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_and_a_fault_of_a_newer_version_is_one_all_the_same() {
        let fault = ServerList::Error { kind: ServerFault::Unreachable, message: "no route".into() };
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(text, r#"{"error":{"kind":"unreachable","message":"no route"}}"#);
        assert_eq!(serde_json::from_str::<ServerList>(&text).unwrap(), fault);
        let newer = r#"{"error":{"kind":"asleep","message":"m"}}"#;
        let ServerList::Error { kind, .. } = serde_json::from_str(newer).unwrap() else { panic!("no fault") };
        assert_eq!(kind, ServerFault::Malformed);
        assert_eq!(serde_json::to_string(&ServerList::Images(Vec::new())).unwrap(), r#"{"images":[]}"#);
    }
}
