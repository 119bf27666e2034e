//! `snugd list-server`: what an image server has, as JSON on stdout. Run by `snug` as the user, with his network and his
//! rights, since the daemon has no network and `snug` (static) no resolver; it shares nothing with the daemon but the file.

use std::path::Path;

use incus_client::simplestreams::{SimpleStreams, StreamError, StreamImage};
use snug_core::server_list::{ServerFault, ServerImage, ServerList};

/// A file that is longer is no certificate.
const MAX_CERTIFICATE: u64 = 1 << 20;

/// A [`ServerList`] as one line of JSON.
pub async fn read(url: &str, certificate: Option<&Path>) -> String {
    let answer = match images(url, certificate).await {
        Ok(images) => ServerList::Images(images.into_iter().map(describe).collect()),
        Err((kind, message)) => ServerList::Error { kind, message },
    };
    // Of texts and numbers alone: nothing in it can fail.
    serde_json::to_string(&answer).unwrap_or_default() + "\n"
}

async fn images(url: &str, certificate: Option<&Path>) -> Result<Vec<StreamImage>, (ServerFault, String)> {
    let certificate =
        certificate.map(read_certificate).transpose().map_err(|error| (ServerFault::Invalid, error))?;
    let told = |error: StreamError| (kind(&error), error.to_string());
    let server = SimpleStreams::new(url, certificate.as_deref()).map_err(told)?;
    server.images().await.map_err(told)
}

fn read_certificate(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("certificate {}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_CERTIFICATE), &mut text)
        .map_err(unreadable)?;
    Ok(text)
}

fn kind(error: &StreamError) -> ServerFault {
    match error {
        error if error.is_untrusted() => ServerFault::Untrusted,
        StreamError::Unreachable { .. } => ServerFault::Unreachable,
        StreamError::InvalidArgument { .. } => ServerFault::Invalid,
        _ => ServerFault::Malformed,
    }
}

fn describe(image: StreamImage) -> ServerImage {
    ServerImage {
        aliases: image.aliases,
        fingerprint: image.fingerprint,
        architecture: image.architecture,
        description: image.description,
        size: image.size,
        created: image.created_at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_is_told_by_its_kind() {
        for (url, certificate, kind) in [
            ("http://example.com", None, "invalid"),
            ("https://127.0.0.1:1", None, "unreachable"),
            ("https://127.0.0.1:1", Some("/does/not/exist"), "invalid"),
            ("https://127.0.0.1:1", Some("/etc/passwd"), "invalid"),
        ] {
            let answer: serde_json::Value =
                serde_json::from_str(&read(url, certificate.map(Path::new)).await).unwrap();
            assert_eq!(answer["error"]["kind"], kind, "{url} {certificate:?}: {answer}");
        }
    }
}
