//! Files of an instance, running or stopped.
//!
//! Each request starts a helper process on the host: this is for a few files.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, Method};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::client::{Call, Client};
use crate::connection::{Body, full};
use crate::error::Error;
use crate::instance::{Instances, path};
use crate::path::ApiPath;
use crate::{Extension, Result, envelope};

const UID: HeaderName = HeaderName::from_static("x-incus-uid");
const GID: HeaderName = HeaderName::from_static("x-incus-gid");
const MODE: HeaderName = HeaderName::from_static("x-incus-mode");
const TYPE: HeaderName = HeaderName::from_static("x-incus-type");
const WRITE: HeaderName = HeaderName::from_static("x-incus-write");

/// Bytes that are read from a stream at once.
const CHUNK: usize = 64 << 10;

/// Kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl FileKind {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
        }
    }
}

/// Owner and mode, as the instance sees them. For a new file, `None` leaves the choice to Incus (root, 0644 or
/// 0755). **Incus applies them only to a file that did not exist.**
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileAttributes {
    /// Uid.
    pub uid: Option<u32>,
    /// Gid.
    pub gid: Option<u32>,
    /// Permission bits.
    pub mode: Option<u32>,
}

impl FileAttributes {
    /// All three.
    pub fn new(uid: u32, gid: u32, mode: u32) -> Self {
        Self { uid: Some(uid), gid: Some(gid), mode: Some(mode) }
    }
}

/// A file or directory that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Owner and mode.
    pub attributes: FileAttributes,
    /// What it is.
    pub data: FileData,
}

/// What a file or directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileData {
    /// Bytes of a file; the target of a symbolic link.
    Bytes(Bytes),
    /// Names in a directory.
    Entries(Vec<String>),
}

impl FileContent {
    /// Bytes; `None` for a directory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.data {
            FileData::Bytes(bytes) => Some(bytes),
            FileData::Entries(_) => None,
        }
    }

    /// Names in a directory; `None` for anything else.
    pub fn entries(&self) -> Option<&[String]> {
        match &self.data {
            FileData::Bytes(_) => None,
            FileData::Entries(entries) => Some(entries),
        }
    }
}

/// Files of one instance.
#[derive(Clone, Debug)]
pub struct Files {
    client: Client,
    instance: String,
}

impl Instances {
    /// Files of an instance.
    pub fn files(&self, name: &str) -> Files {
        Files { client: self.client.clone(), instance: name.to_owned() }
    }
}

impl Files {
    fn path(&self, file: &str) -> ApiPath {
        path(&self.instance, ["files"]).query("path", file)
    }

    /// Reads a file into memory, or lists a directory.
    ///
    /// # Errors
    /// 404 when it does not exist; [`Error::TooLarge`] beyond the client's limit.
    pub async fn get(&self, file: &str) -> Result<FileContent> {
        let call = Call::new(Method::GET, &self.path(file));
        let context = call.context(self.client.project_name());
        let (headers, body) = self.client.call_raw(call).await?;
        let data = if kind(&headers) == Some(FileKind::Directory) {
            let envelope = envelope::parse(&context, http::StatusCode::OK, &body)?;
            FileData::Entries(envelope::metadata::<Option<_>>(&context, envelope)?.unwrap_or_default())
        } else {
            FileData::Bytes(body)
        };
        Ok(FileContent { attributes: attributes(&headers), data })
    }

    /// Copies a file of any size to a stream.
    pub async fn download(&self, file: &str, to: &mut (impl AsyncWrite + Unpin)) -> Result<FileAttributes> {
        let call = Call::new(Method::GET, &self.path(file));
        let context = call.context(self.client.project_name());
        let mut exchange = self.client.open_checked(call).await?;
        let headers = exchange.response.headers().clone();
        if kind(&headers) == Some(FileKind::Directory) {
            return Err(Error::InvalidArgument { what: "file", message: format!("{file} is a directory") });
        }
        while let Some(bytes) = self.client.read_some(&context, &mut exchange).await? {
            to.write_all(&bytes).await.map_err(|error| Error::io("writing the copy", error))?;
        }
        self.client.finish(exchange);
        to.flush().await.map_err(|error| Error::io("writing the copy", error))?;
        Ok(attributes(&headers))
    }

    /// Owner, mode and kind.
    pub async fn head(&self, file: &str) -> Result<(FileAttributes, Option<FileKind>)> {
        let (headers, _) = self.client.call_raw(Call::new(Method::HEAD, &self.path(file))).await?;
        Ok((attributes(&headers), kind(&headers)))
    }

    /// Writes a file, replacing its content. The directory must exist.
    pub async fn put(&self, file: &str, content: impl Into<Bytes>, attributes: FileAttributes) -> Result<()> {
        self.post(file, FileKind::File, full(content), attributes, "overwrite").await
    }

    /// Appends to a file.
    pub async fn append(&self, file: &str, content: impl Into<Bytes>) -> Result<()> {
        self.post(file, FileKind::File, full(content), FileAttributes::default(), "append").await
    }

    /// Writes a file of any size from a stream.
    pub async fn upload(
        &self,
        file: &str,
        from: impl AsyncRead + Send + Unpin + 'static,
        attributes: FileAttributes,
    ) -> Result<()> {
        self.post(file, FileKind::File, streamed(from), attributes, "overwrite").await
    }

    /// Makes a directory. Parents are not made.
    pub async fn mkdir(&self, directory: &str, attributes: FileAttributes) -> Result<()> {
        self.post(directory, FileKind::Directory, full(Bytes::new()), attributes, "overwrite").await
    }

    /// Makes a symbolic link.
    pub async fn symlink(&self, link: &str, target: &str, attributes: FileAttributes) -> Result<()> {
        self.post(link, FileKind::Symlink, full(target.to_owned()), attributes, "overwrite").await
    }

    /// Deletes a file or an empty directory.
    pub async fn delete(&self, file: &str) -> Result<()> {
        self.client.change(Method::DELETE, &self.path(file), &(), None).await
    }

    /// Deletes a directory with all that is in it.
    ///
    /// # Errors
    /// [`Error::MissingExtension`] where Incus cannot do this (`file_delete_force`).
    pub async fn delete_all(&self, directory: &str) -> Result<()> {
        self.client.require(Extension::FILE_DELETE_FORCE).await?;
        const FORCE: HeaderName = HeaderName::from_static("x-incus-force");
        let call = Call::new(Method::DELETE, &self.path(directory)).header(FORCE, "true")?;
        self.client.call(call).await.map(|_| ())
    }

    async fn post(
        &self,
        file: &str,
        kind: FileKind,
        body: Body,
        attributes: FileAttributes,
        write: &str,
    ) -> Result<()> {
        let mut call = Call::new(Method::POST, &self.path(file))
            .body("application/octet-stream", body)?
            .header(TYPE, kind.name())?
            .header(WRITE, write)?
            .timeout(std::time::Duration::MAX);
        if let Some(uid) = attributes.uid {
            call = call.header(UID, &uid.to_string())?;
        }
        if let Some(gid) = attributes.gid {
            call = call.header(GID, &gid.to_string())?;
        }
        if let Some(mode) = attributes.mode {
            call = call.header(MODE, &format!("{:04o}", mode & 0o7777))?;
        }
        self.client.call(call).await.map(|_| ())
    }
}

/// A body that is read from a stream while it is sent.
pub(crate) fn streamed(from: impl AsyncRead + Send + Unpin + 'static) -> Body {
    let chunks = stream::try_unfold(from, |mut from| async move {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
        let read = from.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (Frame::data(chunk.freeze()), from)))
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn kind(headers: &HeaderMap) -> Option<FileKind> {
    [FileKind::File, FileKind::Directory, FileKind::Symlink]
        .into_iter()
        .find(|kind| text(headers, TYPE) == Some(kind.name()))
}

/// Owner and mode; the mode is octal, with or without a leading `0`.
fn attributes(headers: &HeaderMap) -> FileAttributes {
    let number = |name| text(headers, name).and_then(|text| text.parse().ok());
    let mode = text(headers, MODE).and_then(|text| u32::from_str_radix(text, 8).ok());
    FileAttributes { uid: number(UID), gid: number(GID), mode }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{FileAttributes, FileKind, attributes, kind};

    #[test]
    fn headers_are_read_with_the_mode_in_octal() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-incus-uid", "1000"),
            ("x-incus-gid", "7"),
            ("x-incus-mode", "0644"),
            ("x-incus-type", "symlink"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(attributes(&headers), FileAttributes::new(1000, 7, 0o644));
        assert_eq!(kind(&headers), Some(FileKind::Symlink));
        assert_eq!(attributes(&HeaderMap::new()), FileAttributes::default());
    }
}
