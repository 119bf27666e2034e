//! What the links of exported commands lead to. What it does depends on the name that it is called by.
#![no_main]

snug_client::entry_point!(snug_shim::main);
