//! `snug dump`, `snug apply` and `--save`, against a daemon and guests that play their parts.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use support::applications::{ENTRY, Host};
use support::{Ran, TestEnv};

const LIST: &str = r#"# Snug: what containers are to be. `snug dump` writes it, `snug apply FILE` makes it so.

[container.made-tools]
image = "images:debian/13"
preset = "integrated"
grants = ["+kvm", "-gpu"]
packages = ["fd-find", "ripgrep"]
exports = ["/opt/x/bin/tool=t", "fdfind=fd", "rg"]

[container.made-tools.settings]
memory = "4GiB"
"#;
const AVAILABLE: [&str; 5] = ["ripgrep", "fd-find", "jq", "base-files", "breaks"];

fn written(environment: &TestEnv, text: &str) -> String {
    let path = environment.home().join("tools.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Calls that change something.
fn changes(environment: &TestEnv) -> Vec<String> {
    let reads = ["List", "Get", "Ensure", "TakeSnapshot"];
    let is_change = |call: &String| !reads.iter().any(|read| call.starts_with(read));
    environment.calls().into_iter().filter(is_change).collect()
}

#[track_caller]
fn ended(ran: &Ran, status: i32) {
    assert_eq!(ran.status, Some(status), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn what_was_dumped_is_applied_and_dumped_again() {
    let environment = TestEnv::with_daemon(&[]);
    environment.install_shim();
    let guest = environment.debian("made-tools", &AVAILABLE);
    let list = written(&environment, LIST);
    let applied = environment.snug(&["apply", &list]);
    ended(&applied, 0);
    assert_eq!(guest.installed(), ["fd-find", "ripgrep"]);
    assert_eq!(
        changes(&environment),
        [
            "Create made-tools grants=kvm image=images:debian/13 no-grants=gpu preset=integrated settings=memory:4GiB"
        ]
    );
    for name in ["t", "fd", "rg"] {
        assert!(fs::symlink_metadata(environment.home().join(".local/bin").join(name)).is_ok(), "{name}");
    }
    let dumped = environment.snug(&["dump"]);
    assert_eq!((dumped.stdout.as_str(), dumped.stderr.as_str()), (LIST, ""));
    // Again: nothing.
    let (before, log) = (changes(&environment), guest.read("log"));
    let again = environment.snug(&["apply", &list, "--prune"]);
    ended(&again, 0);
    assert_eq!((changes(&environment), guest.read("log")), (before, log));
    // Lost, and back by standard input.
    ended(&environment.snug(&["rm", "-f", "made-tools"]), 0);
    assert!(fs::symlink_metadata(environment.home().join(".local/bin/rg")).is_err());
    guest.forget();
    let mut apply = environment.command(&["apply", "-"]);
    let mut apply =
        apply.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    apply.stdin.take().unwrap().write_all(dumped.stdout.as_bytes()).unwrap();
    ended(&apply.wait_with_output().unwrap().into(), 0);
    assert_eq!(environment.snug(&["dump", "-c", "made-tools"]).stdout, LIST);
}

#[test]
fn a_list_that_is_wrong_changes_nothing() {
    let environment = TestEnv::with_daemon(&["dev"]);
    for (text, said) in [
        ("[container.made-a]\npackage = ['x']\n", "tools.toml, line 2: there is no key 'package' here"),
        ("[container.made-a]\n[container.b_]\n", "line 2"),
        ("[container.made-a]\ngrants = ['+gppu']\n", "line 2"),
        ("[container.made-a\n", "line 1"),
        ("\u{1b}[2J", "line 1"),
    ] {
        let list = written(&environment, text);
        for arguments in
            [&["apply", &list][..], &["apply", &list, "--prune", "-y"], &["apply", &list, "--dry-run"]]
        {
            let refused = environment.snug(arguments);
            ended(&refused, 1);
            assert!(
                refused.stderr.contains(said) && !refused.stderr.contains('\u{1b}'),
                "{}",
                refused.stderr
            );
        }
    }
    let list =
        written(&environment, "[container.a]\nimagee = 'x'\nx = 1\n[container.b]\npackages = ['-x']\n");
    let refused = environment.snug(&["apply", &list]);
    ended(&refused, 1);
    for part in ["line 2", "line 3", "line 5", "did you mean 'image'?", "3 mistakes", "nothing was done"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    ended(&environment.snug(&["apply", "nothing.toml"]), 1);
    ended(&environment.snug(&["apply", "/dev/zero"]), 1);
    let none = written(&environment, "# nothing\n");
    let refused = environment.snug(&["apply", &none, "--prune", "-y"]);
    assert!(refused.stderr.contains("names no container: with --prune all would go"), "{}", refused.stderr);
    ended(&environment.snug(&["apply", &none]), 0);
    assert_eq!(changes(&environment), [""; 0]);
}

#[test]
fn a_plan_is_shown_and_not_carried_out() {
    let environment = TestEnv::with_daemon(&["old"]);
    environment.debian("made-tools", &AVAILABLE);
    let list = written(&environment, LIST);
    let shown = environment.snug(&["apply", &list, "--dry-run", "--prune"]);
    ended(&shown, 0);
    assert_eq!(
        shown.stdout,
        "create 'made-tools' from images:debian/13: integrated +kvm -gpu memory=4GiB\n\
         install in 'made-tools': fd-find, ripgrep\n\
         export from 'made-tools': /opt/x/bin/tool=t, fdfind=fd, rg\n\
         remove 'old', with everything that was installed in it\n"
    );
    let json = environment.snug(&["apply", &list, "--dry-run", "--json"]).stdout;
    for part in [
        "\"version\": 1",
        "\"plan\": {",
        "\"do\": \"create\"",
        "\"container\": \"made-tools\"",
        "\"obstacles\": []",
    ] {
        assert!(json.contains(part), "{part}: {json}");
    }
    ended(&environment.snug(&["apply", &list, "--json"]), 2);
    assert_eq!(changes(&environment), [""; 0]);
}

#[test]
fn what_the_list_does_not_name_goes_when_that_is_said() {
    let environment = TestEnv::with_daemon(&["old"]);
    environment.install_shim();
    let guest = environment.debian("made-tools", &AVAILABLE);
    ended(&environment.snug(&["apply", &written(&environment, LIST)]), 0);
    let less = written(
        &environment,
        "[container.made-tools]\npackages = ['ripgrep']\nexports = ['rg']\nsettings = { cpu = 2 }\n",
    );
    ended(&environment.snug(&["apply", &less]), 0);
    assert_eq!(guest.installed(), ["fd-find", "ripgrep"]);
    // A container goes only where somebody has said so.
    let stays = environment.snug(&["apply", &less, "--prune"]);
    ended(&stays, 1);
    assert!(stays.stderr.contains("old stays: nobody can be asked"), "{}", stays.stderr);
    assert_eq!(guest.installed(), ["ripgrep"]);
    assert!(fs::symlink_metadata(environment.home().join(".local/bin/fd")).is_err());
    ended(&environment.snug(&["apply", &less, "--prune", "-y"]), 0);
    let calls = changes(&environment);
    assert_eq!(
        calls[1..],
        ["Configure made-tools cpu=2 -", "Configure made-tools -memory", "Remove old force=true"],
        "{calls:?}"
    );
    // What the image brought is nobody's to remove.
    assert!(!guest.read("log").contains("base-files"), "{}", guest.read("log"));
    assert!(guest.read("record").contains("image base-files"), "{}", guest.read("record"));
}

#[test]
fn a_step_that_fails_keeps_no_other_from_being_done() {
    let environment = TestEnv::with_daemon(&["dev"]);
    environment.install_shim();
    let guest = environment.debian("made-tools", &AVAILABLE);
    let list = written(
        &environment,
        "[container.broken-one]\npackages = ['jq']\n[container.dev]\nimage = 'debian:12'\n
         [container.made-tools]\npackages = ['no-more', 'jq', 'breaks', 'ripgrep']\nexports = ['missing', 'rg']\n",
    );
    let ran = environment.snug(&["apply", &list]);
    ended(&ran, 1);
    assert_eq!(guest.installed(), ["jq", "ripgrep"]);
    for part in [
        "no space for broken-one",
        "'dev' was made from images:debian/13, the list says images:debian/12",
        "made-tools has no package no-more",
        "breaks breaks",
        "made-tools has no command missing",
        "left: create 'broken-one' from images:debian/13: integrated; install in 'broken-one': jq; \
         install in 'made-tools': breaks, no-more; export from 'made-tools': missing",
        "the same command goes on",
    ] {
        assert!(ran.stderr.contains(part), "{part}:\n{}", ran.stderr);
    }
    assert!(fs::symlink_metadata(environment.home().join(".local/bin/rg")).is_ok());
    assert_eq!(changes(&environment).len(), 2, "{:?}", changes(&environment));
}

#[test]
fn a_container_that_does_not_run_is_started_for_a_look_and_stopped_again() {
    let environment = TestEnv::with_daemon(&["old-stopped"]);
    let guest = environment.debian("old-stopped", &AVAILABLE);
    let dumped = environment.snug(&["dump"]);
    ended(&dumped, 0);
    assert!(
        dumped.stdout.contains("[container.old-stopped]\nimage = \"images:debian/13\""),
        "{}",
        dumped.stdout
    );
    assert!(dumped.stdout.contains("packages = [\"base-files\"]"), "{}", dumped.stdout);
    let all = ["List", "Ensure old-stopped", "Get old-stopped", "Stop old-stopped"];
    assert_eq!(environment.calls(), all);
    let list = written(&environment, "[container.old-stopped]\npackages = ['jq']\n");
    ended(&environment.snug(&["apply", &list, "--dry-run"]), 0);
    assert_eq!(environment.calls()[4..], all);
    // Who has begun something in it meanwhile keeps it.
    guest.begin("cargo");
    ended(&environment.snug(&["dump"]), 0);
    assert_eq!(environment.calls()[8..], all[..3]);
    let refused = environment.snug(&["dump", "-c", "old-stoped"]);
    ended(&refused, 1);
    assert!(refused.stderr.contains("did you mean 'old-stopped'?"), "{}", refused.stderr);
}

#[test]
fn what_was_installed_and_uninstalled_is_in_the_list_with_the_comments_of_whoever_keeps_it() {
    let environment = TestEnv::with_daemon(&[]);
    environment.install_shim();
    let guest = environment.debian("made-tools", &AVAILABLE);
    ended(&environment.snug(&["create", "made-tools", "-i", "debian"]), 0);
    let dotfiles = environment.home().join("dotfiles");
    fs::create_dir(&dotfiles).unwrap();
    symlink("dotfiles/list.toml", environment.home().join("tools.toml")).unwrap();
    let (list, path) = (dotfiles.join("list.toml"), environment.home().join("tools.toml"));
    let path = path.to_str().unwrap();
    let text = || fs::read_to_string(&list).unwrap();
    let install = |words: &[&str]| {
        environment.snug(&[&["install", "-c", "made-tools", "--no-export", "--save", path], words].concat())
    };
    // It failed: nothing is written, not even the file.
    ended(&install(&["no-more"]), 1);
    assert!(!list.exists());
    ended(&install(&["ripgrep"]), 0);
    let first = text();
    assert!(first.contains("[container.made-tools]\nimage = \"images:debian/13\"\npreset = \"integrated\"\npackages = [\"ripgrep\"]\nexports = []\n"), "{first}");
    let mine =
        first.replace("packages = [\"ripgrep\"]", "# what I need\npackages = [\n    \"ripgrep\", # fast\n]");
    fs::write(&list, &mine).unwrap();
    ended(&install(&["jq", "fd-find"]), 0);
    let more =
        mine.replace("    \"ripgrep\", # fast\n", "    \"fd-find\",\n    \"jq\",\n    \"ripgrep\", # fast\n");
    assert_eq!(text(), more);
    ended(&install(&["no-more"]), 1);
    assert_eq!(text(), more);
    let uninstalled = environment.snug(&["uninstall", "-c", "made-tools", "--save", path, "fd-find", "jq"]);
    ended(&uninstalled, 0);
    assert_eq!(text(), mine);
    assert!(fs::symlink_metadata(path).unwrap().is_symlink());
    ended(&environment.snug(&["apply", path, "--prune", "-y"]), 0);
    assert_eq!(guest.installed(), ["ripgrep"]);
    // A list that is none is told before anything is done.
    fs::write(&list, "[container.made-tools]\npackage = []\n").unwrap();
    let refused = install(&["jq"]);
    ended(&refused, 1);
    assert!(refused.stderr.contains("line 2: there is no key 'package' here"), "{}", refused.stderr);
    assert_eq!(guest.installed(), ["ripgrep"]);
    // One that cannot be written, too; nobody makes files there, whoever he is.
    let nowhere = ["install", "-c", "made-tools", "--save", "/proc/tools.toml", "jq"];
    let refused = environment.snug(&nowhere);
    ended(&refused, 1);
    assert!(refused.stderr.contains("/proc/tools.toml cannot be written"), "{}", refused.stderr);
    assert_eq!(guest.installed(), ["ripgrep"]);
}

#[test]
fn applications_are_in_the_list_too() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    let environment = &host.environment;
    ended(
        &environment.snug(&["apply", &written(environment, "[container.dev]\napps = ['tool', 'none']\n")]),
        1,
    );
    assert!(host.entry("dev").exists());
    let dumped = environment.snug(&["dump", "-c", "dev"]);
    ended(&dumped, 0);
    assert!(dumped.stdout.contains("exports = []\napps = [\"tool\"]\n"), "{}", dumped.stdout);
    assert!(dumped.stdout.contains("# no package manager that Snug knows"), "{}", dumped.stdout);
    let plan = environment.snug(&["apply", &written(environment, &dumped.stdout), "--dry-run"]);
    assert_eq!(plan.stdout, "");
    let none = written(environment, "[container.dev]\napps = []\n[container.web]\n");
    ended(&environment.snug(&["apply", &none, "--prune"]), 0);
    assert!(!host.entry("dev").exists());
}

#[test]
fn a_list_with_a_preset_that_is_gone_is_applied_where_it_was_written() {
    let environment = TestEnv::with_daemon(&["yesterday-home"]);
    environment.debian("yesterday-home", &AVAILABLE);
    let dumped = environment.snug(&["dump"]);
    ended(&dumped, 0);
    assert!(dumped.stdout.contains("preset = \"of-yesterday\"\ngrants = [\"+home\"]\n"), "{}", dumped.stdout);
    let again = environment.snug(&["apply", &written(&environment, &dumped.stdout)]);
    ended(&again, 0);
    assert_eq!((changes(&environment), again.stderr.as_str()), (vec![], ""));
    // On another host: all else is done.
    let elsewhere = dumped.stdout.replace("yesterday-home", "made-b") + "\n[container.made-a]\n";
    let refused = environment.snug(&["apply", &written(&environment, &elsewhere)]);
    ended(&refused, 1);
    for part in
        ["'made-b' cannot be made", "no preset 'of-yesterday'", "preset = \"integrated\" with grants = ["]
    {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let done = changes(&environment);
    assert!(done.len() == 1 && done[0].starts_with("Create made-a "), "{done:?}");
}

#[test]
fn a_temporary_container_is_said_to_be_in_the_way() {
    let environment = TestEnv::with_daemon(&["brief"]);
    let list = written(&environment, "[container.brief]\nsettings = { cpu = 1 }\n[container.made-a]\n");
    let refused = environment.snug(&["apply", &list, "--prune", "-y"]);
    ended(&refused, 1);
    assert!(refused.stderr.contains("'brief' is there already, and temporary"), "{}", refused.stderr);
    let done = changes(&environment);
    assert!(done.len() == 1 && done[0].starts_with("Create made-a "), "{done:?}");
    assert!(!environment.snug(&["dump"]).stdout.contains("brief"));
}

#[test]
fn what_snug_x_keeps_is_in_no_list_and_is_not_taken_away() {
    let environment = TestEnv::with_daemon(&["x-hello"]);
    let store = environment.home().join(".local/state/snug/x");
    fs::create_dir_all(&store).unwrap();
    let record = |created: &str| {
        let text = serde_json::json!({"package": "hello", "created": created}).to_string();
        fs::write(store.join("x-hello.json"), text).unwrap();
    };
    record("2020-01-01T00:00:00Z");
    assert!(!environment.snug(&["dump"]).stdout.contains("x-hello"));
    let list = written(&environment, "[container.made-a]\n");
    ended(&environment.snug(&["apply", &list, "--prune", "-y"]), 0);
    assert_eq!(changes(&environment).len(), 1, "{:?}", changes(&environment));
    // Of that name, and somebody's own by now.
    record("2019-01-01T00:00:00Z");
    let plan = environment.snug(&["apply", &list, "--prune", "--dry-run"]).stdout;
    assert!(plan.starts_with("remove 'x-hello'"), "{plan}");
    fs::remove_file(store.join("x-hello.json")).unwrap();
    ended(&environment.snug(&["apply", &list, "--prune", "-y"]), 0);
    assert_eq!(changes(&environment).last().unwrap(), "Remove x-hello force=true");
}

#[test]
fn who_gives_up_has_what_was_done_and_the_next_time_goes_on() {
    let environment = TestEnv::with_daemon(&[]);
    let list = written(&environment, "[container.made-a]\n[container.slow-b]\n[container.made-c]\n");
    let mut command = environment.command(&["apply", &list]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let told = child.stderr.take().unwrap();
    let is_at = || environment.calls().iter().any(|call| call.starts_with("Create slow-b"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_at() {
        assert!(std::time::Instant::now() < end && child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let told = std::io::read_to_string(told).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{told}");
    assert!(told.contains("given up after 2 of 3 steps") && told.contains("goes on from here"), "{told}");
    let plan = environment.snug(&["apply", &list, "--dry-run"]);
    assert_eq!(plan.stdout, "create 'slow-b' from images:debian/13: integrated\n");
}
