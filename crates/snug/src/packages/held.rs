//! What is installed for a word that was typed, by the manager's own understanding of it: a package's name, one with an architecture
//! (`libc6:i386`, `glibc.i686`), or something that packages provide (`vim` of Fedora).

use snug_packages::answer::Package;
use snug_packages::name::PackageName;

use super::guest::Guest;
use crate::error::CommandError;

/// A word, and what of it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As it was typed.
    pub word: PackageName,
    /// The packages; none where nothing of it is installed.
    pub packages: Vec<Package>,
    /// The word is the package's own name, perhaps with an architecture; else these packages provide it.
    pub is_named: bool,
}

impl Held {
    /// What the manager is told of them. Of a word with an architecture that is the word: of the name alone another one would be meant.
    pub fn names(&self) -> Vec<PackageName> {
        if self.is_named && !self.packages.is_empty() {
            return vec![self.word.clone()];
        }
        self.packages.iter().map(|package| package.name.clone()).collect()
    }
}

/// The packages of several words, each once.
pub fn packages(held: &[Held]) -> Vec<Package> {
    let mut all: Vec<Package> = Vec::new();
    for package in held.iter().flat_map(|held| &held.packages) {
        if !all.contains(package) {
            all.push(package.clone());
        }
    }
    all
}

impl Guest<'_> {
    /// What is installed for these words, in their order.
    ///
    /// # Errors
    /// The guest cannot be asked.
    pub fn held(&self, words: &[PackageName]) -> Result<Vec<Held>, CommandError> {
        let named = self.installed(words)?;
        words.iter().map(|word| self.held_of(word, &named)).collect()
    }

    fn held_of(&self, word: &PackageName, named: &[Package]) -> Result<Held, CommandError> {
        let own: Vec<Package> = named.iter().filter(|package| package.name == *word).cloned().collect();
        let held = |packages, is_named| Held { word: word.clone(), packages, is_named };
        if !own.is_empty() {
            return Ok(held(own, true));
        }
        // Only the question of one word tells which of them an answer is for.
        if has_architecture(word) {
            let packages = self.installed(std::slice::from_ref(word))?;
            if !packages.is_empty() {
                return Ok(held(packages, true));
            }
        }
        let providers = self.ask(&self.manager.manager.provided(word))?;
        Ok(held(self.installed(&providers)?, false))
    }
}

/// Whether it may have an architecture behind it: dpkg writes it after a colon, rpm after a dot.
fn has_architecture(word: &PackageName) -> bool {
    word.as_str().contains([':', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package { name: PackageName::read(name.as_bytes()).unwrap(), version: "1".to_owned() }
    }

    #[test]
    fn a_manager_is_told_the_word_with_its_architecture_and_else_the_packages() {
        let held = |word: &str, packages: &[&str], is_named| Held {
            word: PackageName::read(word.as_bytes()).unwrap(),
            packages: packages.iter().map(|name| package(name)).collect(),
            is_named,
        };
        let names = |held: Held| held.names().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(held("libc6:i386", &["libc6"], true)), ["libc6:i386"]);
        assert_eq!(names(held("awk", &["gawk", "mawk"], false)), ["gawk", "mawk"]);
        assert!(names(held("awk", &[], true)).is_empty());
        let all =
            packages(&[held("vim", &["vim-enhanced"], false), held("vim-enhanced", &["vim-enhanced"], true)]);
        assert_eq!(all, [package("vim-enhanced")]);
    }
}
