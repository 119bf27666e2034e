//! A socket of the test's own in place of the agent of a guest that means harm.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use snug_testbed::{Bed, Container};
use snug_wire::message::FromAgent;
use snug_wire::socket::{Connection, Descriptors};

/// In place of the guest's agent: a socket of the test's own at the same path.
pub struct Hostile {
    pub socket: PathBuf,
    real: PathBuf,
    listener: Option<UnixListener>,
    /// How many have connected.
    pub heard: Arc<AtomicUsize>,
    server: Option<JoinHandle<()>>,
}

impl Hostile {
    /// Moves the agent's socket away; nothing is in its place yet.
    pub fn take_place(bed: &Bed, container: &Container<'_>) -> Self {
        let guest = bed.run_dir(container.user(), container.name()).join("guest");
        let (socket, real) = (guest.join("agent.sock"), guest.join("agent.real"));
        fs::rename(&socket, &real).unwrap();
        Self { socket, real, listener: None, heard: Arc::default(), server: None }
    }

    /// Answers each connection in this way.
    pub fn answering(
        bed: &Bed,
        container: &Container<'_>,
        behave: impl Fn(UnixStream) + Send + Sync + Clone + 'static,
    ) -> Self {
        let mut hostile = Self::take_place(bed, container);
        let listener = UnixListener::bind(&hostile.socket).unwrap();
        fs::set_permissions(&hostile.socket, Permissions::from_mode(0o666)).unwrap();
        hostile.listener = Some(listener.try_clone().unwrap());
        let heard = hostile.heard.clone();
        hostile.server = Some(std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                heard.fetch_add(1, Ordering::SeqCst);
                let behave = behave.clone();
                std::thread::spawn(move || behave(stream));
            }
        }));
        hostile
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            // accept(2) of a socket that was shut down fails, wherever its name has gone.
            let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        }
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_dir(&self.socket);
        let _ = fs::rename(&self.real, &self.socket);
    }
}

pub fn hello() -> FromAgent {
    FromAgent::Hello { protocol: 1, oldest: 1, version: b"0.1.0".to_vec(), settled: true, offered: false }
}

pub fn say(stream: UnixStream, messages: &[FromAgent], fds: &[BorrowedFd<'_>]) -> Connection {
    let mut connection = Connection::new(stream.into(), Descriptors::Accept);
    for message in messages {
        let fds = if matches!(message, FromAgent::Hello { .. }) { &[] } else { fds };
        let _ = connection.send(message, fds, None);
    }
    connection
}

/// Reads until the client has gone.
pub fn until_gone(connection: &Connection) {
    let mut stream = File::from(connection.as_fd().try_clone_to_owned().unwrap());
    let mut buffer = [0; 65536];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}
