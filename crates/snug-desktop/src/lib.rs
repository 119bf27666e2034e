//! Desktop entries and icons of guests: read as a stranger's, and written anew for the host. No I/O.
//!
//! | module | what |
//! |---|---|
//! | [`key_file`] | groups, keys and values of a file, bounded |
//! | [`value`] | the escapes of values and lists |
//! | [`exec`] | the command line of `Exec`: words and field codes, out of one and into another |
//! | [`entry`] | what of an entry is taken over |
//! | [`write`](mod@write) | the entry that the host gets |
//! | [`vocabulary`] | the words that menus know: categories, desktops, kinds of media |
//! | [`icon`] | which images are taken over, and where they go |
//!
//! Nothing of a guest's file is copied as it is: keys that are known are read, checked, and written again. So a line break, an escape or a
//! second group of the same name cannot become anything that was not looked at.
//!
//! Sources: Desktop Entry Specification 1.5, Desktop Menu Specification 1.1, Icon Theme Specification 0.13 (freedesktop.org).

pub mod entry;
pub mod exec;
pub mod icon;
pub mod key_file;
pub mod value;
pub mod vocabulary;
pub mod write;

pub use entry::{Entry, Unfit};
pub use write::Placing;
