//! Bugs by server version: bug fixes have no API extension, so this one table goes by version.

use crate::server::ServerVersion;

/// A bug or limit that some versions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quirk {
    /// `PATCH` of an instance erases its description when the body has none (fixed by 9822764f4e and
    /// b12d57d593). [`crate::Instances::patch`] works around it.
    PatchErasesDescription,
    /// Unplugging a disk deletes its mount point in the guest, the original file below a file mount
    /// included. Mount over fresh paths only.
    HotUnplugDeletesMountpoint,
    /// `raw.lxc: lxc.net.0.type=none` is refused (allowed by ff4b3eb115 and e13e674dae).
    NetTypeNoneRejected,
    /// The sockets of an exec must connect within 5 s, not 10 (lxc/incus#2419).
    ShortExecConnectDeadline,
    /// A proxy device that listens on a unix socket and connects elsewhere listens on the host instead of
    /// in the guest (fixed by bf63ee7589).
    ProxyUnixListenOnHost,
    /// The systemd credentials mount keeps instances with `raw.idmap` from starting on some hosts
    /// (lxc/incus#3895; no fixed version is known).
    CredentialsMountBreaksRawIdmap,
    /// Moving an instance takes `Config`, `Devices` and `Profiles` with capital letters.
    CapitalisedMoveFields,
    /// OCI images and registries do not exist in this series.
    NoOci,
}

/// Where a quirk holds. The 6.0 series has numbers of its own.
struct Holds {
    quirk: Quirk,
    /// 6.0.x: first patch level that has it, first that does not.
    lts: Option<(u32, u32)>,
    /// 6.1 and later: first version that has it, first that does not.
    feature: Option<((u32, u32), (u32, u32))>,
}

const NEVER: u32 = u32::MAX;

const TABLE: &[Holds] = &[
    Holds { quirk: Quirk::PatchErasesDescription, lts: Some((0, 6)), feature: Some(((6, 1), (6, 17))) },
    Holds { quirk: Quirk::HotUnplugDeletesMountpoint, lts: Some((0, 5)), feature: Some(((6, 1), (6, 15))) },
    Holds { quirk: Quirk::NetTypeNoneRejected, lts: Some((0, 5)), feature: Some(((6, 1), (6, 15))) },
    Holds { quirk: Quirk::ShortExecConnectDeadline, lts: Some((0, 6)), feature: Some(((6, 1), (6, 16))) },
    Holds { quirk: Quirk::ProxyUnixListenOnHost, lts: Some((0, 5)), feature: Some(((6, 1), (6, 13))) },
    Holds {
        quirk: Quirk::CredentialsMountBreaksRawIdmap,
        lts: Some((6, NEVER)),
        feature: Some(((6, 18), (NEVER, 0))),
    },
    Holds { quirk: Quirk::CapitalisedMoveFields, lts: Some((0, NEVER)), feature: None },
    Holds { quirk: Quirk::NoOci, lts: Some((0, NEVER)), feature: Some(((6, 1), (6, 3))) },
];

/// The quirks of a version. An unreadable version (0.0.0) has none.
pub fn of(version: ServerVersion) -> impl Iterator<Item = Quirk> {
    TABLE.iter().filter(move |row| row.holds(version)).map(|row| row.quirk)
}

/// Whether an error with code 500 says that something exists already: measured with 6.0.4, where a second
/// instance, snapshot, project or profile of a name is told by the database's words and not by 409.
pub fn hides_conflict(code: u16, message: &str) -> bool {
    code == 500 && (message.contains("UNIQUE constraint failed: ") || message.ends_with("already exists"))
}

impl Holds {
    fn holds(&self, version: ServerVersion) -> bool {
        if version.is_6_0_lts() {
            return self.lts.is_some_and(|(from, fixed)| (from..fixed).contains(&version.patch));
        }
        self.feature.is_some_and(|(from, fixed)| (from..fixed).contains(&(version.major, version.minor)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Quirk, hides_conflict, of};
    use crate::server::ServerVersion;

    fn has(version: &str, quirk: Quirk) -> bool {
        of(ServerVersion::parse(version).unwrap_or_default()).any(|found| found == quirk)
    }

    #[test]
    fn each_quirk_ends_where_the_fix_was_released() {
        for (quirk, with, without) in [
            (Quirk::PatchErasesDescription, &["6.0.0", "6.0.5", "6.16"][..], &["6.0.6", "6.17", "7.0.0"][..]),
            (Quirk::HotUnplugDeletesMountpoint, &["6.0.4", "6.14"], &["6.0.5", "6.15", "7.3"]),
            (Quirk::NetTypeNoneRejected, &["6.0.0", "6.0.4", "6.1", "6.14"], &["6.0.5", "6.15", "7.0"]),
            (Quirk::ShortExecConnectDeadline, &["6.0.5", "6.15"], &["6.0.6", "6.16"]),
            (Quirk::ProxyUnixListenOnHost, &["6.0.4", "6.12"], &["6.0.5", "6.13"]),
            (Quirk::CredentialsMountBreaksRawIdmap, &["6.0.6", "6.18", "7.2"], &["6.0.5", "6.17"]),
            (Quirk::CapitalisedMoveFields, &["6.0.4"], &["6.23"]),
            (Quirk::NoOci, &["6.0.9", "6.2"], &["6.3", "7.0"]),
        ] {
            for version in with {
                assert!(has(version, quirk), "{quirk:?} in {version}");
            }
            for version in without {
                assert!(!has(version, quirk), "{quirk:?} in {version}");
            }
        }
    }

    #[test]
    fn a_broken_uniqueness_is_a_conflict_in_disguise() {
        let text = "Failed creating instance record: Failed to create \"instances\" entry: UNIQUE constraint \
            failed: instances.project_id, instances.name";
        assert!(hides_conflict(500, text) && !hides_conflict(400, text));
        assert!(hides_conflict(500, "Error inserting \"default\" into database: The profile already exists"));
        assert!(!hides_conflict(500, "disk full"));
    }

    #[test]
    fn an_unreadable_version_has_no_quirks() {
        assert_eq!(of(ServerVersion::default()).count(), 0);
    }
}
