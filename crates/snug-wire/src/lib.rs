//! What Snug's client, agent and daemon say to each other. Small, synchronous, and strict about what it reads:
//! everything that comes from a guest is treated as hostile.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | the messages of the agent's socket and their encoding |
//! | [`codec`] | bounded readers and writers of the encoding's primitives |
//! | [`rights`] | bytes together with file descriptors |
//! | [`socket`] | a stream socket that carries messages and file descriptors, with deadlines |
//! | [`policy`] | the file that tells a client how far to trust a guest |
//! | [`provision`] | the file that tells the agent whom it serves |
//! | [`session`] | where a guest has what its owner's session on the host consists of |
//! | [`devices`] | where a guest has the device nodes of its host |
//! | [`driver`] | where a guest has the files of its host's graphics driver |
//! | [`host`] | how a guest's commands reach its owner's session on the host |
//! | [`network`] | what is known on the host of a guest's network |
//! | [`notice`] | what a container's owner is to be told once |
//! | [`ports`] | what is told of a guest's forwarded ports |
//! | [`shell`] | how a shell comes to show which container it is in |
//! | [`pack`] | files as the tar streams of `snug cp` |
//! | [`small_file`] | files at known paths that may be anything |
//!
//! # The protocol
//!
//! One unix stream socket per container. A frame is `u32` length of the body (little endian), `u8` type, body.
//!
//! ```text
//! agent  → Hello                         at once, to whoever connects
//! client → Fds*  Exec                    descriptors first (trusted guests only), then the request
//! agent  → Notice*                       waiting for the guest's boot, and the like
//! agent  → Streams                       when something is relayed: a token for `Attach`
//!          client opens one more connection per relayed stream and sends Attach on each; raw bytes follow
//! agent  → Pty + descriptor              trusted guests with a terminal: the pty's master
//! agent  → Started | Failed
//! client → Signal | Resize | Resume      at any time
//! agent  → Stopped                       the command was stopped (Ctrl-Z); the client stops too and later sends Resume
//! agent  → Exited | Killed               the end
//! client closes its half of a relayed terminal: the agent sends what was shown until then, and closes
//! ```
//!
//! Before a stop the owner or root sends `HangUpAll` in the place of a request; the answer is `Done` when every command is
//! gone. In the same place `Follow` tells what has changed on the host; `Done` is the answer when the guest has it.
//!
//! In the other direction, from the guest to the host ([`host`]):
//!
//! ```text
//! host's session → Offer                 in the place of a request: the agent keeps the connection
//! guest's program → Dial                 the same, and the agent answers
//! agent  → Dialled + descriptor          an offered connection; what follows on it is as above, the host's end is the agent
//! ```
//!
//! A client that goes away for whatever reason (end of file on its connection) hangs up its command.

pub mod codec;
pub mod devices;
pub mod driver;
mod exactly;
pub mod host;
pub mod message;
pub mod network;
pub mod notice;
pub mod pack;
pub mod policy;
pub mod ports;
pub mod provision;
pub mod rights;
pub mod session;
pub mod shell;
pub mod small_file;
pub mod socket;
mod sparse;
