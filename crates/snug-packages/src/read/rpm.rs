//! rpm(8), dnf(8), dnf5(8).

use std::path::PathBuf;

use super::{MAX_ITEMS, each_once, lines, path, text, version};
use crate::answer::{Change, ChangeKind, Found, Meaning};
use crate::name::PackageName;

/// `FLAGS\tPATH` of `rpm -q --qf '[%{FILEFLAGS:fflags}\t%{FILENAMES}\n]'`. A ghost (`g`) is not in the package, but made on the system: so
/// packages own the links of their alternatives.
pub fn files(output: &[u8]) -> Vec<PathBuf> {
    let file = |line: &[u8]| {
        let at = line.iter().position(|&byte| byte == b'\t')?;
        (!line[..at].contains(&b'g')).then(|| path(&line[at + 1..]))?
    };
    lines(output).filter_map(file).take(MAX_ITEMS).collect()
}

/// `dnf search`: `NAME.ARCH : SUMMARY`; `dnf5 search`: ` NAME.ARCH\tSUMMARY`, in versions before 5.1 ` NAME.ARCH: SUMMARY`.
pub fn search(output: &[u8]) -> Vec<Found> {
    let one = |line: &[u8]| {
        let line = line.trim_ascii();
        let end = line.iter().position(|byte| b" \t:".contains(byte))?;
        let rest = line[end..].trim_ascii();
        let summary = rest.strip_prefix(b":").unwrap_or(rest);
        // Headings have no architecture.
        let dot = line[..end].iter().rposition(|&byte| byte == b'.')?;
        let is_row = line[end] == b'\t' || rest.starts_with(b":");
        is_row.then_some(Found {
            name: PackageName::read(&line[..dot])?,
            version: None,
            summary: text(summary),
        })
    };
    each_once(lines(output).filter_map(one))
}

/// `NAME VERSION` of `dnf repoquery --upgrades`.
pub fn upgrades(output: &[u8]) -> Vec<Change> {
    let found = super::columns::found(output).into_iter();
    found
        .map(|one| Change { kind: ChangeKind::Upgrade, name: one.name, from: None, to: one.version })
        .collect()
}

/// The table of a transaction: rows ` NAME ARCH VERSION …` below `Removing:`, `Removing unused dependencies:` and the like, the same for
/// dnf and dnf5 and as wide as its longest row where there is no terminal (measured).
pub fn transaction(output: &[u8]) -> Vec<Change> {
    let mut kind = None;
    let mut changes = Vec::new();
    for line in lines(output) {
        if line.starts_with(b"Transaction Summary") || changes.len() == MAX_ITEMS {
            break;
        }
        if line.ends_with(b":") && !line.starts_with(b" ") {
            kind = match line.split(|byte| b" :".contains(byte)).next() {
                Some(b"Removing") => Some(ChangeKind::Remove),
                Some(b"Upgrading" | b"Downgrading" | b"Reinstalling") => Some(ChangeKind::Upgrade),
                Some(b"Installing") => Some(ChangeKind::Install),
                _ => None,
            };
            continue;
        }
        let row = line.strip_prefix(b" ").filter(|row| !row.starts_with(b" "));
        let (Some(kind), Some(row)) = (kind, row) else { continue };
        let mut words = row.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let Some(name) = words.next().and_then(PackageName::read) else { continue };
        let version = words.nth(1).and_then(version);
        let (from, to) = if kind == ChangeKind::Remove { (version, None) } else { (None, version) };
        changes.push(Change { kind, name, from, to });
    }
    changes
}

/// `dnf --assumeno install WORD`: the table of what would be done, or that it is done already.
pub fn meaning(output: &[u8]) -> Meaning {
    let is_done = |line: &[u8]| line.ends_with(b"is already installed.");
    Meaning { is_taken: !transaction(output).is_empty() || lines(output).any(is_done), choices: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            files(&output);
            search(&output);
            upgrades(&output);
            transaction(&output);
            meaning(&output);
        }
        assert!(
            transaction(
                b" x noarch 1\nRemoving:\n -x noarch 1\n  y noarch 1\nTransaction Summary\n z noarch 1\n"
            )
            .is_empty()
        );
        assert!(search(b"-x.noarch : y\nx/y.noarch : z\nno architecture : z\n").is_empty());
    }

    #[test]
    fn what_rpm_only_knows_of_is_no_file_of_a_package() {
        let output = b"\t/usr/bin/snugtool\ng\t/usr/bin/nc\ncn\t/etc/x.conf\nd\t/usr/share/man/man1/x.1.gz\npackage x is not installed\n";
        let files = files(output);
        let files: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(files, ["/usr/bin/snugtool", "/etc/x.conf", "/usr/share/man/man1/x.1.gz"]);
    }

    #[test]
    fn both_dnf_find() {
        // dnf 4.14.0
        let four = b"======================== Name & Summary Matched: snugt =========================\nsnugtool.noarch : summary of snugtool\n\
            python3.12.x86_64 : Version: 3.12\n";
        // dnf5 5.4.6, and as 5.0 wrote it
        let five = b"Matched fields: name, summary\n snugtool.noarch\tsummary of snugtool\n python3.12.x86_64: Version: 3.12\n";
        for output in [&four[..], five] {
            let found = search(output);
            assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["snugtool", "python3.12"]);
            assert_eq!(found[0].summary.as_deref(), Some("summary of snugtool"));
            assert_eq!(found[1].summary.as_deref(), Some("Version: 3.12"));
        }
    }

    #[test]
    fn both_dnf_tell_what_they_would_remove() {
        // dnf 4.14.0
        let four = b"Dependencies resolved.\n================================================================================\n \
            Package             Architecture      Version            Repository       Size\n\
            ================================================================================\nRemoving:\n \
            snuglib             noarch            1.0-1              @bed             27  \nRemoving dependent packages:\n \
            snugmeta            noarch            1.0-1              @bed              0  \nRemoving unused dependencies:\n \
            snugtool            noarch            1.0-1              @bed             56  \n\nTransaction Summary\n\
            ================================================================================\nRemove  3 Packages\n";
        // dnf5 5.4.6
        let five = b"Package   Arch   Version Repository                 Size\nRemoving:\n \
            snuglib  noarch 0:1.0-1 bed                    27.0   B\nRemoving dependent packages:\n \
            snugmeta noarch 0:1.0-1 bed                     0.0   B\nRemoving unused dependencies:\n \
            snugtool noarch 0:1.0-1 bed                    56.0   B\n\nTransaction Summary:\n Removing:           3 packages\n";
        for output in [&four[..], five] {
            let names: Vec<_> = transaction(output).iter().map(|c| (c.kind, c.name.to_string())).collect();
            let removed =
                ["snuglib", "snugmeta", "snugtool"].map(|name| (ChangeKind::Remove, name.to_owned()));
            assert_eq!(names, removed);
        }
        assert_eq!(transaction(four)[0].from.as_deref(), Some("1.0-1"));
        // dnf5, where the old package stands below the new one.
        let upgrade = b"Upgrading:\n snugtool             noarch 0:1.1-1 bed  56.0   B\n   replacing snugtool noarch 0:1.0-1 bed  56.0   B\n";
        assert_eq!(transaction(upgrade).len(), 1);
    }
}
