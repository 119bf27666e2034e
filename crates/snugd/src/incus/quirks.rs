//! Texts of Incus that must be read because it has no code for them, each with where it is in Incus' source and the version
//! that it was seen in. Compared in lower case.

const FULL_QUOTA: &[&str] = &[
    "disk quota exceeded", // strerror(EDQUOT) passed through, 6.0.4
];

const FULL_DISK: &[&str] = &[
    "no space left on device", // strerror(ENOSPC) passed through, 6.0.4
    "disk quota exceeded",     // strerror(EDQUOT) passed through, 6.0.4
    "wrote only",              // GNU tar 1.35, a short write of what it unpacks
];

const UNREACHABLE: &[&str] = &[
    "no such host",                         // Go net.DNSError, 6.0.4
    "dial tcp",                             // Go net.OpError, 6.0.4
    "i/o timeout",                          // Go net, 6.0.4
    "connection refused",                   // strerror(ECONNREFUSED) passed through, 6.0.4
    "network is unreachable",               // strerror(ENETUNREACH) passed through, 6.0.4
    "temporary failure in name resolution", // getaddrinfo(3) passed through, 6.0.4
    "tls:",                                 // Go crypto/tls, 6.0.4
    "x509:",                                // Go crypto/x509, 6.0.4
    "unexpected eof",                       // Go io, a server that breaks off, 6.0.4
    "client.timeout",                       // Go net/http, 6.0.4
];

const UNTRUSTED: &[&str] = &[
    "x509:", // Go crypto/x509, 6.0.4
];

const UNKNOWN_IMAGE: &[&str] = &[
    "couldn't find the requested image",     // shared/simplestreams, 6.0.4
    "the requested image couldn't be found", // shared/simplestreams and daemon_images.go, 6.0.4
    "image not found",                       // response NotFound, 6.0.4
    "alias doesn't exist",                   // client/simplestreams_images.go, 6.0.4
    "image alias not found",                 // db/cluster/images, 6.0.4
];

const BROKEN_IMAGE: &[&str] = &[
    "unpack failed",                 // server/storage/utils.go ImageUnpack, 6.0.4
    "unsquashfs",                    // internal/server/../unpack, 6.0.4
    "unsupported compression",       // shared/archive DetectCompression, 6.0.4
    "metadata.yaml",                 // cmd/incusd/images.go getImageMetadata, 6.0.4
    "unable to detect compression",  // shared/archive, 6.0.4
    "could not find image metadata", // cmd/incusd/images.go, 6.0.4
];

const WRONG_HASH: &[&str] = &[
    "hash mismatch for", // shared/util DownloadFileHash, 6.0.4
];

const ALREADY_RUNNING: &[&str] = &[
    "already running", // api.StatusErrorf in instance/drivers/driver_lxc.go, 6.0.4
];

const ALREADY_STOPPED: &[&str] = &[
    "already stopped", // ErrInstanceIsStopped, instance/drivers/driver_common.go, 6.0.4
];

const BUSY: &[&str] = &[
    "instance is busy running a", // instance/operationlock Create, 6.0.4
    "instance is running",        // instance_delete.go, while a failed start is being cleaned up, 6.0.4
];

const GOING_DOWN: &[&str] = &[
    "shutting down", // daemon.go, what is asked of a server that ends, 6.0.4
];

const ENDED_MEANWHILE: &[&str] = &[
    "invalid pid", // the state of an instance that stopped while it was asked for, lxc/incus issue 3212, 6.0.4
];

const NO_IDS: &[&str] = &[
    "no uid/gid allocation configured", // instance/drivers/util.go findIdmap, 6.0.4
];

fn any(table: &[&str], text: &str) -> bool {
    let text = text.to_lowercase();
    table.iter().any(|part| text.contains(part))
}

/// The instance's own disk is full.
#[must_use]
pub fn is_full_quota(text: &str) -> bool {
    any(FULL_QUOTA, text)
}

/// The disk or the pool is full.
#[must_use]
pub fn is_full_disk(text: &str) -> bool {
    any(FULL_DISK, text)
}

/// A server of images cannot be reached.
#[must_use]
pub fn is_unreachable(text: &str) -> bool {
    any(UNREACHABLE, text)
}

/// A server's certificate is not one to trust.
#[must_use]
pub fn is_untrusted(text: &str) -> bool {
    any(UNTRUSTED, text)
}

/// Nobody knows the image.
#[must_use]
pub fn is_unknown_image(text: &str) -> bool {
    any(UNKNOWN_IMAGE, text)
}

/// What a server sent is not what its index announced.
#[must_use]
pub fn is_wrong_hash(text: &str) -> bool {
    any(WRONG_HASH, text)
}

/// The image cannot be read.
#[must_use]
pub fn is_broken_image(text: &str) -> bool {
    any(BROKEN_IMAGE, text)
}

/// Incus itself is still at work on the instance, without an operation that could be waited for.
#[must_use]
pub fn is_busy(text: &str) -> bool {
    any(BUSY, text)
}

/// The guest stopped while Incus looked at it.
#[must_use]
pub fn has_ended_meanwhile(text: &str) -> bool {
    any(ENDED_MEANWHILE, text)
}

/// incusd ends, and guests with it.
#[must_use]
pub fn is_going_down(text: &str) -> bool {
    any(GOING_DOWN, text)
}

/// incusd found no range of subordinate ids when it started.
#[must_use]
pub fn has_no_ids(text: &str) -> bool {
    any(NO_IDS, text)
}

/// Starting what runs.
#[must_use]
pub fn is_already_running(text: &str) -> bool {
    any(ALREADY_RUNNING, text)
}

/// Stopping what does not run.
#[must_use]
pub fn is_already_stopped(text: &str) -> bool {
    any(ALREADY_STOPPED, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        type Told = fn(&str) -> bool;
        let cases: [(Told, &str, &str); 11] = [
            (
                is_full_quota,
                "Failed to write backup file: open /x: disk quota exceeded",
                "no space left on device",
            ),
            (
                is_full_disk,
                "Failed: write /x: No space left on device",
                "Failed: write /x: permission denied",
            ),
            (
                is_unreachable,
                "Get \"https://x/streams\": dial tcp: lookup x: no such host",
                "Couldn't find the requested image",
            ),
            (
                is_untrusted,
                "tls: failed to verify certificate: x509: unknown authority",
                "dial tcp: connection refused",
            ),
            (
                is_unknown_image,
                "Failed getting remote image info: Couldn't find the requested image",
                "Unpack failed",
            ),
            (is_broken_image, "Unpack failed: unsquashfs: exit status 1", "Instance is running"),
            (is_already_stopped, "The instance is already stopped", "The instance is already running"),
            (is_busy, "Instance is busy running a \"stop\" operation", "The instance is already stopped"),
            (has_ended_meanwhile, "Instance state fetch failed: Invalid PID 0", "Shutting down"),
            (is_going_down, "Shutting down", "The instance is already stopped"),
            (
                has_no_ids,
                "No uid/gid allocation configured. In this mode, only privileged containers are supported",
                "busy",
            ),
        ];
        for (told, is, is_not) in cases {
            assert!(told(is) && !told(is_not), "{is} / {is_not}");
        }
        // What fills the instance's own disk fills a disk.
        assert!(is_full_disk("disk quota exceeded"));
    }
}
