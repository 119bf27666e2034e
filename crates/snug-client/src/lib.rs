//! The hot path of Snug: from a command line straight to the agent in the container.
//!
//! One unix socket, no bus, no Incus, no async runtime. [`run`] does it all; the rest are its steps:
//!
//! | module | what |
//! |---|---|
//! | [`request`] | what is to be run, and how it ended |
//! | [`startup`] | what the process was given before Rust's runtime changed it |
//! | [`environment`] | which variables belong to the host |
//! | [`host_service`] | the owner's session, which carries out on the host what his containers ask for |
//! | [`host_session`] | the caller's display, sound, bus and agents, as a guest finds them |
//! | [`xauthority`] | the cookies of X displays |
//! | [`stream`] | what each descriptor is, and what may become of it |
//! | [`directory`] | the caller's directory and its identity |
//! | [`limits`] | resource limits |
//! | [`terminfo`] | the caller's terminfo entry |
//! | [`words`] | what a person is told: hints, a guest's words made harmless |
//! | [`ancestry`] | which parents the terminal belongs to, where it is not this session's |
//! | [`terminal`] | the caller's terminal: modes, size, who of several clients holds it |
//! | [`guest_terminal`] | the guest's terminal, seen and steered through its master |
//! | [`screen`] | what the guest's terminal shows, on the caller's |
//! | [`pipeline`] | the other programs of the caller's job that use its terminal |
//! | [`announcement`] | what the terminal emulator is told of the container |
//! | [`console`] | the caller's terminal joined to the command's |
//! | [`signal_keys`] | the keys that send signals, and which was typed last |
//! | [`insistence`] | when a client ends although its command does not |
//! | [`signals`] | signals as a descriptor, dying of one, stopping oneself |
//! | [`relay`] | bytes between a stream of ours and one of the agent's connections |
//! | [`target`] | where a command runs, and how whoever carries it out is reached |
//! | [`exec`] | what the agent is asked: a request, with what the caller's process is and has |
//! | [`session`] | the conversation with the agent |

pub mod ancestry;
pub mod announcement;
pub mod console;
pub mod directory;
pub mod environment;
pub mod exec;
pub mod guest_terminal;
pub mod host_service;
pub mod host_session;
pub mod insistence;
pub mod limits;
pub mod pipeline;
pub mod relay;
pub mod request;
pub mod screen;
pub mod session;
pub mod signal_keys;
pub mod signals;
pub mod startup;
pub mod stream;
pub mod target;
pub mod terminal;
pub mod terminfo;
pub mod words;
pub mod xauthority;

pub use request::{Directory, Error, Outcome, Request, TerminalChoice, User, finish};
pub use session::run;
pub use target::Target;
