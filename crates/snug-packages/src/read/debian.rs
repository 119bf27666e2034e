//! apt-get(8), apt-cache(8), dpkg-query(1).

use std::path::PathBuf;

use super::columns::MAX_CAPABILITIES;
use super::{MAX_ITEMS, each_once, lines, path, text, version};
use crate::answer::{Change, ChangeKind, Found, Meaning, Package};
use crate::contents::Entry;
use crate::name::{Capability, PackageName};

/// `apt-get --simulate …`: `Inst NAME [OLD] (NEW SUITE [ARCH])`, `Remv NAME [OLD]`; `Conf` comes with each `Inst`.
pub fn changes(output: &[u8]) -> Vec<Change> {
    lines(output).filter_map(change).take(MAX_ITEMS).collect()
}

fn change(line: &[u8]) -> Option<Change> {
    let mut words = line.split(|&byte| byte == b' ');
    let verb = words.next()?;
    let name = PackageName::read(words.next()?)?;
    let (mut from, mut to) = (None, None);
    for word in words {
        if let Some(word) = word.strip_prefix(b"[").and_then(|word| word.strip_suffix(b"]"))
            && to.is_none()
        {
            from = version(word);
        } else if let Some(word) = word.strip_prefix(b"(")
            && to.is_none()
        {
            to = version(word);
        }
    }
    let kind = match (verb, &from) {
        (b"Inst", None) => ChangeKind::Install,
        (b"Inst", Some(_)) => ChangeKind::Upgrade,
        (b"Remv" | b"Purg", _) => ChangeKind::Remove,
        _ => return None,
    };
    Some(Change { kind, name, from, to })
}

/// How many packages are offered for a word: of `mail-transport-agent` Debian has twenty.
const MAX_CHOICES: usize = 50;

/// `apt-get --simulate install WORD`: one that goes well ends with `0 upgraded, 1 newly installed, …`; of a word that several packages
/// provide, `Package WORD is a virtual package provided by:` and a line `  NAME VERSION` for each.
pub fn meaning(output: &[u8]) -> Meaning {
    let (mut meaning, mut are_choices) = (Meaning::default(), false);
    for line in lines(output) {
        if let Some(row) = line.strip_prefix(b"  ").filter(|_| are_choices) {
            let name = row.split(|byte| b" :".contains(byte)).next().and_then(PackageName::read);
            let new =
                name.filter(|name| !meaning.choices.contains(name) && meaning.choices.len() < MAX_CHOICES);
            meaning.choices.extend(new);
            continue;
        }
        are_choices = line.ends_with(b" is a virtual package provided by:");
        meaning.is_taken |=
            line.windows(19).any(|part| part == b" newly installed, 0") && !line.starts_with(b" ");
    }
    meaning
}

/// `apt-cache search`: `NAME - SUMMARY`.
pub fn search(output: &[u8]) -> Vec<Found> {
    let one = |line: &[u8]| {
        let end = line.windows(3).position(|part| part == b" - ")?;
        Some(Found { name: PackageName::read(&line[..end])?, version: None, summary: text(&line[end + 3..]) })
    };
    each_once(lines(output).filter_map(one))
}

/// `apt-cache policy NAME…`: `NAME:` and, below it, `  Candidate: VERSION`, which is `(none)` where there is none.
pub fn policy(output: &[u8]) -> Vec<Found> {
    let mut name = None;
    let mut all = Vec::new();
    for line in lines(output) {
        if !line.starts_with(b" ") {
            name = line.strip_suffix(b":").and_then(PackageName::read);
        } else if let Some(candidate) = line.strip_prefix(b"  Candidate: ")
            && let (Some(name), Some(version)) = (name.take(), version(candidate))
            && version != "(none)"
        {
            all.push(Found { name, version: Some(version), summary: None });
        }
    }
    each_once(all.into_iter())
}

/// `STATUS\tNAME\tVERSION` of `dpkg-query --show`, status as `${db:Status-Abbrev}`: only what is installed. `rc`, say, is a package whose
/// configuration has stayed.
pub fn installed(output: &[u8]) -> Vec<Package> {
    let one = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == b'\t');
        // Installed, or waiting for triggers (dpkg(1), "Package states").
        let is_installed = matches!(fields.next()?, [_, b'i' | b'W' | b't', ..]);
        let package = Package { name: PackageName::read(fields.next()?)?, version: version(fields.next()?)? };
        is_installed.then_some(package)
    };
    lines(output).filter_map(one).take(MAX_ITEMS).collect()
}

/// `STATUS\tNAME`, and a line that says of dpkg that it was interrupted: packages that it has begun with and not finished (dpkg(1), "Package
/// states"); `None` where all is done.
pub fn unfinished(output: &[u8]) -> Option<Vec<PackageName>> {
    const BEGUN: [&[u8]; 5] =
        [b"half-installed", b"unpacked", b"half-configured", b"triggers-awaited", b"triggers-pending"];
    let (mut names, mut is_interrupted) = (Vec::new(), false);
    for line in lines(output) {
        let mut fields = line.splitn(2, |&byte| byte == b'\t');
        let status = fields.next().unwrap_or_default();
        is_interrupted |= line == b"interrupted";
        if BEGUN.contains(&status) && names.len() < MAX_ITEMS {
            names.extend(fields.next().and_then(PackageName::read));
        }
    }
    (is_interrupted || !names.is_empty()).then_some(names)
}

/// As [`installed`], the names.
pub fn installed_names(output: &[u8]) -> Vec<PackageName> {
    let mut names: Vec<PackageName> = installed(output).into_iter().map(|package| package.name).collect();
    names.dedup();
    names.truncate(1000);
    names
}

/// `dpkg-query --listfiles`: a path a line, directories too. A line about a diversion follows the path that it is about, which then is
/// not this package's.
pub fn files(output: &[u8]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in lines(output) {
        if line.starts_with(b"/") {
            files.extend(path(line));
        } else if line.starts_with(b"diverted by ") || line.starts_with(b"locally diverted to: ") {
            files.pop();
            let place = line.windows(5).position(|part| part == b"to: /");
            files.extend(place.and_then(|at| path(&line[at + 4..])));
        }
        // "package diverts others to: …": this package's file is at the path.
        if files.len() == MAX_ITEMS {
            break;
        }
    }
    files
}

/// `dpkg-query --search`: `NAME, NAME: PATH`. Lines about diversions (`diversion by X from: PATH`) have no such names.
pub fn owners(output: &[u8]) -> Vec<PackageName> {
    let mut owners: Vec<PackageName> = Vec::new();
    for line in lines(output) {
        let Some(end) = line.windows(3).position(|part| part == b": /") else { continue };
        for name in line[..end].split(|&byte| byte == b',') {
            // Of a package for several architectures `NAME:ARCH`.
            let name = name.trim_ascii().split(|&byte| byte == b':').next().and_then(PackageName::read);
            owners.extend(name.filter(|name| owners.len() < 1000 && !owners.contains(name)));
        }
    }
    owners
}

/// Fields with relations (deb-control(5)): `a, b (>= 1) | c [amd64], d:any`. Of alternatives all.
pub fn dependencies(output: &[u8]) -> Vec<Capability> {
    let mut all: Vec<Capability> = Vec::new();
    for relation in lines(output).flat_map(|line| line.split(|&byte| byte == b',' || byte == b'|')) {
        let mut words = relation.trim_ascii().split(|&byte| byte == b' ' || byte == b':' || byte == b'(');
        let capability = words.next().and_then(PackageName::read);
        let capability = capability.and_then(|name| Capability::read(name.as_str().as_bytes()));
        all.extend(capability.filter(|one| all.len() < MAX_CAPABILITIES && !all.contains(one)));
    }
    all
}

/// Rows of `Contents` files ([`crate::contents`]) that a search for a command has let through: those with a command of a package.
pub fn providers(output: &[u8]) -> Vec<Found> {
    let entries = lines(output).filter_map(Entry::read).filter(|entry| entry.command().is_some());
    each_once(entries.flat_map(Entry::into_packages).map(|name| Found { name, version: None, summary: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            changes(&output);
            assert!(meaning(&output).choices.len() <= MAX_CHOICES);
            search(&output);
            policy(&output);
            installed_names(&output);
            files(&output);
            assert!(owners(&output).len() <= 1000);
            assert!(dependencies(&output).len() <= MAX_CAPABILITIES);
            providers(&output);
        }
        assert!(changes(b"Inst -x [1]\nInst x; [1]\nRemvx y [1]\n").is_empty());
        assert!(files(b"diverted by x to: no path\nrelative/path\n/a\x1b[2J\n").is_empty());
    }

    #[test]
    fn what_a_simulation_would_change() {
        // apt 2.6.1, the last line of Debian's own.
        let output = b"NOTE: This is only a simulation!\nReading package lists...\nThe following packages will be REMOVED:\n  snuglib snugtool\n\
            0 upgraded, 0 newly installed, 2 to remove and 0 not upgraded.\nRemv snugtool [1.0]\nInst snugmeta (1.0 localhost [all])\n\
            Conf snugmeta (1.0 localhost [all])\nInst libc6 [2.36-9+deb12u13] (2.36-9+deb12u14 Debian:12.12/oldstable [amd64]) [libc-bin:amd64 ]\n";
        let change = |kind, name: &[u8], from: Option<&str>, to: Option<&str>| Change {
            kind,
            name: PackageName::read(name).unwrap(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        assert_eq!(
            changes(output),
            [
                change(ChangeKind::Remove, b"snugtool", Some("1.0"), None),
                change(ChangeKind::Install, b"snugmeta", None, Some("1.0")),
                change(ChangeKind::Upgrade, b"libc6", Some("2.36-9+deb12u13"), Some("2.36-9+deb12u14")),
            ]
        );
    }

    #[test]
    fn what_apt_makes_of_a_word() {
        // apt 2.6.1: install libc6:amd64; install awk
        let taken = meaning(
            b"NOTE: This is only a simulation!\nReading package lists...\nlibc6 is already the newest version (2.36-9+deb12u14).\n\
              0 upgraded, 0 newly installed, 0 to remove and 130 not upgraded.\n",
        );
        assert_eq!(taken, Meaning { is_taken: true, choices: Vec::new() });
        let several = meaning(
            b"Reading package lists...\nPackage awk is a virtual package provided by:\n  original-awk 1:20220912-2\n  mawk 1.3.4.20200120-3.1\n\
              \x20 mawk:i386 1.3.4.20200120-3.1\n  gawk 1:5.2.1-2\nYou should explicitly select one to install.\n\n",
        );
        assert!(!several.is_taken);
        assert_eq!(
            several.choices.iter().map(PackageName::as_str).collect::<Vec<_>>(),
            ["original-awk", "mawk", "gawk"]
        );
        assert_eq!(meaning(b"Reading package lists...\nBuilding dependency tree...\n"), Meaning::default());
    }

    #[test]
    fn what_apt_cache_finds() {
        let found = search(b"snugtool - summary of snugtool\nfd-find - Simple, fast - and user-friendly\n");
        assert_eq!(found[1].name.as_str(), "fd-find");
        assert_eq!(found[1].summary.as_deref(), Some("Simple, fast - and user-friendly"));
        // `nothere` is named by another package's dependencies.
        let known = policy(
            b"snugtool:\n  Installed: 1.0\n  Candidate: 1.1\n  Version table:\n *** 1.0 500\n        500 file:/repo/deb ./ Packages\n\
              nothere:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n",
        );
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].version.as_deref(), Some("1.1"));
    }

    #[test]
    fn only_what_is_installed_counts() {
        let packages = installed(b"ii \tsnugtool\t1.0\nrc \tsnugold\t1.0\nun \tx\t\nhi \theld\t2:1\niU \tunpacked\t1\niW \twaits\t1\n");
        assert_eq!(
            packages.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["snugtool", "held", "waits"]
        );
    }

    #[test]
    fn what_was_begun_and_not_finished_is_known_by_its_state_or_by_dpkgs_journal() {
        let names = |output: &[u8]| {
            unfinished(output).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names(b"installed\ta\nconfig-files\tb\nnot-installed\tc\n"), None);
        let states = b"installed\ta\nunpacked\tb\nhalf-configured\tc\nhalf-installed\t\x1b[2J\n";
        assert_eq!(names(states).unwrap(), ["b", "c"]);
        assert_eq!(names(b"installed\ta\ninterrupted\n").unwrap(), Vec::<String>::new());
        for output in hostile() {
            assert!(unfinished(&output).is_none_or(|names| names.len() <= MAX_ITEMS));
        }
    }

    #[test]
    fn a_diverted_file_is_where_the_package_has_it() {
        let output = b"/.\n/usr\n/usr/bin\n/usr/bin/snugother\nlocally diverted to: /usr/bin/snugother.real\n/usr/bin/a\n\
            diverted by dash to: /usr/bin/a.distrib\n/bin/sh\npackage diverts others to: /bin/sh.distrib\n";
        let all = files(output);
        let all: Vec<_> = all.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            all,
            ["/.", "/usr", "/usr/bin", "/usr/bin/snugother.real", "/usr/bin/a.distrib", "/bin/sh"]
        );
    }

    #[test]
    fn owners_of_a_path() {
        let output = b"diversion by dash from: /bin/sh\ndiversion by dash to: /bin/sh.distrib\nlibc6:amd64, dash: /bin/sh\ncoreutils: /bin/ls\n";
        assert_eq!(
            owners(output).iter().map(PackageName::as_str).collect::<Vec<_>>(),
            ["libc6", "dash", "coreutils"]
        );
    }

    #[test]
    fn alternatives_and_architectures_of_a_dependency() {
        // dpkg-query -W -f '${Pre-Depends},${Depends}\n' -- apt perl
        let output = b",adduser, gpgv | gpgv2 | gpgv1, libapt-pkg6.0 (>= 2.6.1), perl:any, foo [amd64] <!nocheck>, bar(= 1)\n";
        let names = dependencies(output);
        let names: Vec<_> = names.iter().map(Capability::as_str).collect();
        assert_eq!(names, ["adduser", "gpgv", "gpgv2", "gpgv1", "libapt-pkg6.0", "perl", "foo", "bar"]);
    }
}
