//! Calls on the bus as a client that is not ours makes them: Python with its D-Bus library.

use snug_testbed::{Bed, UserCommand};

const PRELUDE: &str = r#"
import dbus, json, sys
bus = dbus.SystemBus()
ROOT = "/org/snug/Snug1"
def at(path, interface): return dbus.Interface(bus.get_object("org.snug.Snug1", path, introspect=False), interface)
manager = at(ROOT, "org.snug.Snug1.Manager")
def sv(**options): return dbus.Dictionary({k.replace("_", "-"): v for k, v in options.items()}, signature="sv")
def properties(path, interface): return at(path, "org.freedesktop.DBus.Properties").GetAll(interface)
def wait(job):
    state = str(at(job, "org.snug.Snug1.Job").Wait(timeout=120))
    known = properties(job, "org.snug.Snug1.Job")
    return state, str(known["Error"]), str(known["Message"])
def refusal(call, *arguments):
    try: call(*arguments)
    except dbus.DBusException as error: return error.get_dbus_name()
    return "allowed"
def outcome(call, *arguments):
    try: state, error, _ = wait(call(*arguments))
    except dbus.DBusException as error: return error.get_dbus_name()
    return error or state
"#;

/// A script as a user. It has `manager`, `at(path, interface)`, `properties`, `sv(option=value)`, `wait(job)`, and
/// `refusal(call, arguments…)` and `outcome(call, arguments…)`, which give the name of the error.
#[track_caller]
pub fn bus_script(bed: &Bed, user: &str, body: &str) -> UserCommand {
    bed.as_user(user, ["/usr/bin/python3", "-c", &format!("{PRELUDE}\n{body}")])
}
