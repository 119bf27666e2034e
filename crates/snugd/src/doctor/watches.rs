//! `Doctor`: whether root may watch as many files as containers need.

use std::fs;

use super::{Check, Status};

/// The kernel's file of the number of inotify(7) instances that a user may have. What containers have counts as root's.
const FILE: &str = "/proc/sys/fs/inotify/max_user_instances";
/// A guest with systemd has about a dozen (measured with Debian 13).
const EACH: u32 = 12;
/// Fewer are soon used up.
const ENOUGH: u32 = 1024;

/// Nothing where all is well.
pub fn check() -> Option<Check> {
    judge(&fs::read_to_string(FILE).ok()?)
}

fn judge(text: &str) -> Option<Check> {
    let most: u32 = text.trim().parse().ok()?;
    (most < ENOUGH).then(|| {
        let text = format!(
            "all containers and root together may have {most} inotify instances: about {} containers with an init use them up, and then \
             root's programs cannot watch files",
            most / EACH
        );
        let hint = "sudo sysctl -w fs.inotify.max_user_instances=65536; where systemd runs, Snug's /usr/lib/sysctl.d/60-snug.conf sets it \
                    with the next boot";
        Check::new("watches", Status::Warning, text).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_usual_number_is_too_small() {
        assert!(judge("128\n").is_some_and(|check| check.status == Status::Warning));
        assert!(judge("65536\n").is_none() && judge("").is_none());
    }
}
