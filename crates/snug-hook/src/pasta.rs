//! `pasta`, of passt: it copies the host's addresses and routes into a network namespace and carries what is sent there, by
//! sockets of its own on the host. Ports it does not forward: those that it finds by itself it opens to everybody, and looks for them
//! three times a second.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use snug_wire::network::RESOLVER;

/// The router's address is the router and not the host (`--no-map-gw`), and it forwards no port and
/// no name. It does not watch the directory of the namespace's file, which a newer one may not for a file of /proc. In the guest's user namespace it is nobody of the host's, without rights there; it must be root to get in.
const OPTIONS: [&str; 15] = [
    "--foreground",
    "--quiet",
    "--runas",
    "0:0",
    "--config-net",
    "--no-map-gw",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--tcp-ns",
    "none",
    "--udp-ns",
    "none",
    "--no-netns-quit",
];

/// Starts it for the namespaces of the process `guest`. It ends with this process. SIGPIPE has its default there, without
/// which an old one does not start: std sees to it.
///
/// # Errors
/// It is not installed.
pub fn start(program: &Path, guest: u32) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(OPTIONS);
    // To a guest that asks by DHCP: its client may write down what it is told, or nothing.
    command.args(["--dhcp-dns", "--dhcp-search", "--dns", &RESOLVER.to_string()]);
    command.args([
        "--userns",
        &format!("/proc/{guest}/ns/user"),
        "--netns",
        &format!("/proc/{guest}/ns/net"),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: one system call, which a child between fork and exec may make.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.spawn()
}
