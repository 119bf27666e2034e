use super::*;
use crate::command::Output;

fn detect(programs: &[&str], os_release: &str) -> Option<(&'static str, bool)> {
    Guest::detect(|program| programs.contains(&program), os_release)
        .map(|guest| (guest.manager.name, guest.rolling))
}

#[test]
fn a_guest_has_the_manager_of_its_programs_and_a_hint_decides_between_several() {
    let debian = "PRETTY_NAME=\"Debian\"\nID=debian\n";
    let fedora = "ID=fedora\nVERSION_ID=42\n";
    let tumbleweed = "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n";
    let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
    for (programs, os_release, found) in [
        (&["/usr/bin/apt-get"][..], debian, Some(("apt", false))),
        (&["/usr/bin/apt-get"], "", Some(("apt", false))),
        (&["/usr/bin/dnf", "/usr/bin/dnf5"], fedora, Some(("dnf5", false))),
        (&["/usr/bin/dnf", "/usr/bin/dnf5", "/usr/bin/apt-get"], fedora, Some(("dnf5", false))),
        (&["/usr/bin/dnf", "/usr/bin/apt-get"], debian, Some(("apt", false))),
        (&["/usr/bin/dnf"], rocky, Some(("dnf", false))),
        (&["/usr/bin/zypper"], tumbleweed, Some(("zypper", true))),
        (&["/usr/bin/zypper"], "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", Some(("zypper", false))),
        (&["/usr/bin/pacman"], "ID=arch\n", Some(("pacman", false))),
        (&["/sbin/apk"], "ID=alpine\n", Some(("apk", false))),
        // A hint alone is nothing.
        (&[], debian, None),
        (&["/usr/bin/pacman"], debian, Some(("pacman", false))),
    ] {
        assert_eq!(detect(programs, os_release), found, "{programs:?} {os_release}");
    }
}

#[test]
fn what_a_guest_says_of_itself_is_only_looked_up() {
    let query = Guest::detection();
    let read = |stdout: &[u8]| {
        query
            .read(&Output { stdout: stdout.to_vec(), ..Output::default() })
            .unwrap()
            .map(|guest| guest.manager.name)
    };
    assert_eq!(read(b"/usr/bin/apt-get\nID=debian\n"), Some("apt"));
    assert_eq!(read(b"/usr/bin/dnf\n/usr/bin/apt-get\nID=debian\n"), Some("apt"));
    for output in crate::read::hostile() {
        assert_eq!(read(&output), None);
    }
}

#[test]
fn nothing_asks_a_question_and_no_word_is_an_option() {
    let term = Term::new("x").unwrap();
    let command = CommandName::new("x").unwrap();
    let path = GuestPath::new("/x".as_ref()).unwrap();
    let capability = [Capability::read(b"x").unwrap()];
    for manager in MANAGERS {
        let name = manager.package("x").unwrap();
        let ending = manager.file_endings[0].replace('*', "zst");
        let file = manager.file(format!("/x{ending}").as_ref()).unwrap();
        let request = manager.request("x").unwrap();
        let names = [name.clone()];
        let mut lines = vec![
            manager.preview_removal(&names).command,
            manager.search(&term).command,
            manager.available(&names).command,
            manager.meaning(&name).command,
            manager.provided(&name).command,
            manager.provides(&command).command,
            manager.files(&name).command,
            manager.owner(&path).command,
            manager.dependencies(&name).command,
            manager.providers(&capability).unwrap().command,
            manager.installed(&names).command,
            manager.asked_for().command,
            manager.install_files(std::slice::from_ref(&file)).command,
            manager.remove(&names, &[], &[]).command,
        ];
        lines.extend(manager.install(&[request], true).into_iter().map(|action| action.command));
        lines.extend(Guest { manager, rolling: false }.upgrade(&names).map(|action| action.command));
        for line in &lines {
            let words: Vec<&str> = line.argv.iter().map(|word| word.to_str().unwrap()).collect();
            assert!(line.environment.contains(&("LC_ALL", "C.UTF-8")), "{words:?}");
            // Where a word of ours ends a line, options have ended before it; a shell's script has its words after its name.
            let last = *words.last().unwrap();
            if last == "x" && words[0] != SHELL {
                assert!(words.contains(&"--"), "{words:?}");
            }
        }
        assert!(manager.providers(&[]).is_none());
        assert!(manager.install(&[], true).is_empty());
        // tar of some guests knows no `--`: the path is a full one.
        assert!(!manager.identify(&file).command.argv.is_empty());
    }
}

#[test]
fn what_was_an_orphan_before_stays() {
    let apt = Manager::by_name("apt").unwrap();
    let change = |kind, name: &str| Change { kind, name: apt.package(name).unwrap(), from: None, to: None };
    let preview = [
        change(ChangeKind::Remove, "tool"),
        change(ChangeKind::Remove, "tool-data"),
        change(ChangeKind::Remove, "old-orphan"),
        change(ChangeKind::Install, "other"),
    ];
    let action =
        apt.remove(&[apt.package("tool").unwrap()], &preview, &[change(ChangeKind::Remove, "old-orphan")]);
    assert_eq!(action.command.argv[action.command.argv.len() - 3..], ["--", "tool", "tool-data"]);
    assert!(apt.orphans().is_some());
    assert!(Manager::by_name("dnf").unwrap().orphans().is_none());
}

#[test]
fn arch_upgrades_as_a_whole_and_tumbleweed_as_a_distribution() {
    let words = |manager: &str, rolling, names: &[&str]| {
        let manager = Manager::by_name(manager).unwrap();
        let names: Vec<PackageName> = names.iter().map(|name| manager.package(name).unwrap()).collect();
        Guest { manager, rolling }.upgrade(&names).map(|action| action.command.argv)
    };
    let refused = words("pacman", false, &["x"]).unwrap_err();
    assert_eq!(refused, Error::WholeUpgrade { manager: "pacman" });
    assert!(words("zypper", true, &[]).unwrap().contains(&"dist-upgrade".into()));
    assert!(words("zypper", false, &[]).unwrap().contains(&"update".into()));
    assert!(words("zypper", true, &["x"]).unwrap().contains(&"update".into()));
}
