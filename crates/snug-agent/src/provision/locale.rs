//! The host's locale in the guest, and what to do where the guest does not have it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::files::{read_text, replace};
use crate::places::Guest;

/// Where glibc has its locales. A guest with another library has no such directory, and needs none.
const DIRECTORY: &str = "/usr/lib/locale";

/// The variables that name one, the strongest first (locale(7)).
const VARIABLES: [&[u8]; 14] = [
    b"LC_ALL",
    b"LC_ADDRESS",
    b"LC_COLLATE",
    b"LC_CTYPE",
    b"LC_IDENTIFICATION",
    b"LC_MEASUREMENT",
    b"LC_MESSAGES",
    b"LC_MONETARY",
    b"LC_NAME",
    b"LC_NUMERIC",
    b"LC_PAPER",
    b"LC_TELEPHONE",
    b"LC_TIME",
    b"LANG",
];

/// The host's locale where the guest has it; `C.UTF-8`, which needs no data, where it has not and says nothing itself.
pub fn set(guest: &Guest, host: &[(String, String)]) -> io::Result<()> {
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

fn is_plain(text: &str) -> bool {
    text.chars().all(|byte| byte.is_ascii_alphanumeric() || "_.@-".contains(byte))
}

/// What a command with these variables (`NAME=VALUE`) is to be told of a locale that the guest does not have: programs complain
/// about it one by one (perl), or go on in English. Nothing where there is none.
pub fn hint(guest: &Guest, environment: &[Vec<u8>]) -> Option<String> {
    if !guest.path(DIRECTORY).is_dir() {
        return None;
    }
    let value = |name: &[u8]| {
        let value =
            environment.iter().find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="))?;
        std::str::from_utf8(value).ok().filter(|value| !value.is_empty() && is_plain(value))
    };
    let named = VARIABLES.iter().filter_map(|name| value(name));
    let locale = named.into_iter().find(|locale| !has_locale(guest, locale))?;
    Some(format!("the container does not have your locale {locale}: {}", how_to_get(guest, locale)))
}

/// The command that makes it, by the names that the distribution goes by (os-release(5)).
fn how_to_get(guest: &Guest, locale: &str) -> String {
    let text = read_text(&guest.path("/etc/os-release")).unwrap_or_default();
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches(['"', '\'']).split(' '))
        .collect();
    let is = |names: &[&str]| ids.iter().any(|id| names.contains(id));
    let (name, codeset) = locale.split_once('.').unwrap_or((locale, "UTF-8"));
    let language = name.split(['_', '@']).next().unwrap_or(name);
    let compile = format!("sudo localedef -i {name} -f {codeset} {locale}");
    if is(&["debian", "ubuntu"]) {
        format!("sudo apt-get install -y locales && {compile}")
    } else if is(&["fedora", "rhel", "centos"]) {
        format!("sudo dnf install -y glibc-langpack-{language}")
    } else if is(&["suse", "opensuse", "sles"]) {
        "sudo zypper install -y glibc-locale".to_owned()
    } else {
        compile
    }
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
    let directory = guest.path(DIRECTORY);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::provision::tests::guest;

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
        set(&guest, &with("fr_FR.UTF-8")).unwrap();
        assert_eq!(read(), "LANG=C.UTF-8\n");
        set(&guest, &with("de_DE.UTF-8")).unwrap();
        assert_eq!(read(), "LANG=de_DE.UTF-8\n");
        set(&guest, &with("fr_FR.UTF-8")).unwrap();
        assert_eq!(read(), "LANG=de_DE.UTF-8\n", "what the guest says itself stays");
        set(&guest, &with("de_DE.UTF-8\nX=1")).unwrap();
        assert_eq!(read(), "LANG=de_DE.UTF-8\n");
    }

    #[test]
    fn a_command_in_a_locale_that_the_guest_lacks_is_told_how_to_get_it() {
        let (_directory, guest) = guest(&["/etc", "/usr/lib/locale/en_US.utf8"]);
        let told = |variables: &[&str]| {
            let all: Vec<Vec<u8>> = variables.iter().map(|variable| variable.as_bytes().to_vec()).collect();
            hint(&guest, &all)
        };
        for fine in [&["LANG=en_US.UTF-8"][..], &["LANG=C.UTF-8", "LC_ALL="], &["LANGUAGE=de"], &[]] {
            assert_eq!(told(fine), None, "{fine:?}");
        }
        for (release, wanted) in [
            (
                "ID=debian\n",
                "sudo apt-get install -y locales && sudo localedef -i de_DE -f UTF-8 de_DE.UTF-8",
            ),
            ("ID=\"nobara\"\nID_LIKE=\"rhel fedora\"\n", "sudo dnf install -y glibc-langpack-de"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "sudo zypper install -y glibc-locale"),
            ("ID=arch\n", "sudo localedef -i de_DE -f UTF-8 de_DE.UTF-8"),
        ] {
            fs::write(guest.path("/etc/os-release"), release).unwrap();
            let expected = format!("the container does not have your locale de_DE.UTF-8: {wanted}");
            assert_eq!(
                told(&["LANG=en_US.UTF-8", "LC_TIME=de_DE.UTF-8"]).as_deref(),
                Some(expected.as_str())
            );
        }
        assert_eq!(told(&["LANG=de_DE.UTF-8; reboot"]), None);
        fs::remove_dir_all(guest.path("/usr")).unwrap();
        assert_eq!(told(&["LANG=de_DE.UTF-8"]), None, "musl");
    }
}
