//! Which bus a client is for, by its first calls.

use super::message::{Header, METHOD_CALL};

/// The bus itself.
const BUS: &[u8] = b"org.freedesktop.DBus";
/// The name that either system has of its own.
const SERVICE_MANAGER: &[u8] = b"org.freedesktop.systemd1";

/// What a message tells of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Nothing yet: it speaks with the bus itself.
    Open,
    /// It wants something of the host's session.
    Host,
    /// It wants the guest's service manager.
    Guest,
}

/// What this message of a client tells.
pub fn of(header: &Header, message: &[u8]) -> Route {
    if header.destination.starts_with(SERVICE_MANAGER) {
        return Route::Guest;
    }
    if header.kind != METHOD_CALL || header.destination != BUS {
        return Route::Host;
    }
    match &header.member[..] {
        // Who takes a name serves the session.
        b"RequestName" => Route::Host,
        // A match rule, or a question about the name's owner.
        _ if message.windows(SERVICE_MANAGER.len()).any(|part| part == SERVICE_MANAGER) => Route::Guest,
        _ => Route::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{header, tests::call};
    use super::*;

    #[test]
    fn the_first_call_that_is_not_for_the_bus_decides() {
        let bus = "org.freedesktop.DBus";
        let manager = "org.freedesktop.systemd1";
        for (destination, member, argument, route) in [
            (bus, "Hello", None, Route::Open),
            (bus, "AddMatch", Some("type='signal',sender='org.freedesktop.Notifications'"), Route::Open),
            (bus, "AddMatch", Some("sender='org.freedesktop.systemd1',member='JobRemoved'"), Route::Guest),
            (bus, "GetNameOwner", Some(manager), Route::Guest),
            (bus, "StartServiceByName", Some("org.freedesktop.secrets"), Route::Open),
            (bus, "RequestName", Some("org.x"), Route::Host),
            (manager, "StartTransientUnit", Some("x"), Route::Guest),
            ("org.freedesktop.Notifications", "Notify", Some(manager), Route::Host),
            (":1.7", "Get", None, Route::Host),
        ] {
            let message = call(1, destination, member, argument, false);
            assert_eq!(
                of(&header(&message).unwrap(), &message),
                route,
                "{destination} {member} {argument:?}"
            );
        }
    }
}
