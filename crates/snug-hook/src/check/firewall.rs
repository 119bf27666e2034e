//! What there is of firewalls on this host. From the kernel, and not from the programs that print its rules.

use std::fs;
use std::io;
use std::path::Path;

use rustix::net::netlink::NETFILTER;
use snug_netlink::message::{Message, attribute};
use snug_netlink::{Changes, dump, open};

/// Where a base chain of nf_tables looks at packets (`linux/netfilter.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What is for the host itself (`NF_INET_LOCAL_IN`).
    Input,
    /// What is for others (`NF_INET_FORWARD`).
    Forward,
    /// Another one.
    Other,
}

/// Which packets a table sees (`linux/netfilter.h`, `NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv4 and IPv6.
    Inet,
    /// Neither.
    Other,
}

/// A chain of nf_tables; `iptables` of today makes such, too, in a table `filter` of the family `ip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Of its table.
    pub family: Family,
    /// The table's name.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it looks at packets; `None` for one that others jump to.
    pub hook: Option<Hook>,
    /// What no rule decides about is dropped.
    pub drops: bool,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The host forwards IPv4 (`net.ipv4.ip_forward`).
    pub forwards: bool,
    /// Docker's bridge is there.
    pub docker0: bool,
    /// ufw is switched on.
    pub ufw: bool,
    /// The older `iptables` has a table `filter`, whose chains are not among [`Facts::chains`].
    pub legacy: bool,
    /// Of nf_tables.
    pub chains: Vec<Chain>,
}

impl Facts {
    /// As they are now. What cannot be read is as if it were not there.
    #[must_use]
    pub fn collect() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            // Where it cannot be told it is not what is named.
            forwards: read("/proc/sys/net/ipv4/ip_forward").trim() != "0",
            docker0: Path::new("/sys/class/net/docker0").exists(),
            ufw: is_enabled(&read("/etc/ufw/ufw.conf")),
            legacy: read("/proc/net/ip_tables_names").lines().any(|name| name == "filter"),
            chains: chains().unwrap_or_default(),
        }
    }
}

/// `ENABLED=yes` of `ufw.conf`: a file of shell variables, that ufw writes so (ufw(8)).
fn is_enabled(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("ENABLED="))
        .next_back()
        .is_some_and(|value| value.trim_matches(['"', '\'', ' ']).eq_ignore_ascii_case("yes"))
}

/// `NFNL_SUBSYS_NFTABLES`
const NFTABLES: u16 = 10;
/// `NFT_MSG_GETCHAIN`
const GET_CHAIN: u16 = 4;
/// `struct nfgenmsg`
const HEADER: usize = 4;

/// All chains of the calling thread's network namespace.
fn chains() -> io::Result<Vec<Chain>> {
    let mut all = Vec::new();
    let message = Message::new(NFTABLES << 8 | GET_CHAIN, 0, &[0; HEADER]);
    dump(open(Some(NETFILTER))?, message, |body| all.extend(chain(body)))?;
    Ok(all)
}

/// One `struct nfgenmsg` and its attributes (`linux/netfilter/nf_tables.h`, `NFTA_CHAIN_*`); numbers in the network's order.
fn chain(body: &[u8]) -> Option<Chain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    const HOOK_NUMBER: u16 = 1;
    let family = match i32::from(*body.first()?) {
        libc::NFPROTO_IPV4 => Family::Ip,
        libc::NFPROTO_INET => Family::Inet,
        _ => Family::Other,
    };
    let attributes = body.get(HEADER..)?;
    let text = |kind| {
        let bytes = attribute(attributes, kind)?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(*bytes.first_chunk()?));
    let hook = attribute(attributes, HOOK).and_then(|nested| number(attribute(nested, HOOK_NUMBER)?));
    let policy = attribute(attributes, POLICY).and_then(number);
    Some(Chain {
        family,
        table: text(TABLE)?,
        name: text(NAME)?,
        hook: hook.map(|hook| match i32::try_from(hook) {
            Ok(libc::NF_INET_LOCAL_IN) => Hook::Input,
            Ok(libc::NF_INET_FORWARD) => Hook::Forward,
            _ => Hook::Other,
        }),
        // NF_DROP
        drops: policy == Some(0),
    })
}

/// Word of rules of nf_tables that change, in the calling thread's network namespace.
///
/// # Errors
/// What the kernel says.
pub fn changes() -> io::Result<Changes> {
    // NFNLGRP_NFTABLES, as the bit that bind(2) takes.
    const GROUP: u32 = 1 << (7 - 1);
    Changes::here(Some(NETFILTER), GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_as_the_kernel_tells_it() {
        let attribute = |kind: u16, value: &[u8]| {
            let mut out = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
            out.extend(kind.to_ne_bytes());
            out.extend(value);
            out.resize(out.len().next_multiple_of(4), 0);
            out
        };
        let hook = attribute(1, &2u32.to_be_bytes());
        let body = [
            vec![2, 0, 0, 0],
            attribute(1, b"filter\0"),
            attribute(3, b"FORWARD\0"),
            attribute(0x8004, &hook),
            attribute(5, &0u32.to_be_bytes()),
        ]
        .concat();
        let wanted = Chain {
            family: Family::Ip,
            table: "filter".into(),
            name: "FORWARD".into(),
            hook: Some(Hook::Forward),
            drops: true,
        };
        assert_eq!(chain(&body), Some(wanted));
        assert_eq!(chain(&body[..20]), None, "without its name");
        assert_eq!(chain(&[]), None);
    }

    #[test]
    fn ufw_is_on_where_its_file_says_so() {
        for (text, wanted) in [
            ("# comment\nENABLED=yes\nLOGLEVEL=low\n", true),
            ("ENABLED=\"yes\"\n", true),
            ("ENABLED=no\n", false),
            ("#ENABLED=yes\n", false),
            ("", false),
        ] {
            assert_eq!(is_enabled(text), wanted, "{text}");
        }
    }
}
