//! The grant `session`: display, sound and agents of the session that a command is called from.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::sync::Once;

use common::{Desktop, RunUser, answer, eventually, fresh, fresh_with};
use snug_testbed::{Bed, Captured, Container};

/// Clients of all that a session has.
const CLIENTS: &str = "sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends wayland-utils \
                       x11-utils x11-apps dbus-tests pipewire-bin pulseaudio-utils libglib2.0-bin dconf-cli dconf-gsettings-backend openssh-client gnupg gpg-agent";

/// Asks a bus for its identity.
const BUS_ID: &str =
    "--dest org.freedesktop.DBus --object-path /org/freedesktop/DBus --method org.freedesktop.DBus.GetId";

/// Asks it whether somebody has a name.
const BUS_ID_OF_NAME: &str = "--dest org.freedesktop.DBus --object-path /org/freedesktop/DBus --method org.freedesktop.DBus.NameHasOwner";

/// The guest with [`CLIENTS`], started again: `/run/user` is another mount in each test.
#[track_caller]
fn with_clients() -> &'static Container<'static> {
    static INSTALLED: Once = Once::new();
    let guest = Bed::shared("tester", "session", common::DEBIAN_13);
    INSTALLED.call_once(|| {
        let installed = guest.run(["sh", "-c", CLIENTS]).env("DEBIAN_FRONTEND", "noninteractive");
        installed.deadline(std::time::Duration::from_secs(600)).run().unwrap().success();
    });
    Bed::require().snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    guest
}

fn in_guest(desktop: &Desktop<'_>, guest: &Container<'_>, line: &str) -> Captured {
    desktop.in_session(guest.run(["sh", "-c", line])).run().unwrap()
}

/// All peers answer a client in the guest as they answer one on the host.
#[track_caller]
fn assert_whole(desktop: &Desktop<'_>, guest: &Container<'_>) {
    let both = |line: &str, host: &str| {
        let there = in_guest(desktop, guest, line).success().out();
        assert!(!there.trim().is_empty(), "{line}");
        assert_eq!(there, desktop.command(["sh", "-c", host]).run().unwrap().success().out(), "{line}");
    };
    let same = |line: &str| both(line, line);
    let wayland = in_guest(desktop, guest, "wayland-info").success().out();
    assert!(wayland.contains("wl_compositor"), "{wayland}");
    let display = in_guest(desktop, guest, "xdpyinfo").success().out();
    assert!(display.contains("name of display:    :77"), "{display}");
    same("pw-cli ls Core | head -2");
    same("pactl info | grep -E 'Cookie|Host Name'");
    same("ssh-add -l");
    same(&format!("gdbus call --session {BUS_ID}"));
}

#[test]
fn a_guests_programs_are_in_the_callers_session_again_after_each_change_of_it() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = with_clients();
    for turn in 0..2 {
        let mut desktop = Desktop::start(&bed, "tester");
        let key = desktop.runtime().join("key");
        let key = key.to_str().unwrap();
        desktop
            .command(["ssh-keygen", "-qt", "ed25519", "-N", "", "-C", "of the host", "-f", key])
            .run()
            .unwrap()
            .success();
        desktop.command(["ssh-add", "-q", key]).run().unwrap().success();
        assert_whole(&desktop, guest);
        for program in ["compositor", "X server", "PulseAudio"] {
            desktop.restart(program);
        }
        assert_whole(&desktop, guest);
        // A window, and a sound.
        let seen = "xeyes & for i in $(seq 100); do xwininfo -root -tree | grep -q xeyes && break; sleep 0.1; done; \
                    xwininfo -root -tree | grep -c '\"xeyes\"'; kill $!";
        assert_ne!(in_guest(&desktop, guest, seen).success().out().trim(), "0", "turn {turn}");
        desktop
            .command(["pactl", "load-module", "module-null-sink", "sink_name=test"])
            .run()
            .unwrap()
            .success();
        in_guest(&desktop, guest, "head -c 200000 /dev/zero | pacat --playback --device=test").success();
    }
}

#[test]
fn gpg_asks_the_hosts_agent_and_replaces_nothing_of_it() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = with_clients();
    let desktop = Desktop::log_in(&bed, "tester");
    let ask = "gpg-connect-agent --no-autostart 'getinfo pid' /bye | grep ^D";
    let _end = common::Finally(|| drop(desktop.command(["gpgconf", "--kill", "gpg-agent"]).run()));
    // As the first use of gpg makes it; it is the guest's, too.
    let home = bed.account("tester").home.join(".gnupg");
    let _ = fs::remove_dir_all(&home);
    desktop.command(["install", "-dm", "700", home.to_str().unwrap()]).run().unwrap().success();
    let _gone = common::Finally(|| drop(fs::remove_dir_all(&home)));
    desktop.command(["gpg-connect-agent", "/bye"]).run().unwrap().success();
    let pid = desktop.command(["sh", "-c", ask]).run().unwrap().success().out();
    assert_eq!(in_guest(&desktop, guest, ask).success().out(), pid);
    // One that is started in the guest, where none is on the host, has a socket of the guest's own.
    desktop.command(["gpgconf", "--kill", "gpg-agent"]).run().unwrap().success();
    let socket = desktop.runtime().join("gnupg/S.gpg-agent");
    eventually("the agent ends", || !socket.exists());
    in_guest(&desktop, guest, "gpg-connect-agent /bye").success();
    let own = in_guest(&desktop, guest, ask).success().out();
    assert!(own.starts_with("D ") && !socket.exists(), "{own}");
    // When the host has one again, that is the guest's from its next command on. (Its own ends by itself within a minute, which is not waited for.)
    desktop.command(["gpg-connect-agent", "/bye"]).run().unwrap().success();
    let pid = desktop.command(["sh", "-c", ask]).run().unwrap().success().out();
    assert_eq!(in_guest(&desktop, guest, ask).success().out(), pid);
    let links = "find /run/user/*/gnupg -name 'S.gpg-agent*' -type l | wc -l";
    assert_eq!(in_guest(&desktop, guest, links).success().out().trim(), "4");
    assert_eq!(in_guest(&desktop, guest, ask).success().out(), pid);
}

#[test]
fn the_guests_own_manager_and_buses_stay_its_own() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = with_clients();
    let desktop = Desktop::start(&bed, "tester");
    let id = format!("gdbus call --session {BUS_ID}");
    let hosts = desktop.command(["sh", "-c", &id]).run().unwrap().success().out();
    // So that the two buses do not happen to call a program the same.
    desktop
        .command(["sh", "-c", &format!("for i in $(seq 50); do {id} >/dev/null; done")])
        .run()
        .unwrap()
        .success();
    // It comes a moment after the first command can run.
    let up = "until systemctl --user show-environment >/dev/null 2>&1; do sleep 0.1; done";
    in_guest(&desktop, guest, &format!("{up}; systemctl --user start dbus.socket")).success();
    let own = format!("unset DBUS_SESSION_BUS_ADDRESS; {id}");
    assert_ne!(in_guest(&desktop, guest, &own).success().out(), hosts);
    // What asks a service manager asks the guest's, by whichever library: the host of the bed has none. Where a command runs is seen by
    // the mark of every container; with --pipe descriptors go along.
    let waits =
        "echo in the guest | systemd-run --user --wait --pipe -q sh -c 'test -e /run/.containerenv && cat'";
    let version = "gdbus call --session --dest org.freedesktop.systemd1 --object-path /org/freedesktop/systemd1 \
                   --method org.freedesktop.DBus.Properties.Get org.freedesktop.systemd1.Manager Version";
    let owner = "dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / \
                 org.freedesktop.DBus.GetNameOwner string:org.freedesktop.systemd1";
    for line in [waits, version, owner] {
        let said = in_guest(&desktop, guest, line).success().out();
        assert!(["in the guest", "257", ":1."].iter().any(|word| said.contains(word)), "{line}: {said}");
    }
    // runc asks it whose it is.
    let status = in_guest(&desktop, guest, "busctl --user --no-pager status").success().out();
    let uid = format!("OwnerUID={}", bed.account("tester").uid);
    assert!(status.lines().any(|line| line == uid), "{status}");
    // The system bus, and what acts over it, is the guest's.
    assert_eq!(in_guest(&desktop, guest, "hostnamectl hostname").success().out().trim(), "session");
    let failed =
        in_guest(&desktop, guest, "systemctl --user --failed --no-legend; systemctl --failed --no-legend");
    assert_eq!(failed.success().out(), "");
}

#[test]
fn a_guests_programs_talk_with_the_services_of_the_hosts_session() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = with_clients();
    let mut desktop = Desktop::start(&bed, "tester");
    let mut notes = desktop
        .command(["dbus-test-tool", "echo", "--session", "--name=org.freedesktop.Notifications"])
        .spawn(std::process::Stdio::null(), std::process::Stdio::null(), std::process::Stdio::null())
        .unwrap();
    let call =
        "gdbus call --session --dest org.freedesktop.Notifications --object-path / --method a.b.Notify";
    let has = format!("gdbus call --session {BUS_ID_OF_NAME} org.freedesktop.Notifications");
    eventually("it has its name", || in_guest(&desktop, guest, &has).out().contains("true"));
    assert_eq!(in_guest(&desktop, guest, call).success().out().trim(), "()");
    // Signals arrive, and much of it.
    let many = "dbus-test-tool spam --session --dest=org.freedesktop.Notifications --count=2000 --flood --payload=$(head -c 5000 /dev/zero | tr '\\0' x)";
    in_guest(&desktop, guest, many).success();
    let waits = "dbus-monitor --session \"type='signal',member='NameOwnerChanged'\" > /run/user/$(id -u)/seen & \
                 for i in $(seq 100); do test -s /run/user/$(id -u)/seen && break; sleep 0.1; done; \
                 dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
                 org.freedesktop.DBus.RequestName string:org.x.Y uint32:0 >/dev/null; \
                 for i in $(seq 100); do grep org.x.Y /run/user/$(id -u)/seen && break; sleep 0.1; done; kill $!";
    assert!(in_guest(&desktop, guest, waits).success().out().contains("org.x.Y"));
    let _ = notes.kill();
    let _ = notes.wait();
    // The bus was started again: so does the next program.
    desktop.restart("bus");
    let up = format!("until gdbus call --session {BUS_ID} >/dev/null 2>&1; do sleep 0.1; done");
    desktop.command(["sh", "-c", &up]).run().unwrap().success();
    let id = format!("gdbus call --session {BUS_ID}");
    let hosts = desktop.command(["sh", "-c", &id]).run().unwrap().success().out();
    assert_eq!(in_guest(&desktop, guest, &id).success().out(), hosts);
    // What a program says last arrives, although it does not wait for that.
    let listen = "exec dbus-monitor --session \"type='signal',interface='a.b'\" > \"$XDG_RUNTIME_DIR/heard\"";
    let mut monitor = desktop
        .command(["sh", "-c", listen])
        .spawn(std::process::Stdio::null(), std::process::Stdio::null(), std::process::Stdio::null())
        .unwrap();
    let heard = desktop.runtime().join("heard");
    eventually("it listens", || fs::read_to_string(&heard).is_ok_and(|text| !text.is_empty()));
    in_guest(&desktop, guest, "for i in $(seq 100); do dbus-send --session --type=signal / a.b.C uint32:$i || exit 1; done; \
                               dbus-send --session --type=signal / a.b.D string:$(head -c 100000 /dev/zero | tr '\\0' x)")
        .success();
    let signals = || fs::read_to_string(&heard).unwrap_or_default().matches("interface=a.b;").count();
    eventually("all have arrived", || signals() == 101);
    let _ = monitor.kill();
    let _ = monitor.wait();
    let left = "for i in $(seq 100); do pgrep -x snug-bus >/dev/null || break; sleep 0.1; done; pgrep -x snug-bus | wc -l";
    assert_eq!(in_guest(&desktop, guest, left).success().out().trim(), "0");
}

#[test]
fn portals_and_settings_of_the_hosts_session_are_the_guests_too() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = with_clients();
    let desktop = Desktop::start(&bed, "tester");
    // It looks at the root of the process that has connected, and refuses whom it may not look at.
    let portal = "gdbus call --session --dest org.freedesktop.portal.Desktop --object-path /org/freedesktop/portal/desktop \
                  --method org.freedesktop.portal.NetworkMonitor.GetAvailable";
    let hosts = desktop.command(["sh", "-c", portal]).run().unwrap().success().out();
    assert_eq!(in_guest(&desktop, guest, portal).success().out(), hosts);
    // Many at once, each with its own connection.
    let many = format!("for i in $(seq 12); do {portal} & done; wait");
    assert_eq!(in_guest(&desktop, guest, &many).success().out(), hosts.repeat(12));
    // A running program sees each value of a setting that the host changes.
    let seen = desktop.runtime().join("watched");
    let watch = guest.run(["sh", "-c", "exec dconf watch /snug/"]);
    let mut watch = desktop
        .in_session(watch)
        .spawn(
            std::process::Stdio::null(),
            fs::File::create(&seen).unwrap().into(),
            std::process::Stdio::inherit(),
        )
        .unwrap();
    let told = || fs::read_to_string(&seen).unwrap_or_default();
    let write = |value: u32| {
        desktop.command(["dconf", "write", "/snug/test", &value.to_string()]).run().unwrap().success();
    };
    let has_told = |value: u32| told().lines().any(|line| line.trim() == value.to_string());
    // What is written before it watches is never told, nor is a value that is there already.
    let mut tried = 0;
    eventually("it watches", || {
        tried += 1;
        write(tried);
        (1..=tried).any(has_told)
    });
    for value in [1001, 1002] {
        write(value);
        eventually("the value arrives", || has_told(value));
    }
    assert_eq!(in_guest(&desktop, guest, "dconf read /snug/test").success().out().trim(), "1002");
    let _ = watch.kill();
    let _ = watch.wait();
}

#[test]
fn whoever_calls_without_a_session_or_as_another_has_none() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = fresh(&bed, "tester", "session-none", common::NO_INIT);
    let desktop = Desktop::log_in(&bed, "tester");
    let names = "env | grep -E '^(WAYLAND|DISPLAY|XAUTH|DBUS|PULSE|PIPEWIRE|SSH_AUTH|XDG_SESSION)' | cut -d= -f1 | sort";
    let count = |said: Captured| said.out().lines().count();
    assert_eq!(count(in_guest(&desktop, &guest, names)), 6, "{}", in_guest(&desktop, &guest, names).out());
    // From cron, say.
    assert_eq!(count(guest.run(["sh", "-c", names]).run().unwrap()), 0);
    for options in [&["--root"][..], &["--clean-env"], &["-u", "nobody"]] {
        let args = [&["run"], options, &["-w", "/", "--", "sh", "-c", names]].concat();
        assert_eq!(count(desktop.in_session(guest.snug(args)).run().unwrap()), 0, "{options:?}");
    }
    for (name, options) in
        [("session-off", &["--no-grant", "session"][..]), ("session-isolated", &["--preset", "isolated"])]
    {
        let other = fresh_with(&bed, "tester", name, common::NO_INIT, options);
        let args = ["run", "-w", "/", "--", "sh", "-c", names];
        assert_eq!(count(desktop.in_session(other.snug(args)).run().unwrap()), 0, "{name}");
        assert!(!answer(other.snug(["run", "-w", "/", "ls", "/.snug"])).contains("session"), "{name}");
    }
}

#[test]
fn nothing_of_it_is_left_and_logging_out_is_not_held_up() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let desktop = Desktop::log_in(&bed, "tester");
    let runtime = desktop.runtime().to_owned();
    let mounts = || {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        text.lines().filter(|line| line.contains("mounts/session/")).count()
    };
    let before = mounts();
    let guest = fresh(&bed, "tester", "session-left", common::DEBIAN_13);
    assert!(mounts() > before);
    let there = |guest: &Container<'_>| {
        let path = format!("/var/lib/snug/session/user/{}", runtime.file_name().unwrap().to_str().unwrap());
        answer(guest.snug([
            "run",
            "-w",
            "/",
            "--",
            "sh",
            "-c",
            &format!("stat -c %U {path} 2>&1 | tail -c 7"),
        ]))
    };
    assert_eq!(there(&guest), "tester");
    drop(desktop);
    assert!(!runtime.exists(), "it is nowhere in use");
    assert_ne!(there(&guest), "tester");
    let _again = Desktop::log_in(&bed, "tester");
    assert_eq!(there(&guest), "tester");
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    assert_eq!(mounts(), before);
}
