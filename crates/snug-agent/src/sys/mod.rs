//! The system calls that have no safe wrapper elsewhere. `unsafe` stands nowhere but here; every process of the agent
//! has a single thread, and several of the calls below are only sound because of that.

pub mod descriptor;
pub mod interface;
pub mod memory;
pub mod peer;
pub mod process;
pub mod signal;
pub mod terminal;
