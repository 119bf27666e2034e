//! `snugd`: the daemon of Snug.

use std::process::ExitCode;

fn main() -> ExitCode {
    snugd::command::main(std::env::args_os().skip(1))
}
