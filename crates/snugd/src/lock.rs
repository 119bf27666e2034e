//! One daemon at a time on the state directory. The bus alone does not see to it: a daemon that has given its name back
//! may still be serving a call that came just before.

use std::fs::File;

use snug_core::paths::Paths;

use crate::error::{Error, Result};
use crate::host::rundir;

/// Waits until no other daemon holds the lock, and holds it until the answer is dropped.
///
/// # Errors
/// What the system says.
pub async fn take(paths: Paths) -> Result<File> {
    tokio::task::spawn_blocking(move || {
        rundir::directory(&paths.state, 0o755)?;
        let path = paths.state.join("lock");
        let system = |error| Error::system(format!("lock {}", path.display()), error);
        let file = File::options().create(true).append(true).open(&path).map_err(system)?;
        file.lock().map_err(system)?;
        Ok(file)
    })
    .await?
}
