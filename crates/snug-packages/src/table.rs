//! The rows. Each says where its facts are from, and how it was proven: tests/real_managers runs the programs that Debian has.
//!
//! | row | proven |
//! |---|---|
//! | [`APT`] | run: apt 2.6.1 and dpkg 1.21.22 of Debian 12 |
//! | [`DNF`] | run: dnf 4.14.0, rpm 4.18.0 of Debian 12 |
//! | [`DNF5`] | run by hand: dnf5 5.4.6 of Debian's unstable suite, feature `dnf5-tests`; Debian 13 has none |
//! | [`ZYPPER`] | run: zypper 1.14.42 of Debian 12 |
//! | [`PACMAN`] | run: pacman 6.0.2 of Debian 12; the same by hand with pacman 7 of its unstable suite |
//! | [`APK`] | recorded: apk-tools 3.0.8 of Alpine 3.23; Debian has no apk |
//!
//! In a line `{}` stands for the words, each one word of the line; no shell takes a word apart.

mod apk;
mod apt;
mod dnf;
mod pacman;
mod zypper;

pub use apk::APK;
pub use apt::APT;
pub use dnf::{DNF, DNF5};
pub use pacman::PACMAN;
pub use zypper::ZYPPER;

/// `ID`s of distributions without releases whose manager tells the difference.
pub(crate) const ROLLING: &[&str] = &["opensuse-tumbleweed", "opensuse-slowroll", "opensuse-microos"];

/// What every program is told: messages as they are read here, and no question. `TERM` so that nothing is drawn.
macro_rules! environment {
    ($($more:expr),*) => {
        &[("LC_ALL", "C.UTF-8"), ("LANGUAGE", ""), ("TERM", "dumb"), ("NO_COLOR", "1"), ("PAGER", "cat"), $($more),*]
    };
}
pub(crate) use environment;

/// The age of metadata: the newest modification of the files that a pattern names.
macro_rules! newest_of {
    ($($pattern:literal),+) => {
        crate::command::Ask {
            argv: &[crate::command::SHELL, "-c", concat!("stat -c %Y -- ", $($pattern, " "),+, "2>/dev/null; exit 0")],
            as_root: true,
            nothing: crate::command::Nothing::Never,
            read: crate::read::guest::newest,
        }
    };
}
pub(crate) use newest_of;
