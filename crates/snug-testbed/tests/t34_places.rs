//! The grant `places`: `/tmp`, `/media` and so on are the host's, and nothing in the guest cleans them.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{TemporaryUser, answer, fresh, fresh_with};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use snug_testbed::{Bed, Container};

const SYSTEMD: [&str; 2] = [common::DEBIAN_12, common::DEBIAN_13];

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "sharing", common::DEBIAN_13)
}

/// A directory of the host that everybody may use, gone with the test.
fn on_host(place: &str) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("snug-place").tempdir_in(place).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    dir
}

fn owned(path: &Path, text: &str) {
    let account = Bed::require().account("tester");
    fs::write(path, text).unwrap();
    chown(path, Some(account.uid), Some(account.gid)).unwrap();
}

/// Something mounted on the host for the time of a test.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        mount("snug-test", &path, "tmpfs", MountFlags::empty(), Some(c"mode=1777,size=64k")).unwrap();
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A file system that answers nobody, as a server's that is away; gone with the test.
struct Silent(PathBuf, Option<OwnedFd>);

impl Silent {
    /// A user's own, which the kernel shows to nobody else, or one for everybody.
    fn at(path: &Path, of: &str, everybody: bool) -> Self {
        let account = Bed::require().account(of);
        let device = OwnedFd::from(fs::File::options().read(true).write(true).open("/dev/fuse").unwrap());
        let more = if everybody { ",allow_other" } else { "" };
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={}{more}",
            device.as_raw_fd(),
            account.uid,
            account.gid,
        );
        let options = CString::new(options).unwrap();
        mount("snug-test", path, "fuse", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self(path.into(), Some(device))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Whoever waits for it is answered by the kernel from here on.
        drop(self.1.take());
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn one_that_does_not_answer_is_left_out_and_harms_no_start_or_stop() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "places-silent", common::NO_INIT, &["--no-start"]);
    let srv = on_host("/srv");
    let away = Silent::at(Path::new("/mnt"), "second", true);
    bed.snug("tester").args(["start", dev.name()]).run().unwrap().success();
    let log = bed.snug("tester").args(["logs", "--jobs", dev.name()]).run().unwrap().success().out();
    assert!(log.contains("/mnt is not shared: /mnt does not answer"), "{log}");
    answer(dev.snug(["run", "-w", "/", "test", "-d", srv.path().to_str().unwrap()]));
    let own = dev.snug(["run", "-w", "/", "ls", "/mnt"]).run().unwrap();
    assert!(own.out().is_empty(), "the container's own, if it has one");
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
    drop(away);
    let mnt = on_host("/mnt");
    answer(dev.snug(["run", "-w", "/", "test", "-d", mnt.path().to_str().unwrap()]));
}

#[test]
fn file_systems_of_others_below_one_harm_no_start_or_stop() {
    let bed = Bed::require();
    for (place, everybody) in [("/mnt", false), ("/mnt", true), ("/tmp", false), ("/tmp", true)] {
        let dir = on_host(place);
        let path = dir.path().join("theirs");
        fs::create_dir(&path).unwrap();
        let _silent = Silent::at(&path, "second", everybody);
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().matches("theirs").count();
        let dev = fresh(&bed, "tester", "places-others", common::DEBIAN_13);
        // Where everybody could mount some, they are not shared.
        assert_eq!(mounts() > 1, place == "/mnt", "{place}: {}", mounts());
        for verb in ["restart", "stop"] {
            bed.snug("tester").args([verb, dev.name()]).run().unwrap().success();
        }
        answer(dev.snug(["run", "-w", "/", "true"]));
        drop(dev);
        assert!(!bed.run_dir("tester", "places-others").exists());
        assert_eq!(mounts(), 1, "the user's mount stays");
    }
}

#[test]
fn one_that_the_home_lies_below_is_the_containers_own_but_for_the_home() {
    let bed = Bed::require();
    let homes = on_host("/srv");
    fs::set_permissions(homes.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = homes.path().join("placed");
    let user = TemporaryUser::with(&bed, "placed", &["--user-group", "--home-dir", home.to_str().unwrap()]);
    let account = user.account();
    fs::write(home.join("of-the-host"), "seen").unwrap();
    chown(home.join("of-the-host"), Some(account.uid), Some(account.gid)).unwrap();
    let other = homes.path().join("other");
    fs::write(&other, "").unwrap();
    let look = |options: &[&str], name: &str| {
        let create = user.snug(["create", name, "--image", common::DEBIAN_13]);
        create.args(options).run().unwrap().success();
        let told = format!("/srv is not shared: {} lies below it", home.display());
        let log = user.snug(["logs", "--jobs", name]).run().unwrap().success().out();
        assert!(log.contains(&told), "{log}");
        let line = format!(
            "ls of-the-host; test -e {} && echo shared; findmnt -no TARGET -T .config/systemd/user; pwd",
            other.display()
        );
        let said = user.snug(["run", "-c", name, "-w", home.to_str().unwrap(), "--", "sh", "-c", &line]);
        let said = said.run().unwrap().success();
        (said.out(), said.err())
    };
    let (shown, error) = look(&[], "placed-shared");
    let island = home.join(".config/systemd/user");
    assert_eq!(shown.trim_end(), format!("of-the-host\n{}\n{}", island.display(), home.display()), "{error}");
    let (shown, _) = look(&["--grant", "home=private"], "placed-private");
    assert_eq!(shown.lines().last(), home.to_str());
    assert!(!shown.contains("of-the-host\n") && !shown.contains("shared"), "{shown}");
}

#[test]
fn what_services_of_a_killed_guest_had_there_goes_with_it() {
    let bed = Bed::require();
    let theirs = |dev: &Container<'_>| {
        let root = answer(dev.snug(["run", "--root", "-w", "/", "cat", "/proc/self/uid_map"]));
        let root: u32 = root.split_whitespace().nth(1).unwrap().parse().unwrap();
        move || {
            let entries = fs::read_dir("/var/tmp").unwrap().chain(fs::read_dir("/tmp").unwrap());
            let names =
                entries.flatten().filter(|entry| entry.metadata().is_ok_and(|status| status.uid() == root));
            names.filter(|entry| entry.file_name().to_string_lossy().starts_with("systemd-private-")).count()
        }
    };
    let dev = fresh(&bed, "tester", "places-killed", common::DEBIAN_13);
    let line = "systemd-run -q -p PrivateTmp=yes -p User=nobody --unit private -- \
                sh -c 'mkdir -p /tmp/a/b /var/tmp/a/b; exec sleep 1000'; \
                until ls -d /tmp/systemd-private-*-private.service-*/tmp/a/b; do sleep 0.1; done";
    for _ in 0..2 {
        let left = theirs(&dev);
        dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap().success();
        assert!(left() > 0);
        bed.snug("tester").args(["stop", "-f", dev.name()]).run().unwrap().success();
        assert_eq!(left(), 0);
    }
}

#[test]
fn what_has_to_stay_of_it_is_told() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "places-deep", common::NO_INIT);
    let name = format!("systemd-private-{}-x.service-abcdef", std::process::id());
    let _gone = common::Finally(|| drop(fs::remove_dir_all(Path::new("/tmp").join(&name))));
    let deep = format!("mkdir -p /tmp/{name}$(printf '/%s' $(seq 80))");
    answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", &deep]));
    let removed = bed.snug("tester").args(["rm", "-f", dev.name()]).run().unwrap().ends_with(0);
    let told = removed.err();
    assert!(told.contains("warning") && told.contains(&name) && told.contains("more than 64"), "{told}");
}

#[test]
fn a_guest_that_reboots_itself_has_them_again() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "places-reboot", common::DEBIAN_13);
    let boot = || dev.snug(["run", "-w", "/", "cat", "/proc/1/stat"]).run();
    // When process 1 was started (proc(5)).
    let started = |text: &str| Some(text.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned());
    let before = started(&boot().unwrap().success().out());
    let _ = dev.snug(["run", "--root", "-w", "/", "systemctl", "reboot"]).run().unwrap();
    common::eventually("it is up again", || {
        boot().is_ok_and(|said| said.code() == 0 && started(&said.out()) != before)
    });
    let inode = fs::metadata("/tmp").unwrap().ino().to_string();
    assert_eq!(answer(dev.run(["stat", "-c", "%i", "/tmp"])), inode);
}

#[test]
fn each_place_is_the_hosts_and_files_keep_their_owner_both_ways() {
    for place in ["/mnt", "/media", "/run/media", "/srv", "/tmp", "/var/tmp"] {
        let dir = on_host(place);
        owned(&dir.path().join("from-host"), "to the guest\n");
        let line = "cat from-host; echo to the host >from-guest; stat -c %U from-host from-guest; pwd";
        let said = answer(guest().run(["sh", "-c", line]).dir(dir.path()));
        assert_eq!(said, format!("to the guest\ntester\ntester\n{}", dir.path().display()));
        let made = dir.path().join("from-guest");
        assert_eq!(fs::read_to_string(&made).unwrap(), "to the host\n");
        assert_eq!(fs::metadata(made).unwrap().uid(), Bed::require().account("tester").uid);
    }
}

/// On this machine the root mount is not shared, as systemd makes it (suite `t70` has such a host): one below a place is.
#[test]
fn what_is_mounted_on_the_host_later_comes_and_goes_in_the_guest() {
    let bed = Bed::require();
    for place in ["/mnt", "/run/media", "/srv"] {
        let dir = on_host(place);
        let shared = Mounted::at(dir.path().join("disk"));
        mount_change(&shared.0, MountPropagationFlags::SHARED).unwrap();
        let dev = fresh(&bed, "tester", "places-later", common::NO_INIT);
        answer(dev.snug(["run", "-w", "/", "true"]));
        let later = Mounted::at(shared.0.join("stick"));
        let photo = later.0.join("photo");
        owned(&photo, "seen");
        let look = || dev.snug(["run", "-w", "/", "cat", photo.to_str().unwrap()]).run().unwrap();
        assert_eq!(look().success().out(), "seen");
        drop(later);
        assert_eq!(look().code(), 1, "{place}");
    }
}

#[test]
fn a_guest_that_boots_or_cleans_leaves_them_alone() {
    let bed = Bed::require();
    for image in SYSTEMD {
        let sockets = Path::new("/tmp/.X11-unix");
        let mode = fs::metadata(sockets).map(|status| status.permissions()).ok();
        fs::create_dir_all(sockets).unwrap();
        fs::set_permissions(sockets, fs::Permissions::from_mode(0o1777)).unwrap();
        // Debian 12 empties /tmp at each boot, all of them .X11-unix, and old files go once a day.
        let (socket, old, young) = (sockets.join("X99"), on_host("/var/tmp"), on_host("/tmp"));
        let _end = common::Finally(|| {
            let _ = fs::remove_file(&socket);
            let _ = match &mode {
                Some(mode) => fs::set_permissions(sockets, mode.clone()),
                None => fs::remove_dir(sockets),
            };
        });
        owned(&socket, "");
        owned(&old.path().join("file"), "old");
        owned(&young.path().join("file"), "young");
        for dir in [&old, &young] {
            let touch = ["-h", "-d", "400 days ago"];
            let paths = [dir.path().join("file"), dir.path().to_owned()];
            assert!(Command::new("touch").args(touch).args(paths).status().unwrap().success());
        }
        let dev = fresh(&bed, "tester", "places-clean", image);
        let root = |line: &str| dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap();
        // By the time of the last change alone: the others cannot be set.
        root(
            "for dir in /tmp /var/tmp /var/lib/aged; do echo \"e $dir - - - mM:1d\"; done >/etc/tmpfiles.d/test.conf; \
             mkdir /var/lib/aged",
        )
        .success();
        for _ in 0..2 {
            let states = root(
                "touch -d '400 days ago' /var/lib/aged/file; systemctl is-system-running --wait >/dev/null; \
                 systemctl start systemd-tmpfiles-clean.service; \
                 systemctl is-failed systemd-tmpfiles-setup.service systemd-tmpfiles-clean.service tmp.mount; \
                 test -e /var/lib/aged/file && echo not cleaned",
            );
            let said = format!("{image}: {}{}", states.out(), states.err());
            assert!(!said.contains("failed") && !said.contains("not cleaned"), "{said}");
            for kept in [&socket, &old.path().join("file"), &young.path().join("file")] {
                assert!(kept.exists(), "{image}: {}", kept.display());
            }
            let inode = fs::metadata("/tmp").unwrap().ino().to_string();
            assert_eq!(answer(dev.run(["stat", "-c", "%i", "/tmp"])), inode, "{image}");
            bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
        }
    }
}

#[test]
fn the_guests_root_has_no_more_there_than_its_owner() {
    let dir = on_host("/tmp");
    let secret = dir.path().join("secret");
    fs::write(&secret, "of root").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let root =
        |line: &str| guest().snug(["run", "--root", "--", "sh", "-c", line]).dir(dir.path()).run().unwrap();
    for line in ["cat secret", "rm -f secret", "chown root secret", "mv secret mine", "ln secret linked"] {
        assert_ne!(root(line).code(), 0, "{line}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of root");
    // What it makes there is nobody's on the host.
    root("cp /bin/true tool; chown 0:0 tool; chmod 4755 tool").success();
    assert!(fs::metadata(dir.path().join("tool")).unwrap().uid() > 65536);
    // A link of the owner's leads where it does on the host: nowhere else.
    let canary = tempfile::Builder::new().prefix("snug-canary").tempfile_in("/etc").unwrap();
    fs::set_permissions(canary.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let (link, owner) = (dir.path().join("link"), Bed::require().account("tester"));
    symlink(canary.path(), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(owner.uid), Some(owner.gid)).unwrap();
    let told = root("cat link");
    assert!(told.code() != 0 && told.err().contains("No such file"), "{}", told.err());
}

#[test]
fn servers_that_listen_in_tmp_stay_the_guests_and_editors_of_the_host_get_their_file() {
    let uid = Bed::require().account("tester").uid;
    assert_eq!(answer(guest().run(["printenv", "TMUX_TMPDIR"])), format!("/run/user/{uid}"));
    let own = guest().run(["printenv", "TMUX_TMPDIR"]).env("TMUX_TMPDIR", "/somewhere");
    assert_eq!(answer(own), "/somewhere");
    // As sudoedit and crontab do: a file below a place that its user alone may read, given to $EDITOR.
    let line = "export EDITOR=\"snug run sed -i s/host/guest/\"; f=$(mktemp /var/tmp/edit-XXXXXX); echo host >$f; \
                cd /; $EDITOR $f; cat $f; rm $f";
    assert_eq!(answer(guest().shell(line)), "guest");
}

#[test]
fn a_container_without_the_grant_has_its_own() {
    let bed = Bed::require();
    let dir = on_host("/tmp");
    let known = dir.path().to_str().unwrap();
    for (name, options, hint) in [
        ("places-none", &["--no-grant", "places"][..], "the grant `places`"),
        ("places-isolated", &["--preset", "isolated"], "snug cp"),
    ] {
        let dev = fresh_with(&bed, "tester", name, common::NO_INIT, options);
        assert_eq!(dev.snug(["run", "-w", "/", "test", "-e", known]).run().unwrap().code(), 1, "{name}");
        let own = answer(dev.snug(["run", "-w", "/", "ls", "/.snug"]));
        assert!(own.contains("bin") && !own.contains("places"), "{name}: {own}");
        let here = dev.run(["true"]).dir(dir.path()).run().unwrap().ends_with(125);
        assert!(here.err().contains(hint), "{}", here.err());
    }
}

#[test]
fn grants_tells_what_a_container_has_and_who_gave_it() {
    let bed = Bed::require();
    let options = ["--no-start", "--no-grant", "places", "--grant", "network=none"];
    let dev = fresh_with(&bed, "tester", "places-grants", common::NO_INIT, &options);
    let ask = |more: &[&str]| {
        let asked = bed.snug("tester").args(["grants", "-c", dev.name()]).args(more);
        asked.run().unwrap().success()
    };
    let all = common::json(&ask(&["--json"]));
    let line = |grant: &str| {
        let lines = all["grants"].as_array().unwrap();
        let line =
            lines.iter().find(|line| line["grant"] == grant).unwrap_or_else(|| panic!("{grant}: {all}"));
        format!("{} {}", line["state"].as_str().unwrap(), line["from"].as_str().unwrap())
    };
    assert_eq!(line("home"), "given preset");
    assert_eq!(line("network=none"), "given asked");
    assert_eq!(line("private=.config/systemd/user"), "given configuration");
    assert_eq!(line("places"), "off preset");
    assert_eq!(line("host-exec"), "given preset");
    assert!(ask(&[]).out().contains("places"), "the table has the same");
    common::refused(bed.snug("tester").args(["grants", "-c", "places-nowhere"]), 1, &["places-nowhere"]);
}

#[test]
fn an_init_that_nobody_knows_keeps_its_own_tmp_and_has_the_rest() {
    let bed = Bed::require();
    let (tmp, srv) = (on_host("/tmp"), on_host("/srv"));
    let dev = fresh(&bed, "tester", "places-busybox", common::BUSYBOX);
    let exists = |dir: &tempfile::TempDir| {
        dev.snug(["run", "-w", "/", "test", "-d", dir.path().to_str().unwrap()]).run().unwrap().code()
    };
    assert_eq!((exists(&tmp), exists(&srv)), (1, 0));
    let console = bed.snug("tester").args(["logs", dev.name()]).run().unwrap().success().out();
    assert!(console.contains("may empty /tmp"), "{console}");
}

#[test]
fn nothing_is_left_of_them() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "places-gone", common::NO_INIT);
    let below = bed.run_dir("tester", dev.name());
    let mounted = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.matches(&format!("{}/mounts/places", below.display())).count()
    };
    for _ in 0..2 {
        answer(dev.snug(["run", "-w", "/", "true"]));
        assert!(mounted() >= 6, "{}", mounted());
        bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
        assert_eq!(mounted(), 0);
    }
    drop(dev);
    assert!(!below.exists());
}
