//! The event stream.

use fake_incusd::FakeIncusd;
use incus_client::{Event, EventFilter, EventKind, InstanceSource, InstancesPost, Subscription};

use crate::{in_time, route, start, start_with_container};

async fn next(events: &mut Subscription) -> Event {
    in_time(events.next()).await.expect("the stream does not end")
}

async fn next_action(events: &mut Subscription) -> String {
    match next(events).await {
        Event::Lifecycle { lifecycle, .. } => lifecycle.action,
        other => panic!("no lifecycle event but {other:?}"),
    }
}

async fn lifecycle(client: &incus_client::Client) -> Subscription {
    client.events(EventFilter::new([EventKind::Lifecycle])).await.expect("events can be subscribed to")
}

fn emit(fake: &FakeIncusd, action: &str) {
    fake.emit_lifecycle(action, "default", "c1");
}

#[tokio::test]
async fn what_happens_after_subscribing_is_seen() {
    let (_fake, client) = start();
    let filter = EventFilter::new([EventKind::Operation, EventKind::Lifecycle]);
    let mut events = client.events(filter).await.unwrap();
    let new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
    let operation = client.instances().create(&new).await.unwrap();
    let (mut created, mut ended) = (false, false);
    while !(created && ended) {
        match next(&mut events).await {
            Event::Lifecycle { lifecycle, project, .. } => {
                assert_eq!((lifecycle.instance().as_deref(), project.as_str()), (Some("c1"), "default"));
                created = lifecycle.action == "instance-created";
            }
            Event::Operation { operation: info, .. } => {
                assert_eq!(info.id, operation.id());
                ended = info.status_code.is_final();
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_of_one_project_shows_only_that_one() {
    let (fake, client) = start();
    let mut events = lifecycle(&client.project("p")).await;
    fake.until(|fake| fake.event_sockets() == 1).await;
    fake.emit_lifecycle("instance-started", "q", "c1");
    fake.emit_lifecycle("instance-ready", "p", "c1");
    assert_eq!(next_action(&mut events).await, "instance-ready");
}

#[tokio::test]
async fn a_stream_of_all_projects_shows_all() {
    let (fake, client) = start();
    let filter = EventFilter::new([EventKind::Lifecycle]).all_projects();
    let mut events = client.project("p").events(filter).await.unwrap();
    fake.emit_lifecycle("instance-started", "q", "c1");
    assert!(matches!(next(&mut events).await, Event::Lifecycle { project, .. } if project == "q"));
}

#[tokio::test]
async fn a_cut_stream_mends_itself_and_says_that_events_are_missing() {
    let (fake, client) = start_with_container();
    let mut events = lifecycle(&client).await;
    emit(&fake, "instance-started");
    assert_eq!(next_action(&mut events).await, "instance-started");
    for _ in 0..3 {
        fake.until(|fake| fake.event_sockets() == 1).await;
        fake.cut_connections();
        assert!(matches!(next(&mut events).await, Event::Reconnected));
        emit(&fake, "instance-ready");
        assert_eq!(next_action(&mut events).await, "instance-ready");
    }
}

#[tokio::test]
async fn a_stream_outlives_a_server_that_is_away_for_a_while() {
    let (fake, client) = start_with_container();
    let mut events = lifecycle(&client).await;
    fake.stop();
    emit(&fake, "instance-deleted");
    fake.listen();
    assert!(matches!(next(&mut events).await, Event::Reconnected));
    emit(&fake, "instance-started");
    assert_eq!(next_action(&mut events).await, "instance-started");
}

#[tokio::test]
async fn pings_are_answered_even_while_nobody_reads_events() {
    let (fake, client) = start_with_container();
    let _events = lifecycle(&client).await;
    fake.until(|fake| fake.event_sockets() == 1).await;
    for n in 1..=3 {
        fake.ping_events();
        fake.until(|fake| fake.pongs() == n).await;
    }
}

#[tokio::test]
async fn a_consumer_that_falls_behind_is_told_to_list_again() {
    let (fake, client) = start_with_container();
    let mut events = lifecycle(&client).await;
    fake.until(|fake| fake.event_sockets() == 1).await;
    // More than the queue holds; in portions, since the fake's own queue is no larger.
    for n in 1..=8 {
        for _ in 0..400 {
            emit(&fake, "instance-updated");
        }
        fake.ping_events();
        fake.until(|fake| fake.pongs() == n).await;
    }
    let mut seen = 0;
    while let Event::Lifecycle { .. } = next(&mut events).await {
        seen += 1;
    }
    assert_eq!(seen, 1024);
    emit(&fake, "instance-started");
    assert_eq!(next_action(&mut events).await, "instance-started");
}

#[tokio::test]
async fn dropping_the_subscription_closes_its_socket() {
    let (fake, client) = start();
    let events = lifecycle(&client).await;
    fake.until(|fake| fake.event_sockets() == 1).await;
    drop(events);
    fake.until(|fake| fake.event_sockets() == 0).await;
}

#[tokio::test]
async fn a_first_connection_that_fails_is_an_error() {
    let (fake, client) = start();
    fake.fault(
        route("GET", "/1.0/events"),
        fake_incusd::When::Always,
        fake_incusd::Fault::Status(403, "no".into()),
    );
    assert!(client.events(EventFilter::default()).await.unwrap_err().is_forbidden());
}
