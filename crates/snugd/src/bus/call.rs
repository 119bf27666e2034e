//! A method call, its caller, and its answer.

use zbus::message::{Flags, Message};
use zbus::{Connection, DynamicType};

use super::polkit::Subject;
use crate::error::{Error, Result};

/// Who called, as the bus knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Unique name of the connection.
    pub connection: String,
    /// Its uid.
    pub uid: u32,
    /// The message allows that polkit asks a person.
    pub interactive: bool,
}

impl Caller {
    /// The same for polkit.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject { connection: &self.connection, uid: self.uid, interactive: self.interactive }
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum Refusal {
    /// An error of ours.
    Ours(Error),
    /// One of D-Bus itself: the last part of its name and a text.
    Bus(&'static str, String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<zbus::Error> for Refusal {
    fn from(error: zbus::Error) -> Self {
        Self::Ours(error.into())
    }
}

impl Refusal {
    /// There is no such object, or none that this caller may know of.
    #[must_use]
    pub fn no_object(path: &str) -> Self {
        Self::Bus("UnknownObject", format!("no object at {path}"))
    }

    /// The object has no such method.
    #[must_use]
    pub fn no_method(interface: &str, member: &str) -> Self {
        Self::Bus("UnknownMethod", format!("no method {interface}.{member}"))
    }

    fn name_and_text(&self) -> (String, String) {
        match self {
            Self::Ours(error) => (error.bus_name(), error.text()),
            Self::Bus(name, text) => (format!("org.freedesktop.DBus.Error.{name}"), text.clone()),
        }
    }
}

/// An answer ready to be sent, or why there is none.
pub type Answer = std::result::Result<Message, Refusal>;

/// A method call.
pub struct Call {
    message: Message,
    /// Who called.
    pub caller: Caller,
}

impl Call {
    /// Takes in a method call; `None` when it is none, or has no sender.
    #[must_use]
    pub fn new(message: Message, uid: u32) -> Option<Self> {
        let connection = message.header().sender()?.to_string();
        let interactive = message.primary_header().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
        Some(Self { message, caller: Caller { connection, uid, interactive } })
    }

    /// The object that was called.
    #[must_use]
    pub fn path(&self) -> String {
        self.message.header().path().map(ToString::to_string).unwrap_or_default()
    }

    /// The interface; empty when the caller leaves it open.
    #[must_use]
    pub fn interface(&self) -> String {
        self.message.header().interface().map(ToString::to_string).unwrap_or_default()
    }

    /// The method.
    #[must_use]
    pub fn member(&self) -> String {
        self.message.header().member().map(ToString::to_string).unwrap_or_default()
    }

    /// The arguments.
    ///
    /// # Errors
    /// `InvalidArgs` of D-Bus when they have another type.
    pub fn arguments<T>(&self) -> std::result::Result<T, Refusal>
    where
        T: serde::de::DeserializeOwned + zbus::Type,
    {
        self.message
            .body()
            .deserialize()
            .map_err(|error| Refusal::Bus("InvalidArgs", format!("{}: {error}", self.member())))
    }

    /// An answer.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn answer<B: serde::Serialize + DynamicType>(&self, body: &B) -> Answer {
        Ok(Message::method_return(&self.message.header()).build(body)?)
    }

    /// Sends the answer, unless the caller wants none.
    pub async fn send(&self, bus: &Connection, answer: Answer) {
        if self.message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
            return;
        }
        let message = answer.or_else(|refusal| {
            let (name, text) = refusal.name_and_text();
            tracing::debug!(member = self.member(), uid = self.caller.uid, name, "refused: {text}");
            Message::error(&self.message.header(), name).build(&text)
        });
        let sent = match message {
            Ok(message) => bus.send(&message).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!("an answer to {} was not sent: {error}", self.member());
        }
    }
}

/// The uid behind a connection, from the bus itself.
///
/// # Errors
/// When the bus does not know it (it has left already).
pub async fn uid_of(bus: &Connection, connection: &str) -> Result<u32> {
    ask(bus, "GetConnectionUnixUser", connection).await
}

/// The process behind a connection, from the bus itself.
///
/// # Errors
/// When the bus does not know it.
pub async fn pid_of(bus: &Connection, connection: &str) -> Result<u32> {
    ask(bus, "GetConnectionUnixProcessID", connection).await
}

/// Not `GetConnectionCredentials`: dbus-broker (34 and later) puts a pidfd into that answer, and throws a connection off the
/// bus that takes no descriptors.
async fn ask(bus: &Connection, question: &str, connection: &str) -> Result<u32> {
    let dbus = Some("org.freedesktop.DBus");
    let reply = bus.call_method(dbus, "/org/freedesktop/DBus", dbus, question, &connection).await?;
    Ok(reply.body().deserialize()?)
}
