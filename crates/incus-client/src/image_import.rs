//! Import of image files.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use http::{HeaderName, Method};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::client::Call;
use crate::error::Error;
use crate::file::streamed;
use crate::image::Images;
use crate::operation::Operation;
use crate::path::{ApiPath, encode_form};
use crate::{Config, InstanceType, Result};

/// What an imported image gets besides its files. Aliases are made afterwards with
/// [`Images::create_alias`], which works with every version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageImport {
    /// Properties on top of those in the image.
    pub properties: Config,
    /// Whether untrusted clients may fetch it.
    pub public: bool,
    /// Expected SHA-256 in hexadecimal (of the file; of both files one after the other); incusd refuses others.
    pub fingerprint: Option<String>,
    /// Container or virtual machine, for split images.
    pub kind: InstanceType,
    /// Bytes of the root file system that are sent at most, where somebody else may write to the file meanwhile; one that
    /// is longer is sent cut off. `None` sends it whole.
    pub rootfs_limit: Option<u64>,
}

impl Images {
    /// Imports a split image: an archive with `metadata.yaml` and a root file system (squashfs, an archive, or
    /// a disk image for a virtual machine). The files are streamed.
    pub async fn import_split(
        &self,
        metadata: &Path,
        rootfs: &Path,
        import: &ImageImport,
    ) -> Result<Operation> {
        let boundary = boundary();
        let name = if import.kind == InstanceType::VirtualMachine { "rootfs.img" } else { "rootfs" };
        let (first, second) = (open(metadata).await?, open(rootfs).await?);
        let body = Cursor::new(part_head(&boundary, "metadata", metadata, true))
            .chain(first)
            .chain(Cursor::new(part_head(&boundary, name, rootfs, false)))
            .chain(second.take(import.rootfs_limit.unwrap_or(u64::MAX)))
            .chain(Cursor::new(format!("\r\n--{boundary}--\r\n").into_bytes()));
        let call = Call::new(Method::POST, &ApiPath::new(["images"]))
            .body(&format!("multipart/form-data; boundary={boundary}"), streamed(body))?;
        self.import(call, import).await
    }

    /// Imports a unified image: one archive with `metadata.yaml` and `rootfs/`. The file is streamed.
    pub async fn import_unified(&self, archive: &Path, import: &ImageImport) -> Result<Operation> {
        let call = Call::new(Method::POST, &ApiPath::new(["images"]))
            .body("application/octet-stream", streamed(open(archive).await?))?;
        let filename = file_name(archive);
        self.import(call.header(HeaderName::from_static("x-incus-filename"), &filename)?, import).await
    }

    async fn import(&self, mut call: Call, import: &ImageImport) -> Result<Operation> {
        if import.public {
            call = call.header(HeaderName::from_static("x-incus-public"), "1")?;
        }
        if !import.properties.is_empty() {
            let pairs = import.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            call = call.header(HeaderName::from_static("x-incus-properties"), &encode_form(pairs))?;
        }
        if let Some(fingerprint) = &import.fingerprint {
            call = call.header(HeaderName::from_static("x-incus-fingerprint"), fingerprint)?;
        }
        // How long it takes depends on the files; a dead connection ends it anyway.
        let reply = self.client.call(call.timeout(std::time::Duration::MAX)).await?;
        self.client.adopt(reply)
    }
}

async fn open(path: &Path) -> Result<File> {
    File::open(path).await.map_err(|error| Error::io(path.display().to_string(), error))
}

/// Name of a file as it may stand in a header.
fn file_name(path: &Path) -> String {
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    name.to_string_lossy().chars().map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' }).collect()
}

/// A line that does not occur in the files: 128 bits of chance.
fn boundary() -> String {
    let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
    let letters: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("part-{letters}")
}

fn part_head(boundary: &str, name: &str, path: &Path, first: bool) -> Vec<u8> {
    let line = if first { "" } else { "\r\n" };
    let filename = file_name(path);
    format!(
        "{line}--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{boundary, file_name};

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        assert_eq!(file_name(Path::new("/a/b\"c\r\nd ü.tar")), "b_c__d__.tar");
    }

    #[test]
    fn boundaries_differ() {
        assert_ne!(boundary(), boundary());
        assert!(boundary().len() < 70);
    }
}
