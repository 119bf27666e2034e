//! What a guest's console has shown, as far as it is kept.

use incus_client::Client;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;

use super::record::{self, Kind};
use crate::error::Result;

/// A console's text.
pub struct Console {
    /// All that is kept, what is new included.
    pub kept: String,
    /// What Incus gave this time: what a running guest has written since the last time that it was asked, whoever asked; of a
    /// stopped one the end of its last run, the same each time.
    pub fresh: String,
}

/// Asks Incus for what is new, and keeps it.
///
/// # Errors
/// What Incus or the system says.
pub async fn read(
    incus: &Client,
    paths: &Paths,
    uid: Uid,
    name: &ContainerName,
    running: bool,
) -> Result<Console> {
    let fresh = match incus.instances().console_log(name.as_str()).await {
        // A guest may write anything to its console; D-Bus strings hold no NUL and are UTF-8.
        Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\0', ""),
        // One that never ran has none.
        Err(error) if matches!(error.status(), Some(400 | 404)) => String::new(),
        Err(error) => return Err(error.into()),
    };
    let (paths, name) = (paths.clone(), name.clone());
    tokio::task::spawn_blocking(move || {
        let append = if running { record::append_text } else { record::append_new };
        let kept = append(&paths, uid, &name, Kind::Console, &fresh)?;
        Ok(Console { kept, fresh })
    })
    .await?
}
