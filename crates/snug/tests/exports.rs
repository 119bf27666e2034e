//! What the host has of containers: the index, and the session that serves its sockets. Commands have a file of their own.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::PathBuf;

use support::TestEnv;

fn index(environment: &TestEnv) -> PathBuf {
    environment.home().join(".local/share/snug/exports.json")
}

fn place(environment: &TestEnv, container: &str, name: &str) -> PathBuf {
    environment.runtime().join("snug").join(container).join(name)
}

#[test]
fn a_socket_is_on_the_host_until_it_is_taken_back() {
    let environment = TestEnv::with_daemon(&["dev", "web-stopped"]);
    let _session = environment.session();
    let ran = environment.snug(&["exports"]);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let (docker, other) =
        (place(&environment, "dev", "docker.sock"), place(&environment, "web-stopped", "x"));
    let ran = environment.snug(&["export", "-c", "dev", "--socket", "/run/docker.sock"]);
    assert_eq!(
        (ran.status, ran.stdout, ran.stderr.as_str()),
        (Some(0), format!("{}\n", docker.display()), "")
    );
    let ran = environment.snug(&["export", "-c", "web-stopped", "--socket", "/run/a.sock=x"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert!(docker.exists() && other.exists());

    let ran = environment.snug(&["exports"]);
    let lines: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let (docker_shown, other_shown) = (docker.display().to_string(), other.display().to_string());
    assert_eq!(
        lines[1..],
        [
            ["dev", "socket", "/run/docker.sock", docker_shown.as_str()],
            ["web-stopped", "socket", "/run/a.sock", other_shown.as_str()]
        ]
    );
    let ran = environment.snug(&["exports", "--json"]);
    assert!(ran.stdout.contains("\"exports\": [") && ran.stdout.contains("\"open\": true"), "{}", ran.stdout);

    let unexport = ["unexport", "-c", "dev", "--socket", "/run/docker.sock"];
    let ran = environment.snug(&unexport);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert!(!docker.exists() && other.exists());
    let ran = environment.snug(&unexport);
    assert_eq!(ran.status, Some(1));
    let told = "error: /run/docker.sock of dev is not exported\nhint: `snug exports` shows what is\n";
    assert_eq!(ran.stderr, told);
}

#[test]
fn what_cannot_be_exported_is_refused_and_changes_nothing() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let _session = environment.session();
    for (container, socket, status, word) in [
        ("dev", "run/docker.sock", 2, "no absolute path"),
        ("dev", "/run/x=../y", 2, "cannot be the name"),
        ("dve", "/run/docker.sock", 1, "did you mean 'dev'?"),
    ] {
        let ran = environment.snug(&["export", "-c", container, "--socket", socket]);
        assert_eq!(ran.status, Some(status), "{}", ran.stderr);
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    assert!(!index(&environment).exists());
}

#[test]
fn what_could_not_be_made_is_not_exported_and_what_was_exported_before_stays() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let export = |name: &str| environment.snug(&["export", "-c", "dev", "--socket", name]);
    {
        let _session = environment.session();
        assert_eq!(export("/run/a.sock").status, Some(0));
        fs::write(place(&environment, "dev", "b.sock"), "mine").unwrap();
        let both = ["export", "-c", "dev", "--socket", "/run/a.sock", "--socket", "/run/b.sock"];
        let ran = environment.snug(&both);
        assert_eq!(ran.status, Some(1));
        assert!(
            ran.stderr.contains("b.sock could not be made\nhint: nothing was exported"),
            "{}",
            ran.stderr
        );
    }
    fs::remove_file(environment.runtime().join("snug/session.sock")).unwrap();
    let _nobody = environment.unreachable_session();
    let ran = export("/run/c.sock");
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr.contains("cannot be served") && ran.stderr.contains("nothing was exported"),
        "{}",
        ran.stderr
    );
    let ran = export("/run/a.sock");
    assert!(ran.status == Some(1) && ran.stderr.contains("hint: it stays exported"), "{}", ran.stderr);
    let text = fs::read_to_string(index(&environment)).unwrap();
    assert!(text.contains("a.sock") && !text.contains("b.sock") && !text.contains("c.sock"), "{text}");
}

#[test]
fn with_its_container_goes_what_the_host_had_of_it() {
    let environment = TestEnv::with_daemon(&["dev-stopped", "web-stopped"]);
    let _session = environment.session();
    for container in ["dev-stopped", "web-stopped"] {
        let ran = environment.snug(&["export", "-c", container, "--socket", "/run/a.sock"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    }
    let ran = environment.snug(&["rm", "dev-stopped"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let is_there = |container: &str| place(&environment, container, "a.sock").exists();
    assert!(!is_there("dev-stopped") && is_there("web-stopped"));
    let shown = environment.snug(&["exports"]).stdout;
    assert!(!shown.contains("dev-stopped") && shown.contains("web-stopped"), "{shown}");
}

#[test]
fn an_index_that_cannot_be_read_does_not_hide_what_was_removed() {
    let environment = TestEnv::with_daemon(&["dev-stopped", "broken-stopped"]);
    let file = index(&environment);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{").unwrap();
    let ran = environment.snug(&["rm", "dev-stopped"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let warning = "warning: the index of what is exported cannot be changed: ";
    assert!(ran.stderr.starts_with(warning) && !ran.stderr.contains("error"), "{}", ran.stderr);
    assert!(environment.calls().iter().any(|call| call == "Remove dev-stopped"));
    // A failure to remove stays one.
    let ran = environment.snug(&["rm", "broken-stopped"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("error: no space for broken-stopped\n"), "{}", ran.stderr);
    // The other commands are about the index itself.
    for arguments in [&["exports"][..], &["unexport", "-c", "x", "--socket", "/run/a"]] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(1), "{arguments:?}");
        assert!(ran.stderr.starts_with("error: the index of what is exported cannot be "), "{}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "{");
}

#[test]
fn exports_are_shown_when_nobody_serves_them() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let file = index(&environment);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = r#"{"version": 1, "sockets": [{"container": "dev", "path": "/run/a.sock", "name": "a"}]}"#;
    fs::write(&file, text).unwrap();
    let _nobody = environment.unreachable_session();
    let ran = environment.snug(&["exports"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("warning: what is exported cannot be served: "), "{}", ran.stderr);
    let words: Vec<&str> = ran.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[..5], ["dev", "socket", "/run/a.sock", "not", "open:"], "{}", ran.stdout);
    let ran = environment.snug(&["exports", "--json"]);
    assert!(ran.status == Some(0) && ran.stdout.contains("\"open\": false"), "{}", ran.stdout);
}

#[test]
fn a_shell_is_offered_what_is_exported() {
    let environment = TestEnv::new();
    let file = index(&environment);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = r#"{"version": 1, "sockets": [
        {"container": "dev", "path": "/run/a.sock", "name": "a"},
        {"container": "web", "path": "/run/a.sock", "name": "a"},
        {"container": "web", "path": "/srv/b.sock", "name": "b"}]}"#;
    fs::write(&file, text).unwrap();
    let complete = |word: &str| {
        let mut command = environment.command(&["--", "snug", "unexport", "--socket", word]);
        String::from_utf8(command.env("SNUG_COMPLETE", "fish").output().unwrap().stdout).unwrap()
    };
    assert_eq!(complete("/run"), "/run/a.sock\tof dev, web\n");
    assert!(complete("").contains("/srv/b.sock\tof web"));
    fs::write(&file, "{").unwrap();
    assert_eq!(complete("/run"), "");
}
