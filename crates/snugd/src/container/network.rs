//! Whether the network of a container that runs works, as far as the host knows.

use snug_core::instance::is_mirrored;
use snug_core::paths::Paths;
use snug_wire::network::Fault;
use snug_wire::ports::SOCKET;

use super::lookup::Found;
use crate::error::Result;
use crate::host::{ports, rundir};

/// Why it does not; `None` where nothing is known to be wrong. Blocks.
///
/// # Errors
/// What the system says.
pub fn fault(paths: &Paths, found: &Found) -> Result<Option<Fault>> {
    if !found.instance.status_code.is_running() {
        return Ok(None);
    }
    let mirrored = found.spec.as_ref().is_some_and(|spec| is_mirrored(&spec.grants, &found.instance.devices));
    if !mirrored {
        return rundir::network_fault(paths, found.owner.uid, &found.name);
    }
    // Whoever serves it ends with the process that keeps the network, and that with neither a word nor the container.
    let socket = paths.container_dir(found.owner.uid, &found.name).join(SOCKET);
    Ok((!ports::is_served(&socket)).then(|| Fault {
        text: "nothing of the host's network is forwarded to it: what kept that (snug-hook) has ended"
            .to_owned(),
        hints: vec![format!("snug restart {}", found.name)],
    }))
}
