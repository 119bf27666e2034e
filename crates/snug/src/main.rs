//! `snug`: any tool of any distribution on an immutable desktop.
#![no_main]

snug_client::entry_point!(snug_cli::main);
