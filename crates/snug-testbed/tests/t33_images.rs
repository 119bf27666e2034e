//! Images: listed, taken in from files, removed, and what is said about those that cannot be had.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Doomed, Finally, NO_INIT, PATIENCE, answer, json, refused};
use snug_testbed::Bed;
use snug_testbed::tool::Tool;

/// A root file system as small as can be, as an archive in a directory that everybody may read.
fn tiny_rootfs(dir: &Path) -> PathBuf {
    let rootfs = dir.join("rootfs");
    for sub in ["bin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "home", "var"] {
        fs::create_dir_all(rootfs.join(sub)).unwrap();
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "echo", "hostname", "id"] {
        std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(name)).unwrap();
    }
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(rootfs.join("etc/os-release"), "ID=tiny\nNAME=Tiny\n").unwrap();
    let archive = dir.join("tiny.tar.xz");
    Tool::new("tar").arg("-C").arg(&rootfs).args(["-cJf"]).arg(&archive).arg(".").ok().unwrap();
    archive
}

fn readable_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("snug-images").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// An image of the user's own that is gone before and after.
fn own_image<'a>(bed: &'a Bed, name: &str) -> Finally<impl FnMut() + use<'a>> {
    let reference = format!("local:{name}");
    let remove = move || drop(bed.snug("tester").args(["image", "rm", &reference]).run());
    remove();
    Finally(remove)
}

#[test]
fn images_of_this_machine_are_listed_for_people_and_for_scripts() {
    let bed = Bed::require();
    let table = bed.snug("tester").args(["image", "list"]).run().unwrap().success().out();
    let listed = json(&bed.snug("tester").args(["image", "ls", "--json"]).run().unwrap().success());
    for image in common::IMAGES {
        assert!(table.contains(image), "{image} is not in\n{table}");
        let found = listed["images"].as_array().unwrap().iter().find(|it| it["reference"] == image);
        assert!(found.is_some_and(|it| it["fingerprint"].as_str().unwrap().len() == 64), "{listed}");
    }
}

#[test]
fn an_archive_of_a_root_file_system_becomes_an_image_and_a_container() {
    let bed = Bed::require();
    let dir = readable_dir();
    let archive = tiny_rootfs(dir.path());
    let _image = own_image(&bed, "snug-test-tiny");
    let import = || bed.snug("tester").args(["image", "import"]).arg(&archive).arg("local:snug-test-tiny");
    let plan = import().arg("--dry-run").run().unwrap().success();
    assert!(!plan.out().is_empty());
    let listed = bed.snug("tester").args(["image", "list"]).run().unwrap().success().out();
    assert!(!listed.contains("snug-test-tiny"), "{listed}");
    import().deadline(PATIENCE).run().unwrap().success();
    let _gone = Doomed::new(&bed, "tester", "image-tiny");
    bed.snug("tester").args(["create", "image-tiny", "-i", "local:snug-test-tiny"]).run().unwrap().success();
    let said = answer(bed.snug("tester").args([
        "run",
        "-c",
        "image-tiny",
        "sh",
        "-c",
        "cat /etc/os-release; id -un",
    ]));
    assert_eq!(said, "ID=tiny\nNAME=Tiny\ntester");
}

#[test]
fn incus_two_parts_become_an_image() {
    let bed = Bed::require();
    let dir = readable_dir();
    let archive = tiny_rootfs(dir.path());
    fs::write(
        dir.path().join("metadata.yaml"),
        "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: Tiny with metadata\n",
    )
    .unwrap();
    let metadata = dir.path().join("metadata.tar.xz");
    Tool::new("tar").arg("-C").arg(dir.path()).arg("-cJf").arg(&metadata).arg("metadata.yaml").ok().unwrap();
    let _image = own_image(&bed, "snug-test-split");
    let import = bed
        .snug("tester")
        .args(["image", "import"])
        .arg(&archive)
        .arg("snug-test-split")
        .arg("--metadata")
        .arg(&metadata);
    import.run().unwrap().success();
    let shown = bed.snug("tester").args(["image", "list"]).run().unwrap().success().out();
    assert!(shown.contains("Tiny with metadata"), "{shown}");
    // What a user took in is his alone.
    let others = bed.snug("second").args(["image", "list"]).run().unwrap().success().out();
    assert!(!others.contains("Tiny with metadata"), "{others}");
    refused(
        bed.snug("second").args(["create", "image-theirs", "-i", "local:snug-test-split"]),
        1,
        &["snug-test-split"],
    );
    refused(bed.snug("second").args(["image", "rm", "local:snug-test-split"]), 1, &["snug-test-split"]);
}

#[test]
fn a_container_is_made_straight_from_a_file() {
    let bed = Bed::require();
    let dir = readable_dir();
    let archive = tiny_rootfs(dir.path());
    let _gone = Doomed::new(&bed, "tester", "image-file");
    let reference = format!("file:{}", archive.display());
    bed.snug("tester").args(["create", "image-file", "-i", &reference]).run().unwrap().success();
    assert_eq!(answer(bed.snug("tester").args(["run", "-c", "image-file", "hostname"])), "image-file");
    // Once more of the same file, and the image that it became is the user's to remove.
    bed.snug("tester").args(["create", "image-file", "-i", &reference, "--replace"]).run().unwrap().success();
    let listed = json(&bed.snug("tester").args(["image", "list", "--json"]).run().unwrap().success());
    let images = listed["images"].as_array().unwrap();
    let own: Vec<&str> = images
        .iter()
        .filter_map(|it| it["reference"].as_str())
        .filter(|it| it.starts_with("local:tiny-"))
        .collect();
    assert_eq!(own.len(), 1, "{listed}");
    bed.snug("tester").args(["image", "rm", own[0]]).run().unwrap().success();
    assert_eq!(answer(bed.snug("tester").args(["run", "-c", "image-file", "hostname"])), "image-file");
}

#[test]
fn an_unreadable_file_is_refused_with_the_callers_own_rights() {
    let bed = Bed::require();
    let dir = readable_dir();
    let secret = dir.path().join("secret.tar");
    fs::write(&secret, "root's").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let import = bed.snug("tester").args(["image", "import"]).arg(&secret).arg("snug-test-secret");
    refused(import, 1, &["secret.tar", "ermission"]);
    let reference = format!("file:{}", secret.display());
    refused(
        bed.snug("tester").args(["create", "image-secret", "-i", &reference]),
        1,
        &["secret.tar", "ermission"],
    );
}

#[test]
fn a_broken_archive_is_told_as_such_and_leaves_nothing() {
    let bed = Bed::require();
    let dir = readable_dir();
    let broken = dir.path().join("broken.tar.xz");
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&broken, garbage).unwrap();
    let images = || bed.incus(["image", "list", "--format=csv", "--columns=f"]).ok().unwrap().text();
    let before = images();
    refused(
        bed.snug("tester").args(["image", "import"]).arg(&broken).arg("snug-test-broken"),
        1,
        &["broken"],
    );
    let reference = format!("file:{}", broken.display());
    refused(bed.snug("tester").args(["create", "image-broken", "-i", &reference]), 1, &["broken"]);
    assert!(!common::instance_exists(&bed, "tester", "image-broken"));
    assert_eq!(images(), before);
}

#[test]
fn an_image_in_incus_that_cannot_be_unpacked_leaves_no_container() {
    let bed = Bed::require();
    let dir = readable_dir();
    fs::write(dir.path().join("metadata.yaml"), "architecture: x86_64\ncreation_date: 1700000000\n").unwrap();
    let metadata = dir.path().join("metadata.tar.xz");
    Tool::new("tar").arg("-C").arg(dir.path()).arg("-cJf").arg(&metadata).arg("metadata.yaml").ok().unwrap();
    // The head of a squashfs and nothing behind it: Incus finds that out when it unpacks.
    let mut rootfs = b"hsqs".to_vec();
    rootfs.resize(8192, 7);
    let squashfs = dir.path().join("rootfs.squashfs");
    fs::write(&squashfs, rootfs).unwrap();
    let _image = Finally(|| drop(bed.incus(["image", "delete", "snug-test-torn"]).run()));
    bed.incus(["image", "import"])
        .arg(&metadata)
        .arg(&squashfs)
        .args(["--alias", "snug-test-torn"])
        .ok()
        .unwrap();
    let create = bed.snug("tester").args(["create", "image-torn", "-i", "local:snug-test-torn"]);
    refused(create, 1, &["local:snug-test-torn", "hint: "]);
    assert!(!common::instance_exists(&bed, "tester", "image-torn"));
    assert!(!bed.run_dir("tester", "image-torn").exists());
}

#[test]
fn an_image_is_removed_and_containers_made_from_it_stay() {
    let bed = Bed::require();
    let dir = readable_dir();
    let archive = tiny_rootfs(dir.path());
    let _image = own_image(&bed, "snug-test-removed");
    let import = ["image", "import", archive.to_str().unwrap(), "snug-test-removed"];
    bed.snug("tester").args(import).deadline(PATIENCE).run().unwrap().success();
    let dev = common::fresh(&bed, "tester", "image-stays", "local:snug-test-removed");
    let remove = || bed.snug("tester").args(["image", "rm", "local:snug-test-removed"]);
    let listed = || answer(bed.snug("tester").args(["image", "ls", "--json"]));
    let plan = remove().arg("--dry-run").run().unwrap().success().out();
    assert!(plan.contains("snug-test-removed") && listed().contains("snug-test-removed"), "{plan}");
    // Nobody else knows of it.
    refused(bed.snug("second").args(["image", "rm", "local:snug-test-removed"]), 1, &["snug-test-removed"]);
    remove().run().unwrap().success();
    assert!(!listed().contains("snug-test-removed"));
    refused(remove(), 1, &["local:snug-test-removed"]);
    assert_eq!(answer(dev.run(["hostname"])), "image-stays");
}

#[test]
fn an_image_of_all_is_removed_by_root_alone() {
    let bed = Bed::require();
    let file = tempfile::tempdir().unwrap();
    let exported = file.path().join("shared");
    bed.incus(["image", "export", "minimal/none", exported.to_str().unwrap()]).ok().unwrap();
    // The same content under another name is another image where its metadata differ.
    let metadata = file.path().join("again.tar");
    let text = "architecture: x86_64\ncreation_date: 1\nproperties: {description: shared test}\n";
    fs::write(file.path().join("metadata.yaml"), text).unwrap();
    Tool::new("tar").arg("-C").arg(file.path()).arg("-cf").arg(&metadata).arg("metadata.yaml").ok().unwrap();
    let rootfs = file.path().join("shared.root");
    bed.incus(["image", "import"])
        .arg(&metadata)
        .arg(&rootfs)
        .args(["--alias", "snug-test-shared"])
        .ok()
        .unwrap();
    let _image = Finally(|| drop(bed.incus(["image", "delete", "snug-test-shared"]).run()));
    refused(
        bed.snug("tester").args(["image", "rm", "local:snug-test-shared"]),
        1,
        &["all users", "hint: root may remove it"],
    );
    assert!(bed.incus(["image", "show", "snug-test-shared"]).succeeds());
    Tool::new("snug").args(["image", "rm", "local:snug-test-shared"]).ok().unwrap();
    assert!(!bed.incus(["image", "show", "snug-test-shared"]).succeeds());
}

#[test]
fn images_that_cannot_be_had_are_refused_with_what_works() {
    let bed = Bed::require();
    for (image, words) in [
        ("local:no/such", &["local:no/such", "hint: "][..]),
        ("debain", &["debain", "debian"]),
        ("docker.io/library/debian:13", &["docker.io", "debian:13"]),
        ("nowhere:debian/13", &["nowhere", "hint: "]),
        ("./rootfs.tar", &["file:"]),
        ("file:/does/not/exist.tar", &["/does/not/exist.tar"]),
    ] {
        refused(bed.snug("tester").args(["create", "image-wrong", "-i", image]), 1, words);
    }
    assert!(!common::instance_exists(&bed, "tester", "image-wrong"));
}

#[test]
fn a_server_that_cannot_be_reached_is_named_with_what_would_help() {
    let bed = Bed::require();
    // A port on which nobody listens, so that the test does not depend on this machine's network.
    let _config = common::SnugConfig::write(
        &bed,
        "[remotes.offline]\nurl = \"https://127.0.0.1:9\"\nprotocol = \"simplestreams\"\n",
    );
    for line in
        [&["create", "image-offline", "-i", "offline:debian/13"][..], &["image", "pull", "offline:debian/13"]]
    {
        refused(bed.snug("tester").args(line).deadline(PATIENCE), 1, &["offline", "hint: "]);
    }
    assert!(!common::instance_exists(&bed, "tester", "image-offline"));
    assert!(common::listed(&bed, "tester", "image-offline").is_none());
}

#[test]
fn a_machine_that_is_offline_still_makes_containers_of_what_it_has() {
    let bed = Bed::require();
    let _config = common::SnugConfig::write(
        &bed,
        "[remotes.images]\nurl = \"https://127.0.0.1:9\"\nprotocol = \"simplestreams\"\n",
    );
    let _dev = common::fresh(&bed, "tester", "image-local", NO_INIT);
}
