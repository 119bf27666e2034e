//! The package sources of this machine: where another suite of Debian is to be found, never by a name of our own.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// One archive of the machine's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its address.
    pub uri: String,
    /// Its suites.
    pub suites: Vec<String>,
    /// Keyring, if the source names one.
    pub signed_by: Option<String>,
}

/// The archive that holds this machine's own suite.
pub fn own_archive() -> Result<(Archive, String)> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|v| v.trim_matches('"').to_owned())
    };
    let codename = value("VERSION_CODENAME").unwrap_or_default();
    configured()
        .into_iter()
        .find(|archive| archive.suites.contains(&codename))
        .map(|archive| (archive, codename.clone()))
        .ok_or_else(|| {
            Error::Unfit(format!(
                "no package source for {codename:?} is configured in /etc/apt: the bed takes Debian's mirror from there"
            ))
        })
}

/// All archives, from one-line and deb822 files.
fn configured() -> Vec<Archive> {
    let mut archives = one_line(&fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
    let mut files: Vec<_> = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().collect();
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files {
        let path = file.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("list") => archives.extend(one_line(&text)),
            Some("sources") => archives.extend(deb822(&text)),
            _ => {}
        }
    }
    archives
}

fn one_line(text: &str) -> Vec<Archive> {
    text.lines().filter_map(one_line_entry).collect()
}

fn one_line_entry(line: &str) -> Option<Archive> {
    let rest = line.split('#').next()?.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let uri = words.next()?.to_owned();
    let suites = vec![words.next()?.to_owned()];
    let signed_by =
        options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
    Some(Archive { uri, suites, signed_by })
}

fn deb822(text: &str) -> Vec<Archive> {
    let mut archives = Vec::new();
    for stanza in text.split("\n\n") {
        let lines = stanza.lines().filter(|line| !line.starts_with('#'));
        let fields: Vec<(String, &str)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(k, v)| (k.to_ascii_lowercase(), v.trim()))
            .collect();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let off = field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        let binary = field("types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb"));
        let (Some(uris), Some(suites)) = (field("uris"), field("suites")) else { continue };
        if off || !binary {
            continue;
        }
        // A keyring written into the file itself (several lines) is left out: apt's own keys then count.
        let signed_by = field("signed-by").filter(|value| value.starts_with('/')).map(str::to_owned);
        let suites: Vec<String> = suites.split_whitespace().map(str::to_owned).collect();
        for uri in uris.split_whitespace() {
            archives.push(Archive {
                uri: uri.to_owned(),
                suites: suites.clone(),
                signed_by: signed_by.clone(),
            });
        }
    }
    archives
}

/// A deb822 source for one more suite of an archive.
pub fn stanza(archive: &Archive, suite: &str) -> String {
    let signed_by =
        archive.signed_by.as_deref().map(|path| format!("Signed-By: {path}\n")).unwrap_or_default();
    format!(
        "# Written by snug-testbed: this machine's own suite has no Incus.\n\
         Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{signed_by}",
        archive.uri
    )
}

/// Whether a path names a file of sources of the bed.
pub fn backports_file() -> &'static Path {
    Path::new("/etc/apt/sources.list.d/snug-testbed-backports.sources")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_sources_are_understood() {
        let old = "# deb http://no\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main # why\n\
                   deb-src http://mirror/debian bookworm main\ndeb http://mirror/debian trixie main\n";
        let found = one_line(old);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].uri, "http://mirror/debian");
        assert_eq!(found[0].suites, ["bookworm"]);
        assert_eq!(found[0].signed_by.as_deref(), Some("/k.gpg"));
        let new = "Types: deb\n# comment: x\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n\
                   Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\n";
        let found = deb822(new);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].suites, ["bookworm", "bookworm-updates"]);
        assert!(
            stanza(&found[0], "x-backports").contains("URIs: http://mirror/debian\nSuites: x-backports\n")
        );
        assert_eq!(deb822(&stanza(&found[0], "x-backports"))[0].suites, ["x-backports"]);
    }
}
