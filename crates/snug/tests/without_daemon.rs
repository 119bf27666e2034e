//! What can be said without a daemon: usage, configuration, no bus.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;

use support::TestEnv;

#[test]
fn help_and_version_are_answers() {
    let environment = TestEnv::new();
    for arguments in
        [&["--help"][..], &["help"], &["help", "run"], &["run", "--help"], &["enter", "-h"], &["--version"]]
    {
        let ran = environment.snug(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ran.stdout.contains("snug"), "{arguments:?}: {}", ran.stdout);
    }
}

#[test]
fn the_units_of_the_users_manager_call_what_exists() {
    for unit in [
        include_str!("../../../data/systemd/user/snug-login.service"),
        include_str!("../../../data/systemd/user/snug-upgrade.service"),
    ] {
        let lines: Vec<&str> = unit.lines().filter(|line| line.starts_with("Exec")).collect();
        let [line] = lines[..] else { panic!("{lines:?}") };
        let mut words: Vec<&str> =
            line.strip_prefix("ExecStart=/usr/bin/snug ").unwrap().split(' ').collect();
        // An unknown word before it is an error.
        words.push("--help");
        assert_eq!(TestEnv::new().snug(&words).status, Some(0), "{line}");
    }
}

#[test]
fn a_usage_error_is_2_and_125_where_a_command_has_a_status_of_its_own() {
    let environment = TestEnv::new();
    for (arguments, status) in [
        (&["frobnicate"][..], 2),
        (&["list", "--frobnicate"], 2),
        (&["rm"], 2),
        (&["cp", "a", "b"], 2),
        (&["cp", "tools:rel", "b"], 2),
        (&["run"], 125),
        (&["run", "--frobnicate", "true"], 125),
        (&["-q", "run", "--frobnicate", "true"], 125),
        (&["enter", "a", "b"], 125),
        (&["run", "-e", "=x", "true"], 125),
        (&["run", "-w", ".", "true"], 125),
        (&["run", "--workdir=etc", "true"], 125),
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(ran.stderr.starts_with("error: "), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_command_that_does_not_exist_gets_the_nearest_one() {
    let environment = TestEnv::new();
    for (arguments, near) in [
        (&["rnu", "ls"][..], "run"),
        (&["-q", "lst"], "list"),
        (&["image", "pll", "debian"], "pull"),
        (&["help", "rnu"], "run"),
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(2), "{arguments:?}");
        assert!(ran.stderr.contains(&format!("'{near}'\n")), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.matches("snug [OPTIONS]").count() <= 1, "{}", ran.stderr);
    }
    let ran = environment.snug(&["frobnicate"]);
    assert!(!ran.stderr.contains("exist"), "{}", ran.stderr);
}

#[test]
fn a_wrong_name_is_told_with_what_would_do() {
    let environment = TestEnv::new();
    let ran = environment.snug(&["create", "My_Tools"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("error: 'My_Tools' is not a valid container name: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: 'my-tools' would do\n"), "{}", ran.stderr);
    let ran = environment.snug(&["create", "fedora:43"]);
    assert!(ran.stderr.contains("hint: for an image: `snug create -i fedora:43`\n"), "{}", ran.stderr);
}

#[test]
fn the_options_that_fingers_know_from_cp_are_no_mistake() {
    let environment = TestEnv::new();
    for option in ["-r", "-R", "--recursive"] {
        let ran = environment.snug(&["cp", option, "a", "b"]);
        assert!(
            ran.stderr.starts_with("error: exactly one side has to be in a container\n"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn an_image_of_a_registry_gets_the_name_that_works() {
    let environment = TestEnv::new();
    let ran = environment.snug(&["create", "-i", "docker.io/library/debian:12"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("debian:12"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
}

#[test]
fn without_a_bus_one_clear_message_says_so() {
    let environment = TestEnv::new();
    for (arguments, status) in [
        (&[][..], 1),
        (&["list"], 1),
        (&["info"], 1),
        (&["stop", "-a"], 1),
        (&["run", "true"], 125),
        (&["run", "--rm", "true"], 125),
        (&["enter"], 125),
    ] {
        let ran = environment.snug(arguments);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.starts_with("error: the system bus cannot be reached"), "{}", ran.stderr);
        assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    }
}

#[test]
fn the_doctor_tells_of_a_missing_bus_and_ends_with_1() {
    let environment = TestEnv::new();
    let ran = environment.snug(&["doctor"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stdout.contains("error    bus"), "{}", ran.stdout);
    let ran = environment.snug(&["doctor", "--json"]);
    assert!(
        ran.stdout.contains("\"version\": 1") && ran.stdout.contains("\"check\": \"bus\""),
        "{}",
        ran.stdout
    );
}

#[test]
fn without_a_daemon_on_the_bus_one_clear_message_says_so() {
    let environment = TestEnv::with_bus();
    let ran = environment.snug(&["list"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("error: snugd, Snug's daemon, is not installed"), "{}", ran.stderr);
}

#[test]
fn a_broken_configuration_is_named_with_file_line_and_key() {
    let environment = TestEnv::new();
    environment.configure("default_image = \"debian\"\ndefault_container = \n");
    for arguments in [&["list"][..], &["run", "true"], &["create"]] {
        let ran = environment.snug(arguments);
        if arguments == ["list"] {
            continue; // asks nothing of the configuration
        }
        assert!(ran.stderr.contains("config.toml, line 2, column "), "{arguments:?}: {}", ran.stderr);
    }
    environment.configure("default_container = \"No_Name\"\n");
    let ran = environment.snug(&["run", "true"]);
    assert_eq!(ran.status, Some(125));
    assert!(ran.stderr.contains("config.toml: 'default_container': "), "{}", ran.stderr);
    environment.configure("default_contaner = \"x\"\n");
    let ran = environment.snug(&["create", "--dry-run"]);
    assert!(
        ran.stderr.contains("warning: ") && ran.stderr.contains("did you mean 'default_container'?"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_stronger_layer_wins() {
    let environment = TestEnv::new();
    let write = |path: &str, text: &str| {
        let path = environment.system().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let default = |variables: &[(&str, &str)]| {
        let output = environment.command(&["doctor"]).envs(variables.iter().copied()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .find_map(|line| line.split("the default container is ").nth(1).map(str::to_owned))
            .unwrap()
    };
    assert_eq!(default(&[]), "tools");
    write("usr/lib/snug/config.toml", "default_container = \"vendor\"");
    assert_eq!(default(&[]), "vendor");
    write("usr/lib/snug/config.d/10-drop.toml", "default_container = \"drop\"");
    assert_eq!(default(&[]), "drop");
    write("etc/snug/config.toml", "default_container = \"admin\"");
    assert_eq!(default(&[]), "admin");
    environment.configure("default_container = \"user\"");
    assert_eq!(default(&[]), "user");
    assert_eq!(default(&[("SNUG_CONTAINER", "mine")]), "mine");
    // The short way of the hot path reads the same.
    for (variables, name) in [(&[][..], "user"), (&[("SNUG_CONTAINER", "mine")], "mine")] {
        let bus = TestEnv::with_daemon(&[]);
        bus.configure("default_container = \"user\"");
        bus.command(&["run", "true"]).envs(variables.iter().copied()).output().unwrap();
        assert!(
            bus.calls().iter().any(|call| call.starts_with(&format!("Ensure {name} "))),
            "{:?}",
            bus.calls()
        );
    }
}

#[test]
fn completions_are_printed_for_each_shell_and_answered() {
    let environment = TestEnv::with_daemon(&["dev", "db-stopped"]);
    for shell in ["bash", "zsh", "fish"] {
        let ran = environment.snug(&["completion", shell]);
        assert_eq!(ran.status, Some(0));
        assert!(ran.stdout.contains("SNUG_COMPLETE"), "{}", ran.stdout);
    }
    assert_eq!(environment.snug(&["completion", "tcsh"]).status, Some(2));
    let complete = |words: &[&str]| {
        let mut command = environment.command(&["--", "snug"]);
        command.args(words).env("SNUG_COMPLETE", "fish");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let offered = complete(&["stop", "d"]);
    assert!(
        offered.contains("dev\trunning, images:debian/13") && offered.contains("db-stopped"),
        "{offered}"
    );
    let offered = complete(&["create", "-i", ""]);
    assert!(offered.contains("local:debian/13") && offered.contains("fedora"), "{offered}");
    assert!(complete(&["set", "me"]).contains("memory="));
    assert_eq!(complete(&["set", "autostart=l"]).trim(), "autostart=login");
    assert!(complete(&["cp", "d"]).contains("dev:\trunning"));
    for line in
        [&["cp", "/etc/host"][..], &["run", "less", "/etc/host"], &["run", "-c", "dev", "less", "/etc/host"]]
    {
        assert!(complete(line).contains("/etc/hostname"), "{line:?}");
    }
    assert!(complete(&["r"]).contains("restart"));
}

#[test]
fn bash_completes_by_the_script_that_is_printed() {
    let environment = TestEnv::with_daemon(&["dev", "db-stopped"]);
    // What readline sets before it calls the function that `complete` registered.
    let script = r#"PATH=$(dirname "$SNUG"):$PATH; source <("$SNUG" completion bash)
        function=$(complete -p snug | sed 's/.*-F \([^ ]*\).*/\1/')
        ask() { COMP_WORDS=(snug "$@"); COMP_CWORD=$#; COMP_TYPE=9; "$function" snug "${@: -1}"; echo "${COMPREPLY[@]}"; }
        ask sto; ask st; ask enter d; ask stop db"#;
    let mut command = environment.command_of("bash", &["--norc", "-c", script]);
    let output = command.env("SNUG", env!("CARGO_BIN_EXE_snug")).output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = answers.lines().map(str::trim).collect();
    assert_eq!(answers, ["stop", "start stop", "dev db-stopped", "db-stopped"], "{:?}", output.stderr);
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let environment = TestEnv::new();
    let directory = environment.home().join("man");
    assert_eq!(environment.snug(&["man", directory.to_str().unwrap()]).status, Some(0));
    for page in ["snug.1", "snug-run.1", "snug-enter.1", "snug-image.1", "snug-image-pull.1"] {
        let text = fs::read_to_string(directory.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH snug"), "{page}");
    }
    assert!(!directory.join("snug-markdown.1").exists());
}

#[test]
fn the_reference_of_the_command_line_is_as_generated() {
    let generated = TestEnv::new().snug(&["markdown"]).stdout;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/reference/cli.md is old: `cargo run -p snug -- markdown > docs/reference/cli.md`"
    );
}
