//! The one place where anything is printed.
//!
//! Standard output carries the answer alone. Notices and progress go to standard error, and only to a terminal; errors
//! and warnings go there always. Whatever comes from elsewhere is made harmless for the terminal first.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use snug_core::text;

use crate::env_vars;
use crate::error::{self, CommandError};
use crate::progress::Progress;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The answer and errors alone (`--quiet`).
    Quiet,
    /// Notices and progress, too.
    Default,
    /// Also what happens step by step (`--verbose`).
    Verbose,
}

/// Style of `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Style of `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Style of `hint:`, and of what can be typed.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Style of what is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Style of headings.
pub const HEADING: Style = Style::new().bold();
/// Style of what matters less.
pub const DIM: Style = Style::new().dimmed();

/// All output of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    level: Level,
    stderr_is_terminal: bool,
}

impl Printer {
    /// A printer for this process' streams.
    pub fn new(level: Level) -> Self {
        Self { level, stderr_is_terminal: io::stderr().is_terminal() }
    }

    /// Whether a person can be asked something: standard input and standard error are terminals.
    pub fn can_ask(&self) -> bool {
        self.stderr_is_terminal && io::stdin().is_terminal()
    }

    /// Whether standard output is a terminal: its text is then made harmless.
    pub fn answers_a_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Prints the answer, or a part of it, without adding a newline.
    pub fn answer(&self, text: &str) -> Result<(), CommandError> {
        let mut stdout = AutoStream::new(io::stdout().lock(), colours(&io::stdout()));
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| error::writing(&error))
    }

    /// Prints bytes as they are: for what is redirected.
    pub fn answer_bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| error::writing(&error))
    }

    /// Prints a line of the answer.
    pub fn answer_line(&self, line: &str) -> Result<(), CommandError> {
        self.answer(&format!("{line}\n"))
    }

    /// Whether only the answer and errors are wanted.
    pub fn is_quiet(&self) -> bool {
        self.level < Level::Default
    }

    /// Tells a person at a terminal what was done or will be.
    pub fn notice(&self, message: &str) {
        if self.stderr_is_terminal && self.level >= Level::Default {
            self.complain(&format!("{}\n", text::escape_lines(message)));
        }
    }

    /// Something is wrong that does not stop the command.
    pub fn warning(&self, message: &str) {
        if self.level >= Level::Default {
            self.complain(&format!("{WARNING}warning:{WARNING:#} {}\n", text::escape_lines(message)));
        }
    }

    /// What happens, for `--verbose`.
    pub fn detail(&self, message: &str) {
        if self.level >= Level::Verbose {
            self.complain(&format!("{DIM}{}{DIM:#}\n", text::escape_lines(message)));
        }
    }

    /// Prints an error and what to do about it.
    pub fn error(&self, error: &CommandError) {
        self.complain(&render_error(&error.to_string(), &error.hints));
    }

    /// What to do about an error that was told by somebody else.
    pub fn hint(&self, hint: &str) {
        self.complain(&format!("{HINT}hint:{HINT:#} {}\n", text::escape_lines(hint)));
    }

    /// Progress of something that takes time.
    pub fn progress(&self) -> Progress {
        let dumb = std::env::var_os(env_vars::TERM).is_none_or(|term| term.is_empty() || term == "dumb");
        Progress::new(self.stderr_is_terminal && !dumb && self.level >= Level::Default)
    }

    /// Asks a question that is answered by yes or no. Only where [`Self::can_ask`].
    pub fn confirm(&self, question: &str, default: bool) -> Result<bool, CommandError> {
        let choice = if default { "[Y/n]" } else { "[y/N]" };
        self.complain(&format!("{} {DIM}{choice}{DIM:#} ", text::escape_lines(question)));
        let mut line = String::new();
        let count = io::stdin()
            .read_line(&mut line)
            .map_err(|error| CommandError::failed(format!("no answer can be read: {error}")))?;
        if count == 0 {
            self.complain("\n");
            return Ok(false);
        }
        Ok(match line.trim().to_ascii_lowercase().as_str() {
            "" => default,
            answer => matches!(answer, "y" | "yes"),
        })
    }

    /// Writes to standard error. That nobody can read it is no error.
    pub fn complain(&self, text: &str) {
        let mut stderr = AutoStream::new(io::stderr().lock(), colours(&io::stderr()));
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

/// `NO_COLOR`, `CLICOLOR_FORCE` and `TERM` decide as anstream knows them, the stream otherwise.
fn colours<S: anstream::stream::RawStream>(stream: &S) -> ColorChoice {
    AutoStream::choice(stream)
}

/// `error: …` and `hint: …`, coloured.
pub fn render_error(message: &str, hints: &[String]) -> String {
    let mut out = format!("{ERROR}error:{ERROR:#} {}\n", text::escape_lines(message));
    for hint in hints {
        out.push_str(&format!("{HINT}hint:{HINT:#} {}\n", text::escape_lines(hint)));
    }
    out
}
