//! The service on the system bus.
//!
//! Calls are read and answered message by message: objects exist for their owner alone, properties are announced to him
//! alone, and no call may be lost when the daemon leaves. zbus' own object server does none of the three.
//!
//! | module | what |
//! |---|---|
//! | [`admission`] | how many calls of one user are taken in |
//! | [`call`] | a method call and its caller |
//! | [`connection`] | the connection itself, which takes no descriptors |
//! | [`dispatch`] | from path, interface and member to what answers |
//! | [`introspection`] | what the objects look like, as XML |
//! | [`names`] | names on the bus |
//! | [`options`] | `a{sv}` of a call |
//! | [`outbox`] | signals on their way out |
//! | [`polkit`] | the question whether a caller may |
//! | [`service`] | the connection's life: name, calls, idle, end |
//! | [`subscribers`] | who gets which signal |

pub mod admission;
pub mod call;
pub mod connection;
pub mod dispatch;
pub mod introspection;
pub mod names;
pub mod options;
pub mod outbox;
pub mod polkit;
pub mod service;
pub mod subscribers;

/// The name on the bus. Its number is the API's major version: it only grows.
pub const NAME: &str = "org.snug.Snug1";
/// The path that all objects are at or below.
pub const ROOT: &str = "/org/snug/Snug1";
/// Interface of the root object.
pub const MANAGER: &str = "org.snug.Snug1.Manager";
/// Interface of a container.
pub const CONTAINER: &str = "org.snug.Snug1.Container";

/// The object path of a container: each byte that is not `[A-Za-z0-9]` is `_` and two hex digits.
#[must_use]
pub fn container_path(uid: u32, name: &str) -> String {
    use std::fmt::Write;
    let mut path = format!("{ROOT}/container/{uid}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

/// The owner and the name in a container's object path.
#[must_use]
pub fn parse_container_path(path: &str) -> Option<(u32, String)> {
    let rest = path.strip_prefix(ROOT)?.strip_prefix("/container/")?;
    let (uid, escaped) = rest.split_once('/')?;
    let mut name = Vec::new();
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' => {
                let digits = [bytes.next()?, bytes.next()?];
                name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            byte if byte.is_ascii_alphanumeric() => name.push(byte),
            _ => return None,
        }
    }
    Some((uid.parse().ok()?, String::from_utf8(name).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_path_leads_back_to_it() {
        let path = container_path(1000, "my-tools");
        assert_eq!(path, "/org/snug/Snug1/container/1000/my_2dtools");
        assert_eq!(parse_container_path(&path), Some((1000, "my-tools".into())));
        for wrong in ["/org/snug/Snug1/container/x/y", "/org/snug/Snug1/container/1/a_2", "/org/snug/Snug1"] {
            assert_eq!(parse_container_path(wrong), None, "{wrong}");
        }
    }
}
