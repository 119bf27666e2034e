//! The certificate authorities that the administrator of the host has added to those of its distribution: a company's, whose proxy
//! every connection goes through.

use std::fs;
use std::path::Path;

use super::file;

/// Where they are put for the program that makes one file of all of them: Debian's and Alpine's `update-ca-certificates`,
/// `update-ca-trust` of Fedora and of Arch, SUSE's.
pub const DIRECTORIES: [&str; 4] = [
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
    "/etc/pki/trust/anchors",
];

/// Bounds of what guests are told: theirs lies on a tmpfs of 1 MiB.
const MOST: usize = 64;
const MOST_BYTES: usize = 256 << 10;

/// Debian's program looks into directories, too.
const DEEPEST: usize = 3;

/// What is around a certificate in text form (RFC 7468); other forms are not taken over.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Their names and texts, by name. Blocks. What cannot be read is as if it were not there.
#[must_use]
pub fn added() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        collect(Path::new(directory), DEEPEST, &mut found);
    }
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    found.truncate(MOST);
    let mut bytes = 0;
    found.retain(|(_, text)| {
        bytes += text.len();
        bytes <= MOST_BYTES
    });
    found
}

fn collect(directory: &Path, depth: usize, found: &mut Vec<(String, String)>) {
    for name in file::names_in(directory).unwrap_or_default() {
        let path = directory.join(&name);
        if depth > 1 && path.is_dir() {
            collect(&path, depth - 1, found);
        }
        let plain = |about: &fs::Metadata| about.is_file() && about.len() <= MOST_BYTES as u64;
        if !is_plain(&name) || !fs::metadata(&path).is_ok_and(|about| plain(&about)) {
            continue;
        }
        let text = fs::read_to_string(&path).map(|text| certificates_in(&text)).unwrap_or_default();
        if !text.is_empty() {
            found.push((name, text));
        }
    }
}

/// The certificates alone: a key that somebody put into the same file is nobody else's.
fn certificates_in(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines().map(str::trim_end) {
        inside |= line == BEGIN;
        if inside {
            out.push_str(line);
            out.push('\n');
        }
        inside &= line != END;
    }
    if inside { String::new() } else { out }
}

/// It becomes the name of a file in a guest.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.')
        && name.len() <= 128
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_certificate_with_a_plain_name_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let pem = format!("{BEGIN}\nMIIB\n{END}\n");
        let with_key = format!("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n{pem}");
        assert_eq!(certificates_in(&with_key), pem);
        assert_eq!(certificates_in(&format!("{BEGIN}\nMIIB\n")), "");
        for (name, text) in [
            ("company.crt", pem.as_str()),
            ("README", "none"),
            ("a b.crt", &pem),
            (".hidden.crt", &pem),
            ("large.crt", &pem.repeat(10_000)),
        ] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        fs::create_dir(directory.path().join("more.crt")).unwrap();
        fs::write(directory.path().join("more.crt/below.crt"), &pem).unwrap();
        let mut found = Vec::new();
        collect(directory.path(), DEEPEST, &mut found);
        found.sort();
        assert_eq!(found, [("below.crt".to_owned(), pem.clone()), ("company.crt".to_owned(), pem)]);
        collect(Path::new("/no/such"), DEEPEST, &mut found);
        assert_eq!(found.len(), 2);
    }
}
