//! A server that belongs to nobody.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::{ServeError, Server, failed, groups};
use crate::console;
use crate::places::Places;
use snug_exec::sys::process::{Fork, fork};
use snug_exec::sys::{descriptor, process};

/// Starts a server that belongs to nobody, and waits until it serves.
pub fn start_daemon(places: Places) -> Result<(), ServeError> {
    let (answer, speaker) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("pipe"))?;
    match fork().map_err(failed("fork"))? {
        Fork::Parent(_) => {}
        Fork::Child => {
            process::belong_to_nobody();
            match fork() {
                Ok(Fork::Child) => run_daemon(places, &speaker),
                _ => process::exit(0),
            }
        }
    }
    drop(speaker);
    let mut text = [0; 1024];
    match rustix::io::read(&answer, &mut text) {
        Ok(1) if text[0] == SERVES => Ok(()),
        Ok(1) if text[0] == SERVED_ALREADY => Err(ServeError::AlreadyServed),
        Ok(0) => Err(failed("the server")(io::Error::other("ended before it served"))),
        Ok(count) => {
            let text = String::from_utf8_lossy(&text[..count]).into_owned();
            Err(failed("the server")(io::Error::other(text)))
        }
        Err(error) => Err(failed("the server")(error)),
    }
}

const SERVES: u8 = 0;
const SERVED_ALREADY: u8 = 1;

fn run_daemon(places: Places, speaker: &OwnedFd) -> ! {
    let Ok([speaker]) = descriptor::keep_only([speaker.as_raw_fd()]) else { process::exit(1) };
    let tree = groups(&places);
    if let Some(tree) = &tree
        && let Err(error) = tree.enter_server()
    {
        console::say(format_args!("cannot enter the server's control group: {error}"));
    }
    match Server::open(places, tree) {
        Ok(server) => {
            let _ = rustix::io::write(&speaker, &[SERVES]);
            drop(speaker);
            server.run();
            process::exit(0)
        }
        Err(ServeError::AlreadyServed) => {
            let _ = rustix::io::write(&speaker, &[SERVED_ALREADY]);
        }
        Err(error) => {
            let _ = rustix::io::write(&speaker, error.to_string().as_bytes());
        }
    }
    process::exit(1)
}
