//! The list as a file: what containers are to be, as `snug dump` writes it, people keep it and `snug apply` carries it out.
//!
//! | module | what |
//! |---|---|
//! | [`read`] | a text, checked: all that is wrong with it, each with its line |
//! | [`write`](mod@write) | what stands, as a text |
//! | [`grants`] | what differs from a preset |
//! | [`edit`] | one package more or less, with the comments and the order of whoever keeps the list |
//! | [`arrays`] | the same of one list of words |
//! | [`file`](mod@file) | the file: bounded, and written in one piece through links |
//! | [`standing`] | what stands, asked of the daemon, the guests and the index of exports |
//! | [`step`] | what can be done for it to be as the list says |
//! | [`plan`] | what has to be done for it to be as the list says |
//! | [`save`] | `--save` of `snug install` and `snug uninstall` |

mod arrays;
pub mod edit;
pub mod file;
pub mod grants;
pub mod plan;
pub mod read;
pub mod save;
pub mod standing;
pub mod step;
pub mod write;

use std::collections::BTreeMap;
use std::path::Path;

use snug_core::grant::GrantSet;
use snug_core::name::ContainerName;
use snug_exports::{ApplicationId, Command, Socket, Wanted};
use snug_packages::executables::command_name;

/// The table that has a table for each container.
pub const CONTAINER: &str = "container";
/// The keys of a container's table, in the order in which they are written.
pub const KEYS: [&str; 8] = [IMAGE, PRESET, GRANTS, PACKAGES, EXPORTS, APPS, SOCKETS, SETTINGS];
/// What it is made from.
pub const IMAGE: &str = "image";
/// What it is made as.
pub const PRESET: &str = "preset";
/// What differs from that: `+kvm`, `-gpu`.
pub const GRANTS: &str = "grants";
/// What is installed in it.
pub const PACKAGES: &str = "packages";
/// Commands that the host has of it.
pub const EXPORTS: &str = "exports";
/// Applications that the host's menus have of it.
pub const APPS: &str = "apps";
/// Sockets that the host has of it.
pub const SOCKETS: &str = "sockets";
/// Limits and the like.
pub const SETTINGS: &str = "settings";

/// A list: what each of its containers is to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// By name.
    pub containers: BTreeMap<ContainerName, Entry>,
}

/// What a container is to be. Of a key that is missing the list says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// What it is made from, in its full spelling.
    pub image: String,
    /// The image was named: one of another image is not what the list says.
    pub has_image: bool,
    /// What it is made as.
    pub preset: String,
    /// Grants above the preset's.
    pub added: Vec<String>,
    /// Grants of the preset's that are left out.
    pub left_out: Vec<String>,
    /// Preset or grants were named.
    pub has_grants: bool,
    /// All that it gets by these, as the configuration has the preset.
    pub grants: GrantSet,
    /// The configuration does not have the preset (any more), so that no new container can be made of it; the grants are those that are added.
    pub unknown_preset: Option<step::Obstacle>,
    /// Checked, in their one spelling.
    pub settings: Option<BTreeMap<String, String>>,
    /// Names, perhaps with a version.
    pub packages: Option<Vec<String>>,
    /// Commands of the host's.
    pub exports: Option<Vec<Wanted>>,
    /// Applications of the host's menus.
    pub apps: Option<Vec<ApplicationId>>,
    /// Sockets of the host's.
    pub sockets: Option<Vec<Socket>>,
}

/// The name of a package that is asked for, perhaps with a version behind it.
pub fn name_of(package: &str) -> &str {
    package.split_once('=').map_or(package, |(name, _)| name)
}

/// How a command that the host has is written: by its name where that is found on a PATH, and with `=NAME` where it is called otherwise there.
pub fn word_of(command: &Command) -> String {
    let short = command_name(Path::new(&command.path));
    let is_name = |name: &&str| !name.contains('=') && Wanted::parse(name).is_ok();
    let word = short.filter(is_name).unwrap_or(&command.path);
    let last = word.rsplit('/').next().unwrap_or_default();
    if last == command.name.as_str() && !word.contains('=') {
        word.to_owned()
    } else {
        format!("{word}={}", command.name)
    }
}

/// Whether that is the command which a list asks for.
pub fn is_it(command: &Command, wanted: &Wanted) -> bool {
    let second = || wanted.name.of_second(&command.container).is_ok_and(|second| second == command.name);
    let is_called_so = command.name == wanted.name || (!wanted.named && second());
    is_called_so && is_there(command, wanted)
}

/// Whether a command is at the place that a list means.
pub fn is_there(command: &Command, wanted: &Wanted) -> bool {
    if wanted.word.contains('/') {
        return command.path == wanted.word;
    }
    Path::new(&command.path).file_name().is_some_and(|name| name == wanted.word.as_str())
}

/// How a socket that the host has is written.
pub fn word_of_socket(socket: &Socket) -> String {
    let last = socket.path.rsplit('/').next().unwrap_or_default();
    if last == socket.name && !socket.path.contains('=') {
        socket.path.clone()
    } else {
        format!("{}={}", socket.path, socket.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(name: &str, path: &str) -> Command {
        Command::new(name.parse().unwrap(), "tools".parse().unwrap(), path.to_owned()).unwrap()
    }

    #[test]
    fn a_command_is_written_so_that_it_is_found_again() {
        for (name, path, word) in [
            ("rg", "/usr/bin/rg", "rg"),
            ("fd", "/usr/bin/fdfind", "fdfind=fd"),
            ("tool", "/opt/x/bin/tool", "/opt/x/bin/tool"),
            ("z", "/opt/x/bin/y", "/opt/x/bin/y=z"),
            ("rg-tools", "/usr/bin/rg", "rg=rg-tools"),
            ("a=b", "/usr/bin/a=b", "/usr/bin/a=b=a=b"),
            ("x", "/usr/bin/.x", "/usr/bin/.x=x"),
        ] {
            let command = command(name, path);
            assert_eq!(word_of(&command), word);
            // A name with this sign cannot be asked for: what is looked at is cut at the last one.
            if !name.contains('=') {
                assert!(is_it(&command, &Wanted::parse(word).unwrap()), "{word}");
            }
        }
        let wanted = |text: &str| Wanted::parse(text).unwrap();
        assert!(is_it(&command("rg-tools", "/usr/bin/rg"), &wanted("rg")));
        assert!(!is_it(&command("rg-tools", "/usr/bin/rg"), &wanted("rg=rg")));
        assert!(!is_it(&command("rg", "/opt/rg"), &wanted("/usr/bin/rg")));
        assert!(!is_it(&command("rg", "/usr/bin/ripgrep"), &wanted("rg")));
    }

    proptest! {
        #[test]
        fn every_command_is_found_by_its_word(name in "[a-z][a-z.+-]{0,6}", path in "(/[a-z][a-z=.]{0,6}){1,4}") {
            prop_assume!(name != "snug" && !path.ends_with("/snug"));
            if let Ok(command) = Command::new(name.parse().unwrap(), "tools".parse().unwrap(), path) {
                prop_assert!(is_it(&command, &Wanted::parse(&word_of(&command)).unwrap()));
            }
        }
    }
}
