//! Outputs of programs that were given a format: fields with tabs between them (`dpkg-query`, `rpm`), or with spaces (dnf, whose versions
//! differ in what they make of a tab). Lines about what there is not (`package x is not installed`, on standard output) are no such rows.

use std::path::PathBuf;

use super::{MAX_ITEMS, each_once, lines, text, version};
use crate::answer::{Found, Meaning, Package};
use crate::name::{Capability, PackageName};

/// `NAME\tVERSION`.
pub fn packages(output: &[u8]) -> Vec<Package> {
    let package = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == b'\t');
        let (name, version_field) = (fields.next()?, fields.next()?);
        Some(Package { name: PackageName::read(name)?, version: version(version_field)? })
    };
    lines(output).filter_map(package).take(MAX_ITEMS).collect()
}

/// `NAME VERSION SUMMARY`, the last of many words.
pub fn found(output: &[u8]) -> Vec<Found> {
    let one = |line: &[u8]| {
        let mut fields = line.splitn(3, |&byte| byte == b' ');
        let name = PackageName::read(fields.next()?)?;
        let version = Some(version(fields.next()?)?);
        Some(Found { name, version, summary: fields.next().and_then(text) })
    };
    each_once(lines(output).filter_map(one))
}

/// A name a line, each once.
pub fn names(output: &[u8]) -> Vec<PackageName> {
    let mut names: Vec<PackageName> = Vec::new();
    for name in lines(output).filter_map(PackageName::read) {
        // Owners and providers are few; who writes more has no answer.
        if names.len() < 1000 && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A name a line: what would be installed for a word.
pub fn meaning(output: &[u8]) -> Meaning {
    Meaning { is_taken: lines(output).any(|line| PackageName::read(line).is_some()), choices: Vec::new() }
}

/// Something that packages provide a line, each once. Those of rpm's own (`rpmlib(…)`) no package provides.
pub fn capabilities(output: &[u8]) -> Vec<Capability> {
    let mut all: Vec<Capability> = Vec::new();
    for capability in lines(output).filter_map(|line| Capability::read(line.trim_ascii())) {
        if all.len() < MAX_CAPABILITIES
            && !capability.as_str().starts_with("rpmlib(")
            && !all.contains(&capability)
        {
            all.push(capability);
        }
    }
    all
}

/// They become words of a command line.
pub(super) const MAX_CAPABILITIES: usize = 1000;

/// A path a line.
pub fn paths(output: &[u8]) -> Vec<PathBuf> {
    lines(output).filter_map(super::path).take(MAX_ITEMS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn what_is_no_row_is_left_out() {
        for output in hostile() {
            packages(&output);
            for found in found(&output) {
                assert!(!found.name.as_str().starts_with('-'));
            }
            names(&output);
            assert!(capabilities(&output).len() <= MAX_CAPABILITIES);
            assert!(meaning(&output).choices.is_empty());
            for path in paths(&output) {
                assert!(path.is_absolute());
            }
        }
        assert!(packages(b"package nothere is not installed\n").is_empty());
        assert!(
            names(b"file /bin/ls is not owned by any package\nno package provides rpmlib(X)\n").is_empty()
        );
    }

    #[test]
    fn rows_of_the_real_programs() {
        // rpm 4.18.0: rpm -q --qf '%{NAME}\t%{EVR}\n' -- snugtool nothere
        let read = packages(b"snugtool\t1.0-1\npackage nothere is not installed\n");
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].name.as_str(), &*read[0].version), ("snugtool", "1.0-1"));
        // dnf 4.14.0, which ends each row with a newline of its own, and dnf5 5.4.6.
        for output in
            [&b"\nsnugtool 1.0-1 summary of snugtool\n\n"[..], b"snugtool 1.0-1 summary of snugtool\n"]
        {
            let read = found(output);
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].version.as_deref(), Some("1.0-1"));
            assert_eq!(read[0].summary.as_deref(), Some("summary of snugtool"));
        }
        // rpm 4.18.0: rpm -q --qf '[%{REQUIRENAME}\n]' -- snugtool
        let read =
            capabilities(b"rpmlib(CompressedFileNames)\nrpmlib(FileDigests)\nsnuglib\n/bin/sh\nsnuglib\n");
        assert_eq!(read.iter().map(Capability::as_str).collect::<Vec<_>>(), ["snuglib", "/bin/sh"]);
    }
}
