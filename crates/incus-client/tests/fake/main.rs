//! The client against the fake incusd.

mod connection;
mod events;
mod exec;
mod files;
mod images;
mod instances;
mod operations;
mod server;
mod things;

use std::time::Duration;

use fake_incusd::{FakeIncusd, Route};
use incus_client::Client;
use serde_json::json;

/// Far longer than anything here takes: reached only by what hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A fake with an image and a client of it.
fn start() -> (FakeIncusd, Client) {
    let fake = FakeIncusd::start();
    fake.add_image("default", "debian/13");
    let client = Client::connect(fake.socket());
    (fake, client)
}

/// The same with a running container `c1`.
fn start_with_container() -> (FakeIncusd, Client) {
    let (fake, client) = start();
    fake.add_instance(json!({"name": "c1", "status": "Running", "status_code": 103, "description": "mine",
        "config": {"user.owner": "1000"}}));
    (fake, client)
}

/// What a future gives, or a failed test where it hangs.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

fn route(method: &str, path: &str) -> Route {
    Route::new(method, path)
}
