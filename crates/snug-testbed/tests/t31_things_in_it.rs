//! What is done with things in a container: files in and out, settings, logs.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use common::{NO_INIT, answer, fresh, fresh_with, instance_key, listed, refused};
use snug_testbed::Bed;

/// A container whose `/tmp` is not the host's: it goes with the test.
const OWN_TMP: [&str; 2] = ["--no-grant", "places"];

#[test]
fn a_file_goes_in_and_comes_out_with_its_bytes_its_mode_and_a_sensible_owner() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "copy-file", NO_INIT, &OWN_TMP);
    let dir = format!("copy-{}", std::process::id());
    answer(bed.shell(
        "tester",
        &format!("mkdir {dir} && head -c 3000000 /dev/urandom >{dir}/a && chmod 750 {dir}/a"),
    ));
    let sum = answer(bed.shell("tester", &format!("sha256sum <{dir}/a")));
    bed.snug("tester").args(["cp", &format!("{dir}/a"), "copy-file:/tmp/b"]).run().unwrap().success();
    assert_eq!(
        answer(dev.run(["sh", "-c", "sha256sum </tmp/b; stat -c %a:%U /tmp/b"])),
        format!("{sum}\n750:tester")
    );
    bed.snug("tester").args(["cp", "copy-file:/tmp/b", &format!("{dir}/c")]).run().unwrap().success();
    // A link that was named is followed, whatever its end was doing when it was seen; more than a pipe holds is refused with the
    // host's reason.
    answer(dev.run(["sh", "-c", "ln -s b /tmp/link"]));
    for _ in 0..10 {
        bed.snug("tester").args(["cp", "copy-file:/tmp/link", &format!("{dir}/l")]).run().unwrap().success();
    }
    answer(bed.shell("tester", &format!("cmp {dir}/a {dir}/l")));
    let denied =
        bed.snug("tester").args(["cp", "copy-file:/tmp/b", "/etc/snug-x"]).run().unwrap().ends_with(1);
    assert!(denied.err().contains("Permission denied"), "{}", denied.err());
    answer(bed.shell("tester", &format!("chmod 6755 {dir}/l")));
    bed.snug("tester").args(["cp", &format!("{dir}/l"), "copy-file:/tmp/s"]).run().unwrap().success();
    assert_eq!(answer(dev.run(["stat", "-c", "%a", "/tmp/s"])), "755", "nobody else's rights come along");
    let back =
        answer(bed.shell("tester", &format!("cmp {dir}/a {dir}/c && stat -c %a:%U:%G {dir}/c; rm -r {dir}")));
    assert_eq!(back, "750:tester:tester");
}

#[test]
fn a_directory_goes_in_and_comes_out_whole() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "copy-tree", NO_INIT, &OWN_TMP);
    let dir = format!("tree-{}", std::process::id());
    let make = format!(
        "mkdir -p {dir}/sub/empty && echo one >{dir}/one && echo two >'{dir}/sub/two words' && ln -s one {dir}/link"
    );
    answer(bed.shell("tester", &make));
    bed.snug("tester").args(["cp", &dir, "copy-tree:/tmp/tree"]).run().unwrap().success();
    let inside = answer(dev.run([
        "sh",
        "-c",
        "cd /tmp/tree && find . | sort && cat 'sub/two words' && readlink link",
    ]));
    assert_eq!(inside, ".\n./link\n./one\n./sub\n./sub/empty\n./sub/two words\ntwo\none");
    bed.snug("tester").args(["cp", "copy-tree:/tmp/tree", &format!("{dir}-back")]).run().unwrap().success();
    let same = answer(
        bed.shell("tester", &format!("diff -r {dir} {dir}-back && echo same; rm -r {dir} {dir}-back")),
    );
    assert_eq!(same, "same");
}

#[test]
fn what_the_user_may_not_read_is_named_and_the_rest_comes_out() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "copy-part", NO_INIT, &OWN_TMP);
    let dir = format!("part-{}", std::process::id());
    let make = "mkdir -p /tmp/p/closed && cd /tmp/p && touch a z hidden && chmod 0 hidden closed";
    answer(dev.run(["sh", "-c", make]));
    let copied = bed.snug("tester").args(["cp", "copy-part:/tmp/p", &dir]).run().unwrap();
    assert_ne!(copied.code(), 0);
    for name in ["/tmp/p/hidden: ", "/tmp/p/closed: "] {
        assert!(copied.err().contains(name), "{}", copied.err());
    }
    assert_eq!(answer(bed.shell("tester", &format!("ls {dir}; rm -r {dir}"))), "a\nz");
}

#[test]
fn copying_into_a_directory_keeps_the_name_and_a_stopped_container_is_started() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "copy-into", NO_INIT, &["--no-start", "--no-grant=places"]);
    let file = format!("into-{}", std::process::id());
    answer(bed.shell("tester", &format!("echo text >{file}")));
    bed.snug("tester").args(["cp", &file, "copy-into:/tmp/"]).run().unwrap().success();
    assert_eq!(answer(dev.run(["cat", &format!("/tmp/{file}")])), "text");
    answer(bed.shell("tester", &format!("rm {file}")));
}

#[test]
fn copying_refuses_what_has_no_container_or_two_and_what_does_not_exist() {
    let bed = Bed::require();
    let _dev = fresh_with(&bed, "tester", "copy-wrong", NO_INIT, &OWN_TMP);
    let (root, missing) = ("hint: `--root`", "No such file");
    for (source, target, words) in [
        ("/etc/hostname", "/tmp/x", ["NAME:", "hint"]),
        ("copy-wrong:/etc/hostname", "copy-wrong:/tmp/x", ["one", "hint"]),
        ("/etc/does-not-exist", "copy-wrong:/tmp/x", ["does-not-exist", missing]),
        ("copy-wrong:/etc/does-not-exist", "/tmp/x-of-nobody", ["does-not-exist", missing]),
        ("copy-nowhere:/etc/hostname", "/tmp/x-of-nobody", ["copy-nowhere", "hint"]),
        ("/etc/hostname", "copy-nowhere:/tmp/x", ["copy-nowhere", "hint"]),
        ("/etc/hostname", "copy-wrong:/nowhere/x", ["/nowhere", missing]),
        ("/etc/hostname", "copy-wrong:/nowhere/", ["/nowhere/", missing]),
        ("/etc/hostname", "copy-wrong:/etc/passwd/", ["/etc/passwd/", "Not a directory"]),
        ("/etc/hostname", "copy-wrong:/etc/x", ["/etc/x: Permission denied", root]),
        ("/etc/hostname", "copy-wrong:/root/x", ["/root/x: Permission denied", root]),
        ("copy-wrong:/etc/shadow", "/tmp/x-of-nobody", ["/etc/shadow: Permission denied", root]),
    ] {
        let refused = bed.snug("tester").args(["cp", source, target]).run().unwrap();
        let status = if words[0] == "NAME:" || words[0] == "one" { 2 } else { 1 };
        let refusal = refused.ends_with(status).err();
        assert!(words.iter().all(|word| refusal.contains(word)), "{source} {target}: {refusal}");
        // Told once: no second message names the first.
        assert_eq!(refusal.matches("error: ").count() + refusal.matches("left out").count(), 1, "{refusal}");
    }
    assert!(!std::path::Path::new("/tmp/x-of-nobody").exists());
}

#[test]
fn a_hostile_archive_of_the_guest_writes_nothing_outside_the_target() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "copy-evil", NO_INIT, &OWN_TMP);
    let dir = format!("evil-{}", std::process::id());
    answer(bed.shell("tester", &format!("mkdir -p {dir}/out")));
    // A link first, then a file through it: what an archive may hold.
    answer(dev.run([
        "sh",
        "-c",
        &format!("mkdir -p /tmp/e && ln -s /home/tester/{dir} /tmp/e/way && mkdir /tmp/e/deep"),
    ]));
    let copied = bed.snug("tester").args(["cp", "copy-evil:/tmp/e", &format!("{dir}/out/")]).run().unwrap();
    // What leads out is left out, and said so.
    assert!(copied.clone().ends_with(1).err().contains("e/way"), "{}", copied.err());
    let seen = answer(bed.shell("tester", &format!("find {dir} | sort; rm -r {dir}")));
    assert_eq!(seen, format!("{dir}\n{dir}/out\n{dir}/out/e\n{dir}/out/e/deep"));
}

#[test]
fn settings_are_set_and_unset_live() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "set-live", NO_INIT);
    let pid = listed(&bed, "tester", dev.name()).unwrap()["pid"].clone();
    let set = ["set", "-c", dev.name(), "cpu=1", "memory=512MiB", "processes=300"];
    bed.snug("tester").args(set).run().unwrap().success();
    let jobs = bed.snug("tester").args(["logs", "--jobs", dev.name()]).run().unwrap().success().out();
    let controllers = answer(dev.run(["cat", "/sys/fs/cgroup/cgroup.controllers"]));
    for (setting, controller) in [("cpu=1", "cpuset"), ("memory=512MiB", "memory"), ("processes=300", "pids")]
    {
        let has_effect = controllers.split(' ').any(|it| it == controller);
        let told = jobs.contains(&format!("{setting} has no effect now"));
        assert_eq!(told, !has_effect, "{setting}: {controllers}: {jobs}");
    }
    for (key, value) in [("limits.cpu", "1"), ("limits.memory", "512MiB"), ("limits.processes", "300")] {
        assert_eq!(instance_key(&bed, "tester", dev.name(), key), value);
    }
    let it = listed(&bed, "tester", dev.name()).unwrap();
    assert_eq!(it["settings"]["memory"], "512MiB", "{it}");
    assert_eq!(it["pid"], pid, "it was restarted");
    bed.snug("tester").args(["unset", "-c", dev.name(), "memory", "cpu"]).run().unwrap().success();
    assert_eq!(instance_key(&bed, "tester", dev.name(), "limits.memory"), "");
    let it = listed(&bed, "tester", dev.name()).unwrap();
    assert_eq!((it["settings"]["processes"].as_str(), it["settings"].get("memory")), (Some("300"), None));
}

#[test]
fn settings_outlive_a_restart() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "set-lasts", NO_INIT);
    bed.snug("tester").args(["set", "-c", dev.name(), "processes=400"]).run().unwrap().success();
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(instance_key(&bed, "tester", dev.name(), "limits.processes"), "400");
}

#[test]
fn the_disk_setting_is_the_size_of_the_guests_root() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "set-disk", NO_INIT);
    bed.snug("tester").args(["set", "-c", dev.name(), "disk=64MiB"]).run().unwrap().success();
    let size = ["config", "device", "get", "--project", &bed.project("tester"), dev.name(), "root", "size"];
    assert_eq!(bed.incus(size).ok().unwrap().text().trim(), "64MiB");
    let line = "head -c 200000000 /dev/urandom >/big; sync; stat -c %s /big; rm /big";
    let full = dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap();
    let written: u64 = full.out().trim().parse().unwrap();
    assert!(written <= 64 << 20, "{written} {}", full.err());
    bed.snug("tester").args(["unset", "-c", dev.name(), "disk"]).run().unwrap().success();
}

#[test]
fn autostart_is_snugs_own_and_never_incus() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "set-auto", NO_INIT);
    for value in ["boot", "login", "no"] {
        let set = format!("autostart={value}");
        bed.snug("tester").args(["set", "-c", dev.name(), &set]).run().unwrap().success();
        assert_eq!(instance_key(&bed, "tester", dev.name(), "boot.autostart"), "false");
    }
}

#[test]
fn a_wrong_setting_is_refused_with_what_would_do() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "set-wrong", NO_INIT, &["--no-start"]);
    for (word, shown) in [
        ("memry=1GiB", "memory"),
        ("memory=lots", "lots"),
        ("cpu=0", "cpu"),
        ("autostart=never", "boot"),
        ("processes=-1", "processes"),
        ("memory", "memory"),
    ] {
        let refusal = bed.snug("tester").args(["set", "-c", dev.name(), word]).run().unwrap();
        assert!(refusal.code() != 0 && refusal.err().contains(shown), "{word}: {}", refusal.err());
    }
    assert_eq!(listed(&bed, "tester", dev.name()).unwrap()["settings"].as_object().unwrap().len(), 0);
    refused(bed.snug("tester").args(["set", "-c", "set-nowhere", "cpu=1"]), 1, &["set-nowhere"]);
}

#[test]
fn logs_show_the_guests_console_and_follow_it() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "logs-here", NO_INIT);
    let write = |text: &str| {
        answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", &format!("echo {text} >/dev/console")]))
    };
    write("first-words");
    let shown = bed.snug("tester").args(["logs", dev.name()]).run().unwrap().success().out();
    assert!(shown.contains("first-words"), "{shown}");
    let mut pty = bed.snug("tester").args(["logs", dev.name(), "-f"]).on_pty().unwrap();
    pty.until("first-words").unwrap();
    write("later-words");
    pty.until("later-words").unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    refused(bed.snug("tester").args(["logs", "logs-nowhere"]), 1, &["logs-nowhere"]);
}
