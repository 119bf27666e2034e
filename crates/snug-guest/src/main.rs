//! What programs of a guest reach the host by. What it does depends on the name that it is called by.
#![no_main]

snug_client::entry_point!(snug_guest::main);
