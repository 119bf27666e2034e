use super::*;

#[test]
fn both_crates_name_the_same_place() {
    assert_eq!(snug_core::paths::GUEST_DEVICES, snug_wire::devices::DIRECTORY);
}

#[test]
fn links_are_resolved_by_their_text() {
    let base = Path::new("/dev");
    for (path, target, wanted) in [
        ("serial/by-id/x", "../../ttyACM0", Some("ttyACM0")),
        ("cam", "/dev/video0", Some("video0")),
        ("cam", "video0", Some("video0")),
        ("log", "/run/log", None),
        ("x", "../etc/passwd", None),
    ] {
        assert_eq!(
            resolved(base, Path::new(path), Path::new(target)).as_deref(),
            wanted.map(Path::new),
            "{target}"
        );
    }
}

#[cfg(feature = "root-tests")]
mod as_root {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use rustix::fs::{FileType, Mode, OFlags, mknodat};

    use super::super::tree::make_parents;
    use super::*;

    /// `/dev/zero` (admin-guide/devices.txt), as `dev_t` has it.
    const ZERO: u64 = 1 << 8 | 5;

    fn node(base: &Path, name: &str, owner: Ids, mode: u32) {
        let file = base.join(name);
        make_parents(base, Path::new(name), (0, 0)).unwrap();
        mknodat(CWD, &file, FileType::CharacterDevice, Mode::empty(), ZERO).unwrap();
        chown(&file, Some(owner.0), Some(owner.1)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    const OWNERS: Owners = Owners { nodes: (4242, 4243), directories: (100_000, 100_000) };

    fn listing(base: &Path, grants: &[&str]) -> Listing {
        let nodes = GrantSet::parse(grants.iter().copied()).unwrap().nodes();
        let credentials = Credentials { uid: 4242, gid: 4242, groups: vec![4242, 77] };
        let base = base.to_owned();
        with(credentials, move || Listing::of(&base, nodes)).unwrap()
    }

    fn shown(listing: &Listing) -> Vec<String> {
        let one = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::Node { rights, .. } => {
                let ((uid, _), mode) = rights.as_inode(OWNERS.nodes);
                format!("{} {uid} {mode:o}", path.display())
            }
            Entry::Link(target) => format!("{} -> {}", path.display(), target.display()),
        };
        listing.0.iter().map(one).collect()
    }

    fn some_devices() -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dev = base.path();
        node(dev, "ttyACM0", (0, 77), 0o660);
        node(dev, "ttyUSB0", (0, 78), 0o660);
        node(dev, "video0", (4242, 0), 0o600);
        node(dev, "rtc0", (0, 0), 0o644);
        node(dev, "null", (0, 0), 0o666);
        node(dev, "dri/renderD128", (0, 77), 0o660);
        fs::create_dir_all(dev.join("serial/by-id")).unwrap();
        symlink("../../ttyACM0", dev.join("serial/by-id/board")).unwrap();
        symlink("../../ttyUSB0", dev.join("serial/by-id/other")).unwrap();
        symlink("/etc/passwd", dev.join("elsewhere")).unwrap();
        fs::write(dev.join("file"), "").unwrap();
        base
    }

    #[test]
    fn the_owner_gets_what_he_may_open_as_his_own() {
        let base = some_devices();
        assert_eq!(
            shown(&listing(base.path(), &["devices"])),
            [
                "dri/renderD128 4242 666",
                "rtc0 0 44",
                "serial/by-id/board -> ../../ttyACM0",
                "ttyACM0 4242 600",
                "video0 4242 600"
            ]
        );
        assert_eq!(shown(&listing(base.path(), &["gpu"])), ["dri/renderD128 4242 666"]);
    }

    #[test]
    fn a_grant_waits_for_what_is_not_there() {
        let base = some_devices();
        let listing = listing(base.path(), &["devices", "gpu", "kvm"]);
        let has = |word: &str| listing.has_any(GrantSet::parse([word]).unwrap().nodes());
        assert_eq!((has("devices"), has("gpu"), has("kvm")), (true, true, false));
    }

    #[test]
    fn a_tree_follows_its_listing_and_what_stays_is_left_alone() {
        let (base, target) = (some_devices(), tempfile::tempdir().unwrap());
        let target = target.path();
        let inode = |name: &str| fs::symlink_metadata(target.join(name)).ok().map(|about| about.ino());
        fill(target, &listing(base.path(), &["devices"]), OWNERS).unwrap();
        let about = fs::symlink_metadata(target.join("ttyACM0")).unwrap();
        assert_eq!(
            (about.uid(), about.gid(), about.mode() & 0o7777, about.rdev()),
            (4242, 4243, 0o600, ZERO)
        );
        let of = |name: &str| fs::symlink_metadata(target.join(name)).map(|about| about.uid()).unwrap();
        assert_eq!((of("serial/by-id"), of("serial/by-id/board")), (100_000, 100_000));
        let kept = inode("video0").unwrap();
        // Held by somebody: no open file, but the node itself.
        let held = rustix::fs::open(target.join("ttyACM0"), OFlags::PATH, Mode::empty()).unwrap();
        fs::remove_file(base.path().join("ttyACM0")).unwrap();
        fs::set_permissions(base.path().join("dri/renderD128"), fs::Permissions::from_mode(0o640)).unwrap();
        chown(base.path().join("ttyUSB0"), Some(4242), None).unwrap();
        fill(target, &listing(base.path(), &["devices"]), OWNERS).unwrap();
        assert_eq!(inode("ttyACM0"), None);
        let left = rustix::fs::fstat(&held).unwrap();
        assert_eq!((left.st_uid, left.st_gid, left.st_mode & 0o7777), (0, 0, 0));
        let card = fs::symlink_metadata(target.join("dri/renderD128")).unwrap();
        assert_eq!((card.uid(), card.gid(), card.mode() & 0o7777), (0, 4243, 0o44), "to be read only");
        assert_eq!(inode("video0"), Some(kept));
        assert!(target.join("ttyUSB0").exists());
        assert_eq!(fs::read_link(target.join("serial/by-id/other")).unwrap(), Path::new("../../ttyUSB0"));
        fs::remove_dir_all(base.path().join("serial")).unwrap();
        fill(target, &listing(base.path(), &["devices"]), OWNERS).unwrap();
        assert_eq!(inode("serial"), None);
    }

    #[test]
    fn what_changes_who_may_open_a_node_changes_the_snapshot() {
        let base = some_devices();
        let before = Snapshot::of(base.path());
        assert_eq!(Snapshot::of(base.path()), before);
        fs::set_permissions(base.path().join("null"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Snapshot::of(base.path()), before, "no guest has that one");
        chown(base.path().join("ttyUSB0"), Some(4242), None).unwrap();
        assert_ne!(Snapshot::of(base.path()), before);
        let before = Snapshot::of(base.path());
        fs::set_permissions(base.path().join("ttyUSB0"), fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(Snapshot::of(base.path()), before, "a new time is no change");
        let mut seen = Vec::new();
        enter_directories(base.path(), |directory| seen.push(directory.to_owned()));
        assert!(seen.contains(&base.path().join("serial/by-id")) && seen[0] == base.path());
    }
}
