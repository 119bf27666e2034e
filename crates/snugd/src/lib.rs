//! The daemon of Snug: authorisation, and plans carried out against Incus, as jobs on the system bus.
//!
//! | module | what |
//! |---|---|
//! | **the process** | |
//! | [`command`] | what `snugd …` does: serve, start containers at boot, detach them |
//! | [`daemon`] | what all calls share |
//! | [`server_list`] | what an image server has, read as the user |
//! | [`configuration`] | the host's configuration files |
//! | [`error`] | the one error type |
//! | **the bus** | |
//! | [`bus`] | the service: calls, callers, polkit, signals |
//! | [`manager`] | the methods |
//! | [`job`] | work that takes time, as objects |
//! | [`doctor`] | what is missing on this host |
//! | **containers** | |
//! | [`container`] | whose they are, what a client sees |
//! | [`work`] | a change to one, carried out |
//! | [`temporary`] | those that go with their client |
//! | [`place`] | how much one user holds at once |
//! | [`turns`] | how much one user has at work at once |
//! | [`reservation`] | addresses and ids that are being given away |
//! | [`agent`] | the agent of a guest, from the host |
//! | [`autostart`] | those that start by themselves |
//! | [`follower`] | the host's changes, which they follow |
//! | [`detachment`] | how they live on without Snug |
//! | **beneath** | |
//! | [`incus`] | what is done to Incus |
//! | [`host`] | what is done on the host |
//! | [`lock`] | one daemon at a time |
//! | [`failpoint`] | where tests let the daemon die |

pub mod agent;
pub mod autostart;
pub mod bus;
pub mod command;
pub mod configuration;
pub mod container;
pub mod daemon;
pub mod detachment;
pub mod doctor;
pub mod error;
pub mod failpoint;
pub mod follower;
pub mod host;
pub mod incus;
pub mod job;
pub mod lock;
pub mod manager;
pub mod place;
pub mod reservation;
pub mod server_list;
pub mod temporary;
pub mod turns;
pub mod work;
