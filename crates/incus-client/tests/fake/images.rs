//! Images.

use fake_incusd::{Gate, Script};
use incus_client::{ErrorKind, ImageImport, ImageSource, ImagesPost};

use crate::{in_time, route, start};

#[tokio::test]
async fn an_image_is_found_by_fingerprint_and_by_alias_with_a_slash() {
    let (fake, client) = start();
    let fingerprint = fake.add_image("default", "debian/12");
    assert_eq!(client.images().get(&fingerprint[..12]).await.unwrap().0.fingerprint, fingerprint);
    let (image, _) = client.images().get_by_alias("debian/12").await.unwrap();
    assert_eq!((image.fingerprint.as_str(), image.aliases[0].name.as_str()), (&fingerprint[..], "debian/12"));
    assert_eq!(client.images().list().await.unwrap().len(), 2);
    assert!(client.images().get_by_alias("no/such").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn an_alias_is_made_moved_and_deleted() {
    let (fake, client) = start();
    let (one, two) = (fake.add_image("default", "one"), fake.add_image("default", "two"));
    let images = client.images();
    images.create_alias("latest", &one, "text").await.unwrap();
    assert!(images.create_alias("latest", &two, "").await.unwrap_err().is_conflict());
    images.put_alias("latest", &two, "text", None).await.unwrap();
    assert_eq!(images.alias("latest").await.unwrap().0.target, two);
    images.delete_alias("latest").await.unwrap();
    assert!(!images.aliases().await.unwrap().iter().any(|alias| alias.name == "latest"));
}

#[tokio::test]
async fn a_pull_tells_progress_and_at_its_end_the_fingerprint() {
    let (fake, client) = start();
    let gate = Gate::new();
    let script = Script::success().progress("download", 42, "rootfs: 42% (7MB/s)").wait(&gate);
    fake.script(route("POST", "/1.0/images"), script);
    let operation = client.images().pull("https://images.example", "fedora/43", &["fedora"]).await.unwrap();
    let mut seen = Vec::new();
    let ended = operation.wait_with_progress(|progress| {
        seen.push(progress.percent);
        gate.open();
    });
    let ended = in_time(ended).await.unwrap();
    assert_eq!(seen, [Some(42)]);
    let (image, _) = client.images().get(ended.fingerprint().unwrap()).await.unwrap();
    assert_eq!(image.aliases[0].name, "fedora");
    let sent = fake.requests_of(&route("POST", "/1.0/images"))[0].json();
    assert_eq!(sent["source"]["protocol"], "simplestreams");
    assert_eq!((&sent["source"]["mode"], &sent["auto_update"]), (&"pull".into(), &true.into()));
}

#[tokio::test]
async fn a_pull_that_fails_says_what_the_server_said() {
    let (fake, client) = start();
    let script = Script::failure("Failed getting remote image info: dial tcp: no route to host");
    fake.script(route("POST", "/1.0/images"), script);
    let operation = client.images().pull("https://images.example", "x", &[]).await.unwrap();
    let error = in_time(operation.wait()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OperationFailed);
    assert!(error.to_string().contains("no route to host"), "{error}");
}

#[tokio::test]
async fn a_split_image_arrives_as_metadata_then_rootfs() {
    let (_fake, client) = start();
    let directory = tempfile::tempdir().unwrap();
    let (metadata, rootfs) =
        (directory.path().join("incus.tar.xz"), directory.path().join("rootfs.squashfs"));
    // Larger than one chunk, and with what looks like the end of a part.
    let content = b"\r\n--part-\r\n".repeat(30_000);
    std::fs::write(&metadata, b"meta").unwrap();
    std::fs::write(&rootfs, &content).unwrap();
    let mut import = ImageImport { public: true, ..ImageImport::default() };
    import.properties.insert("os".into(), "A & B=c".into());
    let operation = client.images().import_split(&metadata, &rootfs, &import).await.unwrap();
    let ended = in_time(operation.wait()).await.unwrap();
    let (image, _) = client.images().get(ended.fingerprint().unwrap()).await.unwrap();
    assert_eq!((image.properties["os"].as_str(), image.public), ("A & B=c", true));
    // The fake takes the parts out again.
    assert_eq!(ended.metadata["size"], (content.len() + 4).to_string());
}

#[tokio::test]
async fn a_unified_image_is_sent_as_it_is() {
    let (fake, client) = start();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    std::fs::write(&archive, b"bytes").unwrap();
    let import = ImageImport { fingerprint: Some("ab".repeat(32)), ..ImageImport::default() };
    let operation = client.images().import_unified(&archive, &import).await.unwrap();
    assert_eq!(in_time(operation.wait()).await.unwrap().fingerprint(), Some(&"ab".repeat(32)[..]));
    let sent = &fake.requests_of(&route("POST", "/1.0/images"))[0];
    assert_eq!((&sent.body[..], &sent.headers["x-incus-filename"][..]), (&b"bytes"[..], "image.tar"));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let (_fake, client) = start();
    let missing = std::path::Path::new("/no/such/file");
    let error = client.images().import_unified(missing, &ImageImport::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Caller);
    assert!(error.to_string().starts_with("/no/such/file: "), "{error}");
}

#[tokio::test]
async fn an_image_is_copied_between_projects_by_fingerprint() {
    let (fake, client) = start();
    client.projects().create("p", &incus_client::ProjectPut::default()).await.unwrap();
    let fingerprint = fake.add_image("default", "debian/12");
    let view = client.project("p");
    let operation = view.images().copy_from_project("default", &fingerprint, &["debian"]).await.unwrap();
    in_time(operation.wait()).await.unwrap();
    assert_eq!(view.images().get_by_alias("debian").await.unwrap().0.fingerprint, fingerprint);
}

#[tokio::test]
async fn a_deleted_image_takes_its_aliases_along() {
    let (fake, client) = start();
    let fingerprint = fake.add_image("default", "debian/12");
    in_time(client.images().delete(&fingerprint).await.unwrap().wait()).await.unwrap();
    assert!(client.images().alias("debian/12").await.unwrap_err().is_not_found());
}

#[test]
fn publishing_names_the_kind_of_its_source() {
    for (name, kind) in [("c1", "instance"), ("c1/s1", "snapshot")] {
        assert_eq!(ImagesPost::new(ImageSource::instance(name), ["a"]).source.kind, kind);
    }
}
