//! Names on the bus (D-Bus Specification, "Message Bus Messages").

use zbus::{Connection, Result};

/// The bus itself.
pub const DBUS: Option<&str> = Some("org.freedesktop.DBus");
/// Its object.
pub const DBUS_PATH: &str = "/org/freedesktop/DBus";
/// `DBUS_NAME_FLAG_DO_NOT_QUEUE`.
const DO_NOT_QUEUE: u32 = 4;

/// Whether somebody has the name.
///
/// # Errors
/// Of the bus.
pub async fn is_taken(bus: &Connection, name: &str) -> Result<bool> {
    bus.call_method(DBUS, DBUS_PATH, DBUS, "NameHasOwner", &name).await?.body().deserialize()
}

/// Takes a name; whether it is this connection's now.
///
/// # Errors
/// Of the bus, whose policy may forbid it.
pub async fn take(bus: &Connection, name: &str) -> Result<bool> {
    let reply = bus.call_method(DBUS, DBUS_PATH, DBUS, "RequestName", &(name, DO_NOT_QUEUE)).await?;
    // 1: it is ours now; 4: it was already.
    Ok(matches!(reply.body().deserialize::<u32>()?, 1 | 4))
}
