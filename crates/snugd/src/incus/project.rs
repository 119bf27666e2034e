//! A user's project: his containers, so that two users may both have `dev`.

use incus_client::{Client, Config, ProjectPut};

use snug_core::spec::OWNER_KEY;

use crate::error::{Error, Result};

/// Makes sure that the project is there.
///
/// # Errors
/// What Incus says.
pub async fn ensure(client: &Client, name: &str, owner_tag: &str) -> Result<()> {
    let projects = client.projects();
    match projects.get(name).await {
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let config: Config = [
        ("features.images", "false"),
        ("features.profiles", "true"),
        ("features.storage.volumes", "true"),
        ("features.storage.buckets", "false"),
        (OWNER_KEY, owner_tag),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    let put = ProjectPut { config, description: "Containers of Snug".to_owned() };
    match projects.create(name, &put).await {
        // Another first use was quicker.
        Err(error) if !error.is_conflict() => {
            Err(Error::from(error).context(format!("make the project '{name}'")))
        }
        _ => Ok(()),
    }
}
