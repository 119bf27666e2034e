#!/usr/bin/python3
"""A third-party client of Snug in one page: creates a container, waits until it runs, lists what there is.

    client.py NAME [IMAGE]         needs jeepney (Debian: python3-jeepney)
"""
import sys

from jeepney import DBusAddress, MessageType, Properties, new_method_call
from jeepney.io.blocking import open_dbus_connection

NAME, ROOT = "org.snug.Snug1", "/org/snug/Snug1"
bus = open_dbus_connection("SYSTEM")


def call(path, interface, method, signature="", *arguments):
    address = DBusAddress(path, bus_name=NAME, interface=f"{NAME}.{interface}")
    reply = bus.send_and_get_reply(new_method_call(address, method, signature, arguments))
    if reply.header.message_type is MessageType.error:
        raise SystemExit(f"error: {reply.body[0]}")
    return reply.body[0] if reply.body else None


def finish(job):
    """Waits for a job's end; its failure is ours."""
    state = call(job, "Job", "Wait")
    address = DBusAddress(job, bus_name=NAME, interface=f"{NAME}.Job")
    properties = bus.send_and_get_reply(Properties(address).get_all()).body[0]
    if state != "done":
        hints = "".join(f"\nhint: {hint}" for hint in properties["Hints"][1])
        raise SystemExit(f"error: {properties['Message'][1]}{hints}")


def main(name, image=None):
    options = {"image": ("s", image)} if image else {}
    finish(call(ROOT, "Manager", "Create", "sa{sv}", name, options))
    for container in call(ROOT, "Manager", "List", "a{sv}", {}):
        print(container["name"][1], container["state"][1], container["image"][1])


if __name__ == "__main__":
    main(*sys.argv[1:])
