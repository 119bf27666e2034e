//! Packages of containers: the table of `snug_packages`, carried out in a guest.
//!
//! | module | what |
//! |---|---|
//! | [`line`](mod@line) | a command line of the table as a process |
//! | [`guest`] | questions to a guest's package manager, and what it is told to change |
//! | [`running`] | a change that is under way: its progress, its log, Ctrl-C |
//! | [`streams`] | what a process writes, until it has ended or nobody waits any longer |
//! | [`log`] | what package managers have said |
//! | [`turn`] | one change at a time |
//! | [`held`] | what is installed for a word that was typed |
//! | [`check`] | whether a guest is well, and what of its owner's runs in it |
//! | [`moved`] | exported commands after an upgrade |
//! | [`upgrade`] | an upgrade of a container: its check, and the way back |
//! | [`outcome`] | what became of one |
//! | [`words`] | what was typed: names of packages, and files of them |
//! | [`commands`] | which commands a package brings |
//! | [`record`] | what the image brought, and what came from files |

pub mod check;
pub mod commands;
pub mod guest;
pub mod held;
pub mod line;
pub mod log;
pub mod moved;
pub mod outcome;
pub mod record;
pub mod running;
pub mod streams;
pub mod turn;
pub mod upgrade;
pub mod words;

use std::io;
use std::path::PathBuf;

use snug_core::name::ContainerName;

use crate::progress::{Line, Progress};

/// A file of a container's in the user's state, of this kind (`log`, `lock`).
///
/// # Errors
/// Its directory cannot be made.
fn state_file(container: &ContainerName, kind: &str) -> io::Result<PathBuf> {
    Ok(crate::state::directory("packages")?.join(format!("{container}.{kind}")))
}

/// A line of progress about a container, with what is done first.
fn progress_of(progress: &Progress, container: &ContainerName, stage: &str) -> Line {
    let line = progress.line(container.as_str());
    line.stage(stage);
    line
}
