//! What the daemon does on the host itself. All of it but [`patience`] and [`readiness`] blocks, call it through
//! `tokio::task::spawn_blocking`; what asks the kernel alone ([`process`]) is answered at once. Nothing here runs a program.
//!
//! | module | what |
//! |---|---|
//! | [`acl`] | an access control list that lets one user pass |
//! | [`bridge`] | hardware addresses on a bridge |
//! | [`cgroups`] | the cgroup hierarchy that Incus sees |
//! | [`certificates`] | certificate authorities that the administrator has added |
//! | [`credentials`] | a thread with a user's credentials |
//! | [`devices`] | device nodes that an owner may open |
//! | [`directory`] | a directory, opened with the rights of the thread that asks |
//! | [`driver`] | the files of the host's graphics driver |
//! | [`environment`] | time zone, locale, resolver of the host |
//! | [`mod@file`] | files written as a whole or not at all |
//! | [`guest_bin`] | the agent's versions that guests see |
//! | [`home`] | a home directory: opened as its owner, mounted where Incus takes it from |
//! | [`host_places`] | `/tmp`, `/media` and so on, mounted where Incus takes them from |
//! | [`mirror`] | whether the host's network can be mirrored |
//! | [`mount_table`] | what is mounted where |
//! | [`mounts`] | the mount system calls |
//! | [`owner`] | accounts, and who may own |
//! | [`patience`] | a bound for what looks at file systems of users |
//! | [`ports`] | ports of guests that the host has |
//! | [`process`] | a process told from another one that got its number |
//! | [`readiness`] | descriptors that become readable |
//! | [`routing_rules`] | guests of the bridge, kept from each other's addresses |
//! | [`rundir`] | the run directory of a container |
//! | [`service_leftovers`] | what the services of killed guests left in `/tmp` |
//! | [`session`] | the directories that a session has its sockets in |
//! | [`space`] | free space |
//! | [`subid`] | `/etc/subuid` and `/etc/subgid` |

pub mod acl;
pub mod bridge;
pub mod certificates;
pub mod cgroups;
pub mod credentials;
pub mod devices;
pub mod directory;
pub mod driver;
pub mod environment;
pub mod file;
pub mod guest_bin;
pub mod home;
pub mod host_places;
pub mod mirror;
pub mod mount_table;
pub mod mounts;
pub mod owner;
pub mod patience;
pub mod ports;
pub mod process;
pub mod readiness;
pub mod routing_rules;
pub mod rundir;
pub mod service_leftovers;
pub mod session;
pub mod space;
pub mod subid;
