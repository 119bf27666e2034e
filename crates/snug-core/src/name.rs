//! Container names, checked once at the edge; user and group ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::text;

/// Longest name of a container, in bytes: one label of a host name (RFC 1123).
pub const LONGEST_NAME: usize = 63;

/// The name of a container: an RFC 1123 label in lower case, not all digits (Incus refuses these).
///
/// Lower case only, because host names know no case: `Dev` and `dev` would be two containers and one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest valid spelling of any text: `My Tools` → `my-tools`, `debian/13` → `debian-13`.
    #[must_use]
    pub fn suggest(text: &str) -> Option<Self> {
        let mut name = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if name.len() == LONGEST_NAME {
                break;
            }
        }
        let name = name.trim_end_matches('-');
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
            return Self::from_str(&format!("c{}", &name[..name.len().min(LONGEST_NAME - 1)])).ok();
        }
        Self::from_str(name).ok()
    }
}

impl FromStr for ContainerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let problem = match text {
            "" => Some(NameProblem::Empty),
            _ if text.starts_with('-') => Some(NameProblem::Dash { at: "start" }),
            _ => text
                .chars()
                .position(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'))
                .and_then(|at| text.chars().nth(at).map(|character| NameProblem::Character { character, at }))
                .or_else(|| (text.len() > LONGEST_NAME).then_some(NameProblem::TooLong(text.len())))
                .or_else(|| text.ends_with('-').then_some(NameProblem::Dash { at: "end" }))
                .or_else(|| text.bytes().all(|b| b.is_ascii_digit()).then_some(NameProblem::Digits)),
        };
        match problem {
            None => Ok(Self(text.to_owned())),
            Some(problem) => Err(NameError { name: text.to_owned(), problem }),
        }
    }
}

impl TryFrom<String> for ContainerName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

impl AsRef<str> for ContainerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameProblem {
    /// No letter at all.
    Empty,
    /// A character that no host name may have.
    Character {
        /// The character.
        character: char,
        /// Its place, counted in characters from 0.
        at: usize,
    },
    /// A dash where none may be.
    Dash {
        /// `start` or `end`.
        at: &'static str,
    },
    /// Nothing but digits.
    Digits,
    /// More than [`LONGEST_NAME`] bytes: so many.
    TooLong(usize),
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty"),
            Self::Character { character, at } if character.is_ascii_uppercase() => {
                write!(f, "'{character}' (character {}) is upper case", at + 1)
            }
            Self::Character { character, at } => {
                let character = character.to_string();
                write!(f, "'{}' (character {}) is not allowed", text::escape(&character), at + 1)
            }
            Self::Dash { at } => write!(f, "it may not {at} with '-'"),
            Self::Digits => write!(f, "it has digits only"),
            Self::TooLong(length) => write!(f, "it has {length} characters, {LONGEST_NAME} are allowed"),
        }
    }
}

/// A text that is no name of a container.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{}' is not a valid container name: {problem}", text::shown(name))]
pub struct NameError {
    /// What was given.
    pub name: String,
    /// What is wrong with it.
    pub problem: NameProblem,
}

impl Explain for NameError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = vec![format!(
            "a name has 1 to {LONGEST_NAME} characters of a-z, 0-9 and '-', no '-' at either end, and not only digits"
        )];
        if let Some(suggestion) = ContainerName::suggest(&self.name) {
            hints.push(format!("'{suggestion}' would do"));
        }
        hints
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u32> for $name {
            fn from(id: u32) -> Self {
                Self(id)
            }
        }

        impl From<$name> for u32 {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id! {
    /// A user id of the host.
    Uid
}
id! {
    /// A group id of the host.
    Gid
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_rfc_1123_labels() {
        for good in ["a", "tools", "debian-13", "1a", "a--b", &"a".repeat(63)] {
            assert_eq!(good.parse::<ContainerName>().unwrap().as_str(), good);
        }
        for (bad, problem) in [
            ("", NameProblem::Empty),
            ("-a", NameProblem::Dash { at: "start" }),
            ("a-", NameProblem::Dash { at: "end" }),
            ("123", NameProblem::Digits),
            ("my_tools", NameProblem::Character { character: '_', at: 2 }),
            ("Tools", NameProblem::Character { character: 'T', at: 0 }),
            ("a/../b", NameProblem::Character { character: '/', at: 1 }),
            ("a\nb", NameProblem::Character { character: '\n', at: 1 }),
            (&"a".repeat(64), NameProblem::TooLong(64)),
        ] {
            assert_eq!(bad.parse::<ContainerName>().unwrap_err().problem, problem, "{bad:?}");
        }
    }

    #[test]
    fn an_error_names_the_character_and_suggests_a_spelling() {
        let error = "My_Tools".parse::<ContainerName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'My_Tools' is not a valid container name: 'M' (character 1) is upper case"
        );
        assert_eq!(error.hints()[1], "'my-tools' would do");
    }

    #[test]
    fn suggestions_are_readable() {
        for (text, name) in
            [("debian/13", "debian-13"), ("fedora:43", "fedora-43"), ("--A  b--", "a-b"), ("42", "c42")]
        {
            assert_eq!(ContainerName::suggest(text).unwrap().as_str(), name);
        }
        assert_eq!(ContainerName::suggest("///"), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in any::<String>()) {
            if let Ok(name) = text.parse::<ContainerName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn a_suggestion_is_always_valid_and_stable(text in any::<String>()) {
            if let Some(name) = ContainerName::suggest(&text) {
                prop_assert_eq!(ContainerName::suggest(name.as_str()), Some(name));
            }
        }

        #[test]
        fn every_label_is_a_name(text in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?") {
            prop_assert_eq!(text.parse::<ContainerName>().unwrap().to_string(), text);
        }
    }
}
