//! The certificate authorities that the host's administrator has added.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use common::{BUSYBOX, DEBIAN_13, Follower, HostFile, answer, eventually, fresh};
use snug_testbed::{Bed, Container};

/// Where Debian, and whoever has no directory of its own, looks for them.
const DIRECTORY: &str = "/usr/local/share/ca-certificates";

/// An authority of nobody's: its key was never kept.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhDCCASugAwIBAgIURPSo9As0+svEJ36tii8y8z15bpYwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMU251ZydzIHRlc3RzMCAXDTI2MTEyOTE4NDkzNVoYDzIxMjYx
MTA1MTg0OTM1WjAXMRUwEwYDVQQDDAxTbnVnJ3MgdGVzdHMwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAT55RgVrW1l2sDahAwZabTQ2CSemGG27YmVw15k3w/7kBS0
KdVF+Nz4uwmwsRpH+UkTlLi2YMHn5ipuCwAsdanmo1MwUTAdBgNVHQ4EFgQU9TSJ
s0xCeTKEtLggAxv55AL/QK0wHwYDVR0jBBgwFoAU9TSJs0xCeTKEtLggAxv55AL/
QK0wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBFyrOgsPeON1Xy
POsqq5oj6czf9A9Jvy1sa57HjF4P8wIgIunQe/DI8geFjL1EzRjuChDklpnBJpnb
/N5BuwU0B0g=
-----END CERTIFICATE-----
";

fn install(guest: &Container<'_>) {
    let line =
        "sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends ca-certificates";
    let installed = guest.run(["sh", "-c", line]).env("DEBIAN_FRONTEND", "noninteractive");
    installed.deadline(std::time::Duration::from_secs(300)).run().unwrap().success();
}

/// Whether the guest's programs believe it, by the directory that OpenSSL looks into.
fn is_trusted(guest: &Container<'_>) -> bool {
    let line = format!("openssl verify -CApath /etc/ssl/certs <<'END'\n{AUTHORITY}END");
    guest.snug(["run", "-w", "/", "--", "sh", "-c", &line]).run().unwrap().status.success()
}

#[test]
fn a_guest_trusts_whom_its_host_trusts_and_stops_when_that_does() {
    let bed = Bed::require();
    let path = format!("{DIRECTORY}/snugtest-company.crt");
    let company = HostFile::write(&path, AUTHORITY);
    let guest = fresh(&bed, "tester", "trusting", DEBIAN_13);
    install(&guest);
    assert!(is_trusted(&guest), "the package's own program has read it");
    let _follower = Follower::start();
    drop(company);
    eventually("the guest to follow", || !is_trusted(&guest));
    let company = HostFile::write(&path, AUTHORITY);
    eventually("the guest to follow again", || is_trusted(&guest));
    // At the start, too.
    drop((_follower, company));
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    eventually("the guest to be told at its start", || !is_trusted(&guest));
}

#[test]
fn a_guest_without_any_program_for_them_has_the_file() {
    let bed = Bed::require();
    let _company = HostFile::write(format!("{DIRECTORY}/snugtest-firm.crt"), AUTHORITY);
    let _broken = HostFile::write(format!("{DIRECTORY}/snugtest-broken.crt"), "no certificate\n");
    let guest = fresh(&bed, "tester", "trusting-busybox", BUSYBOX);
    let names = answer(guest.snug(["run", "-w", "/", "--", "ls", DIRECTORY]));
    assert!(names.lines().any(|name| name == "snug-snugtest-firm.crt"), "{names}");
    assert!(!names.contains("broken"), "{names}");
}
