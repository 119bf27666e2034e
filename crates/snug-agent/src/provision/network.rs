//! The interfaces of a guest, before its init: an image without a DHCP client has network too, and one with a client
//! gets the same address again.

use std::io;

use snug_wire::provision::Provision;

use crate::console;
use crate::sys::interface;

/// Sets what the provision says. Without it the loopback alone: nobody brings it up in a guest that has no network and no
/// init.
pub fn bring_up(provision: &Provision) {
    run(&[("lo", &|| interface::bring_up("lo"))]);
    let Some(network) = &provision.network else { return };
    run(&[
        ("eth0's address", &|| interface::set_address("eth0", network.address, network.prefix)),
        ("eth0", &|| interface::bring_up("eth0")),
        ("default route", &|| interface::add_default_route(network.gateway)),
    ]);
}

fn run(steps: &[(&str, &dyn Fn() -> io::Result<()>)]) {
    for (what, step) in steps {
        if let Err(error) = step() {
            console::say(format_args!("{what}: {error}"));
        }
    }
}
