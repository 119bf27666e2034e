//! How far a guest's questions and their answers got on the bridge, whatever the guest says of that. Pure.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::probe::{Flow, QUERY, Question, Reach};

/// A packet with less time to live may end on the host, by the guest's doing.
const LIVELY: u8 = 32;
/// `ICMP_DEST_UNREACH` with `ICMP_PORT_UNREACH` (`linux/icmp.h`).
const PORT_UNREACHABLE: [u8; 2] = [3, 3];
/// Of the flags of TCP (RFC 9293).
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What was sent to the guest in answer to its question: [`Reach::Silent`] for nothing. `None` when the question has not come out of the
/// guest.
#[must_use]
pub fn passage(packets: &[Vec<u8>], flow: &Flow) -> Option<Reach> {
    let from = flow.from?;
    let signs = || packets.iter().filter_map(|packet| Packet::parse(packet)?.sign(from, flow.question));
    let answers = signs().filter_map(|sign| match sign {
        Sign::Answer(reach) => Some(reach),
        Sign::Question => None,
    });
    signs().any(|sign| sign == Sign::Question).then(|| answers.max().unwrap_or(Reach::Silent))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Question,
    Answer(Reach),
}

/// A packet of IPv4, the first part where it is in several.
struct Packet<'a> {
    lives: u8,
    protocol: i32,
    from: Ipv4Addr,
    to: Ipv4Addr,
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let length = usize::from(first & 15) * 4;
        let part = u16::from_be_bytes(*bytes.get(6..)?.first_chunk()?) & 0x1fff;
        if first >> 4 != 4 || length < 20 || part != 0 {
            return None;
        }
        let address = |at: usize| Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?));
        Some(Self {
            lives: bytes[8],
            protocol: i32::from(bytes[9]),
            from: address(12)?,
            to: address(16)?,
            body: bytes.get(length..)?,
        })
    }

    /// From whom to whom, of TCP and UDP.
    fn ends(&self) -> Option<(SocketAddrV4, SocketAddrV4)> {
        let port = |at: usize| Some(u16::from_be_bytes(*self.body.get(at..)?.first_chunk()?));
        Some((SocketAddrV4::new(self.from, port(0)?), SocketAddrV4::new(self.to, port(2)?)))
    }

    /// What it is to a question that was asked from there.
    fn sign(&self, from: SocketAddrV4, question: Question) -> Option<Sign> {
        let to = question.to();
        let protocol = match question {
            Question::Connection(_) => libc::IPPROTO_TCP,
            Question::Name(_) => libc::IPPROTO_UDP,
        };
        if self.protocol == libc::IPPROTO_ICMP && self.to == *from.ip() {
            let refused = Self::parse(self.body.get(8..)?)?;
            let is_its = refused.protocol == protocol && refused.ends() == Some((from, to));
            return (is_its && self.body.starts_with(&PORT_UNREACHABLE))
                .then_some(Sign::Answer(Reach::Refused));
        }
        if self.protocol != protocol {
            return None;
        }
        let flags = || self.body.get(13).copied();
        match (self.ends()?, question) {
            (ends, Question::Connection(_)) if ends == (from, to) => {
                (flags()? & (SYN | ACK) == SYN && self.lives >= LIVELY).then_some(Sign::Question)
            }
            (ends, Question::Name(_)) if ends == (from, to) => {
                (self.body.get(8..)? == QUERY && self.lives >= LIVELY).then_some(Sign::Question)
            }
            (ends, _) if ends != (to, from) => None,
            (_, Question::Connection(_)) if flags()? & RST != 0 => Some(Sign::Answer(Reach::Refused)),
            _ => Some(Sign::Answer(Reach::Answered)),
        }
    }
}

/// Whether the host has asked in vain who has that address, by its table `/proc/net/arp`: `IP-address type flags …`. Its answers
/// do not leave it then.
#[must_use]
pub fn is_unknown(table: &str, guest: Ipv4Addr, bridge: &str) -> bool {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|words| words.len() == 6 && words[0] == guest.to_string() && words[5] == bridge)
        .any(|words| words[2] == "0x0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::{Answered, Refused, Silent};

    const GUEST: &str = "10.9.9.2:4000";
    const SERVER: &str = "203.0.113.1:53";

    fn flow(question: fn(SocketAddrV4) -> Question) -> Flow {
        Flow { question: question(SERVER.parse().unwrap()), from: Some(GUEST.parse().unwrap()) }
    }

    fn packet(protocol: i32, from: &str, to: &str, rest: &[u8]) -> Vec<u8> {
        let (from, to): (SocketAddrV4, SocketAddrV4) = (from.parse().unwrap(), to.parse().unwrap());
        let head = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, u8::try_from(protocol).unwrap(), 0, 0];
        let ends = [from.ip().octets(), to.ip().octets()].concat();
        let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        [&head, ends.as_slice(), &ports, rest].concat()
    }

    fn udp(from: &str, to: &str, text: &[u8]) -> Vec<u8> {
        packet(libc::IPPROTO_UDP, from, to, &[&[0; 4], text].concat())
    }

    fn tcp(from: &str, to: &str, flags: u8) -> Vec<u8> {
        packet(libc::IPPROTO_TCP, from, to, &[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0])
    }

    /// From somebody to the guest, that nobody listens to what it sent.
    fn refusal(refused: &[u8]) -> Vec<u8> {
        let mut whole = packet(libc::IPPROTO_ICMP, "10.9.9.1:0", GUEST, &[]);
        whole.truncate(20);
        [&whole, [3, 3, 0, 0, 0, 0, 0, 0].as_slice(), &refused[..28]].concat()
    }

    #[test]
    fn what_came_out_of_the_guest_and_what_went_there_is_told_apart() {
        let question = udp(GUEST, SERVER, &QUERY);
        let mut weary = question.clone();
        weary[8] = 1;
        let mut part = question.clone();
        part[7] = 1;
        let call = tcp(GUEST, SERVER, SYN);
        let (name, connection) = (flow(Question::Name), flow(Question::Connection));
        let answer = udp(SERVER, GUEST, b"no");
        for (what, packets, flow, wanted) in [
            ("nothing came", vec![], name, None),
            ("an answer to nothing", vec![&answer], name, None),
            ("no answer", vec![&question], name, Some(Silent)),
            ("an answer", vec![&question, &question, &answer], name, Some(Answered)),
            ("refused", vec![&question, &refusal(&question)], name, Some(Refused)),
            ("another's refusal", vec![&question, &refusal(&call)], name, Some(Silent)),
            ("another's answer", vec![&question, &udp(SERVER, "10.9.9.2:4001", b"no")], name, Some(Silent)),
            ("something else was asked", vec![&udp(GUEST, SERVER, b"what?")], name, None),
            ("it dies on the way", vec![&weary], name, None),
            ("a part", vec![&part], name, None),
            ("no connection", vec![&call], connection, Some(Silent)),
            ("a connection", vec![&call, &tcp(SERVER, GUEST, SYN | ACK)], connection, Some(Answered)),
            ("a refused one", vec![&call, &tcp(SERVER, GUEST, RST | ACK)], connection, Some(Refused)),
            ("one refused by a rule", vec![&call, &refusal(&call)], connection, Some(Refused)),
            ("its end", vec![&tcp(GUEST, SERVER, RST)], connection, None),
            ("another protocol", vec![&question], connection, None),
            ("cut off", vec![&call[..30].to_vec(), &call[..3].to_vec()], connection, None),
        ] {
            let packets: Vec<_> = packets.into_iter().cloned().collect();
            assert_eq!(passage(&packets, &flow), wanted, "{what}");
        }
        assert_eq!(passage(&[question], &Flow { from: None, ..name }), None, "it had no address");
    }

    #[test]
    fn who_does_not_say_that_an_address_is_its_own_is_unknown() {
        let table = "IP address HW type Flags HW address Mask Device\n\
            10.9.9.2 0x1 0x0 00:00:00:00:00:00 * br0\n\
            10.9.9.3 0x1 0x2 00:16:3e:00:00:01 * br0\n";
        let of = |address: &str, bridge| is_unknown(table, address.parse().unwrap(), bridge);
        assert!(of("10.9.9.2", "br0"));
        assert!(!of("10.9.9.3", "br0") && !of("10.9.9.4", "br0") && !of("10.9.9.2", "br1"));
    }
}
