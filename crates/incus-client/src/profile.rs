//! Profiles.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, ETag};
use crate::json::null_as_default;
use crate::path::ApiPath;
use crate::{Config, Devices, Result};

/// What can be changed of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfilePut {
    /// Configuration of the instances that use it.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Devices of the instances that use it.
    #[serde(deserialize_with = "null_as_default")]
    pub devices: Devices,
    /// Free text.
    pub description: String,
}

/// A profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Profile {
    /// Name.
    pub name: String,
    /// URLs of the instances that use it.
    #[serde(deserialize_with = "null_as_default")]
    pub used_by: Vec<String>,
    /// What can be changed.
    #[serde(flatten)]
    pub put: ProfilePut,
}

#[derive(Serialize)]
struct ProfilesPost<'a> {
    name: &'a str,
    #[serde(flatten)]
    put: &'a ProfilePut,
}

/// Profiles of a project.
#[derive(Clone, Debug)]
pub struct Profiles(Client);

impl Client {
    /// Profiles of this project.
    pub fn profiles(&self) -> Profiles {
        Profiles(self.clone())
    }
}

impl Profiles {
    /// All profiles.
    pub async fn list(&self) -> Result<Vec<Profile>> {
        self.0.list(&ApiPath::new(["profiles"]).query("recursion", "1")).await
    }

    /// One profile.
    pub async fn get(&self, name: &str) -> Result<(Profile, ETag)> {
        self.0.get_with_etag(&ApiPath::new(["profiles", name])).await
    }

    /// Creates a profile.
    pub async fn create(&self, name: &str, put: &ProfilePut) -> Result<()> {
        self.0.change(Method::POST, &ApiPath::new(["profiles"]), &ProfilesPost { name, put }, None).await
    }

    /// Replaces a profile.
    pub async fn put(&self, name: &str, put: &ProfilePut, if_match: Option<&ETag>) -> Result<()> {
        self.0.change(Method::PUT, &ApiPath::new(["profiles", name]), put, if_match).await
    }

    /// Deletes a profile that nobody uses.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.0.change(Method::DELETE, &ApiPath::new(["profiles", name]), &(), None).await
    }
}
