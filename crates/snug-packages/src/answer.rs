//! What the programs answer, in one shape for all of them. Texts are the guest's: names have been held against [`PackageName`]'s rule, all
//! others are without control characters.

use crate::name::{CommandName, PackageName};

/// An installed package, or the one in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: PackageName,
    /// Its version, as the manager writes it: `2:1.0-1`.
    pub version: String,
}

/// A package that somebody has asked for, as the manager knows it: none that came for another's sake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// Its name.
    pub name: PackageName,
    /// When this version of it was installed, in seconds since 1970; `None` where the manager does not keep that.
    pub since: Option<u64>,
}

/// A package that a search found, installed or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its name.
    pub name: PackageName,
    /// Its newest version, where the manager tells it.
    pub version: Option<String>,
    /// What it is in one line, where the manager tells it.
    pub summary: Option<String>,
}

/// A command that a package of some repository has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Provided {
    /// What is typed.
    pub command: CommandName,
    /// The package.
    pub package: PackageName,
    /// The version that would be installed, where the manager tells it.
    pub version: Option<String>,
    /// How many systems are meant to have the package: 0 for those that every one has ([`Provided::USUAL`] where the manager does not tell).
    pub priority: u8,
}

impl Provided {
    /// Of a package like most.
    pub const USUAL: u8 = 3;
}

/// What a change would do to one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it would do.
    pub kind: ChangeKind,
    /// The package.
    pub name: PackageName,
    /// Its version before, where the manager tells it.
    pub from: Option<String>,
    /// Its version after, where the manager tells it.
    pub to: Option<String>,
}

/// A kind of [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was not there.
    Install,
    /// It gets another version.
    Upgrade,
    /// It goes.
    Remove,
}

/// What a manager makes of a word by which no package is called: an architecture may stand behind the name, or others provide it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// It has something to install for it, or has that already.
    pub is_taken: bool,
    /// Packages of which one has to be named, where it does not choose by itself.
    pub choices: Vec<PackageName>,
}
