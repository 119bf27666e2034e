//! `snug-hook`: started by LXC on the host when a container of Snug starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    snug_hook::main(std::env::args_os().skip(1))
}
