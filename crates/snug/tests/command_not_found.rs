//! Commands that are not there, in real shells on a terminal; and the list that they are looked up in.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use support::{Ran, TestEnv};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];
/// What Debian 13 has, as the list has it.
const LIST: &str = "base64\tcoreutils\t9.7-3\ngti\tgti\t1.8-1\nnc\tnetcat-openbsd\t1.229-1\nnc\tnetcat-traditional\t1.10-50\nrg\tripgrep\t14.1.1-1+b4\nssh\topenssh-client\t1:10.0p1-7\n";
const RG: &str = r#"rg: not here; "snug install ripgrep" gets it (Debian 13, ripgrep 14.1.1)"#;

fn commands(environment: &TestEnv) -> PathBuf {
    environment.home().join(".cache/snug/commands")
}

fn write_list(environment: &TestEnv, text: &str) {
    fs::create_dir_all(commands(environment)).unwrap();
    fs::write(commands(environment).join("tools.list"), text).unwrap();
}

fn whole(lines: &str) -> String {
    format!("snug-commands 1\nmanager apt\ndistribution Debian 13\nlength {}\n\n{lines}", lines.len())
}

/// A user without a daemon, with a list, whose shells find `snug` and few other commands. Each call of it is a line of `calls`.
fn prepared() -> TestEnv {
    let environment = TestEnv::new();
    write_list(&environment, &whole(LIST));
    make_programs(&environment);
    environment
}

fn make_programs(environment: &TestEnv) {
    let programs = environment.programs();
    let log = environment.home().join("calls");
    let snug = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >>{}\nexec {} \"$@\"\n",
        log.display(),
        env!("CARGO_BIN_EXE_snug")
    );
    program(&programs.join("snug"), &snug);
    program(&programs.join("git"), "#!/bin/sh\n");
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn calls(environment: &TestEnv) -> Vec<String> {
    let text = fs::read_to_string(environment.home().join("calls")).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with("shell-hook")).map(str::to_owned).collect()
}

/// The line that has this shell take the hook over.
fn hook(shell: &str) -> String {
    let snug = env!("CARGO_BIN_EXE_snug");
    match shell {
        "fish" => format!("{snug} shell-hook fish | source"),
        _ => format!("eval \"$({snug} shell-hook {shell})\""),
    }
}

/// What is seen on a terminal when a shell does these lines, without the user's own files.
fn on_terminal(environment: &TestEnv, words: &str, lines: &str) -> String {
    let script = environment.home().join("lines");
    fs::write(&script, lines).unwrap();
    let (shell, options) = words.split_once(' ').unwrap_or((words, ""));
    let plain = match shell {
        "bash" => "--norc --noprofile",
        "zsh" => "-f",
        _ => "--no-config",
    };
    let line = format!("/usr/bin/{shell} {plain} {options} 'source {}'", script.display());
    let mut command = environment.command_of("/usr/bin/script", &["-qec", &line, "/dev/null"]);
    command.env("PATH", environment.programs()).env("SHELL", "/bin/sh");
    let output = command.output().expect("script is installed (package bsdutils)");
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

/// The status of what was typed before, as a shell shows it.
fn status(shell: &str) -> &'static str {
    if shell == "fish" { "echo status=$status" } else { "echo status=$?" }
}

#[test]
fn each_shell_explains_a_command_that_is_not_there() {
    for shell in SHELLS {
        let environment = prepared();
        let lines =
            format!("{}\nrg TODO src\n{}\nnothing-has-this\n{}\n", hook(shell), status(shell), status(shell));
        let shown = on_terminal(&environment, &format!("{shell} -ic"), &lines);
        let unknown = match shell {
            "bash" => "/usr/bin/bash: nothing-has-this: command not found",
            "zsh" => "zsh: command not found: nothing-has-this",
            _ => "fish: Unknown command: nothing-has-this",
        };
        let seen: Vec<&str> =
            shown.lines().filter(|line| !line.starts_with("/") || line.contains("not found")).collect();
        assert!(seen.contains(&RG) && seen.contains(&unknown), "{shell}: {shown}");
        assert_eq!(shown.matches("status=127").count(), 2, "{shell}: {shown}");
        assert_eq!(shown.matches("not here").count(), 1, "{shell}: {shown}");
        assert_eq!(calls(&environment), ["command-not-found -- rg", "command-not-found -- nothing-has-this"]);
    }
}

#[test]
fn scripts_and_what_is_no_terminal_see_nothing_of_it() {
    for shell in SHELLS {
        let environment = prepared();
        let script = on_terminal(
            &environment,
            &format!("{shell} -c"),
            &format!("{}\nrg\n{}\n", hook(shell), status(shell)),
        );
        assert!(script.contains("status=127") && !script.contains("not here"), "{shell}: {script}");
        // fish tells whatever it does not find on its own standard error, wherever the command's goes.
        if shell != "fish" {
            let redirected = format!("{}\nrg 2>errors\n{}\n", hook(shell), status(shell));
            let shown = on_terminal(&environment, &format!("{shell} -ic"), &redirected);
            assert!(shown.contains("status=127") && !shown.contains("not here"), "{shell}: {shown}");
            let errors = fs::read_to_string(environment.home().join("errors")).unwrap();
            assert!(errors.contains("command not found"), "{shell}: {errors}");
        }
        assert_eq!(calls(&environment), [""; 0], "{shell}: it was not even called");
    }
}

#[test]
fn the_handler_before_it_gets_what_snug_does_not_know() {
    let handler = |shell: &str| match shell {
        "bash" => "command_not_found_handle() { echo \"earlier $1\"; deeper; return 127; }",
        "zsh" => "command_not_found_handler() { echo \"earlier $1\"; deeper; return 127; }",
        _ => "function fish_command_not_found; echo earlier $argv[1]; deeper; end",
    };
    for shell in SHELLS {
        let environment = prepared();
        // Twice, as files of a shell are read again; and what the handler itself does not find ends there.
        let lines = format!("{}\n{1}\n{1}\nrg\nfoo\n{2}\nfoo\n", handler(shell), hook(shell), status(shell));
        let shown = on_terminal(&environment, &format!("{shell} -ic"), &lines);
        assert!(shown.contains(RG) && !shown.contains("earlier rg"), "{shell}: {shown}");
        assert_eq!(shown.matches("earlier foo").count(), 2, "{shell}: {shown}");
        assert!(!shown.contains("earlier deeper"), "{shell}: {shown}");
        assert!(shown.contains("status=127"), "{shell}: {shown}");
        assert_eq!(calls(&environment).len(), 3, "{shell}");
    }
}

#[test]
fn after_ctrl_c_in_the_handler_before_it_fish_explains_again() {
    let environment = prepared();
    let lines = format!(
        "function fish_command_not_found; echo earlier; /bin/kill -INT $fish_pid; while true; end; end\n{}\n",
        hook("fish")
    );
    let script = environment.home().join("lines");
    fs::write(&script, lines).unwrap();
    // Typed, since Ctrl-C would end all of a file.
    let shell = ["20", "/usr/bin/script", "-qec", "/usr/bin/fish --no-config -i", "/dev/null"];
    let mut command = environment.command_of("/usr/bin/timeout", &shell);
    command.env("PATH", environment.programs()).env("SHELL", "/bin/sh").env("TERM", "dumb");
    let mut fish = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let typed = format!("source {}\nfoo\nrg\nexit\n", script.display());
    fish.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let shown = String::from_utf8_lossy(&fish.wait_with_output().unwrap().stdout).into_owned();
    assert!(shown.contains("earlier") && shown.contains("not here; \"snug install ripgrep\""), "{shown}");
}

#[test]
fn a_word_that_a_terminal_would_obey_is_shown_as_the_shell_shows_it() {
    for (shell, expected) in [
        ("bash", ["$'a\\E[31mb': command not found", "a b: command not found", "$'\\377': command"]),
        ("zsh", ["not found: a^[[31mb", "not found: a b", "not found: \\M-^?"]),
        ("fish", ["command: a\\e\\[31mb", "command: 'a b'", "command: \\Xff"]),
    ] {
        let environment = prepared();
        let lines = match shell {
            "fish" => "a\\e\\[31mb\na\\ b\n\\XFF\n",
            _ => "$'a\\e[31mb'\na\\ b\n$'\\377'\n",
        };
        let shown = on_terminal(&environment, &format!("{shell} -ic"), &format!("{}\n{lines}", hook(shell)));
        let told: Vec<&str> = shown.lines().filter(|line| line.to_lowercase().contains("command")).collect();
        for part in expected {
            assert!(told.iter().any(|line| line.contains(part)), "{shell}: {part}: {shown:?}");
        }
        assert!(!told.iter().any(|line| line.contains('\u{1b}')), "{shell}: {shown:?}");
    }
}

#[test]
fn strict_options_of_a_shell_change_nothing() {
    for (shell, options) in [
        ("bash", "set -euo pipefail"),
        ("zsh", "setopt err_return no_unset ksh_arrays sh_word_split glob_subst"),
    ] {
        let environment = prepared();
        let lines =
            format!("{options}\n{}\nrg || echo \"first $?\"\nfoo || echo \"second $?\"\n", hook(shell));
        let shown = on_terminal(&environment, &format!("{shell} -ic"), &lines);
        assert!(shown.contains(RG) && shown.contains("first 127"), "{shell}: {shown}");
        assert!(shown.contains("second 127") && !shown.contains("unbound"), "{shell}: {shown}");
    }
}

#[test]
fn a_shell_whose_snug_is_gone_is_as_it_was() {
    for shell in SHELLS {
        let environment = prepared();
        let away = if shell == "fish" { "set -gx PATH /nowhere" } else { "PATH=/nowhere" };
        let lines = format!("{}\n{away}\nrg\n{}\nsnug\n", hook(shell), status(shell));
        let shown = on_terminal(&environment, &format!("{shell} -ic"), &lines);
        assert!(shown.contains("status=127"), "{shell}: {shown}");
        let said = shown.matches("command not found").count() + shown.matches("Unknown command").count();
        assert_eq!(said, 2, "{shell}: {shown}");
    }
}

fn explained(environment: &TestEnv, word: &str) -> String {
    on_terminal(environment, "bash -ic", &format!("snug command-not-found -- '{word}'; echo status=$?\n"))
        .replace('\u{7}', "")
        .lines()
        .filter(|line| !line.contains("bash: "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn what_is_told_fits_what_was_typed() {
    let environment = prepared();
    let both = "nc: not here; \"snug install netcat-openbsd\" gets it (Debian 13, netcat-openbsd 1.229)\n\
                nc: or \"snug install netcat-traditional\" (netcat-traditional 1.10)\nstatus=0\n";
    assert_eq!(explained(&environment, "nc"), both);
    let near = explained(&environment, "gti");
    assert!(near.starts_with("gti: did you mean git?\ngti: not here; \"snug install gti\""), "{near}");
    assert!(explained(&environment, "ssh").contains("\"snug install --bin ssh openssh-client\""));
    let package = explained(&environment, "ripgrep");
    assert!(
        package.starts_with("ripgrep: a package, no command; \"snug install ripgrep\" gets rg"),
        "{package}"
    );
    for word in ["nothing", "./rg", "/usr/bin/rg", "-rg", "", "a b", "$(id)", "rg\x1b[31m"] {
        assert_eq!(explained(&environment, word), "status=1\n", "{word:?}");
    }
    // One that cannot be used is none.
    for text in ["", "snug-commands 2\n\n", &whole(LIST)[..60], "\n\n", "x"] {
        write_list(&environment, text);
        assert_eq!(explained(&environment, "rg"), "status=1\n", "{text:?}");
    }
}

#[test]
fn an_exported_command_that_the_path_does_not_reach_is_told_so() {
    let environment = prepared();
    let data = environment.home().join(".local/share/snug");
    fs::create_dir_all(&data).unwrap();
    let index =
        r#"{"version": 2, "commands": [{"name": "rg", "container": "tools", "path": "/usr/bin/rg"}]}"#;
    fs::write(data.join("exports.json"), index).unwrap();
    // Not without its link.
    assert!(explained(&environment, "rg").starts_with(RG));
    let bin = environment.home().join(".local/bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(data.join("shim"), bin.join("rg")).unwrap();
    let told = explained(&environment, "rg");
    assert!(told.contains(".local/bin is not on your PATH: `export PATH="), "{told}");
}

#[test]
fn a_command_that_a_running_container_has_is_there_already() {
    let environment = prepared();
    // The guest is this machine: its /usr/bin is not on the PATH of the test's shells.
    environment.agent("tools", &[("/bin/sh", "/bin/sh")]);
    // Who answers late is not waited for, and this machine may be busy.
    let end = Instant::now() + Duration::from_secs(30);
    let mut told = explained(&environment, "base64");
    while told.contains("not here") && Instant::now() < end {
        told = explained(&environment, "base64");
    }
    assert_eq!(
        told,
        "base64: in tools; \"snug export --bin base64\" lets the host have it, \"snug run base64\" runs it\nstatus=0\n"
    );
    assert!(explained(&environment, "rg-that-nobody-has").ends_with("status=1\n"));
}

/// A guest's shell, which answers the questions of a list.
const GUEST: &str = r#"#!/bin/sh
case $* in
*'for f; do [ -x'*) printf '/usr/bin/apt-get\nID=debian\n' ;;
*dumpavail*) printf 'usr/bin/rg utils/ripgrep\nusr/bin/fdfind utils/fd-find\nusr/bin/e\033[31m utils/evil\nPackage: ripgrep\nVersion: 14.1.1-1\n' ;;
*'partial && break'*) date +%s ;;
*os-release*) printf 'NAME="Debian GNU/Linux"\nVERSION_ID="13"\n' ;;
*) exit 1 ;;
esac
"#;

/// A user with a daemon and a container whose package manager can be asked.
fn with_guest() -> TestEnv {
    let environment = TestEnv::with_daemon(&["tools"]);
    make_programs(&environment);
    let shell = environment.home().join("guest-shell");
    program(&shell, GUEST);
    environment.agent("tools", &[("/bin/sh", shell.to_str().unwrap())]);
    environment
}

fn list(environment: &TestEnv) -> Option<String> {
    fs::read_to_string(commands(environment).join("tools.list")).ok()
}

#[test]
fn a_list_is_made_of_what_the_package_manager_says() {
    let environment = with_guest();
    let made: Ran = environment.snug(&["command-not-found", "--refresh"]);
    assert_eq!((made.status, made.stderr.as_str()), (Some(0), ""));
    let lines = "fd\tfd-find\t\nfdfind\tfd-find\t\nrg\tripgrep\t14.1.1-1\n";
    assert_eq!(list(&environment).unwrap(), whole(lines));
    // It answers `snug provides`, and a name that is no package's; the container is not asked.
    let calls = environment.calls().len();
    let provides = environment.snug(&["provides", "--json", "fd"]);
    let json: serde_json::Value = serde_json::from_str(&provides.stdout).unwrap();
    assert_eq!(json["packages"][0]["name"], "fd-find");
    assert_eq!(environment.calls().len(), calls);
    // Gone with the container.
    assert_eq!(environment.snug(&["rm", "-f", "tools"]).status, Some(0));
    assert_eq!(list(&environment), None);
}

#[test]
fn a_list_is_made_in_the_background_where_it_is_wanted_and_due() {
    let environment = with_guest();
    let background = || environment.snug(&["-q", "command-not-found", "--refresh", "--background"]);
    // Nobody wants one.
    assert_eq!((background().status, list(&environment)), (Some(0), None));
    assert!(!commands(&environment).exists());
    // Who takes the hook over does; the first command that is not found has it made.
    assert_eq!(environment.snug(&["shell-hook", "bash"]).status, Some(0));
    assert!(commands(&environment).is_dir());
    assert!(
        explained(&environment, "rg").contains("snug is reading which commands the packages of tools have")
    );
    let end = Instant::now() + Duration::from_secs(30);
    while list(&environment).is_none() {
        assert!(Instant::now() < end, "no list was made");
        environment.snug(&["--version"]);
    }
    assert!(explained(&environment, "rg").starts_with(RG));
    // An old one is made again, but not right after an attempt.
    let file = commands(&environment).join("tools.list");
    let old = SystemTime::now() - Duration::from_secs(8 * 24 * 60 * 60);
    let touch = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    fs::write(&file, whole("a\tb\t\n")).unwrap();
    touch(&file);
    assert_eq!(background().status, Some(0));
    assert!(list(&environment).unwrap().ends_with("a\tb\t\n"));
    touch(&commands(&environment).join("tools.lock"));
    assert_eq!(background().status, Some(0));
    assert!(list(&environment).unwrap().contains("ripgrep"));
    // The daemon was asked nothing: no container is started by it.
    assert_eq!(environment.calls(), [""; 0]);
}

#[test]
fn nothing_is_started_for_a_container_that_does_not_run() {
    let environment = TestEnv::with_daemon(&["tools"]);
    make_programs(&environment);
    assert_eq!(explained(&environment, "rg"), "status=1\n");
    let background = environment.snug(&["command-not-found", "--refresh", "--background"]);
    assert_eq!((background.status, background.stderr.as_str()), (Some(0), ""));
    assert_eq!(environment.calls(), [""; 0]);
}

#[test]
fn a_guest_that_says_nothing_leaves_the_list_before_as_it_was() {
    let environment = TestEnv::with_daemon(&["tools"]);
    let shell = environment.home().join("guest-shell");
    program(&shell, &GUEST.replace("'usr/bin/rg utils/ripgrep\\nusr/bin/fdfind utils/fd-find", "'"));
    environment.agent("tools", &[("/bin/sh", shell.to_str().unwrap())]);
    write_list(&environment, &whole(LIST));
    let failed = environment.snug(&["command-not-found", "--refresh"]);
    assert_eq!(failed.status, Some(1));
    assert!(
        failed
            .stderr
            .starts_with("error: the package manager of tools knows no commands of packages\nhint: "),
        "{}",
        failed.stderr
    );
    assert_eq!(list(&environment).unwrap(), whole(LIST));
}
