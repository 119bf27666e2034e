//! Texts of Incus that must be read because it has no code for them. One table, with the versions they were seen in.

/// A text and what it means.
struct Quirk {
    /// What the message contains.
    text: &'static str,
    /// Where it was read in Incus' source.
    #[allow(dead_code, reason = "for the reader")]
    seen: &'static str,
}

const FULL_DISK: &[Quirk] = &[
    Quirk { text: "no space left on device", seen: "strerror(ENOSPC) passed through, 6.0.4" },
    Quirk { text: "disk quota exceeded", seen: "strerror(EDQUOT) passed through, 6.0.4" },
];

const UNREACHABLE: &[Quirk] = &[
    Quirk { text: "no such host", seen: "Go net.DNSError, 6.0.4" },
    Quirk { text: "dial tcp", seen: "Go net.OpError, 6.0.4" },
    Quirk { text: "i/o timeout", seen: "Go net, 6.0.4" },
    Quirk { text: "connection refused", seen: "strerror(ECONNREFUSED) passed through, 6.0.4" },
    Quirk { text: "network is unreachable", seen: "strerror(ENETUNREACH) passed through, 6.0.4" },
    Quirk { text: "temporary failure in name resolution", seen: "getaddrinfo(3) passed through, 6.0.4" },
    Quirk { text: "tls:", seen: "Go crypto/tls, 6.0.4" },
    Quirk { text: "x509:", seen: "Go crypto/x509, 6.0.4" },
    Quirk { text: "unexpected eof", seen: "Go io, a server that breaks off, 6.0.4" },
    Quirk { text: "client.timeout", seen: "Go net/http, 6.0.4" },
];

const UNTRUSTED: &[Quirk] = &[Quirk { text: "x509:", seen: "Go crypto/x509, 6.0.4" }];

const UNKNOWN_IMAGE: &[Quirk] = &[
    Quirk { text: "couldn't find the requested image", seen: "shared/simplestreams, 6.0.4" },
    Quirk {
        text: "the requested image couldn't be found",
        seen: "shared/simplestreams and daemon_images.go, 6.0.4",
    },
    Quirk { text: "image not found", seen: "response NotFound, 6.0.4" },
    Quirk { text: "alias doesn't exist", seen: "client/simplestreams_images.go, 6.0.4" },
    Quirk { text: "image alias not found", seen: "db/cluster/images, 6.0.4" },
];

const BROKEN_IMAGE: &[Quirk] = &[
    Quirk { text: "unpack failed", seen: "server/storage/utils.go ImageUnpack, 6.0.4" },
    Quirk { text: "unsquashfs", seen: "internal/server/../unpack, 6.0.4" },
    Quirk { text: "unsupported compression", seen: "shared/archive DetectCompression, 6.0.4" },
    Quirk { text: "metadata.yaml", seen: "cmd/incusd/images.go getImageMetadata, 6.0.4" },
    Quirk { text: "unable to detect compression", seen: "shared/archive, 6.0.4" },
    Quirk { text: "could not find image metadata", seen: "cmd/incusd/images.go, 6.0.4" },
];

const WRONG_HASH: &[Quirk] =
    &[Quirk { text: "hash mismatch for", seen: "shared/util DownloadFileHash, 6.0.4" }];

const ALREADY_RUNNING: &[Quirk] =
    &[Quirk { text: "already running", seen: "api.StatusErrorf in instance/drivers/driver_lxc.go, 6.0.4" }];

const ALREADY_STOPPED: &[Quirk] = &[Quirk {
    text: "already stopped",
    seen: "ErrInstanceIsStopped, instance/drivers/driver_common.go, 6.0.4",
}];

const BUSY: &[Quirk] = &[
    Quirk { text: "instance is busy running a", seen: "instance/operationlock Create, 6.0.4" },
    Quirk {
        text: "instance is running",
        seen: "instance_delete.go, while a failed start is being cleaned up, 6.0.4",
    },
];

const NO_IDS: &[Quirk] =
    &[Quirk { text: "no uid/gid allocation configured", seen: "instance/drivers/util.go findIdmap, 6.0.4" }];

fn any(table: &[Quirk], text: &str) -> bool {
    let text = text.to_lowercase();
    table.iter().any(|quirk| text.contains(quirk.text))
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
        assert!(is_full_disk("Failed: write /x: no space left on device"));
        assert!(is_unreachable("Get \"https://x/streams\": dial tcp: lookup x: no such host"));
        assert!(!is_unreachable("Couldn't find the requested image"));
        assert!(is_unknown_image("Failed getting remote image info: Couldn't find the requested image"));
    }
}
