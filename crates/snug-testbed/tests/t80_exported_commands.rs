//! `snug export --bin`: the host has a container's commands.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use common::{Finally, NO_INIT, answer, eventually, explains, fresh, fresh_with, json, state};
use rustix::process::Signal;
use snug_testbed::session::systemd_host::{SystemdHost, USER};
use snug_testbed::{Bed, Container, Leaks, UserCommand};

/// Where the guest has the commands of these tests: on its PATH, and of no package.
const BIN: &str = "/usr/local/bin";

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "exported", common::DEBIAN_13)
}

/// A script of the guest's, of its root's, for all.
fn put(guest: &Container<'_>, name: &str, script: &str) {
    let line = format!("mkdir -p {BIN} && cat >{BIN}/{name} && chmod 755 {BIN}/{name}");
    let written = guest.snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", &line]);
    written.input(format!("#!/bin/sh\n{script}\n")).run().unwrap().success();
}

fn take_away(guest: &Container<'_>, name: &str) {
    let file = format!("{BIN}/{name}");
    guest.snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "rm", &file]).run().unwrap().success();
}

/// A command that is exported, until dropped.
struct Exported<'a> {
    guest: &'a Container<'a>,
    link: PathBuf,
}

impl<'a> Exported<'a> {
    /// A script of the guest's under that name, exported.
    #[track_caller]
    fn new(guest: &'a Container<'a>, name: &str, script: &str) -> Self {
        put(guest, name, script);
        Self::of(guest, name)
    }

    /// What is asked for by that.
    #[track_caller]
    fn of(guest: &'a Container<'a>, what: &str) -> Self {
        let link = answer(guest.snug(["export", "-c", guest.name(), "--bin", what])).into();
        Self { guest, link }
    }

    fn name(&self) -> &str {
        self.link.file_name().unwrap().to_str().unwrap()
    }

    /// Called by its link.
    fn call<const N: usize>(&self, arguments: [&str; N]) -> UserCommand {
        self.guest.bed().as_user(self.guest.user(), [self.link.to_str().unwrap()]).args(arguments)
    }

    /// A line of the host's shell that finds it by its name.
    fn shell(&self, line: &str) -> UserCommand {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.link.parent().unwrap().display());
        self.guest.bed().as_user(self.guest.user(), ["bash", "-c", line]).env("PATH", path)
    }
}

impl Drop for Exported<'_> {
    fn drop(&mut self) {
        let _ = self.guest.snug(["unexport", "-c", self.guest.name(), "--bin", self.name()]).run();
    }
}

#[test]
fn it_is_what_snug_run_of_it_would_be() {
    let guest = guest();
    let script =
        r#"printf '<%s>' "$0" "$@"; cat; pwd; id -un; echo "$EDITOR-$LD_PRELOAD"; echo wrong >&2; exit 42"#;
    let tool = Exported::new(guest, "t80-plain", script);
    let arguments = ["a  b", "", "--", "-c", "*"];
    let given = |command: UserCommand| command.env("EDITOR", "vi").input("input\n").run().unwrap();
    let by_link = given(tool.call(arguments));
    let path = format!("{BIN}/t80-plain");
    let by_run = given(guest.run([&[path.as_str()], &arguments[..]].concat()));
    assert_eq!((by_link.code(), by_link.out(), by_link.err()), (42, by_run.out(), by_run.err()));
    let home = guest.bed().account("tester").home;
    let told = format!("<{path}><a  b><><--><-c><*>input\n{}\ntester\nvi-\n", home.display());
    assert_eq!(by_link.out(), told);
    // Descriptors above two, process substitution, and a pipeline that ends early.
    let tool = Exported::new(guest, "t80-cat", "exec cat \"$@\"");
    assert_eq!(answer(tool.shell("t80-cat <(echo one) <(echo two)")), "one\ntwo");
    assert_eq!(answer(tool.shell("exec 7<<<seven; t80-cat /dev/fd/7")), "seven");
    assert_eq!(answer(tool.shell("yes | t80-cat | head -1; echo ${PIPESTATUS[1]}")), "y\n141");
}

#[test]
fn it_dies_of_the_signal_that_its_command_died_of() {
    let tool = Exported::new(guest(), "t80-die", "kill -$1 $$");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let number = signal.as_raw().to_string();
        let ended = tool.call([number.as_str()]).run().unwrap();
        assert_eq!(ended.status.signal(), Some(signal.as_raw()));
    }
    assert_eq!(answer(tool.shell("t80-die KILL; echo $?")), "137");
}

#[test]
fn it_has_the_terminal_as_snug_run_has() {
    let guest = guest();
    let tool = Exported::new(guest, "t80-size", "stty size");
    assert_eq!(tool.call([]).on_pty().unwrap().ends_with(0), "24 80\r\n");
    let tool = Exported::new(guest, "t80-stay", "echo ready; exec sleep 1000");
    let mut pty = tool.call([]).on_pty().unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    let raw = Exported::new(guest, "t80-raw", "stty raw -echo; exit 3");
    for line in [tool_line(&raw, ""), tool_line(&raw, " | cat"), tool_line(&raw, " </dev/null")] {
        common::leaves_the_terminal(guest, &line, &[]);
    }
}

fn tool_line(tool: &Exported<'_>, rest: &str) -> String {
    format!("{}{rest}", tool.link.display())
}

#[test]
fn a_shell_stops_and_continues_it() {
    let tool = Exported::new(guest(), "t80-job", "echo ready; read a; echo got-$a");
    let path = format!("{}:/usr/bin:/bin", tool.link.parent().unwrap().display());
    let shell = guest().bed().as_user("tester", ["bash", "--norc", "--noprofile", "-i"]);
    let mut pty = shell.env("PS1", "host> ").env("PATH", path).on_pty().unwrap();
    pty.until("host> ").unwrap();
    pty.line("bind 'set enable-bracketed-paste off'").unwrap();
    pty.until("host> ").unwrap();
    pty.line("t80-job").unwrap();
    pty.until("ready\r\n").unwrap();
    pty.write("\x1a").unwrap();
    pty.until("Stopped").unwrap();
    pty.until("host> ").unwrap();
    pty.line("fg").unwrap();
    pty.until("t80-job").unwrap();
    pty.line("it").unwrap();
    pty.until("got-it\r\n").unwrap();
    pty.until("host> ").unwrap();
    pty.line("exit 0").unwrap();
    pty.ends_with(0);
}

#[test]
fn it_works_where_nothing_of_a_login_is_there() {
    let bed = Bed::require();
    let tool = Exported::new(guest(), "t80-bare", "cat; echo ran");
    let link = tool.link.display();
    let home = bed.account("tester").home;
    let line = |line: String| bed.as_user("tester", ["sh", "-c", &line]).dir("/");
    // As cron starts it, as a unit of the system with User= does, with nothing at all, and without any stream.
    let cron = format!(
        "env -i HOME={home} LOGNAME=tester SHELL=/bin/sh PATH=/usr/bin:/bin setsid -w sh -c 'cd; {link} </dev/null'",
        home = home.display()
    );
    for (started, wanted) in [
        (cron, "ran"),
        (format!("env -i PATH=/usr/bin:/bin USER=tester {link} </dev/null"), "ran"),
        (format!("env -i {link} </dev/null"), "ran"),
        (format!("{link} </dev/null >&- 2>&-; echo $?"), "1"),
    ] {
        assert_eq!(answer(line(started.clone())), wanted, "{started}");
    }
    // Data that is elsewhere in the shell that exported it, and unknown where it is called.
    let data = tempfile::Builder::new().prefix("snug-t80-").tempdir_in("/tmp").unwrap();
    let account = bed.account("tester");
    std::os::unix::fs::chown(data.path(), Some(account.uid), Some(account.gid)).unwrap();
    put(guest(), "t80-data", "echo elsewhere");
    let export = |verb: &str| guest().snug([verb, "--bin", "t80-data"]).env("XDG_DATA_HOME", data.path());
    let place = answer(export("export"));
    assert_eq!(answer(bed.as_user("tester", ["env", "-i", &place]).dir("/")), "elsewhere");
    export("unexport").run().unwrap().success();
    assert!(fs::symlink_metadata(&place).is_err());
}

#[test]
fn a_stopped_container_is_started_and_one_that_is_stopping_waited_for() {
    let bed = Bed::require();
    let guest = fresh(&bed, "tester", "exported-stopped", NO_INIT);
    let tool = Exported::new(&guest, "t80-start", "cat; echo \"$1\"; exit 5");
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    let ended = tool.call(["a b"]).input("input\n").run().unwrap();
    assert_eq!((ended.code(), ended.out()), (5, "input\na b\n".to_owned()), "{}", ended.err());
    assert_eq!(state(&bed, "tester", guest.name()), "running");
    let stop = bed.snug("tester").args(["stop", guest.name()]);
    thread::scope(|scope| {
        let stopping = scope.spawn(|| stop.run().unwrap().success());
        eventually("it is on its way", || state(&bed, "tester", guest.name()) != "running");
        assert_eq!(tool.call(["again"]).run().unwrap().ends_with(5).out(), "again\n");
        stopping.join().unwrap();
    });
    // To export one starts it, too.
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    put(&guest, "t80-second", "echo second");
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    assert_eq!(answer(Exported::of(&guest, "t80-second").call([])), "second");
}

#[test]
fn a_guest_has_its_own_tool_and_never_the_link() {
    let guest = guest();
    let tool = Exported::new(guest, "t80-own", "echo of the guest");
    // In a home that is shared the link is there, first on the PATH, and leads nowhere.
    let there = |line: &str| guest.run(["sh", "-c", line]);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", tool.link.parent().unwrap().display());
    assert_eq!(
        answer(there(
            "readlink -q ~/.local/bin/t80-own >/dev/null && ! test -e ~/.local/bin/t80-own; echo $?"
        )),
        "0"
    );
    assert_eq!(
        answer(there("command -v t80-own; t80-own").env("PATH", &path)),
        format!("{BIN}/t80-own\nof the guest")
    );
    assert_eq!(answer(guest.run(["bash", "-c", "t80-own"]).env("PATH", &path)), "of the guest");
    assert_eq!(answer(guest.run(["t80-own"]).env("PATH", &path)), "of the guest");
    // Nor does it stand in the way of its own export.
    assert_eq!(
        answer(guest.snug(["export", "--bin", "t80-own"]).env("PATH", &path)),
        tool.link.display().to_string()
    );
}

#[test]
fn other_containers_have_it_behind_all_of_their_own() {
    let tool = Exported::new(guest(), "t80-other", "echo \"in $(hostname): $*\"; exit 5");
    let bed = guest().bed();
    let other = fresh(bed, "tester", "exported-to", common::BUSYBOX);
    let ran = other.run(["sh", "-c", "t80-other 'a  b'"]).run().unwrap();
    assert_eq!((ran.code(), ran.out()), (5, format!("in {}: a  b\n", guest().name())), "{}", ran.err());
    // Also in a login shell, which makes its PATH anew.
    let ran = guest().run(["bash", "-lc", "echo \"$PATH\""]).run().unwrap().success();
    assert!(ran.out().trim().ends_with(".local/share/snug/for-guests"), "{}", ran.out());
    // Its own comes first.
    put(&other, "t80-other", "echo its own");
    assert_eq!(answer(other.run(["sh", "-c", "t80-other"])), "its own");
    drop(tool);
    let home = bed.account("tester").home.join(".local/share/snug/for-guests/t80-other");
    assert!(!home.is_symlink());
}

#[test]
fn in_a_container_its_own_commands_are_exported() {
    let guest = guest();
    put(guest, "t80-inside", "echo from inside");
    let inside = |line: &str| guest.run(["sh", "-c", line]);
    let link = answer(inside("snug export --bin t80-inside"));
    let undo = Finally(|| drop(inside("snug unexport --bin t80-inside").run()));
    assert_eq!(answer(Bed::require().as_user("tester", [link.as_str()])), "from inside");
    let all = json(&guest.bed().snug("tester").args(["exports", "--json"]).run().unwrap());
    let ours =
        all["exports"].as_array().unwrap().iter().find(|export| export["host"] == link.as_str()).unwrap();
    assert_eq!((&ours["kind"], &ours["container"]), (&"command".into(), &guest.name().into()));
    assert_eq!((&ours["path"], &ours["open"]), (&format!("{BIN}/t80-inside").into(), &true.into()));
    drop(undo);
    assert!(fs::symlink_metadata(&link).is_err());
}

#[test]
fn two_containers_may_have_one_command_and_each_takes_its_own_along() {
    let bed = Bed::require();
    let first = fresh(&bed, "tester", "exported-a", NO_INIT);
    let second = fresh(&bed, "tester", "exported-b", NO_INIT);
    let one = Exported::new(&first, "t80-both", "echo first");
    let other = Exported::new(&second, "t80-both", "echo second");
    assert_eq!((one.name(), other.name()), ("t80-both", "t80-both-exported-b"));
    assert_eq!((answer(one.call([])), answer(other.call([]))), ("first".to_owned(), "second".to_owned()));
    bed.snug("tester").args(["rm", "-f", first.name()]).run().unwrap().success();
    assert!(fs::symlink_metadata(&one.link).is_err());
    assert_eq!(answer(other.call([])), "second");
    bed.snug("tester").args(["rm", "-f", second.name()]).run().unwrap().success();
    assert!(fs::symlink_metadata(&other.link).is_err());
}

#[test]
fn a_container_that_was_removed_behind_snugs_back_is_said_to_be_gone() {
    let bed = Bed::require();
    let guest = fresh(&bed, "tester", "exported-gone", NO_INIT);
    let tool = Exported::new(&guest, "t80-gone", "echo here");
    let project = bed.project("tester");
    bed.incus(["delete", "--force", "--project", &project, guest.name()]).ok().unwrap();
    explains(&tool.call([]).run().unwrap(), 125, &["there is no container 'exported-gone'"]);
    // Its name is free for another one, and what it left can be taken back.
    let other = self::guest();
    let taken = Exported::new(other, "t80-gone", "echo there");
    assert_eq!((taken.name(), answer(taken.call([]))), ("t80-gone", "there".to_owned()));
}

#[test]
fn what_the_guest_has_no_more_is_said_with_what_to_do() {
    let guest = guest();
    let tool = Exported::new(guest, "t80-away", "echo here");
    take_away(guest, "t80-away");
    let undo = format!("`snug unexport -c {} --bin t80-away`", guest.name());
    explains(&tool.call([]).run().unwrap(), 127, &["t80-away", &undo]);
    // A directory that the guest lacks.
    let tool = Exported::new(guest, "t80-there", "pwd");
    let place = tempfile::Builder::new().prefix("snug-t80-").tempdir_in("/opt").unwrap();
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ended = tool.call([]).dir(place.path()).run().unwrap();
    explains(&ended, 125, &["does not have this directory", "`snug run -w DIR"]);
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_of_the_users_is_touched() {
    let guest = guest();
    let export = |what: &str| guest.snug(["export", "-c", guest.name(), "--bin", what]).run().unwrap();
    explains(&export("bin/rg"), 2, &["'bin/rg' is neither"]);
    explains(&export("t80-never"), 1, &["has no command t80-never"]);
    explains(&export("/etc/passwd"), 1, &["/etc/passwd", "no file that you may execute"]);
    explains(&export("/etc=x"), 1, &["/etc in ", "no file that you may execute"]);
    explains(&export("true=../x"), 2, &["cannot be the name"]);
    // What leads back to the host would call itself.
    explains(&export("host-exec"), 1, &["has no command host-exec"]);
    explains(&export("/.snug/bin/snug-agent=x"), 1, &["no file that you may execute"]);
    // A shell's own word is no command, unless the guest has one of that name.
    explains(&export("export"), 1, &["has no command export"]);
    put(guest, "t80-mine", "echo guest");
    let link = Exported::new(guest, "t80-beside", "echo beside");
    let mine = link.link.with_file_name("t80-mine");
    symlink("/usr/bin/true", &mine).unwrap();
    let undo = Finally(|| drop(fs::remove_file(&mine)));
    explains(&export("t80-mine"), 1, &["is a link of your own", "`--bin t80-mine=NAME`"]);
    assert_eq!(fs::read_link(&mine).unwrap(), Path::new("/usr/bin/true"));
    drop(undo);
    assert_eq!(answer(link.call([])), "beside");
}

#[test]
fn a_person_is_told_what_he_would_not_expect() {
    let guest = guest();
    put(guest, "t80-ls", "echo not the host's");
    let said = |what: &str, path: &str| {
        let export = guest.snug(["export", "-c", guest.name(), "--bin", what]).env("PATH", path);
        let shown = export.on_pty().unwrap().ends_with(0);
        let name = what.rsplit_once('=').map_or(what, |(_, name)| name);
        guest.snug(["unexport", "-c", guest.name(), "--bin", name]).run().unwrap().success();
        shown
    };
    let bin = guest.bed().account("tester").home.join(".local/bin");
    // A name of the host's own, which was asked for.
    let shown = said("t80-ls=ls", &format!("{}:/usr/bin:/bin", bin.display()));
    assert!(shown.contains("the host has /usr/bin/ls, too"), "{shown}");
    assert!(!shown.contains("not on your PATH"), "{shown}");
    let shown = said("t80-ls", "/usr/bin:/bin");
    assert!(shown.contains("is not on your PATH: `export PATH="), "{shown}");
}

#[test]
fn a_container_that_is_not_trusted_gets_nothing_of_the_callers() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "exported-alone", NO_INIT, &["--preset", "isolated"]);
    let tool = Exported::new(&guest, "t80-alone", "cat; echo \"<$SECRET>\"; exit 3");
    let ended = tool.call([]).dir("/").env("SECRET", "s").input("input\n").run().unwrap();
    assert_eq!((ended.code(), ended.out()), (3, "input\n<>\n".to_owned()), "{}", ended.err());
}

#[test]
fn many_at_a_time_are_all_right_and_leave_nothing() {
    let guest = guest();
    let tool = Exported::new(guest, "t80-many", "cat; echo $1");
    let leaks = Leaks::before();
    let line = "for n in $(seq 64); do (for m in 1 2 3 4 5; do [ \"$(echo in | t80-many $n)\" = \"in
$n\" ] && echo right; done) & done; wait";
    let said = answer(tool.shell(line).deadline(Duration::from_secs(300)));
    assert_eq!(said.matches("right").count(), 320, "{said}");
    // The agent makes its next session in advance.
    let left = leaks.left(Duration::from_secs(10));
    let left: Vec<_> = left.iter().filter(|what| !what.contains("/.snug/bin/snug-agent")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn logins_units_and_desktops_of_a_host_with_systemd_find_it() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    // A user whose login has no ~/.local/bin: it does not exist yet.
    answer(host.root(&format!("rm -rf /home/{USER}/.local/bin /home/{USER}/.profile")));
    let export = "snug export -c dev --bin /bin/busybox=t80-busybox";
    answer(host.login(USER, export));
    for line in [
        "t80-busybox echo found",
        "bash -lc 't80-busybox echo found'",
        "cd / && systemd-run --user --quiet --wait --pipe t80-busybox echo found",
        "cd / && systemd-run --user --quiet --wait --pipe sh -c 't80-busybox echo found'",
    ] {
        assert_eq!(answer(host.login(USER, line)), "found", "{line}");
    }
    // A unit of the system that knows nothing but the user.
    let unit = format!(
        "systemd-run --quiet --wait --pipe -p User={USER} -p WorkingDirectory=/ /home/{USER}/.local/bin/t80-busybox echo found"
    );
    assert_eq!(answer(host.root(&unit)), "found");
    // A person's next login has it too, and root's has not.
    let on_path = |said: &str| said.split(':').any(|directory| directory.ends_with("/.local/bin"));
    assert!(on_path(&answer(host.login(USER, "echo $PATH"))));
    assert!(!on_path(&answer(host.login("root", "echo $PATH"))));
    // What was installed for it goes with the rest.
    let files = "/etc/profile.d/snug.sh /usr/share/fish/vendor_conf.d/snug.fish \
                 /usr/lib/systemd/user-environment-generators/60-snug /usr/libexec/snug/snug-shim";
    answer(host.root(&format!("ls {files}")));
    host.snug("rm -f dev").run().unwrap().success();
    assert_eq!(answer(host.root(&format!("ls -A /home/{USER}/.local/bin"))), "");
    host.xtask("uninstall").unwrap().run().unwrap().success();
    assert_eq!(answer(host.root(&format!("ls {files} 2>/dev/null || :"))), "");
}
