//! Messages: a header, what the kind of message wants, attributes (netlink(7), rtnetlink(7)).

use std::io;

/// `struct nlmsghdr`
pub(crate) const HEADER: usize = 16;
pub(crate) const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The bits of an attribute's type that are no type (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_FLAGS: u16 = 0xc000;

/// A message that is being written.
#[derive(Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// With flags besides those that each request has.
    #[must_use]
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut message = vec![0; 4];
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(body);
        Self(message)
    }

    /// With an attribute more (`struct rtattr`).
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// As it is sent, with those flags too.
    #[must_use]
    pub fn into_bytes(mut self, flags: u16) -> Vec<u8> {
        let flags = u16_at(&self.0, 6) | flags;
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// Hands on the messages of one packet; whether the last was among them.
pub(crate) fn parse(mut bytes: &[u8], take: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while bytes.len() >= HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            break;
        }
        let body = &bytes[HEADER..length];
        match u16_at(bytes, 4) {
            // With an error where the dump broke off.
            NLMSG_DONE => {
                result(if body.len() >= 4 { u32_at(body, 0) } else { 0 })?;
                return Ok(true);
            }
            NLMSG_ERROR if body.len() >= 4 => {
                result(u32_at(body, 0))?;
                return Ok(true);
            }
            _ => take(body),
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(false)
}

/// What the number of an answer says: 0, or an error's, negative.
pub(crate) fn result(number: u32) -> io::Result<()> {
    match number.cast_signed() {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number.saturating_neg())),
    }
}

/// Type and value of each attribute in `bytes`; what is cut off is none.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = (bytes.len() >= 4).then(|| usize::from(u16_at(bytes, 0)))?;
        let value = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2) & !ATTRIBUTE_FLAGS;
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some((kind, value))
    })
}

/// The value of the first attribute of that type.
#[must_use]
pub fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A number in the machine's own order.
///
/// # Panics
/// Where there are not so many bytes.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// A number in the machine's own order.
///
/// # Panics
/// Where there are not so many bytes.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says_and_its_attributes_are_found() {
        let message = Message::new(32, 0x400, &[7; 12]).with(3, b"br0\0\0").with(6, &[1, 2, 3, 4]);
        let bytes = message.into_bytes(5);
        assert_eq!(bytes.len(), 16 + 12 + 12 + 8);
        assert_eq!(u32_at(&bytes, 0) as usize, bytes.len());
        assert_eq!((u16_at(&bytes, 4), u16_at(&bytes, 6)), (32, 0x405));
        let mut found = Vec::new();
        let is_last = parse(&bytes, &mut |body| found.push(body.to_vec())).unwrap();
        assert!(!is_last);
        let attributes: Vec<_> = attributes(&found[0][12..]).collect();
        assert_eq!(attributes, [(3, &b"br0\0\0"[..]), (6, &[1, 2, 3, 4])]);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(attributes(&[200, 0, 11, 0, 1]).count(), 0);
        assert_eq!(attributes(&[0, 0, 11, 0]).count(), 0);
        assert!(!parse(&[255; 20], &mut |_| panic!("no message")).unwrap());
    }

    #[test]
    fn a_nested_attribute_is_found_by_its_type() {
        let bytes = [5, 0, 1, 0, 7, 0, 0, 0, 8, 0, 4, 0x80, 1, 2, 3, 4];
        assert_eq!(attribute(&bytes, 1), Some(&[7][..]));
        assert_eq!(attribute(&bytes, 4), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&bytes, 2), None);
    }

    #[test]
    fn the_end_of_a_dump_may_hold_an_error() {
        let done = |number: i32| Message::new(NLMSG_DONE, 0, &number.to_ne_bytes()).into_bytes(0);
        assert!(parse(&done(0), &mut |_| panic!("no message")).unwrap());
        assert_eq!(parse(&done(-4), &mut |_| {}).unwrap_err().raw_os_error(), Some(4));
        let error = Message::new(NLMSG_ERROR, 0, &i32::MIN.to_ne_bytes()).into_bytes(0);
        assert!(parse(&error, &mut |_| {}).is_err());
    }
}
