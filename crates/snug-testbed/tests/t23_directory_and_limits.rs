//! `snug run`: where the command starts, and what it may use.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use snug_testbed::{Bed, Container};

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "places", "local:debian/13")
}

fn says(line: &str) -> String {
    guest().shell(line).run().expect("it ends").success().out()
}

/// A directory of the host, removed at the end.
fn on_host(parent: &str) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("snug-").tempdir_in(parent).expect("a directory can be made");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("root may");
    dir
}

#[test]
fn the_command_starts_in_the_callers_directory() {
    assert_eq!(
        says("mkdir -p ~/'a dir/b'; cd ~/'a dir/b'; snug run pwd; rm -r ~/'a dir'"),
        "/home/tester/a dir/b\n"
    );
}

#[test]
fn a_directory_reached_through_a_link_keeps_its_name() {
    let line = "mkdir -p ~/real/sub; ln -sfn real ~/linked; cd ~/linked/sub; snug run sh -c 'pwd; pwd -P; echo $PWD'; \
                rm -r ~/real ~/linked";
    assert_eq!(says(line), "/home/tester/linked/sub\n/home/tester/real/sub\n/home/tester/linked/sub\n");
}

#[test]
fn a_wrong_or_missing_pwd_is_not_believed() {
    let line = "mkdir -p ~/here; cd ~/here; PWD=/etc snug run pwd; PWD=here snug run pwd; env -u PWD snug run pwd; \
                PWD=/home/tester/../tester/here snug run sh -c 'echo $PWD'; cd; rmdir ~/here";
    assert_eq!(says(line), "/home/tester/here\n".repeat(4));
}

#[test]
fn a_home_behind_a_link_is_the_same_under_both_names() {
    let bed = Bed::require();
    let guest = bed.container("atomic", "linked", "local:debian/13");
    let line =
        "mkdir -p ~/sub; cd ~/sub; snug run sh -c pwd; cd \"$(pwd -P)\"; snug run sh -c pwd; cd; rmdir ~/sub";
    assert_eq!(
        guest.shell(line).run().unwrap().success().out(),
        "/home-link/atomic/sub\n/var/home/atomic/sub\n"
    );
}

#[test]
fn another_directory_of_the_same_name_is_refused_and_nothing_runs() {
    // They are in both, and are not the same.
    for dir in ["/opt", "/var/lib", "/etc"] {
        let out = guest()
            .snug(["run", "--root", "touch", "touched-by-snug"])
            .dir(dir)
            .run()
            .unwrap()
            .ends_with(125);
        assert!(out.err().starts_with(&format!("error: {dir}")), "{}", out.err());
        assert!(out.err().contains("hint: ") && out.out().is_empty(), "{}", out.err());
        assert!(!Path::new(dir).join("touched-by-snug").exists());
        let out = guest().snug(["run", "--root", "-w", dir, "ls"]).run().unwrap().success();
        assert!(!out.out().contains("touched-by-snug"), "{}", out.out());
    }
}

#[test]
fn a_directory_that_the_guest_does_not_have_is_refused() {
    let dir = on_host("/opt");
    let out = guest().run(["touch", "x"]).dir(dir.path()).run().unwrap().ends_with(125);
    assert!(
        out.err().contains(&*dir.path().to_string_lossy()) && out.err().contains("hint: "),
        "{}",
        out.err()
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_was_removed_is_refused() {
    let out =
        guest().shell("mkdir ~/gone; cd ~/gone; rmdir ~/gone; snug run true").run().unwrap().ends_with(125);
    assert!(out.err().starts_with("error: "), "{}", out.err());
}

#[test]
fn the_root_directory_stands_for_itself() {
    let out = guest().run(["sh", "-c", "pwd; cat etc/hostname"]).dir("/").run().unwrap().success();
    assert_eq!(out.out(), "/\nplaces\n");
}

#[test]
fn a_directory_given_by_option_is_the_guests() {
    assert_eq!(guest().snug(["run", "-w", "/opt", "pwd"]).run().unwrap().success().out(), "/opt\n");
    assert_eq!(
        guest().snug(["run", "-w", "/var/log", "pwd"]).dir("/opt").run().unwrap().success().out(),
        "/var/log\n"
    );
    for dir in ["/no/such", "/etc/passwd", ""] {
        let out = guest().snug(["run", "-w", dir, "echo", "ran"]).run().unwrap().ends_with(125);
        assert_eq!(out.out(), "");
        assert!(out.err().starts_with("error: "), "{}", out.err());
    }
}

#[test]
fn only_enter_goes_home_instead_and_says_so() {
    let mut pty = guest().snug(["enter", "places", "--", "sh", "-c", "pwd"]).dir("/opt").on_pty().unwrap();
    let shown = pty.ends_with(0);
    assert!(shown.contains("/opt") && shown.contains("/home/tester\r\n"), "{shown}");
    // A notice is for a person who did not ask for silence: else there is none.
    let mut pty = guest().snug(["-q", "enter", "places", "--", "pwd"]).dir("/opt").on_pty().unwrap();
    let quiet = pty.ends_with(0);
    assert!(!quiet.contains("/opt") && quiet.contains("/home/tester\r\n"), "{quiet:?}");
    let out = guest().snug(["enter", "places", "--", "pwd"]).dir("/opt").run().unwrap().success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("/home/tester\n", ""));
}

#[test]
fn the_umask_is_the_callers() {
    assert_eq!(says("umask 027; snug run sh -c umask; umask 0; snug run sh -c umask"), "0027\n0000\n");
    let line = "umask 077; snug run touch ~/private-file; stat -c %a ~/private-file; rm ~/private-file";
    assert_eq!(says(line), "600\n");
}

#[test]
fn soft_limits_are_exactly_the_callers() {
    for (option, value) in [
        ("n", "333"),
        ("c", "0"),
        ("s", "4096"),
        ("f", "123456"),
        ("t", "4000"),
        ("v", "8000000"),
        ("l", "64"),
    ] {
        let line = format!("ulimit -S{option} {value}; snug run bash -c 'ulimit -S{option}'");
        assert_eq!(guest().bash(&line).run().unwrap().success().out().trim(), value, "-{option}");
    }
    let all = "bash -c 'ulimit -S -n -c -s -f -t -v -l -d -m -q -u -x'";
    assert_eq!(says(&format!("snug run {all}")), says(all));
}

#[test]
fn hard_limits_are_the_callers_as_far_as_the_guests_allow() {
    let line = "ulimit -n 600; ulimit -c 0; snug run bash -c 'ulimit -Hn; ulimit -Hc; ulimit -n 601 2>/dev/null || echo no'";
    assert_eq!(guest().bash(line).run().unwrap().success().out(), "600\n0\nno\n");
    // More than the guest has cannot be given, and does not stop the command either.
    let out = Command::new("prlimit")
        .args([
            "--nofile=1024:1073741816",
            "setpriv",
            "--reuid=tester",
            "--regid=tester",
            "--init-groups",
            "--",
        ])
        .args(["env", "-C", "/home/tester", "snug", "run", "-c", "places", "bash", "-c", "ulimit -Sn"])
        .output()
        .unwrap();
    if out.status.success() {
        assert_eq!(String::from_utf8_lossy(&out.stdout), "1024\n", "{out:?}");
    } else {
        // This kernel's `fs.nr_open` is smaller: then nobody can have such a limit.
        assert!(String::from_utf8_lossy(&out.stderr).contains("prlimit"), "{out:?}");
    }
}

#[test]
fn supplementary_groups_are_those_of_the_guest() {
    let account = guest().bed().account("tester");
    let uid = account.uid.to_string();
    let gid = account.gid.to_string();
    // A group of the host that has the number of none in the guest, and one that has.
    let out = Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &gid, "--groups", &format!("{gid},54321,0,6"), "--"])
        .args(["env", "-i", "-C", "/home/tester", "HOME=/home/tester", "PATH=/usr/bin:/bin"])
        .args(["snug", "run", "-c", "places", "sh", "-c", "id -G; id -G tester"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let groups = |line: &str| line.split(' ').map(str::to_owned).collect::<BTreeSet<String>>();
    let (own, of_account) = text.trim().split_once('\n').unwrap();
    assert_eq!(groups(own), groups(of_account));
    assert!(["54321", "0", "6"].iter().all(|group| !groups(own).contains(*group)), "{own}");
}

#[test]
fn ignored_signals_stay_ignored_and_no_others_are() {
    let mask = "snug run sh -c 'grep SigIgn /proc/$$/status'";
    assert_eq!(says(mask), "SigIgn:\t0000000000000000\n");
    assert_eq!(says(&format!("trap '' HUP USR1; {mask}")), "SigIgn:\t0000000000000201\n");
    assert_eq!(says("nohup snug run sh -c 'kill -HUP $$; echo alive' </dev/null 2>/dev/null"), "alive\n");
    assert_eq!(says("snug run grep SigBlk /proc/self/status"), "SigBlk:\t0000000000000000\n");
}

#[test]
fn the_first_command_after_a_start_finds_tmp_settled() {
    for (name, image) in [("settled-12", "local:debian/12"), ("settled-13", "local:debian/13")] {
        let bed = Bed::require();
        let guest = bed.container_with("tester", name, image, &["--no-start", "--no-grant", "places"]);
        guest.run(["sh", "-c", "echo kept >/tmp/first"]).run().unwrap().success();
        let line = "systemctl is-system-running --wait >/dev/null; cat /tmp/first; systemctl is-active sysinit.target";
        assert_eq!(guest.run(["sh", "-c", line]).run().unwrap().success().out(), "kept\nactive\n", "{image}");
    }
}

#[test]
fn an_early_command_does_not_wait_for_the_boot_and_others_do() {
    let bed = Bed::require();
    let guest = bed.container("tester", "slow-boot", "local:debian/13");
    // Early boot ends when somebody opens the fifo.
    let unit = "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\nTimeoutStartSec=120\n\
                ExecStart=/bin/sh -c 'mkfifo /run/gate; read line </run/gate'\n[Install]\nWantedBy=sysinit.target\n";
    let setup = "cat >/etc/systemd/system/slow.service; systemctl enable slow";
    guest.snug(["run", "--root", "sh", "-c", setup]).input(unit).run().unwrap().success();
    guest.snug(["stop", "slow-boot"]).run().unwrap().success();
    let early = |line: &str| {
        guest.snug(["run", "--early", "--root", "sh", "-c", line]).run().unwrap().success().out()
    };
    // It may come before the guest's init can be asked.
    assert_ne!(early("systemctl is-active sysinit.target || :"), "active\n");
    let mut patient = guest.run(["true"]).spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    early("until [ -p /run/gate ]; do :; done");
    assert!(patient.try_wait().unwrap().is_none(), "the ordinary command has not run");
    early("echo >/run/gate");
    assert!(patient.wait().unwrap().success());
    assert_eq!(early("systemctl is-active sysinit.target"), "active\n");
}
