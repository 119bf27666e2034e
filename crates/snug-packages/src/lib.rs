//! Package managers as a table: which command lines to run in a guest, and how to read what they answer. No I/O: whoever uses this crate
//! runs the lines in the guest and hands over what came out.
//!
//! | module | what |
//! |---|---|
//! | **asking** | |
//! | [`manager`] | what every row of the table can be asked for, and which row a guest has |
//! | [`table`] | the rows: apt, dnf, dnf5, pacman, zypper, apk |
//! | [`command`] | command lines; questions with their readers; changes with their stages |
//! | [`name`] | checked words: names, versions, files, terms, commands |
//! | **what comes back** | |
//! | [`answer`] | packages, changes, what was found |
//! | [`read`] | the readers of the programs' outputs, bounded: a guest's root decides what they see |
//! | [`stage`] | a package manager's progress |
//! | [`executables`] | which files of a package are its commands; names by which they are better known |
//! | [`record`] | what a list of a container leaves out: the image's packages, and those from files |
//! | [`contents`] | Debian's `Contents` files: which package has a path |
//! | [`distribution`] | what people call a guest's distribution |
//! | [`documents`] | manual pages and completions of commands |
//! | [`error`] | what failed and what can be done |
//!
//! ```
//! use snug_packages::command::Output;
//! use snug_packages::manager::Manager;
//!
//! let apt = Manager::by_name("apt").unwrap();
//! let ripgrep = apt.package("ripgrep").unwrap();
//! let question = apt.files(&ripgrep);
//! assert_eq!(question.command.argv[0], "dpkg-query");
//! let files = question.read(&Output { status: 0, stdout: b"/usr/bin/rg\n".to_vec(), stderr: Vec::new() }).unwrap();
//! assert_eq!(files[0].as_os_str(), "/usr/bin/rg");
//! ```

pub mod answer;
pub mod command;
pub mod contents;
pub mod distribution;
pub mod documents;
pub mod error;
pub mod executables;
pub mod manager;
pub mod name;
pub mod read;
pub mod record;
pub mod stage;
pub mod table;

pub use error::{Error, Result};
