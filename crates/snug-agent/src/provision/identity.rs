//! What the guest says of itself: host name, time zone, resolver, and that it is a container.

use std::io;
use std::path::Path;

use snug_wire::provision::Provision;

use super::hosts;
use crate::files::{read, replace, replace_link};
use crate::places::Guest;

/// Sets the host name, and makes it one that the guest finds without a name server.
pub fn set_host_name(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let name = &provision.hostname;
    if guest.path("/") == Path::new("/") {
        rustix::system::sethostname(name.as_bytes())?;
    }
    replace(&guest.path("/etc/hostname"), format!("{name}\n").as_bytes(), 0o644)?;
    let path = guest.path("/etc/hosts");
    let text = read(&path).unwrap_or_default();
    replace(&path, hosts::hosts(&String::from_utf8_lossy(&text), name).as_bytes(), 0o644)
}

/// Sets the host's time zone, if the guest knows it.
pub fn set_time_zone(guest: &Guest, zone: Option<&str>) -> io::Result<()> {
    let Some(zone) = zone.filter(|zone| is_zone(zone)) else { return Ok(()) };
    let path = Path::new("/usr/share/zoneinfo").join(zone);
    if !guest.path(&path).is_file() {
        return Ok(());
    }
    replace_link(&guest.path("/etc/localtime"), &path)?;
    replace(&guest.path("/etc/timezone"), format!("{zone}\n").as_bytes(), 0o644)
}

fn is_zone(zone: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.chars().all(|byte| byte.is_ascii_alphanumeric() || "+-_".contains(byte))
    };
    zone.split('/').all(is_name)
}

/// Writes the host's resolver, in the place of a link too: its target, a service of the guest, may not run yet.
pub fn set_resolver(guest: &Guest, text: Option<&str>) -> io::Result<()> {
    match text {
        Some(text) => replace(&guest.path("/etc/resolv.conf"), text.as_bytes(), 0o644),
        None => Ok(()),
    }
}

/// The file by which programs know that they run in a container (podman's name and form).
pub fn mark(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let lines = [
        ("engine", "snug"),
        ("name", &provision.hostname),
        ("id", &provision.id),
        ("image", &provision.image),
    ];
    let is_plain = |text: &str| !text.chars().any(|c| c.is_control() || "\"\\".contains(c));
    let text: String = lines
        .iter()
        .filter(|(_, value)| is_plain(value))
        .map(|(key, value)| format!("{key}=\"{value}\"\n"))
        .collect();
    replace(&guest.path("/run/.containerenv"), text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::provision::tests::{guest, provision};

    #[test]
    fn a_time_zone_that_the_guest_lacks_is_not_set() {
        let (_directory, guest) = guest(&["/etc", "/usr/share/zoneinfo/Europe"]);
        fs::write(guest.path("/usr/share/zoneinfo/Europe/Berlin"), "").unwrap();
        let set = |zone: &str| {
            set_time_zone(&guest, Some(zone)).unwrap();
            fs::read_link(guest.path("/etc/localtime")).ok()
        };
        for zone in ["Asia/Tokyo", "../../../etc/passwd", "/etc/passwd", ""] {
            assert_eq!(set(zone), None, "{zone}");
        }
        assert_eq!(set("Europe/Berlin").unwrap(), Path::new("/usr/share/zoneinfo/Europe/Berlin"));
    }

    #[test]
    fn a_linked_resolver_becomes_a_file() {
        let (_directory, guest) = guest(&["/etc"]);
        let path = guest.path("/etc/resolv.conf");
        std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", &path).unwrap();
        let text = "nameserver 10.0.0.1\n";
        set_resolver(&guest, Some(text)).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_prompt_finds_name_and_image_and_no_value_is_more_than_one() {
        let (_directory, guest) = guest(&["/run"]);
        let read = || fs::read_to_string(guest.path("/run/.containerenv")).unwrap();
        mark(&guest, &provision()).unwrap();
        assert_eq!(read(), "engine=\"snug\"\nname=\"tools\"\nid=\"1f\"\nimage=\"images:debian/13\"\n");
        mark(&guest, &Provision { image: "x\"\nname=\"y".into(), ..provision() }).unwrap();
        assert_eq!(read(), "engine=\"snug\"\nname=\"tools\"\nid=\"1f\"\n");
    }
}
