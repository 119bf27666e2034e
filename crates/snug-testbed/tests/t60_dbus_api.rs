//! The D-Bus API as others use it: a client in Python, at most 50 lines long.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use common::{Doomed, HostFile, NO_INIT, answer, bus_script, fresh, fresh_with, instance_exists};
use snug_testbed::{Bed, Leaks};

const CLIENT: &str = include_str!("../../snugd/examples/client.py");

#[test]
fn a_client_of_fifty_lines_makes_follows_lists_stops_and_removes_a_container() {
    assert!(CLIENT.lines().count() <= 50, "{} lines", CLIENT.lines().count());
    let bed = Bed::require();
    let leaks = Leaks::before();
    let _gone = Doomed::new(&bed, "tester", "bus-third");
    let out = answer(bed.as_user("tester", ["/usr/bin/python3", "-c", CLIENT, "bus-third", NO_INIT]));
    let lines: Vec<&str> = out.lines().collect();
    for line in
        ["create: done", "listed: bus-third running", "stop: done", "remove: done", "missing: NotFound"]
    {
        assert!(lines.contains(&line), "{line:?} is not in\n{out}");
    }
    // Signals came to it: stages of the job, and what became of the container.
    assert!(lines.iter().any(|line| line.starts_with("stage: ")), "{out}");
    for change in ["created", "stopped", "removed"] {
        assert!(lines.contains(&format!("changed: bus-third {change}").as_str()), "{out}");
    }
    assert!(!instance_exists(&bed, "tester", "bus-third"));
    leaks.assert_none();
}

#[test]
fn an_option_that_the_daemon_does_not_know_is_refused_by_its_name() {
    let bed = Bed::require();
    let script = r#"
for call in (lambda: manager.List(sv(colour="red")), lambda: manager.Create("x", sv(colour="red")), lambda: manager.Stop("x", sv(colour=True))):
    try: call(); print("allowed")
    except dbus.DBusException as error: print(error.get_dbus_name(), "colour" in error.get_dbus_message())
"#;
    let wanted = ["org.snug.Snug1.Error.InvalidArgument True"; 3].join("\n");
    assert_eq!(answer(bus_script(&bed, "tester", script)), wanted);
}

#[test]
fn nobody_can_send_the_daemon_a_descriptor() {
    let bed = Bed::require();
    // Of a socket: to close the last one of a socket that lingers takes as long as its sender likes.
    let script = r#"
import socket
mine, _ = socket.socketpair()
def with_one(call): return refusal(lambda: call(sv(x=dbus.types.UnixFd(mine))))
print(with_one(manager.List))
print(with_one(lambda options: manager.ImportImage("x", options)))
print(with_one(at("/", "org.freedesktop.DBus.Peer").Ping))
print(len(manager.List(sv())) >= 0)
"#;
    let refused = "org.freedesktop.DBus.Error.NotSupported\n";
    assert_eq!(answer(bus_script(&bed, "tester", script)), format!("{}True", refused.repeat(3)));
}

#[test]
fn the_files_of_an_image_are_opened_with_the_callers_rights() {
    let bed = Bed::require();
    let secret = "/var/tmp/snug-test-secret.tar";
    let _gone = HostFile::write(secret, "a file of root's");
    fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    let script = r#"
import os
os.chdir("/etc")
for path in (sys.argv[1], "passwd", "/etc", "/dev/null", "/proc/self/fd/0", "/proc/1/environ", "/no/such/file", ""):
    try: manager.ImportImage("bus-stolen", sv(rootfs=path)); print("allowed", path)
    except dbus.DBusException as error: print(error.get_dbus_name().split(".")[-1], error.get_dbus_message().split("\n")[0])
"#;
    let script = bus_script(&bed, "tester", script).arg(secret);
    let said = answer(script);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 8, "{said}");
    for line in &lines {
        assert!(line.starts_with("InvalidArgument "), "{line}");
    }
    for (line, reason) in lines.iter().zip(["ermission denied", "absolute", "plain file", "plain file"]) {
        assert!(line.contains(reason), "{line}");
    }
}

#[test]
fn the_managed_objects_are_the_callers_own_with_the_documented_properties() {
    let bed = Bed::require();
    let _mine = fresh_with(&bed, "tester", "bus-mine", NO_INIT, &["--no-start"]);
    let _theirs = fresh_with(&bed, "second", "bus-theirs", NO_INIT, &["--no-start"]);
    let script = r#"
objects = at(ROOT, "org.freedesktop.DBus.ObjectManager").GetManagedObjects()
for path, interfaces in sorted(objects.items()):
    known = interfaces.get("org.snug.Snug1.Container")
    if known and known["name"].startswith("bus-"):
        print(path.split("/")[-1], known["name"], known["owner-name"], known["state"])
        print(" ".join(sorted(known)))
        print(sorted(properties(path, "org.snug.Snug1.Container")) == sorted(known))
        print(known["path"] == path)
"#;
    let out = answer(bus_script(&bed, "tester", script));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "bus_2dmine bus-mine tester stopped", "{out}");
    for key in [
        "grants",
        "image",
        "kind",
        "phase",
        "pid",
        "preset",
        "privileged",
        "settings",
        "snapshots",
        "trusted",
    ] {
        assert!(lines[1].split(' ').any(|found| found == key), "{key}: {out}");
    }
    assert_eq!(lines[2..], ["True", "True"], "{out}");
}

#[test]
fn the_objects_describe_themselves() {
    let bed = Bed::require();
    let _mine = fresh_with(&bed, "tester", "bus-xml", NO_INIT, &["--no-start"]);
    let script = r#"
import xml.etree.ElementTree as tree, os
for path in (ROOT, ROOT + "/container/%d/bus_2dxml" % os.getuid()):
    xml = str(at(path, "org.freedesktop.DBus.Introspectable").Introspect())
    for interface in tree.fromstring(xml).findall("interface"):
        print(interface.get("name"), " ".join(sorted(it.get("name") for it in interface if it.tag in ("method", "signal", "property"))))
known = properties(ROOT, "org.snug.Snug1.Manager")
print(bool(known["Version"]), int(known["ApiLevel"]) >= 1, isinstance(known["Features"], dbus.Array))
"#;
    let out = answer(bus_script(&bed, "tester", script));
    let manager = out.lines().find(|line| line.starts_with("org.snug.Snug1.Manager ")).unwrap();
    for member in [
        "Create",
        "Ensure",
        "Start",
        "Restart",
        "Stop",
        "Remove",
        "Configure",
        "RepairAgent",
        "Prune",
        "List",
        "Get",
        "Log",
        "ListImages",
        "PullImage",
        "ImportImage",
        "RemoveImage",
        "Doctor",
        "ContainerChanged",
        "Version",
        "ApiLevel",
        "Features",
    ] {
        assert!(manager.split(' ').any(|found| found == member), "{member} is not in\n{out}");
    }
    assert!(out.lines().any(|line| line.starts_with("org.snug.Snug1.Container ")), "{out}");
    assert!(out.ends_with("True True True"), "{out}");
}

#[test]
fn a_job_that_is_cancelled_leaves_nothing() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let _gone = Doomed::new(&bed, "tester", "bus-cancel");
    let script = r#"
job = manager.Create("bus-cancel", sv(image="local:debian/13"))
at(job, "org.snug.Snug1.Job").Cancel()
print(*wait(job)[:2])
print(refusal(manager.Get, "bus-cancel", sv()))
"#;
    let out = answer(bus_script(&bed, "tester", script));
    assert_eq!(out, "cancelled org.snug.Snug1.Error.Cancelled\norg.snug.Snug1.Error.NotFound");
    assert!(!instance_exists(&bed, "tester", "bus-cancel"));
    leaks.assert_none();
}

#[test]
fn a_dry_run_answers_with_the_plan() {
    let bed = Bed::require();
    let script = r#"
job = manager.Create("bus-plan", sv(image="local:minimal/none", dry_run=True))
print(wait(job)[0], len(properties(job, "org.snug.Snug1.Job")["Result"]["plan"]) > 2)
"#;
    assert_eq!(answer(bus_script(&bed, "tester", script)), "done True");
    assert!(!instance_exists(&bed, "tester", "bus-plan"));
}

#[test]
fn jobs_of_one_container_queue_and_those_of_others_do_not_wait() {
    let bed = Bed::require();
    let _one = fresh(&bed, "tester", "bus-one", NO_INIT);
    let _two = fresh(&bed, "tester", "bus-two", NO_INIT);
    let script = r#"
jobs = [manager.Restart(name, sv()) for name in ("bus-one", "bus-one", "bus-two", "bus-one", "bus-two")]
print(*[wait(job)[0] for job in jobs])
print(*[str(manager.Get(name, sv())["state"]) for name in ("bus-one", "bus-two")])
"#;
    assert_eq!(answer(bus_script(&bed, "tester", script)), "done done done done done\nrunning running");
}

#[test]
fn signals_about_a_container_reach_its_owner_alone() {
    let bed = Bed::require();
    let mine = fresh(&bed, "tester", "bus-quiet", NO_INIT);
    // The second user listens to all that the bus lets him hear; the first acts; then the listener acts himself.
    let listener = r#"
from gi.repository import GLib
from dbus.mainloop.glib import DBusGMainLoop
DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus(private=True)
manager = dbus.Interface(bus.get_object("org.snug.Snug1", ROOT, introspect=False), "org.snug.Snug1.Manager")
loop = GLib.MainLoop()
def heard(*arguments, member=None, path=None):
    if not str(path).startswith(ROOT): return
    print("heard", member, *[str(it) for it in arguments[:2]], flush=True)
    if "bus-own" in [str(it) for it in arguments[:1]] and "removed" in [str(it) for it in arguments[1:2]]: loop.quit()
bus.add_signal_receiver(heard, member_keyword="member", path_keyword="path")
manager.List(sv())
print("listening", flush=True)
sys.stdin.readline()
manager.Create("bus-own", sv(image="local:minimal/none", start=False))
GLib.timeout_add_seconds(60, loop.quit)
GLib.timeout_add(1, lambda: manager.Remove("bus-own", sv()) and False)
loop.run()
"#;
    let _gone = Doomed::new(&bed, "second", "bus-own");
    let command = bus_script(&bed, "second", listener);
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::Stdio;
    let mut child = command.spawn(Stdio::piped(), Stdio::piped(), Stdio::inherit()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "listening\n");
    bed.snug("tester").args(["restart", mine.name()]).run().unwrap().success();
    writeln!(child.stdin.as_mut().unwrap()).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("bus-own removed"), "{rest}");
    assert!(!rest.contains("bus-quiet"), "{rest}");
}
