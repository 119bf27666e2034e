//! What the guest says of itself: host name, time zone, locale, resolver, and that it is a container.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use snug_wire::provision::Provision;

use super::hosts;
use crate::files::{read, read_text, replace, replace_link};
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

/// The host's locale where the guest has it; `C.UTF-8`, which needs no data, where it has not and says nothing itself.
pub fn set_locale(guest: &Guest, host: &[(String, String)]) -> io::Result<()> {
    let is_plain =
        |text: &str| text.chars().all(|byte| byte.is_ascii_alphanumeric() || "_.@-".contains(byte));
    let host: Vec<_> = host.iter().filter(|(key, value)| is_plain(key) && is_plain(value)).collect();
    let all_there = !host.is_empty() && host.iter().all(|(_, value)| has_locale(guest, value));
    for path in ["/etc/locale.conf", "/etc/default/locale"] {
        let path = guest.path(path);
        let has_directory = path.parent().is_some_and(Path::is_dir);
        let says_something = read_text(&path).is_ok_and(|text| text.contains("LANG="));
        if !has_directory || (!all_there && says_something) {
            continue;
        }
        let text: String = if all_there {
            host.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
        } else {
            "LANG=C.UTF-8\n".into()
        };
        replace(&path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// As glibc spells it in file names: `de_DE.UTF-8` is `de_DE.utf8`.
fn normalised(locale: &str) -> String {
    let (name, rest) = locale.split_once('.').unwrap_or((locale, ""));
    let (codeset, modifier) = match rest.split_once('@') {
        Some((codeset, modifier)) => (codeset, format!("@{modifier}")),
        None => (rest, String::new()),
    };
    let codeset: String = codeset.chars().filter(char::is_ascii_alphanumeric).collect();
    let dot = if codeset.is_empty() { "" } else { "." };
    format!("{name}{dot}{}{modifier}", codeset.to_ascii_lowercase())
}

fn has_locale(guest: &Guest, locale: &str) -> bool {
    let name = normalised(locale);
    if ["C", "POSIX", "C.utf8"].contains(&name.as_str()) {
        return true;
    }
    let directory = guest.path("/usr/lib/locale");
    if directory.join(&name).is_dir() || directory.join(locale).is_dir() {
        return true;
    }
    archive_names(&directory.join("locale-archive"))
        .is_ok_and(|names| names.split(|byte| *byte == 0).any(|known| known == name.as_bytes()))
}

/// The names in glibc's locale archive (`locale/locarchive.h`): a header of 32-bit fields tells where they are. The
/// archive itself may have 200 MB.
fn archive_names(path: &Path) -> io::Result<Vec<u8>> {
    const MAGIC: u32 = 0xde02_0109;
    let mut file = File::open(path)?;
    let mut header = [0; 28];
    file.read_exact(&mut header)?;
    let field = |index: usize| {
        let bytes = header.get(index * 4..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        u32::from_ne_bytes(bytes)
    };
    // magic, serial, offset, used and size of the name hash, offset and use of the strings
    let (offset, used) = (field(5), field(6));
    if field(0) != MAGIC || used > 1 << 20 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.seek(SeekFrom::Start(offset.into()))?;
    let mut names = Vec::new();
    file.take(used.into()).read_to_end(&mut names)?;
    Ok(names)
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
    use crate::provision::tests::provision;

    fn guest(directories: &[&str]) -> (tempfile::TempDir, Guest) {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for path in directories {
            fs::create_dir_all(guest.path(path)).unwrap();
        }
        (directory, guest)
    }

    #[test]
    fn locales_are_found_as_glibc_names_them() {
        for (given, expected) in [
            ("de_DE.UTF-8", "de_DE.utf8"),
            ("de_DE@euro", "de_DE@euro"),
            ("sr_RS.UTF-8@latin", "sr_RS.utf8@latin"),
            ("C.UTF-8", "C.utf8"),
            ("C", "C"),
        ] {
            assert_eq!(normalised(given), expected);
        }
    }

    #[test]
    fn a_locale_that_the_guest_lacks_is_not_set() {
        let (_directory, guest) = guest(&["/etc/default", "/usr/lib/locale/de_DE.utf8"]);
        let read = || fs::read_to_string(guest.path("/etc/locale.conf")).unwrap();
        let with = |value: &str| [("LANG".to_owned(), value.to_owned())];
        set_locale(&guest, &with("fr_FR.UTF-8")).unwrap();
        assert_eq!(read(), "LANG=C.UTF-8\n");
        set_locale(&guest, &with("de_DE.UTF-8")).unwrap();
        assert_eq!(read(), "LANG=de_DE.UTF-8\n");
        set_locale(&guest, &with("fr_FR.UTF-8")).unwrap();
        assert_eq!(read(), "LANG=de_DE.UTF-8\n", "what the guest says itself stays");
        set_locale(&guest, &with("de_DE.UTF-8\nX=1")).unwrap();
        assert_eq!(read(), "LANG=de_DE.UTF-8\n");
    }

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
