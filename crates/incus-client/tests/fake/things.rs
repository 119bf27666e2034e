//! Projects, profiles, storage, networks.

use fake_incusd::Answer;
use incus_client::{Config, ListOptions, NetworksPost, ProfilePut, ProjectPut, StoragePoolsPost};
use serde_json::json;

use crate::{route, start};

#[tokio::test]
async fn a_project_is_made_changed_and_deleted_with_what_is_in_it() {
    let (fake, client) = start();
    let projects = client.projects();
    let mut put = ProjectPut { description: "mine".into(), ..ProjectPut::default() };
    put.config.insert("features.images".into(), "false".into());
    projects.create("p", &put).await.unwrap();
    assert!(projects.create("p", &put).await.unwrap_err().is_conflict());
    let (project, etag) = projects.get("p").await.unwrap();
    assert_eq!(project.put.config["features.images"], "false");
    projects.put("p", &put, Some(&etag)).await.unwrap();
    fake.add_instance(json!({"name": "c1", "project": "p"}));
    assert_eq!(projects.delete("p").await.unwrap_err().status(), Some(400));
    projects.delete_with_content("p").await.unwrap();
    assert!(projects.get("p").await.unwrap_err().is_not_found());
    assert!(fake.instance("p", "c1").is_none());
    assert_eq!(projects.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn projects_are_asked_for_without_naming_a_project() {
    let (fake, client) = start();
    client.project("none").projects().list().await.unwrap();
    assert!(!fake.requests_of(&route("GET", "/1.0/projects"))[0].query.contains_key("project"));
}

/// Seen with 6.0.4 as Debian packaged it in 2026, for the storage pools of a server that has none.
#[tokio::test]
async fn an_empty_list_that_go_wrote_as_null_is_empty() {
    let (fake, client) = start();
    for path in ["/1.0/storage-pools", "/1.0/networks", "/1.0/images", "/1.0/instances"] {
        fake.answer(route("GET", path), Answer::sync(json!(null)));
    }
    assert!(client.storage_pools().list().await.unwrap().is_empty());
    assert!(client.networks().list().await.unwrap().is_empty());
    assert!(client.images().list().await.unwrap().is_empty());
    assert!(client.instances().list(&ListOptions::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_default_profile_of_a_new_project_is_empty_and_can_be_filled() {
    let (_fake, client) = start();
    client.projects().create("p", &ProjectPut::default()).await.unwrap();
    let profiles = client.project("p").profiles();
    let (profile, etag) = profiles.get("default").await.unwrap();
    assert!(profile.put.devices.is_empty());
    let mut put = profile.put;
    put.devices.insert("root".into(), [("type".to_owned(), "disk".to_owned())].into());
    profiles.put("default", &put, Some(&etag)).await.unwrap();
    assert!(profiles.put("default", &put, Some(&etag)).await.unwrap_err().is_precondition_failed());
    profiles.create("extra", &ProfilePut::default()).await.unwrap();
    assert_eq!(profiles.list().await.unwrap().len(), 2);
    profiles.delete("extra").await.unwrap();
}

#[tokio::test]
async fn a_pool_tells_how_much_is_free() {
    let (_fake, client) = start();
    let pools = client.storage_pools();
    let pool = StoragePoolsPost { name: "new".into(), driver: "btrfs".into(), ..StoragePoolsPost::default() };
    pools.create(&pool).await.unwrap();
    let (found, _) = pools.get("new").await.unwrap();
    assert_eq!((found.driver.as_str(), found.status.as_str()), ("btrfs", "Created"));
    assert_eq!(pools.resources("new").await.unwrap().space.free(), 29_000_000_000);
    pools.create_volume("new", "v", &Config::new()).await.unwrap();
    assert_eq!(pools.volumes("new").await.unwrap()[0].name, "v");
    assert_eq!(pools.volume("new", "custom", "v").await.unwrap().0.kind, "custom");
    pools.delete_volume("new", "v").await.unwrap();
    pools.delete("new").await.unwrap();
    assert_eq!(pools.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_bridge_is_made_shows_its_leases_and_state_and_is_deleted() {
    let (_fake, client) = start();
    let networks = client.networks();
    networks.create(&NetworksPost::bridge("br0", Config::new())).await.unwrap();
    let (network, etag) = networks.get("br0").await.unwrap();
    assert!(network.managed && network.kind == "bridge");
    networks.put("br0", &network.config, "text", Some(&etag)).await.unwrap();
    assert_eq!(networks.leases("br0").await.unwrap()[0].hostname, "c1");
    let state = networks.state("br0").await.unwrap();
    assert_eq!((state.addresses[0].address.as_str(), state.counters.bytes_sent), ("10.0.0.1", 2));
    networks.delete("br0").await.unwrap();
    assert_eq!(networks.list().await.unwrap().len(), 1);
}
