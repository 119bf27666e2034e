//! The verbs of the program.

pub mod down;
pub mod status;
pub mod up;
