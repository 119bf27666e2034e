//! `snug run`: the environment is the caller's, less what belongs to the host, plus what is the guest's.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use snug_client::environment::HOST_VARIABLES;
use snug_testbed::{Bed, Container, Lifeline, UserCommand};

const MARK: &str = "of-the-host";

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "environ", "local:debian/13")
}

/// The environment that a command printed with `env -0`.
fn environment(command: UserCommand) -> BTreeMap<OsString, OsString> {
    let stdout = command.run().expect("it ends").success().stdout;
    stdout
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let at = variable.iter().position(|byte| *byte == b'=')?;
            Some((
                OsString::from_vec(variable[..at].to_vec()),
                OsString::from_vec(variable[at + 1..].to_vec()),
            ))
        })
        .collect()
}

fn text<'a>(environment: &'a BTreeMap<OsString, OsString>, name: &str) -> &'a str {
    environment.get(OsStr::new(name)).and_then(|value| value.to_str()).unwrap_or_default()
}

#[test]
fn values_pass_with_their_bytes_unchanged() {
    let odd = OsStr::from_bytes(b" \"a' $b `c` \\d\n\xff\xfe e=f * ");
    let all = environment(
        guest()
            .run(["env", "-0"])
            .env("ODD", odd)
            .env("EMPTY", "")
            .env("ä-name.with%odd", "x")
            .env("LONG", "l".repeat(100_000)),
    );
    assert_eq!(all.get(OsStr::new("ODD")).map(OsString::as_os_str), Some(odd));
    assert_eq!(all.get(OsStr::new("EMPTY")), Some(&OsString::new()));
    assert_eq!(text(&all, "ä-name.with%odd"), "x");
    assert_eq!(text(&all, "LONG").len(), 100_000);
}

#[test]
fn what_belongs_to_the_host_does_not_pass() {
    // With the host's session, what names it passes, translated (suite t35).
    let bed = Bed::require();
    let guest =
        bed.container_with("tester", "environ-host", "local:minimal/none", &["--no-grant", "session"]);
    // Snug reads two of its own, and the loader of the host some of its: each is set to what harms nobody.
    let kept = ["SNUG_*", "LD_*", "HOME"];
    let names: Vec<String> = HOST_VARIABLES
        .iter()
        .filter(|(name, _)| !kept.contains(name))
        .map(|(name, _)| name.replace('*', "X"))
        .chain(["SNUG_X".into(), "LD_X".into()])
        .collect();
    let mut command = guest.run(["env", "-0"]);
    for name in &names {
        command = command.env(name, MARK);
    }
    let all = environment(command);
    let passed: Vec<_> = all.iter().filter(|(_, value)| *value == MARK).collect();
    assert!(passed.is_empty(), "{passed:?}");
    assert!(!all.contains_key(OsStr::new("SNUG_CONTAINER")));
}

#[test]
fn everything_else_passes() {
    let names = [
        "EDITOR",
        "LANG",
        "LC_TIME",
        "TZ",
        "http_proxy",
        "CARGO_HOME",
        "XDG_CONFIG_HOME",
        "LDFLAGS",
        "SNAPPY",
        "A_",
    ];
    let mut command = guest().run(["env", "-0"]);
    for name in names {
        command = command.env(name, MARK);
    }
    let all = environment(command);
    for name in names {
        assert_eq!(text(&all, name), MARK, "{name}");
    }
}

#[test]
fn the_account_is_the_guests() {
    let wrong = "/home/tester/wrong";
    let command = guest().run(["env", "-0"]).env("USER", wrong).env("LOGNAME", wrong).env("SHELL", wrong);
    let all = environment(command.env("XDG_RUNTIME_DIR", wrong));
    let uid = guest().bed().account("tester").uid;
    let expected = [
        ("HOME", "/home/tester"),
        ("USER", "tester"),
        ("LOGNAME", "tester"),
        ("SHELL", "/bin/bash"),
        ("XDG_RUNTIME_DIR", &format!("/run/user/{uid}")),
        ("container", "lxc"),
    ];
    for (name, value) in expected {
        assert_eq!(text(&all, name), value, "{name}");
    }
    guest()
        .run(["sh", "-c", "test -O \"$XDG_RUNTIME_DIR\" && : >\"$XDG_RUNTIME_DIR/x\""])
        .run()
        .unwrap()
        .success();
}

#[test]
fn the_system_directories_of_the_path_are_the_guests_and_the_order_is_kept() {
    let of_guest = environment(guest().snug(["run", "--clean-env", "env", "-0"]));
    // What other containers export is behind all that there is.
    let (system, exported) = text(&of_guest, "PATH").rsplit_once(':').unwrap();
    assert_eq!(exported, "/home/tester/.local/share/snug/for-guests");
    assert!(system.split(':').any(|dir| dir == "/usr/bin"), "{system}");
    for (caller, expected) in [
        (
            "/home/tester/bin:/usr/local/bin:/usr/bin:/opt/x/bin:/bin",
            format!("/home/tester/bin:{system}:/opt/x/bin"),
        ),
        ("/usr/bin:/home/tester/bin", format!("{system}:/home/tester/bin")),
        ("/home/tester/bin", format!("/home/tester/bin:{system}")),
        ("/usr/bin", system.to_owned()),
    ] {
        let all = environment(guest().shell("PATH=$CALLER; /usr/bin/snug run env -0").env("CALLER", caller));
        assert_eq!(text(&all, "PATH"), format!("{expected}:{exported}"), "from {caller}");
    }
}

#[test]
fn a_variable_given_by_option_wins_over_all_others() {
    let args = [
        "run",
        "-e",
        "GIVEN=a b\"$c",
        "-e",
        "HOME=/tmp",
        "-e",
        "TAKEN",
        "-e",
        "LD_X=1",
        "-e",
        "EMPTY=",
        "env",
        "-0",
    ];
    let all =
        environment(guest().snug(args).env("TAKEN", "from caller").env("GIVEN", "old").env("EMPTY", "full"));
    for (name, value) in
        [("GIVEN", "a b\"$c"), ("HOME", "/tmp"), ("TAKEN", "from caller"), ("LD_X", "1"), ("EMPTY", "")]
    {
        assert_eq!(text(&all, name), value, "{name}");
    }
}

#[test]
fn a_clean_environment_has_nothing_of_the_callers() {
    let all =
        environment(guest().snug(["run", "--clean-env", "-e", "GIVEN=yes", "env", "-0"]).env("SECRET", MARK));
    assert!(!all.contains_key(OsStr::new("SECRET")));
    assert_eq!((text(&all, "GIVEN"), text(&all, "HOME")), ("yes", "/home/tester"));
    assert_eq!(text(&all, "TERM"), "xterm-256color");
}

#[test]
fn root_and_others_have_their_own_accounts_variables() {
    let all = environment(guest().snug(["run", "--root", "env", "-0"]).env("PASSES", MARK));
    assert_eq!((text(&all, "HOME"), text(&all, "USER"), text(&all, "PASSES")), ("/root", "root", MARK));
    assert!(text(&all, "PATH").contains("/usr/sbin"), "{}", text(&all, "PATH"));
}

#[test]
fn a_login_shell_runs_the_command_on_request() {
    let line = "shopt -q login_shell && echo \"$0 login $1 $2\"";
    let out =
        guest().snug(["run", "--login", "bash", "-lc", line, "zero", "a b", "$c"]).run().unwrap().success();
    assert_eq!(out.out(), "zero login a b $c\n");
    // The user's own profile is read: it lies in the shared home.
    let line = "cp -a ~/.profile ~/.profile-kept; echo 'export OF_PROFILE=yes' >>~/.profile; \
                snug run --login printenv OF_PROFILE; snug run printenv OF_PROFILE; mv ~/.profile-kept ~/.profile";
    assert_eq!(guest().shell(line).run().unwrap().out(), "yes\n");
}

#[test]
fn the_environment_is_never_on_a_command_line() {
    let secret = "s3cr3t-of-the-environment";
    let mut life = Lifeline::new(guest().bed(), "tester");
    let line = format!("exec 9>{}; snug run -e OPTION sh -c 'echo ready >&9; cat'", life.path().display());
    let command = guest().shell(&line).env("TOKEN", secret).env("OPTION", secret);
    let mut child = command
        .spawn(std::process::Stdio::piped(), std::process::Stdio::null(), std::process::Stdio::null())
        .unwrap();
    life.until("ready\n");
    let shown: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(secret))
        .collect();
    drop(child.stdin.take());
    life.gone();
    assert!(child.wait().unwrap().success());
    assert!(shown.is_empty(), "{shown:?}");
}

#[test]
fn what_a_login_in_the_guest_adds_is_there_and_was_asked_for_once() {
    let bed = Bed::require();
    let guest = bed.container("tester", "login-env", "local:debian/13");
    let setup = "echo OF_PAM='\"from etc environment\"' >>/etc/environment; \
                 echo 'export OF_PROFILE=\"from profile.d\"; export PATH=$PATH:/opt/profile/bin; echo once >>/var/log/profile' \
                 >/etc/profile.d/own.sh; echo 'echo noise; echo noise >&2' >>/etc/profile.d/own.sh; \
                 : >/var/log/profile; chmod 666 /var/log/profile";
    guest.snug(["run", "--root", "sh", "-c", setup]).run().unwrap().success();
    guest.snug(["restart", "login-env"]).run().unwrap().success();
    let all = environment(guest.run(["env", "-0"]).env("OWN", "kept"));
    assert_eq!(text(&all, "OF_PROFILE"), "from profile.d");
    assert_eq!(text(&all, "OF_PAM"), "from etc environment");
    assert!(text(&all, "PATH").contains("/opt/profile/bin"), "{}", text(&all, "PATH"));
    assert_eq!(text(&all, "OWN"), "kept");
    // The caller's own value wins.
    let all = environment(guest.run(["env", "-0"]).env("OF_PROFILE", MARK));
    assert_eq!(text(&all, "OF_PROFILE"), MARK);
    let out = guest.run(["true"]).run().unwrap().success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("", ""));
    let out = guest.run(["cat", "/var/log/profile"]).run().unwrap().success();
    assert_eq!(out.out(), "once\n", "probed once per start");
}
