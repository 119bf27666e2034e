//! `Doctor`: the networks that containers can have, and those that they have.

use std::sync::Arc;

use snug_core::name::{ContainerName, Uid};
use snug_wire::network::Fault;

use super::{Check, Status};
use crate::container::{lookup, network};
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::host::mirror;

/// Whether containers can have the host's network.
pub async fn mirror(daemon: &Daemon) -> Check {
    let config = match daemon.config().await {
        Ok(config) => config,
        Err(error) => return Check::failed("network", &error),
    };
    let Some(wanted) = config.pasta.clone() else {
        return Check::new(
            "network",
            Status::Notice,
            "network=mirror is switched off: it is network=nat here",
        );
    };
    let paths = daemon.paths().clone();
    match tokio::task::spawn_blocking(move || mirror::pasta(&paths, &config)).await {
        Ok(Some(pasta)) => {
            let text =
                format!("containers can have the host's network (network=mirror), by {}", pasta.display());
            Check::new("network", Status::Ok, text)
        }
        Ok(None) => {
            let text = format!("network=mirror is network=nat here: {} is not installed", wanted.display());
            Check::new("network", Status::Notice, text).hint("install the package passt")
        }
        Err(error) => Check::failed("network", &Error::from(error)),
    }
}

/// Whether what runs of `uid`'s has its network: a check for each that is cut off, or one for all. Of those behind the bridge what was found
/// when they started, and has not been mended since.
pub async fn containers(daemon: &Arc<Daemon>, uid: Uid) -> Vec<Check> {
    match faults(daemon, uid).await {
        Ok(faults) if faults.is_empty() => {
            vec![Check::new(NAME, Status::Ok, "no container of yours that runs is known to be cut off")]
        }
        Ok(faults) => faults,
        // Told by the check of Incus already.
        Err(error) => vec![Check::new(NAME, Status::Notice, format!("not looked at: {error}"))],
    }
}

/// The name of the check of each container.
const NAME: &str = "containers-network";

async fn faults(daemon: &Arc<Daemon>, uid: Uid) -> Result<Vec<Check>> {
    let config = daemon.config().await?;
    let all = lookup::list(daemon.incus(), &config, uid).await?;
    let paths = daemon.paths().clone();
    let look = move || {
        all.into_iter().filter_map(|found| judge(&found.name, network::fault(&paths, &found))).collect()
    };
    Ok(tokio::task::spawn_blocking(look).await?)
}

/// One that cannot be read says nothing about the others.
fn judge(name: &ContainerName, fault: Result<Option<Fault>>) -> Option<Check> {
    match fault {
        Ok(fault) => fault.map(|fault| {
            Check::new(NAME, Status::Warning, format!("{name}: {}", fault.text)).hint(fault.hints.join("\n"))
        }),
        Err(error) => Some(Check::new(NAME, Status::Notice, format!("{name}: not looked at: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_cannot_be_read_is_told_beside_the_others() {
        let name = "dev".parse().unwrap();
        let told = |fault| judge(&name, fault).map(|check| (check.status, check.text, check.hint));
        let fault =
            Fault { text: "cut off".to_owned(), hints: vec!["do this".to_owned(), "and that".to_owned()] };
        let wanted = (Status::Warning, "dev: cut off".to_owned(), "do this\nand that".to_owned());
        assert_eq!(told(Ok(Some(fault))), Some(wanted));
        assert_eq!(told(Ok(None)), None);
        let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let (status, text, _) = told(Err(Error::system("read network.fault", error))).unwrap();
        assert_eq!(status, Status::Notice);
        assert!(text.starts_with("dev: not looked at: ") && text.contains("network.fault"), "{text}");
    }
}
