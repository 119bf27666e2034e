//! Many clients at once, and the first two.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use snug_testbed::{Bed, Container, Error, Leaks};

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "crowd", "local:debian/13")
}

/// What the agent holds: its processes, the descriptors of its server, resident kilobytes of its server, control groups
/// of commands (this one included).
fn held_by_the_agent() -> (usize, usize, usize, usize) {
    // The server, this command's session, and the next one, which is made when this command has run for a while.
    let line = "until set -- $(pgrep -f ^/.snug/bin/snug-agent); [ $# -ge 3 ]; do :; done; echo $#; oldest=$(pgrep -o -f ^/.snug/bin/snug-agent); ls /proc/$oldest/fd | wc -l; \
                sed -n 's/VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$oldest/status; \
                ls -d /sys/fs/cgroup/snug-agent/commands/*/ 2>/dev/null | wc -l";
    let out = guest().snug(["run", "--root", "sh", "-c", line]).run().expect("it ends").success().out();
    let numbers: Vec<usize> = out.lines().map(|line| line.parse().expect("a number")).collect();
    (numbers[0], numbers[1], numbers[2], numbers[3])
}

#[test]
fn sixty_four_clients_run_fifty_commands_each() {
    // What the guest's boot and a first use start is no leak.
    guest()
        .run(["sh", "-c", "systemctl is-system-running --wait; systemctl --user is-system-running --wait"])
        .run()
        .unwrap();
    let leaks = Leaks::before();
    let before = held_by_the_agent();
    // Each checks what comes back: its own input, its own argument, its own status.
    let line = "n=0; while [ $n -lt 50 ]; do out=$(echo in-$0-$n | snug run sh -c 'read l; echo $l-$0; exit 7' arg-$n); \
                [ $?.$out = 7.in-$0-$n-arg-$n ] || { echo \"client $0 command $n: $out\"; exit 1; }; n=$((n+1)); done";
    let clients: Vec<_> = (0..64)
        .map(|client| {
            let command = guest().bed().as_user("tester", ["sh", "-c", line, &client.to_string()]);
            command.env("SNUG_CONTAINER", "crowd").deadline(Duration::from_secs(300))
        })
        .collect();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || client.run())).collect();
        running
            .into_iter()
            .filter_map(|client| match client.join() {
                Ok(Ok(out)) if out.code() == 0 && out.err().is_empty() => None,
                Ok(Ok(out)) => Some(format!("{} {}", out.out(), out.err())),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("a client's thread panicked".into()),
            })
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // The agent's own are counted below: it makes its next session in advance, so one of them is always a new one.
    let left: Vec<String> = leaks.left(Duration::from_secs(10));
    let left: Vec<_> = left.iter().filter(|what| !what.contains("/.snug/bin/snug-agent")).collect();
    assert!(left.is_empty(), "{left:?}");
    let after = held_by_the_agent();
    assert_eq!((after.0, after.1), (before.0, before.1), "processes and descriptors of the agent");
    assert!(after.2 <= before.2 + 512, "resident: {} KiB, then {} KiB", before.2, after.2);
    assert!(after.3 <= before.3 + 1, "control groups: {}, then {}", before.3, after.3);
}

#[test]
fn first_use_by_two_clients_at_once_starts_the_container_once() {
    guest().snug(["stop", "crowd"]).run().unwrap().success();
    // Field 22 of /proc/1/stat is the start of the guest's init, the same for all who are in the same start.
    let started = || {
        let command = guest().run(["sh", "-c", "cut -d' ' -f22 /proc/1/stat"]);
        command.spawn(Stdio::null(), Stdio::piped(), Stdio::piped()).unwrap()
    };
    let clients: Vec<_> = (0..4).map(|_| started()).collect();
    let outs: Vec<_> = clients.into_iter().map(|client| client.wait_with_output().unwrap()).collect();
    for out in &outs {
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        assert_eq!(out.stdout, outs[0].stdout);
    }
}

#[test]
fn first_use_by_two_clients_at_once_creates_the_default_container_once() {
    struct Removed<'a>(&'a Bed);
    impl Drop for Removed<'_> {
        fn drop(&mut self) {
            let _ = self.0.snug("second").args(["rm", "-f", "once"]).run();
        }
    }
    let bed = Bed::require();
    let _removed = Removed(&bed);
    // The user may have containers of his own: a person tries things on this bed too.
    let project = bed.project("second");
    let names = || {
        let list = bed.incus(["list", "--format=csv", "-c", "n", "--project", &project]).ok()?;
        Ok::<_, Error>(list.text().lines().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    // Before his first container there is no project.
    let before = names().unwrap_or_default();
    let run = || {
        let command = bed.snug("second").args(["run", "sh", "-c", "hostname; cut -d' ' -f22 /proc/1/stat"]);
        let command = command.env("SNUG_CONTAINER", "once").env("SNUG_IMAGE", "local:debian/13");
        command.spawn(Stdio::null(), Stdio::piped(), Stdio::piped()).unwrap()
    };
    let clients = [run(), run()];
    let outs = clients.map(|client| client.wait_with_output().unwrap());
    for out in &outs {
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        assert_eq!(out.stdout, outs[0].stdout);
    }
    let after = names().unwrap();
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), ["once"]);
}

#[test]
fn a_command_can_run_commands_of_its_own_container_side_by_side() {
    let line = "for n in 1 2 3 4 5 6 7 8; do snug run echo $n & done | sort; wait";
    assert_eq!(guest().shell(line).run().unwrap().success().out(), "1\n2\n3\n4\n5\n6\n7\n8\n");
}
