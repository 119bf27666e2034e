//! What the real-stack suites use.

pub mod bed;
pub mod container;
pub mod host_file;
pub mod leaks;
pub mod lifeline;
pub mod pty;
pub mod shared;
pub mod snugd;
pub mod systemd_host;
pub mod user_command;
