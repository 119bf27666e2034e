//! `Doctor`: whether running containers follow the host.

use super::{Check, Status};
use crate::bus::names;
use crate::daemon::Daemon;
use crate::follower::NAME;

/// Whether somebody watches the host for them.
pub async fn check(daemon: &Daemon) -> Check {
    match names::is_taken(daemon.bus(), NAME).await {
        Ok(true) => Check::new(
            "follower",
            Status::Ok,
            "running containers follow the host's devices, time zone, locale and resolver",
        ),
        Ok(false) => Check::new(
            "follower",
            Status::Warning,
            "running containers do not follow the host: devices that are plugged in, its time zone, locale and resolver reach them when they start again",
        )
        .hint("systemctl start snug-follow.service; without systemd run `snugd follow` as root"),
        Err(error) => Check::new("follower", Status::Error, format!("the bus does not say: {error}")),
    }
}
