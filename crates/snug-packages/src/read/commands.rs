//! Lists of all commands that the packages of a guest's repositories have. Debian 12 has 46,600 in 14,500 packages.

use std::collections::HashMap;

use super::{lines, version};
use crate::answer::Provided;
use crate::contents::Entry;
use crate::executables::{command_name, other_names};
use crate::name::{CommandName, PackageName};

/// More than any distribution has; who writes more is not read to the end.
const MAX_COMMANDS: usize = 400_000;

/// `COMMAND\tPACKAGE\tVERSION`.
pub fn rows(output: &[u8]) -> Vec<Provided> {
    let mut list = List::default();
    for line in lines(output) {
        let mut fields = line.split(|&byte| byte == b'\t');
        let (command, package) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if let Some(package) = PackageName::read(package) {
            list.add(command, &package, fields.next().and_then(version));
        }
    }
    list.0
}

/// Lines of `Contents` files ([`crate::contents`]), and then the fields `Package`, `Priority` and `Version` of `apt-cache dumpavail`.
pub fn debian(output: &[u8]) -> Vec<Provided> {
    let mut list = List::default();
    let mut known: HashMap<PackageName, (Option<String>, u8)> = HashMap::new();
    let mut current = None;
    for line in lines(output) {
        if let Some(name) = line.strip_prefix(b"Package: ") {
            current = PackageName::read(name);
        } else if let Some(value) = line.strip_prefix(b"Version: ") {
            if let Some(name) = &current {
                known.entry(name.clone()).or_insert((None, Provided::USUAL)).0 = version(value);
            }
        } else if let Some(value) = line.strip_prefix(b"Priority: ") {
            if let Some(name) = &current {
                known.entry(name.clone()).or_insert((None, Provided::USUAL)).1 = priority(value);
            }
        } else if let Some(entry) = Entry::read(line) {
            let of_java = || {
                let mut parts = entry.path().strip_prefix("/usr/lib/jvm").ok()?.iter().skip(1);
                (parts.next()? == "bin").then(|| parts.next()?.to_str()).flatten()
            };
            let Some(command) = entry.command().or_else(of_java).map(str::to_owned) else { continue };
            for package in entry.into_packages() {
                list.add(command.as_bytes(), &package, None);
            }
        }
    }
    for provided in &mut list.0 {
        if let Some((version, priority)) = known.get(&provided.package) {
            provided.version.clone_from(version);
            provided.priority = *priority;
        }
    }
    list.0
}

/// Debian's policy, 2.5, "Priorities".
fn priority(word: &[u8]) -> u8 {
    match word {
        b"required" => 0,
        b"important" => 1,
        b"standard" => 2,
        b"extra" => Provided::USUAL + 1,
        _ => Provided::USUAL,
    }
}

/// `@NAME VERSION`, and then a path a line.
pub fn rpm(output: &[u8]) -> Vec<Provided> {
    let mut list = List::default();
    let mut current = None;
    for line in lines(output) {
        if let Some(package) = line.strip_prefix(b"@") {
            let mut words = package.splitn(2, |&byte| byte == b' ');
            let name = words.next().and_then(PackageName::read);
            current = name.map(|name| (name, words.next().and_then(version)));
        } else if let Some((package, version)) = &current {
            list.add_path(line, package, version.as_deref());
        }
    }
    list.0
}

/// Pieces of rpm's `primary.xml`: `<name>NAME`, `<version epoch="0" ver="1" rel="2"/`, `<file>/PATH`.
pub fn primary(output: &[u8]) -> Vec<Provided> {
    let mut list = List::default();
    let (mut package, mut newest) = (None, None);
    for line in lines(output) {
        if let Some(name) = line.strip_prefix(b"<name>") {
            (package, newest) = (PackageName::read(name), None);
        } else if line.starts_with(b"<version ") {
            newest = evr(line);
        } else if let (Some(path), Some(package)) = (line.strip_prefix(b"<file>"), &package) {
            list.add_path(path, package, newest.as_deref());
        }
    }
    list.0
}

/// `EPOCH:VERSION-RELEASE`, as rpm(8) writes it: without an epoch of 0.
fn evr(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let epoch = field("epoch").filter(|epoch| *epoch != "0").map(|epoch| format!("{epoch}:"));
    version(format!("{}{}-{}", epoch.unwrap_or_default(), field("ver")?, field("rel")?).as_bytes())
}

/// `pacman -F --machinereadable`: `REPOSITORY\0NAME\0VERSION\0PATH`.
pub fn pacman(output: &[u8]) -> Vec<Provided> {
    let mut list = List::default();
    for line in lines(output) {
        let fields: Vec<&[u8]> = line.splitn(4, |&byte| byte == 0).collect();
        if let [_, name, number, path] = fields[..]
            && let Some(package) = PackageName::read(name)
        {
            list.add_path(&[b"/", path].concat(), &package, version(number).as_deref());
        }
    }
    list.0
}

#[derive(Default)]
struct List(Vec<Provided>);

impl List {
    /// A command, and by which other names it will be typed.
    fn add(&mut self, command: &[u8], package: &PackageName, version: Option<String>) {
        let Ok(command) = std::str::from_utf8(command) else { return };
        for name in std::iter::once(command).chain(other_names(package.as_str(), command)) {
            if self.0.len() < MAX_COMMANDS
                && let Ok(command) = CommandName::new(name)
            {
                let (package, version) = (package.clone(), version.clone());
                self.0.push(Provided { command, package, version, priority: Provided::USUAL });
            }
        }
    }

    /// The command at a path, if that is one's.
    fn add_path(&mut self, path: &[u8], package: &PackageName, version: Option<&str>) {
        let Some(path) = super::path(path) else { return };
        if let Some(command) = command_name(&path) {
            self.add(command.as_bytes(), package, version.map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    fn shown(all: &[Provided]) -> Vec<String> {
        let version = |one: &Provided| one.version.clone().unwrap_or_default();
        all.iter().map(|one| format!("{} {} {}", one.command.as_str(), one.package, version(one))).collect()
    }

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            for read in [rows, debian, rpm, primary, pacman] {
                for one in read(&output) {
                    assert!(CommandName::new(one.command.as_str()).is_ok());
                }
            }
        }
        let many: Vec<u8> =
            (0..MAX_COMMANDS + 10).flat_map(|i| format!("c{i}\tp\t1\n").into_bytes()).collect();
        assert_eq!(rows(&many).len(), MAX_COMMANDS);
    }

    #[test]
    fn what_debian_has_comes_with_the_version_that_would_be_installed() {
        let output = b"usr/bin/rg                utils/ripgrep\nusr/bin/fdfind utils/fd-find\nbin/nc.traditional net/netcat-traditional\n\
            usr/lib/jvm/java-17-openjdk-amd64/bin/java java/openjdk-17-jre-headless\nusr/bin/$(x) utils/evil\nusr/bin/x;y utils/evil\n\
            usr/share/x utils/no\nusr/bin/vim.tiny editors/vim-tiny,editors/-x\nusr/bin/shared a/one,b/two\n\
            Package: ripgrep\nPriority: optional\nVersion: 13.0.0-4+b2\nPackage: vim-tiny\nPriority: important\nVersion: 2:9.0-1\n\
            Package: -x\nVersion: 9\n";
        let all = debian(output);
        assert_eq!(
            shown(&all),
            [
                "rg ripgrep 13.0.0-4+b2",
                "fdfind fd-find ",
                "fd fd-find ",
                "nc.traditional netcat-traditional ",
                "nc netcat-traditional ",
                "java openjdk-17-jre-headless ",
                "vim.tiny vim-tiny 2:9.0-1",
                "vim vim-tiny 2:9.0-1",
                "shared one ",
                "shared two ",
            ]
        );
        assert_eq!(all.iter().map(|one| one.priority).collect::<Vec<_>>(), [3, 3, 3, 3, 3, 3, 1, 1, 3, 3]);
    }

    #[test]
    fn what_the_others_have() {
        // pacman 6.0.2
        let arch = b"bed\0snugtool\x001.0-1\0usr/bin/snugtool\nbed\0snugtool\x001.0-1\0usr/lib/x\n";
        assert_eq!(shown(&pacman(arch)), ["snugtool snugtool 1.0-1"]);
        let fedora = b"@snugtool 1.0-1\n/usr/bin/snugtool\n/etc/x\n@-x 1\n/usr/bin/none\n@snugmeta 1.0-1\n@other 2:1-1\n/sbin/other\n";
        assert_eq!(shown(&rpm(fedora)), ["snugtool snugtool 1.0-1", "other other 2:1-1"]);
        let suse = b"<name>snugtool\n<version epoch=\"0\" ver=\"1.0\" rel=\"1\"/\n<file>/usr/bin/snugtool\n\
            <name>x&amp;y\n<file>/usr/bin/no\n<name>other\n<version epoch=\"1\" ver=\"2\" rel=\"3\"/\n<file>/usr/bin/other\n";
        assert_eq!(shown(&primary(suse)), ["snugtool snugtool 1.0-1", "other other 1:2-3"]);
        // apk-tools 3.0.8
        assert_eq!(shown(&rows(b"rg\tripgrep\t14.1.1-r0\nx y\tz\t1\n-x\tz\t1\n")), ["rg ripgrep 14.1.1-r0"]);
    }
}
