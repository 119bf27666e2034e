//! What is Snug's and what is the command's: a table.

use std::os::unix::ffi::OsStringExt;

use super::*;

fn run_of(line: &[&str]) -> Result<command::run::RunArgs, String> {
    let arguments: Vec<OsString> = ["snug", "run"].iter().chain(line).map(OsString::from).collect();
    let whole = Cli::try_parse_from(&arguments).map_err(|error| error.to_string());
    // The short way has to agree with the whole tree, always.
    match (parse_run(&arguments), whole) {
        (Some(short), Ok(Cli { command: Some(Command::Run(whole)), .. })) => {
            assert_eq!(format!("{:?}", short.args), format!("{whole:?}"), "{line:?}");
            Ok(whole)
        }
        (None, Err(error)) => Err(error),
        (short, whole) => panic!("{line:?}: {short:?} but {whole:?}"),
    }
}

#[test]
fn the_tree_of_commands_is_consistent() {
    Cli::command().debug_assert();
    RunOnly::command().debug_assert();
}

#[test]
fn options_before_the_command_are_snugs_and_everything_after_it_is_its_own() {
    for (line, command) in [
        (&["true"][..], &["true"][..]),
        (&["ls", "-l"], &["ls", "-l"]),
        (&["--", "ls", "-l"], &["ls", "-l"]),
        (&["ls", "--", "-l"], &["ls", "--", "-l"]),
        (&["--", "ls", "--", "-l"], &["ls", "--", "-l"]),
        (&["--", "-odd-name"], &["-odd-name"]),
        (&["-c", "dev", "make", "-c", "x", "--rm", "-t"], &["make", "-c", "x", "--rm", "-t"]),
        (&["-cdev", "make"], &["make"]),
        (&["--container=dev", "make", "--container=other"], &["make", "--container=other"]),
        (&["-it", "bash"], &["bash"]),
        (&["-i", "-t", "bash", "-i"], &["bash", "-i"]),
        (&["-ti", "bash", "-q"], &["bash", "-q"]),
        (&["-e", "A=1", "-e", "B", "env", "-i"], &["env", "-i"]),
        (&["-w", "/tmp", "-u", "root", "--early", "--login", "id", "-u"], &["id", "-u"]),
        (&["-q", "cat", "-v", "--help", "--version"], &["cat", "-v", "--help", "--version"]),
        (&["--rm", "--image", "debian", "--preset", "isolated", "id"], &["id"]),
        (&["-i", "--rm", "--", "id"], &["id"]),
        (&["sh", "-c", "a b  c", "", "$x", "*", "\n"], &["sh", "-c", "a b  c", "", "$x", "*", "\n"]),
        (&[""], &[""]),
        (&["-c", "", "x"], &["x"]),
        (&["-c", "dev", "--", "-x"], &["-x"]),
        (&["-", "x"], &["-", "x"]),
    ] {
        let parsed = run_of(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(parsed.command(), command, "{line:?}");
    }
}

#[test]
fn what_is_no_option_of_snugs_is_refused_before_the_command() {
    for line in [
        &[][..],
        &["--"],
        &["-x", "true"],
        &["--unknown", "true"],
        &["--image", "debian", "true"],
        &["--preset", "isolated", "true"],
        &["--rm", "-c", "dev", "true"],
        &["--root", "-u", "me", "true"],
        &["-c"],
        &["-c", "dev"],
        &["-c", "dev", "--"],
        &["-c", "--", "true"],
        &["-c", "-x", "true"],
        &["-q", "-v", "true"],
    ] {
        assert!(run_of(line).is_err(), "{line:?}");
    }
}

#[test]
fn the_last_of_terminal_and_no_terminal_wins() {
    for (line, how) in [
        (&["x"][..], (false, false)),
        (&["-t", "x"], (true, false)),
        (&["-T", "x"], (false, true)),
        (&["-t", "-T", "x"], (false, true)),
        (&["-T", "-t", "x"], (true, false)),
        (&["-it", "x"], (true, false)),
    ] {
        assert_eq!(run_of(line).unwrap().terminal(), how, "{line:?}");
    }
}

#[test]
fn arguments_are_bytes() {
    let odd = OsString::from_vec(b"\xff\xfe=\x80".to_vec());
    let arguments = vec!["snug".into(), "run".into(), "-e".into(), odd.clone(), "x".into(), odd.clone()];
    let run = parse_run(&arguments).unwrap();
    assert_eq!(run.args.command(), ["x".into(), odd]);
}

#[test]
fn enter_takes_its_command_after_two_dashes_only() {
    let enter = |line: &[&str]| Cli::try_parse_from(["snug", "enter"].iter().chain(line)).map(drop);
    for line in [
        &[][..],
        &["dev"],
        &["--root", "dev"],
        &["dev", "--", "ls", "-l"],
        &["--", "ls"],
        &["dev", "-w", "/"],
    ] {
        assert!(enter(line).is_ok(), "{line:?}");
    }
    for line in [&["dev", "ls"][..], &["--cwd", "/tmp", "dev"]] {
        assert!(enter(line).is_err(), "{line:?}");
    }
}

#[test]
fn the_same_letter_means_the_same_everywhere() {
    let meanings = [
        ('y', "yes"),
        ('a', "all"),
        ('f', ""),
        ('c', "container"),
        ('e', "env"),
        ('u', "user"),
        ('w', "workdir"),
        ('t', "tty"),
        ('T', "no-tty"),
        ('r', "recursive"),
        ('q', "quiet"),
        ('v', "verbose"),
        ('h', "help"),
        ('V', "version"),
    ];
    fn all(command: &clap::Command, seen: &mut Vec<(String, char, String)>) {
        for argument in command.get_arguments() {
            if let (Some(short), Some(long)) = (argument.get_short(), argument.get_long()) {
                seen.push((command.get_name().to_owned(), short, long.to_owned()));
            }
        }
        command.get_subcommands().for_each(|command| all(command, seen));
    }
    let mut seen = Vec::new();
    all(&Cli::command(), &mut seen);
    for (command, short, long) in seen {
        match short {
            // Two words, each with one meaning: `rm -f`, `logs -f`; `create -i`, and what fingers type to run and enter.
            'f' => assert!(["force", "follow"].contains(&long.as_str()), "{command} -f"),
            'i' => assert!(["image", "interactive"].contains(&long.as_str()), "{command} -i"),
            _ => {
                let meaning = meanings.iter().find(|(letter, _)| *letter == short);
                assert_eq!(meaning.map(|(_, long)| *long), Some(long.as_str()), "{command} -{short}");
            }
        }
    }
}

#[test]
fn every_changing_verb_has_a_dry_run() {
    let command = Cli::command();
    let has = |path: &[&str]| {
        let found = path.iter().fold(&command, |command, name| command.find_subcommand(name).unwrap());
        found.get_arguments().any(|argument| argument.get_long() == Some("dry-run"))
    };
    for verb in ["create", "start", "stop", "restart", "rm", "prune", "cp", "set", "unset", "undo"] {
        assert!(has(&[verb]), "{verb}");
    }
    for verb in ["pull", "import", "rm"] {
        assert!(has(&["image", verb]), "image {verb}");
    }
}

/// The words of each call of `snug` in the lines of a page that are to be typed: as a shell takes them, as far as pages go.
fn calls_of(page: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let (mut words, mut word, mut quote) = (vec![Vec::<String>::new()], String::new(), None);
        for letter in line.split(" # ").next().unwrap_or_default().trim().chars().chain([' ']) {
            match (quote, letter) {
                (Some(open), letter) if open == letter => quote = None,
                (None, '\'' | '"') => quote = Some(letter),
                (Some(_), letter) => word.push(letter),
                (None, ' ' | ';' | '|' | '&' | '>' | '(' | ')') => {
                    let all = words.last_mut().unwrap();
                    if !word.is_empty() {
                        all.push(std::mem::take(&mut word));
                    }
                    if letter != ' ' {
                        words.push(Vec::new());
                    }
                }
                (None, letter) => word.push(letter),
            }
        }
        calls.extend(words.into_iter().filter(|call| call.first().is_some_and(|first| first == "snug")));
    }
    calls
}

#[test]
fn what_pages_tell_people_to_type_can_be_typed() {
    let pages = [
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/guides/getting-started.md"),
        include_str!("../../../../docs/guides/install-a-tool.md"),
        include_str!("../../../../docs/concepts/integration.md"),
        include_str!("../../../../docs/concepts/security.md"),
    ];
    let calls: Vec<_> = pages.iter().flat_map(|page| calls_of(page)).collect();
    assert!(calls.len() > 90, "{} calls were found", calls.len());
    for call in &calls {
        if let Err(error) = Cli::try_parse_from(call) {
            panic!("{}: {error}", call.join(" "));
        }
    }
    let refused = calls_of("$ true; snug instal 'a b' >x # why\nsnug x\n");
    assert_eq!(refused, [["snug", "instal", "a b"]]);
    assert!(Cli::try_parse_from(&refused[0]).is_err());
}

/// What issue 4 asks to be tried as a new user would, in its order.
#[test]
fn the_guide_shows_all_of_a_tools_life_in_order() {
    let page = include_str!("../../../../docs/guides/install-a-tool.md");
    let typed: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    let mut lines = typed.iter();
    for wanted in [
        "snug install ripgrep",
        "export PATH=",
        "rg --version",
        "man rg",
        "rg --<TAB>",
        "snug install htop fd-find default-jdk",
        "fd ",
        "snug install gnome-calculator",
        "gtk-launch",
        "snug install ./",
        "snug upgrade --check",
        "snug upgrade ",
        "snug undo",
        "snug dump >",
        "snug rm -f tools",
        "snug apply",
        "snug shell-hook",
        "snug uninstall ripgrep",
    ] {
        assert!(lines.any(|line| line.contains(wanted)), "{wanted} is missing, or not in its place");
    }
}
