//! The values of grants, read.

use std::path::{Component, Path, PathBuf};

use super::{Grant, Home, Network, Row, ValueKind};

pub(super) fn parse_value(row: &Row, value: Option<&str>, equals: bool) -> Result<Grant, &'static str> {
    match (row.value, value) {
        (ValueKind::None | ValueKind::ReadOnly, Some(_)) if equals => Err("it takes no value"),
        (ValueKind::None, _) => simple(row.word).ok_or("it takes no value"),
        (ValueKind::ReadOnly, value) => Ok(Grant::Host { readonly: value.is_some() }),
        (ValueKind::Home, None) => Ok(Grant::Home(Home::Shared)),
        (ValueKind::Home, Some("private")) => Ok(Grant::Home(Home::Private)),
        (ValueKind::Home, Some(path)) => Ok(Grant::Home(Home::At(absolute(path)?))),
        (ValueKind::Commands, None) => Ok(Grant::HostExec(Vec::new())),
        (ValueKind::Commands, Some(list)) => {
            let commands: Vec<String> = list.split(',').map(str::to_owned).collect();
            let good = |name: &String| {
                !name.is_empty()
                    && !name.starts_with('-')
                    && !name.contains('*')
                    && !name.contains(char::is_whitespace)
            };
            if commands.iter().all(good) {
                Ok(Grant::HostExec(commands))
            } else {
                Err("a command's name is missing or odd")
            }
        }
        (_, None) => Err("the value is missing"),
        (ValueKind::Network, Some(word)) => [Network::Mirror, Network::Nat, Network::Host, Network::None]
            .into_iter()
            .find(|network| network.word() == word)
            .map(Grant::Network)
            .ok_or("there is no such network"),
        (ValueKind::Island, Some(path)) => Ok(Grant::Private(island(path)?)),
        (ValueKind::Mapping, Some(mapping)) => parse_mapping(mapping),
        (ValueKind::Device, Some(path)) => {
            let path = absolute(path)?;
            if path.starts_with("/dev") && path != Path::new("/dev") {
                Ok(Grant::Device(path))
            } else {
                Err("it is not below /dev")
            }
        }
        (ValueKind::Usb, Some(ids)) => {
            let number = |digits: &str| {
                let hex = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
            };
            let (vendor, product) = ids.split_once(':').ok_or("the product is missing")?;
            match (number(vendor), number(product)) {
                (Some(vendor), Some(product)) => Ok(Grant::Usb { vendor, product }),
                _ => Err("vendor and product are four hexadecimal digits each"),
            }
        }
    }
}

fn simple(word: &str) -> Option<Grant> {
    Some(match word {
        "places" => Grant::Places,
        "session" => Grant::Session,
        "wayland" => Grant::Wayland,
        "x11" => Grant::X11,
        "audio" => Grant::Audio,
        "session-bus" => Grant::SessionBus,
        "ssh-agent" => Grant::SshAgent,
        "gpg-agent" => Grant::GpgAgent,
        "gpu" => Grant::Gpu,
        "input" => Grant::Input,
        "kvm" => Grant::Kvm,
        "devices" => Grant::Devices,
        "groups" => Grant::Groups,
        "nesting" => Grant::Nesting,
        "host-open" => Grant::HostOpen,
        "privileged" => Grant::Privileged,
        _ => return None,
    })
}

/// A path of the host: absolute, nothing that climbs, one spelling.
fn absolute(path: &str) -> Result<PathBuf, &'static str> {
    if !path.starts_with('/') {
        return Err("the path is not absolute");
    }
    plain(path)
}

/// A path of the home, relative to it or absolute: whether it lies there, only who knows the home can say.
fn island(path: &str) -> Result<PathBuf, &'static str> {
    let path = plain(path.strip_prefix("~/").unwrap_or(path))?;
    if path.as_os_str().is_empty() || path == Path::new("/") { Err("the path is empty") } else { Ok(path) }
}

fn plain(path: &str) -> Result<PathBuf, &'static str> {
    let mut plain = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir => plain.push("/"),
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err("'..' is not allowed in the path"),
        }
    }
    Ok(plain)
}

/// `SRC[:DST][:ro]`; a colon or backslash of a path itself is written `\:`, `\\`.
fn parse_mapping(mapping: &str) -> Result<Grant, &'static str> {
    let mut parts = split_colons(mapping)?;
    let readonly = match parts.last().map(|part| part.0.as_str()) {
        _ if parts.len() < 2 => false,
        Some("ro") => true,
        Some("rw") => false,
        _ if parts.len() == 3 => return Err("only ':ro' or ':rw' may stand at the end"),
        _ => false,
    };
    if parts.len() > 1 && parts.last().is_some_and(|part| matches!(part.0.as_str(), "ro" | "rw") && !part.1) {
        parts.pop();
    }
    let mut parts = parts.into_iter().map(|part| part.0);
    let source = parts.next().unwrap_or_default();
    let source = if source == "." { PathBuf::from(".") } else { absolute(&source)? };
    let target = parts.next().map(|target| absolute(&target)).transpose()?;
    if parts.next().is_some() {
        return Err("there are more than two paths");
    }
    if target.as_deref() == Some(Path::new("/")) {
        return Err("the guest's root cannot be replaced");
    }
    let target = target.filter(|target| *target != source);
    Ok(Grant::Path { source, target, readonly })
}

/// The parts between unescaped colons, unescaped, each with whether it held an escape.
fn split_colons(text: &str) -> Result<Vec<(String, bool)>, &'static str> {
    let mut parts = vec![(String::new(), false)];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => parts.push((String::new(), false)),
            c => {
                let Some(part) = parts.last_mut() else { break };
                if c == '\\' {
                    part.1 = true;
                    part.0.push(chars.next().ok_or("it ends with a backslash")?);
                } else {
                    part.0.push(c);
                }
            }
        }
    }
    Ok(parts)
}
