//! What is said when something is missing, full, broken or forbidden: one clear message each.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use common::{
    BusPolicy, DEBIAN_13, Doomed, Finally, NO_INIT, PATIENCE, SnugConfig, answer, containers, explains,
    fresh, fresh_with, instance_exists, json, refused,
};
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, Leaks};

#[test]
fn a_name_that_is_taken_is_told_with_what_to_do() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-taken", NO_INIT);
    refused(
        bed.snug("tester").args(["create", dev.name(), "-i", NO_INIT]),
        1,
        &["clear-taken", "exists", "--replace"],
    );
    assert_eq!(answer(dev.run(["hostname"])), "clear-taken");
}

#[test]
fn a_wrong_name_is_told_with_a_right_one() {
    let bed = Bed::require();
    for (name, words) in [
        ("My_Tools", &["My_Tools", "my-tools"][..]),
        ("12345", &["12345", "digits"]),
        ("a--", &["a--"]),
        ("../../etc", &["../../etc"]),
        ("", &["empty"]),
    ] {
        refused(bed.snug("tester").args(["create", name, "-i", NO_INIT]), 1, words);
    }
    refused(bed.snug("tester").args(["run", "-c", "../../x", "true"]), 125, &["../../x"]);
}

#[test]
fn without_incus_each_command_says_so_and_running_containers_go_on() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-incus", NO_INIT);
    let _up = Finally(|| bed.start_incusd().unwrap());
    bed.stop_incusd(false).unwrap();
    for (line, status) in [
        (&["list"][..], 1),
        (&["create", "clear-new", "-i", NO_INIT], 1),
        (&["stop", "clear-incus"], 1),
        (&["run", "-c", "clear-other", "true"], 125),
    ] {
        refused(bed.snug("tester").args(line).deadline(PATIENCE), status, &["Incus", "hint: "]);
    }
    // In the words of whoever ships the system, too.
    let vendors = SnugConfig::write(&bed, "[hints]\nno-incus = \"switch Incus on in the settings\"\n");
    refused(bed.snug("tester").arg("list"), 1, &["Incus", "hint: switch Incus on in the settings"]);
    drop(vendors);
    let report = json(&bed.snug("tester").args(["doctor", "--json"]).run().unwrap().ends_with(1));
    let checks = report["checks"].as_array().unwrap();
    let wrong: Vec<_> = checks.iter().filter(|check| check["status"] == "error").collect();
    assert!(
        wrong.iter().any(|check| check["text"].as_str().unwrap().contains("Incus") && check["hint"] != ""),
        "{report}"
    );
    assert_eq!(answer(dev.run(["hostname"])), "clear-incus");
}

/// Answers every request as an Incus that knows nothing newer than its first release.
fn ancient_incus(socket: &std::path::Path) -> Finally<impl FnMut() + use<>> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let server = r#"{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":{"api_extensions":["storage"],"api_status":"stable","api_version":"1.0","auth":"trusted","config":{},"environment":{"server":"incus","server_version":"0.1","driver":"lxc","architectures":["x86_64"]}}}"#;
                let missing = r#"{"type":"error","error":"Not Found","error_code":404,"metadata":null}"#;
                let mut request = [0; 65536];
                while stream.read(&mut request).is_ok_and(|count| count > 0) {
                    let (status, body) = if request.starts_with(b"GET /1.0 ") {
                        ("200 OK", server)
                    } else {
                        ("404 Not Found", missing)
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all((head + body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let socket = socket.to_owned();
    Finally(move || drop(std::fs::remove_file(&socket)))
}

#[test]
fn an_incus_that_is_too_old_is_told_with_its_version_and_what_it_lacks() {
    let bed = Bed::require();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("unix.socket");
    let _incus = ancient_incus(&socket);
    let _daemon = bed.snugd_with(&[("SNUG_INCUS_SOCKET", socket.to_str().unwrap())]).unwrap();
    let create = bed.snug("tester").args(["create", "clear-old", "-i", NO_INIT]).deadline(PATIENCE);
    refused(create, 1, &["0.1", "Incus", "hint: "]);
}

#[test]
fn too_few_descriptors_are_named_as_such_whatever_fails_first() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-few", NO_INIT);
    // A command needs a handful of its own, the daemon's more; 64 do for each.
    for limit in 3..=9 {
        for (line, status) in [("run -c clear-few true", 125), ("run -c clear-none true", 125), ("list", 1)] {
            let captured =
                bed.shell("tester", &format!("ulimit -n {limit} && exec snug {line}")).run().unwrap();
            if captured.code() != 0 {
                let limit = format!("this process may open {limit}");
                explains(&captured, status, &["no file descriptor is left", &limit, "ulimit -n"]);
            } else {
                assert!(line.contains("clear-few"), "`{line}` cannot do with {limit}");
            }
        }
    }
    assert_eq!(
        answer(bed.shell("tester", &format!("ulimit -n 64; snug run -c {} hostname", dev.name()))),
        "clear-few"
    );
}

#[test]
fn without_a_bus_the_daemons_commands_say_so_and_running_containers_go_on() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-bus", NO_INIT);
    let nowhere = ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/no-such-bus");
    refused(
        bed.snug("tester").arg("list").env(nowhere.0, nowhere.1),
        1,
        &["bus", "/run/no-such-bus", "hint: "],
    );
    refused(
        bed.snug("tester").args(["run", "-c", "clear-other", "true"]).env(nowhere.0, nowhere.1),
        125,
        &["bus"],
    );
    assert_eq!(answer(dev.run(["hostname"]).env(nowhere.0, nowhere.1)), "clear-bus");
    let report =
        bed.snug("tester").args(["doctor", "--json"]).env(nowhere.0, nowhere.1).run().unwrap().ends_with(1);
    assert!(
        json(&report)["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["check"] == "bus" && it["status"] == "error")
    );
}

#[test]
fn one_container_too_many_is_told_with_who_may_allow_it() {
    let bed = Bed::require();
    let _none = SnugConfig::write(&bed, "max_containers = 0\n");
    refused(
        bed.snug("tester").args(["create", "clear-many", "-i", NO_INIT]),
        1,
        &["clear-many", "a user may have 0", "hint: ", "max_containers"],
    );
    assert!(!instance_exists(&bed, "tester", "clear-many"));
}

#[test]
fn creations_side_by_side_stay_within_what_a_user_may_have() {
    let bed = Bed::require();
    let there = containers(&bed, "tester").len();
    let _two_more = SnugConfig::write(&bed, &format!("max_containers = {}\n", there + 2));
    let crowd: Vec<String> = (0..5).map(|number| format!("clear-crowd-{number}")).collect();
    let _doomed: Vec<_> = crowd.iter().map(|name| Doomed::new(&bed, "tester", name)).collect();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = crowd
            .iter()
            .map(|name| {
                let create = bed.snug("tester").args(["create", name, "-i", NO_INIT, "--no-start"]);
                let create = create.deadline(PATIENCE);
                scope.spawn(move || create.run().unwrap())
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = ends.iter().partition(|end| end.code() == 0);
    assert_eq!(made.len(), 2, "{ends:?}");
    for end in refused {
        explains(end, 1, &["max_containers"]);
    }
    assert_eq!(containers(&bed, "tester").len(), there + 2);
}

#[test]
fn who_may_not_is_told_by_which_rule() {
    let bed = Bed::require();
    let _no = BusPolicy::polkit(&bed, "second", "org.snug.use", "NO");
    for line in [&["list"][..], &["create", "clear-no", "-i", NO_INIT]] {
        refused(bed.snug("second").args(line), 1, &["org.snug.use", "hint: "]);
    }
    refused(bed.snug("second").args(["run", "-c", "clear-no", "true"]), 125, &["org.snug.use"]);
    assert!(!instance_exists(&bed, "second", "clear-no"));
    bed.snug("tester").arg("list").run().unwrap().success();
}

#[test]
fn a_full_pool_is_told_and_leaves_nothing() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let large = LargeImage::import(&bed);
    // Too little to begin with; and so much that the disk is full while the image is unpacked.
    for (size, image, words) in [("220MiB", DEBIAN_13, "is full"), ("340MiB", LargeImage::NAME, "space")] {
        let delete = || drop(bed.incus(["storage", "delete", "snug-test-full"]).run());
        let _pool = Finally(delete);
        let _gone = Doomed::new(&bed, "tester", "clear-full");
        // What a killed run of this test has left.
        delete();
        bed.incus(["storage", "create", "snug-test-full", "btrfs", &format!("size={size}")]).ok().unwrap();
        let _config = SnugConfig::write(&bed, "pool = \"snug-test-full\"\n");
        let create = bed.snug("tester").args(["create", "clear-full", "-i", image]).deadline(PATIENCE);
        refused(create, 1, &[words, "hint: "]);
        assert!(!instance_exists(&bed, "tester", "clear-full"));
        assert!(!bed.run_dir("tester", "clear-full").exists());
    }
    drop(large);
    leaks.assert_none();
}

/// An image that unpacks to half a gigabyte, which no compression makes smaller.
struct LargeImage<'a>(&'a Bed);

impl<'a> LargeImage<'a> {
    const NAME: &'static str = "local:snug-test-large";

    #[track_caller]
    fn import(bed: &'a Bed) -> Self {
        let image = Self(bed);
        image.remove();
        let dir = tempfile::Builder::new().prefix("snug-large").tempdir_in("/var/tmp").unwrap();
        let make = "mkdir -p rootfs/etc && head -c 500M /dev/urandom >rootfs/noise && tar -C rootfs -cf rootfs.tar . && \
                    printf 'architecture: x86_64\\ncreation_date: 1\\nproperties: {os: noise}\\n' >metadata.yaml && \
                    tar -cf metadata.tar metadata.yaml";
        let at = format!("cd {} && {make}", dir.path().display());
        Tool::new("sh").args(["-c", &at]).deadline(PATIENCE).ok().unwrap();
        let part = |name: &str| dir.path().join(name);
        bed.incus(["image", "import"])
            .arg(part("metadata.tar"))
            .arg(part("rootfs.tar"))
            .args(["--alias", "snug-test-large"])
            .deadline(PATIENCE)
            .ok()
            .unwrap();
        image
    }

    fn remove(&self) {
        let _ = self.0.incus(["image", "delete", "snug-test-large"]).run();
    }
}

impl Drop for LargeImage<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn a_container_whose_disk_is_full_is_stopped_started_enlarged_and_removed() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "clear-quota", NO_INIT, &["--set", "disk=64MiB"]);
    let fill = "dd if=/dev/zero of=/root/fill bs=1M 2>/dev/null; : >/root/one-more";
    let filled = dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", fill]).run().unwrap();
    assert_ne!(filled.code(), 0, "the disk has a bound");
    for verb in ["stop", "start", "restart"] {
        bed.snug("tester").args([verb, dev.name()]).deadline(PATIENCE).run().unwrap().success();
    }
    bed.snug("tester").args(["set", "-c", dev.name(), "disk=128MiB"]).run().unwrap().success();
    answer(dev.snug([
        "run",
        "--root",
        "-w",
        "/",
        "--",
        "sh",
        "-c",
        ": >/root/one-more; rm /root/fill; sync",
    ]));
    let some = "dd if=/dev/urandom of=/root/some bs=1M count=80 2>/dev/null; sync";
    answer(dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", some]));
    common::eventually("what it uses is counted", || {
        let less =
            bed.snug("tester").args(["set", "-c", dev.name(), "disk=64MiB", "--dry-run"]).run().unwrap();
        less.code() != 0 && less.err().contains("MiB of its disk")
    });
    // Also when it has thrown away what was kept for that.
    let fill = format!("rm -f /var/lib/snug/reserve; {fill}");
    let again = dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", &fill]).run().unwrap();
    assert_ne!(again.code(), 0);
    bed.snug("tester").args(["rm", "-f", dev.name()]).deadline(PATIENCE).run().unwrap().success();
    assert!(!instance_exists(&bed, "tester", dev.name()));
}

#[test]
fn what_the_host_does_not_have_is_refused_with_what_it_has() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-much", NO_INIT);
    for cpu in ["cpu=8000", "cpu=7000-7001"] {
        refused(bed.snug("tester").args(["set", "-c", dev.name(), cpu]), 1, &[cpu, "processors", "hint: "]);
        let create = ["create", "clear-more", "-i", NO_INIT, "--set", cpu];
        refused(bed.snug("tester").args(create), 1, &[cpu]);
    }
    let mut much = bed.snug("tester").args(["set", "-c", dev.name(), "memory=900TiB"]).on_pty().unwrap();
    assert!(much.ends_with(0).contains("this host has"));
}

#[test]
fn a_guest_without_a_shell_runs_what_it_has_and_names_what_it_lacks() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-shell", NO_INIT);
    answer(dev.snug(["run", "--root", "-w", "/", "--", "/bin/busybox", "rm", "/bin/sh", "/bin/ash"]));
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(answer(dev.run(["/bin/busybox", "echo", "works"])), "works");
    assert_eq!(answer(dev.run(["hostname"])), "clear-shell");
    refused(dev.run(["sh"]), 127, &["sh"]);
    refused(bed.snug("tester").args(["enter", dev.name()]), 127, &["/bin/sh"]);
}

#[test]
fn a_guest_without_any_program_still_has_its_agent() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "clear-empty", NO_INIT);
    answer(dev.snug([
        "run",
        "--root",
        "-w",
        "/",
        "--",
        "/bin/busybox",
        "rm",
        "-rf",
        "/bin",
        "/sbin",
        "/usr",
        "/lib",
    ]));
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    refused(dev.run(["true"]), 127, &["true"]);
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
}

#[test]
fn a_broken_configuration_is_told_with_its_place() {
    let bed = Bed::require();
    let config = common::UserConfig::new(&bed, "tester", "default_container = \"x\"\ndefault_image = [1\n");
    refused(config.snug(&bed, "tester").args(["run", "true"]), 125, &["config.toml", "line 2"]);
    let wrong = common::UserConfig::new(&bed, "tester", "default_container = \"Not A Name\"\n");
    refused(wrong.snug(&bed, "tester").arg("enter"), 125, &["config.toml", "default_container"]);
}

#[test]
fn grants_that_cannot_be_as_they_are_asked_for_are_told() {
    let bed = Bed::require();
    let _none = Doomed::new(&bed, "tester", "clear-grants");
    let create =
        |options: &[&str]| bed.snug("tester").args(["create", "clear-grants", "-i", NO_INIT]).args(options);
    refused(create(&["--grant", "kvm", "--no-grant", "kvm"]), 2, &["'kvm'", "asked for and left out"]);
    let presets = "[presets.mine]\ngrants = [\"privileged\", \"home\"]\n[presets.odd]\ngrants = [\"hom\", \"wayland\"]\n";
    let config = common::UserConfig::new(&bed, "tester", presets);
    let with = |options: &[&str]| {
        config.snug(&bed, "tester").args(["create", "clear-grants", "-i", NO_INIT]).args(options)
    };
    refused(with(&["--preset", "mine"]), 1, &["'mine'", "'privileged'", "comes with a later one"]);
    assert!(common::listed(&bed, "tester", "clear-grants").is_none());
    let made = with(&["--preset", "odd", "--no-start", "--no-grant", "kvm"]).run().unwrap().success();
    for words in ["did you mean 'home'?", "the preset 'odd' has no grant 'kvm'"] {
        assert!(made.err().contains(words), "{}", made.err());
    }
    let log = answer(bed.snug("tester").args(["logs", "--jobs", "clear-grants"]));
    assert!(log.contains("of a later version of Snug: wayland"), "{log}");
}

#[test]
fn a_daemon_that_cannot_be_started_is_told_as_such() {
    let bed = Bed::require();
    let program = "/usr/libexec/snug/snugd";
    let aside = "/usr/libexec/snug/snugd.aside-for-a-test";
    bed.kill_snugd();
    std::fs::rename(program, aside).unwrap();
    let _back = Finally(|| std::fs::rename(aside, program).unwrap());
    refused(bed.snug("tester").arg("list"), 1, &["snugd", "hint: "]);
}

#[test]
fn a_missing_name_that_is_nearly_another_is_suggested() {
    let bed = Bed::require();
    let _dev = fresh(&bed, "tester", "clear-nearly", NO_INIT);
    refused(bed.snug("tester").args(["stop", "clear-nearyl"]), 1, &["clear-nearyl", "clear-nearly"]);
    refused(
        bed.snug("tester").args(["run", "-c", "clear-nearyl", "true"]),
        125,
        &["clear-nearyl", "clear-nearly"],
    );
}

#[test]
fn entering_an_image_that_is_no_container_offers_to_make_it() {
    let bed = Bed::require();
    let config =
        common::UserConfig::new(&bed, "tester", &format!("[short_names]\nsmallest = \"{NO_INIT}\"\n"));
    let _gone = Doomed::new(&bed, "tester", "smallest");
    let mut pty = config.snug(&bed, "tester").args(["enter", "smallest", "--", "hostname"]).on_pty().unwrap();
    let question = pty.until("]").unwrap();
    assert!(question.contains("smallest"), "{question}");
    pty.line("y").unwrap();
    pty.until("smallest\r\n").unwrap();
    pty.ends_with(0);
    // Without a terminal nothing is asked and nothing is made.
    bed.snug("tester").args(["rm", "-f", "smallest"]).run().unwrap().success();
    refused(
        config.snug(&bed, "tester").args(["enter", "smallest", "--", "hostname"]),
        125,
        &["smallest", "hint: "],
    );
}
