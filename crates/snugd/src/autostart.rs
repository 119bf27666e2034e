//! Containers that start by themselves with the host. Snug's unit starts them, not Incus: after their owners' homes and
//! their run directories exist.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use zbus::{Connection, OwnedVariant, Variant};

use crate::bus::{MANAGER, NAME, ROOT};
use crate::error::{Error, ErrorKind, Result};
use crate::job;

/// Bound for one container; the unit must not hold up the boot for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts every container with `autostart=boot`, through the daemon like any client; goes on after a failure.
///
/// # Errors
/// When the daemon cannot be reached, or a container did not start.
pub async fn boot() -> Result<ExitCode> {
    let bus = Connection::system().await?;
    let options = HashMap::from([("all-users", Variant::from(true))]);
    let answer = bus.call_method(Some(NAME), ROOT, Some(MANAGER), "List", &options).await.map_err(explain)?;
    let containers: Vec<HashMap<String, OwnedVariant>> = answer.body().deserialize()?;
    let mut failed = Vec::new();
    for container in containers {
        let Some((owner, name)) = wanted(container) else { continue };
        tracing::info!(owner, container = name, "starting");
        match tokio::time::timeout(PATIENCE, start(&bus, owner, &name)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(owner, container = name, "{error}");
                failed.push(name);
            }
            Err(_) => {
                tracing::error!(owner, container = name, "did not start in time");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::new(ErrorKind::Failed, format!("not started: {}", failed.join(", ")))
        .hint("snug logs NAME says why"))
}

fn wanted(mut container: HashMap<String, OwnedVariant>) -> Option<(u32, String)> {
    let settings: HashMap<String, String> = container.remove("settings")?.try_into().ok()?;
    let state: String = container.remove("state")?.try_into().ok()?;
    if settings.get("autostart").is_none_or(|when| when != "boot") || state == "running" {
        return None;
    }
    Some((container.remove("owner")?.try_into().ok()?, container.remove("name")?.try_into().ok()?))
}

async fn start(bus: &Connection, owner: u32, name: &str) -> Result<()> {
    let options = HashMap::from([("owner", Variant::from(owner))]);
    let answer =
        bus.call_method(Some(NAME), ROOT, Some(MANAGER), "Start", &(name, options)).await.map_err(explain)?;
    let path: zbus::OwnedObjectPath = answer.body().deserialize()?;
    let answer = bus
        .call_method(Some(NAME), path.as_str(), Some(job::INTERFACE), "Wait", &())
        .await
        .map_err(explain)?;
    let state: String = answer.body().deserialize()?;
    if state == "done" {
        return Ok(());
    }
    let properties = Some("org.freedesktop.DBus.Properties");
    let body = (job::INTERFACE, "Message");
    let message =
        bus.call_method(Some(NAME), path.as_str(), properties, "Get", &body).await.map_err(explain)?;
    let message: OwnedVariant = message.body().deserialize()?;
    Err(Error::new(ErrorKind::Failed, String::try_from(message).unwrap_or(state)))
}

fn explain(error: zbus::Error) -> Error {
    match &error {
        zbus::Error::MethodError(name, Some(text), _) => {
            Error::new(ErrorKind::Failed, format!("{text} ({name})"))
        }
        _ => error.into(),
    }
}
