//! `cargo xtask`: what the project needs besides cargo.
//!
//! | verb | module |
//! |---|---|
//! | `agent`, `build` | [`build`], checked by [`elf`] |
//! | `install`, `uninstall` | [`install`], by the [`layout`], remembered in a [`manifest`] |
//! | `real-stack-suites` | [`suites`] |
//! | `licences` | [`licences`] |

mod build;
mod elf;
mod error;
mod install;
mod layout;
mod licences;
mod manifest;
mod program;
mod suites;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;

/// Developer tasks of Snug.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the static agent and check it
    Agent,
    /// Build everything that `install` installs
    Build {
        #[command(flatten)]
        build: build::Options,
        #[command(flatten)]
        place: layout::Place,
    },
    /// Build (unless told not to) and install into the system
    Install {
        #[command(flatten)]
        build: build::Options,
        #[command(flatten)]
        place: layout::Place,
        /// Install what `build` built earlier; nothing is compiled (for root, after a build as oneself)
        #[arg(long)]
        no_build: bool,
    },
    /// Detach Snug from its containers and remove exactly what `install` installed
    Uninstall {
        #[command(flatten)]
        place: layout::Place,
    },
    /// Build the suites of the real stack and print their paths: root then runs them, without cargo
    RealStackSuites {
        /// Only those whose name contains this
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Check the licences of all dependencies
    Licences,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            program::say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Agent => build::agent(&layout::Place::default()).map(drop),
        Task::Build { build: options, place } => build::everything(&options, &place),
        Task::Install { build: options, place, no_build } => {
            if !no_build {
                build::everything(&options, &place)?;
            }
            install::install(&options, &place)
        }
        Task::Uninstall { place } => install::uninstall(&place),
        Task::RealStackSuites { filter } => suites::print(&filter),
        Task::Licences => licences::check(),
    }
}
