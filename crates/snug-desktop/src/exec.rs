//! The command line of `Exec`: words and field codes, out of one and into another (Desktop Entry Specification, "The Exec key").
//!
//! It is read as GLib and KDE read it, which take quotes of shells where the specification has double ones alone; it is written as the
//! specification says. No shell sees it, here or there.

use snug_core::text::is_unsafe;
use thiserror::Error;

use crate::value;

/// Bytes of a command line.
const LONGEST: usize = 8 << 10;
/// Words of a command line.
const MOST_WORDS: usize = 256;
/// Characters that a word may have without quotes.
const PLAIN: &str = "_@+=:,./-";
/// Characters that have a backslash before them within quotes.
const ESCAPED: [char; 4] = ['"', '`', '$', '\\'];

/// Why a command line is not taken over.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub enum ExecError {
    /// Nothing to run.
    #[error("its command line is empty")]
    Empty,
    /// More than anybody starts a program with.
    #[error("its command line is too long")]
    TooLong,
    /// A quote without its end.
    #[error("a quote in its command line does not end")]
    Quote,
    /// A `%` with something that the specification has not.
    #[error("its command line has an unknown field code")]
    FieldCode,
    /// Line breaks, escapes of terminals, and their like.
    #[error("its command line has control characters")]
    Control,
    /// A program that would be taken for an option.
    #[error("its command line begins with no program")]
    Program,
}

/// What stands in for a field code when the program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `%f`: a file.
    File,
    /// `%F`: files.
    Files,
    /// `%u`: an address.
    Url,
    /// `%U`: addresses.
    Urls,
    /// `%c`: the entry's name, translated.
    Name,
}

impl Field {
    fn code(self) -> &'static str {
        match self {
            Self::File => "%f",
            Self::Files => "%F",
            Self::Url => "%u",
            Self::Urls => "%U",
            Self::Name => "%c",
        }
    }
}

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Field(field) => field.code().len(),
        }
    }
}

/// What field codes stand for that mean the same each time.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `%i`: the icon, by its name in the guest.
    pub icon: Option<&'a str>,
    /// `%c` as a part of a word.
    pub name: &'a str,
    /// `%k`: where the entry is in the guest.
    pub path: &'a str,
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    words: Vec<Vec<Piece>>,
}

impl CommandLine {
    /// Reads a value that has its escapes no more.
    ///
    /// # Errors
    /// What a program cannot be started by, or what nobody looks at before it is.
    pub fn read(text: &str, about: &About<'_>) -> Result<Self, ExecError> {
        if text.len() > LONGEST {
            return Err(ExecError::TooLong);
        }
        if text.chars().any(is_unsafe) {
            return Err(ExecError::Control);
        }
        let mut reader = Reader { about, takes_files: false, words: Vec::new() };
        let mut bytes = 0;
        for word in split(text)? {
            let before = reader.words.len();
            reader.take(&word)?;
            // What codes stand for counts as well: thousands of `%k` with a path of thousands of bytes would be a file of many millions.
            bytes += reader.words[before..].iter().flatten().map(Piece::len).sum::<usize>();
            if bytes > LONGEST || reader.words.len() > MOST_WORDS {
                return Err(ExecError::TooLong);
            }
        }
        match reader.words.first().map(Vec::as_slice) {
            None => Err(ExecError::Empty),
            Some([Piece::Text(program)]) if !program.is_empty() && !program.starts_with('-') => {
                Ok(Self { words: reader.words })
            }
            Some(_) => Err(ExecError::Program),
        }
    }

    /// The value of an entry's `Exec`: that `program` of the host, and all of this as its arguments. `program` has to be a [`is_program`].
    #[must_use]
    pub fn value(&self, program: &str) -> String {
        let mut line = quoted(program);
        for word in &self.words {
            line.push(' ');
            match &word[..] {
                [Piece::Text(text)] => line.push_str(&quoted(text)),
                // Pieces of such a word need no quotes.
                pieces => pieces.iter().for_each(|piece| match piece {
                    Piece::Text(text) => line.push_str(&text.replace('%', "%%")),
                    Piece::Field(field) => line.push_str(field.code()),
                }),
            }
        }
        value::escape(&line)
    }
}

/// Whether a path can stand at the beginning of `Exec`: before the codes are looked at, it is looked for as it stands there.
#[must_use]
pub fn is_program(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['=', '%']) && !path.chars().any(is_unsafe)
}

struct Reader<'a> {
    about: &'a About<'a>,
    takes_files: bool,
    words: Vec<Vec<Piece>>,
}

impl Reader<'_> {
    fn take(&mut self, word: &Word) -> Result<(), ExecError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = String::new();
        let is_alone = word.text.chars().count() == 2;
        let mut dropped = false;
        let mut chars = word.text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let field = match chars.next().ok_or(ExecError::FieldCode)? {
                '%' => {
                    text.push('%');
                    continue;
                }
                'f' => Some(Field::File),
                'u' => Some(Field::Url),
                // These stand for any number of words.
                'F' if is_alone => Some(Field::Files),
                'U' if is_alone => Some(Field::Urls),
                'c' if is_alone => Some(Field::Name),
                'c' => {
                    text.push_str(self.about.name);
                    continue;
                }
                'k' => {
                    text.push_str(self.about.path);
                    continue;
                }
                'i' if is_alone => {
                    if let Some(icon) = self.about.icon {
                        self.words.extend(["--icon", icon].map(|word| vec![Piece::Text(word.to_owned())]));
                    }
                    None
                }
                // Of earlier versions, to be dropped; and what belongs in a word of its own.
                'd' | 'D' | 'n' | 'N' | 'v' | 'm' | 'i' | 'F' | 'U' => None,
                _ => return Err(ExecError::FieldCode),
            };
            // Only one takes the files, and within quotes none is expanded by everybody.
            let is_fit = field.is_some_and(|field| {
                field == Field::Name || !self.takes_files && (is_alone || !word.needs_quotes())
            });
            match field.filter(|_| is_fit) {
                None => dropped = true,
                Some(field) => {
                    self.takes_files |= field != Field::Name;
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Field(field));
                }
            }
        }
        let is_nothing = text.is_empty() && pieces.is_empty();
        if !text.is_empty() || is_nothing && !dropped {
            pieces.push(Piece::Text(text));
        }
        if !pieces.is_empty() {
            self.words.push(pieces);
        }
        Ok(())
    }
}

/// A word without its quotes.
struct Word {
    text: String,
}

impl Word {
    /// Whether something beside its codes could not be written without quotes.
    fn needs_quotes(&self) -> bool {
        !self.text.chars().all(|c| c == '%' || is_plain(c))
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || PLAIN.contains(c)
}

/// The words of a line: `"…"` with escapes, `'…'` without, and a backslash elsewhere.
fn split(text: &str) -> Result<Vec<Word>, ExecError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take().map(|text| Word { text })),
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(ExecError::Quote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(ExecError::Quote)? {
                            c if ESCAPED.contains(&c) => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(ExecError::Quote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(ExecError::Quote)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.map(|text| Word { text }));
    Ok(words)
}

/// A word of the command line, in quotes if need be.
fn quoted(word: &str) -> String {
    let text = word.replace('%', "%%");
    if !word.is_empty() && word.chars().all(|c| c == '%' || is_plain(c)) {
        return text;
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        if ESCAPED.contains(&c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
