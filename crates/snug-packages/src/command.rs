//! Command lines, and what belongs to them: how a question's answer is read, which statuses are no failure, how progress looks.

use std::ffi::{OsStr, OsString};

use crate::error::{Error, Result};
use crate::stage::{Format, Stages};

/// A command line for the guest: no shell takes it apart, each word arrives as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments. The program is a name for the guest's PATH, or a full path.
    pub argv: Vec<OsString>,
    /// Variables that are set; all others stay as they are.
    pub environment: &'static [(&'static str, &'static str)],
    /// Whether it has to be root's. Where not, the owner's rights are enough.
    pub as_root: bool,
}

impl CommandLine {
    /// What a message calls the program: past the shell that only moves a descriptor.
    pub fn program(&self) -> String {
        let word = match self.argv.first() {
            Some(first) if first == SHELL => self.argv.get(4).or(Some(first)),
            first => first,
        };
        word.map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The guest's shell, for lines of the table that need one: a constant script, whose words come as its arguments.
pub(crate) const SHELL: &str = "/bin/sh";

/// What a command line did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its status: 128 + n if it died of signal n.
    pub status: i32,
    /// What it wrote to standard output. What is beyond [`crate::read::MAX_OUTPUT`] is not read, and need not be kept.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Statuses by which a program says that there is nothing of what it was asked for, or not of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// None: it says 0.
    Never,
    /// These.
    Statuses(&'static [i32]),
    /// The number of words it had nothing for: rpm(8), pacman and apk. Statuses of a shell (126 and above) are failures.
    Counted,
}

impl Nothing {
    fn allows(self, status: i32) -> bool {
        match self {
            _ if status == 0 => true,
            Self::Never => false,
            Self::Statuses(statuses) => statuses.contains(&status),
            Self::Counted => (1..126).contains(&status),
        }
    }
}

/// A question as the table has it.
///
/// In `argv` the word `{}` stands for all words that are asked about, and within a word for the one.
#[derive(Debug)]
pub struct Ask<T: 'static> {
    pub(crate) argv: &'static [&'static str],
    pub(crate) as_root: bool,
    pub(crate) nothing: Nothing,
    pub(crate) read: fn(&[u8]) -> T,
}

/// A question for the guest.
#[derive(Debug, Clone)]
pub struct Query<T: 'static> {
    /// What is to be run.
    pub command: CommandLine,
    nothing: Nothing,
    read: fn(&[u8]) -> T,
}

impl<T> Ask<T> {
    pub(crate) fn about<W: AsRef<OsStr>>(&self, words: &[W], environment: Environment) -> Query<T> {
        let command = CommandLine { argv: expand(self.argv, words), environment, as_root: self.as_root };
        Query { command, nothing: self.nothing, read: self.read }
    }
}

impl<T> Query<T> {
    /// The answer. What the guest wrote is bounded and checked; lines that are none of an answer's are left out.
    ///
    /// # Errors
    /// [`Error::Failed`], for a status that neither says that all is well nor that there was nothing.
    pub fn read(&self, output: &Output) -> Result<T> {
        if self.nothing.allows(output.status) {
            Ok((self.read)(&output.stdout))
        } else {
            Err(Error::failed(&self.command.program(), output))
        }
    }
}

/// A change as the table has it. See [`Ask`] for `{}`.
#[derive(Debug)]
pub struct Do {
    pub(crate) argv: &'static [&'static str],
    /// Statuses besides 0 after which the change has been made.
    pub(crate) done: &'static [i32],
}

/// A change in the guest, as root. [`crate::stage`] reads what it writes, to both streams, while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What is to be run.
    pub command: CommandLine,
    done: &'static [i32],
    format: Format,
}

impl Do {
    pub(crate) fn with<W: AsRef<OsStr>>(&self, words: &[W], row: (Environment, Format)) -> Action {
        let command = CommandLine { argv: expand(self.argv, words), environment: row.0, as_root: true };
        Action { command, done: self.done, format: row.1 }
    }
}

impl Action {
    /// Whether the change has been made.
    ///
    /// # Errors
    /// [`Error::Failed`] with the last line of standard error; the log has the rest.
    pub fn check(&self, output: &Output) -> Result<()> {
        if output.status == 0 || self.done.contains(&output.status) {
            Ok(())
        } else {
            Err(Error::failed(&self.command.program(), output))
        }
    }

    /// A reader of its progress.
    pub fn stages(&self) -> Stages {
        Stages::new(self.format)
    }
}

/// Variables of a row.
pub(crate) type Environment = &'static [(&'static str, &'static str)];

fn expand<W: AsRef<OsStr>>(template: &[&str], words: &[W]) -> Vec<OsString> {
    let mut argv = Vec::with_capacity(template.len() + words.len());
    for part in template {
        match part.split_once("{}") {
            None => argv.push(part.into()),
            Some(("", "")) => argv.extend(words.iter().map(|word| word.as_ref().to_owned())),
            Some((before, after)) => {
                for word in words {
                    let mut whole = OsString::from(before);
                    whole.push(word);
                    whole.push(after);
                    argv.push(whole);
                }
            }
        }
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        let hostile = ["a b; rm -rf /", "$(x)\n", "{}"];
        assert_eq!(expand(&["p", "--", "{}"], &hostile), ["p", "--", "a b; rm -rf /", "$(x)\n", "{}"]);
        assert_eq!(expand(&["p", "/bin/{}", "/x/{}"], &["rg"]), ["p", "/bin/rg", "/x/rg"]);
        assert_eq!(expand::<&str>(&["p", "{}"], &[]), ["p"]);
    }

    #[test]
    fn a_status_that_says_nothing_found_is_an_answer_and_others_are_failures() {
        let ask = |nothing| Ask { argv: &["p"], as_root: false, nothing, read: <[u8]>::len };
        let output =
            |status| Output { status, stdout: b"12".to_vec(), stderr: b"\x1b[31mE: no\n\n".to_vec() };
        for (nothing, status, fine) in [
            (Nothing::Never, 0, true),
            (Nothing::Never, 1, false),
            (Nothing::Statuses(&[104]), 104, true),
            (Nothing::Statuses(&[104]), 1, false),
            (Nothing::Counted, 7, true),
            (Nothing::Counted, 127, false),
            (Nothing::Counted, 137, false),
            (Nothing::Counted, -1, false),
        ] {
            let read = ask(nothing).about::<&str>(&[], &[]).read(&output(status));
            assert_eq!(read.is_ok(), fine, "{nothing:?} {status}");
        }
        let failed = ask(Nothing::Never).about::<&str>(&[], &[]).read(&output(100)).unwrap_err();
        assert_eq!(failed.to_string(), "p failed (status 100): \u{fffd}[31mE: no");
    }

    #[test]
    fn a_message_names_the_program_behind_the_shell() {
        let change = Do { argv: &[SHELL, "-c", "exec \"$@\" 3>&1", "sh", "apt-get"], done: &[] };
        assert_eq!(change.with::<&str>(&[], (&[], Format::Apt)).command.program(), "apt-get");
    }
}
