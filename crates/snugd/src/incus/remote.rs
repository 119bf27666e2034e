//! Images fetched from servers: incusd does that, with its own network and proxy. The daemon itself has no network (its unit
//! forbids it), so what a server has is read by another process, as the user: `snugd list-server`, see [`crate::server_list`].

use std::path::Path;

use incus_client::{Client, ImageSource, ImagesPost, Operation};
use snug_core::image::Remote;

use super::quirks;
use crate::error::{Error, ErrorKind, Result};
use crate::host::file;

/// Starts fetching an image from a server.
///
/// # Errors
/// [`ErrorKind::ImageUnreachable`], [`ErrorKind::ImageUnknown`]; a certificate that cannot be read.
pub async fn pull(client: &Client, remote: &Remote, alias: &str) -> Result<Operation> {
    let mut source = ImageSource::simplestreams(remote.url.clone(), alias);
    source.protocol = remote.protocol.to_string();
    source.image_type = "container".into();
    source.certificate = certificate(remote).await?.unwrap_or_default();
    let mut post = ImagesPost::new(source, Vec::<String>::new());
    post.auto_update = true;
    match client.images().create(&post).await {
        Ok(operation) => Ok(operation),
        Err(error) => Err(explain(error, remote, alias)),
    }
}

/// An error of Incus about an image that it was to fetch.
#[must_use]
pub fn explain(error: incus_client::Error, remote: &Remote, alias: &str) -> Error {
    let text = error.to_string();
    let reference = format!("{}:{alias}", remote.name);
    if quirks::is_unknown_image(&text) {
        return Error::new(ErrorKind::ImageUnknown, format!("{} has no image '{reference}'", remote.url))
            .hint(format!("`snug image list {}:` shows all that it has", remote.name));
    }
    if quirks::is_wrong_hash(&text) {
        return Error::new(
            ErrorKind::ImageBroken,
            format!("the image '{reference}' arrived other than its server announced it: {text}"),
        )
        .hint("nothing of it was kept; the server may be in the middle of an update: try again later")
        .hint(format!("should it stay so, tell those who keep {}", remote.url));
    }
    if quirks::is_untrusted(&text) {
        return untrusted(remote, &format!("fetch '{reference}'"), &text);
    }
    if quirks::is_unreachable(&text) {
        return unreachable(remote, &format!("fetch '{reference}'"), &text);
    }
    super::image::explain(error, &reference)
}

fn unreachable(remote: &Remote, doing: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::ImageUnreachable,
        format!("cannot {doing}: the image server {} cannot be reached: {why}", remote.url),
    )
    .hint("is this host online? `snug image list` shows images that need no network")
    .hint("without network: import an image from a file, snug image import file:PATH NAME")
}

fn untrusted(remote: &Remote, doing: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::ImageUnreachable,
        format!("cannot {doing}: the certificate of the image server {} is not trusted: {why}", remote.url),
    )
    .hint(format!(
        "a server with a certificate of its own: [remotes.{}] certificate = \"/…pem\"",
        remote.name
    ))
    .hint("a certificate that is not valid yet, or no more: is this host's clock right?")
}

async fn certificate(remote: &Remote) -> Result<Option<String>> {
    let Some(path) = remote.certificate.clone() else { return Ok(None) };
    let name = remote.name.clone();
    let text = tokio::task::spawn_blocking(move || file::read_or_empty(&path)).await??;
    if text.is_empty() {
        let path = remote.certificate.as_deref().unwrap_or_else(|| Path::new(""));
        return Err(Error::new(
            ErrorKind::Failed,
            format!("the certificate of the remote '{name}' is missing or empty: {}", path.display()),
        )
        .hint("an administrator names it in the configuration: [remotes.NAME] certificate"));
    }
    Ok(Some(text))
}
