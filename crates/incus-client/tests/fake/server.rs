//! Server information, extensions, quirks.

use incus_client::{ErrorKind, Extension, Quirk};

use crate::{in_time, route, start};

#[tokio::test]
async fn server_information_is_asked_once() {
    let (fake, client) = start();
    for _ in 0..3 {
        let server = client.project("p").server().await.unwrap();
        assert!(server.is_trusted() && !server.has_virtual_machines());
    }
    assert_eq!(fake.requests_of(&route("GET", "/1.0")).len(), 1);
}

#[tokio::test]
async fn features_go_by_extension_and_not_by_version() {
    let (fake, client) = start();
    fake.set_version("7.3.0");
    assert!(!client.has_extension(Extension::OCI).await.unwrap());
    fake.set_version("6.0.4");
    fake.add_extension("instance_oci");
    client.refresh_server().await.unwrap();
    client.require(Extension::OCI).await.unwrap();
    let error = client.require(Extension::named("time_travel")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "this Incus has no API extension time_travel");
}

#[tokio::test]
async fn bugs_go_by_version() {
    let (fake, client) = start();
    let old = client.server().await.unwrap();
    fake.set_version("7.0.1");
    let new = client.refresh_server().await.unwrap();
    for quirk in
        [Quirk::PatchErasesDescription, Quirk::HotUnplugDeletesMountpoint, Quirk::NetTypeNoneRejected]
    {
        assert!(old.has_quirk(quirk) && !new.has_quirk(quirk), "{quirk:?}");
    }
}

#[tokio::test]
async fn an_upgrade_of_the_server_is_noticed_when_the_event_stream_was_interrupted() {
    let (fake, client) = start();
    let mut events = client.events(incus_client::EventFilter::default()).await.unwrap();
    assert_eq!(client.server().await.unwrap().version().major, 6);
    fake.set_version("7.0.0");
    fake.restart();
    assert!(matches!(in_time(events.next()).await, Some(incus_client::Event::Reconnected)));
    assert_eq!(client.server().await.unwrap().version().major, 7);
}
