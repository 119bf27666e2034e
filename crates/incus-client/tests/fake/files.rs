//! Files.

use incus_client::{ErrorKind, FileAttributes, FileKind};

use crate::{route, start_with_container};

#[tokio::test]
async fn a_file_is_written_read_appended_to_and_deleted() {
    let (_fake, client) = start_with_container();
    let files = client.instances().files("c1");
    let attributes = FileAttributes::new(1000, 1001, 0o640);
    files.put("/root/a b", "one", attributes).await.unwrap();
    files.append("/root/a b", "two").await.unwrap();
    let read = files.get("/root/a b").await.unwrap();
    assert_eq!((read.attributes, &read.bytes().unwrap()[..]), (attributes, &b"onetwo"[..]));
    assert_eq!(files.head("/root/a b").await.unwrap(), (attributes, Some(FileKind::File)));
    files.delete("/root/a b").await.unwrap();
    assert!(files.get("/root/a b").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn owner_and_mode_of_an_existing_file_stay() {
    let (_fake, client) = start_with_container();
    let files = client.instances().files("c1");
    files.put("/root/f", "1", FileAttributes::new(1, 1, 0o600)).await.unwrap();
    files.put("/root/f", "2", FileAttributes::new(2, 2, 0o644)).await.unwrap();
    let read = files.get("/root/f").await.unwrap();
    assert_eq!((read.attributes, &read.bytes().unwrap()[..]), (FileAttributes::new(1, 1, 0o600), &b"2"[..]));
}

#[tokio::test]
async fn directories_are_made_listed_and_deleted() {
    let (fake, client) = start_with_container();
    let files = client.instances().files("c1");
    files.mkdir("/root/d", FileAttributes::new(0, 0, 0o700)).await.unwrap();
    files.put("/root/d/x", "1", FileAttributes::default()).await.unwrap();
    assert_eq!(files.get("/root/d").await.unwrap().entries().unwrap(), ["x"]);
    assert_eq!(files.delete("/root/d").await.unwrap_err().status(), Some(400));
    assert_eq!(files.delete_all("/root/d").await.unwrap_err().kind(), ErrorKind::Unsupported);
    fake.add_extension("file_delete_force");
    client.refresh_server().await.unwrap();
    files.delete_all("/root/d").await.unwrap();
}

#[tokio::test]
async fn a_missing_parent_is_not_made() {
    let (_fake, client) = start_with_container();
    let files = client.instances().files("c1");
    assert!(files.put("/no/where", "1", FileAttributes::default()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_symlink_sends_its_target_as_content() {
    let (fake, client) = start_with_container();
    client.instances().files("c1").symlink("/root/l", "/etc/hosts", FileAttributes::default()).await.unwrap();
    let sent = &fake.requests_of(&route("POST", "/1.0/instances/c1/files"))[0];
    assert_eq!((&sent.headers["x-incus-type"][..], &sent.body[..]), ("symlink", &b"/etc/hosts"[..]));
    assert_eq!(sent.query["path"], "/root/l");
}

#[tokio::test]
async fn a_large_file_is_streamed_both_ways() {
    let (_fake, client) = start_with_container();
    let files = client.instances().files("c1");
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    files
        .upload("/root/big", std::io::Cursor::new(content.clone()), FileAttributes::default())
        .await
        .unwrap();
    let mut copy = Vec::new();
    files.download("/root/big", &mut copy).await.unwrap();
    assert!(copy == content);
    let error = files.download("/root", &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Caller);
}
