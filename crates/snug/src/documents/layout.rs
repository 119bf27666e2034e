//! Which file of a guest becomes which one of the host.

use std::collections::BTreeMap;

use snug_core::name::ContainerName;
use snug_exports::documents::{File, Place};
use snug_exports::{CommandName, Documents};
use snug_packages::documents::{Document, Kind};

use super::scripts;

/// Bytes that a command brings: 200 pages of git's have three million.
const MOST_BYTES: usize = 8 << 20;
/// Files that a command brings.
const MOST_FILES: usize = 600;

/// The files for a command of a container that is called `own` there and `name` here.
pub fn files(
    documents: Vec<Document>,
    own: &str,
    name: &CommandName,
    container: &ContainerName,
    store: &Documents,
) -> Vec<File> {
    let mut all = BTreeMap::new();
    let mut bytes = 0;
    // What is called as the command is comes before what goes by its other names.
    let (firsts, others): (Vec<_>, Vec<_>) = documents.into_iter().partition(|document| document.word == own);
    for document in firsts.into_iter().chain(others) {
        for File { place, content } in of_document(document, own, name, container, store) {
            let has_room = all.len() < MOST_FILES && bytes + content.len() <= MOST_BYTES;
            // The page of a long name has a longer one, perhaps longer than any file's.
            if has_room && !all.contains_key(&place) && store.path(name, &place).is_some() {
                bytes += content.len();
                all.insert(place, content);
            }
        }
    }
    all.into_iter().map(|(place, content)| File { place, content }).collect()
}

fn of_document(
    document: Document,
    own: &str,
    name: &CommandName,
    container: &ContainerName,
    store: &Documents,
) -> Vec<File> {
    let Document { kind, word, content } = document;
    let here = name.as_str();
    let is_same = own == here && word == here;
    match kind {
        Kind::Page { language, section, ending } => {
            // `git-commit` of `git`: only where git is called so.
            let is_own_commands = word != own && word.starts_with(&format!("{own}-"));
            let page = match () {
                () if is_own_commands && own == here => word.as_str(),
                () if is_own_commands => return Vec::new(),
                () => here,
            };
            let Some(number) = section.chars().next() else { return Vec::new() };
            vec![File { place: Place::Page(language, number, format!("{page}.{section}{ending}")), content }]
        }
        Kind::Zsh => vec![File { place: Place::Zsh(word), content }],
        Kind::Bash if is_same => vec![File { place: Place::Bash(word), content }],
        Kind::Fish if word == here => vec![File { place: Place::Fish(word), content }],
        Kind::Bash => {
            let source = Place::Source("bash", word.clone());
            let Some(path) = store.path(name, &source) else { return Vec::new() };
            let script = scripts::bash(here, &[&word, own], &path, container);
            vec![
                File { place: source, content },
                File { place: Place::Bash(here.to_owned()), content: script },
            ]
        }
        Kind::Fish => {
            let source = Place::Source("fish", format!("{word}.fish"));
            let Some(path) = store.path(name, &source) else { return Vec::new() };
            let script = scripts::fish(here, &word, &path, container);
            vec![
                File { place: source, content },
                File { place: Place::Fish(here.to_owned()), content: script },
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn page(language: Option<&str>, section: &str, word: &str) -> Document {
        let language = language.map(str::to_owned);
        let kind = Kind::Page { language, section: section.to_owned(), ending: ".gz" };
        Document { kind, word: word.to_owned(), content: word.as_bytes().to_vec() }
    }

    fn script(kind: Kind, word: &str) -> Document {
        Document { kind, word: word.to_owned(), content: b"script".to_vec() }
    }

    fn places(documents: Vec<Document>, own: &str, name: &str) -> Vec<Place> {
        let store = Documents::new(Path::new("/home/u/.local/bin"), Path::new("/home/u/.local/share/snug"));
        let files = files(documents, own, &name.parse().unwrap(), &"dev".parse().unwrap(), &store);
        files.into_iter().map(|file| file.place).collect()
    }

    fn placed(language: Option<&str>, number: char, file: &str) -> Place {
        Place::Page(language.map(str::to_owned), number, file.to_owned())
    }

    #[test]
    fn a_command_with_its_own_name_has_its_files_as_they_are() {
        let all = vec![
            page(None, "1", "git"),
            page(Some("de"), "1", "git"),
            page(None, "1", "git-commit"),
            script(Kind::Bash, "git"),
            script(Kind::Zsh, "git"),
            script(Kind::Fish, "git"),
        ];
        let wanted = [
            placed(None, '1', "git-commit.1.gz"),
            placed(None, '1', "git.1.gz"),
            placed(Some("de"), '1', "git.1.gz"),
            Place::Bash("git".to_owned()),
            Place::Fish("git".to_owned()),
            Place::Zsh("git".to_owned()),
        ];
        assert_eq!(places(all, "git", "git"), wanted);
    }

    #[test]
    fn one_with_another_name_has_its_page_by_that_and_scripts_that_lead_to_its_own() {
        let all = vec![
            page(None, "1", "fdfind"),
            page(None, "1", "fdfind-more"),
            script(Kind::Bash, "fdfind"),
            script(Kind::Zsh, "fd"),
            script(Kind::Fish, "fdfind"),
        ];
        let wanted = [
            placed(None, '1', "find.1.gz"),
            Place::Bash("find".to_owned()),
            Place::Fish("find".to_owned()),
            Place::Zsh("fd".to_owned()),
            Place::Source("bash", "fdfind".to_owned()),
            Place::Source("fish", "fdfind.fish".to_owned()),
        ];
        assert_eq!(places(all, "fdfind", "find"), wanted);
    }

    #[test]
    fn of_two_pages_for_one_name_the_commands_own_counts() {
        let store = Documents::new(Path::new("/home/u/.local/bin"), Path::new("/home/u/.local/share/snug"));
        let all = vec![page(None, "1", "fd"), page(None, "1", "fdfind")];
        let files = files(all, "fdfind", &"fd".parse().unwrap(), &"dev".parse().unwrap(), &store);
        assert_eq!((files.len(), files[0].content.as_slice()), (1, &b"fdfind"[..]));
    }

    #[test]
    fn what_no_file_can_be_called_is_left_out_and_keeps_nothing_else() {
        let long = "x".repeat(250);
        let all = vec![page(None, "1ssl", "tool"), script(Kind::Zsh, "tool")];
        assert_eq!(places(all, "tool", &long), [Place::Zsh("tool".to_owned())]);
    }

    #[test]
    fn no_command_brings_more_than_a_bound() {
        let long =
            |number: usize| Document { content: vec![0; 1 << 20], ..page(None, "1", &format!("x-{number}")) };
        assert_eq!(places((0..20).map(long).collect(), "x", "x").len(), 8);
        let many = |number: usize| page(None, "1", &format!("x-{number}"));
        assert_eq!(places((0..1000).map(many).collect(), "x", "x").len(), MOST_FILES);
    }
}
