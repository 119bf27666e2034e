"""A client that knows of Snug nothing but docs/reference/dbus.md: makes a container, looks at it, removes it."""
import sys
import dbus
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

DBusGMainLoop(set_as_default=True)
bus, loop = dbus.SystemBus(), GLib.MainLoop()
NAME, ROOT = "org.snug.Snug1", "/org/snug/Snug1"
removed = []

def interface(path, name):
    return dbus.Interface(bus.get_object(NAME, path, introspect=False), name)

def options(**pairs):
    return dbus.Dictionary(pairs, signature="sv")

def follow(verb, path):
    def ended(state):
        print(f"{verb}: {state}")
        loop.quit()
    interface(path, f"{NAME}.Job").Wait(reply_handler=ended, error_handler=ended, timeout=120)
    loop.run()

def properties_changed(_interface, changed, _invalidated):
    if "Stage" in changed:
        print("stage:", changed["Stage"])

def container_changed(name, what):
    print("changed:", name, what)
    if what == "removed":
        removed.append(name)
        loop.quit()

container, image = sys.argv[1:]
manager = interface(ROOT, f"{NAME}.Manager")
bus.add_signal_receiver(properties_changed, "PropertiesChanged", bus_name=NAME)
manager.connect_to_signal("ContainerChanged", container_changed)
follow("create", manager.Create(container, options(image=image)))
for found in manager.List(options()):
    if found["name"] == container:
        print("listed:", found["name"], found["state"])
follow("stop", manager.Stop(container, options(timeout=dbus.UInt32(10))))
follow("remove", manager.Remove(container, options()))
try:
    manager.Get(container, options())
except dbus.DBusException as error:
    print("missing:", error.get_dbus_name().rsplit(".", 1)[1])
while container not in removed:
    loop.run()
