//! A command of a container that the host has, too: its name, and which it gets where that is taken.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use snug_core::name::ContainerName;
use snug_core::text::{escape, is_unsafe};
use thiserror::Error;

/// The longest file name in bytes (`NAME_MAX`, limits.h).
const LONGEST_NAME: usize = 255;
/// The longest path in bytes (`PATH_MAX`, limits.h, without its zero).
const LONGEST_PATH: usize = 4095;
/// The program by which exports are taken back: no export stands in its way.
const RESERVED: &str = "snug";

/// What cannot be exported.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// Neither the name of a command nor an absolute path.
    #[error("'{0}' is neither the name of a command nor an absolute path in a container")]
    What(String),
    /// The name on the host.
    #[error("'{0}' cannot be the name of a command on the host")]
    Name(String),
    /// The host's `snug`.
    #[error("'{RESERVED}' on the host is Snug itself")]
    Reserved,
}

/// The name of an exported command: one that a shell can be told, and no file outside of its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandName(String);

impl CommandName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a second container's command of that name is called: `NAME-CONTAINER`.
    ///
    /// # Errors
    /// That is longer than a file's name may be.
    pub fn of_second(&self, container: &ContainerName) -> Result<Self, Unfit> {
        format!("{self}-{container}").parse()
    }
}

impl FromStr for CommandName {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let is_fit = !text.is_empty()
            && text.len() <= LONGEST_NAME
            && !text.starts_with(['-', '.'])
            && !text.chars().any(|c| c == '/' || is_unsafe(c));
        match text {
            RESERVED => Err(Unfit::Reserved),
            _ if is_fit => Ok(Self(text.to_owned())),
            _ => Err(Unfit::Name(escape(text).into_owned())),
        }
    }
}

impl TryFrom<String> for CommandName {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        text.parse()
    }
}

impl From<CommandName> for String {
    fn from(name: CommandName) -> Self {
        name.0
    }
}

impl Borrow<str> for CommandName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A command of a container that the host has, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Command {
    /// Its name on the host; no two have the same.
    pub name: CommandName,
    /// Whose.
    pub container: ContainerName,
    /// Where it is in the container: an absolute path.
    pub path: String,
}

/// A command as the index has it: another program, or somebody's hand, may have written it.
#[derive(Deserialize)]
struct Written {
    name: CommandName,
    container: ContainerName,
    path: String,
}

impl TryFrom<Written> for Command {
    type Error = Unfit;

    fn try_from(Written { name, container, path }: Written) -> Result<Self, Unfit> {
        Self::new(name, container, path)
    }
}

impl Command {
    /// A command of a container.
    ///
    /// # Errors
    /// A path that cannot be one of a file there.
    pub fn new(name: CommandName, container: ContainerName, path: String) -> Result<Self, Unfit> {
        if is_path(&path) { Ok(Self { name, container, path }) } else { Err(unfit(&path)) }
    }
}

/// Whether that can be the absolute path of a file.
fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.ends_with('/')
        && text.len() <= LONGEST_PATH
        && !text.chars().any(|c| c == '\0' || is_unsafe(c))
}

fn unfit(text: &str) -> Unfit {
    Unfit::What(escape(text).into_owned())
}

/// What is asked for: `CMD` or `PATH` in a container, and perhaps `=NAME` on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name of a command, to be looked up in the container, or its absolute path there.
    pub word: String,
    /// The name on the host.
    pub name: CommandName,
    /// The name was asked for: there is no other one.
    pub named: bool,
}

impl Wanted {
    /// From what was typed.
    ///
    /// # Errors
    /// A path that is not absolute; names that cannot be one.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let (word, named) = match text.rsplit_once('=') {
            Some((word, name)) => (word, Some(name)),
            None => (text, None),
        };
        // What is looked up may have any name there that does not look like an option.
        let is_word = word.contains('/') && is_path(word)
            || !word.contains('/') && (word.parse::<CommandName>().is_ok() || word == RESERVED);
        if !is_word {
            return Err(unfit(word));
        }
        let name = named.unwrap_or_else(|| word.rsplit('/').next().unwrap_or_default()).parse()?;
        Ok(Self { word: word.to_owned(), name, named: named.is_some() })
    }
}

/// Why a command cannot have its name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Taken {
    /// By another one of the same container.
    #[error("{container} exports {name} already: {path}", container = .0.container, name = .0.name, path = .0.path)]
    Own(Command),
    /// By another container's.
    #[error("{name} on the host is {path} of {container}", container = .0.container, name = .0.name, path = .0.path)]
    ByAnother(Command),
    /// It would be too long.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// The name that a container's command gets beside those that `there` are: the one that is wanted; if another container
/// has that and none was asked for, `NAME-CONTAINER`.
///
/// # Errors
/// Both are taken.
pub fn name_for(
    there: &[Command],
    wanted: &Wanted,
    container: &ContainerName,
    path: &str,
) -> Result<CommandName, Taken> {
    let holder = |name: &CommandName| there.iter().find(|command| command.name == *name);
    let is_it = |held: &Command| held.container == *container && held.path == path;
    match holder(&wanted.name) {
        None => Ok(wanted.name.clone()),
        Some(held) if is_it(held) => Ok(wanted.name.clone()),
        Some(held) if held.container == *container => Err(Taken::Own(held.clone())),
        Some(held) if wanted.named => Err(Taken::ByAnother(held.clone())),
        Some(_) => {
            let second = wanted.name.of_second(container)?;
            match holder(&second) {
                Some(held) if held.container == *container && !is_it(held) => Err(Taken::Own(held.clone())),
                Some(held) if !is_it(held) => Err(Taken::ByAnother(held.clone())),
                _ => Ok(second),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(name: &str, container: &str, path: &str) -> Command {
        Command::new(name.parse().unwrap(), container.parse().unwrap(), path.to_owned()).unwrap()
    }

    #[test]
    fn a_name_is_one_word_that_no_shell_and_no_directory_takes_for_something_else() {
        for good in ["rg", "g++", "[", "x86_64-linux-gnu-gcc-14", "naïve", "a b", &"x".repeat(255)] {
            assert_eq!(good.parse::<CommandName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "-x",
            ".hidden",
            "a/b",
            "/",
            "a\nb",
            "a\0b",
            "\u{202e}x",
            "\x1b[2J",
            &"x".repeat(256),
        ] {
            assert!(matches!(bad.parse::<CommandName>(), Err(Unfit::Name(_))), "{bad:?}");
        }
        assert_eq!("snug".parse::<CommandName>(), Err(Unfit::Reserved));
    }

    #[test]
    fn what_is_asked_for_is_a_name_or_an_absolute_path_and_perhaps_another_name() {
        for (text, word, name, named) in [
            ("rg", "rg", "rg", false),
            ("fdfind=fd", "fdfind", "fd", true),
            ("/opt/x/bin/tool", "/opt/x/bin/tool", "tool", false),
            ("/opt/a=b/tool=t", "/opt/a=b/tool", "t", true),
            ("snug=other", "snug", "other", true),
        ] {
            let wanted = Wanted::parse(text).unwrap();
            assert_eq!(
                (wanted.word.as_str(), wanted.name.as_str(), wanted.named),
                (word, name, named),
                "{text}"
            );
        }
        for text in [
            "",
            "bin/rg",
            "./rg",
            "../rg",
            "..",
            "-x",
            "/",
            "/usr/bin/",
            "/usr/\nx",
            "=rg",
            "a\nb",
            "\x1b",
            "/\0",
        ] {
            assert!(matches!(Wanted::parse(text), Err(Unfit::What(_))), "{text:?}");
        }
        let long = format!("/{}", "x".repeat(4095));
        assert!(matches!(Wanted::parse(&long), Err(Unfit::What(_))));
        for text in ["rg=", "rg=..", "rg=a/b", "rg=-x", "rg=a\nb", "/opt/a=b/tool", "/opt/.hidden"] {
            assert!(matches!(Wanted::parse(text), Err(Unfit::Name(_))), "{text:?}");
        }
        assert_eq!(Wanted::parse("/usr/local/bin/snug"), Err(Unfit::Reserved));
    }

    #[test]
    fn the_first_container_keeps_a_name_and_the_second_one_gets_one_with_its_own() {
        let (dev, web): (ContainerName, ContainerName) = ("dev".parse().unwrap(), "web".parse().unwrap());
        let wanted = |text: &str| Wanted::parse(text).unwrap();
        let mut there = vec![command("rg", "dev", "/usr/bin/rg")];
        let named =
            |there: &[Command], text: &str, container: &ContainerName, path: &str| -> Result<String, Taken> {
                name_for(there, &wanted(text), container, path).map(String::from)
            };
        assert_eq!(named(&there, "fd", &web, "/usr/bin/fd").unwrap(), "fd");
        assert_eq!(named(&there, "rg", &dev, "/usr/bin/rg").unwrap(), "rg");
        assert_eq!(named(&there, "rg", &web, "/usr/bin/rg").unwrap(), "rg-web");
        assert_eq!(named(&there, "/opt/rg", &dev, "/opt/rg"), Err(Taken::Own(there[0].clone())));
        assert_eq!(
            named(&there, "x=rg", &web, "/usr/bin/x"),
            Err(Taken::ByAnother(there[0].clone())),
            "the name was asked for"
        );
        there.push(command("rg-web", "web", "/usr/bin/rg"));
        assert_eq!(named(&there, "rg", &web, "/usr/bin/rg").unwrap(), "rg-web", "it is there already");
        assert_eq!(named(&there, "rg", &web, "/opt/rg"), Err(Taken::Own(there[1].clone())));
        there[1].container = dev;
        assert_eq!(named(&there, "rg", &web, "/usr/bin/rg"), Err(Taken::ByAnother(there[1].clone())));
        let long = "x".repeat(253);
        let there = [command(&long, "dev", "/x")];
        assert!(matches!(named(&there, &long, &web, "/x"), Err(Taken::Unfit(_))));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_a_name_is_always_one_part_of_a_path(text in any::<String>()) {
            if let Ok(wanted) = Wanted::parse(&text) {
                let name = wanted.name.as_str();
                let parts: Vec<_> = std::path::Path::new(name).components().collect();
                prop_assert_eq!(parts, [std::path::Component::Normal(name.as_ref())]);
            }
        }
    }
}
