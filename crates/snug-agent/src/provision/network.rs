//! The interfaces of a guest, before its init: an image without a DHCP client has network too, and one with a client
//! gets the same address again.

use std::io;

use snug_wire::provision::Provision;

use crate::console;
use crate::sys::interface;

/// Sets what the provision says; without it the interfaces are left alone.
pub fn bring_up(provision: &Provision) {
    let Some(network) = &provision.network else { return };
    let steps: [(&str, &dyn Fn() -> io::Result<()>); 4] = [
        ("lo", &|| interface::bring_up("lo")),
        ("eth0's address", &|| interface::set_address("eth0", network.address, network.prefix)),
        ("eth0", &|| interface::bring_up("eth0")),
        ("default route", &|| interface::add_default_route(network.gateway)),
    ];
    for (what, step) in steps {
        if let Err(error) = step() {
            console::say(format_args!("{what}: {error}"));
        }
    }
}
