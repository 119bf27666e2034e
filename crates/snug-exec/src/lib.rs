//! Carries out requests to run a command, from the first message of a client to the command's end: in a guest for the
//! agent, on the host for `snug session`. Each connection has a process of its own, and every process has a single thread.
//!
//! | module | what |
//! |---|---|
//! | [`system`] | the system that commands run on: what differs between a guest and the host |
//! | [`session`] | one client's connection, and what else wakes its process |
//! | [`command`] | the life of a command, from the request to its end |
//! | [`start`] | from the fork to the command's program |
//! | [`streams`] | where a command's streams and its terminal come from |
//! | [`relay`] | streams that are copied, since they are not handed over |
//! | [`joint`] | two streams and a socket, joined |
//! | [`environment`] | lists of `KEY=VALUE` |
//! | [`sessions`] | the sessions alive, and the streams that they left with their server |
//! | [`control`] | what server and sessions say to each other |
//! | [`cgroup`] | a control group for each command |
//! | [`sys`] | system calls without a safe wrapper |

pub mod cgroup;
pub mod command;
pub mod control;
pub mod environment;
pub mod joint;
pub mod relay;
pub mod session;
pub mod sessions;
pub mod start;
pub mod streams;
pub mod sys;
pub mod system;
