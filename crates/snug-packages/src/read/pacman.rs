//! pacman(8).

use super::columns::MAX_CAPABILITIES;
use super::{MAX_ITEMS, each_once, lines, text, version};
use crate::answer::{Change, ChangeKind, Found, Package};
use crate::name::{Capability, PackageName};

/// `pacman -Ss`: `REPOSITORY/NAME VERSION [installed]`, and a line with the summary that begins with spaces.
pub fn search(output: &[u8]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for line in lines(output) {
        if line.starts_with(b" ") {
            if let Some(last) = all.last_mut().filter(|last| last.summary.is_none()) {
                last.summary = text(line);
            }
        } else if all.len() < MAX_ITEMS {
            let mut words = line.split(|&byte| byte == b' ');
            let name = words
                .next()
                .and_then(|word| word.split(|&byte| byte == b'/').nth(1))
                .and_then(PackageName::read);
            let version = words.next().and_then(version);
            all.extend(name.map(|name| Found { name, version, summary: None }));
        }
    }
    each_once(all.into_iter())
}

/// `pacman -Fq`: `REPOSITORY/NAME`.
pub fn providers(output: &[u8]) -> Vec<Found> {
    search(output).into_iter().map(|found| Found { summary: None, version: None, ..found }).collect()
}

/// `pacman -Q`, `pacman -Qp`: `NAME VERSION`.
pub fn packages(output: &[u8]) -> Vec<Package> {
    let one = |line: &[u8]| {
        let mut words = line.split(|&byte| byte == b' ');
        Some(Package { name: PackageName::read(words.next()?)?, version: version(words.next()?)? })
    };
    lines(output).filter_map(one).take(MAX_ITEMS).collect()
}

/// `pacman -Rsp --print-format '%n %v'`.
pub fn removals(output: &[u8]) -> Vec<Change> {
    let packages = packages(output).into_iter();
    packages
        .map(|one| Change { kind: ChangeKind::Remove, name: one.name, from: Some(one.version), to: None })
        .collect()
}

/// `pacman -Qu`: `NAME OLD -> NEW`. One that is held back (`IgnorePkg`) has `[ignored]` behind it.
pub fn upgrades(output: &[u8]) -> Vec<Change> {
    let one = |line: &[u8]| {
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').take(5).collect();
        let [name, from, b"->", to] = words[..] else { return None };
        let (name, from, to) = (PackageName::read(name)?, version(from)?, version(to)?);
        Some(Change { kind: ChangeKind::Upgrade, name, from: Some(from), to: Some(to) })
    };
    lines(output).filter_map(one).take(MAX_ITEMS).collect()
}

/// `pacman -Qi`: the field `Depends On      : a  b>=1`, in one line where there is no terminal.
pub fn dependencies(output: &[u8]) -> Vec<Capability> {
    let fields = lines(output).filter_map(|line| line.strip_prefix(b"Depends On"));
    let values = fields.filter_map(|field| field.trim_ascii().strip_prefix(b":"));
    let words = values.flat_map(|value| value.split(|&byte| byte == b' ')).filter(|&word| word != b"None");
    let mut all: Vec<Capability> = Vec::new();
    for capability in words.filter_map(Capability::read) {
        if all.len() < MAX_CAPABILITIES && !all.contains(&capability) {
            all.push(capability);
        }
    }
    all
}

/// `pacman -Si NAME…`: the fields `Name`, `Version` and `Description` of each.
pub fn information(output: &[u8]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for line in lines(output) {
        let Some(colon) = line.windows(3).position(|part| part == b" : ") else { continue };
        let value = &line[colon + 3..];
        let has_room = all.len() < MAX_ITEMS;
        match (line[..colon].trim_ascii(), all.last_mut()) {
            (b"Name", _) if has_room => {
                all.extend(PackageName::read(value).map(|name| Found { name, version: None, summary: None }));
            }
            (b"Version", Some(last)) => last.version = version(value),
            (b"Description", Some(last)) => last.summary = text(value),
            _ => {}
        }
    }
    each_once(all.into_iter())
}

/// `pacman -Qlq`: a path a line, directories with a slash at the end.
pub fn files(output: &[u8]) -> Vec<std::path::PathBuf> {
    lines(output).filter(|line| !line.ends_with(b"/")).filter_map(super::path).take(MAX_ITEMS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            search(&output);
            providers(&output);
            removals(&output);
            upgrades(&output);
            assert!(dependencies(&output).len() <= MAX_CAPABILITIES);
            information(&output);
            files(&output);
        }
        assert!(search(b"bed/-x 1\nbed/ 1\n x\nbed\n").is_empty());
        assert!(upgrades(b"x 1 -> 2 [ignored]\n-x 1 -> 2\nx 1 2\n").is_empty());
    }

    #[test]
    fn what_pacman_finds() {
        // pacman 6.0.2
        let found = search(b"bed/snugtool 1.0-1 [installed]\n    summary of snugtool\nbed/snugother 1.0-1\n    summary of snugother\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].version.as_deref(), Some("1.0-1"));
        assert_eq!(found[1].summary.as_deref(), Some("summary of snugother"));
        assert_eq!(providers(b"bed/snugother\n")[0].name.as_str(), "snugother");
        let known = information(
            b"Repository      : bed\nName            : snugtool\nVersion         : 1.0-1\nDescription     : summary : of snugtool\nURL             : None\n",
        );
        assert_eq!(known[0].version.as_deref(), Some("1.0-1"));
        assert_eq!(known[0].summary.as_deref(), Some("summary : of snugtool"));
    }

    #[test]
    fn what_pacman_knows_of_a_package() {
        let output = b"Name            : snugtool\nProvides        : None\nDepends On      : snuglib>=1.0  sh\nOptional Deps   : None\n\
            Name            : snugmeta\nDepends On      : None\n";
        let needed = dependencies(output);
        assert_eq!(needed.iter().map(Capability::as_str).collect::<Vec<_>>(), ["snuglib>=1.0", "sh"]);
        let all = files(b"/usr/\n/usr/bin/\n/usr/bin/snugtool\n");
        assert_eq!(all, [std::path::PathBuf::from("/usr/bin/snugtool")]);
        assert_eq!(upgrades(b"snugtool 1.0-1 -> 1.1-1\n")[0].to.as_deref(), Some("1.1-1"));
        assert_eq!(removals(b"snugmeta 1.0-1\nsnugtool 1.0-1\n").len(), 2);
    }
}
