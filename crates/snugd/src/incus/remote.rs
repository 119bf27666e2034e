//! Image servers: what they have, and images fetched from them.
//!
//! incusd fetches (with its proxy, if it has one); it lists no server's images for its clients, so the list is read by the
//! daemon itself, from servers that the administrator configured.

use std::collections::{HashMap, HashSet};

use incus_client::simplestreams::{SimpleStreams, StreamError, StreamImage};
use incus_client::{Client, ImageSource, ImagesPost, Operation};
use snug_core::image::{Protocol, Remote};
use snug_core::text;
use tokio::sync::Semaphore;
use zbus::Variant;

use super::quirks;
use crate::error::{Error, ErrorKind, Result};
use crate::host::file;

/// Lists that are read at once, of all users: each takes some megabytes for a moment.
static LISTS: Semaphore = Semaphore::const_new(2);

/// Names that a message offers.
const OFFERED: usize = 8;

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
        Err(error) => Err(explain(client, error, remote, alias).await),
    }
}

/// An error of Incus about an image that it was to fetch.
pub async fn explain(client: &Client, error: incus_client::Error, remote: &Remote, alias: &str) -> Error {
    let text = error.to_string();
    let reference = format!("{}:{alias}", remote.name);
    if quirks::is_unknown_image(&text) {
        return unknown(client, remote, alias).await;
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

/// That the server has no such image, with the names it has that were probably meant.
async fn unknown(client: &Client, remote: &Remote, alias: &str) -> Error {
    let error =
        Error::new(ErrorKind::ImageUnknown, format!("{} has no image '{}:{alias}'", remote.url, remote.name));
    // The list only helps; without it the error is the same.
    let names = match list(client, remote).await {
        Ok(images) => images.into_iter().flat_map(|image| image.aliases).collect(),
        Err(error) => {
            tracing::debug!("no names to offer: {error}");
            Vec::new()
        }
    };
    offer(error, remote, alias, &names)
}

fn offer(mut error: Error, remote: &Remote, alias: &str, names: &[String]) -> Error {
    if let Some(near) = text::nearest(alias, names.iter().map(String::as_str)) {
        error = error.hint(format!("did you mean '{}:{near}'?", remote.name));
    }
    let family = alias.split('/').next().unwrap_or(alias);
    let mut relatives: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.split('/').next().is_some_and(|first| first == family))
        .collect();
    // The short ones are those that people type.
    relatives.sort_by_key(|name| (name.matches('/').count(), *name));
    relatives.dedup();
    if !relatives.is_empty() {
        let more = if relatives.len() > OFFERED { ", …" } else { "" };
        relatives.truncate(OFFERED);
        error = error.hint(format!("of '{family}' it has: {}{more}", relatives.join(", ")));
    }
    error.hint(format!("`snug image list {}:` shows all that it has", remote.name))
}

async fn certificate(remote: &Remote) -> Result<Option<String>> {
    let Some(path) = remote.certificate.clone() else { return Ok(None) };
    let name = remote.name.clone();
    let text = tokio::task::spawn_blocking(move || file::read_or_empty(&path)).await??;
    if text.is_empty() {
        let path = remote.certificate.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        return Err(Error::new(
            ErrorKind::Failed,
            format!("the certificate of the remote '{name}' is missing or empty: {}", path.display()),
        )
        .hint("an administrator names it in the configuration: [remotes.NAME] certificate"));
    }
    Ok(Some(text))
}

/// The images for containers that a server has for this host.
///
/// # Errors
/// [`ErrorKind::ImageUnreachable`]; [`ErrorKind::Unsupported`] for a server that speaks another protocol.
pub async fn list(client: &Client, remote: &Remote) -> Result<Vec<StreamImage>> {
    if remote.protocol != Protocol::Simplestreams {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("'{}' speaks the protocol {}: its images cannot be listed", remote.name, remote.protocol),
        )
        .hint(format!("`snug image pull {}:NAME` fetches one", remote.name)));
    }
    let server = client.server().await?;
    let architecture = server.environment.architectures.first().cloned().unwrap_or_default();
    let certificate = certificate(remote).await?;
    let turn = LISTS.acquire().await;
    let url = remote.url.clone();
    let server =
        tokio::task::spawn_blocking(move || SimpleStreams::new(&url, certificate.as_deref())).await?;
    let images = match server {
        Ok(server) => server.images().await,
        Err(error) => Err(error),
    };
    drop(turn);
    let mut images = images.map_err(|error| unlisted(remote, &error))?;
    images.retain(|image| image.architecture == architecture);
    Ok(images)
}

fn unlisted(remote: &Remote, error: &StreamError) -> Error {
    let doing = format!("list the images of '{}'", remote.name);
    match error {
        error if error.is_untrusted() => untrusted(remote, &doing, &error.to_string()),
        StreamError::Unreachable { .. } => unreachable(remote, &doing, &error.to_string()),
        StreamError::InvalidArgument { .. } => {
            Error::new(ErrorKind::Failed, format!("cannot {doing}: {error}"))
                .hint(format!("an administrator sets [remotes.{}] in the configuration", remote.name))
        }
        _ => Error::new(ErrorKind::ImageUnreachable, format!("cannot {doing}: {error}"))
            .hint(format!("is {} a simplestreams server?", remote.url)),
    }
}

/// The same, as they travel on the bus; `here` are the fingerprints that Incus has.
#[must_use]
pub fn describe(
    images: Vec<StreamImage>,
    remote: &Remote,
    here: &HashSet<String>,
) -> Vec<HashMap<&'static str, Variant<'static>>> {
    let describe = |image: StreamImage| {
        let alias = image.aliases.first().cloned()?;
        Some(HashMap::from([
            ("reference", Variant::from(format!("{}:{alias}", remote.name))),
            ("cached", Variant::from(here.contains(&image.fingerprint))),
            ("aliases", Variant::from(image.aliases)),
            ("fingerprint", Variant::from(image.fingerprint)),
            ("description", Variant::from(image.description)),
            ("architecture", Variant::from(image.architecture)),
            ("size", Variant::from(image.size)),
            ("created", Variant::from(image.created_at.as_str().to_owned())),
            ("own", Variant::from(false)),
            ("server", Variant::from(remote.url.clone())),
            ("server-alias", Variant::from(alias)),
        ]))
    };
    images.into_iter().filter_map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(alias: &str, names: &[&str]) -> Vec<String> {
        let remote = Remote {
            name: "images".into(),
            url: "https://x".into(),
            protocol: Protocol::Simplestreams,
            certificate: None,
        };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        offer(Error::new(ErrorKind::ImageUnknown, "no"), &remote, alias, &names).hints
    }

    #[test]
    fn names_that_were_probably_meant_are_offered() {
        let names = ["debian/12", "debian/12/cloud", "debian/13", "alpine/3.22"];
        assert_eq!(
            hints("debian/14", &names),
            [
                "did you mean 'images:debian/12'?",
                "of 'debian' it has: debian/12, debian/13, debian/12/cloud",
                "`snug image list images:` shows all that it has",
            ]
        );
        assert_eq!(hints("plan9", &names), ["`snug image list images:` shows all that it has"]);
    }

    #[test]
    fn of_many_names_a_few_are_offered() {
        let names: Vec<String> = (10..40).map(|n| format!("fedora/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hints = hints("fedora/rawhide", &names);
        assert_eq!(hints[0].matches("fedora/").count(), OFFERED);
        assert!(hints[0].ends_with('…'), "{hints:?}");
    }
}
