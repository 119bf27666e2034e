//! Whether the network of a container that runs works, as far as the host knows.

use snug_core::instance::is_mirrored;
use snug_core::paths::Paths;
use snug_core::spec::Phase;
use snug_wire::network::{Fault, LOG};

use super::lookup::Found;
use crate::error::Result;
use crate::host::rundir;

/// Why it does not; `None` where nothing is known to be wrong. Blocks.
///
/// # Errors
/// What the system says.
pub fn fault(paths: &Paths, found: &Found) -> Result<Option<Fault>> {
    // While it starts or stops its network comes or goes.
    if found.phase != Phase::Ready || !found.instance.status_code.is_running() {
        return Ok(None);
    }
    let mirrored = found.spec.as_ref().is_some_and(|spec| is_mirrored(&spec.grants, &found.instance.devices));
    if !mirrored {
        return rundir::network_fault(paths, found.owner.uid, &found.name);
    }
    // What keeps it may end with neither a word nor the container.
    let log = paths.container_dir(found.owner.uid, &found.name).join(LOG);
    Ok((!rundir::is_network_kept(&log)?).then(|| Fault {
        text: "nothing of the host's network is forwarded to it: what kept that (snug-hook) has ended"
            .to_owned(),
        hints: vec![format!("snug restart {}", found.name)],
    }))
}
