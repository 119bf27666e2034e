//! `Doctor`: whether running containers follow the host.

use std::path::Path;

use snug_core::paths::Paths;

use super::{Check, Status};
use crate::bus::names;
use crate::daemon::Daemon;
use crate::follower::NAME;

/// What to type to have the host watched: the program is not on anybody's PATH.
pub fn command(paths: &Paths) -> String {
    format!("{} follow", paths.daemon_program().display())
}

/// How it is started on this host. By systemd's own sign that it runs (sd_booted(3)).
pub fn starting(paths: &Paths) -> String {
    if Path::new("/run/systemd/system").is_dir() {
        "systemctl start snug-follow.service".to_owned()
    } else {
        format!("run as root, and keep it running: {}", command(paths))
    }
}

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
        .hint(starting(daemon.paths())),
        Err(error) => Check::new("follower", Status::Error, format!("the bus does not say: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_follower_is_named_by_its_whole_path() {
        let paths = Paths::below(Path::new("/opt/snug"));
        assert_eq!(command(&paths), "/opt/snug/usr/libexec/snug/snugd follow");
    }
}
