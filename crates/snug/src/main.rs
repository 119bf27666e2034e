//! `snug`: any tool of any distribution on an immutable desktop.

use std::process::ExitCode;

fn main() -> ExitCode {
    snug_cli::main(std::env::args_os().collect())
}
