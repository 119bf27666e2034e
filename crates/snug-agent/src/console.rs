//! What the agent has to say: short lines on the guest's console, where `snug logs` shows them.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// Writes one line. The console is opened for each, never held: the guest's init hangs it up when it takes it over.
/// A console that nobody reads must not stop anything, so nothing is waited for.
pub fn say(text: impl Display) {
    let line = format!("snug-agent: {text}\n");
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let console = OpenOptions::new()
        .write(true)
        .custom_flags(i32::from_ne_bytes(flags.to_ne_bytes()))
        .open("/dev/console");
    let _ = match console {
        Ok(mut console) => console.write_all(line.as_bytes()),
        Err(_) => std::io::stderr().write_all(line.as_bytes()),
    };
}
