//! A program of the guest that makes something of what provisioning has put there. It alone knows what else goes into that, and
//! nothing of provisioning depends on it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use crate::places::Places;
use snug_exec::sys::process::{self, Child, Fork, Strings, c_string};
use snug_exec::sys::{descriptor, signal};

/// Starts it; whoever calls may wait for its end, and the server takes note of it.
pub fn start(program: &str, places: &Places) -> io::Result<Child> {
    match process::fork_into(None)? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let _ = become_program(program, places);
            process::exit(127)
        }
    }
}

fn become_program(program: &str, places: &Places) -> io::Result<()> {
    rustix::process::setsid()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        descriptor::place(null.as_fd(), number)?;
    }
    descriptor::close_on_exec_from(3);
    signal::reset_dispositions(0);
    signal::unblock_all();
    let words = Strings::new([program.as_bytes().to_vec()]);
    let path = [&b"PATH="[..], snug_exec::environment::DEFAULT_PATH].concat();
    // Debian's leaves its temporary files when it is killed with the guest: in `/tmp` they would be the host's.
    let temporary = [&b"TMPDIR="[..], places.state.as_os_str().as_bytes()].concat();
    Err(process::execute(&c_string(program.into()), &words, &Strings::new([path, temporary])).into())
}
