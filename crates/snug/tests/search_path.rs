//! What is installed so that shells and services find exported commands.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::TestEnv;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");

/// A home, where `id` says who its user is.
fn environment(uid: u32) -> TestEnv {
    let environment = TestEnv::new();
    let id = environment.programs().join("id");
    fs::write(&id, format!("#!/bin/sh\necho {uid}\n")).unwrap();
    fs::set_permissions(&id, fs::Permissions::from_mode(0o755)).unwrap();
    environment
}

/// The PATH that a shell has after the file was read, with this one before it (`~`: the home).
fn after(environment: &TestEnv, shell: &[&str], before: &str) -> String {
    let mut command = Command::new(shell[0]);
    let script = format!(". {DATA}/profile.d/snug.sh; printf %s \"$PATH\"");
    command.args(&shell[1..]).args(["-euc", &script]);
    output(environment, command, before)
}

fn output(environment: &TestEnv, mut command: Command, before: &str) -> String {
    let home = environment.home().display().to_string();
    let programs = environment.programs().display().to_string();
    let path = format!("{programs}:{}", before.replace('~', &home));
    let ran = command.env_clear().env("HOME", &home).env("PATH", path).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8(ran.stdout).unwrap();
    text.replace(&home, "~").replace(&programs, "P")
}

#[test]
fn a_login_shell_finds_exported_commands_before_others_and_once() {
    let user = environment(1000);
    for shell in [&["/bin/sh"][..], &["/bin/bash"], &["/bin/bash", "--posix"]] {
        assert_eq!(after(&user, shell, "/usr/bin:/bin"), "~/.local/bin:P:/usr/bin:/bin", "{shell:?}");
        for there in ["~/.local/bin:/usr/bin:/bin", "/usr/bin:~/.local/bin"] {
            assert_eq!(after(&user, shell, there), format!("P:{there}"), "{shell:?}");
        }
        assert_eq!(after(&user, shell, "/usr/bin:~/.local/bin2"), "~/.local/bin:P:/usr/bin:~/.local/bin2");
        assert_eq!(after(&environment(0), shell, "/usr/bin:/bin"), "P:/usr/bin:/bin", "{shell:?}");
    }
}

#[test]
fn a_login_without_a_home_is_left_alone() {
    let user = environment(1000);
    for home in [None, Some(""), Some("relative"), Some("/with:colon")] {
        let mut command = Command::new("/bin/sh");
        command.args(["-euc", &format!(". {DATA}/profile.d/snug.sh; printf %s \"$PATH\"")]).env_clear();
        command.env("PATH", user.programs());
        home.map(|home| command.env("HOME", home));
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{home:?}");
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), user.programs().display().to_string(), "{home:?}");
    }
}

#[test]
fn the_service_manager_is_told_the_same() {
    let generator = || Command::new(format!("{DATA}/systemd/user-environment-generators/60-snug"));
    let user = environment(1000);
    assert_eq!(output(&user, generator(), "/usr/bin:/bin"), "PATH=\"~/.local/bin:P:/usr/bin:/bin\"\n");
    assert_eq!(output(&user, generator(), "/usr/bin:~/.local/bin"), "");
    // What the manager would read as something else.
    assert_eq!(output(&user, generator(), "/a\"b:/c$d:/e\\f\ng:/usr/bin"), "");
    assert_eq!(output(&environment(0), generator(), "/usr/bin:/bin"), "");
}

#[test]
fn fish_finds_them_too() {
    if Command::new("fish").arg("--version").output().is_err() {
        return;
    }
    let user = environment(1000);
    let mut command = Command::new("fish");
    command
        .args(["--login", "-c"])
        .arg(format!("source {DATA}/fish/vendor_conf.d/snug.fish; string join : $PATH"));
    let path = output(&user, command, "/usr/bin:/bin");
    assert!(path.starts_with("~/.local/bin:"), "{path}");
    assert_eq!(path.matches("~/.local/bin").count(), 1, "{path}");
}
