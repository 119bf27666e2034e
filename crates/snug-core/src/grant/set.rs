//! Sets of grants: ordered, and without two that exclude each other.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::table::LATER;
use super::{Grant, GrantError, Home, Network, Support, ValueKind, row};
use crate::text;

/// Grants that may be asked for at once: each is compared with each, and all are stored with the container.
pub const MOST: usize = 64;

/// The grants of one container, in the order in which they were given. As JSON a list of words; what a newer version
/// wrote is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantSet(Vec<Grant>);

impl GrantSet {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What one person asked for at once: two that exclude each other are an error.
    ///
    /// # Errors
    /// [`GrantError::Conflict`].
    pub fn from_request(grants: impl IntoIterator<Item = Grant>) -> Result<Self, GrantError> {
        let mut set = Self::new();
        for grant in grants {
            let same =
                |other: &&Grant| other.slot().is_some() && other.slot() == grant.slot() && **other != grant;
            if let Some(first) = set.0.iter().find(same) {
                return Err(GrantError::Conflict { first: Box::new(first.clone()), second: Box::new(grant) });
            }
            set.insert(grant);
        }
        Ok(set)
    }

    /// Reads words as D-Bus and the command line bring them.
    ///
    /// # Errors
    /// A word that is no grant, two that exclude each other, or too many.
    pub fn parse<S: AsRef<str>>(
        words: impl IntoIterator<Item = S, IntoIter: ExactSizeIterator>,
    ) -> Result<Self, GrantError> {
        let words = words.into_iter();
        if words.len() > MOST {
            return Err(GrantError::TooMany { most: MOST });
        }
        let grants: Result<Vec<Grant>, _> = words.map(|word| word.as_ref().parse()).collect();
        Self::from_request(grants?)
    }

    /// Reads the words of a preset. Those of a newer version are kept, and wait.
    ///
    /// # Errors
    /// As of [`Self::parse`], but for words that are no grant.
    pub fn of_preset(words: &[String]) -> Result<Self, GrantError> {
        if words.len() > MOST {
            return Err(GrantError::TooMany { most: MOST });
        }
        let grants = words.iter().map(|word| match word.parse() {
            Err(GrantError::Unknown { .. }) => Ok(Grant::stored(word)),
            parsed => parsed,
        });
        Self::from_request(grants.collect::<Result<Vec<_>, _>>()?)
    }

    /// Adds one; it takes the place of one that it excludes (`network=nat` that of `network=host`) and of one for the same path.
    pub fn insert(&mut self, grant: Grant) {
        let replaced = |other: &Grant| match (other, &grant) {
            (Grant::Path { source: a, target: x, .. }, Grant::Path { source: b, target: y, .. }) => {
                x.as_ref().unwrap_or(a) == y.as_ref().unwrap_or(b)
            }
            _ => *other == grant || (other.slot().is_some() && other.slot() == grant.slot()),
        };
        match self.0.iter().position(replaced) {
            Some(at) => self.0[at] = grant,
            None => self.0.push(grant),
        }
    }

    /// Adds all of another set.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Grant>) {
        others.into_iter().for_each(|grant| self.insert(grant));
    }

    /// Takes away what a word names: `nesting`, all of `private`, or exactly `private=.cache`. Without `network` or
    /// `home` a container has none of it. Answers whether something was there.
    ///
    /// # Errors
    /// A word that is no grant.
    pub fn remove(&mut self, word: &str) -> Result<bool, GrantError> {
        let before = self.0.clone();
        let stored_unknown = self.0.iter().any(|grant| matches!(grant, Grant::Unknown(text) if text == word));
        if stored_unknown {
            self.0.retain(|grant| !matches!(grant, Grant::Unknown(text) if text == word));
        } else if row(word).is_some() {
            self.0.retain(|grant| grant.word() != word);
        } else if let Some((word, _)) = word.split_once(['=', ':']).filter(|(word, _)| row(word).is_none()) {
            let nearest = text::nearest(word, super::table().iter().map(|row| row.word));
            return Err(GrantError::Unknown { word: word.to_owned(), nearest });
        } else {
            let grant: Grant = word.parse()?;
            self.0.retain(|other| *other != grant);
        }
        Ok(self.0 != before)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Grant> {
        self.0.iter()
    }

    /// Whether exactly this one is in it.
    #[must_use]
    pub fn contains(&self, grant: &Grant) -> bool {
        self.0.contains(grant)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As words, for listings and D-Bus.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(Grant::to_string).collect()
    }

    /// Whose home: without the grant it is private.
    #[must_use]
    pub fn home(&self) -> Home {
        let home = self
            .0
            .iter()
            .find_map(|grant| if let Grant::Home(home) = grant { Some(home.clone()) } else { None });
        home.unwrap_or(Home::Private)
    }

    /// The network: without the grant there is none. What this version cannot do is its stand-in.
    #[must_use]
    pub fn network(&self) -> Network {
        let given = self.0.iter().find(|grant| matches!(grant, Grant::Network(_)));
        match given.map(|grant| grant.stand_in().unwrap_or_else(|| grant.clone())) {
            Some(Grant::Network(network)) => network,
            _ => Network::None,
        }
    }

    /// The host's places: see [`super::PLACES`].
    #[must_use]
    pub fn places(&self) -> bool {
        self.contains(&Grant::Places)
    }

    /// The owner's session on the host.
    #[must_use]
    pub fn session(&self) -> bool {
        self.contains(&Grant::Session)
    }

    /// The islands in a shared home.
    #[must_use]
    pub fn islands(&self) -> Vec<&Path> {
        self.0
            .iter()
            .filter_map(|grant| if let Grant::Private(path) = grant { Some(path.as_path()) } else { None })
            .collect()
    }

    /// Refuses an island that lies elsewhere than in the home, whose spellings are `homes`, and one that is all of it.
    ///
    /// # Errors
    /// [`GrantError::Value`] for the first such island.
    pub fn check_islands(&self, homes: &[&Path]) -> Result<(), GrantError> {
        let lies_in = |path: &Path, home: &Path| path.starts_with(home) && path != home;
        let is_one = |path: &Path| path.is_relative() || homes.iter().any(|home| lies_in(path, home));
        match self.islands().into_iter().find(|path| !is_one(path)) {
            None => Ok(()),
            Some(path) => Err(GrantError::Value {
                word: "private",
                value: path.display().to_string(),
                problem: "an island lies in your home, and is not all of it",
                kind: ValueKind::Island,
            }),
        }
    }

    /// Containers inside the container.
    #[must_use]
    pub fn nesting(&self) -> bool {
        self.contains(&Grant::Nesting)
    }

    /// The commands of the host that it may ask for, by name; an empty list is all of them.
    #[must_use]
    pub fn host_exec(&self) -> Option<&[String]> {
        self.0
            .iter()
            .find_map(|grant| if let Grant::HostExec(names) = grant { Some(&names[..]) } else { None })
    }

    /// It may open links and files on the host.
    #[must_use]
    pub fn host_open(&self) -> bool {
        self.contains(&Grant::HostOpen)
    }

    /// No user namespace.
    #[must_use]
    pub fn privileged(&self) -> bool {
        self.contains(&Grant::Privileged)
    }

    /// Whether the container is its owner (design, principle 1). `touches_home` is [`crate::owner::Account::touches_home`].
    #[must_use]
    pub fn is_trusted(&self, touches_home: impl Fn(&Path) -> bool) -> bool {
        self.0.iter().any(|grant| grant.is_trusting(&touches_home))
    }

    /// Those for which an administrator has to agree.
    #[must_use]
    pub fn needs_administrator(&self) -> Vec<&Grant> {
        self.0.iter().filter(|grant| grant.needs_administrator()).collect()
    }

    /// Refuses what this version cannot do.
    ///
    /// # Errors
    /// [`GrantError::Unsupported`] for the first such grant.
    pub fn check_supported(&self) -> Result<(), GrantError> {
        for grant in &self.0 {
            let instead = match grant.support() {
                Support::Now => continue,
                Support::Later { instead } => instead,
                Support::Unknown => {
                    return Err(GrantError::Unknown { word: grant.word().to_owned(), nearest: None });
                }
            };
            return Err(GrantError::Unsupported { grant: Box::new(grant.clone()), reason: LATER, instead });
        }
        Ok(())
    }

    /// Parts what this version can do (stand-ins included) from what has to wait.
    #[must_use]
    pub fn part(&self) -> (Self, Vec<Grant>) {
        let (mut now, mut waiting) = (Self::new(), Vec::new());
        for grant in &self.0 {
            match grant.support() {
                Support::Now => now.insert(grant.clone()),
                Support::Later { .. } | Support::Unknown => {
                    waiting.push(grant.clone());
                    now.extend(grant.stand_in());
                }
            }
        }
        (now, waiting)
    }
}

impl<'a> IntoIterator for &'a GrantSet {
    type Item = &'a Grant;
    type IntoIter = std::slice::Iter<'a, Grant>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for GrantSet {
    type Item = Grant;
    type IntoIter = std::vec::IntoIter<Grant>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
