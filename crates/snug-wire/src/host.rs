//! How a guest's commands reach its owner's session on the host.
//!
//! Nothing on the host listens for guests. The owner's `snug session` connects to the agent of each container that has
//! `host-exec` or `host-open`, and *offers* that connection ([`crate::message::ToAgent::Offer`]); a program of the guest
//! asks the agent for one ([`crate::message::ToAgent::Dial`]) and then speaks with the host over it, as a client on the
//! host speaks with an agent. So a request comes over a connection that belongs to one container alone.

use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::message::{FailureKind, FromAgent, ToAgent};
use crate::socket::{Connection, WireError};

/// The guest's program for it, beside the agent; what it does depends on the name that it is called by.
pub const GUEST_PROGRAM: &str = "snug-guest";
/// Where guests have it.
pub const GUEST_PROGRAM_PATH: &str = "/.snug/bin/snug-guest";

/// Where links of that name to [`GUEST_PROGRAM_PATH`] are for the commands that containers export, below the owner's
/// `XDG_DATA_HOME`: whoever shares the home has those of the other containers by it. On the host they lead nowhere.
pub const EXPORTED_COMMANDS: &str = "snug/for-guests";
/// Where the host has its links to them, below the home.
pub const EXPORTED_COMMANDS_OF_HOST: &str = ".local/bin";

/// Opens links and files on the host (`xdg-open`, `$BROWSER`).
pub const OPEN: &str = "host-open";
/// Where guests have it, for `$BROWSER` and desktop entries.
pub const OPEN_PATH: &str = "/.snug/bin/host-open";
/// Runs a command on the host.
pub const EXEC: &str = "host-exec";
/// Where a guest has a link of that name to [`GUEST_PROGRAM_PATH`].
pub const GUEST_DIRECTORY: &str = "/usr/local/bin";
/// The names in [`GUEST_DIRECTORY`] with the grant `host-exec`: Snug's own, and those that scripts know.
pub const EXEC_NAMES: [&str; 5] = [EXEC, "distrobox-host-exec", "host-spawn", "flatpak-spawn", "snug"];
/// The same with `host-open`.
pub const OPEN_NAMES: [&str; 3] = [OPEN, "xdg-open", "gio"];

/// Longest link or path that is opened, in bytes (`PATH_MAX` is half of it).
pub const MAX_TARGET: usize = 8192;

/// Where systemd listens for `snug session`, below the owner's runtime directory (`snug-session.socket`).
pub const SERVICE_SOCKET: &str = "snug/session.sock";

/// The container that a command of the host was asked for by: `snug` takes it for the default one.
pub const CONTAINER_VARIABLE: &str = "SNUG_CONTAINER";
/// The directory of that container in which `snug` was typed there.
pub const DIRECTORY_VARIABLE: &str = "SNUG_GUEST_DIRECTORY";
/// The host's program that a guest's link of that name runs, wherever it is typed.
pub const SNUG: &str = "snug";

/// Why a connection was not given.
#[derive(Debug)]
pub enum NotGiven {
    /// Whoever was asked says why, to a person.
    Refused {
        /// Whether it may not be, or nobody is there.
        kind: FailureKind,
        /// As it came: print it escaped.
        text: Vec<u8>,
    },
    /// It was not understood, or not in time.
    Wire(WireError),
}

impl From<WireError> for NotGiven {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Asks for a connection ([`ToAgent::Dial`], [`ToAgent::JoinBus`]) and waits for it until then.
///
/// # Errors
/// It is not given.
pub fn obtain(connection: &mut Connection, asked: &ToAgent, deadline: Instant) -> Result<OwnedFd, NotGiven> {
    // Who may not ask is told why, and left before he has asked.
    let sent = connection.send(asked, &[], Some(deadline));
    loop {
        match connection.receive(Some(deadline)) {
            Ok(Some(FromAgent::Hello { .. } | FromAgent::Notice(_))) => {}
            Ok(Some(FromAgent::Dialled)) => break,
            Ok(Some(FromAgent::Failed { kind, text })) => return Err(NotGiven::Refused { kind, text }),
            answer => {
                sent?;
                answer?;
                return Err(WireError::Interrupted.into());
            }
        }
    }
    connection.take_fds(1)?.pop().ok_or_else(|| WireError::Descriptors.into())
}

/// What stands before the first colon of a link (RFC 3986, section 3.1); `None`: it is none.
#[must_use]
pub fn scheme(link: &[u8]) -> Option<&[u8]> {
    let end = link.iter().position(|byte| *byte == b':')?;
    let scheme = &link[..end];
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    (scheme.first()?.is_ascii_alphabetic() && scheme.iter().all(allowed)).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::message::Wish;
    use crate::socket::Descriptors;

    #[test]
    fn a_link_begins_with_a_scheme() {
        for (link, found) in
            [("https://x/?a=b:c", "https"), ("mailto:a@b", "mailto"), ("X-y+z.1:", "X-y+z.1")]
        {
            assert_eq!(scheme(link.as_bytes()), Some(found.as_bytes()), "{link}");
        }
        for link in ["", "/etc/passwd", "x", ":x", "1x:y", "-x:y", "a b:c", "./a:b"] {
            assert_eq!(scheme(link.as_bytes()), None, "{link}");
        }
    }
    #[test]
    fn a_connection_is_given_or_the_reason_why_not() {
        let ask = |answers: Vec<FromAgent>, leaves: bool| {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut client = Connection::new(near.into(), Descriptors::Accept);
            let given = std::fs::File::open("/dev/null").unwrap();
            let deadline = Instant::now() + std::time::Duration::from_secs(10);
            let mut server = Connection::new(far.into(), Descriptors::Accept);
            server.send_all(&answers, &[given.as_fd()], Some(deadline)).unwrap();
            let kept = (!leaves).then_some(server);
            let obtained = obtain(&mut client, &ToAgent::Dial(Wish::Command), deadline);
            drop(kept);
            obtained
        };
        let hello =
            FromAgent::Hello { protocol: 1, oldest: 1, version: Vec::new(), settled: true, offered: true };
        assert!(ask(vec![hello.clone(), FromAgent::Dialled], false).is_ok());
        let refusal = FromAgent::Failed { kind: FailureKind::Denied, text: b"no".to_vec() };
        for leaves in [false, true] {
            let refused = ask(vec![hello.clone(), refusal.clone()], leaves);
            assert!(
                matches!(refused, Err(NotGiven::Refused { kind: FailureKind::Denied, text }) if text == b"no")
            );
        }
        assert!(matches!(ask(vec![hello.clone(), FromAgent::Done], false), Err(NotGiven::Wire(_))));
        assert!(matches!(ask(vec![hello], true), Err(NotGiven::Wire(_))));
    }
}
