#[test]
fn both_crates_name_the_same_place() {
    assert_eq!(snug_core::paths::GUEST_DRIVER, snug_wire::driver::DIRECTORY);
}

#[cfg(feature = "root-tests")]
mod as_root {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::{Path, PathBuf};

    use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
    use snug_wire::driver::CURRENT;

    use super::super::*;

    /// A made-up host: specifications and what they name.
    struct Host {
        base: tempfile::TempDir,
    }

    const OWNER: u32 = 4242;

    impl Host {
        fn new() -> Self {
            let base = tempfile::tempdir_in("/var/tmp").unwrap();
            fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
            for name in ["etc", "run", "usr/lib64", "usr/bin", "mounts"] {
                fs::create_dir_all(base.path().join(name)).unwrap();
            }
            Self { base }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.base.path().join(name)
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, text).unwrap();
            let mode = if name.contains("bin/") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }

        /// A library of this machine's under a driver's name.
        fn library(&self, name: &str) -> PathBuf {
            self.write(&format!("usr/lib64/{name}"), a_library())
        }

        fn specify(&self, file: &str, mounts: &[&str]) -> PathBuf {
            let mount = |name: &&str| serde_json::json!({"hostPath": self.path(name), "containerPath": format!("/{name}")});
            let edits = serde_json::json!({"mounts": mounts.iter().map(mount).collect::<Vec<_>>()});
            let device = serde_json::json!({"name": "all", "containerEdits": edits});
            let text = serde_json::json!({"kind": "nvidia.com/gpu", "devices": [device]});
            self.write(file, text.to_string())
        }

        fn read(&self) -> Driver {
            let directories = [self.path("etc"), self.path("run")];
            let credentials = Credentials { uid: OWNER, gid: OWNER, groups: vec![OWNER] };
            Driver::read_from(&directories, credentials).unwrap()
        }

        fn complaint(&self) -> String {
            let driver = self.read();
            assert!(driver.layout.generation().is_none(), "{driver:?}");
            texts(&driver).join("\n")
        }
    }

    /// With another name in it, since the guest's own is not taken.
    fn a_library() -> Vec<u8> {
        let (own, other) = (b"libc.so.6\0", b"libx.so.6\0");
        let mut bytes = a_c_library();
        let places: Vec<usize> =
            bytes.windows(own.len()).enumerate().filter(|(_, at)| at == own).map(|(at, _)| at).collect();
        for at in places {
            bytes[at..at + other.len()].copy_from_slice(other);
        }
        bytes
    }

    fn a_c_library() -> Vec<u8> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let library = maps
            .lines()
            .find_map(|line| line.split_whitespace().last().filter(|path| path.contains("/libc.so")));
        fs::read(library.expect("the tests are linked to a libc")).unwrap()
    }

    fn texts(driver: &Driver) -> Vec<String> {
        driver.complaints.iter().map(ToString::to_string).collect()
    }

    fn names(driver: &Driver) -> Vec<String> {
        driver.layout.entries().map(|(path, _)| path.display().to_string()).collect()
    }

    #[test]
    fn what_a_specification_names_is_taken_and_the_later_directory_wins() {
        let host = Host::new();
        host.library("libcuda.so.550");
        host.library("libcuda.so.560");
        host.write("usr/bin/nvidia-smi", "#!/bin/sh\n");
        symlink("libcuda.so.560", host.path("usr/lib64/libcuda.so.9")).unwrap();
        host.specify("etc/nvidia.json", &["usr/lib64/libcuda.so.550", "usr/bin/nvidia-smi"]);
        let driver = host.read();
        assert_eq!(names(&driver), ["files/usr/local/bin/nvidia-smi", "lib/libcuda.so.550", "lib/libx.so.6"]);
        assert_eq!((driver.complaints.len(), driver.is_partial, driver.files.len()), (0, false, 2));
        // By a link of root's.
        host.specify("run/nvidia.yaml", &["usr/lib64/libcuda.so.9"]);
        let later = host.read();
        assert_eq!(names(&later), ["lib/libcuda.so.9", "lib/libx.so.6"]);
        assert_ne!(later.layout.generation(), driver.layout.generation());
        fs::remove_file(host.path("run/nvidia.yaml")).unwrap();
        assert_eq!(host.read().layout.generation(), driver.layout.generation());
    }

    #[test]
    fn the_guests_c_library_is_never_another_whatever_a_file_or_a_link_is_called() {
        let host = Host::new();
        host.library("libcuda.so.550");
        host.library("libm.so.6");
        host.write("usr/lib64/libcuda.so.999.1", a_c_library());
        let files =
            ["libcuda.so.550", "libm.so.6", "libcuda.so.999.1"].map(|name| format!("usr/lib64/{name}"));
        let specification = host.specify("etc/nvidia.json", &files.each_ref().map(String::as_str));
        let mut text: serde_json::Value = serde_json::from_slice(&fs::read(specification).unwrap()).unwrap();
        let link = "libcuda.so.550::/usr/lib64/libstdc++.so.6";
        let arguments = ["nvidia-cdi-hook", "create-symlinks", "--link", link];
        text["containerEdits"] = serde_json::json!({"hooks": [{"args": arguments}]});
        host.write("etc/nvidia.json", text.to_string());
        let driver = host.read();
        assert_eq!(names(&driver), ["lib/libcuda.so.550", "lib/libx.so.6"]);
        let told = texts(&driver);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("the link /usr/lib64/libstdc++.so.6 of the graphics driver"), "{told:?}");
        assert!(
            told[1].contains("libm.so.6 (and 1 more) of the graphics driver is not shared: "),
            "{told:?}"
        );
        assert!(!driver.is_partial);
    }

    #[test]
    fn what_is_not_roots_or_not_everybodys_to_read_is_left_out() {
        let host = Host::new();
        let library = host.library("liba.so.1");
        let file = host.specify("etc/nvidia.json", &["usr/lib64/liba.so.1"]);
        for (path, owner, mode, reason) in [
            (&library, 0, 0o600, "not everybody may read it"),
            (&library, OWNER, 0o644, "belongs to uid 4242"),
            (&library, 0, 0o646, "others than root may write it"),
            // By root's group.
            (&library, 0, 0o664, "others than root may write it"),
            (&host.path("usr/lib64"), 0, 0o700, "Permission denied"),
            (&file, OWNER, 0o644, "belongs to uid 4242"),
            (&file, 0, 0o666, "others than root may write it"),
            (&file, 0, 0o664, "others than root may write it"),
            (&host.path("etc"), 0, 0o777, "may write its directory"),
            (&host.path("etc"), 0, 0o775, "may write its directory"),
        ] {
            let before = fs::metadata(path).unwrap();
            chown(path, Some(owner), None).unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let said = host.complaint();
            assert!(said.contains(reason), "{}: {said}", path.display());
            chown(path, Some(0), None).unwrap();
            fs::set_permissions(path, before.permissions()).unwrap();
            assert!(host.read().layout.generation().is_some());
        }
        // A link that somebody else could turn.
        fs::remove_file(&library).unwrap();
        symlink("/etc/hostname", &library).unwrap();
        std::os::unix::fs::lchown(&library, Some(OWNER), None).unwrap();
        assert!(host.complaint().contains("a link that is not root's"));
        fs::remove_file(&library).unwrap();
        assert!(host.complaint().contains("made anew"));
        assert_eq!(host.read().complaints[0].fault, Fault::Outdated);
        // What is no file is no part of a driver.
        fs::create_dir(&library).unwrap();
        assert_eq!(host.complaint(), "");
    }

    /// The access list `u::rw- u:OWNER:rw- g::r-- m::rw- o::r--`, as in `include/uapi/linux/posix_acl_xattr.h`.
    fn written_by_the_owner() -> Vec<u8> {
        let entries =
            [(1u16, 6u16, u32::MAX), (2, 6, OWNER), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)];
        let entry = |(tag, permissions, id): (u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [2u32.to_le_bytes().to_vec(), entries.map(entry).concat()].concat()
    }

    #[test]
    fn what_an_access_list_lets_somebody_write_is_left_out() {
        let host = Host::new();
        let library = host.library("liba.so.1");
        host.specify("etc/nvidia.json", &["usr/lib64/liba.so.1"]);
        let set = |value: &[u8]| {
            let name = "system.posix_acl_access";
            rustix::fs::setxattr(&library, name, value, rustix::fs::XattrFlags::empty()).unwrap();
        };
        set(&written_by_the_owner());
        assert!(host.complaint().contains("others than root may write it"));
        // The mask takes it from him.
        fs::set_permissions(&library, Permissions::from_mode(0o644)).unwrap();
        assert!(host.read().layout.generation().is_some());
    }

    #[test]
    fn a_specification_that_cannot_be_read_says_why_and_leaves_the_others() {
        let host = Host::new();
        host.library("liba.so.1");
        host.specify("etc/good.json", &["usr/lib64/liba.so.1"]);
        for (text, reason) in [
            ("kind: [", "cannot be read"),
            ("", "cannot be read"),
            (&" ".repeat(2 << 20), "longer than 1024 KiB"),
        ] {
            let file = host.write("run/bad.yaml", text);
            let driver = host.read();
            assert_eq!(names(&driver).len(), 2);
            assert!(
                driver.is_partial && driver.complaints[0].text.contains(reason),
                "{:?}",
                driver.complaints
            );
            assert!(driver.complaints[0].text.starts_with(&file.display().to_string()));
        }
        // The only one there is.
        fs::remove_file(host.path("etc/good.json")).unwrap();
        let driver = host.read();
        assert_eq!((driver.change(Some("a")), driver.change(None)), (Change::Nothing, Change::Clear));
        fs::remove_file(host.path("run/bad.yaml")).unwrap();
        assert_eq!(host.read().change(Some("a")), Change::Clear);
        rustix::fs::mkfifoat(rustix::fs::CWD, host.path("run/pipe.json"), rustix::fs::Mode::RUSR).unwrap();
        assert!(texts(&host.read()).iter().any(|one| one.contains("pipe.json") && one.contains("no file")));
    }

    #[test]
    fn a_broken_specification_keeps_no_driver_from_coming() {
        let host = Host::new();
        host.library("liba.so.1");
        host.library("liba.so.2");
        host.specify("etc/good.json", &["usr/lib64/liba.so.1"]);
        host.write("run/broken.yaml", "kind: [");
        let driver = host.read();
        let before = driver.layout.generation().unwrap();
        assert_eq!(driver.change(None), Change::Replace(before.clone()));
        assert_eq!(driver.change(Some(&before)), Change::Nothing);
        host.specify("etc/good.json", &["usr/lib64/liba.so.2"]);
        let driver = host.read();
        let after = driver.layout.generation().unwrap();
        assert_ne!(before, after);
        assert_eq!(driver.change(Some(&before)), Change::Replace(after));
        assert!(driver.is_partial && driver.complaints[0].text.contains("broken.yaml is not taken"));
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_told_and_takes_nothing_away() {
        let host = Host::new();
        let (etc, run) = (host.path("etc"), host.path("run"));
        host.library("liba.so.1");
        host.specify("etc/good.json", &["usr/lib64/liba.so.1"]);
        let before = Snapshot::of(&[etc.clone(), run.clone()]);
        assert!(before.complaints().is_empty());
        // Root may read any; a link in a circle leads nowhere.
        fs::rename(&etc, host.path("away")).unwrap();
        symlink("etc", &etc).unwrap();
        let driver = host.read();
        assert!(driver.complaints[0].text.contains(&etc.display().to_string()), "{:?}", driver.complaints);
        assert_eq!((driver.complaints.len(), driver.change(Some("a"))), (1, Change::Nothing));
        let after = Snapshot::of(&[etc.clone(), run.clone()]);
        assert!(before != after && after.complaints() == driver.complaints);
        // The other one is read.
        host.specify("run/good.json", &["usr/lib64/liba.so.1"]);
        assert!(matches!(host.read().change(Some("a")), Change::Replace(_)));
        // One that is not there is none.
        fs::remove_file(&etc).unwrap();
        fs::remove_file(host.path("run/good.json")).unwrap();
        assert_eq!(host.read().change(Some("a")), Change::Clear);
        assert!(Snapshot::of(&[etc, run]).complaints().is_empty());
    }

    #[test]
    fn specifications_that_are_too_many_are_told() {
        let host = Host::new();
        for number in 0..70 {
            host.write(&format!("etc/{number:02}.json"), r#"{"kind": "intel.com/gpu"}"#);
        }
        let driver = host.read();
        assert!(
            driver.is_partial
                && driver.complaints[0].text.ends_with("has more than 64 files: 6 are not read")
        );
    }

    #[test]
    fn libraries_are_asked_for_their_names_and_odd_files_have_none() {
        let host = Host::new();
        let look = |path: &Path| library::look(&fs::File::open(path).unwrap());
        let whole = a_library();
        let found = look(&host.library("liba.so.1")).unwrap();
        assert_eq!((found.is_32_bit, found.name.as_deref()), (false, Some("libx.so.6")));
        for length in (0..4096).step_by(7).chain((4096..whole.len()).step_by(whole.len() / 50)) {
            look(&host.write("usr/lib64/cut", &whole[..length]));
        }
        for offset in 0..1024 {
            let mut changed = whole.clone();
            changed[offset] ^= 0xff;
            look(&host.write("usr/lib64/changed", changed));
        }
        assert_eq!(look(&host.write("usr/lib64/text", "text")), None);
    }

    /// A state directory that passes on what is mounted in it, as a host's does, and gone with the value.
    struct Shared(PathBuf);

    impl Shared {
        fn at(path: PathBuf) -> Self {
            mount_bind(&path, &path).unwrap();
            mount_change(&path, MountPropagationFlags::PRIVATE).unwrap();
            mount_change(&path, MountPropagationFlags::SHARED).unwrap();
            Self(path)
        }
    }

    impl Drop for Shared {
        fn drop(&mut self) {
            let _ = unmount(&self.0, UnmountFlags::DETACH);
        }
    }

    #[test]
    fn a_farm_has_one_generation_and_nobody_writes_it() {
        let host = Host::new();
        let library = host.library("liba.so.1");
        host.specify("etc/nvidia.json", &["usr/lib64/liba.so.1"]);
        let shared = Shared::at(host.path("mounts"));
        let target = shared.0.join("driver");
        fs::create_dir(&target).unwrap();
        assert!(!is_mounted(&target));
        mount(&target).unwrap();
        assert!(is_mounted(&target) && current(&target).is_none());
        let put = || {
            let driver = host.read();
            let generation = driver.layout.generation().unwrap();
            replace(&target, &generation, &driver.layout, &driver.files).unwrap();
            assert_eq!(current(&target), Some(generation));
        };
        put();
        // As of a daemon that died over it, and again.
        put();
        let there = target.join(CURRENT).join("lib/liba.so.1");
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&there), inode(&library));
        assert_eq!(
            fs::read_link(target.join(CURRENT).join("lib/libx.so.6")).unwrap(),
            Path::new("liba.so.1")
        );
        for written in
            [fs::write(&there, ""), fs::write(target.join("new"), ""), fs::remove_file(target.join(CURRENT))]
        {
            assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        }
        // Updated while somebody has the library open.
        let held = fs::read(&there).unwrap();
        fs::remove_file(&library).unwrap();
        host.write("usr/lib64/liba.so.1", [held.as_slice(), b"more"].concat());
        put();
        assert_eq!(inode(&there), inode(&library));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "the earlier generation is gone");
        clear(&target).unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        crate::host::mounts::detach_below(&shared.0.join("driver")).unwrap();
        assert!(!is_mounted(&target));
    }
}
