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

/// One stage of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What is being done.
    pub step: Step,
    /// To which package.
    pub package: Option<PackageName>,
    /// How far it has come in this step: the first of the second, both at least 1.
    pub number: Option<(u32, u32)>,
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
        if stage.is_some() && stage != self.last {
            self.last.clone_from(&stage);
            tell(Event::Stage(stage.expect("looked at above")));
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
            return Some(stage(Step::Download, package, number));
        }
        let step = match first {
            b"Installing" | b"Upgrading" | b"Downgrading" | b"Reinstalling" => Step::Unpack,
            b"Removing" | b"Replacing" | b"Erasing" => Step::Remove,
            _ => Step::Configure,
        };
        let package = if step == Step::Configure { None } else { words.next().and_then(nevra) };
        Some(stage(step, package, number))
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
            Some((counted, rest)) => (counted, rest),
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

fn stage(step: Step, package: Option<PackageName>, number: Option<(u32, u32)>) -> Stage {
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
        return Some(stage(Step::Download, file.strip_suffix(b".rpm").and_then(nevra), number));
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
    let number = last.and_then(|last| pair(last)).or_else(|| pair(first));
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
            .and_then(|(n, _)| n);
        return open.map(|_| stage(Step::Download, words(rest).next().and_then(nevra), counted));
    }
    let (number, rest) = numbered(line.strip_prefix(b"(")?, b')')?;
    let mut words = words(rest);
    let step = match words.next()? {
        b"Installing:" => Step::Unpack,
        b"Removing" | b"Removing:" => Step::Remove,
        _ => return None,
    };
    Some(stage(step, words.next().and_then(nevra), number))
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
    Some(stage(step, Some(PackageName::read(words.next()?)?), number))
}

/// `1/3` up to the closing character, and what follows.
fn numbered(line: &[u8], close: u8) -> Option<(Option<(u32, u32)>, &[u8])> {
    let end = line.iter().take(24).position(|&byte| byte == close)?;
    Some((Some(pair(&line[..end])?), &line[end + 1..]))
}

fn pair(bytes: &[u8]) -> Option<(u32, u32)> {
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
mod tests {
    use super::*;
    use crate::read::hostile;

    const ALL: [Format; 6] =
        [Format::Apt, Format::Dnf, Format::Dnf5, Format::Pacman, Format::Zypper, Format::Apk];

    fn events(format: Format, output: &[u8]) -> Vec<Event> {
        let mut stages = Stages::new(format);
        let mut all = Vec::new();
        // As it may arrive.
        for part in output.chunks(7) {
            stages.feed(part, |event| all.push(event));
        }
        stages.finish(|event| all.push(event));
        all
    }

    /// What was told of stages: step, package, number, percent.
    fn told(format: Format, output: &str) -> Vec<(Step, String, Option<(u32, u32)>, Option<u8>)> {
        let stages = events(format, output.as_bytes()).into_iter().filter_map(|event| match event {
            Event::Stage(stage) => Some(stage),
            Event::Line(_) => None,
        });
        stages
            .map(|s| (s.step, s.package.map(|p| p.to_string()).unwrap_or_default(), s.number, s.percent))
            .collect()
    }

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        let mut outputs = hostile();
        outputs.extend([
            b"pmstatus:\npmstatus:::::\npmstatus:x:nan:Unpacking x\npmstatus:x:1e99:y\npmstatus:x:-1:y\ndlstatus:1:50:of of 1 0\n".to_vec(),
            b"(/) x\n(0/0) Installing x\n(2/1) Installing x\n(99999999999/1) Installing x\n(1/1 Installing x\n(1/1)\n[1/1]\n[1/1] x\n".to_vec(),
            b"Packages (4294967295)\ninstalling -x...\nPackages (-1)\n   downloading...\n-1 downloading...\n".to_vec(),
            b"  Installing       : \n  Installing : x\n   : 1/1\nRunning transaction\n[1/2] Installing\n".to_vec(),
        ]);
        for format in ALL {
            for output in &outputs {
                for event in events(format, output) {
                    match event {
                        Event::Line(line) => {
                            assert!(line.len() <= 4 * MAX_LINE);
                            assert!(!line.chars().any(char::is_control), "{line:?}");
                        }
                        Event::Stage(stage) => {
                            assert!(stage.percent.is_none_or(|percent| percent <= 100));
                            assert!(stage.number.is_none_or(|(first, all)| (1..=all).contains(&first)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn apt_tells_by_a_descriptor_of_its_own() {
        // apt 2.6.1, its two streams in one; "Selecting" without its newline yet.
        let output = "Get:1 file:/repo/deb ./ InRelease\nNeed to get 0 B/1524 B of archives.\ndlstatus:1:0.0000:Retrieving file 1 of 2\n\
            dlstatus:2:49.2651:Retrieving file 2 of 2\npmstatus:dpkg-exec:0.0000:Running dpkg\n(Reading database ... 5%pmstatus:snuglib:11.1111:Unpacking snuglib (amd64)\n\
            pmstatus:libc6:amd64:22.5:Preparing libc6 (amd64)\npmstatus:snuglib:44.4444:Preparing to configure snuglib (amd64)\n\
            pmstatus:snuglib:66.6667:Installed snuglib (amd64)\npmstatus:snuglib:70:Removing snuglib (amd64)\npmerror:x:71:went wrong\n";
        assert_eq!(
            told(Format::Apt, output),
            [
                (Step::Refresh, String::new(), None, None),
                (Step::Download, String::new(), Some((1, 2)), Some(0)),
                (Step::Download, String::new(), Some((2, 2)), Some(49)),
                (Step::Unpack, "snuglib".into(), None, Some(11)),
                (Step::Unpack, "libc6".into(), None, Some(22)),
                (Step::Configure, "snuglib".into(), None, Some(44)),
                (Step::Configure, "snuglib".into(), None, Some(66)),
                (Step::Remove, "snuglib".into(), None, Some(70)),
            ]
        );
        let lines: Vec<_> = events(Format::Apt, output.as_bytes())
            .into_iter()
            .filter_map(|event| if let Event::Line(line) = event { Some(line) } else { None })
            .collect();
        assert_eq!(
            lines,
            [
                "Get:1 file:/repo/deb ./ InRelease",
                "Need to get 0 B/1524 B of archives.",
                "(Reading database ... 5%"
            ]
        );
    }

    #[test]
    fn dnf_counts_the_steps_of_its_transaction() {
        // dnf 4.14.0; the download as it is with several packages.
        let output = "Downloading Packages:\n(1/2): snuglib-1.0-1.noarch.rpm                  1.2 MB/s | 6.0 kB     00:00    \nRunning transaction\n  \
            Preparing        :                                                        1/1 \n  \
            Installing       : snuglib-1.0-1.noarch                                   1/3 \n  \
            Upgrading        : snug-tool-2:1.1-1.noarch                               2/3 \n  \
            Cleanup          : snug-tool-1.0-1.noarch                                 3/3 \n  \
            Verifying        : snuglib-1.0-1.noarch                                   1/3 \n";
        assert_eq!(
            told(Format::Dnf, output),
            [
                (Step::Download, String::new(), None, None),
                (Step::Download, "snuglib".into(), Some((1, 2)), None),
                (Step::Configure, String::new(), Some((1, 1)), None),
                (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
                (Step::Unpack, "snug-tool".into(), Some((2, 3)), None),
                (Step::Remove, "snug-tool".into(), Some((3, 3)), None),
                (Step::Configure, "snuglib".into(), Some((1, 3)), None),
            ]
        );
    }

    #[test]
    fn dnf5_counts_downloads_and_then_its_transaction() {
        // dnf5 5.4.6, standard error
        let output = "Updating and loading repositories:\n bed                                    100% | 275.7 KiB/s |   3.9 KiB |  00m00s\n\
            [1/3] snugmeta-0:1.0-1.noarch           100% | 541.9 KiB/s |   5.4 KiB |  00m00s\n\
            [3/3] Total                             100% | 795.0 KiB/s |  17.5 KiB |  00m00s\nRunning transaction\n\
            [1/5] Verify package files              100% |   0.0   B/s |   3.0   B |  00m00s\n\
            [3/5] Installing snuglib-0:1.0-1.noarch 100% |  16.5 KiB/s | 288.0   B |  00m00s\n\
            [4/5] Removing snugtool-0:1.0-1.noarc 100% |  72.3 KiB/s | 444.0   B |  00m00s\n";
        assert_eq!(
            told(Format::Dnf5, output),
            [
                (Step::Refresh, String::new(), None, None),
                (Step::Download, "snugmeta".into(), Some((1, 3)), None),
                (Step::Configure, String::new(), Some((1, 5)), None),
                (Step::Unpack, "snuglib".into(), Some((3, 5)), None),
                (Step::Remove, "snugtool".into(), Some((4, 5)), None),
            ]
        );
    }

    #[test]
    fn pacman_says_how_many_there_will_be() {
        // pacman 6.0.2 with --noprogressbar; the last line as it is with the bar.
        let output = ":: Synchronizing package databases...\n bed downloading...\nPackages (3) snuglib-1.0-1  snugtool-1.0-1  snugmeta-1.0-1\n\
            :: Retrieving packages...\n snug-tool-1.0-1-any downloading...\n:: Processing package changes...\ninstalling snuglib...\n\
            installing snugtool...\nremoving snugmeta...\n(2/7) upgrading linux                 [######] 100%\n";
        assert_eq!(
            told(Format::Pacman, output),
            [
                (Step::Refresh, String::new(), None, None),
                (Step::Download, String::new(), None, None),
                (Step::Download, "snug-tool".into(), None, None),
                (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
                (Step::Unpack, "snugtool".into(), Some((2, 3)), None),
                (Step::Remove, "snugmeta".into(), Some((3, 3)), None),
                (Step::Unpack, "linux".into(), Some((2, 7)), None),
            ]
        );
    }

    #[test]
    fn zypper_counts_downloads_and_installations() {
        // zypper 1.14.42; "Retrieving:" and the padded number are of newer ones.
        let output = "Retrieving repository 'bed' metadata [.done]\nRetrieving package snuglib-1.0-1.noarch (1/3),   6.0 KiB (   27   B unpacked)\n\
            Retrieving: snug-tool-1.0-1.noarch (bed) (2/3),   6.0 KiB\nChecking for file conflicts: [......done]\n\
            (1/3) Installing: snuglib-1.0-1.noarch [....done]\n( 2/13) Installing: snug-tool-1.0-1.noarch [...done]\n(1/1) Removing snugother-1.0-1.noarch [.....done]\n";
        assert_eq!(
            told(Format::Zypper, output),
            [
                (Step::Refresh, String::new(), None, None),
                (Step::Download, "snuglib".into(), Some((1, 3)), None),
                (Step::Download, "snug-tool".into(), Some((2, 3)), None),
                (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
                (Step::Unpack, "snug-tool".into(), Some((2, 13)), None),
                (Step::Remove, "snugother".into(), Some((1, 1)), None),
            ]
        );
    }

    #[test]
    fn apk_counts_what_it_does() {
        // apk-tools 3.0.8
        let output = "fetch file:///repo/x86_64/APKINDEX.tar.gz\n(1/3) Installing snuglib (1.0-r0)\n( 2/10) Upgrading snugtool (1.0-r0 -> 1.1-r0)\n\
            (3/3) Purging snugmeta (1.0-r0)\nExecuting busybox-1.37.0-r30.trigger\nOK: 67.8 MiB in 62 packages\n";
        assert_eq!(
            told(Format::Apk, output),
            [
                (Step::Refresh, String::new(), None, None),
                (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
                (Step::Unpack, "snugtool".into(), Some((2, 10)), None),
                (Step::Remove, "snugmeta".into(), Some((3, 3)), None),
                (Step::Configure, String::new(), None, None),
            ]
        );
    }
}
