//! `snug session` of a test, started as systemd starts it: with a socket that is there already.

use std::fs;
use std::process::{Child, Stdio};

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, send,
    socket_with,
};

use super::TestEnv;

/// Where it listens, below the runtime directory.
const SOCKET: &str = "snug/session.sock";

/// Ends when it is dropped.
pub struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl TestEnv {
    /// Starts it; programs of the host are found in [`Self::programs`], too.
    pub fn session(&self) -> Session {
        let socket = self.runtime().join(SOCKET);
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        listen(&listener, 8).unwrap();
        let script = r#"export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" session 3<&0 </dev/null"#;
        let path = format!("{}:/usr/bin:/bin", self.programs().display());
        let mut command = self.command_of("sh", &["-c", script, env!("CARGO_BIN_EXE_snug")]);
        Session(command.env("PATH", path).stdin(Stdio::from(listener)).spawn().unwrap())
    }

    /// Tells it which container to serve.
    pub fn wake(&self, container: &str) {
        let kind = SocketType::SEQPACKET;
        let client = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        connect(&client, &SocketAddrUnix::new(self.runtime().join(SOCKET)).unwrap()).unwrap();
        send(&client, container.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    }

    /// Has something in the place of the session's socket that nobody can talk to.
    pub fn unreachable_session(&self) -> std::os::unix::net::UnixListener {
        let socket = self.runtime().join(SOCKET);
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        // Of another type: refused with EPROTOTYPE, which is not "nobody there".
        std::os::unix::net::UnixListener::bind(socket).unwrap()
    }
}
