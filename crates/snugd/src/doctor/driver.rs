//! Whether NVIDIA's libraries come along with its card. Silent on hosts that have neither.

use std::path::Path;

use snug_core::name::Uid;

use super::{Check, Status};
use crate::error::Result;
use crate::host::driver::{Complaint, Driver, Fault};
use crate::host::owner;

/// The node that each program opens first; the kernel's module brings it.
const CARD: &str = "/dev/nvidiactl";

/// Makes a specification (nvidia-ctk-cdi-generate).
const GENERATE: &str = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";

/// What there is for the containers of `uid`. Blocks.
pub fn check(uid: Uid) -> Option<Check> {
    let read = || -> Result<Driver> { Driver::read(owner::find(uid)?.credentials) };
    match read() {
        Ok(driver) => judge(Path::new(CARD).exists(), driver.layout.files(), &driver.complaints),
        // Whoever has no account is told by another check.
        Err(_) => None,
    }
}

fn judge(has_card: bool, files: usize, complaints: &[Complaint]) -> Option<Check> {
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
        (complaints, _) => {
            let texts: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            Some(Check::new("driver", Status::Warning, texts.join("; ")).hint(hint(complaints)))
        }
    }
}

/// What mends them; nothing where they say it themselves.
fn hint(complaints: &[Complaint]) -> String {
    let has = |fault| complaints.iter().any(|one| one.fault == fault);
    if has(Fault::Unusable) {
        // It may be another vendor's.
        format!("mend the specification or remove it; if it is NVIDIA's, make it again: {GENERATE}")
    } else if has(Fault::Outdated) {
        format!("make the specification again: {GENERATE}")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_card_hears_nothing_and_one_without_libraries_how_to_get_them() {
        let status = |card, files, faults: &[Fault]| {
            let complaints: Vec<_> = faults.iter().map(|&fault| Complaint::new(fault, "reason")).collect();
            judge(card, files, &complaints).map(|check| (check.status, check.hint.contains("nvidia-ctk")))
        };
        assert_eq!(status(false, 0, &[]), None);
        assert_eq!(status(true, 0, &[]), Some((Status::Warning, true)));
        assert_eq!(status(true, 40, &[]), Some((Status::Ok, false)));
        // Files of somebody else's are not mended by another specification.
        assert_eq!(status(false, 40, &[Fault::Other]), Some((Status::Warning, false)));
        for fault in [Fault::Outdated, Fault::Unusable] {
            assert_eq!(status(false, 40, &[Fault::Other, fault]), Some((Status::Warning, true)));
        }
    }
}
