//! Images and their aliases.

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, ETag};
use crate::json::null_as_default;
use crate::operation::Operation;
use crate::path::ApiPath;
use crate::{Config, InstanceType, Result, Timestamp};

/// An alias that belongs to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageAlias {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
}

impl ImageAlias {
    /// An alias without description.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: String::new() }
    }
}

/// Where an image came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct UpdateSource {
    /// Alias on the server.
    pub alias: String,
    /// `simplestreams`, `incus`, …
    pub protocol: String,
    /// URL of the server.
    pub server: String,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Image {
    /// SHA-256 in hexadecimal.
    pub fingerprint: String,
    /// Aliases.
    #[serde(deserialize_with = "null_as_default")]
    pub aliases: Vec<ImageAlias>,
    /// Architecture, as the kernel names it.
    pub architecture: String,
    /// Container or virtual machine.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// Whether incusd fetched it for an instance; such an image goes when it is unused for long.
    pub cached: bool,
    /// Whether untrusted clients may fetch it.
    pub public: bool,
    /// Whether incusd fetches newer builds.
    pub auto_update: bool,
    /// Name of the file.
    pub filename: String,
    /// Size in bytes, as packed.
    pub size: u64,
    /// `os`, `release`, `description`, …
    #[serde(deserialize_with = "null_as_default")]
    pub properties: Config,
    /// Where it came from.
    pub update_source: Option<UpdateSource>,
    /// When it was built.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Timestamp,
    /// When it came to this server.
    pub uploaded_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Project.
    pub project: String,
}

/// What an alias stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ImageAliasEntry {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Fingerprint of the image.
    pub target: String,
    /// Container or virtual machine.
    #[serde(rename = "type")]
    pub kind: InstanceType,
}

/// Where to take a new image from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageSource {
    /// `image`, `instance`, `snapshot` or `url`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `pull`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// URL of an image server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// `simplestreams`, `incus` or `oci`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Certificate (PEM) of a server that no public authority vouches for; Incus keeps it for later updates of the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate: String,
    /// Alias on the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// Fingerprint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// Project that has the image, on this same server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// `container` or `virtual-machine`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_type: String,
    /// Instance or `instance/snapshot` to publish.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// URL of an image, for `url`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
}

impl ImageSource {
    /// An image of a simplestreams server by alias. The server must speak HTTPS with a valid certificate.
    pub fn simplestreams(server: impl Into<String>, alias: impl Into<String>) -> Self {
        Self {
            kind: "image".into(),
            mode: "pull".into(),
            server: server.into(),
            protocol: "simplestreams".into(),
            alias: alias.into(),
            ..Self::default()
        }
    }

    /// An image of another project of this server.
    pub fn project(project: impl Into<String>, fingerprint: impl Into<String>) -> Self {
        Self {
            kind: "image".into(),
            mode: "pull".into(),
            // Without a protocol Incus refuses; nothing is downloaded [measured with 6.0.4].
            protocol: "incus".into(),
            project: project.into(),
            fingerprint: fingerprint.into(),
            ..Self::default()
        }
    }

    /// A stopped instance, or `instance/snapshot`.
    pub fn instance(name: impl Into<String>) -> Self {
        let name = name.into();
        let kind = if name.contains('/') { "snapshot" } else { "instance" };
        Self { kind: kind.into(), name, ..Self::default() }
    }
}

/// An image to be made by incusd.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImagesPost {
    /// Where to take it from.
    pub source: ImageSource,
    /// Aliases that it gets.
    pub aliases: Vec<ImageAlias>,
    /// Whether incusd fetches newer builds; only for those that were pulled by alias.
    pub auto_update: bool,
    /// Whether untrusted clients may fetch it.
    pub public: bool,
    /// Properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: Config,
    /// How to pack a published instance: `none`, `gzip`, `zstd`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compression_algorithm: String,
}

impl ImagesPost {
    /// An image from this source, private, with these aliases.
    pub fn new(source: ImageSource, aliases: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let aliases = aliases.into_iter().map(ImageAlias::new).collect();
        Self { source, aliases, ..Self::default() }
    }
}

#[derive(Serialize)]
struct ImagePut<'a> {
    auto_update: bool,
    public: bool,
    properties: &'a Config,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a Timestamp>,
}

#[derive(Serialize)]
struct AliasPost<'a> {
    name: &'a str,
    target: &'a str,
    description: &'a str,
}

/// Images of a project.
#[derive(Clone, Debug)]
pub struct Images {
    pub(crate) client: Client,
}

impl Client {
    /// Images of this project.
    pub fn images(&self) -> Images {
        Images { client: self.clone() }
    }
}

fn alias_path(name: &str) -> ApiPath {
    ApiPath::new(["images", "aliases", name])
}

impl Images {
    /// All images.
    pub async fn list(&self) -> Result<Vec<Image>> {
        self.client.list(&ApiPath::new(["images"]).query("recursion", "1")).await
    }

    /// One image by fingerprint, at least its first 12 digits.
    pub async fn get(&self, fingerprint: &str) -> Result<(Image, ETag)> {
        self.client.get_with_etag(&ApiPath::new(["images", fingerprint])).await
    }

    /// The image that an alias stands for.
    pub async fn get_by_alias(&self, alias: &str) -> Result<(Image, ETag)> {
        let (entry, _) = self.alias(alias).await?;
        self.get(&entry.target).await
    }

    /// Has incusd make an image: pull it from a server, copy it from another project, publish an instance.
    /// The operation tells progress and, at its end, the fingerprint.
    pub async fn create(&self, image: &ImagesPost) -> Result<Operation> {
        self.client.start(Method::POST, &ApiPath::new(["images"]), image, None).await
    }

    /// Pulls an image from a simplestreams server by alias.
    pub async fn pull(&self, server: &str, alias: &str, aliases: &[&str]) -> Result<Operation> {
        let source = ImageSource::simplestreams(server, alias);
        let mut image = ImagesPost::new(source, aliases.iter().copied());
        image.auto_update = true;
        self.create(&image).await
    }

    /// Copies an image of another project of this server into this one.
    pub async fn copy_from_project(
        &self,
        project: &str,
        fingerprint: &str,
        aliases: &[&str],
    ) -> Result<Operation> {
        let source = ImageSource::project(project, fingerprint);
        self.create(&ImagesPost::new(source, aliases.iter().copied())).await
    }

    /// Replaces properties and flags.
    pub async fn put(&self, image: &Image, if_match: Option<&ETag>) -> Result<()> {
        let expires_at = (!image.expires_at.is_never()).then_some(&image.expires_at);
        let body = ImagePut {
            auto_update: image.auto_update,
            public: image.public,
            properties: &image.properties,
            expires_at,
        };
        self.client.change(Method::PUT, &ApiPath::new(["images", &image.fingerprint]), &body, if_match).await
    }

    /// Deletes an image. Instances made from it stay.
    pub async fn delete(&self, fingerprint: &str) -> Result<Operation> {
        self.client.start(Method::DELETE, &ApiPath::new(["images", fingerprint]), &(), None).await
    }

    /// All aliases.
    pub async fn aliases(&self) -> Result<Vec<ImageAliasEntry>> {
        self.client.list(&ApiPath::new(["images", "aliases"]).query("recursion", "1")).await
    }

    /// One alias.
    pub async fn alias(&self, name: &str) -> Result<(ImageAliasEntry, ETag)> {
        self.client.get_with_etag(&alias_path(name)).await
    }

    /// Creates an alias.
    ///
    /// # Errors
    /// 409 when it exists.
    pub async fn create_alias(&self, name: &str, fingerprint: &str, description: &str) -> Result<()> {
        let body = AliasPost { name, target: fingerprint, description };
        self.client.change(Method::POST, &ApiPath::new(["images", "aliases"]), &body, None).await
    }

    /// Lets an alias stand for another image.
    pub async fn put_alias(
        &self,
        name: &str,
        fingerprint: &str,
        description: &str,
        if_match: Option<&ETag>,
    ) -> Result<()> {
        let body = AliasPost { name, target: fingerprint, description };
        self.client.change(Method::PUT, &alias_path(name), &body, if_match).await
    }

    /// Deletes an alias; the image stays.
    pub async fn delete_alias(&self, name: &str) -> Result<()> {
        self.client.change(Method::DELETE, &alias_path(name), &(), None).await
    }
}
