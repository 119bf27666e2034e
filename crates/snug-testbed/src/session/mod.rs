//! What the real-stack suites use.

pub mod bed;
pub mod container;
pub mod leaks;
pub mod pty;
pub mod user_command;
