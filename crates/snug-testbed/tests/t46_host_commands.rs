//! `host-exec` and `host-open`: what a guest's programs ask of the host.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{answer, eventually, explains, fresh_with};
use rustix::process::Signal;
use snug_testbed::process::{self, Process};
use snug_testbed::{Bed, Captured, Container, UserCommand};

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "asks", common::NO_INIT)
}

/// A line of the guest's shell.
fn inside(line: &str) -> UserCommand {
    guest().run(["sh", "-c", line])
}

fn said(line: &str) -> String {
    answer(inside(line))
}

fn sessions() -> Vec<Process> {
    common::sessions_of("tester")
}

/// Whether a process of the host has this command line.
fn runs(line: &str) -> bool {
    process::all().iter().any(|process| process.command_line() == line)
}

/// A program of the host, until dropped.
struct HostProgram(PathBuf);

impl HostProgram {
    #[track_caller]
    fn new(name: &str, script: &str) -> Self {
        let path = Path::new("/usr/local/bin").join(name);
        assert!(!path.exists(), "{} is somebody's", path.display());
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for HostProgram {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_command_of_the_host_is_the_owners_and_not_the_guests() {
    let _program = HostProgram::new("of-the-host", "test ! -e /run/.containerenv && id -un && echo \"$@\"");
    assert_eq!(said("host-exec of-the-host 'a  b' ''"), "tester\na  b");
    // Root of the guest is his, too.
    let as_root = guest().snug(["run", "--root", "-w", "/", "--", "host-exec", "id", "-un"]);
    assert_eq!(answer(as_root), "tester");
    let ended = inside("of-the-host").run().unwrap();
    assert_eq!(ended.code(), 127, "{}", ended.err());
}

#[test]
fn its_status_its_end_and_its_failures_are_exact() {
    for status in [0, 1, 42, 125, 255] {
        assert_eq!(said(&format!("host-exec sh -c 'exit {status}'; echo $?")), status.to_string());
    }
    assert_eq!(said("host-exec sh -c 'kill -TERM $$'; echo $?"), "143");
    assert_eq!(
        said("host-exec no-such-command 2>&1; echo $?"),
        "error: no-such-command: command not found on the host\n127"
    );
    assert_eq!(said("host-exec /etc/passwd 2>/dev/null; echo $?"), "126");
}

#[test]
fn its_streams_are_the_callers_own() {
    assert_eq!(said("echo to-the-host | host-exec cat"), "to-the-host");
    assert_eq!(said("host-exec sh -c 'echo out; echo err >&2' 2>/dev/null"), "out");
    assert_eq!(said("host-exec sh -c 'echo out; echo err >&2' 2>&1 >/dev/null"), "err");
    // A file that the guest alone has, and a number above two.
    assert_eq!(said("echo mine > /run/user/$(id -u)/f; cd /; host-exec cat < /run/user/$(id -u)/f"), "mine");
    assert_eq!(said("exec 7</run/user/$(id -u)/f; cd /; host-exec sh -c 'cat <&7'"), "mine");
    let bytes = said("head -c 50000000 /dev/zero | host-exec cat | wc -c");
    assert_eq!(bytes, "50000000");
    // A pipeline that ends early.
    assert_eq!(said("host-exec yes | head -1"), "y");
}

#[test]
fn it_runs_in_the_callers_directory_or_not_at_all() {
    assert_eq!(said("cd; host-exec pwd"), said("cd; pwd"));
    assert_eq!(said("cd /tmp; host-exec pwd"), "/tmp");
    let elsewhere =
        inside("cd /var; mkdir -p /run/user/$(id -u)/x; cd /run/user/$(id -u)/x; host-exec pwd; echo $?");
    let captured = elsewhere.run().unwrap();
    assert_eq!(captured.out().trim(), "125", "{}", captured.err());
    assert!(captured.err().contains("the host"), "{}", captured.err());
    assert_eq!(said("cd /run; host-exec -w /usr pwd"), "/usr");
    assert_eq!(said("host-exec -w /no/such/place pwd; echo $?"), "125");
}

#[test]
fn its_environment_is_the_sessions_with_the_callers_wishes() {
    let told = |line: &str| guest().snug(["run", "--", "sh", "-c", line]);
    let value = "host-exec sh -c 'echo $EDITOR-$LD_PRELOAD-$BROWSER-$HOME-$container-$SNUG_CONTAINER'";
    let home = Bed::require().account("tester").home;
    let wanted = format!("vi---{}--asks", home.display());
    assert_eq!(answer(told(&format!("EDITOR=vi {value}"))), wanted);
    assert_eq!(said("host-exec -e A=1 -e HOME=/x sh -c 'echo $A$HOME'"), "1/x");
    assert_eq!(said("B=2 host-exec --clean-env sh -c 'echo -$B-'"), "--");
    let path = said("PATH=/usr/local/bin:/nowhere:/usr/bin:/bin host-exec sh -c 'echo $PATH'");
    assert!(!path.contains("nowhere"), "{path}");
}

#[test]
fn on_a_terminal_it_is_interactive() {
    let mut pty =
        guest().run(["host-exec", "sh", "-c", "tty; stty size; read x; echo got:$x"]).on_pty().unwrap();
    let shown = pty.until("80\r\n").unwrap();
    assert!(shown.contains("/dev/pts/") && shown.contains("24 80"), "{shown}");
    pty.line("hello").unwrap();
    pty.until("got:hello").unwrap();
    pty.ends_with(0);
    let mut pty = guest().run(["host-exec", "sleep", "1000"]).on_pty().unwrap();
    eventually("it runs", || runs("sleep 1000"));
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    let mut pty = guest().run(["sh"]).on_pty().unwrap();
    pty.line("host-exec cat").unwrap();
    pty.line("one").unwrap();
    pty.until("one\r\none\r\n").unwrap();
    pty.write("\x1a").unwrap();
    pty.until("Stopped").unwrap();
    pty.line("fg").unwrap();
    pty.line("two").unwrap();
    // The echo, by whoever has the terminal at that moment, and the command's answer.
    pty.until("two").unwrap();
    pty.until("two\r\n").unwrap();
    pty.write("\x04").unwrap();
    // What is typed before the prompt is the command's of the host.
    pty.until("$ ").unwrap();
    pty.line("exit 0").unwrap();
    pty.ends_with(0);
}

#[test]
fn it_is_hung_up_with_its_caller() {
    let mut pty = guest().run(["host-exec", "sleep", "1001"]).on_pty().unwrap();
    eventually("it runs", || runs("sleep 1001"));
    pty.close();
    eventually("it ends", || !runs("sleep 1001"));
}

#[test]
fn the_names_that_scripts_know_do_the_same() {
    for line in [
        "distrobox-host-exec echo it",
        "distrobox-host-exec -Y echo it",
        "host-spawn echo it",
        "host-spawn -no-pty -cwd / -env A=it sh -c 'echo $A'",
        "flatpak-spawn --host echo it",
        "flatpak-spawn --host --env=A=it --directory=/ sh -c 'echo $A'",
        "cd /run/user/$(id -u) && ln -sf $(command -v host-exec) echo-it && cd && /run/user/$(id -u)/echo-it",
    ] {
        let _program = HostProgram::new("echo-it", "echo it");
        assert_eq!(said(line), "it", "{line}");
    }
    explains(&inside("flatpak-spawn ls").run().unwrap(), 125, &["--host"]);
    explains(&inside("host-exec").run().unwrap(), 125, &["Usage"]);
}

#[test]
fn many_at_once_are_all_right_and_leave_nothing() {
    let line = "for i in $(seq 40); do (host-exec sh -c \"exit $i\"; [ $? = $i ] && echo ok) & done; wait";
    let all = said(line);
    assert_eq!(all.lines().filter(|line| *line == "ok").count(), 40, "{all}");
    assert_eq!(sessions().len(), 1);
    eventually("no process is left", || {
        !process::all().iter().any(|it| it.command_line().starts_with("sh -c exit "))
    });
}

#[test]
fn a_session_that_was_killed_is_there_again_for_the_next_command() {
    assert_eq!(said("host-exec echo 1"), "1");
    for session in sessions() {
        session.signal(Signal::KILL);
        assert!(session.wait_end(common::PATIENCE));
    }
    assert_eq!(said("host-exec echo 2"), "2");
}

#[test]
fn a_container_that_starts_again_by_itself_is_served_again_without_anybody_asking() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "asks-again", common::BUSYBOX, &[]);
    assert_eq!(answer(guest.run(["host-exec", "echo", "1"])), "1");
    // Behind Snug's back, as a reboot from inside is: nobody tells the session of it.
    let project = bed.project("tester");
    bed.incus(["restart", "--force", "--project", &project, guest.name()]).ok().unwrap();
    let ask = [
        "exec",
        "--project",
        &project,
        guest.name(),
        "--",
        "/usr/local/bin/host-exec",
        "-w",
        "/",
        "echo",
        "2",
    ];
    eventually("it answers", || bed.incus(ask).ok().is_ok_and(|said| said.text().trim() == "2"));
}

#[test]
fn a_link_that_is_being_opened_is_not_its_callers_to_stop() {
    let _opener = HostProgram::new("xdg-open", "sleep 3.25");
    let mut pty = guest().run(["xdg-open", "https://example.org/"]).on_pty().unwrap();
    eventually("it is being opened", || runs("sleep 3.25"));
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    assert!(runs("sleep 3.25"), "the browser has gone with its caller");
    eventually("it ends", || !runs("sleep 3.25"));
}

#[test]
fn without_the_grant_it_is_refused() {
    let bed = Bed::require();
    for (name, options) in [
        ("asks-not", &["--no-grant", "host-exec", "--no-grant", "host-open"][..]),
        ("asks-isolated", &["--preset", "isolated"]),
    ] {
        let guest = fresh_with(&bed, "tester", name, common::NO_INIT, options);
        let ended = guest.snug(["run", "-w", "/", "--", "host-exec", "true"]).run().unwrap();
        explains(&ended, 125, &["host-exec", "hint: ", "snug create --grant host-exec"]);
        let names = guest.snug([
            "run",
            "-w",
            "/",
            "--",
            "sh",
            "-c",
            "command -v xdg-open flatpak-spawn; echo $BROWSER",
        ]);
        assert_eq!(answer(names), "", "{name}");
    }
    // With it, the other accounts of the guest are still not the owner.
    let guest = common::fresh(&bed, "tester", "asks-nobody", common::NO_INIT);
    let ended = guest.snug(["run", "-u", "nobody", "-w", "/", "--", "host-exec", "true"]).run().unwrap();
    explains(&ended, 125, &["owner", "hint: where the container has the grant `host-exec`", "and no others"]);
    let guest = fresh_with(&bed, "tester", "asks-opens", common::NO_INIT, &["--no-grant", "host-exec"]);
    let ended = guest.snug(["run", "-w", "/", "--", "host-exec", "true"]).run().unwrap();
    explains(&ended, 125, &["host-exec"]);
}

#[test]
fn a_list_allows_what_it_names_and_nothing_by_the_way() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "asks-some", common::NO_INIT, &["--grant", "host-exec=id,env"]);
    let ask = |line: &str| guest.run(["sh", "-c", line]).run().unwrap();
    assert_eq!(ask("host-exec id -un").success().out().trim(), "tester");
    for line in [
        "host-exec sh",
        "host-exec /usr/bin/id",
        "host-exec ./id",
        "distrobox-host-exec",
        "snug list",
        "host-exec -e PATH=/x id",
    ] {
        let ended = ask(line);
        assert_eq!(ended.code(), 125, "{line}: {}{}", ended.out(), ended.err());
    }
    let environment = ask("GIT_SSH_COMMAND=evil LANG=de host-exec env").success().out();
    assert!(!environment.contains("evil") && environment.contains("LANG=de"), "{environment}");
}

/// An opener of the host that tells what it was called with.
fn opener() -> HostProgram {
    HostProgram::new(
        "xdg-open",
        "printf '%s|' \"$@\" >> \"$HOME/opened\"; test \"$1\" != https://fails.example/",
    )
}

fn opened(bed: &Bed) -> String {
    let path = bed.account("tester").home.join("opened");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(&path);
    text
}

#[test]
fn links_open_on_the_host_by_every_name() {
    let bed = Bed::require();
    let _opener = opener();
    opened(&bed);
    for line in [
        "xdg-open 'https://example.org/?a=b&c=d'",
        "host-open 'https://example.org/?a=b&c=d'",
        "\"$BROWSER\" 'https://example.org/?a=b&c=d'",
    ] {
        inside(line).run().unwrap().success();
        assert_eq!(opened(&bed), "https://example.org/?a=b&c=d|", "{line}");
    }
    assert_eq!(said("xdg-open https://fails.example/ 2>/dev/null; echo $?"), "1");
    opened(&bed);
    let bad = inside("xdg-open \"$(printf 'https://x/\\na')\"").run().unwrap();
    assert_eq!((bad.code(), opened(&bed)), (4, String::new()), "{}", bad.err());
}

#[test]
fn why_the_host_did_not_open_it_is_told() {
    let _opener = HostProgram::new("xdg-open", "echo \"no method for '$1'\" >&2; exit 3");
    for program in ["xdg-open", "host-open"] {
        let ended = inside(&format!("{program} https://example.org/")).run().unwrap();
        explains(&ended, 3, &["`xdg-open` on the host", "no method for 'https://example.org/'", "hint: "]);
    }
}

#[test]
fn gio_opens_on_the_host_and_is_the_guests_own_otherwise() {
    let bed = Bed::require();
    let _opener = opener();
    opened(&bed);
    let guest = fresh_with(&bed, "tester", "opens-by-gio", common::NO_INIT, &[]);
    // `gio help VERB` is how scripts ask whether there is one.
    explains(&guest.run(["gio", "help", "info"]).run().unwrap(), 127, &["no gio of its own"]);
    guest.run(["gio", "open", "https://example.org/before"]).run().unwrap().success();
    assert_eq!(opened(&bed), "https://example.org/before|");
    let own = "printf '#!/bin/sh\\necho own $*\\n' > /usr/bin/gio; chmod 755 /usr/bin/gio";
    guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", own]).run().unwrap().success();
    assert_eq!(answer(guest.run(["gio", "info", "x"])), "own info x");
    guest.run(["gio", "open", "https://example.org/"]).run().unwrap().success();
    assert_eq!(opened(&bed), "https://example.org/|");
}

#[test]
fn a_file_is_opened_where_it_is_shared_and_refused_where_it_is_not() {
    let bed = Bed::require();
    let _opener = opener();
    opened(&bed);
    let home = bed.account("tester").home;
    let text = home.join("a text.txt");
    fs::write(&text, "x").unwrap();
    let _gone = common::Finally(|| drop(fs::remove_file(&text)));
    let shown = text.display().to_string();
    for line in ["cd; xdg-open 'a text.txt'", &format!("xdg-open 'file://{}'", shown.replace(' ', "%20"))] {
        inside(line).run().unwrap().success();
        assert_eq!(opened(&bed), format!("{shown}|"), "{line}");
    }
    for (line, status) in [
        ("xdg-open /etc/passwd", 4),
        ("xdg-open /run/.containerenv", 4),
        ("xdg-open file:///etc/hostname", 4),
        ("xdg-open /no/such", 2),
        ("host-open /etc/passwd", 125),
    ] {
        let ended = inside(line).run().unwrap();
        assert_eq!((ended.code(), opened(&bed)), (status, String::new()), "{line}: {}", ended.err());
    }
}

#[test]
fn an_isolated_container_may_be_let_open_pages_and_no_more() {
    let bed = Bed::require();
    let _opener = opener();
    opened(&bed);
    let options = ["--preset", "isolated", "--grant", "host-open"];
    let guest = fresh_with(&bed, "tester", "opens-pages", common::NO_INIT, &options);
    let ask = |target: &str| guest.snug(["run", "-w", "/", "--", "xdg-open", target]).run().unwrap();
    ask("https://example.org/").success();
    assert_eq!(opened(&bed), "https://example.org/|");
    for (target, status) in [
        ("steam://run/1", 4),
        ("/etc/passwd", 4),
        ("file:///etc/passwd", 4),
        ("-x", 1),
        ("javascript:alert(1)", 4),
    ] {
        let ended: Captured = ask(target);
        assert_eq!((ended.code(), opened(&bed)), (status, String::new()), "{target}: {}", ended.err());
    }
    let exec = guest.snug(["run", "-w", "/", "--", "host-exec", "id"]).run().unwrap();
    explains(&exec, 125, &["host-exec"]);
}

#[test]
fn an_isolated_container_opens_a_few_pages_at_once_and_no_storm_of_them() {
    let bed = Bed::require();
    let _opener = opener();
    opened(&bed);
    let options = ["--preset", "isolated", "--grant", "host-open"];
    let guest = fresh_with(&bed, "tester", "opens-many", common::NO_INIT, &options);
    let line = "for i in $(seq 40); do xdg-open https://example.org/$i 2>/dev/null & done; wait";
    let begin = Instant::now();
    guest.snug(["run", "-w", "/", "--", "sh", "-c", line]).run().unwrap();
    let most = 6 + usize::try_from(begin.elapsed().as_secs() / 2).unwrap();
    let count = opened(&bed).matches('|').count();
    assert!((5..=most).contains(&count), "{count}");
}

#[test]
fn snug_in_a_guest_is_the_hosts_and_means_that_guest() {
    let listed = said("snug list --quiet");
    assert!(listed.contains("asks"), "{listed}");
    assert_eq!(said("snug run hostname"), "asks");
    assert_eq!(said("snug run -c asks -- sh -c 'echo $0'"), "sh");
    // A directory that the guest alone has.
    let own = said("mkdir -p /run/user/$(id -u)/own; cd /run/user/$(id -u)/own; snug run pwd");
    assert!(own.ends_with("/own"), "{own}");
    assert!(said("cd /run/user/$(id -u)/own; snug list").contains("asks"));
    let copied = inside("cd /run/user/$(id -u)/own; snug cp x asks:/tmp/").run().unwrap();
    assert_ne!(copied.code(), 0, "{}", copied.out());
}
