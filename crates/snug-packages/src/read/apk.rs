//! apk(8), versions 2 and 3.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{MAX_ITEMS, each_once, lines, path, text, version};
use crate::answer::{Asked, Change, ChangeKind, Found, Meaning, Package};
use crate::name::PackageName;

/// `NAME-VERSION-rRELEASE`: a version begins with a digit, has no `-` and a release behind it (apk-package(5)).
fn split(word: &[u8]) -> Option<(PackageName, String)> {
    let release = word.windows(2).rposition(|part| part == b"-r")?;
    let before = word[..release].iter().rposition(|&byte| byte == b'-')?;
    let full = &word[before + 1..];
    let number = &word[release + 2..];
    if !full.first()?.is_ascii_digit() || number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((PackageName::read(&word[..before])?, version(full)?))
}

/// `apk search -v`: `NAME-VERSION - SUMMARY`.
pub fn search(output: &[u8]) -> Vec<Found> {
    let one = |line: &[u8]| {
        let end = line.windows(3).position(|part| part == b" - ").unwrap_or(line.len());
        let (name, version) = split(&line[..end])?;
        Some(Found { name, version: Some(version), summary: line.get(end + 3..).and_then(text) })
    };
    each_once(lines(output).filter_map(one))
}

/// The same, for a word: whether there is any.
pub fn meaning(output: &[u8]) -> Meaning {
    Meaning { is_taken: !search(output).is_empty(), choices: Vec::new() }
}

/// `apk info -e -v`: `NAME-VERSION`.
pub fn installed(output: &[u8]) -> Vec<Package> {
    let one = |line: &[u8]| split(line).map(|(name, version)| Package { name, version });
    lines(output).filter_map(one).take(MAX_ITEMS).collect()
}

/// `apk info -L`: paths without their first slash.
pub fn files(output: &[u8]) -> Vec<PathBuf> {
    let relative = lines(output).filter(|line| !line.ends_with(b" contains:"));
    relative.filter_map(|line| path(&[b"/", line].concat())).take(MAX_ITEMS).collect()
}

/// `apk add|del|upgrade --simulate`: `(1/3) Purging NAME (VERSION)`, `(1/1) Upgrading NAME (OLD -> NEW)`.
pub fn changes(output: &[u8]) -> Vec<Change> {
    lines(output).filter_map(change).take(MAX_ITEMS).collect()
}

fn change(line: &[u8]) -> Option<Change> {
    let line = line.strip_prefix(b"(")?;
    let words: Vec<&[u8]> =
        line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).take(7).collect();
    let at = words.iter().position(|word| word.ends_with(b")"))?;
    let (verb, name) = (*words.get(at + 1)?, PackageName::read(words.get(at + 2)?)?);
    let first = words.get(at + 3)?.strip_prefix(b"(")?;
    let first = version(first.strip_suffix(b")").unwrap_or(first))?;
    let second = words.get(at + 5).and_then(|word| version(word.strip_suffix(b")")?));
    let (kind, from, to) = match verb {
        b"Installing" => (ChangeKind::Install, None, Some(first)),
        b"Purging" => (ChangeKind::Remove, Some(first), None),
        b"Upgrading" | b"Downgrading" => (ChangeKind::Upgrade, Some(first), Some(second?)),
        _ => return None,
    };
    Some(Change { kind, name, from, to })
}

/// The fields `pkgname` and `pkgver` of a package's `.PKGINFO`.
pub fn package_information(output: &[u8]) -> Vec<Package> {
    let field = |key: &[u8]| {
        let mut lines = lines(output).take(1000);
        lines.find_map(|line| {
            line.strip_prefix(key)?.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii)
        })
    };
    let name = field(b"pkgname").and_then(PackageName::read);
    let version = field(b"pkgver").and_then(version);
    name.zip(version).map(|(name, version)| Package { name, version }).into_iter().collect()
}

/// `apk info --who-owns -q`: `NAME`; without `-q` `PATH is owned by NAME-VERSION`, with more words for a link.
pub fn owners(output: &[u8]) -> Vec<PackageName> {
    let mut owners: Vec<PackageName> = Vec::new();
    for line in lines(output) {
        let last = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        let name = split(last).map(|(name, _)| name).or_else(|| PackageName::read(line));
        owners.extend(name.filter(|name| owners.len() < 1000 && !owners.contains(name)));
    }
    owners
}

/// `/etc/apk/world` (apk-world(5)): words `NAME`, perhaps with a version, a checksum or the name of a repository behind it; `!NAME` is not wanted.
pub fn world(output: &[u8]) -> Vec<Asked> {
    let words = lines(output).flat_map(|line| line.split(|&byte| byte == b' '));
    let name = |word: &[u8]| {
        let end = word.iter().position(|byte| b"=<>~@".contains(byte)).unwrap_or(word.len());
        PackageName::read(&word[..end])
    };
    let names: BTreeSet<PackageName> = words.filter_map(name).take(MAX_ITEMS).collect();
    names.into_iter().map(|name| Asked { name, since: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            search(&output);
            installed(&output);
            files(&output);
            changes(&output);
            package_information(&output);
            assert!(world(&output).iter().all(|asked| !asked.name.as_str().starts_with('-')));
            assert!(owners(&output).len() <= 1000);
        }
        for word in
            [&b"x"[..], b"x-1", b"x-r1", b"x-a-r1", b"-1-r1", b"x-1-r", b"x-1-ra", b"x y-1-r1", b"x--1-r1"]
        {
            assert!(split(word).is_none(), "{:?}", String::from_utf8_lossy(word));
        }
        assert!(changes(b"(1/1) Purging\n(1/1) Purging x 1\n(1/1) Upgrading x (1)\n(1/1) Eating x (1)\n(1/1) Purging -x (1)\n").is_empty());
    }

    #[test]
    fn what_apk_finds() {
        // apk-tools 3.0.8
        let found = search(b"snugtool-1.0-r0 - summary of snugtool\npy3-pip-25.1.1-r1 - A tool - for Python\nno-version - x\n");
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["snugtool", "py3-pip"]);
        assert_eq!(found[1].version.as_deref(), Some("25.1.1-r1"));
        assert_eq!(found[1].summary.as_deref(), Some("A tool - for Python"));
        assert!(meaning(b"snugtool-1.0-r0 - summary of snugtool\n").is_taken && !meaning(b"").is_taken);
    }

    #[test]
    fn what_apk_knows_of_a_package() {
        // apk-tools 3.0.8, apk info -L and -q -L
        for output in [
            &b"snugtool-1.1-r0 contains:\nusr/bin/snugtool\nusr/games/snuggame\n\n"[..],
            b"usr/bin/snugtool\nusr/games/snuggame\n\n",
        ] {
            assert_eq!(files(output), ["/usr/bin/snugtool", "/usr/games/snuggame"].map(PathBuf::from));
        }
        let installed = installed(b"snugtool-1.1-r0\n");
        assert_eq!((installed[0].name.as_str(), &*installed[0].version), ("snugtool", "1.1-r0"));
        for output in [&b"snugtool\n"[..], b"/usr/bin/snugtool is owned by snugtool-1.1-r0\n"] {
            assert_eq!(owners(output)[0].as_str(), "snugtool");
        }
        let file = package_information(
            b"# Generated\npkgname = snugtool\npkgver = 1.1-r0\npkgdesc = pkgname = x\narch = noarch\n",
        );
        assert_eq!((file[0].name.as_str(), &*file[0].version), ("snugtool", "1.1-r0"));
    }

    #[test]
    fn what_the_world_asks_for() {
        let output =
            b"alpine-base\nripgrep=14.1-r0\nlocal><Q1abc=\n!busybox-suid\nedge@testing fd~10\n.build-deps\n";
        let read = world(output);
        let names: Vec<&str> = read.iter().map(|asked| asked.name.as_str()).collect();
        assert_eq!(names, ["alpine-base", "edge", "fd", "local", "ripgrep"]);
    }

    #[test]
    fn what_apk_would_change() {
        let all = changes(
            b"( 1/10) Purging snugmeta (1.0-r0)\n(2/10) Upgrading snugtool (1.0-r0 -> 1.1-r0)\n(10/10) Installing snuglib (1.0-r0)\n\
              Executing busybox-1.37.0-r30.trigger\nOK: 67.8 MiB in 60 packages\n",
        );
        assert_eq!(
            all.iter().map(|c| c.kind).collect::<Vec<_>>(),
            [ChangeKind::Remove, ChangeKind::Upgrade, ChangeKind::Install]
        );
        assert_eq!((all[1].from.as_deref(), all[1].to.as_deref()), (Some("1.0-r0"), Some("1.1-r0")));
    }
}
