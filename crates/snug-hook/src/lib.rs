//! What LXC starts on the host for a container of Snug: the network of one that mirrors the host's (`network=mirror`), and a look at
//! that of one behind the bridge.
//!
//! | module | what |
//! |---|---|
//! | [`command`] | the words of its command line |
//! | [`guest`] | a guest and its network namespace |
//! | [`daemon`] | a process that stays when the hook has ended |
//! | [`check`] | whether a guest behind the bridge gets anywhere, and who of the host is in its way |
//! | [`keeper`] | the process that stays as long as the guest runs, and starts the others again |
//! | [`pasta`] | the guest's way out: passt's program for network namespaces |
//! | [`uplink`] | the host's way out, which that one copies, and its changes |
//! | [`forward`] | ports of the guest on the host, ports of the host in the guest, names |
//! | [`plan`] | which those are |
//! | [`sockets`] | who listens in a network namespace |
//! | [`namespace`] | sockets in the guest's network namespace |
//! | [`loopback`] | the guest's loopback interface |
//! | [`owner`] | giving up root's rights |
//! | [`bpf`] | programs in the kernel: what tells of ports, and what leads to them |

pub mod bpf;
pub mod check;
pub mod command;
pub mod daemon;
pub mod forward;
pub mod guest;
pub mod keeper;
pub mod loopback;
pub mod namespace;
pub mod owner;
pub mod pasta;
pub mod plan;
pub mod sockets;
pub mod uplink;

pub use command::main;
