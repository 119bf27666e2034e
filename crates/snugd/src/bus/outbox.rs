//! Signals on their way out, in order, each to one connection. Sending never waits: a slow bus delays signals, no job.

use std::collections::HashMap;

use tokio::sync::mpsc;
use zbus::{Connection, DynamicType, Message, ObjectPath, Variant};

/// Where signals are put.
#[derive(Clone)]
pub struct Outbox(mpsc::UnboundedSender<Message>);

impl Outbox {
    /// An outbox that sends over `bus` until every clone of it is gone.
    #[must_use]
    pub fn new(bus: Connection) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Message>();
        tokio::spawn(async move {
            while let Some(message) = receiver.recv().await {
                if let Err(error) = bus.send(&message).await {
                    tracing::warn!("a signal was not sent: {error}");
                }
            }
        });
        Self(sender)
    }

    /// An outbox that leads nowhere, for tests.
    #[must_use]
    pub fn discarding() -> Self {
        Self(mpsc::unbounded_channel().0)
    }

    /// Sends a signal to one connection.
    pub fn signal<B>(&self, to: &str, path: &str, interface: &str, member: &str, body: &B)
    where
        B: serde::Serialize + DynamicType,
    {
        match Message::signal(path, interface, member).destination(to).build(body) {
            // The receiver is gone only when the daemon ends.
            Ok(message) => drop(self.0.send(message)),
            Err(error) => tracing::error!("cannot build the signal {interface}.{member}: {error}"),
        }
    }

    /// Tells one connection of an object that is there from now on.
    pub fn object_added<B: serde::Serialize + zbus::Type>(&self, to: &str, path: &str, interfaces: &B) {
        self.object_signal(to, path, "InterfacesAdded", interfaces);
    }

    /// Tells one connection that an object is gone.
    pub fn object_removed(&self, to: &str, path: &str, interface: &str) {
        self.object_signal(to, path, "InterfacesRemoved", &vec![interface]);
    }

    fn object_signal<B: serde::Serialize + zbus::Type>(&self, to: &str, path: &str, member: &str, body: &B) {
        if let Ok(path) = ObjectPath::try_from(path) {
            self.signal(to, super::ROOT, "org.freedesktop.DBus.ObjectManager", member, &(path, body));
        }
    }

    /// Tells one connection that properties have changed.
    pub fn properties_changed(
        &self,
        to: &str,
        path: &str,
        interface: &str,
        changes: &HashMap<&str, Variant<'_>>,
    ) {
        let none: [&str; 0] = [];
        self.signal(
            to,
            path,
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            &(interface, changes, none.as_slice()),
        );
    }
}
