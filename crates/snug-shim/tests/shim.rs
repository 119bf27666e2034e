//! The program as its links are called, with an agent that plays a guest and a `snug` that says how it was called.
#![allow(missing_docs, clippy::unwrap_used, reason = "only tests see it")]

#[path = "../../snug/tests/support/agent.rs"]
mod agent;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use agent::Agent;
use snug_exports::{Application, Exports, Links};

/// A home with exported commands, and an installation.
struct Home {
    root: tempfile::TempDir,
}

impl Home {
    /// `tool` and `env` of the container `dev`, which does not run.
    fn new() -> Self {
        let home = Self { root: tempfile::tempdir().unwrap() };
        let shim = home.at("root/usr/libexec/snug/snug-shim");
        fs::create_dir_all(shim.parent().unwrap()).unwrap();
        symlink(env!("CARGO_BIN_EXE_snug-shim"), &shim).unwrap();
        let links = Links::new(home.at("home/.local/bin"), &home.data());
        links.repair(&shim).unwrap();
        for (name, path) in [("tool", "/opt/tool"), ("env", "/usr/bin/env")] {
            let name: snug_exports::CommandName = name.parse().unwrap();
            links.make(&name).unwrap();
            let command = snug_exports::Command::new(name, "dev".parse().unwrap(), path.into()).unwrap();
            Exports::new(home.data()).change(|index| index.commands.push(command)).unwrap();
        }
        home
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn data(&self) -> PathBuf {
        self.at("home/.local/share/snug")
    }

    fn link(&self, name: &str) -> PathBuf {
        self.at("home/.local/bin").join(name)
    }

    /// A program of this machine, which stands for one of the guest.
    fn program(&self, name: &str, script: &str) -> String {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `dev` runs; its tool is this script.
    fn running(&self, script: &str) -> Agent {
        let tool = self.program("tool", script);
        let uid = rustix::process::getuid().as_raw();
        let directory = self.at(&format!("root/var/lib/snug/run/{uid}/dev"));
        Agent::serve(&directory, &[("/opt/tool", &tool), ("/usr/bin/env", "/usr/bin/env")])
    }

    /// The installed `snug` says what it was called with.
    fn snug(&self, script: &str) {
        self.program("root/usr/bin/snug", script);
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("SNUG_TEST_ROOT", self.at("root")).current_dir(self.root.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(self.link(name)).args(arguments).output().unwrap()
    }
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_command_gets_words_streams_and_directory_of_its_caller_and_ends_as_it_ends() {
    let home = Home::new();
    let _agent = home.running(r#"printf '<%s>' "$0" "$@"; cat; pwd; echo wrong >&2; exit 42"#);
    let odd = OsStr::from_bytes(b"\xff\n");
    let mut command = home.command(home.link("tool"));
    let child = command.args(["a  b", "", "--", "-c"]).arg(odd);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    let tool = home.at("tool");
    let words = format!("<{}><a  b><><--><-c><", tool.display());
    let directory = format!(">input\n{}\n", home.root.path().canonicalize().unwrap().display());
    let wanted = [words.as_bytes(), odd.as_bytes(), directory.as_bytes()].concat();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&wanted));
    assert_eq!((ended.status.code(), errors(&ended)), (Some(42), "wrong\n".to_owned()));
}

#[test]
fn the_environment_is_the_callers_without_what_belongs_to_the_host() {
    let home = Home::new();
    let agent = home.running("true");
    let mut command = home.command(home.link("env"));
    let ran = command.env("EDITOR", "vi").env("LD_LIBRARY_PATH", "/x").env("HOME", "/h").output().unwrap();
    assert_eq!(said(&ran), "EDITOR=vi\n");
    let asked = agent.asked.lock().unwrap();
    assert_eq!(asked[0].argv, [b"/usr/bin/env".to_vec()]);
    assert!(!asked[0].clean && !asked[0].login && asked[0].terminal.is_none());
}

#[test]
fn a_command_that_dies_of_a_signal_takes_its_caller_along_and_signals_reach_it() {
    let home = Home::new();
    let _agent = home.running("case $1 in die) kill -TERM $$;; *) trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done;; esac");
    assert_eq!(home.run("tool", &["die"]).status.signal(), Some(libc::SIGTERM));
    let mut command = home.command(home.link("tool"));
    let mut child = command.arg("stay").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    // SAFETY: a plain system call; the child has not been waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM) };
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn the_name_is_that_of_the_link_whatever_the_first_argument_says() {
    let home = Home::new();
    let _agent = home.running("echo tool");
    let mut command = home.command(home.link("tool"));
    assert_eq!(said(&command.arg0("something else").output().unwrap()), "tool\n");
    // A link of the user's own to a command, a relative path, and the PATH.
    symlink(home.link("tool"), home.at("alias")).unwrap();
    assert_eq!(said(&home.command("./alias").output().unwrap()), "tool\n");
    let mut by_path = home.command("sh");
    by_path
        .args(["-c", "tool"])
        .env("PATH", format!("{}:/usr/bin:/bin", home.at("home/.local/bin").display()));
    assert_eq!(said(&by_path.output().unwrap()), "tool\n");
    // By a descriptor: then the first argument is a path, or a name and the environment has the index.
    let mut of_descriptor = home.command(env!("CARGO_BIN_EXE_snug-shim"));
    let output = of_descriptor.arg0(home.link("tool")).output().unwrap();
    assert_eq!(said(&output), "tool\n");
    let mut of_descriptor = home.command(env!("CARGO_BIN_EXE_snug-shim"));
    let output = of_descriptor.arg0("tool").env("HOME", home.at("home")).output().unwrap();
    assert_eq!(said(&output), "tool\n");
}

#[test]
fn a_container_that_does_not_run_is_snug_runs_affair() {
    let home = Home::new();
    home.snug(r#"printf '<%s>' "$@"; cat; exit 9"#);
    let mut command = home.command(home.link("tool"));
    let child = command.args(["-c", "a b", ""]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"input").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(9));
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "<run><-c><dev><--></opt/tool><-c><a b><>input");
    // A container that is entered by the daemon, or is being stopped, too.
    let _agent = home.running("echo direct");
    assert_eq!(said(&home.run("tool", &[])), "direct\n");
    let uid = rustix::process::getuid().as_raw();
    let policy = home.at(&format!("root/var/lib/snug/run/{uid}/dev/policy"));
    for text in ["trusted=yes\nentry=daemon\n", "trusted=yes\nstopping=yes\n"] {
        fs::write(&policy, text).unwrap();
        assert_eq!(home.run("tool", &[]).status.code(), Some(9), "{text}");
    }
}

#[test]
fn snug_run_is_given_what_the_program_was_given() {
    let home = Home::new();
    // Which signals are ignored and blocked, and whether standard input is open.
    home.snug(
        r#"grep -E 'Sig(Blk|Ign)' /proc/self/status; [ -e /proc/self/fd/0 ] && echo open || echo closed"#,
    );
    let line = |before: &str, program: &Path| {
        let after = if before.contains("close") { "<&-" } else { "" };
        let script = format!("{before} exec \"$0\" {after}");
        said(&home.command("sh").args(["-c", &script]).arg(program).output().unwrap())
    };
    for (before, end) in [(":;", "open\n"), ("trap '' PIPE INT;", "open\n"), ("close=;", "closed\n")] {
        let by_link = line(before, &home.link("tool"));
        assert_eq!(by_link, line(before, &home.at("root/usr/bin/snug")), "{before}");
        assert!(by_link.ends_with(end), "{by_link}");
    }
}

#[test]
fn without_the_installed_one_the_paths_snug_is_taken_and_without_any_that_is_said() {
    let home = Home::new();
    home.program("elsewhere/snug", "echo elsewhere");
    let with_path = |path: &Path| home.command(home.link("tool")).env("PATH", path).output().unwrap();
    assert_eq!(said(&with_path(&home.at("elsewhere"))), "elsewhere\n");
    let ended = with_path(&home.at("nowhere"));
    assert_eq!(ended.status.code(), Some(125));
    let told = "error: container dev is not running, and snug, which starts it, is not installed\n";
    assert_eq!(errors(&ended), told);
}

#[test]
fn what_is_exported_no_more_says_so() {
    let home = Home::new();
    let _agent = home.running("echo tool");
    let gone = |name: &str| {
        let ended = home.run(name, &[]);
        assert_eq!(ended.status.code(), Some(127), "{}", errors(&ended));
        assert!(errors(&ended).contains(&format!("error: {name} is a command of no container any more\n")));
        assert!(errors(&ended).contains(&format!("`snug unexport --bin {name}` removes the link")));
    };
    symlink(home.data().join("shim"), home.link("other")).unwrap();
    gone("other");
    fs::remove_file(home.data().join("exports.json")).unwrap();
    gone("tool");
    // By its own name it is nothing at all.
    let plain = home.command(env!("CARGO_BIN_EXE_snug-shim")).env("HOME", home.at("home")).output().unwrap();
    assert_eq!(plain.status.code(), Some(125));
    assert!(errors(&plain).starts_with("error: snug-shim is called by another name"), "{}", errors(&plain));
    // A name that is no text is none of the index.
    let odd = home.at("home/.local/bin").join(OsStr::from_bytes(b"\xff"));
    symlink(home.data().join("shim"), &odd).unwrap();
    assert_eq!(home.command(&odd).output().unwrap().status.code(), Some(127));
}

#[test]
fn an_index_that_cannot_be_read_is_said_to_be_so_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let home = Home::new();
    let file = home.data().join("exports.json");
    let refused = |why: &str| {
        let ended = home.run("tool", &[]);
        assert_eq!(ended.status.code(), Some(125));
        let told = format!("error: the index of what is exported cannot be read: {}: {why}", file.display());
        assert!(errors(&ended).starts_with(&told), "{}", errors(&ended));
    };
    fs::write(&file, "{").unwrap();
    refused("EOF");
    fs::write(&file, r#"{"commands": [{"name": "tool", "container": "../x", "path": "/x"}]}"#).unwrap();
    refused("'../x' is not a valid container name");
    fs::File::create(&file).unwrap().set_len(2 << 20).unwrap();
    refused("it has more than");
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    refused("it is no regular file");
}

#[test]
fn what_the_guest_lacks_is_said_with_what_to_do() {
    let home = Home::new();
    let _agent = home.running("true");
    let exports = Exports::new(home.data());
    let moved = |index: &mut snug_exports::Index| {
        index.commands.iter_mut().for_each(|command| command.path = "/opt/gone".into());
    };
    exports.change(moved).unwrap();
    let ended = home.run("tool", &[]);
    assert_eq!(ended.status.code(), Some(127));
    assert_eq!(
        errors(&ended),
        "error: /opt/gone: no such file in the container\nhint: `snug unexport -c dev --bin tool` takes the command back\n"
    );
}

#[test]
fn an_index_of_a_later_version_serves_what_is_understood() {
    let home = Home::new();
    let _agent = home.running("echo tool");
    let entry =
        serde_json::json!({"name": "tool", "container": "dev", "path": "/opt/tool", "user": {"root": true}});
    let text = serde_json::json!({"version": 7, "applications": [1], "commands": [{}, entry]});
    fs::write(home.data().join("exports.json"), text.to_string()).unwrap();
    assert_eq!(said(&home.run("tool", &[])), "tool\n");
}

#[test]
fn nobody_who_listens_is_no_reason_to_end_otherwise() {
    let home = Home::new();
    fs::remove_file(home.data().join("exports.json")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = home.command(home.link("tool"));
    assert_eq!(command.stderr(writer).status().unwrap().code(), Some(127));
}

/// An application of `dev`; where its entry's link is.
fn application(home: &Home, directory: Option<&str>) -> PathBuf {
    let application = Application {
        container: "dev".parse().unwrap(),
        id: "org.x.Tool".parse().unwrap(),
        path: "/usr/share/applications/org.x.Tool.desktop".into(),
        directory: directory.map(str::to_owned),
        package: None,
        version: None,
        files: Default::default(),
        replaces: Default::default(),
    };
    let links = Links::of_applications(&home.data());
    let link = application.name().link().unwrap();
    links.make(&link).unwrap();
    Exports::new(home.data()).change(|index| index.applications.push(application)).unwrap();
    links.place(&link)
}

#[test]
fn the_link_of_an_application_runs_its_arguments_in_the_container() {
    let home = Home::new();
    let agent = home.running(r#"printf '<%s>' "$@"; pwd"#);
    let link = application(&home, None);
    let output = home.command(&link).args(["/opt/tool", "--new", "a  b", "$(id)"]).output().unwrap();
    assert_eq!(
        said(&output),
        format!("<--new><a  b><$(id)>{}\n", home.root.path().canonicalize().unwrap().display())
    );
    // Launchers start it anywhere.
    let asked = agent.asked.lock().unwrap().pop().unwrap();
    assert!(matches!(asked.directory, snug_wire::message::Directory::Same { or_home: true, .. }));
    let output = home.command(&link).arg("nope").output().unwrap();
    assert_eq!(output.status.code(), Some(127), "{}", errors(&output));
    let output = home.command(&link).output().unwrap();
    assert_eq!(
        (output.status.code(), errors(&output).as_str()),
        (Some(125), "error: the application's entry says nothing to run\n")
    );
    Exports::new(home.data()).change(|index| index.applications.clear()).unwrap();
    let output = home.command(&link).arg("/opt/tool").output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(
        errors(&output)
            .starts_with("error: snug.dev.org.x.Tool is no application of a container any more\nhint: ")
    );
}

#[test]
fn an_application_whose_entry_names_a_directory_runs_there() {
    let home = Home::new();
    let agent = home.running("pwd");
    let link = application(&home, Some("/"));
    assert_eq!(said(&home.command(&link).arg("/opt/tool").output().unwrap()), "/\n");
    drop(agent);
}

#[test]
fn an_application_of_a_container_that_does_not_run_is_left_to_snug() {
    let home = Home::new();
    home.snug(r#"printf '<%s>' "$@""#);
    let link = application(&home, None);
    let output = home.command(&link).args(["tool", "-x", "a b"]).output().unwrap();
    assert_eq!(said(&output), "<enter><dev><--><tool><-x><a b>");
    Exports::new(home.data()).change(|index| index.applications[0].directory = Some("/opt".into())).unwrap();
    let output = home.command(&link).arg("tool").output().unwrap();
    assert_eq!(said(&output), "<run><-w></opt><-c><dev><--><tool>");
}
