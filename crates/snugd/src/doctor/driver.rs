//! Whether NVIDIA's libraries come along with its card. Silent on hosts that have neither.

use std::path::Path;

use snug_core::name::Uid;

use super::{Check, Status};
use crate::error::Result;
use crate::host::driver::Driver;
use crate::host::owner;

/// The node that each program opens first; the kernel's module brings it.
const CARD: &str = "/dev/nvidiactl";

/// Makes a specification (nvidia-ctk-cdi-generate).
const GENERATE: &str = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";

/// What there is for the containers of `uid`. Blocks.
pub fn check(uid: Uid) -> Option<Check> {
    let read = || -> Result<Driver> { Driver::read(owner::find(uid)?.credentials) };
    match read() {
        Ok(driver) => judge(Path::new(CARD).exists(), driver.files.len(), &driver.complaints),
        // Whoever has no account is told by another check.
        Err(_) => None,
    }
}

fn judge(has_card: bool, files: usize, complaints: &[String]) -> Option<Check> {
    match (complaints, files) {
        ([], 0) if has_card => Some(
            Check::new(
                "driver",
                Status::Warning,
                "there is a card of NVIDIA's, but no specification (CDI) says which libraries belong to it",
            )
            .hint(format!("install NVIDIA's container toolkit, and run: {GENERATE}")),
        ),
        ([], 0) => None,
        ([], files) => {
            let text = format!("containers with 'gpu' or 'devices' have NVIDIA's driver: {files} files");
            Some(Check::new("driver", Status::Ok, text))
        }
        (complaints, _) => Some(
            Check::new("driver", Status::Warning, complaints.join("; "))
                .hint(format!("make the specification again: {GENERATE}")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_card_hears_nothing_and_one_without_libraries_how_to_get_them() {
        let status = |card, files, complaints: &[&str]| {
            let complaints: Vec<String> = complaints.iter().map(|&text| text.to_owned()).collect();
            judge(card, files, &complaints).map(|check| (check.status, check.hint.contains("nvidia-ctk")))
        };
        assert_eq!(status(false, 0, &[]), None);
        assert_eq!(status(true, 0, &[]), Some((Status::Warning, true)));
        assert_eq!(status(true, 40, &[]), Some((Status::Ok, false)));
        assert_eq!(status(false, 40, &["it belongs to uid 5"]), Some((Status::Warning, true)));
    }
}
