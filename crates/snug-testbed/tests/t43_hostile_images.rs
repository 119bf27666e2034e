//! Images that a user takes in are unpacked by root: nothing in them leads anywhere else.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use common::{Doomed, Finally, answer};
use snug_testbed::Bed;
use snug_testbed::tool::Tool;

#[test]
fn neither_links_nor_templates_of_an_images_metadata_reach_the_host() {
    let bed = Bed::require();
    let dir = tempfile::Builder::new().prefix("snug-hostile").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (rootfs, metadata, outside) =
        (dir.path().join("rootfs.d"), dir.path().join("metadata.d"), dir.path().join("outside"));
    for sub in ["bin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "home", "var"] {
        fs::create_dir_all(rootfs.join(sub)).unwrap();
    }
    fs::create_dir_all(metadata.join("templates")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
    symlink("busybox", rootfs.join("bin/cat")).unwrap();
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    // Where the root file system is unpacked to, and where a template is read from.
    symlink(&outside, metadata.join("rootfs")).unwrap();
    symlink("/etc/shadow", metadata.join("templates/shadow.tpl")).unwrap();
    fs::write(
        metadata.join("metadata.yaml"),
        "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: hostile\n\
         templates:\n  /etc/stolen:\n    when: [create, start]\n    template: shadow.tpl\n",
    )
    .unwrap();
    for (name, from) in [("rootfs.tar.xz", &rootfs), ("metadata.tar.xz", &metadata)] {
        let archive = dir.path().join(name);
        Tool::new("tar").arg("-C").arg(from).arg("-cJf").arg(&archive).arg(".").ok().unwrap();
        fs::set_permissions(&archive, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let remove = || drop(bed.snug("tester").args(["image", "rm", "local:snug-test-hostile"]).run());
    remove();
    let _image = Finally(remove);
    let import = bed.snug("tester").args(["image", "import"]).arg(dir.path().join("rootfs.tar.xz"));
    let import = import.args(["snug-test-hostile", "--metadata"]).arg(dir.path().join("metadata.tar.xz"));
    import.run().unwrap().success();
    let _gone = Doomed::new(&bed, "tester", "image-hostile");
    let create = ["create", "image-hostile", "-i", "local:snug-test-hostile"];
    bed.snug("tester").args(create).run().unwrap().success();
    let run = ["run", "-c", "image-hostile", "-w", "/", "cat", "/etc/passwd"];
    assert!(answer(bed.snug("tester").args(run)).starts_with("root:x:0:0:"));
    bed.snug("tester")
        .args(["run", "-c", "image-hostile", "-w", "/", "cat", "/etc/stolen"])
        .run()
        .unwrap()
        .ends_with(1);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "root unpacked where a link of the image led");
}
