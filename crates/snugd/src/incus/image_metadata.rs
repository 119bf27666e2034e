//! What an image says of itself. Of a metadata archive that a user hands in, a few properties are read and a new archive
//! is written; nothing of the archive itself reaches Incus.
//!
//! Incus unpacks it as root, beside where the root file system goes: a link called `rootfs` in it decided where on the
//! host that went (measured with 6.0.4-2+deb13u7), and templates are read and written as root (CVE-2026-23954).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::error::{Error, ErrorKind, Result};

/// Bounds of an archive, packed and unpacked, and of the text in it; those of image servers have 1 kB.
const PACKED: u64 = 1 << 20;
const UNPACKED: u64 = 1 << 20;
const TEXT: u64 = 64 << 10;
/// Who unpacks it: nobody (`nobody` of every distribution).
const NOBODY: u32 = 65_534;
/// What is told on; the rest (templates, requirements) is Incus' business and stays out.
const PROPERTIES: [&str; 7] = ["description", "os", "release", "variant", "serial", "name", "version"];
const NAME: &str = "metadata.yaml";

/// An image's own words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// As Incus calls it: `x86_64`.
    pub architecture: Option<String>,
    /// Seconds since 1970.
    pub created: Option<u64>,
    /// Those of [`PROPERTIES`] that it has.
    pub properties: BTreeMap<String, String>,
}

/// Reads a metadata archive. Blocks.
///
/// # Errors
/// [`ErrorKind::ImageBroken`].
pub fn read(archive: OwnedFd) -> Result<Metadata> {
    let mut packed = Vec::new();
    let broken = |reason: &str| Error::new(ErrorKind::ImageBroken, format!("the image's metadata: {reason}"));
    // From its beginning, wherever the caller left it.
    rustix::fs::seek(&archive, rustix::fs::SeekFrom::Start(0))
        .map_err(|errno| Error::system("read the image's metadata", errno))?;
    std::fs::File::from(archive)
        .take(PACKED + 1)
        .read_to_end(&mut packed)
        .map_err(|error| Error::system("read the image's metadata", error))?;
    if packed.len() as u64 > PACKED {
        return Err(broken("more than 1 MiB"));
    }
    let text = unpack(&packed).map_err(|error| broken(&error.to_string()))?;
    text.map(|text| parse(&text)).ok_or_else(|| {
        broken("no metadata.yaml in it")
            .hint("`--metadata` takes what Incus calls a split image's metadata archive")
    })
}

/// The text of `metadata.yaml`, if there is one.
fn unpack(packed: &[u8]) -> io::Result<Option<String>> {
    let kinds: [(&[u8], &[&str]); 5] = [
        (b"\x1f\x8b", &["gzip", "-dc"]),
        (b"BZh", &["bzip2", "-dc"]),
        (b"\xfd7zXZ\0", &["xz", "-dc", "--memlimit-decompress=256MiB"]),
        (b"\x5d\0\0", &["xz", "-dc", "--format=lzma", "--memlimit-decompress=256MiB"]),
        (b"\x28\xb5\x2f\xfd", &["zstd", "-dc"]),
    ];
    let Some((_, command)) = kinds.iter().find(|(magic, _)| packed.starts_with(magic)) else {
        return find(packed);
    };
    let input = rustix::fs::memfd_create("metadata", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut written = 0;
    while let Some(rest) = packed.get(written..).filter(|rest| !rest.is_empty()) {
        written += rustix::io::write(&input, rest)?;
    }
    rustix::fs::seek(&input, rustix::fs::SeekFrom::Start(0))?;
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", command[0])))?;
    let found = child.stdout.take().map_or(Ok(None), |output| find(output.take(UNPACKED)));
    // Enough was read; what it would still say is of no interest.
    let _ = child.kill();
    let _ = child.wait();
    found
}

fn find(archive: impl Read) -> io::Result<Option<String>> {
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        let is_it = entry
            .path()?
            .strip_prefix(".")
            .map_or_else(|_| entry.path_bytes() == NAME.as_bytes(), |path| path.as_os_str() == NAME);
        if is_it && entry.header().entry_type().is_file() {
            let mut text = Vec::new();
            entry.take(TEXT).read_to_end(&mut text)?;
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}

/// Reads the two levels of plain `key: value` that such a file has; what is written otherwise is left out. JSON, which
/// is YAML too, as well.
fn parse(text: &str) -> Metadata {
    let mut metadata = Metadata::default();
    if let Ok(serde_json::Value::Object(map)) = serde_json::from_str(text) {
        let word =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for (key, value) in &map {
            match value.as_object().filter(|_| key == "properties") {
                Some(properties) => {
                    properties.iter().for_each(|(key, value)| metadata.property(key, &word(value)))
                }
                None => metadata.top(key, &word(value)),
            }
        }
        return metadata;
    }
    let mut section = "";
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (unquoted(key.trim()), unquoted(value.trim()));
        if !line.starts_with([' ', '\t']) {
            section = key;
            metadata.top(key, value);
        } else if section == "properties" {
            metadata.property(key, value);
        }
    }
    metadata
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

impl Metadata {
    fn top(&mut self, key: &str, value: &str) {
        let is_word = |text: &str| {
            (1..=32).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match key {
            "architecture" if is_word(value) => self.architecture = Some(value.to_owned()),
            "creation_date" => self.created = value.parse().ok(),
            _ => {}
        }
    }

    fn property(&mut self, key: &str, value: &str) {
        if PROPERTIES.contains(&key) && !value.is_empty() {
            let plain = value.chars().filter(|letter| !letter.is_control()).take(256).collect();
            self.properties.insert(key.to_owned(), plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: \"A: b\u{1b}[31m\"\n  \
                        os: Debian\n  user.snug.owner: \"1002\"\ntemplates:\n  /etc/hostname:\n    template: ../../x\n    os: no\n";

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            if *kind == tar::EntryType::Symlink {
                header.set_size(0);
                archive.append_link(&mut header, name, text).unwrap();
            } else {
                header.set_size(text.len() as u64);
                archive.append_data(&mut header, name, text.as_bytes()).unwrap();
            }
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn only_known_plain_properties_are_told_on() {
        let metadata = parse(YAML);
        assert_eq!(metadata.architecture.as_deref(), Some("x86_64"));
        assert_eq!(metadata.created, Some(1_700_000_000));
        let expected = [("description", "A: b[31m"), ("os", "Debian")];
        assert_eq!(
            metadata.properties,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        );
        let json =
            r#"{"architecture":"a b","properties":{"os":"x","requirements.cgroup":"v1"},"templates":{}}"#;
        let expected = [("os".to_owned(), "x".to_owned())].into();
        assert_eq!(parse(json), Metadata { properties: expected, ..Metadata::default() });
    }

    #[test]
    fn links_in_the_archive_lead_nowhere() {
        let file = tar::EntryType::Regular;
        let link = tar::EntryType::Symlink;
        let hostile = archive(&[
            ("rootfs", link, "/etc"),
            ("metadata.yaml", link, "/etc/shadow"),
            ("./metadata.yaml", file, YAML),
        ]);
        assert_eq!(unpack(&hostile).unwrap().as_deref(), Some(YAML));
        assert_eq!(unpack(&archive(&[("metadata.yaml", link, "/etc/shadow")])).unwrap(), None);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bad in [&b"rubbish"[..], b"\x1f\x8b\x08rubbish", &[b'x'; 1024]] {
            assert!(!matches!(unpack(bad), Ok(Some(_))), "{bad:?}");
        }
    }
}
