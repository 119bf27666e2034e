//! Which bus a client's message is for.

use super::message::{Header, METHOD_CALL};

/// The bus itself.
pub const BUS: &[u8] = b"org.freedesktop.DBus";
/// The name that either system has of its own.
const SERVICE_MANAGER: &[u8] = b"org.freedesktop.systemd1";
/// Where its objects are.
const ITS_OBJECTS: &[u8] = b"/org/freedesktop/systemd1";

/// Methods of the bus that are about the name that they are given.
const ABOUT_A_NAME: [&[u8]; 8] = [
    b"AddMatch",
    b"RemoveMatch",
    b"GetNameOwner",
    b"NameHasOwner",
    b"StartServiceByName",
    b"GetConnectionCredentials",
    b"GetConnectionUnixProcessID",
    b"GetConnectionUnixUser",
];

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To the host's bus.
    Host,
    /// To the guest's.
    Guest,
}

/// Where this message of a client goes, who knows the guest's service manager by the unique name `manager`, if at all.
pub fn of(header: &Header, message: &[u8], manager: Option<&[u8]>) -> Route {
    let is_for_manager = if header.kind == METHOD_CALL && header.destination == BUS {
        // What programs of the guest are started with is not for the host's.
        header.member == b"UpdateActivationEnvironment"
            || ABOUT_A_NAME.contains(&&header.member[..]) && names_manager(message)
    } else {
        is_manager(&header.destination)
            || manager.is_some_and(|manager| !header.destination.is_empty() && header.destination == manager)
    };
    if is_for_manager { Route::Guest } else { Route::Host }
}

/// Whether this is a question for the service manager's unique name.
pub fn asks_for_manager(header: &Header, message: &[u8]) -> bool {
    header.destination == BUS && header.member == b"GetNameOwner" && names_manager(message)
}

fn is_manager(name: &[u8]) -> bool {
    name == SERVICE_MANAGER
}

/// Whether its name, one of its interfaces or of its objects stands somewhere in it. Rules for signals often name no sender
/// (go-systemd: `interface='org.freedesktop.systemd1.Manager',member='JobRemoved'`).
fn names_manager(message: &[u8]) -> bool {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let has = |wanted: &[u8]| {
        message
            .windows(wanted.len())
            .enumerate()
            .any(|(at, part)| part == wanted && !message.get(at + part.len()).is_some_and(goes_on))
    };
    has(SERVICE_MANAGER) || has(ITS_OBJECTS)
}

#[cfg(test)]
mod tests {
    use super::super::message::{header, tests::call};
    use super::*;

    #[test]
    fn what_is_for_or_about_the_service_manager_goes_to_the_guests() {
        let bus = "org.freedesktop.DBus";
        let manager = "org.freedesktop.systemd1";
        for (destination, member, argument, route) in [
            (bus, "Hello", None, Route::Host),
            (bus, "AddMatch", Some("type='signal',sender='org.freedesktop.Notifications'"), Route::Host),
            (bus, "AddMatch", Some("sender='org.freedesktop.systemd1',member='JobRemoved'"), Route::Guest),
            (
                bus,
                "AddMatch",
                Some("interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"),
                Route::Guest,
            ),
            (bus, "RemoveMatch", Some("path_namespace='/org/freedesktop/systemd1/unit'"), Route::Guest),
            (bus, "AddMatch", Some("path='/org/freedesktop/systemd1x'"), Route::Host),
            (bus, "GetNameOwner", Some(manager), Route::Guest),
            (bus, "GetNameOwner", Some("org.freedesktop.systemd1x"), Route::Host),
            (bus, "ListNames", None, Route::Host),
            (bus, "UpdateActivationEnvironment", None, Route::Guest),
            (bus, "RequestName", Some("org.x"), Route::Host),
            (manager, "StartTransientUnit", Some("x"), Route::Guest),
            ("org.freedesktop.systemd1x", "A", None, Route::Host),
            ("org.freedesktop.Notifications", "Notify", Some(manager), Route::Host),
            (":1.7", "Get", None, Route::Host),
            (":1.2", "Get", None, Route::Guest),
        ] {
            let message = call(1, destination, member, argument, false);
            let found = of(&header(&message).unwrap(), &message, Some(b":1.2"));
            assert_eq!(found, route, "{destination} {member} {argument:?}");
        }
    }
}
