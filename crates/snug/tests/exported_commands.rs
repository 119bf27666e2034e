//! Commands of containers that the host has: links and the index.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use support::{Ran, TestEnv};

fn index(environment: &TestEnv) -> PathBuf {
    environment.home().join(".local/share/snug/exports.json")
}

fn bin(environment: &TestEnv) -> PathBuf {
    environment.home().join(".local/bin")
}

fn place(environment: &TestEnv, name: &str) -> PathBuf {
    bin(environment).join(name)
}

/// A user with the running containers `dev` and `web`, both with `rg`, and an installed program that links lead to.
fn prepared() -> TestEnv {
    let environment = TestEnv::with_daemon(&["dev", "web"]);
    environment.install_shim();
    environment.agent(
        "dev",
        &[("/usr/bin/rg", ""), ("/usr/bin/fdfind", ""), ("/opt/x/bin/tool", ""), ("/usr/bin/env", "")],
    );
    environment.agent("web", &[("/usr/bin/rg", ""), ("/opt/rg", "")]);
    environment
}

fn export(environment: &TestEnv, arguments: &[&str]) -> Ran {
    environment.snug(&[&["export"], arguments].concat())
}

#[track_caller]
fn exported(environment: &TestEnv, arguments: &[&str]) -> String {
    let ran = export(environment, arguments);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    ran.stdout
}

#[track_caller]
fn refused(ran: &Ran, status: i32, words: &[&str]) {
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(status), ""), "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
}

fn links(environment: &TestEnv) -> Vec<String> {
    let entries = fs::read_dir(bin(environment)).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn shown(environment: &TestEnv) -> Vec<Vec<String>> {
    let ran = environment.snug(&["exports"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    ran.stdout.lines().skip(1).map(words).collect()
}

#[test]
fn a_command_is_on_the_host_until_it_is_taken_back() {
    let environment = prepared();
    let shim = environment.home().join(".local/share/snug/shim");
    let (rg, fd, tool) = (place(&environment, "rg"), place(&environment, "fd"), place(&environment, "tool"));
    let said = exported(&environment, &["-c", "dev", "--bin", "rg", "fdfind=fd", "--bin", "/opt/x/bin/tool"]);
    assert_eq!(said, format!("{}\n{}\n{}\n", rg.display(), fd.display(), tool.display()));
    assert_eq!(fs::read_link(&rg).unwrap(), shim);
    let installed = environment.system().join("usr/libexec/snug/snug-shim");
    assert_eq!(fs::read_link(&shim).unwrap(), installed);
    let wanted = [("fd", "/usr/bin/fdfind"), ("rg", "/usr/bin/rg"), ("tool", "/opt/x/bin/tool")];
    let row = |(name, path): (&str, &str)| {
        ["dev", "command", path, &place(&environment, name).display().to_string()].map(str::to_owned).to_vec()
    };
    assert_eq!(shown(&environment), wanted.map(row));
    let json: serde_json::Value =
        serde_json::from_str(&environment.snug(&["exports", "--json"]).stdout).unwrap();
    let first = serde_json::json!({
        "kind": "command", "container": "dev", "path": "/usr/bin/fdfind", "host": fd.to_str(), "open": true,
        "package": null, "version": null,
    });
    assert_eq!(json["exports"][0], first);
    // Once more is no more.
    exported(&environment, &["-c", "dev", "--bin", "rg"]);
    assert_eq!(shown(&environment).len(), 3);

    let ran = environment.snug(&["unexport", "-c", "dev", "--bin", "rg", "tool"]);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(links(&environment), ["fd"]);
    assert_eq!(shown(&environment).len(), 1);
    let ran = environment.snug(&["unexport", "-c", "dev", "--bin", "rg"]);
    assert_eq!(ran.status, Some(1));
    assert_eq!(ran.stderr, "error: rg of dev is not exported\nhint: `snug exports` shows what is\n");
}

#[test]
fn in_a_container_its_own_commands_are_meant() {
    let environment = prepared();
    let inside = |arguments: &[&str]| -> Ran {
        let mut command = environment.command(arguments);
        command.env("SNUG_CONTAINER", "web").env("SNUG_GUEST_DIRECTORY", "/srv").output().unwrap().into()
    };
    assert_eq!(inside(&["export", "--bin", "rg"]).status, Some(0));
    assert_eq!(shown(&environment)[0][0], "web");
    assert_eq!(inside(&["unexport", "--bin", "rg"]).status, Some(0));
    assert!(links(&environment).is_empty());
}

#[test]
fn the_first_container_keeps_a_name_and_the_second_one_gets_one_with_its_own() {
    let environment = prepared();
    exported(&environment, &["-c", "dev", "--bin", "rg"]);
    let second = place(&environment, "rg-web").display().to_string();
    for _ in 0..2 {
        assert_eq!(exported(&environment, &["-c", "web", "--bin", "rg"]), format!("{second}\n"));
    }
    assert_eq!(links(&environment), ["rg", "rg-web"]);
    // Where a name was asked for, there is no other one.
    let named = export(&environment, &["-c", "web", "--bin", "/opt/rg=rg"]);
    refused(
        &named,
        1,
        &["rg on the host is /usr/bin/rg of dev", "`--bin /opt/rg=NAME` gives it another name"],
    );
    let other = export(&environment, &["-c", "web", "--bin", "/opt/rg"]);
    refused(&other, 1, &["web exports rg-web already: /usr/bin/rg"]);
    // Each takes back its own, by the one name or the other.
    let ran = environment.snug(&["unexport", "-c", "web", "--bin", "fd"]);
    refused(&ran, 1, &["fd of web is not exported"]);
    assert_eq!(environment.snug(&["unexport", "-c", "web", "--bin", "rg"]).status, Some(0));
    assert_eq!(links(&environment), ["rg"]);
    let ran = environment.snug(&["unexport", "-c", "web", "--bin", "rg"]);
    refused(&ran, 1, &["rg is a command of dev", "`snug unexport -c dev --bin rg` takes it back"]);
}

#[test]
fn what_cannot_be_exported_is_refused_and_changes_nothing() {
    let environment = prepared();
    for (word, told) in [
        ("", "''"),
        ("bin/rg", "'bin/rg' is neither"),
        ("./rg", "'./rg' is neither"),
        ("..", "'..' is neither"),
        ("a\nb", "'a\\nb' is neither"),
        ("/usr/bin/", "'/usr/bin/' is neither"),
        ("rg=", "'' cannot be the name"),
        ("rg=../../x", "'../../x' cannot be the name"),
        ("rg=a/b", "'a/b' cannot be the name"),
        ("rg=-x", "'-x' cannot be the name"),
        ("rg=.x", "'.x' cannot be the name"),
        ("rg=a\nb", "'a\\nb' cannot be the name"),
        ("rg=snug", "'snug' on the host is Snug itself"),
    ] {
        let bin = format!("--bin={word}");
        refused(&export(&environment, &["-c", "dev", &bin]), 2, &[told]);
    }
    let mut command = environment.command(&["export", "-c", "dev", "--bin"]);
    let ran = command.arg(OsStr::from_bytes(b"r\xffg")).output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{}", String::from_utf8_lossy(&ran.stderr));
    refused(&export(&environment, &["-c", "dev"]), 2, &["--bin", "--socket"]);
    refused(&export(&environment, &["-c", "dve", "--bin", "rg"]), 1, &["did you mean 'dev'?"]);
    let none = export(&environment, &["-c", "dev", "--bin", "rg", "nope"]);
    refused(&none, 1, &["dev has no command nope", "`--bin PATH`"]);
    let none = export(&environment, &["-c", "dev", "--bin", "/usr/bin/nope"]);
    refused(&none, 1, &["/usr/bin/nope in dev is no file that you may execute"]);
    assert!(!index(&environment).exists() && !bin(&environment).exists());
}

#[test]
fn a_file_of_the_users_own_is_never_touched() {
    let environment = prepared();
    fs::create_dir_all(bin(&environment)).unwrap();
    fs::write(place(&environment, "rg"), "mine").unwrap();
    symlink("/usr/bin/true", place(&environment, "tool")).unwrap();
    fs::create_dir(place(&environment, "fd")).unwrap();
    for (bin, kind) in [("rg", "a file"), ("/opt/x/bin/tool", "a link"), ("fdfind=fd", "a directory")] {
        let ran = export(&environment, &["-c", "dev", "--bin", "env", bin]);
        refused(&ran, 1, &[&format!("is {kind} of your own"), "=NAME` gives it another name"]);
        // What could be made before is not left either.
        assert_eq!(links(&environment), ["fd", "rg", "tool"]);
    }
    assert_eq!(fs::read_to_string(place(&environment, "rg")).unwrap(), "mine");
    assert!(!index(&environment).exists());
    // One that came into the place of a link stays when that is taken back.
    exported(&environment, &["-c", "dev", "--bin", "env"]);
    fs::remove_file(place(&environment, "env")).unwrap();
    fs::write(place(&environment, "env"), "mine").unwrap();
    assert!(environment.snug(&["exports"]).stdout.contains("not there: "));
    assert_eq!(environment.snug(&["unexport", "-c", "dev", "--bin", "env"]).status, Some(0));
    assert_eq!(fs::read_to_string(place(&environment, "env")).unwrap(), "mine");
    assert!(shown(&environment).is_empty());
}

#[test]
fn a_directory_of_commands_that_cannot_be_written_leaves_nothing_exported() {
    let environment = prepared();
    let bin = bin(&environment);
    fs::create_dir_all(bin.parent().unwrap()).unwrap();
    fs::write(&bin, "a file").unwrap();
    let ran = export(&environment, &["-c", "dev", "--bin", "rg"]);
    refused(&ran, 1, &["the link of rg cannot be made: ", bin.to_str().unwrap()]);
    fs::remove_file(&bin).unwrap();
    symlink("nowhere", &bin).unwrap();
    refused(&export(&environment, &["-c", "dev", "--bin", "rg"]), 1, &["the link of rg cannot be made: "]);
    fs::remove_file(&bin).unwrap();
    fs::create_dir(&bin).unwrap();
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write anywhere.
    if fs::write(bin.join("probe"), "").is_err() {
        let ran = export(&environment, &["-c", "dev", "--bin", "rg"]);
        refused(&ran, 1, &["the link of rg cannot be made: ", "Permission denied"]);
    }
    assert!(!index(&environment).exists());
    fs::remove_dir_all(&bin).unwrap();
    // A link to a directory is as good as one.
    fs::create_dir(environment.home().join("dotfiles")).unwrap();
    symlink("../dotfiles", &bin).unwrap();
    exported(&environment, &["-c", "dev", "--bin", "rg"]);
    assert!(fs::read_link(environment.home().join("dotfiles/rg")).is_ok());
}

#[test]
fn an_index_that_cannot_be_understood_is_left_alone() {
    let environment = prepared();
    let file = index(&environment);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let entry = r#"{"name": "rg", "container": "dev", "path": "/usr/bin/rg", "more": 1}"#;
    for text in ["{".to_owned(), format!(r#"{{"version": 9, "commands": [{entry}]}}"#)] {
        fs::write(&file, &text).unwrap();
        for arguments in
            [&["export", "-c", "web", "--bin", "rg"][..], &["unexport", "-c", "dev", "--bin", "rg"]]
        {
            let ran = environment.snug(arguments);
            refused(&ran, 1, &["the index of what is exported cannot be changed: "]);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    // What of a later version is understood can be seen.
    assert_eq!(shown(&environment)[0][..3], ["dev", "command", "/usr/bin/rg"]);
    assert!(links(&environment).is_empty());
}

#[test]
fn without_the_program_nothing_is_exported_and_what_was_is_told_of() {
    let environment = prepared();
    exported(&environment, &["-c", "dev", "--bin", "rg"]);
    let shim = environment.system().join("usr/libexec/snug/snug-shim");
    fs::remove_file(&shim).unwrap();
    let ran = export(&environment, &["-c", "dev", "--bin", "env"]);
    refused(&ran, 1, &["cannot be made: ", "snug-shim is missing"]);
    assert_eq!(links(&environment), ["rg"]);
    let ran = environment.snug(&["exports"]);
    assert!(ran.stdout.contains("not there: "), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("warning: exported commands do not work: "), "{}", ran.stderr);
    // One link is repaired for all of them, by whoever looks.
    environment.install_shim();
    fs::remove_file(environment.home().join(".local/share/snug/shim")).unwrap();
    let ran = environment.snug(&["exports"]);
    assert!(ran.stderr.is_empty() && !ran.stdout.contains("not there"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn links_that_the_index_has_lost_are_told_of_and_can_be_removed_or_taken_over() {
    let environment = prepared();
    exported(&environment, &["-c", "dev", "--bin", "rg", "env"]);
    fs::remove_file(index(&environment)).unwrap();
    let ran = environment.snug(&["exports"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), ""));
    for name in ["env", "rg"] {
        let told = format!("leads to no container: `snug unexport --bin {name}` removes it");
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    }
    assert_eq!(environment.snug(&["unexport", "--bin", "env"]).status, Some(0));
    assert_eq!(links(&environment), ["rg"]);
    exported(&environment, &["-c", "web", "--bin", "rg"]);
    assert_eq!(shown(&environment)[0][0], "web");
    assert_eq!(environment.snug(&["exports"]).stderr, "");
}

#[test]
fn with_its_container_go_its_commands_and_no_others() {
    let environment = TestEnv::with_daemon(&["dev-stopped", "web-stopped", "broken"]);
    environment.install_shim();
    for container in ["dev-stopped", "web-stopped", "broken"] {
        // The test's daemon is the one that says that they do not run.
        environment.agent(container, &[("/usr/bin/rg", "")]);
        exported(&environment, &["-c", container, "--bin", "rg"]);
    }
    assert!(environment.calls().contains(&"Ensure dev-stopped".to_owned()), "it is started to be asked");
    assert_eq!(links(&environment), ["rg", "rg-broken", "rg-web-stopped"]);
    let ran = environment.snug(&["rm", "dev-stopped"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(links(&environment), ["rg-broken", "rg-web-stopped"]);
    // One that could not be removed keeps them.
    assert_eq!(environment.snug(&["rm", "broken"]).status, Some(1));
    assert_eq!(links(&environment), ["rg-broken", "rg-web-stopped"]);
    let ran = environment.snug(&["rm", "--dry-run", "web-stopped"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(shown(&environment).len(), 2);
}

#[test]
fn a_container_that_cannot_be_started_is_the_one_thing_that_is_told() {
    let environment = TestEnv::with_daemon(&["broken-stopped"]);
    environment.install_shim();
    let ran = export(&environment, &["-c", "broken-stopped", "--bin", "rg"]);
    assert_eq!((ran.status, ran.stderr.matches("error: ").count()), (Some(1), 1), "{}", ran.stderr);
    assert!(!index(&environment).exists() && links(&environment).is_empty());
}

#[test]
fn a_container_that_was_removed_behind_snugs_back_keeps_no_name() {
    let environment = prepared();
    let file = index(&environment);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = r#"{"version": 2, "commands": [{"name": "rg", "container": "gone", "path": "/usr/bin/rg"},
        {"name": "x", "container": "gone", "path": "/usr/bin/x"}]}"#;
    fs::write(&file, text).unwrap();
    exported(&environment, &["-c", "dev", "--bin", "rg"]);
    let rows = shown(&environment);
    assert_eq!((rows[0][0].as_str(), rows[0][2].as_str()), ("dev", "/usr/bin/rg"));
    // What is in nobody's way is his to take back.
    assert_eq!(rows[1][0], "gone");
    assert_eq!(environment.snug(&["unexport", "-c", "gone", "--bin", "x"]).status, Some(0));
    assert_eq!(shown(&environment).len(), 1);
}

#[test]
fn two_who_export_at_once_lose_nothing() {
    let environment = prepared();
    let all = ["rg", "fdfind", "/opt/x/bin/tool", "env"];
    std::thread::scope(|scope| {
        for command in all {
            let environment = &environment;
            scope.spawn(move || exported(environment, &["-c", "dev", "--bin", command]));
        }
    });
    assert_eq!(shown(&environment).len(), all.len());
    assert_eq!(links(&environment).len(), all.len());
}

#[test]
fn a_shell_is_offered_what_is_exported() {
    let environment = prepared();
    exported(&environment, &["-c", "dev", "--bin", "rg", "env"]);
    let complete = |word: &str| {
        let mut command = environment.command(&["--", "snug", "unexport", "--bin", word]);
        String::from_utf8(command.env("SNUG_COMPLETE", "fish").output().unwrap().stdout).unwrap()
    };
    assert_eq!(complete("r"), "rg\t/usr/bin/rg of dev\n");
    assert!(complete("").contains("env\t"));
}

#[test]
fn commands_and_sockets_are_in_one_index() {
    let environment = prepared();
    let _session = environment.session();
    let ran = export(&environment, &["-c", "dev", "--bin", "rg", "--socket", "/run/a.sock"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let kinds: Vec<String> = shown(&environment).into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(kinds, ["command", "socket"]);
    let ran = environment.snug(&["unexport", "-c", "dev", "--bin", "rg", "--socket", "/run/b.sock"]);
    refused(&ran, 1, &["/run/b.sock of dev is not exported"]);
    assert_eq!(shown(&environment).len(), 2, "all or nothing");
    let ran = environment.snug(&["unexport", "-c", "dev", "--bin", "rg", "--socket", "/run/a.sock"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(shown(&environment).is_empty());
}

#[test]
fn data_may_be_elsewhere_and_a_home_is_needed() {
    let environment = prepared();
    let data = environment.home().join("data");
    let mut command = environment.command(&["export", "-c", "dev", "--bin", "rg"]);
    let ran: Ran = command.env("XDG_DATA_HOME", &data).output().unwrap().into();
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(fs::read_link(place(&environment, "rg")).unwrap(), data.join("snug/shim"));
    assert!(data.join("snug/exports.json").exists() && !Path::new(&index(&environment)).exists());
}
