//! The real programs, with the very lines of the table: each test has a root of its own, this machine's with a layer of memory over it,
//! without a network, and a repository that it makes. Of both nothing is left when its thread ends.
//!
//! dpkg is Debian's; the other programs are packages that `snug-testbed up` installs. A program that is missing fails its test.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]
#![allow(clippy::print_stdout, reason = "a test that fails shows what was run")]

mod repository;
mod root;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use repository::{arch, commands_of_the_archive, debian, rpm};
use root::{BED, Root, all};
use snug_packages::answer::{Change, ChangeKind, Found, Meaning};
use snug_packages::command::CommandLine;
use snug_packages::error::Error;
use snug_packages::executables;
use snug_packages::manager::{Guest, Manager};
use snug_packages::name::{CommandName, GuestPath, PackageName, Term};
use snug_packages::stage::{Stage, Step};

/// A name that people's files have.
const AWKWARD: &str = "/var/tmp/my [tool] (1) 100%20 {x}";

fn names<'a>(names: impl IntoIterator<Item = &'a PackageName>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(PackageName::to_string).collect();
    names.sort();
    names
}

fn found(found: &[Found]) -> Vec<String> {
    names(found.iter().map(|one| &one.name))
}

fn of_kind(changes: &[Change], kind: ChangeKind) -> Vec<String> {
    names(changes.iter().filter(|change| change.kind == kind).map(|change| &change.name))
}

/// Whether it was within the last hour: archives may be dated by another clock's second.
fn is_recent(seconds: Option<u64>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    seconds.is_some_and(|seconds| seconds <= now + 5 && now - seconds.min(now) < 3600)
}

/// Everything that a row can be asked for.
fn whole_life(root: &Root, name: &str) {
    let guest = root.ask(&Guest::detection()).expect("a manager");
    let manager = guest.manager;
    assert_eq!(manager.name, name);
    let command = |name: &str| CommandName::new(name).unwrap();
    let ending = manager
        .file(OsStr::new("/x.pkg.tar.gz"))
        .map(|_| ".pkg.tar.gz")
        .unwrap_or(if name == "apt" { ".deb" } else { ".rpm" });

    // Metadata.
    assert_eq!(root.ask(&manager.refreshed()), None, "nothing has been fetched yet");
    let first = if let Some(refresh) = manager.refresh() {
        root.do_it(&refresh);
        manager.install(&[manager.request("snugmeta").unwrap()], false)
    } else {
        manager.install(&[manager.request("snugmeta").unwrap()], true)
    };

    // With what it needs, and progress.
    let mut stages = Vec::new();
    for action in &first {
        stages.extend(root.do_it(action));
    }
    assert!(is_recent(root.ask(&manager.refreshed())));
    let unpacked = |stage: &&Stage| {
        stage.step == Step::Unpack && stage.package.as_ref().is_some_and(|p| p.as_str() == "snugtool")
    };
    let unpacked = stages.iter().find(unpacked).unwrap_or_else(|| panic!("{stages:?}"));
    assert!(unpacked.number.is_some() || unpacked.percent.is_some(), "{unpacked:?}");
    let installed = root.versions(manager, &["snugmeta", "snugtool", "snuglib", "snugother", "nothere"]);
    assert_eq!(
        installed.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
        ["snuglib", "snugmeta", "snugtool"]
    );
    assert!(installed[2].1.starts_with("1.0"), "{installed:?}");

    // What somebody wanted, and what came for its sake.
    let asked = root.ask(&manager.asked_for());
    let of = |name: &str| asked.iter().find(|asked| asked.name.as_str() == name);
    assert!(of("snugmeta").is_some_and(|asked| is_recent(asked.since)), "{asked:?}");
    assert!(of("snuglib").is_none() && of("snugtool").is_none(), "{asked:?}");

    // Looking for packages.
    let search = |word: &str| root.ask(&manager.search(&Term::new(word).unwrap()));
    let tools = search("snugto");
    assert_eq!(found(&tools), ["snugtool"]);
    assert_eq!(tools[0].summary.as_deref(), Some("summary of snugtool"));
    assert!(search("nothing-is-called-this").is_empty());
    assert!(search("c++ (x) $HOME|.").is_empty());
    let known = root.ask(&manager.available(&all(manager, &["snugtool", "nothere"])));
    assert_eq!(found(&known), ["snugtool"]);
    assert!(known[0].version.as_ref().unwrap().starts_with("1.0"), "{known:?}");
    words(root, manager);
    if let Some(refresh) = manager.refresh_index() {
        assert_eq!(root.ask(&manager.index_refreshed().unwrap()), None);
        root.do_it(&refresh);
        assert!(is_recent(root.ask(&manager.index_refreshed().unwrap())));
    }
    let mut all_commands: Vec<_> = root.ask(&manager.commands());
    // A package of rpm's may own the link of its alternative, and `primary` has no games.
    all_commands.retain(|one| !["snugalternative", "snuggame"].contains(&one.command.as_str()));
    all_commands.sort();
    assert_eq!(all_commands.len(), 2, "{all_commands:?}");
    for (one, name) in all_commands.iter().zip(["snugother", "snugtool"]) {
        assert_eq!((one.command.as_str(), one.package.as_str()), (name, name));
        assert!(one.version.as_ref().is_some_and(|version| version.starts_with("1.0")), "{one:?}");
    }
    assert_eq!(found(&root.ask(&manager.provides(&command("snugother")))), ["snugother"]);
    assert_eq!(found(&root.ask(&manager.provides(&command("snuggame")))), ["snugtool"]);
    assert!(root.ask(&manager.provides(&command("snugnothing"))).is_empty());
    // No pattern, no regular expression.
    assert!(root.ask(&manager.provides(&command("snug.ther"))).is_empty());

    // What there is not cannot be installed.
    for missing in ["nothere", "snug.ther"] {
        let error = root.fails(manager.install(&[manager.request(missing).unwrap()], false).last().unwrap());
        assert!(matches!(error, Error::Failed { .. }), "{error}");
    }
    assert!(root.versions(manager, &["snugother"]).is_empty());

    // What is installed.
    let tool_name = manager.package("snugtool").unwrap();
    let files = root.ask(&manager.files(&tool_name));
    let executables = executables::of_files(files.iter().map(PathBuf::as_path));
    assert_eq!(executables.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["snuggame", "snugtool"]);
    let programs = root.ask(&executables::programs(&executables));
    assert_eq!(programs, ["/usr/games/snuggame", "/usr/bin/snugtool"].map(PathBuf::from));
    assert!(root.ask(&manager.files(&manager.package("nothere").unwrap())).is_empty());
    let owner = |path: &str| names(&root.ask(&manager.owner(&GuestPath::new(path.as_ref()).unwrap())));
    assert_eq!(owner("/usr/bin/snugtool"), ["snugtool"]);
    for path in ["/usr/bin/snug*", "/usr/bin/snugtoo?", "/nothere", "/usr/bin/a b", "/usr/bin/\u{e9}"] {
        assert!(owner(path).is_empty(), "{path}");
    }
    let needed = root.ask(&manager.dependencies(&manager.package("snugmeta").unwrap()));
    assert!(
        names(&root.ask(&manager.providers(&needed).unwrap())).contains(&"snugtool".to_owned()),
        "{needed:?}"
    );

    // A file.
    let package_file = fs::read_dir(root.at(&format!("{BED}/0")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snugother"))
        .unwrap();
    let awkward = format!("{AWKWARD}{ending}");
    fs::copy(package_file, root.at(&awkward)).unwrap();
    let file = manager.file(awkward.as_ref()).unwrap();
    let inside = root.ask(&manager.identify(&file));
    assert_eq!(inside[0].name.as_str(), "snugother");
    assert!(inside[0].version.starts_with("1.0"));
    let no_package = format!("/var/tmp/no-package{ending}");
    root.write(&no_package, "/etc/passwd\n/bin/sh\n");
    let no_package = manager.identify(&manager.file(no_package.as_ref()).unwrap());
    assert!(no_package.read(&root.run(&no_package.command)).unwrap_err().to_string().contains("failed"));
    root.do_it(&manager.install_files(&[file]));
    assert_eq!(root.versions(manager, &["snugother"]).len(), 1);
    remove(root, manager, "snugother");
    assert!(root.versions(manager, &["snugother"]).is_empty());

    // A version.
    if let Ok(request) = manager.request(&format!("snugother={}", inside[0].version)) {
        root.do_it(&manager.install(&[request], false)[0]);
        assert_eq!(
            root.versions(manager, &["snugother"]),
            [("snugother".to_owned(), inside[0].version.clone())]
        );
        remove(root, manager, "snugother");
        root.fails(&manager.install(&[manager.request("snugother=9").unwrap()], false)[0]);
    }

    // New versions.
    root.offer(1);
    if let Some(refresh) = manager.refresh() {
        root.do_it(&refresh);
    }
    let upgrades = root.ask(&guest.upgrades());
    let tool_upgrade =
        upgrades.iter().find(|change| change.name == tool_name).unwrap_or_else(|| panic!("{upgrades:?}"));
    assert!(tool_upgrade.to.as_ref().unwrap().starts_with("1.1"), "{tool_upgrade:?}");
    if let Ok(named) = guest.upgrade(&all(manager, &["snuglib"])) {
        root.do_it(&named);
        assert!(root.versions(manager, &["snugtool"])[0].1.starts_with("1.0"));
    }
    root.do_it(&guest.upgrade(&[]).unwrap());
    assert!(root.versions(manager, &["snugtool"])[0].1.starts_with("1.1"));

    // And away.
    let preview = manager.preview_removal(&all(manager, &["snuglib"]));
    let preview = preview.read(&root.run(&preview.command));
    if name == "pacman" {
        assert!(preview.unwrap_err().to_string().contains("failed"));
    } else {
        assert!(of_kind(&preview.unwrap(), ChangeKind::Remove).contains(&"snugmeta".to_owned()));
    }
    let preview = remove(root, manager, "snugmeta");
    assert_eq!(of_kind(&preview, ChangeKind::Remove), ["snuglib", "snugmeta", "snugtool"]);
    assert!(root.versions(manager, &["snuglib", "snugmeta", "snugtool"]).is_empty());
    assert!(!root.at("/usr/bin/snugtool").exists());
}

/// What is no package's name and is taken all the same.
fn words(root: &Root, manager: &'static Manager) {
    let package = |word: &str| manager.package(word).unwrap();
    let meaning = |word: &str| root.ask(&manager.meaning(&package(word)));
    let with_architecture = match manager.name {
        "apt" => Some("snugtool:all"),
        "pacman" => None,
        _ => Some("snugtool.noarch"),
    };
    for word in ["snugtool", "snugvirtual"].into_iter().chain(with_architecture) {
        assert!(meaning(word).is_taken, "{word}");
    }
    for word in ["nothere", "snug.ther"] {
        assert_eq!(meaning(word), Meaning::default(), "{word}");
    }
    let provided = |word: &str| names(&root.ask(&manager.provided(&package(word))));
    assert_eq!(provided("snugvirtual"), ["snuglib"]);
    assert!(provided("nothere").is_empty());
    if let Some(word) = with_architecture {
        let installed = root.ask(&manager.installed(&[package(word)]));
        assert_eq!(names(installed.iter().map(|one| &one.name)), ["snugtool"]);
    }
    if manager.name == "apt" {
        // What several provide it leaves to whoever asks.
        let several = meaning("snugseveral");
        assert_eq!(
            (several.is_taken, names(&several.choices)),
            (false, vec!["snugbase".to_owned(), "snugother".to_owned()])
        );
    }
}

/// As somebody who is careful does it. Returns what was foretold.
fn remove(root: &Root, manager: &Manager, name: &str) -> Vec<Change> {
    let names = all(manager, &[name]);
    let orphans = manager.orphans().map(|query| root.ask(&query)).unwrap_or_default();
    let preview = root.ask(&manager.preview_removal(&names));
    root.do_it(&manager.remove(&names, &preview, &orphans));
    preview
}

#[test]
fn apt_does_all_that_its_row_says() {
    let root = debian();
    whole_life(&root, "apt");
}

#[test]
fn apt_removes_no_orphan_of_others_and_knows_diverted_files() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    for action in apt.install(&["snugother", "snugmeta"].map(|name| apt.request(name).unwrap()), true) {
        root.do_it(&action);
    }
    let line = |argv: &[&str]| CommandLine {
        argv: argv.iter().map(Into::into).collect(),
        environment: &[],
        as_root: true,
    };
    assert_eq!(root.run(&line(&["apt-mark", "auto", "snugother"])).status, 0);
    let preview = remove(&root, apt, "snugmeta");
    assert!(
        of_kind(&preview, ChangeKind::Remove).contains(&"snugother".to_owned()),
        "apt would take it along"
    );
    assert_eq!(
        root.versions(apt, &["snugother", "snuglib", "snugtool"]).len(),
        1,
        "it stays, and what snugmeta brought is gone"
    );

    let divert = [
        "dpkg-divert",
        "--local",
        "--rename",
        "--divert",
        "/usr/bin/snugother.real",
        "--add",
        "/usr/bin/snugother",
    ];
    assert_eq!(root.run(&line(&divert)).status, 0);
    let files = root.ask(&apt.files(&apt.package("snugother").unwrap()));
    assert!(
        files.contains(&"/usr/bin/snugother.real".into()) && !files.contains(&"/usr/bin/snugother".into()),
        "{files:?}"
    );
}

#[test]
fn apt_finishes_what_was_interrupted() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    root.do_it(&apt.refresh().unwrap());
    let unfinished = || root.ask(&apt.unfinished().unwrap());
    assert_eq!(unfinished(), None);
    // Killed before what it needs was there; and with dpkg's journal left.
    let script = "cd /var/tmp && apt-get download snugtool && dpkg --unpack snugtool_*.deb && : > /var/lib/dpkg/updates/0001";
    let unpack = ["/bin/sh", "-c", script].iter().map(Into::into).collect();
    assert_eq!(root.run(&CommandLine { argv: unpack, environment: &[], as_root: true }).status, 0);
    assert_eq!(names(&unfinished().unwrap()), ["snugtool"]);
    assert!(root.versions(apt, &["snugtool"]).is_empty());
    let other = apt.install(&[apt.request("snugother").unwrap()], false);
    root.fails(&other[0]);
    root.do_it(&apt.finish().unwrap());
    assert_eq!(unfinished(), None);
    assert_eq!(root.versions(apt, &["snugtool", "snuglib"]).len(), 2);
    root.do_it(&other[0]);
}

#[test]
fn an_alternatives_link_is_no_packages() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    for action in apt.install(&[apt.request("snugtool").unwrap()], true) {
        root.do_it(&action);
    }
    let install =
        ["update-alternatives", "--install", "/usr/bin/snugeditor", "snugeditor", "/usr/bin/snugtool", "1"];
    let line =
        CommandLine { argv: install.iter().map(Into::into).collect(), environment: &[], as_root: true };
    assert_eq!(root.run(&line).status, 0);
    let owner = root.ask(&apt.owner(&GuestPath::new("/usr/bin/snugeditor".as_ref()).unwrap()));
    assert!(owner.is_empty(), "dpkg does not know it: {owner:?}");
    let behind = |path: &str| root.ask(&executables::behind(&GuestPath::new(path.as_ref()).unwrap()));
    assert_eq!(behind("/usr/bin/snugeditor"), Some("/usr/bin/snugtool".into()));
    assert_eq!(behind("/no/such/file"), None);
    let link = executables::of_files([Path::new("/usr/bin/snugeditor"), Path::new("/usr/bin/snugtool")]);
    assert_eq!(root.ask(&executables::programs(&link)), [PathBuf::from("/usr/bin/snugtool")]);
    let all = root.ask(&executables::alternatives());
    assert!(all.contains(&("/etc/alternatives/snugeditor".into(), "/usr/bin/snugtool".into())));
    let files = root.ask(&apt.files(&apt.package("snugtool").unwrap()));
    assert!(executables::by_alternatives(files.iter().map(PathBuf::as_path), &all).is_empty());
}

#[test]
fn the_contents_of_debians_sources_are_read_line_by_line() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    root.do_it(&apt.refresh_index().unwrap());
    assert!(root.ask(&apt.refreshed()).is_none(), "the user's own lists are left alone");
    let listed = |root: &Root| -> Vec<(String, String)> {
        let all = root.ask(&apt.commands()).into_iter();
        all.map(|one| (one.command.as_str().to_owned(), one.package.to_string())).collect()
    };
    let of = |command: &str, package: &str| (command.to_owned(), package.to_owned());
    assert_eq!(
        listed(&root),
        [of("snugtool", "snugtool"), of("snuggame", "snugtool"), of("snugother", "snugother")]
    );
    // An archive that has `Commands`, as Ubuntu's: these alone are fetched.
    commands_of_the_archive(
        &root,
        "name: snugtool\nversion: 1.0\ncommands: snugtool,snuggame\n\nname: snugother-minimal\nvisible-pkgname: snugother\nversion: 1.0\ncommands: snugrenamed\n",
    );
    root.do_it(&apt.refresh_index().unwrap());
    assert_eq!(
        listed(&root),
        [of("snugtool", "snugtool"), of("snuggame", "snugtool"), of("snugrenamed", "snugother")]
    );
    assert!(is_recent(root.ask(&apt.index_refreshed().unwrap())));
    let renamed = apt.provides(&CommandName::new("snugrenamed").unwrap());
    assert_eq!(found(&root.ask(&renamed)), ["snugother"]);
}

#[test]
fn dnf_does_all_that_its_row_says() {
    whole_life(&rpm(&["/usr/bin/dnf-3"], "ID=fedora\n"), "dnf");
}

#[cfg(feature = "dnf5-tests")]
#[test]
fn dnf5_does_all_that_its_row_says() {
    whole_life(&rpm(&["/usr/bin/dnf5"], "ID=fedora\n"), "dnf5");
}

#[test]
fn zypper_does_all_that_its_row_says() {
    whole_life(&rpm(&["/usr/bin/zypper"], "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"), "zypper");
}

#[test]
fn zypper_upgrades_a_distribution_without_releases() {
    let root = rpm(&["/usr/bin/zypper"], "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n");
    let guest = root.ask(&Guest::detection()).unwrap();
    assert!(guest.rolling);
    for action in guest.manager.install(&[guest.manager.request("snugtool").unwrap()], true) {
        root.do_it(&action);
    }
    assert!(root.ask(&guest.upgrades()).is_empty(), "nothing is newer yet");
    root.offer(1);
    root.do_it(&guest.manager.refresh().unwrap());
    let upgrades = root.ask(&guest.upgrades());
    let upgrade = upgrades.iter().find(|change| change.name.as_str() == "snugtool").unwrap();
    assert_eq!((upgrade.from.as_deref(), upgrade.to.as_deref()), (Some("1.0-1"), Some("1.1-1")));
    root.do_it(&guest.upgrade(&[]).unwrap());
    assert!(root.versions(guest.manager, &["snugtool"])[0].1.starts_with("1.1"));
}

#[test]
fn pacman_does_all_that_its_row_says() {
    let root = arch();
    whole_life(&root, "pacman");
    // A look for new versions leaves nothing.
    let left = fs::read_dir(root.at("/var/tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("snug.")).collect::<Vec<_>>(), Vec::<String>::new());
}
