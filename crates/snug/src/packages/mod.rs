//! Packages of containers: the table of `snug_packages`, carried out in a guest.
//!
//! | module | what |
//! |---|---|
//! | [`line`] | a command line of the table as a process |
//! | [`guest`] | questions to a guest's package manager, and what it is told to change |
//! | [`running`] | a change that is under way: its progress, its log, Ctrl-C |
//! | [`streams`] | both streams of a process, until it has ended |
//! | [`log`] | what package managers have said |
//! | [`state`] | where that is kept |
//! | [`turn`] | one change at a time |
//! | [`held`] | what is installed for a word that was typed |
//! | [`words`] | what was typed: names of packages, and files of them |
//! | [`commands`] | which commands a package brings |

pub mod commands;
pub mod guest;
pub mod held;
pub mod line;
pub mod log;
pub mod running;
mod state;
mod streams;
pub mod turn;
pub mod words;
