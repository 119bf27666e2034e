//! Projects.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, ETag};
use crate::json::null_as_default;
use crate::path::ApiPath;
use crate::{Config, Extension, Result};

/// What can be changed of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectPut {
    /// `features.*`, `limits.*`, `restricted*`, `user.*`. Features are fixed once the project has content.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Free text.
    pub description: String,
}

/// A project.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Project {
    /// Name.
    pub name: String,
    /// URLs of what is in it. Its own default profile is always there.
    #[serde(deserialize_with = "null_as_default")]
    pub used_by: Vec<String>,
    /// What can be changed.
    #[serde(flatten)]
    pub put: ProjectPut,
}

#[derive(Serialize)]
struct ProjectsPost<'a> {
    name: &'a str,
    #[serde(flatten)]
    put: &'a ProjectPut,
}

/// Projects of a server.
#[derive(Clone, Debug)]
pub struct Projects(Client);

impl Client {
    /// Projects.
    pub fn projects(&self) -> Projects {
        Projects(self.clone())
    }
}

fn path(name: &str) -> ApiPath {
    ApiPath::new(["projects", name]).server_wide()
}

impl Projects {
    /// All projects.
    pub async fn list(&self) -> Result<Vec<Project>> {
        self.0.list(&ApiPath::new(["projects"]).query("recursion", "1").server_wide()).await
    }

    /// One project.
    pub async fn get(&self, name: &str) -> Result<(Project, ETag)> {
        self.0.get_with_etag(&path(name)).await
    }

    /// Creates a project. With `features.profiles` (the default) its default profile is empty: no root
    /// disk, no network.
    pub async fn create(&self, name: &str, put: &ProjectPut) -> Result<()> {
        let body = ProjectsPost { name, put };
        self.0.change(Method::POST, &ApiPath::new(["projects"]).server_wide(), &body, None).await
    }

    /// Replaces configuration and description.
    pub async fn put(&self, name: &str, put: &ProjectPut, if_match: Option<&ETag>) -> Result<()> {
        self.0.change(Method::PUT, &path(name), put, if_match).await
    }

    /// Deletes an empty project.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.0.change(Method::DELETE, &path(name), &(), None).await
    }

    /// Deletes a project and all that is in it.
    ///
    /// # Errors
    /// [`crate::Error::MissingExtension`] where Incus cannot do this (`projects_force_delete`).
    pub async fn delete_with_content(&self, name: &str) -> Result<()> {
        self.0.require(Extension::PROJECTS_FORCE_DELETE).await?;
        self.0.change(Method::DELETE, &path(name).query("force", "1"), &(), None).await
    }
}
