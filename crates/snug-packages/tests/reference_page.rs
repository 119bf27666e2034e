//! `docs/reference/package-managers.md` says what the table says. `SNUG_UPDATE_DOCS=1 cargo test -p snug-packages` writes it.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use snug_packages::command::CommandLine;
use snug_packages::manager::{Guest, MANAGERS, Manager};
use snug_packages::name::{Capability, CommandName, GuestPath, Term};

const HEAD: &str = "# Package managers

Generated from `crates/snug-packages/src/table/`: what Snug runs in a container for a package, here `ripgrep` with its command `rg`. What
is marked with # runs as root. Each word is one argument; where `sh -c` stands, the script is constant and the words are its arguments.

## Which one

A container has the first of these whose program is there; where several are, that of its distribution (`ID`, `ID_LIKE` of os-release(5)).

| row | program | proven |
|---|---|---|
";

/// By row, how it was proven. Who runs it again changes this.
const PROVEN: [(&str, &str); 6] = [
    ("apt", "run by `make test-real`: apt 2.6.1, dpkg 1.21.22 (Debian 12); by hand: apt 3.3.5, dpkg 1.23.11"),
    (
        "dnf5",
        "run by hand: dnf5 5.4.6, rpm 6.1.0 (Debian's unstable suite: 12 and 13 have no dnf5), feature `dnf5-tests`",
    ),
    ("dnf", "run by `make test-real`: dnf 4.14.0, rpm 4.18.0 (Debian 12); by hand: dnf 4.24.0, rpm 6.1.0"),
    ("zypper", "run by `make test-real`: zypper 1.14.42 (Debian 12); by hand: zypper 1.14.101"),
    ("pacman", "run by `make test-real`: pacman 6.0.2 (Debian 12); by hand: pacman 7.1.0"),
    (
        "apk",
        "run once by hand, outputs recorded: apk-tools 3.0.8 (Alpine 3.23); Debian has no apk. Version 2 by its documentation alone",
    ),
];

const PROOF: &str = "
*Run* means the whole life of a package, with the lines below, against a repository made by the test: refresh, search, provides, all commands, install, files,
owner, dependencies, a local file with an awkward name, a version, upgrades, removal, and packages that do not exist
(`crates/snug-packages/tests/real_managers`). The readers are also tested on recorded outputs and on hostile ones. What was not run:
real distributions' repositories and their signatures, and questions about keys; of dnf5 and apk, the lists of all commands (made after their documentation).

## What they differ in

| | |
|---|---|
| installing removes nothing | apt by `--no-remove`; the others refuse by themselves |
| removal | takes along what only these packages needed. apt would also take along what nobody had needed before: so two simulations come first, and the difference is removed by name. apt, dnf and zypper also remove what needs the package, pacman refuses, apk keeps it and says 0: the preview tells |
| configuration | what somebody changed stays: with apt in place, with dnf and zypper as `.rpmsave`, with pacman as `.pacsave` |
| metadata | dnf renews its own when they are old; the others are told to. pacman's are renewed only with an upgrade of everything, since packages of new metadata may not fit old ones |
| versions | `NAME=VERSION`; pacman has but one of each. apk holds a package at the version that was asked for |
| upgrade | nothing is removed by it with apt; openSUSE without releases by `dist-upgrade`; one package alone not with pacman |
| command to package | apt has it in `Commands` files (Ubuntu) or `Contents` files (Debian: 46 MB to fetch for 12, 77 MB of the guest's disk, 0.8 s to look through), pacman in its lists of files; these are fetched for that alone, and so are dnf5's. `apt-file`, which reads the same files, is not needed |
| all commands | what `snug` explains unknown commands by ([install a tool](../guides/install-a-tool.md#a-command-that-is-not-there)): read at once, in the guest reduced to the lines that matter (Debian 12: 46,600 commands of 14,500 packages, 2 s, 6 MB to the host). With names that only an alternative or people's habit gives (`java`, `vim`, `fd`) |
| what was asked for | each keeps what came for another's sake, in its own way; what an image brought counts as asked for. apk does not keep when a package was installed |
| local files | their signatures are not looked at, pacman's as `LocalFileSigLevel` says. A file is installed by itself, never together with names |

## Names

No word can become an option, a pattern, an address or another request: names, versions, files and terms are held against a rule of each manager
before they are in a line. `--` alone would not do: `apt-get install -- x-` and `zypper install -- -x` remove x.

## Commands of a package

Files directly in `/usr/bin`, `/bin`, `/usr/sbin`, `/sbin`, `/usr/local/bin` and `/usr/games` that can be run. Links into `/etc/alternatives` belong
to no package (Debian) or to its list without being in it (Fedora, ghosts): they are left out, unless they only give a package's own program the name that
people know: `java`, `vim` for `vim.basic`, `convert` for `convert-im6.q16`; not `vi`, `editor`, `pager`. Commands that a distribution had to
rename have their known name: `fdfind` is `fd`, `batcat` is `bat`.
";

fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\n', "\\n").replace('\'', "'\\''"))
    }
}

fn line(task: &str, line: &CommandLine) -> String {
    let words: Vec<&str> = line.argv.iter().map(|word| word.to_str().unwrap()).collect();
    let prompt = if line.as_root { '#' } else { '$' };
    // Scripts as they are: their lines are read, not typed.
    if let ["/bin/sh", flag, script, rest @ ..] = &words[..]
        && (script.contains('\n') || script.len() > 200)
    {
        let rest: String = rest.iter().map(|rest| format!(" {}", word(rest))).collect();
        return format!("{task}:\n{prompt} /bin/sh {flag} '\n{}'{rest}\n", script.replace(" -o ", "\n  -o "));
    }
    let words: Vec<String> = words.into_iter().map(word).collect();
    format!("{task}:\n{prompt} {}\n", words.join(" "))
}

fn lines(manager: &'static Manager) -> String {
    let names = [manager.package("ripgrep").unwrap()];
    let request = [manager.request("ripgrep").unwrap()];
    let ending = ["/tmp/rg.deb", "/tmp/rg.rpm", "/tmp/rg.pkg.tar.zst", "/tmp/rg.apk"];
    let file = ending.iter().find_map(|path| manager.file(path.as_ref()).ok()).unwrap();
    let guest = Guest { manager, rolling: false };
    let mut all = String::new();
    let mut add = |task: &str, command: &CommandLine| all += &line(task, command);
    if let Some(refresh) = manager.refresh() {
        add("refresh", &refresh.command);
    }
    add("age of the metadata", &manager.refreshed().command);
    add("install", &manager.install(&request, false)[0].command);
    if manager.refresh().is_none() {
        add("install with fresh metadata", &manager.install(&request, true)[0].command);
    }
    if let Ok(version) = manager.request("ripgrep=14.1-1") {
        add("install a version", &manager.install(&[version], false)[0].command);
    }
    add("install a file", &manager.install_files(std::slice::from_ref(&file)).command);
    add("name and version of a file", &manager.identify(&file).command);
    if let Some(orphans) = manager.orphans() {
        add("what nobody needs already", &orphans.command);
    }
    add("what a removal would remove", &manager.preview_removal(&names).command);
    add("remove", &manager.remove(&names, &[], &[]).command);
    add("what has a newer version", &guest.upgrades().command);
    let of_rolling = Guest { manager, rolling: true }.upgrades().command;
    if of_rolling != guest.upgrades().command {
        add("the same, of a distribution without releases", &of_rolling);
    }
    add("upgrade all", &guest.upgrade(&[]).unwrap().command);
    let rolling = Guest { manager, rolling: true }.upgrade(&[]).unwrap();
    if rolling != guest.upgrade(&[]).unwrap() {
        add("upgrade all, of a distribution without releases", &rolling.command);
    }
    if let Ok(upgrade) = guest.upgrade(&names) {
        add("upgrade", &upgrade.command);
    }
    add("search", &manager.search(&Term::new("ripgrep").unwrap()).command);
    add("is it there", &manager.available(&names).command);
    add("is another word taken", &manager.meaning(&names[0]).command);
    if let Some(refresh) = manager.refresh_index() {
        add("fetch what commands are looked up in", &refresh.command);
        add("age of that", &manager.index_refreshed().unwrap().command);
    }
    add("all commands of all packages", &manager.commands().command);
    add("which package has a command", &manager.provides(&CommandName::new("rg").unwrap()).command);
    add("files", &manager.files(&names[0]).command);
    add("owner of a path", &manager.owner(&GuestPath::new("/usr/bin/rg".as_ref()).unwrap()).command);
    add("what it needs", &manager.dependencies(&names[0]).command);
    add("who provides that", &manager.providers(&[Capability::read(b"libc6").unwrap()]).unwrap().command);
    if manager.provided(&names[0]).command.argv
        != manager.providers(&[Capability::read(b"ripgrep").unwrap()]).unwrap().command.argv
    {
        add("what is installed that provides a word", &manager.provided(&names[0]).command);
    }
    add("installed version", &manager.installed(&names).command);
    add("what was asked for, and when it came", &manager.asked_for().command);
    all
}

#[test]
fn the_page_is_the_table() {
    let mut page = HEAD.to_owned();
    for manager in MANAGERS {
        let proven = PROVEN.iter().find(|(name, _)| *name == manager.name).unwrap().1;
        let programs: Vec<String> = manager.programs.iter().map(|program| format!("`{program}`")).collect();
        writeln!(page, "| {} | {} | {proven} |", manager.name, programs.join(", ")).unwrap();
    }
    page += PROOF;
    for manager in MANAGERS {
        let command = manager.installed(&[manager.package("ripgrep").unwrap()]).command;
        let environment: Vec<String> =
            command.environment.iter().map(|(k, v)| format!("`{k}={v}`")).collect();
        write!(
            page,
            "\n## {}\n\nWith {}.\n\n```\n{}```\n",
            manager.name,
            environment.join(" "),
            lines(manager)
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/package-managers.md");
    if std::env::var_os("SNUG_UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        page,
        "SNUG_UPDATE_DOCS=1 cargo test -p snug-packages writes it"
    );
}
