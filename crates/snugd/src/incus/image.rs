//! Images. All lie in Incus' default project, so that a download serves every user; what a user imported is his: its
//! alias is `snug-UID-USER/NAME`, and for anybody else, a later holder of the uid too, it does not exist.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use incus_client::{Client, Image, ImageImport, InstanceType};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, fstatfs};
use snug_core::image::{ImageRef, Remote};
use snug_core::spec::OwnerTag;
use zbus::Variant;

use super::image_metadata::{self, Metadata};
use super::quirks;
use crate::error::{Error, ErrorKind, Result, failed, invalid};
use crate::host::space;

/// Property of an imported image: whose it is.
const OWNER: &str = "user.snug.owner";
/// Images of his own that a user may have: Incus' disk is everybody's.
const MOST_OWN: usize = 64;
/// Files without holes to speak of may be this large, and the host's disk keeps so much.
const HOLE: u64 = 1 << 20;
const RESERVE: u64 = 1 << 30;

/// For whom images exist: those of all, and his own. For root all do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer(OwnerTag);

impl Viewer {
    /// The user of that tag.
    #[must_use]
    pub fn new(tag: OwnerTag) -> Self {
        Self(tag)
    }

    fn is_root(&self) -> bool {
        self.0.uid.0 == 0
    }

    /// His part of an alias: of his name what an alias may hold, the rest as `%` and hexadecimal digits.
    fn prefix(&self) -> String {
        let mut prefix = format!("{}-", self.0.uid);
        for byte in self.0.name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => prefix.push(byte.into()),
                _ => prefix.push_str(&format!("%{byte:02x}")),
            }
        }
        prefix
    }

    /// His own alias for `name`.
    fn alias(&self, name: &str) -> String {
        format!("snug-{}/{name}", self.prefix())
    }

    /// What he calls an alias of his own.
    fn own<'a>(&self, alias: &'a str) -> Option<&'a str> {
        split_alias(alias).and_then(|(owner, name)| (owner == self.prefix()).then_some(name))
    }

    fn imported(&self, image: &Image) -> bool {
        image.properties.get(OWNER).is_some_and(|owner| *owner == self.0.to_string())
    }

    /// Whether the image exists for him.
    fn sees(&self, image: &Image) -> bool {
        self.is_root()
            || !image.properties.contains_key(OWNER)
            || self.imported(image)
            || image.aliases.iter().any(|alias| self.own(&alias.name).is_some())
    }

    /// What he calls the image; aliases of others are left out.
    fn names(&self, image: &Image) -> Vec<String> {
        let name = |alias: &str| match (self.own(alias), split_alias(alias)) {
            (Some(name), _) => Some(name.to_owned()),
            (None, Some(_)) if !self.is_root() => None,
            (None, _) => Some(alias.to_owned()),
        };
        image.aliases.iter().filter_map(|alias| name(&alias.name)).collect()
    }
}

/// A user's part of an alias and the rest; `None` for an alias that is no user's own.
fn split_alias(alias: &str) -> Option<(&str, &str)> {
    let (owner, name) = alias.strip_prefix("snug-")?.split_once('/')?;
    owner.starts_with(|c: char| c.is_ascii_digit()).then_some((owner, name))
}

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
    if quirks::is_broken_image(&text) {
        return Error::new(ErrorKind::ImageBroken, format!("the image '{reference}' cannot be read: {text}"));
    }
    Error::from(error).context(format!("fetch '{reference}'"))
}

/// A file that a caller handed over, checked: readable for him, a plain file, not one of a file system of his own.
///
/// The daemon opens it again as root through `/proc/self/fd`; a descriptor opened with `O_PATH` or for writing only
/// would let him read what he may not.
#[derive(Debug)]
pub struct Handed(OwnedFd);

impl Handed {
    /// Checks a descriptor. Blocks, perhaps for long: whoever made the file may have made its file system.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`].
    pub fn new(descriptor: OwnedFd, what: &str) -> Result<Self> {
        let system = |errno| Error::system(format!("look at {what}"), errno);
        let flags = fcntl_getfl(&descriptor).map_err(system)?;
        if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE == OFlags::WRONLY {
            return Err(invalid(format!("{what} must be opened for reading")));
        }
        let status = fstat(&descriptor).map_err(system)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(invalid(format!("{what} must be a plain file")));
        }
        if !space::is_own(&fstatfs(&descriptor).map_err(system)?) {
            return Err(invalid(format!("{what} lies on a file system that may keep its reader waiting"))
                .hint("copy it to a local disk first: /tmp, /var/tmp or a home on one"));
        }
        Ok(Self(descriptor))
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_fd().as_raw_fd()).into()
    }

    /// Incus copies it to its own disk, holes and all, and unpacks it there: a file of 100 GB that is one hole costs its
    /// owner nothing.
    fn check_room(&self, name: &str, free: u64) -> Result<()> {
        let status = fstat(&self.0).map_err(|errno| Error::system(format!("look at '{name}'"), errno))?;
        let size = u64::try_from(status.st_size).unwrap_or(u64::MAX);
        let is_hole = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512) < size / 16;
        if is_hole && size > HOLE {
            return Err(Error::new(ErrorKind::ImageBroken, format!("the file for '{name}' is mostly holes"))
                .hint("a root file system is a squashfs image or a tar archive"));
        }
        if size.saturating_mul(2).saturating_add(RESERVE) > free {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("no room for '{name}': it has {} MiB", size >> 20),
            )
            .hint("Incus keeps a copy and unpacks it: it takes twice its size"));
        }
        Ok(())
    }

    /// Incus takes in anything as a root file system and finds out what it is when a container is made of it.
    fn check_kind(&self, name: &str) -> Result<()> {
        let mut head = [0; 512];
        let count = rustix::io::pread(&self.0, &mut head, 0)
            .map_err(|errno| Error::system(format!("read '{name}'"), errno))?;
        if is_archive(&head[..count]) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ImageBroken, format!("the file for '{name}' is broken or no archive"))
            .hint("a root file system is a squashfs image or a tar archive: plain, gzip, bzip2, xz, lzma or zstd"))
    }
}

/// Whether a file that begins so may be a root file system: the kinds that Incus unpacks (`shared/archive`, 6.0.4).
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 6] = [b"hsqs", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
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
    let (rootfs, metadata) = tokio::task::spawn_blocking(move || -> Result<_> {
        rootfs.check_kind(&own_name)?;
        // An Incus that keeps its images elsewhere says itself when its disk is full.
        let free = space::of(Path::new(super::pool::INCUS_DIR)).map_or(u64::MAX, |space| space.free);
        rootfs.check_room(&own_name, free)?;
        // A given archive is read and written anew: see there, why Incus must not see it.
        let given =
            metadata.map_or_else(|| Ok(Metadata::default()), |given| image_metadata::read(given.0))?;
        Ok((rootfs, generated_metadata(&own_name, &architecture, given)?))
    })
    .await??;
    let options = ImageImport {
        properties: [(OWNER.to_owned(), viewer.0.to_string())].into(),
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
    Ok(Handed(make().map_err(|error| Error::system("make the image's metadata", error))?))
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
    if !viewer.is_root() && !image.properties.contains_key(OWNER) {
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
    use incus_client::ImageAlias;

    #[test]
    fn what_incus_cannot_unpack_is_told_from_what_it_can() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for good in [&tar[..], b"hsqs....", b"\x1f\x8b\x08", b"\xfd7zXZ\0..", b"\x28\xb5\x2f\xfd"] {
            assert!(is_archive(good), "{good:?}");
        }
        for bad in [&b""[..], b"#!/bin/sh", b"PK\x03\x04", &[b'x'; 512]] {
            assert!(!is_archive(bad), "{bad:?}");
        }
    }

    fn viewer(tag: &str) -> Viewer {
        Viewer::new(tag.parse().unwrap())
    }

    fn image(owner: Option<&str>, aliases: &[&str]) -> Image {
        let mut image: Image = serde_json::from_str("{\"fingerprint\":\"abc\"}").unwrap();
        image.aliases = aliases.iter().map(|name| ImageAlias::new(*name)).collect();
        if let Some(tag) = owner {
            image.properties.insert(OWNER.into(), tag.to_owned());
        }
        image
    }

    #[test]
    fn an_imported_image_does_not_exist_for_others_nor_for_who_gets_the_uid_later() {
        let (anna, root) = (viewer("1000:anna"), viewer("0:root"));
        let mine = image(Some("1000:anna"), &[&anna.alias("work")]);
        assert!(anna.sees(&mine) && root.sees(&mine));
        assert_eq!(anna.names(&mine), ["work"]);
        for other in ["1001:anna", "1000:bert", "1000:anna-", "100:0-anna"].map(viewer) {
            assert!(!other.sees(&mine) && other.names(&mine).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn a_shared_image_exists_for_all_and_others_names_are_hidden() {
        let (anna, bert) = (viewer("1000:anna"), viewer("1001:bert"));
        let shared = image(None, &["debian/13", &anna.alias("deb"), "snug-tools/1"]);
        assert!(bert.sees(&shared));
        assert_eq!(bert.names(&shared), ["debian/13", "snug-tools/1"]);
        assert_eq!(anna.names(&shared), ["debian/13", "deb", "snug-tools/1"]);
    }

    #[test]
    fn a_name_of_a_directory_service_stays_within_its_part_of_the_alias() {
        let odd = viewer("1000:EX\\a/b c");
        assert_eq!(odd.alias("x/y"), "snug-1000-EX%5ca%2fb%20c/x/y");
        assert_eq!(odd.own("snug-1000-EX%5ca%2fb%20c/x/y"), Some("x/y"));
    }

    #[test]
    fn a_descriptor_that_grants_no_reading_is_refused() {
        let path = rustix::fs::open("/etc/passwd", OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(Handed::new(path, "rootfs").unwrap_err().kind, ErrorKind::InvalidArgument);
        let directory = rustix::fs::open("/etc", OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(Handed::new(directory, "rootfs").unwrap_err().kind, ErrorKind::InvalidArgument);
        let file = rustix::fs::open("/etc/passwd", OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        assert!(Handed::new(file, "rootfs").is_ok());
    }

    #[test]
    fn a_file_of_holes_is_no_image_and_one_must_fit() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100 << 30).unwrap();
        let rootfs = Handed::new(file.into(), "rootfs").unwrap();
        assert_eq!(rootfs.check_room("x", u64::MAX).unwrap_err().kind, ErrorKind::ImageBroken);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[1; 4096]).unwrap();
        let rootfs = Handed::new(file.into(), "rootfs").unwrap();
        assert!(rootfs.check_room("x", RESERVE + 8192).is_ok());
        assert_eq!(rootfs.check_room("x", RESERVE).unwrap_err().kind, ErrorKind::NoSpace);
    }

    #[test]
    fn generated_metadata_is_an_archive_with_one_file() {
        let made = generated_metadata("dev", "x86_64", Metadata::default()).unwrap();
        let mut archive = tar::Archive::new(std::fs::File::open(made.path()).unwrap());
        let names: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [PathBuf::from("metadata.yaml")]);
    }
}
