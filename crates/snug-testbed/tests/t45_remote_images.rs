//! Images from a server: fetched, given up in the middle, listed, and what is said when they cannot be had. The server is
//! the bed's own (`snug_testbed::image_server`).
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::path::Path;

use common::{Doomed, Finally, PATIENCE, SnugConfig, answer, json, refused};
use snug_testbed::{Bed, ImageServer, Leaks};

/// Fetches fastest.
const SMALL: &str = "minimal/none";

/// A server with one image, `bed/small`, as the remote `bed` of the configuration.
struct Served<'a> {
    // Fields are dropped in this order: the image goes while Incus may still ask its server.
    _image: Finally<Box<dyn FnMut() + 'a>>,
    _config: SnugConfig,
    server: ImageServer,
    fingerprint: String,
}

fn served<'a>(bed: &'a Bed, image: &str) -> Served<'a> {
    let mut server = ImageServer::start().unwrap();
    let fingerprint = server.offer(image, "bed/small").unwrap();
    let config = SnugConfig::write(bed, &server.remote("bed"));
    let mine = fingerprint.clone();
    let remove = move || drop(bed.incus(["image", "delete", &mine]).run());
    Served { _image: Finally(Box::new(remove)), _config: config, server, fingerprint }
}

fn is_here(bed: &Bed, fingerprint: &str) -> bool {
    bed.incus(["image", "show", fingerprint]).succeeds()
}

/// No file of the image, whole or half, in Incus' store, and none in its database.
#[track_caller]
fn nothing_of(bed: &Bed, fingerprint: &str) {
    assert!(!is_here(bed, fingerprint));
    for name in [fingerprint.to_owned(), format!("{fingerprint}.rootfs")] {
        let path = Path::new("/var/lib/incus/images").join(name);
        assert!(!path.exists(), "{} was left", path.display());
    }
}

#[test]
fn an_image_is_fetched_with_progress_and_needs_its_server_no_more() {
    let bed = Bed::require();
    let served = served(&bed, SMALL);
    served.server.hold("rootfs.squashfs");
    let mut pty = bed.snug("tester").args(["image", "pull", "bed:bed/small"]).on_pty().unwrap();
    served.server.wait_held().unwrap();
    // Half of the root file system is there, and about so much is shown: Incus rounds, and counts what is on its way.
    let shown = pty.until(" %").unwrap();
    let percent: u8 = shown.trim_end_matches(" %").rsplit(' ').next().unwrap().parse().unwrap();
    assert!((40..=60).contains(&percent), "{shown}");
    served.server.go_on();
    pty.until("bed:bed/small is here").unwrap();
    pty.ends_with(0);
    assert!(is_here(&bed, &served.fingerprint));
    let Served { mut server, fingerprint, _image, _config } = served;
    server.stop();
    let listed = json(&bed.snug("second").args(["image", "list", "--json"]).run().unwrap().success());
    let found = listed["images"].as_array().unwrap().iter().find(|it| it["fingerprint"] == fingerprint);
    assert!(found.is_some_and(|it| it["cached"] == true), "one download serves all: {listed}");
    // Offline: what is here is taken, for another user too.
    let _dev = common::fresh(&bed, "second", "remote-offline", "bed:bed/small");
    assert_eq!(
        answer(bed.snug("second").args(["run", "-c", "remote-offline", "hostname"])),
        "remote-offline"
    );
}

#[test]
fn ctrl_c_in_the_middle_of_a_download_leaves_nothing_and_the_next_one_works() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let served = served(&bed, SMALL);
    served.server.hold("rootfs.squashfs");
    let mut pty = bed.snug("tester").args(["image", "pull", "bed:bed/small"]).on_pty().unwrap();
    served.server.wait_held().unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    nothing_of(&bed, &served.fingerprint);
    served.server.go_on();
    bed.snug("tester").args(["image", "pull", "bed:bed/small"]).run().unwrap().success();
    assert!(is_here(&bed, &served.fingerprint));
    leaks.assert_none();
}

#[test]
fn a_daemon_killed_while_it_fetches_an_image_leaves_no_container_and_the_next_one_works() {
    let bed = Bed::require();
    for place in ["pull-image", "pull-image:after"] {
        let served = served(&bed, SMALL);
        let _gone = Doomed::new(&bed, "tester", "remote-died");
        let create = ["create", "remote-died", "-i", "bed:bed/small"];
        common::dies_at(&bed, place, bed.snug("tester").args(create));
        assert!(!common::settled(&bed, "tester", "remote-died"), "{place}");
        bed.snug("tester").args(create).deadline(PATIENCE).run().unwrap().success();
        assert!(is_here(&bed, &served.fingerprint));
    }
}

#[test]
fn a_container_is_made_of_an_image_that_is_fetched_on_the_way() {
    let bed = Bed::require();
    let served = served(&bed, "debian/13");
    let _gone = Doomed::new(&bed, "tester", "remote-way");
    let create = bed.snug("tester").args(["create", "remote-way", "-i", "bed:bed/small"]);
    create.deadline(PATIENCE).run().unwrap().success();
    assert!(is_here(&bed, &served.fingerprint));
    assert_eq!(
        answer(bed.snug("tester").args(["run", "-c", "remote-way", "--", "cat", "/etc/debian_version"]))
            .split('.')
            .next(),
        Some("13")
    );
    let info = json(&bed.snug("tester").args(["info", "remote-way", "--json"]).run().unwrap().success());
    assert!(info.to_string().contains("bed:bed/small"), "{info}");
}

#[test]
fn ctrl_c_while_a_container_waits_for_its_image_leaves_neither() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let served = served(&bed, SMALL);
    let _gone = Doomed::new(&bed, "tester", "remote-given-up");
    served.server.hold("rootfs.squashfs");
    let mut pty =
        bed.snug("tester").args(["create", "remote-given-up", "-i", "bed:bed/small"]).on_pty().unwrap();
    served.server.wait_held().unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    nothing_of(&bed, &served.fingerprint);
    assert!(!common::instance_exists(&bed, "tester", "remote-given-up"));
    assert!(!bed.run_dir("tester", "remote-given-up").exists());
    leaks.assert_none();
}

#[test]
fn a_server_that_is_down_is_named_with_what_would_help() {
    let bed = Bed::require();
    let Served { mut server, fingerprint, _image, _config } = served(&bed, SMALL);
    let url = server.url();
    server.stop();
    for line in [
        &["image", "pull", "bed:bed/small"][..],
        &["create", "remote-down", "-i", "bed:bed/small"],
        &["image", "list", "bed:"],
    ] {
        let words = [&url, "cannot be reached", "onnection refused", "hint: ", "image import file:"];
        refused(bed.snug("tester").args(line).deadline(PATIENCE), 1, &words);
    }
    nothing_of(&bed, &fingerprint);
    assert!(!common::instance_exists(&bed, "tester", "remote-down"));
}

#[test]
fn a_server_that_breaks_off_in_the_middle_is_told_and_leaves_nothing() {
    let bed = Bed::require();
    let Served { mut server, fingerprint, _image, _config } = served(&bed, SMALL);
    server.hold("rootfs.squashfs");
    let mut pty = bed.snug("tester").args(["image", "pull", "bed:bed/small"]).on_pty().unwrap();
    server.wait_held().unwrap();
    server.stop();
    pty.until("cannot be reached").unwrap();
    pty.ends_with(1);
    nothing_of(&bed, &fingerprint);
}

#[test]
fn an_image_that_is_not_what_its_server_announced_is_refused() {
    let bed = Bed::require();
    let served = served(&bed, SMALL);
    served.server.spoil("bed/small").unwrap();
    let _gone = Doomed::new(&bed, "tester", "remote-spoilt");
    for line in [&["image", "pull", "bed:bed/small"][..], &["create", "remote-spoilt", "-i", "bed:bed/small"]]
    {
        refused(
            bed.snug("tester").args(line).deadline(PATIENCE),
            1,
            &[
                "bed:bed/small",
                "other than its server announced",
                "nothing of it was kept",
                &served.server.url(),
            ],
        );
    }
    nothing_of(&bed, &served.fingerprint);
    assert!(!common::instance_exists(&bed, "tester", "remote-spoilt"));
}

#[test]
fn a_name_that_the_server_does_not_have_is_answered_with_those_it_has() {
    let bed = Bed::require();
    let served = served(&bed, SMALL);
    let words = ["bed:bed/smal'", "did you mean 'bed:bed/small'?", "`snug image list bed:`"];
    for line in [&["image", "pull", "bed:bed/smal"][..], &["create", "remote-unknown", "-i", "bed:bed/smal"]]
    {
        refused(bed.snug("tester").args(line).deadline(PATIENCE), 1, &words);
    }
    let relatives = ["of 'bed' it has: bed/small"];
    refused(bed.snug("tester").args(["image", "pull", "bed:bed/of-another-kind"]), 1, &relatives);
    nothing_of(&bed, &served.fingerprint);
}

#[test]
fn the_images_of_a_server_are_listed() {
    let bed = Bed::require();
    let served = served(&bed, SMALL);
    let table = answer(bed.snug("tester").args(["image", "list", "bed:"]));
    assert!(table.contains("bed:bed/small") && table.contains("Bed minimal/none"), "{table}");
    assert!(!table.contains("local:"), "{table}");
    let list = || json(&bed.snug("tester").args(["image", "list", "bed", "--json"]).run().unwrap().success());
    let listed = list();
    let [image] = &listed["images"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!(image["reference"], "bed:bed/small");
    assert_eq!(image["fingerprint"], served.fingerprint);
    assert_eq!(image["architecture"], std::env::consts::ARCH);
    assert_eq!(image["cached"], false);
    assert_eq!(image["created"], "2026-01-01T00:00:00Z");
    assert!(image["size"].as_u64().unwrap() > 100_000, "{image}");
    bed.snug("tester").args(["image", "pull", "bed:bed/small"]).run().unwrap().success();
    assert_eq!(list()["images"][0]["cached"], true);
    refused(bed.snug("tester").args(["image", "list", "nowhere:"]), 1, &["nowhere", "bed"]);
}

#[test]
fn a_server_whose_certificate_is_not_trusted_gives_nothing() {
    let bed = Bed::require();
    let mut server = ImageServer::start().unwrap();
    let fingerprint = server.offer(SMALL, "bed/small").unwrap();
    let strangers = ImageServer::start().unwrap();
    let pinned = server
        .remote("pinned")
        .replace(&server.certificate().display().to_string(), &strangers.certificate().display().to_string());
    let public = format!("[remotes.public]\nurl = \"{}\"\n", server.url());
    let _config = SnugConfig::write(&bed, &format!("{pinned}{public}"));
    for remote in ["pinned", "public"] {
        let words = ["is not trusted", &server.url(), "certificate = "];
        let image = format!("{remote}:bed/small");
        refused(bed.snug("tester").args(["image", "pull", &image]).deadline(PATIENCE), 1, &words);
        refused(bed.snug("tester").args(["image", "list", remote]).deadline(PATIENCE), 1, &words);
    }
    nothing_of(&bed, &fingerprint);
}
