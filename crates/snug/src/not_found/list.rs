//! A list of commands and their packages, as it is kept in a file.
//!
//! ```text
//! snug-commands 1
//! manager apt
//! distribution Debian 13
//! length 1530212
//!
//! rg<TAB>ripgrep<TAB>14.1.1-1+b4
//! ```
//!
//! The first line says what it is, `length` how many bytes follow the empty line: a file that is not whole is none. Lines are sorted by
//! command, bytewise; of one command the package comes first that is most likely meant. A version may be empty. So a command is found by
//! halving, in the text as it is. A guest has said what is in it: each word is held against its rule when the list is made and again when it
//! is read.

use std::cmp::Ordering;

use snug_packages::answer::Provided;
use snug_packages::manager::Manager;
use snug_packages::name::{CommandName, PackageName};

/// Bytes: ten times Debian's.
pub const LONGEST: usize = 16 << 20;
/// Packages of one command: more than any has in Debian.
const MOST_PACKAGES: usize = 200;
const HEAD: &str = "snug-commands 1";

/// A command of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is typed.
    pub command: CommandName,
    /// The package.
    pub package: PackageName,
    /// Its version, where it is known.
    pub version: Option<String>,
}

/// A list that was read.
#[derive(Debug)]
pub struct List {
    text: Vec<u8>,
    /// Where its lines begin.
    lines: usize,
    /// The package manager of the container.
    pub manager: &'static Manager,
    /// What people call the distribution.
    pub distribution: Option<String>,
}

impl List {
    /// Reads one; `None` for what is none of this version, or not whole.
    pub fn parse(text: Vec<u8>) -> Option<Self> {
        let end = text.windows(2).take(1000).position(|pair| pair == b"\n\n")?;
        let mut head = std::str::from_utf8(&text[..end]).ok()?.lines();
        if head.next() != Some(HEAD) {
            return None;
        }
        let (mut manager, mut distribution, mut length) = (None, None, None);
        for line in head {
            match line.split_once(' ')? {
                ("manager", name) => manager = Manager::by_name(name),
                ("distribution", name) if is_name(name) => distribution = Some(name.to_owned()),
                ("length", number) => length = number.parse::<usize>().ok(),
                _ => {}
            }
        }
        let lines = end + 2;
        let is_whole = length == Some(text.len() - lines);
        Some(Self { manager: manager.filter(|_| is_whole)?, distribution, lines, text })
    }

    /// The packages that have a command, the likeliest first.
    pub fn having(&self, command: &CommandName) -> Vec<Entry> {
        let lines = &self.text[self.lines..];
        let wanted = command.as_str().as_bytes();
        let (mut low, mut high) = (0, lines.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let start = lines[..middle].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let line = line_at(lines, start);
            match command_of(line).cmp(wanted) {
                Ordering::Less => low = (start + line.len() + 1).min(lines.len()),
                Ordering::Equal | Ordering::Greater => high = start,
            }
        }
        let found = lines[low..].split(|&byte| byte == b'\n').take(MOST_PACKAGES);
        found.take_while(|line| command_of(line) == wanted).filter_map(|line| self.entry(line)).collect()
    }

    /// The commands of a package of that name.
    pub fn of_package(&self, name: &str) -> Vec<Entry> {
        let Ok(package) = self.manager.package(name) else { return Vec::new() };
        let middle = format!("\t{package}\t").into_bytes();
        let lines = self.text[self.lines..].split(|&byte| byte == b'\n');
        let found = lines.filter(|line| line.windows(middle.len()).any(|part| part == middle));
        found.filter_map(|line| self.entry(line)).filter(|entry| entry.package == package).collect()
    }

    fn entry(&self, line: &[u8]) -> Option<Entry> {
        let mut fields = std::str::from_utf8(line).ok()?.split('\t');
        let command = CommandName::new(fields.next()?).ok()?;
        let package = self.manager.package(fields.next()?).ok()?;
        let version = fields.next().filter(|version| is_version(version)).map(str::to_owned);
        Some(Entry { command, package, version })
    }
}

fn line_at(lines: &[u8], start: usize) -> &[u8] {
    lines[start..].split(|&byte| byte == b'\n').next().unwrap_or_default()
}

fn command_of(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b'\t').next().unwrap_or_default()
}

/// Versions of all managers are of these (deb-version(7), rpm-version(7), Alpine's package specification).
fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+~:^_-".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(plain)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" .+_/-".contains(&byte);
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

/// The file's text, and how many commands and packages are in it. What could not be typed, or not be asked for, is left out.
pub fn written(
    manager: &Manager,
    distribution: Option<&str>,
    mut all: Vec<Provided>,
) -> (String, (usize, usize)) {
    all.retain(|one| manager.package(one.package.as_str()).is_ok());
    all.sort_by(|a, b| a.command.cmp(&b.command).then_with(|| likeliness(a).cmp(&likeliness(b))));
    all.dedup_by(|later, earlier| later.command == earlier.command && later.package == earlier.package);
    let (mut lines, mut commands, mut packages) = (String::new(), 0, std::collections::BTreeSet::new());
    for group in all.chunk_by(|a, b| a.command == b.command) {
        commands += 1;
        for one in group.iter().take(MOST_PACKAGES) {
            let version = one.version.as_deref().filter(|version| is_version(version)).unwrap_or_default();
            let line = format!("{}\t{}\t{version}\n", one.command.as_str(), one.package);
            if lines.len() + line.len() > LONGEST - 1000 {
                break;
            }
            lines.push_str(&line);
            packages.insert(&one.package);
        }
    }
    let distribution = distribution.filter(|name| is_name(name));
    let distribution = distribution.map(|name| format!("distribution {name}\n")).unwrap_or_default();
    let head = format!("{HEAD}\nmanager {}\n{distribution}length {}\n\n", manager.name, lines.len());
    (head + &lines, (commands, packages.len()))
}

/// Smaller is likelier: called as the command; called like it; what more systems are meant to have; the shorter name.
fn likeliness(one: &Provided) -> (bool, bool, u8, usize, &str) {
    let (command, package) = (one.command.as_str(), one.package.as_str());
    let is_like = package.strip_prefix(command).is_some_and(|rest| rest.starts_with(['-', '.']));
    (package != command, !is_like, one.priority, package.len(), package)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apt() -> &'static Manager {
        Manager::by_name("apt").unwrap()
    }

    fn provided(command: &str, package: &str, version: &str, priority: u8) -> Provided {
        Provided {
            command: CommandName::new(command).unwrap(),
            package: PackageName::read(package.as_bytes()).unwrap(),
            version: Some(version.to_owned()),
            priority,
        }
    }

    fn list(all: Vec<Provided>) -> List {
        List::parse(written(apt(), Some("Debian 13"), all).0.into_bytes()).unwrap()
    }

    fn packages(list: &List, command: &str) -> Vec<String> {
        let found = list.having(&CommandName::new(command).unwrap());
        found.iter().map(|entry| entry.package.to_string()).collect()
    }

    #[test]
    fn a_command_is_found_with_its_packages_the_likeliest_first() {
        let list = list(vec![
            provided("rg", "ripgrep", "14.1", 3),
            provided("nc", "netcat-openbsd", "1", 3),
            provided("nc", "nc-compat-with-a-long-name", "1", 3),
            provided("nc", "netcat-traditional", "1", 1),
            provided("nc", "busybox", "1", 3),
            provided("nc", "nc", "1", 4),
            provided("nc", "nc", "1", 4),
            provided("ncat", "ncat", "1", 3),
            provided("n", "n", "1", 3),
        ]);
        let nc = ["nc", "nc-compat-with-a-long-name", "netcat-traditional", "busybox", "netcat-openbsd"];
        assert_eq!(packages(&list, "nc"), nc);
        for command in ["n", "ncat"] {
            assert_eq!(packages(&list, command), [command]);
        }
        let rg = list.having(&CommandName::new("rg").unwrap());
        assert_eq!(rg[0].version.as_deref(), Some("14.1"));
        for none in ["a", "na", "ncc", "zz", "r", "rgg"] {
            assert!(packages(&list, none).is_empty(), "{none}");
        }
        assert_eq!(list.distribution.as_deref(), Some("Debian 13"));
        let of = |name| list.of_package(name).into_iter().map(|entry| entry.command).collect::<Vec<_>>();
        assert_eq!(of("ripgrep"), [CommandName::new("rg").unwrap()]);
        assert!(of("rip").is_empty() && of("14.1").is_empty() && of("a\tb").is_empty());
    }

    #[test]
    fn what_could_write_to_a_terminal_or_mean_something_to_a_shell_is_not_in_it() {
        let mut evil = provided("rg", "ripgrep", "1;reboot", 3);
        let (text, counted) = written(apt(), Some("Debian\x1b[31m"), vec![evil.clone()]);
        assert_eq!(
            (text.as_str(), counted),
            ("snug-commands 1\nmanager apt\nlength 12\n\nrg\tripgrep\t\n", (1, 1))
        );
        // A name that this manager could take for something else.
        evil.package = PackageName::read(b"RipGrep").unwrap();
        assert_eq!(written(apt(), None, vec![evil]).1, (0, 0));
        for line in ["rg\t$(id)\t1", "rg\tripgrep; id\t1", "rg\t-x\t1", "rg\t\t", "rg", "rg\x1b\tripgrep\t1"]
        {
            let text = format!("snug-commands 1\nmanager apt\nlength {}\n\n{line}\n", line.len() + 1);
            let list = List::parse(text.into_bytes()).unwrap();
            assert!(packages(&list, "rg").is_empty(), "{line:?}");
        }
        let text = b"snug-commands 1\nmanager apt\nlength 16\n\nrg\tripgrep\t1\x1b[m\n".to_vec();
        assert_eq!(List::parse(text).unwrap().having(&CommandName::new("rg").unwrap())[0].version, None);
    }

    #[test]
    fn what_is_not_whole_or_of_another_version_is_no_list() {
        let (text, _) = written(apt(), None, vec![provided("rg", "ripgrep", "1", 3)]);
        assert!(List::parse(text.clone().into_bytes()).is_some());
        for end in 0..text.len() {
            assert!(List::parse(text.as_bytes()[..end].to_vec()).is_none(), "{end}");
        }
        for (from, to) in [("commands 1", "commands 2"), ("apt", "none"), ("length 13", "length x")] {
            assert_ne!(text.replace(from, to), text, "{from}");
            assert!(List::parse(text.replace(from, to).into_bytes()).is_none(), "{from}");
        }
        assert!(List::parse(format!("{text}x\ty\t\n").into_bytes()).is_none());
    }

    #[test]
    fn no_more_than_a_few_packages_of_a_command_are_kept() {
        let many = (0..1000).map(|number| provided("x", &format!("x{number}"), "1", 3)).collect();
        assert_eq!(packages(&list(many), "x").len(), MOST_PACKAGES);
    }

    proptest! {
        #[test]
        fn any_file_can_be_asked(body in any::<Vec<u8>>(), lines in "[a-c\t\n]{0,60}") {
            for body in [body, lines.into_bytes()] {
                let head = format!("{HEAD}\nmanager apt\nlength {}\n\n", body.len());
                let list = List::parse([head.as_bytes(), &body].concat()).unwrap();
                for command in ["a", "b", "cc", "zz"] {
                    let command = CommandName::new(command).unwrap();
                    prop_assert!(list.having(&command).iter().all(|entry| entry.command == command));
                }
                list.of_package("ab");
            }
        }

        #[test]
        fn each_command_is_found(names in proptest::collection::btree_set("[a-z0-9+_.]{1,4}[a-z]", 1..40)) {
            let list = list(names.iter().map(|name| provided(name, "package", "1", 3)).collect());
            for name in &names {
                prop_assert_eq!(packages(&list, name), vec!["package".to_owned()]);
            }
        }
    }
}
