//! The command's relayed streams, each on a connection of its own.

use std::os::fd::{OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use snug_wire::message::{FIRST_FURTHER_STREAM, FromAgent, Stdio, TERMINAL_STREAM, ToAgent};
use snug_wire::socket::WireError;

use super::Session;
use crate::console::{Console, Peer};
use crate::request::Error;
use crate::{relay, stream};

/// How long all the streams of a command may take to be connected.
const ATTACH: Duration = Duration::from_secs(5);

impl Session<'_> {
    /// Opens a connection for each relayed stream, all of them within [`ATTACH`]: nothing else is heard meanwhile.
    pub(super) fn attach(&mut self, token: [u8; 16]) -> Result<(), Error> {
        let deadline = Instant::now() + ATTACH;
        let standard = (0..).zip(self.streams.stdio).map(|(number, stdio)| (number, stdio, number == 0));
        for (number, stdio, read) in standard {
            if stdio == Stdio::Relayed {
                self.relay(token, number, number.try_into().expect("0, 1 or 2"), read, deadline)?;
            }
        }
        for (stream, (number, stdio)) in
            (usize::from(FIRST_FURTHER_STREAM)..).zip(self.streams.further.clone())
        {
            if matches!(stdio, Stdio::Incoming | Stdio::Outgoing) {
                self.relay(token, stream, number.cast_signed(), stdio == Stdio::Incoming, deadline)?;
            }
        }
        if !self.trusted && self.streams.wants_terminal() {
            let (connection, already_read) =
                self.attach_one(token, usize::from(TERMINAL_STREAM), deadline)?;
            self.join(Peer::Connection(connection), already_read)?;
        }
        Ok(())
    }

    /// Joins one descriptor of the caller, which the command reads or writes, to the agent's stream.
    fn relay(
        &mut self,
        token: [u8; 16],
        stream: usize,
        number: RawFd,
        read: bool,
        deadline: Instant,
    ) -> Result<(), Error> {
        let (connection, already_read) = self.attach_one(token, stream, deadline)?;
        let failed = |source| Error::System { what: "cannot relay the command's streams", source };
        let descriptor = stream::borrow(number);
        if read {
            relay::send(descriptor, connection).map_err(failed)?;
        } else {
            self.outputs.push(relay::receive(connection, already_read, descriptor).map_err(failed)?);
        }
        Ok(())
    }

    fn attach_one(
        &self,
        token: [u8; 16],
        stream: usize,
        deadline: Instant,
    ) -> Result<(OwnedFd, Vec<u8>), Error> {
        let stream = u8::try_from(stream)
            .map_err(|_| Error::system("cannot relay that many descriptors")(Errno::TOOBIG))?;
        // The command may have begun: it must not be taken for one that was never asked for, and run again.
        let lost = |error| match error {
            Error::NotRunning { container } => Error::Lost { container },
            other => other,
        };
        let mut connection = self.request.target.open(false, deadline).map_err(lost)?;
        let deadline = Some(deadline);
        // First: on the host nobody says hello before he is spoken to.
        connection
            .send(&ToAgent::Attach { token, stream }, &[], deadline)
            .map_err(|error| self.agent_error(error))?;
        match connection.receive::<FromAgent>(deadline).map_err(|error| self.agent_error(error))? {
            Some(FromAgent::Hello { .. }) => {}
            _ => return Err(self.agent_error(WireError::Interrupted)),
        }
        Ok(connection.into_raw())
    }

    pub(super) fn join(&mut self, peer: Peer, already_read: Vec<u8>) -> Result<(), Error> {
        let console = Console::new(self.terminal.take(), self.wiring, peer, self.guest_modes, already_read)
            .map_err(|source| Error::System { what: "cannot relay the terminal", source })?;
        self.console = Some(console);
        // It may have changed since the request was made.
        self.tell_size();
        Ok(())
    }
}
