//! What is told of a command that is not there: three lines at most. What a guest has said comes here as checked words alone.

use snug_core::name::ContainerName;
use snug_packages::name::CommandName;

use super::list::Entry;

/// Lines.
const MOST: usize = 3;

/// What is known of a word.
#[derive(Debug)]
pub struct Known<'a> {
    /// It.
    pub word: &'a CommandName,
    /// The container that is asked when none is named.
    pub default: &'a ContainerName,
    /// Its distribution.
    pub distribution: Option<&'a str>,
    /// Containers that have the command.
    pub here: Vec<ContainerName>,
    /// Packages that have it, the likeliest first.
    pub packages: Vec<Entry>,
    /// Commands of a package of this name.
    pub of_package: Vec<Entry>,
    /// A command of the host that was probably meant.
    pub near: Option<String>,
    /// Whether the host gets it only when it is asked for by name.
    pub is_asked_for: bool,
}

/// The lines; none where nothing is known.
pub fn lines(known: &Known<'_>) -> Vec<String> {
    let word = known.word.as_str();
    let mut lines: Vec<String> =
        known.near.iter().map(|near| format!("{word}: did you mean {near}?")).collect();
    if !known.here.is_empty() {
        lines.extend(known.here.iter().map(|container| {
            let option = if container == known.default { String::new() } else { format!("-c {container} ") };
            format!("{word}: in {container}; \"snug export {option}--bin {word}\" lets the host have it, \"snug run {option}{word}\" runs it")
        }));
    } else if let [first, others @ ..] = &known.packages[..] {
        let place = [known.distribution.map(str::to_owned), Some(named(first))];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(", ");
        lines.push(format!("{word}: not here; \"{}\" gets it ({place})", install(known, first)));
        lines.extend(
            others.iter().map(|other| format!("{word}: or \"{}\" ({})", install(known, other), named(other))),
        );
    } else if let Some(first) = known.of_package.first() {
        const SHOWN: usize = 3;
        let commands: Vec<&str> =
            known.of_package.iter().take(SHOWN).map(|entry| entry.command.as_str()).collect();
        let more = if known.of_package.len() > SHOWN { ", …" } else { "" };
        let place = [known.distribution.map(str::to_owned), Some(named(first))];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "{word}: a package, no command; \"snug install {}\" gets {}{more} ({place})",
            first.package,
            commands.join(", ")
        ));
    }
    lines.truncate(MOST);
    lines
}

fn install(known: &Known<'_>, entry: &Entry) -> String {
    let bin = if known.is_asked_for { format!("--bin {} ", known.word.as_str()) } else { String::new() };
    format!("snug install {bin}{}", entry.package)
}

fn named(entry: &Entry) -> String {
    match entry.version.as_deref().map(upstream) {
        Some(version) => format!("{} {version}", entry.package),
        None => entry.package.to_string(),
    }
}

/// Of a distribution's version what the program itself says: `14.1.1` of `1:14.1.1+dfsg-2+b4`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    let version = version.rsplit_once('-').map_or(version, |(version, _)| version);
    let end = version.find(['+', '~']).filter(|end| *end > 0).unwrap_or(version.len());
    &version[..end]
}

#[cfg(test)]
mod tests {
    use snug_packages::name::PackageName;

    use super::*;

    fn entry(command: &str, package: &str, version: &str) -> Entry {
        Entry {
            command: CommandName::new(command).unwrap(),
            package: PackageName::read(package.as_bytes()).unwrap(),
            version: (!version.is_empty()).then(|| version.to_owned()),
        }
    }

    fn told(word: &str, change: impl FnOnce(&mut Known<'_>)) -> Vec<String> {
        let (word, default) = (CommandName::new(word).unwrap(), "tools".parse().unwrap());
        let mut known = Known {
            word: &word,
            default: &default,
            distribution: Some("Debian 13"),
            here: Vec::new(),
            packages: Vec::new(),
            of_package: Vec::new(),
            near: None,
            is_asked_for: false,
        };
        change(&mut known);
        lines(&known)
    }

    #[test]
    fn a_command_that_a_package_has_is_explained_in_one_line() {
        let rg = |known: &mut Known<'_>| known.packages = vec![entry("rg", "ripgrep", "14.1.1-1+b4")];
        assert_eq!(
            told("rg", rg),
            [r#"rg: not here; "snug install ripgrep" gets it (Debian 13, ripgrep 14.1.1)"#]
        );
        let unknown = |known: &mut Known<'_>| {
            known.packages = vec![entry("rg", "ripgrep", "")];
            known.distribution = None;
        };
        assert_eq!(told("rg", unknown), [r#"rg: not here; "snug install ripgrep" gets it (ripgrep)"#]);
        // What is told secrets comes only when it is named.
        let ssh = |known: &mut Known<'_>| {
            known.packages = vec![entry("ssh", "openssh-client", "1:9.2p1-2")];
            known.is_asked_for = true;
        };
        let shown = r#"ssh: not here; "snug install --bin ssh openssh-client" gets it (Debian 13, openssh-client 9.2p1)"#;
        assert_eq!(told("ssh", ssh), [shown]);
        assert!(told("x", |_| ()).is_empty());
    }

    #[test]
    fn of_several_packages_three_lines_are_told() {
        let many = |known: &mut Known<'_>| {
            known.packages = ["a", "b", "c", "d"].map(|name| entry("x", name, "1")).to_vec();
        };
        assert_eq!(
            told("x", many),
            [
                r#"x: not here; "snug install a" gets it (Debian 13, a 1)"#,
                r#"x: or "snug install b" (b 1)"#,
                r#"x: or "snug install c" (c 1)"#,
            ]
        );
        let near = |known: &mut Known<'_>| {
            known.packages = ["a", "b", "c"].map(|name| entry("gti", name, "1")).to_vec();
            known.near = Some("git".to_owned());
        };
        let told = told("gti", near);
        assert_eq!((told[0].as_str(), told.len()), ("gti: did you mean git?", 3));
    }

    #[test]
    fn one_that_a_container_has_is_there_already() {
        let here = |known: &mut Known<'_>| {
            known.here = vec!["tools".parse().unwrap(), "dev".parse().unwrap()];
            known.packages = vec![entry("rg", "ripgrep", "1")];
        };
        assert_eq!(
            told("rg", here),
            [
                r#"rg: in tools; "snug export --bin rg" lets the host have it, "snug run rg" runs it"#,
                r#"rg: in dev; "snug export -c dev --bin rg" lets the host have it, "snug run -c dev rg" runs it"#,
            ]
        );
    }

    #[test]
    fn a_packages_name_is_told_with_its_commands() {
        let package = |known: &mut Known<'_>| {
            known.of_package = ["a", "b", "c", "d"].map(|name| entry(name, "ripgrep", "14.1-1")).to_vec();
        };
        assert_eq!(
            told("ripgrep", package),
            [
                r#"ripgrep: a package, no command; "snug install ripgrep" gets a, b, c, … (Debian 13, ripgrep 14.1)"#
            ]
        );
    }

    #[test]
    fn a_version_is_that_of_the_program() {
        for (version, shown) in [
            ("1:14.1.1+dfsg-2+b4", "14.1.1"),
            ("2024.1~rc1-1", "2024.1"),
            ("1.0-1-2", "1.0-1"),
            ("14.1.1-r0", "14.1.1"),
            ("+x", "+x"),
            ("7", "7"),
        ] {
            assert_eq!(upstream(version), shown, "{version}");
        }
    }
}
