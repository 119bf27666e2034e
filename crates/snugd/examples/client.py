"""A client that knows of Snug nothing but docs/reference/dbus.md: makes a container, looks at it, removes it."""
import sys
import dbus
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

DBusGMainLoop(set_as_default=True)
bus, context = dbus.SystemBus(), GLib.MainContext.default()
NAME, ROOT = "org.snug.Snug1", "/org/snug/Snug1"
changes = []

def interface(path, name):
    return dbus.Interface(bus.get_object(NAME, path, introspect=False), name)

def options(**pairs):
    return dbus.Dictionary(pairs, signature="sv")

def wait_for(what, seen):
    while what not in [word for word, *_ in seen]:
        context.iteration(True)

def follow(verb, path):
    ended = []
    job = interface(path, f"{NAME}.Job")
    job.Wait(reply_handler=lambda state: ended.append(("end", state)), error_handler=sys.exit, timeout=120)
    wait_for("end", ended)
    print(f"{verb}: {ended[0][1]}")

def properties_changed(_interface, changed, _invalidated):
    if "Stage" in changed:
        print("stage:", changed["Stage"])

def container_changed(name, what):
    print("changed:", name, what)
    changes.append((what, name))

container, image = sys.argv[1:]
manager = interface(ROOT, f"{NAME}.Manager")
bus.add_signal_receiver(properties_changed, "PropertiesChanged", bus_name=NAME)
manager.connect_to_signal("ContainerChanged", container_changed)
follow("create", manager.Create(container, options(image=image)))
print(*(f"listed: {it['name']} {it['state']}" for it in manager.List(options())), sep="\n")
follow("stop", manager.Stop(container, options(timeout=dbus.UInt32(10))))
follow("remove", manager.Remove(container, options()))
wait_for("removed", changes)
try:
    manager.Get(container, options())
except dbus.DBusException as error:
    print("missing:", error.get_dbus_name().rsplit(".", 1)[1])
