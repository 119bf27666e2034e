//! A package manager's progress, in stages of its own. For people's eyes alone: what a line cannot be read as is a line of the log, and
//! whether a change has been made is told by the status.
//!
//! | format | lines |
//! |---|---|
//! | [`Format::Apt`] | `dlstatus:` and `pmstatus:` of `APT::Status-Fd` (apt's `README.progress-reporting`), between lines of apt-get and dpkg |
//! | [`Format::Dnf`] | `(1/3): FILE  SIZE`, `  Installing       : NAME  1/3` |
//! | [`Format::Dnf5`] | `[1/3] NAME  100% | …`, after `Running transaction` with a verb before the name; on standard error |
//! | [`Format::Pacman`] | `Packages (3) …`, ` NAME downloading...`, `installing NAME...`; with its bars `(1/3) installing NAME` |
//! | [`Format::Zypper`] | `Retrieving package NAME (1/3)`, `(1/3) Installing: NAME [...done]` |
//! | [`Format::Apk`] | `(1/3) Installing NAME (VERSION)` |

use crate::name::PackageName;
use crate::read::{MAX_LINE, printable};

/// What a package manager is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It reads what there is.
    Refresh,
    /// It fetches packages.
    Download,
    /// It puts a package's files in place.
    Unpack,
    /// It sets a package up: its scripts, triggers.
    Configure,
    /// It takes a package away.
    Remove,
}

/// The first of the second: of packages, or of a transaction's steps.
pub type Number = (u32, u32);

/// One stage of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What is being done.
    pub step: Step,
    /// To which package.
    pub package: Option<PackageName>,
    /// How far it has come in this step: the first of the second, both at least 1.
    pub number: Option<Number>,
    /// How far the whole change has come, where the manager tells it: at most 100.
    pub percent: Option<u8>,
}

/// How a package manager's progress looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// apt-get with `-o APT::Status-Fd`.
    Apt,
    /// dnf 4.
    Dnf,
    /// dnf5.
    Dnf5,
    /// pacman.
    Pacman,
    /// zypper.
    Zypper,
    /// apk.
    Apk,
}

/// What a package manager has just written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new stage. Where the line is one of the manager's own, it follows as [`Event::Line`].
    Stage(Stage),
    /// A line for the log, made printable.
    Line(String),
}

/// Reads a package manager's progress. One for each of its two streams, or one for both where they are the same.
#[derive(Debug)]
pub struct Stages {
    format: Format,
    line: Vec<u8>,
    /// What of the line has been left out.
    cut: bool,
    /// Packages of this change: pacman's.
    total: u32,
    done: u32,
    /// dnf5: downloads are over.
    in_transaction: bool,
    last: Option<Stage>,
}

impl Stages {
    /// A reader.
    pub fn new(format: Format) -> Self {
        Self { format, line: Vec::new(), cut: false, total: 0, done: 0, in_transaction: false, last: None }
    }

    /// What the program wrote next: any part of it. A line's end is a newline or a carriage return.
    pub fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(Event)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.end_line(&mut tell);
            } else if self.line.len() < MAX_LINE {
                self.line.push(byte);
            } else {
                self.cut = true;
            }
        }
    }

    /// The program has ended: a last line without an end counts.
    pub fn finish(&mut self, mut tell: impl FnMut(Event)) {
        self.end_line(&mut tell);
    }

    fn end_line(&mut self, tell: &mut impl FnMut(Event)) {
        let line = std::mem::take(&mut self.line);
        let mut rest = &line[..];
        if self.format == Format::Apt
            && let Some(at) = status_at(rest)
        {
            // Another descriptor's: it may have come in the middle of a line.
            self.told(apt(&rest[at..]), tell);
            rest = &rest[..at];
        } else {
            let stage = self.read(rest);
            self.told(stage, tell);
        }
        let text = printable(rest, MAX_LINE);
        if !text.trim().is_empty() {
            tell(Event::Line(if self.cut { text + "…" } else { text }));
        }
        // A line's memory is used again, unless it was an unusual one.
        if line.capacity() <= 4096 {
            self.line = line;
            self.line.clear();
        }
        self.cut = false;
    }

    fn told(&mut self, stage: Option<Stage>, tell: &mut impl FnMut(Event)) {
        if let Some(stage) = stage
            && self.last.as_ref() != Some(&stage)
        {
            self.last = Some(stage.clone());
            tell(Event::Stage(stage));
        }
    }

    fn read(&mut self, line: &[u8]) -> Option<Stage> {
        match self.format {
            Format::Apt => apt_line(line),
            Format::Dnf => dnf(line),
            Format::Dnf5 => self.dnf5(line),
            Format::Pacman => self.pacman(line),
            Format::Zypper => zypper(line),
            Format::Apk => apk(line),
        }
    }

    fn dnf5(&mut self, line: &[u8]) -> Option<Stage> {
        if line.starts_with(b"Running transaction") {
            self.in_transaction = true;
            return None;
        }
        if line.starts_with(b"Updating and loading repositories") {
            return Some(stage(Step::Refresh, None, None));
        }
        let (number, rest) = numbered(line.strip_prefix(b"[")?, b']')?;
        let mut words = words(rest);
        let first = words.next()?;
        if !self.in_transaction {
            let package = (first != b"Total").then(|| nevra(first))?;
            return Some(stage(Step::Download, package, Some(number)));
        }
        let step = match first {
            b"Installing" | b"Upgrading" | b"Downgrading" | b"Reinstalling" => Step::Unpack,
            b"Removing" | b"Replacing" | b"Erasing" => Step::Remove,
            _ => Step::Configure,
        };
        let package = if step == Step::Configure { None } else { words.next().and_then(nevra) };
        Some(stage(step, package, Some(number)))
    }

    fn pacman(&mut self, line: &[u8]) -> Option<Stage> {
        if line.starts_with(b":: Synchronizing") {
            return Some(stage(Step::Refresh, None, None));
        }
        if let Some(rest) = line.strip_prefix(b"Packages (") {
            let end = rest.iter().position(|&byte| byte == b')')?;
            (self.total, self.done) = (number(&rest[..end])?, 0);
            return None;
        }
        if line.starts_with(b":: Retrieving packages") {
            return Some(stage(Step::Download, None, None));
        }
        if let Some(file) = line.strip_suffix(b" downloading...") {
            let package = arch_file(file.trim_ascii());
            return package.map(|package| stage(Step::Download, Some(package), None));
        }
        let (counted, rest) = match line.strip_prefix(b"(").and_then(|rest| numbered(rest, b')')) {
            Some((counted, rest)) => (Some(counted), rest),
            None => (None, line),
        };
        let mut words = words(rest);
        let step = match words.next()? {
            b"installing" | b"upgrading" | b"reinstalling" | b"downgrading" => Step::Unpack,
            b"removing" => Step::Remove,
            _ => return None,
        };
        let name = words.next()?;
        let package = PackageName::read(name.strip_suffix(b"...").unwrap_or(name))?;
        self.done = self.done.saturating_add(1);
        let number = counted.or((self.done <= self.total).then_some((self.done, self.total)));
        Some(stage(step, Some(package), number))
    }
}

fn stage(step: Step, package: Option<PackageName>, number: Option<Number>) -> Stage {
    Stage { step, package, number, percent: None }
}

fn status_at(line: &[u8]) -> Option<usize> {
    [&b"pmstatus:"[..], b"dlstatus:", b"pmerror:", b"pmconffile:"]
        .iter()
        .filter_map(|word| line.windows(word.len()).position(|part| part == *word))
        .min()
}

/// `pmstatus:PACKAGE:PERCENT:TEXT`, `dlstatus:NUMBER:PERCENT:TEXT`.
fn apt(line: &[u8]) -> Option<Stage> {
    let mut fields = line.splitn(4, |&byte| byte == b':');
    let (kind, subject) = (fields.next()?, fields.next()?);
    // A package may have an architecture: `NAME:ARCH`.
    let (percent_field, text) = match (fields.next()?, fields.next()?) {
        (arch, rest) if !arch.is_empty() && arch.iter().any(u8::is_ascii_alphabetic) => {
            let mut rest = rest.splitn(2, |&byte| byte == b':');
            (rest.next()?, rest.next().unwrap_or_default())
        }
        found => found,
    };
    let percent: f32 = std::str::from_utf8(percent_field).ok()?.parse().ok()?;
    let percent = (0.0..=100.0).contains(&percent).then_some(percent as u8)?;
    let (step, package, number) = match kind {
        b"dlstatus" => {
            // "Retrieving file 1 of 2"
            let mut numbers = words(text).filter_map(number);
            let pair = numbers.next().zip(numbers.next()).filter(|(first, all)| (1..=*all).contains(first));
            (Step::Download, None, pair)
        }
        b"pmstatus" => {
            let package = PackageName::read(subject).filter(|name| name.as_str() != "dpkg-exec");
            let step = match words(text).next()? {
                b"Removing" | b"Removed" | b"Completely" => Step::Remove,
                b"Configuring" | b"Installed" | b"Running" => Step::Configure,
                b"Preparing" if text.windows(12).any(|part| part == b"to configure") => Step::Configure,
                b"Preparing"
                    if text.windows(10).any(|part| part == b"to remove")
                        || text.starts_with(b"Preparing for removal") =>
                {
                    Step::Remove
                }
                _ => Step::Unpack,
            };
            if package.is_none() && subject == b"dpkg-exec" {
                // dpkg starts again: nothing that anybody waits for.
                return None;
            }
            (step, package, None)
        }
        _ => return None,
    };
    Some(Stage { step, package, number, percent: Some(percent) })
}

/// Of apt's own lines only those of the update, which has no stages.
fn apt_line(line: &[u8]) -> Option<Stage> {
    let is_fetch =
        |start: &[u8]| line.starts_with(start) && line.get(start.len()).is_some_and(u8::is_ascii_digit);
    let is_list = [&b" InRelease"[..], b" Packages", b" Contents"]
        .iter()
        .any(|part| line.windows(part.len()).any(|at| at == *part));
    (is_list && (is_fetch(b"Get:") || is_fetch(b"Hit:"))).then(|| stage(Step::Refresh, None, None))
}

fn dnf(line: &[u8]) -> Option<Stage> {
    if let Some(rest) = line.strip_prefix(b"(") {
        let (number, rest) = numbered(rest, b')')?;
        let file = words(rest.strip_prefix(b":")?).next()?;
        return Some(stage(Step::Download, file.strip_suffix(b".rpm").and_then(nevra), Some(number)));
    }
    if line.starts_with(b"Downloading Packages") {
        return Some(stage(Step::Download, None, None));
    }
    let line = line.strip_prefix(b"  ")?;
    let colon = line.windows(3).position(|part| part == b" : ")?;
    let step = match line[..colon].trim_ascii() {
        b"Installing" | b"Upgrading" | b"Downgrading" | b"Reinstalling" => Step::Unpack,
        b"Erasing" | b"Cleanup" | b"Obsoleting" | b"Removing" => Step::Remove,
        b"Running scriptlet" | b"Verifying" | b"Preparing" => Step::Configure,
        _ => return None,
    };
    let mut words = words(&line[colon + 3..]);
    let (first, last) = (words.next()?, words.last());
    let number = last.and_then(pair).or_else(|| pair(first));
    Some(stage(step, last.and_then(|_| nevra(first)), number))
}

fn zypper(line: &[u8]) -> Option<Stage> {
    if line.starts_with(b"Retrieving repository") {
        return Some(stage(Step::Refresh, None, None));
    }
    if let Some(rest) =
        line.strip_prefix(b"Retrieving package ").or_else(|| line.strip_prefix(b"Retrieving: "))
    {
        let open = rest.windows(2).position(|part| part == b" (").map(|at| at + 2);
        // "(1/3)", or "(repository) (1/3)"
        let counted = rest
            .split(|&byte| byte == b'(')
            .skip(1)
            .find_map(|part| numbered(part, b')'))
            .map(|(number, _)| number);
        return open.map(|_| stage(Step::Download, words(rest).next().and_then(nevra), counted));
    }
    let (number, rest) = numbered(line.strip_prefix(b"(")?, b')')?;
    let mut words = words(rest);
    let step = match words.next()? {
        b"Installing:" => Step::Unpack,
        b"Removing" | b"Removing:" => Step::Remove,
        _ => return None,
    };
    Some(stage(step, words.next().and_then(nevra), Some(number)))
}

fn apk(line: &[u8]) -> Option<Stage> {
    if line.starts_with(b"fetch ") {
        return Some(stage(Step::Refresh, None, None));
    }
    if line.starts_with(b"Executing ") {
        return Some(stage(Step::Configure, None, None));
    }
    let (number, rest) = numbered(line.strip_prefix(b"(")?, b')')?;
    let mut words = words(rest);
    let step = match words.next()? {
        b"Installing" | b"Upgrading" | b"Downgrading" | b"Reinstalling" | b"Replacing" => Step::Unpack,
        b"Purging" => Step::Remove,
        _ => return None,
    };
    Some(stage(step, Some(PackageName::read(words.next()?)?), Some(number)))
}

/// `1/3` up to the closing character, and what follows.
fn numbered(line: &[u8], close: u8) -> Option<(Number, &[u8])> {
    let end = line.iter().take(24).position(|&byte| byte == close)?;
    Some((pair(&line[..end])?, &line[end + 1..]))
}

fn pair(bytes: &[u8]) -> Option<Number> {
    let slash = bytes.iter().position(|&byte| byte == b'/')?;
    let (first, all) = (number(bytes[..slash].trim_ascii())?, number(bytes[slash + 1..].trim_ascii())?);
    (1..=all).contains(&first).then_some((first, all))
}

fn number(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The name of `NAME-[EPOCH:]VERSION-RELEASE[.ARCH]`. Where a program cut the word short it is a longer one.
fn nevra(word: &[u8]) -> Option<PackageName> {
    let mut dashes =
        word.iter().enumerate().filter(|(_, byte)| **byte == b'-').map(|(at, _)| at).collect::<Vec<_>>();
    let end = dashes
        .pop()
        .and_then(|last| Some(dashes.pop()?).filter(|at| word[at + 1].is_ascii_digit()).or(Some(last)));
    PackageName::read(&word[..end?])
}

/// The name of pacman's `NAME-VERSION-RELEASE-ARCH`.
fn arch_file(word: &[u8]) -> Option<PackageName> {
    let dashes: Vec<usize> =
        word.iter().enumerate().filter(|(_, byte)| **byte == b'-').map(|(at, _)| at).collect();
    PackageName::read(&word[..*dashes.get(dashes.len().checked_sub(3)?)?])
}

#[cfg(test)]
mod tests;
