//! As much of a message as routing needs (D-Bus Specification, "Message Format").

use std::ops::Range;

/// Of a method call.
pub const METHOD_CALL: u8 = 1;
/// Of an answer to one.
pub const METHOD_RETURN: u8 = 2;
/// Of a failure as the answer to one.
pub const ERROR: u8 = 3;
/// In the flags: nobody waits for an answer.
const NO_REPLY_EXPECTED: u8 = 1;

/// The longest message (128 MiB).
const LONGEST: usize = 1 << 27;
/// The part before the header's fields.
const FIXED: usize = 16;
/// The least alignment of a structure.
const STRUCTURE: usize = 8;

/// Types of header fields.
const MEMBER: u8 = 3;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const UNIX_FDS: u8 = 9;

/// A message that cannot be one.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a message's header says.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// [`METHOD_CALL`] and so on.
    pub kind: u8,
    /// Whether an answer is waited for.
    pub expects_reply: bool,
    /// Its number in its sender's connection.
    pub serial: u32,
    /// Of an answer: which call it answers.
    pub reply_serial: Option<u32>,
    /// How many descriptors belong to it.
    pub descriptors: usize,
    /// To whom.
    pub destination: Vec<u8>,
    /// Where that field is in the message, with neither padding before nor after it.
    destination_at: Option<Range<usize>>,
    /// From whom, by a bus: a unique name, or the bus' own.
    pub sender: Vec<u8>,
    /// Which method or signal.
    pub member: Vec<u8>,
}

fn number(bytes: &[u8], at: usize, big: bool) -> Result<u32, Malformed> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
    Ok(if big { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) })
}

fn is_big(bytes: &[u8]) -> Result<bool, Malformed> {
    match bytes.first() {
        Some(b'l') => Ok(false),
        Some(b'B') => Ok(true),
        _ => Err(Malformed),
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How long the message is that begins here; `None` when more must be read to tell.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let big = is_big(bytes)?;
    if bytes.len() < FIXED {
        return Ok(None);
    }
    let (body, fields) = (size(number(bytes, 4, big)?), size(number(bytes, 12, big)?));
    let length = fields.checked_add(FIXED).and_then(|end| end.checked_next_multiple_of(8));
    let length = length.and_then(|end| end.checked_add(body)).filter(|length| *length <= LONGEST);
    length.map(Some).ok_or(Malformed)
}

/// Reads the header of a whole message.
pub fn header(bytes: &[u8]) -> Result<Header, Malformed> {
    let big = is_big(bytes)?;
    let mut header = Header {
        kind: *bytes.get(1).ok_or(Malformed)?,
        expects_reply: bytes.get(2).ok_or(Malformed)? & NO_REPLY_EXPECTED == 0,
        serial: number(bytes, 8, big)?,
        ..Header::default()
    };
    let end = FIXED + size(number(bytes, 12, big)?);
    let mut at = FIXED;
    // An array of structures: each begins at a multiple of 8, with a byte and a variant, whose signature is short.
    while at < end {
        at = at.next_multiple_of(8);
        let (Some(code), Some(length)) = (bytes.get(at), bytes.get(at + 1)) else { return Err(Malformed) };
        let signature = bytes.get(at + 2..at + 2 + usize::from(*length)).ok_or(Malformed)?;
        let start = at;
        at += 3 + usize::from(*length);
        at = match signature {
            b"s" | b"o" => {
                let (value, next) = string(bytes, at.next_multiple_of(4), big)?;
                match *code {
                    MEMBER => header.member = value,
                    DESTINATION => {
                        header.destination = value;
                        header.destination_at = Some(start..next);
                    }
                    SENDER => header.sender = value,
                    _ => {}
                }
                next
            }
            b"u" => {
                let at = at.next_multiple_of(4);
                let value = number(bytes, at, big)?;
                match *code {
                    REPLY_SERIAL => header.reply_serial = Some(value),
                    UNIX_FDS => header.descriptors = size(value),
                    _ => {}
                }
                at + 4
            }
            b"g" => at + 2 + usize::from(*bytes.get(at).ok_or(Malformed)?),
            // A field that nobody knows yet. Those that do matter come before it: to skip it, each type there is would have to be read.
            _ => break,
        };
    }
    Ok(header)
}

fn string(bytes: &[u8], at: usize, big: bool) -> Result<(Vec<u8>, usize), Malformed> {
    let length = size(number(bytes, at, big)?);
    let start = at + 4;
    let end = start.checked_add(length).ok_or(Malformed)?;
    Ok((bytes.get(start..end).ok_or(Malformed)?.to_vec(), end + 1))
}

/// Text as messages have it: its length, its bytes, a zero.
fn write_string(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(text);
    bytes.push(0);
}

/// The same message for another destination, if it has one.
pub fn readdressed(header: &Header, bytes: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let big = is_big(bytes).ok()?;
    let end = FIXED + size(number(bytes, 12, big).ok()?);
    let at = header.destination_at.clone()?;
    let four = |value: usize| {
        let value = u32::try_from(value).unwrap_or(0);
        if big { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    let mut message = bytes.get(..at.start)?.to_vec();
    message.extend([DESTINATION, 1, b's', 0]);
    message.extend(four(name.len()));
    message.extend_from_slice(name);
    message.push(0);
    // Fields begin at multiples of 8; nothing in them asks for more than that, so those behind it may move.
    let rest = bytes.get(at.end.next_multiple_of(STRUCTURE).min(end)..end)?;
    if !rest.is_empty() {
        message.resize(message.len().next_multiple_of(STRUCTURE), 0);
        message.extend_from_slice(rest);
    }
    let fields = message.len() - FIXED;
    message.get_mut(12..FIXED)?.copy_from_slice(&four(fields));
    message.resize(message.len().next_multiple_of(STRUCTURE), 0);
    message.extend_from_slice(bytes.get(end.next_multiple_of(STRUCTURE)..)?);
    Some(message)
}

/// A message to the bus, or from it, with these fields (code, type, value) and a body of text.
fn compose(kind: u8, serial: u32, fields: &[(u8, u8, Value<'_>)], body: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for (code, signature, value) in fields {
        written.resize(written.len().next_multiple_of(STRUCTURE), 0);
        written.extend([*code, 1, *signature, 0]);
        match value {
            Value::Text(text) => write_string(&mut written, text),
            Value::Number(number) => written.extend(number.to_le_bytes()),
            Value::Signature(text) => {
                written.push(u8::try_from(text.len()).unwrap_or(0));
                written.extend_from_slice(text);
                written.push(0);
            }
        }
    }
    let mut message = vec![b'l', kind, 0, 1];
    message.extend(u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend(u32::try_from(written.len()).unwrap_or(0).to_le_bytes());
    message.extend(written);
    message.resize(message.len().next_multiple_of(STRUCTURE), 0);
    message.extend_from_slice(body);
    message
}

enum Value<'a> {
    Text(&'a [u8]),
    Number(u32),
    Signature(&'a [u8]),
}

/// The first call on every connection.
pub fn hello(serial: u32) -> Vec<u8> {
    let fields = [
        (1, b'o', Value::Text(b"/org/freedesktop/DBus")),
        (DESTINATION, b's', Value::Text(b"org.freedesktop.DBus")),
        (2, b's', Value::Text(b"org.freedesktop.DBus")),
        (MEMBER, b's', Value::Text(b"Hello")),
    ];
    compose(METHOD_CALL, serial, &fields, b"")
}

/// The bus' answer that nobody has the name that was called.
pub fn service_unknown(serial: u32, reply_serial: u32) -> Vec<u8> {
    let fields = [
        (4, b's', Value::Text(b"org.freedesktop.DBus.Error.ServiceUnknown")),
        (REPLY_SERIAL, b'u', Value::Number(reply_serial)),
        (SENDER, b's', Value::Text(b"org.freedesktop.DBus")),
        (8, b'g', Value::Signature(b"s")),
    ];
    let mut body = Vec::new();
    write_string(&mut body, b"the container has no service manager for users");
    compose(ERROR, serial, &fields, &body)
}

/// The first argument of a message that is a string; empty where there is none.
pub fn first_string(bytes: &[u8]) -> Vec<u8> {
    let read = || -> Result<Vec<u8>, Malformed> {
        let big = is_big(bytes)?;
        let body = (FIXED + size(number(bytes, 12, big)?)).next_multiple_of(STRUCTURE);
        Ok(string(bytes, body, big)?.0)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A method call as a client writes it.
    pub fn call(serial: u32, destination: &str, member: &str, argument: Option<&str>, big: bool) -> Vec<u8> {
        let four = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let pad = |bytes: &mut Vec<u8>, to: usize| bytes.resize(bytes.len().next_multiple_of(to), 0);
        let text = |bytes: &mut Vec<u8>, value: &str| {
            bytes.extend(four(u32::try_from(value.len()).unwrap()));
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        };
        let mut body = Vec::new();
        if let Some(argument) = argument {
            text(&mut body, argument);
        }
        let mut fields = Vec::new();
        for (code, signature, value) in
            [(1, "o", "/x"), (6, "s", destination), (2, "s", "a.b"), (3, "s", member)]
        {
            pad(&mut fields, 8);
            fields.extend([code, 1, signature.as_bytes()[0], 0]);
            text(&mut fields, value);
        }
        if argument.is_some() {
            pad(&mut fields, 8);
            fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        }
        let mut message = vec![if big { b'B' } else { b'l' }, METHOD_CALL, 0, 1];
        message.extend(four(u32::try_from(body.len()).unwrap()));
        message.extend(four(serial));
        message.extend(four(u32::try_from(fields.len()).unwrap()));
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        message
    }

    #[test]
    fn a_header_is_read_in_both_orders_of_bytes() {
        for big in [false, true] {
            let message = call(7, "org.freedesktop.DBus", "AddMatch", Some("type='signal'"), big);
            assert_eq!(length(&message), Ok(Some(message.len())));
            assert_eq!(length(&[&message[..], b"more"].concat()), Ok(Some(message.len())));
            assert_eq!(length(&message[..15]), Ok(None));
            let read = header(&message).unwrap();
            assert_eq!((read.serial, read.expects_reply, read.reply_serial), (7, true, None));
            assert_eq!(read.destination, b"org.freedesktop.DBus");
            assert_eq!(read.member, b"AddMatch");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let hello = hello(9);
        assert_eq!(length(&hello), Ok(Some(hello.len())));
        let read = header(&hello).unwrap();
        assert_eq!((read.serial, &read.member[..]), (9, &b"Hello"[..]));
        let error = service_unknown(3, 7);
        assert_eq!(length(&error), Ok(Some(error.len())));
        let read = header(&error).unwrap();
        assert_eq!((read.kind, read.reply_serial), (ERROR, Some(7)));
        assert!(first_string(&error).starts_with(b"the container"));
    }

    #[test]
    fn a_message_for_another_is_the_same_but_for_that() {
        for big in [false, true] {
            for argument in [None, Some("text")] {
                let message = call(7, ":1.4", "AddMatch", argument, big);
                for name in [":1.4", ":1.17000", ":1.123456789012", ""] {
                    let changed = readdressed(&header(&message).unwrap(), &message, name.as_bytes()).unwrap();
                    assert_eq!(changed, call(7, name, "AddMatch", argument, big), "{name}");
                }
            }
        }
        let nobodys = compose(METHOD_RETURN, 1, &[(REPLY_SERIAL, b'u', Value::Number(2))], b"");
        assert_eq!(readdressed(&header(&nobodys).unwrap(), &nobodys, b":1.1"), None);
    }

    #[test]
    fn what_cannot_be_a_message_is_refused() {
        assert_eq!(length(b"x"), Err(Malformed));
        let mut long = call(1, "a.b", "C", None, false);
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length(&long), Err(Malformed));
        let message = call(1, "a.b", "C", Some("x"), false);
        for end in 0..message.len() {
            // Whatever is cut off: an error or less of a header, and no panic.
            let _ = header(&message[..end]);
        }
        for at in 0..message.len() {
            let mut odd = message.clone();
            odd[at] ^= 0xff;
            let _ = (length(&odd), header(&odd));
        }
    }
}
