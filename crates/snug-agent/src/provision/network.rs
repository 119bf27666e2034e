//! The interfaces of a guest, before its init: an image without a DHCP client has network too, and one with a client
//! gets the same address again.

use std::fs;
use std::io;
use std::path::Path;

use snug_wire::provision::Provision;

use crate::console;
use crate::interface;

/// Sets what the provision says. Without it the loopback alone: nobody brings it up in a guest that has no network and no
/// init.
pub fn bring_up(provision: &Provision) {
    run(&[("lo", &|| interface::bring_up("lo")), ("ping", &|| allow_ping(Path::new("/proc")))]);
    let Some(network) = &provision.network else { return };
    run(&[
        ("eth0's address", &|| interface::set_address("eth0", network.address, network.prefix)),
        ("eth0", &|| interface::bring_up("eth0")),
        ("default route", &|| interface::add_default_route(network.gateway)),
    ]);
}

/// Everybody may send echo requests, as on the systems where people do: by default no group may (icmp(7), `ping_group_range`), and a
/// guest's systemd, which sets it on a host, names ids that its user namespace does not have.
fn allow_ping(proc: &Path) -> io::Result<()> {
    let map = fs::read_to_string(proc.join("self/gid_map"))?;
    let Some((first, last)) = range(&map) else { return Ok(()) };
    match fs::write(proc.join("sys/net/ipv4/ping_group_range"), format!("{first} {last}")) {
        // The network namespace is the host's: it stays as the host has it.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => Ok(()),
        other => other,
    }
}

/// The ids that are the lowest and the highest on the host, whose numbers the kernel compares. By a map (user_namespaces(7)): lines
/// of the first id inside, the first outside, and how many.
fn range(map: &str) -> Option<(u32, u32)> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        Some((words.next()??, words.next()??, words.next()??.checked_sub(1)?))
    };
    let all = || map.lines().filter_map(parse);
    let (first, _, _) = all().min_by_key(|(_, outside, _)| *outside)?;
    let (last, _, more) = all().max_by_key(|(_, outside, _)| *outside)?;
    Some((first, last.checked_add(more)?))
}

fn run(steps: &[(&str, &dyn Fn() -> io::Result<()>)]) {
    for (what, step) in steps {
        if let Err(error) = step() {
            console::say(format_args!("{what}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_groups_of_a_guest_may_ping() {
        let proc = tempfile::tempdir().unwrap();
        for directory in ["self", "sys/net/ipv4"] {
            fs::create_dir_all(proc.path().join(directory)).unwrap();
        }
        let map = "         0    1065536       1000\n      1000       1000          1\n      1001    1066537     998999\n";
        fs::write(proc.path().join("self/gid_map"), map).unwrap();
        allow_ping(proc.path()).unwrap();
        let written = fs::read_to_string(proc.path().join("sys/net/ipv4/ping_group_range")).unwrap();
        assert_eq!(written, "1000 999999");
        assert_eq!(range("0 0 4294967295\n"), Some((0, u32::MAX - 1)));
        assert_eq!(range("0 1000000 5\n5 2000000 1\n6 1000005 4\n"), Some((0, 5)));
        assert_eq!(range(""), None);
    }
}
