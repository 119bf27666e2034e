//! Snug on a host with systemd: its units, the bus that starts them, polkit, logins, reboots. Each test boots a host of
//! its own inside the bed (eight seconds) and leaves nothing.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests: a panic fails the one that calls")]

mod common;

use std::time::Duration;

use common::{NO_INIT, answer, eventually, explains, json};
use serde_json::Value;
use snug_testbed::session::systemd_host::{ADMINISTRATOR, PASSWORD, SystemdHost, USER};
use snug_testbed::{Bed, Leaks};

/// The names and states of the user's containers, as Snug says.
#[track_caller]
fn states(host: &SystemdHost<'_>) -> Vec<(String, String)> {
    let listed = json(&host.snug("list --json").run().unwrap().success());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let containers = listed["containers"].as_array().unwrap();
    containers.iter().map(|container| (text(&container["name"]), text(&container["state"]))).collect()
}

/// The same as Incus says, of all users.
#[track_caller]
fn instances(host: &SystemdHost<'_>) -> Vec<String> {
    let list = answer(host.root("incus list --all-projects --format=csv --columns=ns"));
    list.lines().map(str::to_owned).collect()
}

#[test]
fn the_units_are_valid_and_only_those_that_start_by_themselves_are_enabled() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let host = SystemdHost::with_snug(&bed).unwrap();
    let verify = "systemd-analyze verify snugd.service snug-autostart.service snug-follow.service 2>&1
        cd /usr/lib/systemd/user
        XDG_RUNTIME_DIR=/run systemd-analyze verify --user ./snug-login.service ./snug-session.service ./snug-session.socket \
            ./snug-upgrade.service ./snug-upgrade.timer 2>&1";
    assert_eq!(answer(host.root(verify)), "");
    assert_eq!(answer(host.root("systemctl is-enabled snugd || :")), "static");
    assert_eq!(answer(host.root("systemctl is-enabled snug-follow || :")), "static");
    assert_eq!(answer(host.root("systemctl is-enabled snug-autostart")), "enabled");
    assert_eq!(answer(host.root("systemctl --global is-enabled snug-login")), "enabled");
    assert_eq!(answer(host.root("systemctl --global is-enabled snug-session.socket")), "enabled");
    assert_eq!(answer(host.root("systemctl --global is-enabled snug-upgrade.timer || :")), "disabled");
    // Without a container there is nothing to start, and Incus is not woken for it.
    host.reboot().unwrap();
    assert_eq!(host.property("snug-autostart", "ConditionResult").unwrap(), "no");
    assert_eq!(host.property("snugd", "ActiveState").unwrap(), "inactive");
    // Of systemd's own judgement, in tenths: everything is on that makes no mount namespace.
    host.root("systemd-analyze security --threshold=51 --no-pager snugd").run().unwrap().success();
    drop(host);
    leaks.assert_none();
}

#[test]
fn an_ordinary_users_first_container_is_made_by_the_daemon_that_the_bus_starts() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.import("debian/13").unwrap();
    assert_eq!(host.property("snugd", "ActiveState").unwrap(), "inactive");
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    assert_eq!(host.property("snugd", "ActiveState").unwrap(), "active");
    assert_eq!(host.property("snugd", "Result").unwrap(), "success");
    assert_eq!(states(&host), [("dev".into(), "running".into())]);
    // The daemon and Incus see the same mounts: a namespace of its own would hide the home from the guest.
    let namespace =
        "readlink /proc/1/ns/mnt; readlink /proc/$(systemctl show --value -p MainPID snugd)/ns/mnt";
    let namespaces = answer(host.root(namespace));
    let (first, second) = namespaces.split_once('\n').unwrap();
    assert_eq!(first, second);
    let line = "echo of the host >mine; snug run -c dev -- sh -c 'cat mine; id -un; echo of the guest >mine'; cat mine";
    assert_eq!(answer(host.login(USER, line)), format!("of the host\n{USER}\nof the guest"));
    // Every way of a container that mounts something of its own.
    for options in ["--grant network=host", "--grant home=private", "--preset isolated"] {
        let line = format!("create --replace --image {NO_INIT} {options} other");
        host.snug(&line).run().unwrap().success();
        assert_eq!(answer(host.snug("run -c other -w / -- echo ran")), "ran", "{options}");
    }
    // A guest with systemd below a host with systemd.
    let line = "mkdir -p ~/.config/systemd/user/default.target.wants; cd ~/.config/systemd/user; \
                printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c \"uname -n >>%%h/started-on\"\\n' >noted.service; \
                ln -s ../noted.service default.target.wants/; \
                systemctl --user daemon-reload; systemctl --user start default.target";
    host.login(USER, line).run().unwrap().success();
    host.snug("create --image local:debian/13 full").run().unwrap().success();
    let line = "run -c full -- systemctl is-system-running --wait";
    assert_eq!(answer(host.snug(line)), "running");
    assert_eq!(answer(host.snug("run -c full -- systemctl --user is-system-running --wait")), "running");
    // An enabled unit of the owner's starts on the host, and there alone, although the home is shared.
    assert_eq!(answer(host.login(USER, "cat ~/started-on")), answer(host.root("uname -n")));
    assert_eq!(answer(host.snug("run -c full -- sudo id -u")), "0");
    host.snug("stop -a").run().unwrap().success();
    assert!(states(&host).iter().all(|(_, state)| state == "stopped"), "{:?}", states(&host));
    host.snug("doctor").run().unwrap().success();
    host.snug("rm -f -a").run().unwrap().success();
    assert_eq!(instances(&host), Vec::<String>::new());
    assert_eq!(host.complaints().unwrap(), "");
    assert_eq!(answer(host.root("systemctl --failed --no-legend")), "");
}

#[test]
fn the_bus_may_be_dbus_broker() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.root("systemctl enable dbus-broker").run().unwrap().success();
    host.reboot().unwrap();
    assert_eq!(host.property("dbus", "Id").unwrap(), "dbus-broker.service");
    assert_eq!(host.property("dbus-broker", "ActiveState").unwrap(), "active");
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    // dbus-broker gives descriptors with its own answers, and tells a message with some from one without.
    let script = "import dbus, socket
bus = dbus.SystemBus()
manager = dbus.Interface(bus.get_object('org.snug.Snug1', '/org/snug/Snug1', introspect=False), 'org.snug.Snug1.Manager')
try: manager.List(dbus.Dictionary({'x': dbus.types.UnixFd(socket.socket())}, signature='sv')); print('taken')
except dbus.DBusException as error: print('refused')
print(len(manager.List(dbus.Dictionary({}, signature='sv'))))";
    assert_eq!(answer(host.login(USER, &format!("python3 -c \"{script}\""))), "refused\n1");
    assert_eq!(answer(host.snug("run --rm -w / --image local:minimal/none -- echo ran")), "ran");
    host.snug("rm -f dev").run().unwrap().success();
    assert_eq!(host.property("snugd", "NRestarts").unwrap(), "0");
    assert_eq!(host.complaints().unwrap(), "");
}

#[test]
fn the_idle_daemon_leaves_and_comes_back_when_it_is_called_or_was_killed() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.root("mkdir -p /etc/snug; echo idle_seconds = 2 >/etc/snug/config.toml").run().unwrap().success();
    // Somebody who stays logged in: a login calls the daemon, for containers with autostart=login.
    host.root(&format!("loginctl enable-linger {USER}")).run().unwrap().success();
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    let left = || host.property("snugd", "ActiveState").unwrap() == "inactive";
    eventually("the idle daemon left", left);
    assert_eq!(host.property("snugd", "Result").unwrap(), "success");
    // The hot path talks to nobody.
    assert_eq!(answer(host.snug("run -c dev -- echo ran")), "ran");
    assert_eq!(host.property("snugd", "ActiveState").unwrap(), "inactive");
    assert_eq!(states(&host), [("dev".into(), "running".into())]);
    assert_eq!(host.property("snugd", "ActiveState").unwrap(), "active");
    // systemd starts one that crashed, so that it takes back what was half done without being called.
    host.root("systemctl kill --signal=SIGKILL snugd").run().unwrap().success();
    eventually("the killed daemon is started again", || host.property("snugd", "NRestarts").unwrap() == "1");
    eventually("the restarted daemon leaves, too", left);
    assert_eq!(host.property("snugd", "Result").unwrap(), "success");
}

#[test]
fn stopping_the_unit_in_the_middle_of_a_creation_undoes_it() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    // Its first use takes seconds: the image becomes a volume.
    host.import("debian/13").unwrap();
    let line = format!(
        "su --login {USER} --command 'snug create --image local:debian/13 half' & create=$!
        journalctl --unit=snugd --follow --lines=all --output=cat | grep --max-count=1 --quiet 'creating half from'
        systemctl stop snugd; systemctl show --value --property=Result snugd; wait $create"
    );
    let stopped = host.root(&line).run().unwrap().ends_with(1);
    assert_eq!(stopped.out(), "success\n", "{}", stopped.err());
    assert!(stopped.err().contains("error: snugd ended while it was working on this"), "{}", stopped.err());
    // A call of the follower's may have come meanwhile: the bus starts the unit for it, and systemctl does not wait any more.
    eventually("it is undone", || instances(&host).is_empty());
    assert_eq!(states(&host), []);
    host.snug("create --image local:debian/13 half").run().unwrap().success();
    assert_eq!(states(&host), [("half".into(), "running".into())]);
}

#[test]
fn after_a_reboot_only_what_is_set_to_start_runs_and_a_login_starts_the_rest() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    for (name, settings) in
        [("boots", "--set autostart=boot"), ("logs-in", "--set autostart=login"), ("rests", "")]
    {
        host.snug(&format!("create --image {NO_INIT} {settings} {name}")).run().unwrap().success();
    }
    host.login(USER, "echo kept >mine").run().unwrap().success();
    assert!(states(&host).iter().all(|(_, state)| state == "running"));
    host.reboot().unwrap();
    assert_eq!(host.property("snug-autostart", "Result").unwrap(), "success");
    assert_eq!(instances(&host), ["boots,RUNNING", "logs-in,STOPPED", "rests,STOPPED"]);
    // The login of somebody without containers starts nothing.
    let condition = "systemctl --user is-system-running --wait; systemctl --user show --value -p ConditionResult snug-login";
    assert_eq!(answer(host.login(ADMINISTRATOR, condition)), "running\nno");
    assert_eq!(instances(&host), ["boots,RUNNING", "logs-in,STOPPED", "rests,STOPPED"]);
    let result =
        "systemctl --user is-system-running --wait; systemctl --user show --value -p Result snug-login";
    assert_eq!(answer(host.login(USER, result)), "running\nsuccess");
    assert_eq!(instances(&host), ["boots,RUNNING", "logs-in,RUNNING", "rests,STOPPED"]);
    for name in ["boots", "logs-in", "rests"] {
        assert_eq!(answer(host.snug(&format!("run -c {name} -- cat mine"))), "kept", "{name}");
    }
    assert_eq!(host.complaints().unwrap(), "");
}

#[test]
fn an_administrator_agrees_at_the_terminal_and_polkits_rules_count() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} --no-start dev")).run().unwrap().success();
    // Where nobody can be asked it is refused.
    let asked = host.snug("list --all-users").run().unwrap();
    explains(&asked, 1, &["org.snug.manage-all", "an administrator must agree"]);
    for (password, status, shown) in [(PASSWORD, 0, "dev"), ("wrong", 1, "not authorized")] {
        let command = host.login_on_terminal(USER, "snug list --all-users").deadline(Duration::from_secs(60));
        let mut terminal = command.on_pty().unwrap();
        terminal.until("to manage the containers of other users (owner: all, List)").unwrap();
        terminal.until("Password: ").unwrap();
        // polkit's agent asks first and then throws away what was typed (`TCSAFLUSH`) as it switches the echo off.
        let modes = "stty -a -F /dev/$(ps -o tty= -C pkttyagent)";
        eventually("the password is not echoed", || {
            host.root(modes).run().unwrap().out().contains(" -echo ")
        });
        terminal.line(password).unwrap();
        terminal.until(shown).unwrap();
        terminal.ends_with(status);
    }
    let rule = format!(
        "polkit.addRule(function(action, subject) {{
            if (action.id == 'org.snug.use' && subject.user == '{ADMINISTRATOR}') return polkit.Result.NO;
            if (action.id == 'org.snug.manage-all' && subject.user == '{USER}') return polkit.Result.YES;
        }});"
    );
    let file = "/etc/polkit-1/rules.d/10-test.rules";
    // polkitd reads changed rules by itself, but tells nobody when it has.
    host.root(&format!("cat >{file}; systemctl restart polkit")).input(rule).run().unwrap().success();
    assert!(answer(host.snug("list --all-users")).contains("dev"));
    explains(
        &host.login(ADMINISTRATOR, "snug list").run().unwrap(),
        1,
        &["org.snug.use", "polkit's rules refuse it"],
    );
}

#[test]
fn what_make_uninstall_leaves_is_no_unit_and_containers_that_start_without_snug() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} --set autostart=boot dev")).run().unwrap().success();
    host.root("systemctl start snug-autostart").run().unwrap().success();
    host.xtask("uninstall").unwrap().run().unwrap().success();
    assert_eq!(answer(host.root("systemctl list-units --all --no-legend 'snug*' || :")), "");
    assert_eq!(answer(host.root("systemctl list-unit-files --no-legend 'snug*' || :")), "");
    assert_eq!(answer(host.root("find /etc/systemd /usr -name '*snug*' -not -path '*/target/*'")), "");
    assert_eq!(answer(host.root("pgrep --list-full snugd || :")), "");
    assert_eq!(
        answer(host.root("findmnt --list --noheadings --output=TARGET | grep ^/var/lib/snug || :")),
        ""
    );
    assert_eq!(instances(&host), ["dev,STOPPED"]);
    // The program that it would start is gone with the next line's.
    assert_eq!(
        answer(host.root(&format!("incus config get --project snug-$(id -u {USER}) dev raw.lxc"))),
        ""
    );
    host.reboot().unwrap();
    host.install_snug().unwrap();
    assert_eq!(answer(host.snug("run -c dev -- echo back")), "back");
    // All that it had of the host is there again.
    let places = host.snug("run -c dev -w / -- stat -c %i /tmp /srv");
    assert_eq!(answer(places), answer(host.root("stat -c %i /tmp /srv")));
    assert_eq!(host.property("snugd", "ActiveState").unwrap(), "active");
}

#[test]
fn without_incus_uninstalling_removes_nothing_and_the_makefiles_way_starts_it_for_that() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} --no-start dev")).run().unwrap().success();
    let run_directories = "find /var/lib/snug/run -mindepth 2 -maxdepth 2 -printf '%f\\n'";
    let raw_lxc = format!("incus config get --project snug-$(id -u {USER}) dev raw.lxc");
    assert_eq!(answer(host.root(run_directories)), "dev");
    let stop = "systemctl stop incus.socket incus.service incus-user.socket";
    host.root(stop).run().unwrap().success();
    let with_incus = format!("with-incus -- {} uninstall", SystemdHost::xtask_path().unwrap());
    // Neither does the bed start an Incus that is not its own for it.
    for uninstall in [host.xtask("uninstall").unwrap(), host.testbed(&with_incus).unwrap()] {
        explains(&uninstall.run().unwrap(), 1, &["Incus", "nothing was removed"]);
        assert_eq!(host.property("incus.socket", "ActiveState").unwrap(), "inactive");
    }
    assert_eq!(answer(host.root(run_directories)), "dev");
    host.root("test -x /usr/libexec/snug/snugd && systemctl start incus.service lxcfs.service incus.socket")
        .run()
        .unwrap()
        .success();
    assert!(answer(host.root(&raw_lxc)).contains("snug-agent"));
    host.testbed("up --no-images").unwrap().run().unwrap().success();
    host.testbed("down").unwrap().run().unwrap().success();

    host.root(stop).run().unwrap().success();
    let said = host.testbed(&with_incus).unwrap().run().unwrap().success();
    for left in ["/var/lib/snug ", "/var/lib/incus ", "/etc/subuid "] {
        assert!(said.err().contains(&format!("left: {left}")), "{}", said.err());
    }
    assert_eq!(answer(host.root("find /usr -name '*snug*' -not -path '*/target/*'")), "");
    assert_eq!(host.property("incus.socket", "ActiveState").unwrap(), "inactive");
    host.root("systemctl start incus.socket").run().unwrap().success();
    assert_eq!(answer(host.root(&raw_lxc)), "");
}

#[test]
fn doctor_names_what_is_missing_and_how_to_get_it() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    let check = |name: &str| {
        let report = json(&host.snug("doctor --json").run().unwrap());
        report["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).cloned().unwrap()
    };
    let policy = "/usr/share/polkit-1/actions/org.snug.policy";
    let agent = "/usr/libexec/snug/guest/snug-agent";
    for (name, missing, hint) in [("polkit", policy, "org.snug.policy"), ("agent", agent, "reinstall")] {
        assert_eq!(check(name)["status"], "ok", "{name}");
        host.root(&format!("mv {missing} /root/away")).run().unwrap().success();
        let found = check(name);
        host.root(&format!("mv /root/away {missing}")).run().unwrap().success();
        assert_eq!(found["status"], "error", "{found}");
        assert!(found["hint"].as_str().unwrap().contains(hint), "{found}");
    }
    // Who may not own is told why.
    let system = host.root("runuser -u daemon -- snug doctor --json").run().unwrap().ends_with(1);
    assert!(system.out().contains("UID_MIN"), "{}", system.out());
}

#[test]
fn the_bed_uses_the_services_of_a_host_with_systemd() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.root("incus project create theirs && incus storage create theirs dir").run().unwrap().success();
    host.root("systemctl stop incus.socket incus.service incus-user.socket").run().unwrap().success();
    host.testbed("up --no-images").unwrap().run().unwrap().success();
    assert_eq!(host.property("incus", "ActiveState").unwrap(), "active");
    assert_eq!(answer(host.root("pgrep --count incusd")), "1");
    let status = host.testbed("status").unwrap().run().unwrap().ends_with(1);
    for line in status.err().lines().filter(|line| !line.contains("image ")) {
        assert!(line.starts_with("testbed: up "), "{line}");
    }
    let run = host.testbed(&format!("exec second -- snug create --image {NO_INIT} --no-start dev")).unwrap();
    run.run().unwrap().success();
    assert_eq!(instances(&host), ["dev,STOPPED"]);
    host.testbed("exec second -- snug rm dev").unwrap().run().unwrap().success();
    host.testbed("down --users").unwrap().run().unwrap().success();
    assert_eq!(host.property("incus", "ActiveState").unwrap(), "inactive");
    assert_eq!(host.property("incus.socket", "ActiveState").unwrap(), "inactive");
    // The bus was the host's, and what was in its Incus is there still.
    assert_eq!(host.property("dbus", "ActiveState").unwrap(), "active");
    host.root("systemctl start incus.socket && incus project show theirs && incus storage show theirs")
        .run()
        .unwrap()
        .success();
    assert_eq!(answer(host.root("getent passwd second || :")), "");
    assert_eq!(answer(host.root(&format!("id -un {USER}"))), USER);
}
