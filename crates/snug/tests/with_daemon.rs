//! Commands against a daemon that plays its part: jobs, errors, several containers.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use support::{Ran, TestEnv, on_a_terminal};

#[test]
fn lists_are_tables_and_json() {
    let environment = TestEnv::with_daemon(&["web", "dev", "db-stopped"]);
    let ran = environment.snug(&["list"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("NAME        STATE    IMAGE             PRESET"), "{}", ran.stdout);
    assert!(lines[1].starts_with("db-stopped  stopped  images:debian/13  integrated"), "{}", ran.stdout);
    assert_eq!(lines.len(), 4);
    let ran = environment.snug(&["ls", "--size"]);
    assert!(ran.stdout.contains("5.0 GiB"), "{}", ran.stdout);
    let ran = environment.snug(&["list", "--json"]);
    for part in ["\"version\": 1", "\"containers\": [", "\"name\": \"dev\"", "\"owner_name\": \"me\""] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let ran = environment.snug(&["info", "dev"]);
    assert!(ran.stdout.contains("Snapshots  2\n") && ran.stdout.contains("trusted"), "{}", ran.stdout);
    assert!(environment.snug(&["info", "dev", "--json"]).stdout.contains("\"container\": {"));
}

#[test]
fn alone_it_says_first_what_most_people_come_for() {
    for containers in [&[][..], &["tools", "dev"]] {
        let ran = TestEnv::with_daemon(containers).snug(&[]);
        let next = ran.stdout.lines().skip_while(|line| *line != "Next").nth(1).unwrap_or_default();
        assert!(next.starts_with("  snug install PKG  "), "{}", ran.stdout);
    }
    let help = TestEnv::new().snug(&["--help"]).stdout;
    let first = help.lines().skip_while(|line| *line != "Commands:").nth(1).unwrap_or_default();
    assert!(first.starts_with("  install  "), "{help}");
}

#[test]
fn a_size_that_is_not_known_is_a_dash_and_in_json_no_number() {
    let environment = TestEnv::with_daemon(&["btrfs-stopped"]);
    let ran = environment.snug(&["list", "--size"]);
    assert!(ran.stdout.lines().nth(1).unwrap().ends_with("  -"), "{}", ran.stdout);
    assert!(!environment.snug(&["info", "btrfs-stopped"]).stdout.contains("Size"));
    assert!(!environment.snug(&["info", "btrfs-stopped", "--json"]).stdout.contains("\"size\""));
}

#[test]
fn without_a_terminal_there_are_no_notices_and_no_questions() {
    let environment = TestEnv::with_daemon(&["dev-stopped", "old-stopped"]);
    for arguments in [
        &["create", "x"][..],
        &["create", "dev-stopped", "--replace"],
        &["rm", "old-stopped"],
        &["start", "dev-stopped"],
        &["stop", "-a"],
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(
            (ran.status, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(0), "", ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_name_that_was_not_given_is_the_answer() {
    let environment = TestEnv::with_daemon(&[]);
    assert_eq!(environment.snug(&["create", "-i", "fedora:42"]).stdout, "fedora-42\n");
    assert_eq!(environment.calls(), ["Create fedora-42 image=images:fedora/42 preset=integrated"]);
}

#[test]
fn what_the_users_own_configuration_says_of_new_containers_goes_with_the_call() {
    let environment = TestEnv::with_daemon(&[]);
    environment.configure(
        "default_preset = 'mine'
         private = ['.foo']
         [presets.mine]
         grants = ['home', 'network=none']
         [settings]
         cpu = 2",
    );
    let told = "islands=.foo preset-grants=home,network=none preset=mine settings=cpu:2";
    for (arguments, call) in [
        (&["create", "x", "-i", "alpine"][..], format!("Create x image=images:alpine/3.22 {told}")),
        (&["run", "true"], format!("Ensure tools create=true image=images:debian/13 {told}")),
        (&["run", "--rm", "true"], format!("image=images:debian/13 {told} temporary=true")),
    ] {
        let before = environment.calls().len();
        environment.snug(arguments);
        let calls = environment.calls().split_off(before);
        assert!(calls.iter().any(|made| made.ends_with(&call)), "{calls:?}");
    }
    // What the system has, the daemon knows.
    environment.configure("default_preset = 'isolated'");
    environment.snug(&["create", "y", "-i", "alpine"]);
    assert_eq!(environment.calls().last().unwrap(), "Create y image=images:alpine/3.22 preset=isolated");
    environment.configure("bridge = 'br9'");
    let warned = environment.snug(&["create", "z", "-i", "alpine"]);
    assert!(warned.stderr.contains("'bridge' is for the system's configuration"), "{}", warned.stderr);
}

#[test]
fn options_become_options() {
    let environment = TestEnv::with_daemon(&["tools", "dev", "old"]);
    let calls_of = |arguments: &[&str]| {
        let before = environment.calls().len();
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.stderr);
        environment.calls().split_off(before).join("; ")
    };
    for (arguments, calls) in [
        (
            &[
                "create",
                "x",
                "-i",
                "alpine",
                "--preset",
                "isolated",
                "--no-start",
                "--replace",
                "--set",
                "cpu=2",
            ][..],
            "Create x image=images:alpine/3.22 preset=isolated replace=true settings=cpu:2 start=false",
        ),
        (&["stop", "dev", "--force", "--timeout", "3"], "Stop dev force=true timeout=3"),
        (&["rm", "-f", "old"], "Remove old force=true"),
        (&["set", "memory=4G", "cpu=0-1"], "Configure tools cpu=0-1,memory=4GiB -"),
        (&["unset", "-c", "dev", "disk"], "Configure dev -disk"),
        (&["undo"], "Undo tools"),
        (
            &["undo", "-c", "dev", "-y", "--to", "snug-20200101T000000Z", "--discard"],
            "Undo dev keep=false to=snug-20200101T000000Z",
        ),
        (&["undo", "-c", "dev", "--dry-run"], "Undo dev dry-run=true"),
        (&["undo", "-c", "dev", "--list"], "Snapshots dev"),
        (&["list", "--size"], "List size=true"),
        (&["logs", "dev", "--jobs"], "Log dev what=job"),
        (&["info"], "Get tools size=true"),
    ] {
        assert_eq!(calls_of(arguments), calls, "{arguments:?}");
    }
}

#[test]
fn what_can_be_gone_back_to_is_a_table_and_json() {
    let environment = TestEnv::with_daemon(&["dev", "new"]);
    let ran = environment.snug(&["undo", "-c", "dev", "--list"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("SNAPSHOT               TAKEN"), "{}", ran.stdout);
    assert!(
        lines[1].starts_with("snug-20200102T000000Z  ") && lines[1].ends_with("install ripgrep"),
        "{lines:?}"
    );
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    let json = environment.snug(&["undo", "-c", "dev", "--list", "--json"]).stdout;
    for part in ["\"version\": 1", "\"snapshots\": [", "\"before\": \"install ripgrep\""] {
        assert!(json.contains(part), "{part}: {json}");
    }
    let none = environment.snug(&["undo", "-c", "new", "--list"]);
    assert_eq!((none.status, none.stdout.as_str(), none.stderr.as_str()), (Some(0), "", ""));
    for (arguments, status) in [
        (&["undo", "--json"][..], 2),
        (&["undo", "--list", "--to", "snug-20200101T000000Z"], 2),
        (&["undo", "-c", "dev", "--to", "snap0"], 1),
        (&["undo", "-c", "broken", "--list"], 1),
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn an_undo_asks_on_a_terminal_and_does_what_was_agreed_to() {
    let environment = TestEnv::with_daemon(&["dev", "zfs-stopped"]);
    let screen = on_a_terminal(&environment, &["undo", "-c", "dev"], "n\n");
    assert!(screen.contains("Undo in container dev: install ripgrep?"), "{screen:?}");
    assert!(screen.contains("is kept, for another undo") && screen.contains("It is stopped"), "{screen:?}");
    assert!(screen.contains("nothing was undone"), "{screen:?}");
    assert_eq!(environment.calls(), ["Snapshots dev", "Undo dev dry-run=true", "Get dev"]);
    let before = environment.calls().len();
    let screen = on_a_terminal(&environment, &["undo", "-c", "zfs-stopped"], "y\n");
    assert!(screen.contains("for good: what is there now is not kept"), "{screen:?}");
    assert!(!screen.contains("It is stopped and started"), "{screen:?}");
    assert_eq!(
        environment.calls().split_off(before).last().unwrap(),
        "Undo zfs-stopped to=snug-20200102T000000Z"
    );
    let screen = on_a_terminal(&environment, &["undo", "-c", "dev", "-y"], "");
    assert!(screen.contains("`snug undo -c dev` brings back what was there"), "{screen:?}");
}

#[test]
fn all_means_one_that_is_being_stopped_too_save_for_a_restart() {
    let environment = TestEnv::with_daemon(&["dev", "old-stopped", "web-stopping"]);
    for (verb, meant) in [
        ("start", &["Start old-stopped", "Start web-stopping"][..]),
        ("stop", &["Stop dev", "Stop web-stopping"]),
        ("restart", &["Restart dev"]),
    ] {
        let before = environment.calls().len();
        assert_eq!(environment.snug(&[verb, "-a"]).status, Some(0), "{verb}");
        let mut calls = environment.calls().split_off(before);
        calls.retain(|call| call != "List");
        calls.sort();
        assert_eq!(calls, meant);
    }
}

/// A container's directory with an agent that answers nobody.
fn listening_agent(environment: &TestEnv, name: &str, policy: &str) -> UnixListener {
    let uid = rustix::process::getuid().as_raw().to_string();
    let directory = environment.system().join("var/lib/snug/run").join(uid).join(name);
    fs::create_dir_all(directory.join("guest")).unwrap();
    fs::write(directory.join("policy"), policy).unwrap();
    let agent = UnixListener::bind(directory.join("guest/agent.sock")).unwrap();
    agent.set_nonblocking(true).unwrap();
    agent
}

#[test]
fn a_container_that_is_being_stopped_is_not_entered_but_asked_for() {
    let environment = TestEnv::with_daemon(&["web-stopping"]);
    let agent = listening_agent(&environment, "web-stopping", "trusted=yes\nstopping=yes\n");
    for command in [&["run", "-c", "web-stopping", "true"][..], &["enter", "web-stopping", "--", "true"]] {
        let before = environment.calls().len();
        let ran = environment.snug(command);
        // This daemon says that it runs now, and it never does.
        assert_eq!(ran.status, Some(125), "{}", ran.stderr);
        assert_eq!(environment.calls().split_off(before), ["Ensure web-stopping"; 3], "{command:?}");
        assert_eq!(agent.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{command:?}");
    }
}

#[test]
fn a_login_starts_what_is_set_to_start_with_it() {
    let environment = TestEnv::with_daemon(&["login-stopped", "login-running", "other-stopped"]);
    let ran = environment.snug(&["start", "--autostart-login"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(environment.calls(), ["List", "Start login-stopped"]);
    assert_eq!(environment.snug(&["start", "--autostart-login", "other-stopped"]).status, Some(2));
    assert_eq!(environment.snug(&["start"]).status, Some(2));
}

#[test]
fn a_dry_run_prints_the_plan() {
    let environment = TestEnv::with_daemon(&["dev"]);
    for arguments in [
        &["create", "x", "--dry-run"][..],
        &["stop", "dev", "--dry-run"],
        &["set", "-c", "dev", "cpu=1", "--dry-run"],
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (Some(0), "step one\nstep two\n"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    assert!(
        environment.calls().iter().all(|call| call.contains("dry-run=true")),
        "{:?}",
        environment.calls()
    );
}

#[test]
fn a_missing_container_gets_the_nearest_name() {
    let environment = TestEnv::with_daemon(&["tools", "website"]);
    for arguments in [
        &["stop", "webiste"][..],
        &["info", "webiste"],
        &["rm", "-f", "webiste"],
        &["set", "-c", "webiste", "cpu=1"],
        &["undo", "-c", "webiste"],
        &["undo", "-c", "webiste", "--list"],
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(1), "{arguments:?}");
        assert!(
            ran.stderr
                .starts_with("error: container webiste does not exist\nhint: did you mean 'website'?\n"),
            "{}",
            ran.stderr
        );
    }
    let ran = environment.snug(&["run", "-c", "webiste", "true"]);
    assert_eq!(ran.status, Some(125));
    assert!(ran.stderr.contains("hint: did you mean 'website'?\n"), "{}", ran.stderr);
}

#[test]
fn making_a_container_is_offered_only_where_that_would_help() {
    let environment = TestEnv::with_daemon(&["tools"]);
    let making = "`snug create nope` makes it";
    for arguments in [
        &["stop", "nope"][..],
        &["restart", "nope"],
        &["rm", "-f", "nope"],
        &["info", "nope"],
        &["logs", "nope"],
        &["set", "-c", "nope", "cpu=1"],
        &["undo", "-c", "nope"],
        &["cp", "/etc/hostname", "nope:/tmp"],
        &["cp", "--dry-run", "nope:/etc/hostname", "."],
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(1), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint: `snug list` shows"), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains(making), "{arguments:?}: {}", ran.stderr);
    }
    for arguments in [&["start", "nope"][..], &["run", "-c", "nope", "true"], &["enter", "nope"]] {
        let ran = environment.snug(arguments);
        assert!(ran.stderr.contains(making), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn only_the_default_container_is_made_on_the_way() {
    let environment = TestEnv::with_daemon(&[]);
    environment.configure("default_image = \"local:mine\"\n");
    let ran = environment.snug(&["run", "true"]);
    // The fake daemon makes nothing: no agent ever answers.
    assert_eq!(ran.status, Some(125));
    assert!(ran.stderr.contains("its agent does not answer"), "{}", ran.stderr);
    assert_eq!(environment.calls()[0], "Ensure tools create=true image=local:mine preset=integrated");
    let ran = environment.snug(&["run", "-c", "other", "true"]);
    assert!(ran.stderr.starts_with("error: container other does not exist\n"), "{}", ran.stderr);
    let ran = environment.snug(&["enter", "fedora"]);
    assert!(ran.stderr.contains("'fedora' is an image: `snug create fedora -i fedora`"), "{}", ran.stderr);
}

#[test]
fn several_names_are_all_tried_and_a_failure_counts() {
    let environment = TestEnv::with_daemon(&["a", "b", "broken"]);
    let ran = environment.snug(&["stop", "a", "broken", "missing", "b", "a"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("error: no space for broken\nhint: remove something\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: container missing does not exist\n"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("error: 2 of 4 stopped; failed: broken, missing\n"), "{}", ran.stderr);
    let stopped = environment.calls().into_iter().filter(|call| call.starts_with("Stop")).count();
    assert_eq!(stopped, 4);
}

#[test]
fn a_failed_job_is_told_with_its_hints() {
    let environment = TestEnv::with_daemon(&[]);
    let ran = environment.snug(&["create", "broken"]);
    assert_eq!(ran.status, Some(1));
    assert_eq!(ran.stderr, "error: no space for broken\nhint: remove something\n");
}

#[test]
fn what_an_administrator_must_agree_to_is_told() {
    let environment = TestEnv::with_daemon(&["denied"]);
    for arguments in [&["list", "--all-users"][..], &["stop", "denied"]] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("hint: an administrator has to agree"), "{}", ran.stderr);
        let root = ran.stderr.contains("hint: root is not asked: `sudo snug list --all-users`");
        assert_eq!(root, arguments[0] == "list", "{}", ran.stderr);
    }
}

#[test]
fn a_daemon_that_leaves_ends_the_command_with_a_clear_message() {
    let environment = TestEnv::with_daemon(&["crash"]);
    let ran = environment.snug(&["stop", "crash"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("error: snugd ended while it was working on this\nhint: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn ctrl_c_cancels_the_job_and_the_client_dies_of_it() {
    let environment = TestEnv::with_daemon(&["slow"]);
    for (arguments, signal) in [(&["create", "slow"][..], 2), (&["run", "-c", "slow", "true"], 15)] {
        let before = environment.calls().len();
        let child =
            environment.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The job is under way when the daemon has the call.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while environment.calls().len() == before {
            assert!(std::time::Instant::now() < deadline, "the daemon was never called");
            std::thread::yield_now();
        }
        kill(child.id(), signal);
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.signal), (None, Some(signal)), "{}", ran.stderr);
        assert!(ran.stderr.contains("what was done is undone"), "{}", ran.stderr);
    }
}

fn kill(process: u32, signal: i32) {
    let status =
        std::process::Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn logs_are_raw_in_a_pipe() {
    let environment = TestEnv::with_daemon(&["dev"]);
    assert_eq!(environment.snug(&["logs", "dev"]).stdout, "booting\x1b[2J\r\n");
}

#[test]
fn a_reader_that_goes_ends_the_command_by_sigpipe() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = environment.command(&["list"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let ran = Ran::from(output.wait_with_output().unwrap());
    assert_eq!((ran.signal, ran.stderr.as_str()), (Some(13), ""));
}

#[test]
fn an_image_file_is_named_by_its_real_path() {
    let environment = TestEnv::with_daemon(&[]);
    let path = environment.home().join("root.tar.gz");
    fs::write(&path, "archive").unwrap();
    let link = environment.home().join("my-root.tar.gz");
    std::os::unix::fs::symlink("root.tar.gz", &link).unwrap();
    let image = format!("file:{}", link.display());
    assert_eq!(environment.snug(&["create", "x", "-i", &image]).status, Some(0));
    let calls: Vec<String> =
        environment.calls().into_iter().filter(|call| !call.starts_with("ListImages")).collect();
    let rootfs = format!(" rootfs={}", fs::canonicalize(&path).unwrap().display());
    let alias = calls[0].strip_prefix("ImportImage ").and_then(|call| call.strip_suffix(&rootfs));
    let alias = alias.unwrap_or_else(|| panic!("{calls:?}"));
    assert!(alias.starts_with("my-root-"), "{alias}");
    assert_eq!(calls[1..], [format!("Create x image=local:{alias} preset=integrated")]);
    let odd = environment.home().join(OsStr::from_bytes(b"odd-\xff.tar"));
    fs::write(&odd, "archive").unwrap();
    let ran = environment.command(&["image", "import"]).arg(&odd).arg("odd").output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("is not UTF-8"), "{ran:?}");
    let ran = environment.snug(&["create", "x", "-i", "file:/nowhere/x.tar"]);
    assert!(ran.stderr.starts_with("error: /nowhere/x.tar cannot be read: "), "{}", ran.stderr);
}

#[test]
fn removing_asks_on_a_terminal_and_erases_its_progress() {
    let environment = TestEnv::with_daemon(&["dev-stopped", "dev"]);
    for (answer, removed) in [("n\n", false), ("\n", false), ("y\n", true)] {
        let before = environment.calls().len();
        let screen = on_a_terminal(&environment, &["rm", "dev-stopped"], answer);
        assert!(screen.contains("Remove container dev-stopped (5.0 GiB, 2 snapshots)?"), "{screen:?}");
        let called = environment.calls()[before..].iter().any(|call| call.starts_with("Remove"));
        assert_eq!(called, removed, "{screen:?}");
    }
    let screen = on_a_terminal(&environment, &["rm", "dev"], "");
    assert!(
        screen.contains("the container 'dev' is running") && screen.contains("`snug rm -f dev`"),
        "{screen:?}"
    );
    let screen = on_a_terminal(&environment, &["enter", "fedora"], "n\n");
    assert!(screen.contains("There is no container fedora. Create it from images:fedora/43?"), "{screen:?}");
}

#[test]
fn removing_all_where_all_run_is_one_error() {
    let environment = TestEnv::with_daemon(&["web", "dev"]);
    let told = "error: web, dev are running\n\
                hint: `snug stop --all` stops them; `snug rm -f --all` removes them as they are\n";
    for arguments in [&["rm", "--all"][..], &["rm", "-a", "-y"]] {
        let ran = environment.snug(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(1), told), "{arguments:?}");
    }
    let screen = on_a_terminal(&environment, &["rm", "web", "dev"], "");
    assert!(screen.contains("web, dev are running") && screen.contains("`snug rm -f web dev`"), "{screen:?}");
    assert!(!environment.calls().iter().any(|call| call.starts_with("Remove")), "{:?}", environment.calls());
    let environment = TestEnv::with_daemon(&["web", "old-stopped"]);
    let ran = environment.snug(&["rm", "--all"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("error: the container 'web' is running\n"), "{}", ran.stderr);
    assert!(environment.calls().contains(&"Remove old-stopped".to_owned()), "{:?}", environment.calls());
}

#[test]
fn replacing_asks_as_removing_does() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let replace = ["create", "dev", "--replace"];
    for (typed, options, made) in
        [("n\n", &[][..], false), ("\n", &[], false), ("y\n", &[], true), ("", &["-y"], true)]
    {
        let before = environment.calls().len();
        let screen = on_a_terminal(&environment, &[&replace[..], options].concat(), typed);
        let question = "Remove container dev (running, 5.0 GiB, 2 snapshots), with all that is installed in it, and make a new one?";
        assert_eq!(screen.contains(question), options.is_empty(), "{screen:?}");
        let called = environment.calls()[before..].iter().any(|call| call.starts_with("Create dev"));
        assert_eq!(called, made, "{screen:?}");
    }
    // There is nothing to lose.
    let screen = on_a_terminal(&environment, &["create", "new", "--replace"], "");
    assert!(!screen.contains('?') && screen.contains("container new is ready"), "{screen:?}");
}
