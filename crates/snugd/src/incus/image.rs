//! Images. All lie in Incus' default project, so that a download serves every user; what a user imported is his: its
//! alias is `snug-UID-USER/NAME`, and for anybody else, a later holder of the uid too, it does not exist.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use incus_client::{Client, Image, ImageImport, InstanceType};
use snug_core::image::{ImageRef, Remote};
use snug_core::spec::OWNER_KEY;
use zbus::Variant;

use super::handed::{Handed, RESERVE};
use super::image_metadata::{self, Metadata};
use super::quirks;
use super::viewer::{Viewer, split_alias};
use crate::error::{Error, ErrorKind, Result, failed, invalid};
use crate::host::space;

/// Images of his own that a user may have: Incus' disk is everybody's.
const MOST_OWN: usize = 64;

/// Which image a reference means for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Incus has it, under this fingerprint.
    Here(String),
    /// It must be fetched first.
    Away(Remote, String),
}

fn unknown(image: &ImageRef) -> Error {
    Error::new(ErrorKind::ImageUnknown, format!("there is no image '{image}'"))
        .hint("`snug image list` shows the images of this host")
}

/// Finds the image that `reference` means for `viewer`.
///
/// # Errors
/// [`ErrorKind::ImageUnknown`]; [`ErrorKind::Unsupported`] for a file, which the client must import first.
pub async fn find(
    client: &Client,
    viewer: &Viewer,
    reference: &ImageRef,
    remote: Option<&Remote>,
) -> Result<Found> {
    let images = client.images().list().await?;
    let visible: Vec<&Image> =
        images.iter().filter(|image| image.kind == InstanceType::Container && viewer.sees(image)).collect();
    let here = |image: Option<&&Image>| image.map(|image| Found::Here(image.fingerprint.clone()));
    match reference {
        ImageRef::Local(name) => {
            let own = viewer.alias(name);
            let called =
                |wanted: &str| visible.iter().find(|image| image.aliases.iter().any(|a| a.name == wanted));
            let foreign = split_alias(name).is_some() && viewer.own(name).is_none() && !viewer.is_root();
            let found = called(&own).or_else(|| if foreign { None } else { called(name) });
            here(found).ok_or_else(|| unknown(reference))
        }
        ImageRef::Fingerprint(digits) => {
            let mut matching = visible.iter().filter(|image| image.fingerprint.starts_with(digits.as_str()));
            match (matching.next(), matching.next()) {
                (Some(image), None) => Ok(Found::Here(image.fingerprint.clone())),
                (Some(_), Some(_)) => Err(invalid(format!("'{digits}' is the beginning of several images"))),
                _ => Err(unknown(reference)),
            }
        }
        ImageRef::Remote { remote: name, alias } => {
            let remote = remote.ok_or_else(|| {
                Error::new(ErrorKind::ImageUnknown, format!("no remote is called '{name}'"))
            })?;
            let fetched = visible.iter().find(|image| {
                image.update_source.as_ref().is_some_and(|source| {
                    source.alias == *alias
                        && source.server.trim_end_matches('/') == remote.url.trim_end_matches('/')
                })
            });
            Ok(here(fetched).unwrap_or_else(|| Found::Away(remote.clone(), alias.clone())))
        }
        ImageRef::File(path) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the daemon opens no files of its callers: {}", path.display()),
        )
        .hint(format!("import it first: snug image import file:{} NAME", path.display()))),
    }
}

/// An error of Incus about an image, told by its kind.
#[must_use]
pub fn explain(error: incus_client::Error, reference: &str) -> Error {
    let text = error.to_string();
    if quirks::is_broken_image(&text) && !quirks::is_full_disk(&text) {
        return Error::new(ErrorKind::ImageBroken, format!("the image '{reference}' cannot be read: {text}"));
    }
    Error::from(error).context(format!("fetch '{reference}'"))
}

/// Imports an image for `viewer` under `name`; of the metadata a few properties are taken over. Gives the fingerprint, and
/// whether Incus did not have it before.
///
/// # Errors
/// [`ErrorKind::ImageBroken`], [`ErrorKind::Exists`].
pub async fn import(
    client: &Client,
    viewer: &Viewer,
    name: &str,
    metadata: Option<Handed>,
    rootfs: Handed,
    architecture: &str,
) -> Result<(String, bool)> {
    let images = client.images();
    let alias = viewer.alias(name);
    if images.alias(&alias).await.is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("there is an image 'local:{name}' already"))
            .hint(format!("remove it first: snug image rm local:{name}")));
    }
    let before = images.list().await?;
    if before.iter().filter(|image| viewer.imported(image)).count() >= MOST_OWN {
        return Err(Error::new(
            ErrorKind::NoSpace,
            format!("you have {MOST_OWN} images of your own already"),
        )
        .hint("remove one: snug image rm"));
    }
    let (own_name, architecture) = (name.to_owned(), architecture.to_owned());
    let (rootfs, size, metadata) = tokio::task::spawn_blocking(move || -> Result<_> {
        rootfs.check_kind(&own_name)?;
        // An Incus that keeps its images elsewhere says itself when its disk is full.
        let free = space::of(Path::new(super::pool::INCUS_DIR)).map_or(u64::MAX, |space| space.free);
        let size = rootfs.check_room(&own_name, free)?;
        // A given archive is read and written anew: see there, why Incus must not see it.
        let given = metadata
            .map_or_else(|| Ok(Metadata::default()), |given| image_metadata::read(given.into_descriptor()))?;
        Ok((rootfs, size, generated_metadata(&own_name, &architecture, given)?))
    })
    .await??;
    let options = ImageImport {
        properties: [(OWNER_KEY.to_owned(), viewer.tag().to_string())].into(),
        rootfs_limit: Some(size),
        ..ImageImport::default()
    };
    let ended = match images.import_split(&metadata.path(), &rootfs.path(), &options).await {
        Ok(operation) => operation.wait().await,
        Err(error) => Err(error),
    };
    let fingerprint = match ended {
        Ok(info) => info
            .fingerprint()
            .map(str::to_owned)
            .ok_or_else(|| failed("Incus does not name the imported image"))?,
        Err(error) => return Err(explain(error, &format!("local:{name}"))),
    };
    let is_new = !before.iter().any(|image| image.fingerprint == fingerprint);
    if let Err(error) = images.create_alias(&alias, &fingerprint, "").await {
        if is_new {
            // Undo: an image without a name could not be found again by its owner.
            let _ = images.delete(&fingerprint).await;
        }
        return Err(Error::from(error).context(format!("name the image '{name}'")));
    }
    Ok((fingerprint, is_new))
}

/// Whether there is room on Incus' disk for an image of a server, whose size it does not tell before.
///
/// # Errors
/// [`ErrorKind::NoSpace`].
pub async fn check_room_to_pull() -> Result<()> {
    let free = tokio::task::spawn_blocking(|| space::of(Path::new(super::pool::INCUS_DIR))).await?;
    if free.is_ok_and(|space| space.free < RESERVE) {
        return Err(Error::new(ErrorKind::NoSpace, "no room for another image: less than 1 GiB is free")
            .hint("`snug image list` shows the images of this host"));
    }
    Ok(())
}

/// A `metadata.yaml` in an archive: JSON is YAML.
fn generated_metadata(name: &str, architecture: &str, given: Metadata) -> Result<Handed> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let architecture = given.architecture.as_deref().unwrap_or(architecture);
    let mut properties = given.properties;
    properties.entry("description".to_owned()).or_insert_with(|| name.to_owned());
    properties.insert("architecture".to_owned(), architecture.to_owned());
    let text = serde_json::json!({
        "architecture": architecture,
        "creation_date": given.created.unwrap_or(now),
        "properties": properties,
    })
    .to_string();
    let make = || -> std::io::Result<OwnedFd> {
        let memory = rustix::fs::memfd_create("metadata.tar", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut archive = tar::Builder::new(std::fs::File::from(memory));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(now);
        archive.append_data(&mut header, "metadata.yaml", text.as_bytes())?;
        Ok(archive.into_inner()?.into())
    };
    make().map(Handed::own).map_err(|error| Error::system("make the image's metadata", error))
}

/// Removes what `viewer` calls `reference`: his name for it, and the image when nobody else has one.
///
/// # Errors
/// [`ErrorKind::ImageUnknown`]; [`ErrorKind::NotAuthorized`] for an image that he did not import.
pub async fn remove(
    client: &Client,
    viewer: &Viewer,
    reference: &ImageRef,
    remote: Option<&Remote>,
) -> Result<()> {
    let Found::Here(fingerprint) = find(client, viewer, reference, remote).await? else {
        return Err(unknown(reference));
    };
    let images = client.images();
    let (image, _) = images.get(&fingerprint).await?;
    let own = |alias: &str| viewer.own(alias).is_some();
    if !viewer.is_root() && !image.properties.contains_key(OWNER_KEY) {
        return Err(Error::new(
            ErrorKind::NotAuthorized,
            format!("'{reference}' belongs to all users of this host"),
        )
        .hint("root may remove it: sudo snug image rm …"));
    }
    let others = !viewer.is_root() && image.aliases.iter().any(|alias| !own(&alias.name));
    if !others {
        // The names go with it. Not before it: an image that could not be deleted would have none any more.
        images.delete(&fingerprint).await?.wait().await?;
        return Ok(());
    }
    for alias in image.aliases.iter().filter(|alias| own(&alias.name)) {
        images.delete_alias(&alias.name).await?;
    }
    Ok(())
}

/// The images that exist for `viewer`, as they travel on the bus.
///
/// # Errors
/// What Incus says.
pub async fn list(client: &Client, viewer: &Viewer) -> Result<Vec<HashMap<&'static str, Variant<'static>>>> {
    let mut images = client.images().list().await?;
    images.retain(|image| image.kind == InstanceType::Container && viewer.sees(image));
    images.sort_by_key(|image| viewer.names(image));
    Ok(images.iter().map(|image| describe(image, viewer)).collect())
}

fn describe(image: &Image, viewer: &Viewer) -> HashMap<&'static str, Variant<'static>> {
    let names = viewer.names(image);
    let short: String = image.fingerprint.chars().take(12).collect();
    let reference = names.first().map_or(short, |name| format!("local:{name}"));
    let source = image.update_source.as_ref();
    HashMap::from([
        ("reference", Variant::from(reference)),
        ("cached", Variant::from(true)),
        ("aliases", Variant::from(names)),
        ("fingerprint", Variant::from(image.fingerprint.clone())),
        ("description", Variant::from(image.properties.get("description").cloned().unwrap_or_default())),
        ("architecture", Variant::from(image.architecture.clone())),
        ("size", Variant::from(image.size)),
        ("created", Variant::from(image.created_at.as_str().to_owned())),
        ("own", Variant::from(viewer.imported(image))),
        ("server", Variant::from(source.map(|source| source.server.clone()).unwrap_or_default())),
        ("server-alias", Variant::from(source.map(|source| source.alias.clone()).unwrap_or_default())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_metadata_is_an_archive_with_one_file() {
        let made = generated_metadata("dev", "x86_64", Metadata::default()).unwrap();
        let mut archive = tar::Archive::new(std::fs::File::open(made.path()).unwrap());
        let names: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [std::path::PathBuf::from("metadata.yaml")]);
    }
}
