//! What a guest's console has shown, as far as it is kept.

use incus_client::Client;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;

use super::record::{self, Kind};
use crate::error::Result;

/// Asks Incus for what is new and answers all that is kept, which it is added to: Incus gives what a running guest has
/// written since the last time that it was asked, whoever asked, and of a stopped one the same text each time.
///
/// # Errors
/// What Incus or the system says.
pub async fn read(
    incus: &Client,
    paths: &Paths,
    uid: Uid,
    name: &ContainerName,
    running: bool,
) -> Result<String> {
    let fresh = match incus.instances().console_log(name.as_str()).await {
        // A guest may write anything to its console; D-Bus strings hold no NUL and are UTF-8.
        Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\0', ""),
        // One that never ran has none.
        Err(error) if matches!(error.status(), Some(400 | 404)) => String::new(),
        Err(error) => return Err(error.into()),
    };
    let (paths, name) = (paths.clone(), name.clone());
    tokio::task::spawn_blocking(move || {
        if running {
            record::append_text(&paths, uid, &name, Kind::Console, &fresh)
        } else {
            record::append_new(&paths, uid, &name, Kind::Console, &fresh)
        }
    })
    .await?
}
