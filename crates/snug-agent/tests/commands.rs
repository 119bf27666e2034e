//! A command in the guest behaves as one on this side.

mod harness;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use harness::{Agent, OWNER, exec, script};
use snug_wire::message::{Directory, FailureKind, FromAgent, Limit, Stdio, ToAgent, User};

#[test]
fn every_status_arrives_as_it_is() {
    let agent = Agent::start();
    for status in 0..=255_u8 {
        let mut client = agent.client();
        client.run(script(&format!("exit {status}")));
        assert_eq!(client.expect(), FromAgent::Exited(status));
    }
}

#[test]
fn death_by_a_signal_is_told_from_an_exit() {
    let agent = Agent::start();
    for signal in [1, 2, 3, 6, 9, 10, 13, 15, 34, 64] {
        let mut client = agent.client();
        client.run(script(&format!("ulimit -c 0; kill -{signal} $$; sleep 20")));
        assert_eq!(client.expect(), FromAgent::Killed { signal, core: false });
    }
}

#[test]
fn arguments_and_environment_are_bytes() {
    let agent = Agent::start();
    let odd: [&[u8]; 8] =
        [b"", b" ", b"a b", b"\"'$*`\\", b"line\nline", b"-n", b"\xff\xfe\x80", b"\xc3\xa9"];
    let mut request = exec(&["printf", "%s\\0"]);
    request.argv.extend(odd.iter().map(|word| word.to_vec()));
    let expected: Vec<u8> = odd.iter().flat_map(|word| [*word, b"\0"].concat()).collect();
    assert_eq!(agent.capture(request).stdout, expected);

    let mut request = exec(&["env", "-0"]);
    request.environment.push(b"ODD=\xff \"$x`\n".to_vec());
    let output = agent.capture(request).stdout;
    let mut variables = output.split(|byte| *byte == 0);
    assert!(variables.any(|variable| variable == b"ODD=\xff \"$x`\n"));
}

#[test]
fn one_long_argument_and_two_megabytes_of_them_arrive() {
    let agent = Agent::start();
    let mut request = exec(&["sh", "-c", "echo $# ${#1}", "sh"]);
    // The kernel's bound is a quarter of the stack's limit (8 MiB).
    request.argv.extend(std::iter::repeat_n(vec![b'x'; 100_000], 20));
    assert_eq!(agent.capture(request).text(), "20 100000\n");
    let mut request = exec(&["true"]);
    request.argv.extend(std::iter::repeat_n(vec![b'x'; 100_000], 80));
    let captured = agent.capture(request);
    assert!(matches!(captured.end(), FromAgent::Failed { kind: FailureKind::NotExecutable, .. }));
}

#[test]
fn what_cannot_run_is_told_precisely() {
    let agent = Agent::start();
    let home = agent.home();
    fs::write(home.join("no-interpreter"), "#!/nonexistent\n").unwrap();
    fs::write(home.join("not-executable"), "x").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(home.join("no-interpreter"), executable).unwrap();
    let at = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let table = [
        ("no-such-program-anywhere".to_owned(), FailureKind::NotFound),
        (at("missing"), FailureKind::NotFound),
        (String::new(), FailureKind::NotFound),
        (at("not-executable"), FailureKind::NotExecutable),
        (at("no-interpreter"), FailureKind::NotExecutable),
        (at(""), FailureKind::NotExecutable),
    ];
    for (program, expected) in table {
        let mut client = agent.client();
        client.send(&ToAgent::Exec(Box::new(exec(&[&program]))));
        match client.expect() {
            FromAgent::Failed { kind, text } => {
                assert_eq!(kind, expected, "{program}");
                assert!(String::from_utf8(text).unwrap().starts_with(&program), "{program}");
            }
            other => panic!("{program}: {other:?}"),
        }
    }
}

#[test]
fn a_directory_of_the_path_that_is_closed_to_the_user_is_passed_over() {
    let agent = Agent::start();
    let closed = agent.directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("true"), "").unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let run = |program: &str| {
        let mut request = exec(&[program]);
        request.environment = vec![format!("PATH={}:/usr/bin", closed.display()).into_bytes()];
        agent.capture(request)
    };
    assert_eq!(*run("true").end(), FromAgent::Exited(0));
    assert!(matches!(run("no-such-program").end(), FromAgent::Failed { kind: FailureKind::NotFound, .. }));
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_sh() {
    let agent = Agent::start();
    let path = agent.home().join("plain");
    fs::write(&path, "echo \"$0 $1\"\n").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(agent.capture(exec(&[path, "a b"])).text(), format!("{path} a b\n"));
}

#[test]
fn the_command_is_the_user_with_his_mask_limits_and_signals() {
    let agent = Agent::start();
    let mut request = script(
        "id -u; id -g; umask; ulimit -Sn; ulimit -Hc; grep -E '^Sig(Blk|Ign)|^NoNew' /proc/self/status",
    );
    request.umask = 0o027;
    request.limits =
        vec![Limit { resource: 7, soft: 333, hard: u64::MAX }, Limit { resource: 4, soft: 0, hard: 0 }];
    request.ignored = 1 << (libc::SIGHUP - 1);
    let text = agent.capture(request).text();
    let expected = format!(
        "{OWNER}\n{OWNER}\n0027\n333\n0\nNoNewPrivs:\t0\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\n"
    );
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let mut wanted: Vec<_> = expected.lines().collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[test]
fn root_and_named_users_are_those_of_the_guest() {
    let agent = Agent::start();
    for (user, expected) in [
        (User::Root, "0 /root root"),
        (User::Named(b"daemon".to_vec()), "1 /usr/sbin daemon"),
        (User::Named(b"1".to_vec()), "1 /usr/sbin daemon"),
        (User::Named(b"7777".to_vec()), "7777 / 7777"),
    ] {
        let mut request = script("echo $(id -u) $HOME $USER");
        request.user = user;
        assert_eq!(agent.capture(request).text().trim(), expected);
    }
    let mut request = exec(&["true"]);
    request.user = User::Named(b"nobody-at-all".to_vec());
    let captured = agent.capture(request);
    assert!(matches!(captured.end(), FromAgent::Failed { kind: FailureKind::User, .. }));
}

#[test]
fn the_same_directory_means_the_same_inode() {
    let agent = Agent::start();
    let home = agent.home();
    let status = fs::metadata(&home).unwrap();
    let path = home.to_str().unwrap();
    let same = |path: &str, inode: u64, or_home| Directory::Same {
        path: path.into(),
        device: status.dev(),
        inode,
        or_home,
    };
    let run = |directory| {
        let mut request = script("echo $(pwd -P) $PWD");
        request.directory = directory;
        agent.capture(request)
    };
    assert_eq!(run(same(path, status.ino(), false)).text(), format!("{path} {path}\n"));
    assert_eq!(run(same("/", 1, false)).text(), "/ /\n");
    for other in [same(path, status.ino() + 1, false), same("/nonexistent", 1, false)] {
        let captured = run(other);
        assert!(matches!(captured.end(), FromAgent::Failed { kind: FailureKind::Directory, .. }));
        assert_eq!(captured.stdout, b"");
    }
    let captured = run(same("/nonexistent", 1, true));
    assert!(matches!(captured.messages[0], FromAgent::Notice(_)));
    assert_eq!(captured.text(), format!("{path} {path}\n"));
    assert_eq!(run(Directory::Home).text(), format!("{path} {path}\n"));
    assert!(matches!(
        run(Directory::Guest(b"/nonexistent".to_vec())).end(),
        FromAgent::Failed { kind: FailureKind::Directory, .. }
    ));
}

#[test]
fn a_directory_that_the_user_may_not_enter_is_refused() {
    let agent = Agent::start();
    let closed = agent.directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let status = fs::metadata(&closed).unwrap();
    let mut request = exec(&["true"]);
    request.directory = Directory::Same {
        path: closed.to_str().unwrap().into(),
        device: status.dev(),
        inode: status.ino(),
        or_home: false,
    };
    assert!(matches!(agent.capture(request).end(), FromAgent::Failed { kind: FailureKind::Directory, .. }));
}

#[test]
fn descriptors_arrive_under_their_numbers_and_no_others() {
    let agent = Agent::start();
    let files: Vec<_> = (0..4)
        .map(|number| {
            let path = agent.home().join(number.to_string());
            fs::write(&path, number.to_string()).unwrap();
            fs::File::open(path).unwrap()
        })
        .collect();
    let directory = fs::File::open("/").unwrap();
    let device = fs::File::open("/dev/null").unwrap();
    let out = fs::File::create(agent.home().join("out")).unwrap();
    let mut client = agent.client();
    // The numbers are those that the agent itself is likely to use.
    client.send_fds(&[(1, out.as_fd()), (3, files[0].as_fd()), (5, files[1].as_fd())]);
    client.send_fds(&[
        (4, files[2].as_fd()),
        (200, files[3].as_fd()),
        (9, directory.as_fd()),
        (10, device.as_fd()),
    ]);
    let mut request = exec(&[
        "bash",
        "-c",
        "cat <&3 <&5; cat <&3; cat <&5; cat <&4; cat <&200; echo; ls /proc/$$/fd; true",
    ]);
    request.stdio = [Stdio::Null, Stdio::Passed, Stdio::Null];
    client.run(request);
    assert_eq!(client.expect(), FromAgent::Exited(0));
    let text = fs::read_to_string(agent.home().join("out")).unwrap();
    let (read, numbers) = text.split_once('\n').unwrap();
    assert_eq!(read, "1023");
    let mut numbers: Vec<u32> = numbers.lines().map(|line| line.parse().unwrap()).collect();
    // bash keeps the script that it reads under a number of its own.
    numbers.retain(|number| *number != 255);
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 200]);
}

#[test]
fn streams_may_be_closed_or_devices() {
    let agent = Agent::start();
    let out = fs::File::create(agent.home().join("out")).unwrap();
    let mut client = agent.client();
    client.send_fds(&[(1, out.as_fd())]);
    let mut request = exec(&["sh", "-c", "readlink /proc/$$/fd/0; test -e /proc/$$/fd/2 || echo closed"]);
    request.stdio = [Stdio::Zero, Stdio::Passed, Stdio::Closed];
    client.run(request);
    assert_eq!(client.expect(), FromAgent::Exited(0));
    assert_eq!(fs::read_to_string(agent.home().join("out")).unwrap(), "/dev/zero\nclosed\n");
}

#[test]
fn a_login_is_the_users_shell() {
    let agent = Agent::start();
    let mut request = exec(&["printf", "%s|", "a b", "$HOME"]);
    request.login = true;
    request.directory = Directory::Home;
    assert_eq!(agent.capture(request).text(), "a b|$HOME|");
}

#[test]
fn an_untrusted_guest_takes_no_descriptors() {
    let agent = Agent::start_with(&harness::Options { trusted: false, ..Default::default() });
    let captured = agent.capture(exec(&["true"]));
    assert!(matches!(captured.end(), FromAgent::Failed { .. }) || captured.messages.is_empty());
}
