//! What a guest has to say of its commands: manual pages, and completions for bash, zsh and fish. Where they are, one question that brings
//! their bytes, and what a file is by its path.
//!
//! Sources: manpath(5) and man(1) of man-db (`manN`, directories of languages, compression), `bash_completion` of bash-completion 2.11
//! (`__load_completion`), `compinit` of zsh 5.9 (`_NAME`), "Where to put completions" of fish's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::command::{Ask, Nothing, Query, SHELL};
use crate::executables;
use crate::read::{self, MAX_OUTPUT};

/// Bytes of one file. The longest page of Debian 13, ffmpeg-all(1), has 0.4 million.
pub const LONGEST: usize = 1 << 20;
/// Files that one question brings.
const MOST: usize = 4000;
/// Commands that one question is about.
pub const AT_ONCE: usize = 50;
/// Bytes of a question's words: a command line of a guest may have two million (execve(2)), with its environment.
const LONGEST_QUESTION: usize = 512 << 10;
/// Files of a command's own package that are asked for, besides those in the usual places: git has some 200 pages.
const MOST_OF_PACKAGE: usize = 500;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A manual page.
    Page {
        /// The directory of its language (`de`, `pt_BR.UTF-8`); `None` for the one without.
        language: Option<String>,
        /// Of this section, with what is behind its number: `1`, `1ssl`.
        section: String,
        /// How it is compressed, as its name ends: `.gz`, or nothing.
        ending: &'static str,
    },
    /// A script that bash reads.
    Bash,
    /// A function that zsh loads.
    Zsh,
    /// A script that fish reads.
    Fish,
}

/// A file of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// For which command, by its name.
    pub word: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A file of a package that is a document by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    path: PathBuf,
    kind: Kind,
    word: String,
}

/// The documents among the files of a package: few of them, of packages that may have a hundred thousand.
pub fn among(files: Vec<PathBuf>) -> Vec<Listed> {
    let listed = |path: PathBuf| what(&path).map(|(kind, word)| Listed { path, kind, word });
    files.into_iter().filter_map(listed).collect()
}

/// A command that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    path: PathBuf,
    /// Of its package, those that are about it.
    own: BTreeMap<PathBuf, (Kind, String)>,
}

impl Subject {
    /// The command at that path of a guest. `names`: others that files of its package may call it by, the one it is better known by and the one it
    /// has on the host. `listed`: what of its package are documents.
    pub fn new<'a>(path: PathBuf, names: &[String], listed: impl IntoIterator<Item = &'a Listed>) -> Self {
        let is_about = |listed: &&Listed| own_name(&path).is_some_and(|own| listed.is_about(own, names));
        let own = listed
            .into_iter()
            .filter(is_about)
            .take(MOST_OF_PACKAGE)
            .map(|listed| (listed.path.clone(), (listed.kind.clone(), listed.word.clone())))
            .collect();
        Self { path, own }
    }

    /// Whether its package has that: the very file, or a page in whatever way it is compressed, since one that was a reference has the other
    /// one's ending by now.
    fn has(&self, path: &Path, kind: &Kind, word: &str) -> bool {
        self.own.contains_key(path)
            || matches!(kind, Kind::Page { .. })
                && self.own.values().any(|(own, name)| name == word && own.is_same_page(kind))
    }
}

impl Listed {
    /// Pages of a command's own commands are, too: `git-commit` of `git`.
    fn is_about(&self, own: &str, names: &[String]) -> bool {
        let is_own_commands = || {
            matches!(&self.kind, Kind::Page { section, .. } if section.starts_with(['1', '8']))
                && self.word.strip_prefix(own).is_some_and(|rest| rest.starts_with('-'))
        };
        self.word == own || names.contains(&self.word) || is_own_commands()
    }
}

impl Kind {
    /// The same page may be written in several ways.
    fn is_same_page(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Page { language, section, .. }, Self::Page { language: others, section: other, .. }) => {
                language == others && section == other
            }
            _ => false,
        }
    }
}

/// How a page may be compressed.
const ENDINGS: [&str; 4] = [".gz", ".xz", ".zst", ".bz2"];
/// Where completions of packages are, below `share`. Those that come with zsh itself (`zsh/functions`) are none of them: a host that has zsh
/// has its own, of its version.
const COMPLETIONS: [(&str, Kind); 5] = [
    ("bash-completion/completions", Kind::Bash),
    ("zsh/site-functions", Kind::Zsh),
    ("zsh/vendor-completions", Kind::Zsh),
    ("fish/vendor_completions.d", Kind::Fish),
    // Of fish itself: what is for a command there is taken from its package alone.
    ("fish/completions", Kind::Fish),
];
const FISHS_OWN: &str = "fish/completions";
/// Where bash-completion before 2.0 had them, and some packages still do.
const OLD_BASH: &str = "/etc/bash_completion.d";
/// Packages of shells, in which there are completions for the commands of others.
pub const SHELLS: [&str; 4] = ["bash-completion", "fish", "fish-common", "zsh-common"];
/// How packages are called, behind another one's name, that have its documents: `git-man` (Debian), `ripgrep-doc`, `ripgrep-zsh-completion`
/// (Alpine, openSUSE).
pub const PARTS: [&str; 6] =
    ["-man", "-doc", "-docs", "-bash-completion", "-zsh-completion", "-fish-completion"];
/// What every command has, wherever it is.
const SHARES: [&str; 2] = ["/usr/share", "/usr/local/share"];

/// Asks for the documents of commands, at most [`AT_ONCE`] of them. The answer has what the guest wrote as long as it has the form of an
/// answer: whose each file is, [`of_subject`] says.
pub fn query(subjects: &[Subject]) -> Query<Vec<(PathBuf, Vec<u8>)>> {
    let mut words: Vec<OsString> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut room = LONGEST_QUESTION;
    let mut add = |how: &str, place: PathBuf, word: &str| {
        room = room.saturating_sub(how.len() + place.as_os_str().len() + word.len() + 3);
        if room > 0 && seen.insert((how.to_owned(), place.clone(), word.to_owned())) {
            words.extend([how.into(), place.into_os_string(), word.into()]);
        }
    };
    for subject in subjects.iter().take(AT_ONCE) {
        let Some(own) = own_name(&subject.path) else { continue };
        for share in shares(&subject.path) {
            add("pages", share.join("man"), own);
            for (directory, kind) in &COMPLETIONS {
                for name in file_names(kind, own).filter(|_| *directory != FISHS_OWN) {
                    add("file", share.join(directory).join(name), "");
                }
            }
        }
        for name in file_names(&Kind::Bash, own).take(2) {
            add("file", Path::new(OLD_BASH).join(name), "");
        }
        for (file, (kind, _)) in &subject.own {
            let how = if matches!(kind, Kind::Page { .. }) { "page" } else { "file" };
            add(how, file.clone(), "");
        }
    }
    QUESTION.about(&words, &[("LC_ALL", "C.UTF-8")])
}

/// Triplets of words: `pages DIRECTORY NAME` for those of a command below a directory, `page FILE` and `file FILE`. A page that is only
/// a reference to another one (`.so man1/other.1`, groff_man(7)) is answered with that one's text: alone it would be of no use.
static QUESTION: Ask<Vec<(PathBuf, Vec<u8>)>> = Ask {
    argv: &[
        SHELL,
        "-c",
        r#"longest=1048576
emit() {
  [ -f "$2" ] && [ -r "$2" ] || return 0
  size=$(($(wc -c < "$2"))) && [ "$size" -gt 0 ] && [ "$size" -le "$longest" ] || return 0
  printf '%s\0%s\0' "$1" "$size" && head -c "$size" < "$2"
}
ending() { case $1 in *.gz) end=.gz cat=gzip ;; *.xz) end=.xz cat=xz ;; *.zst) end=.zst cat=zstd ;; *.bz2) end=.bz2 cat=bzip2 ;; *) end= cat= ;; esac; }
text() { if [ "$cat" ]; then "$cat" -dc < "$1"; else cat < "$1"; fi 2>/dev/null; }
page() {
  file=$1 section=${1%/*} round=0
  ending "$1"; name=${1%"$end"}
  while [ "$round" -lt 4 ] && [ -f "$file" ] && [ -r "$file" ] && [ "$(($(wc -c < "$file")))" -lt 600 ]; do
    ending "$file"
    other=$(text "$file" | head -c 600 | tr -d '\0' | sed -n '/^\.so  *[^ ]/{s/^\.so  *//;s/ *$//;p;q;}')
    [ "$other" ] || break
    case /$other/ in */../*) return 0 ;; esac
    round=$((round + 1))
    for try in "${section%/*}/$other" "$section/$other"; do
      for more in '' .gz .xz .zst .bz2; do
        if [ -f "$try$more" ]; then file=$try$more; continue 3; fi
      done
    done
    return 0
  done
  ending "$file"; emit "$name$end" "$file"
}
while [ $# -ge 3 ]; do
  case $1 in
  pages) for f in "$2"/man[168]*/"$3".[168]* "$2"/*/man[168]*/"$3".[168]*; do page "$f"; done ;;
  page) page "$2" ;;
  file) emit "$2" "$2" ;;
  esac
  shift 3
done
exit 0"#,
        "sh",
        "{}",
    ],
    as_root: false,
    nothing: Nothing::Never,
    read: files,
};

/// `PATH NUL SIZE NUL BYTES`, again and again.
fn files(output: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut rest = &output[..output.len().min(MAX_OUTPUT)];
    let mut all = Vec::new();
    while all.len() < MOST {
        let Some((path, after)) = piece(rest) else { break };
        let Some((size, after)) = piece(after) else { break };
        let size: Option<usize> = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok());
        let Some(size) = size.filter(|size| *size <= LONGEST && *size <= after.len()) else { break };
        let (content, after) = after.split_at(size);
        rest = after;
        all.extend(read::path(path).map(|path| (path, content.to_vec())));
    }
    all
}

/// What is before the next zero, and what is behind it.
fn piece(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().take(read::MAX_LINE).position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Of what was answered that which is about one of the commands that were asked about: each kind once, what the command's own package has
/// before what the usual places have. What packages of shells have for others' commands ([`SHELLS`]) needs functions of their own version,
/// and a host that has the shell has its own: it is left out.
pub fn of_subject(
    answer: &[(PathBuf, Vec<u8>)],
    subject: &Subject,
    shells_own: &BTreeSet<PathBuf>,
) -> Vec<Document> {
    let Some(own) = own_name(&subject.path) else { return Vec::new() };
    let shares: Vec<PathBuf> = shares(&subject.path).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut order: Vec<&(PathBuf, Vec<u8>)> = answer.iter().collect();
    order.sort_by_key(|(path, _)| !subject.own.contains_key(path));
    for (path, content) in order {
        let Some((kind, word)) = what(path) else { continue };
        let is_in_usual_place = path.starts_with(OLD_BASH)
            || shares.iter().any(|share| path.starts_with(share) && !path.starts_with(share.join(FISHS_OWN)));
        let is_about_commands = match &kind {
            Kind::Page { section, .. } => section.starts_with(['1', '6', '8']),
            _ => true,
        };
        let usual = word == own && is_in_usual_place && is_about_commands && !shells_own.contains(path);
        let is_asked = usual || subject.has(path, &kind, &word);
        // Several endings are several ways to write the same page.
        let key = match &kind {
            Kind::Page { language, section, .. } => (
                Kind::Page { language: language.clone(), section: section.clone(), ending: "" },
                word.clone(),
            ),
            // One script of each shell is enough.
            other => (other.clone(), String::new()),
        };
        if is_asked && seen.insert(key) {
            found.push(Document { kind, word, content: content.clone() });
        }
    }
    found
}

/// A command's name, by its path.
fn own_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    is_word(name).then_some(name)
}

/// Where what belongs to a command may be: in its own prefix too.
fn shares(path: &Path) -> impl Iterator<Item = PathBuf> {
    let is_usual = executables::command_name(path).is_some();
    let prefix = path.parent().and_then(Path::parent).filter(|prefix| !is_usual && prefix.parent().is_some());
    let own = prefix.map(|prefix| prefix.join("share"));
    own.into_iter().chain(SHARES.map(PathBuf::from))
}

/// What files for a command are called.
fn file_names<'a>(kind: &Kind, word: &'a str) -> impl Iterator<Item = String> + use<'a> {
    let names: &[(&str, &str)] = match kind {
        Kind::Bash => &[("", ""), ("", ".bash"), ("_", "")],
        Kind::Zsh => &[("_", "")],
        Kind::Fish => &[("", ".fish")],
        Kind::Page { .. } => &[],
    };
    names.iter().map(move |(before, after)| format!("{before}{word}{after}"))
}

/// What a file is by its path, and for which command.
pub fn what(path: &Path) -> Option<(Kind, String)> {
    let (directory, name) = (path.parent()?, path.file_name()?.to_str()?);
    if name.len() > 200 {
        return None;
    }
    let is_in = |end: &str| directory.ends_with(end);
    if let Some((_, kind)) = COMPLETIONS.iter().find(|(end, _)| is_in(end)) {
        let word = match kind {
            Kind::Zsh => name.strip_prefix('_')?,
            Kind::Fish => name.strip_suffix(".fish")?,
            _ => bash_word(name),
        };
        return is_word(word).then(|| (kind.clone(), word.to_owned()));
    }
    if directory == Path::new(OLD_BASH) {
        let word = bash_word(name);
        return is_word(word).then(|| (Kind::Bash, word.to_owned()));
    }
    page(directory, name)
}

fn bash_word(name: &str) -> &str {
    let name = name.strip_suffix(".bash").unwrap_or(name);
    name.strip_prefix('_').unwrap_or(name)
}

/// `…/man/man1/rg.1.gz`, `…/man/de/man8/useradd.8`.
fn page(directory: &Path, name: &str) -> Option<(Kind, String)> {
    let of_section = directory.file_name()?.to_str()?.strip_prefix("man")?;
    let above = directory.parent()?;
    let language = match above.file_name()?.to_str()? {
        "man" => None,
        language => {
            let is_fit = language.len() <= 30
                && language.starts_with(|first: char| first.is_ascii_alphabetic())
                && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@.-".contains(&byte));
            (is_fit && above.parent()?.file_name()? == "man").then(|| Some(language.to_owned()))?
        }
    };
    let ending = ENDINGS.into_iter().find(|ending| name.ends_with(ending)).unwrap_or_default();
    let (word, section) = name.strip_suffix(ending)?.rsplit_once('.')?;
    let is_section = section.starts_with(|first: char| first.is_ascii_digit())
        && section.len() <= 12
        && section.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && of_section.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && of_section.get(..1) == section.get(..1);
    (is_section && is_word(word))
        .then(|| (Kind::Page { language, section: section.to_owned(), ending }, word.to_owned()))
}

/// A name that is a file's alone, and that a shell can be told.
fn is_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    !bytes.is_empty()
        && !bytes.starts_with(b"-")
        && !bytes.starts_with(b".")
        && !bytes.iter().any(|byte| byte.is_ascii_control() || *byte == b'/')
        && bytes.len() <= 200
}

#[cfg(test)]
mod tests;
