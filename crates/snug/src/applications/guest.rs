//! What applications a container has, as its agent reads them (`snug_agent::applications`). All that comes is a stranger's: bounded, and
//! nothing of it has been looked at.

use std::io::{self, Read};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use snug_core::name::ContainerName;
use snug_core::paths::GUEST_AGENT;
use snug_desktop::{icon, key_file};
use snug_exports::ApplicationId;
use snug_packages::command::CommandLine;
use tar::EntryType;

use crate::archive::ArchiveError;
use crate::archive::stream::{self, Entries};
use crate::context::Context;
use crate::error::CommandError;
use crate::packages::guest::{ask_within, status, unanswered};
use crate::packages::line::{Line, own_failure};
use crate::packages::streams::{self, Patient};

/// Bytes of standard error that are kept: why there is no answer.
const COMPLAINT: u64 = 16 << 10;
/// How long what a process has said may take to arrive when it has ended. Whoever it left behind may hold its streams for ever.
const REST: Duration = Duration::from_millis(500);
/// Bytes behind the end of a stream (tar writes whole records of 10 KiB).
const FILLING: u64 = 64 << 10;
/// Bytes of a stream.
const LONGEST_STREAM: u64 = 512 << 20;
/// Bytes of the images of one application, and of all that one call is about.
const MOST_BYTES: usize = 24 << 20;
const MOST_BYTES_OF_ALL: usize = 128 << 20;
/// Images of one application.
const MOST_IMAGES: usize = 100;

/// Where the guest has an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a directory of the theme.
    Theme {
        /// The directory: a size.
        size: String,
        /// The file.
        file: String,
    },
    /// Among those without a size.
    Plain(String),
    /// Where the entry says.
    File(String),
}

/// An image, perhaps of an icon.
#[derive(Debug)]
pub struct Image {
    /// Where it was.
    pub source: Source,
    /// What was there.
    pub content: Vec<u8>,
}

/// An application of a guest.
#[derive(Debug)]
pub struct Found {
    /// Its id.
    pub id: ApplicationId,
    /// Where its entry is in the guest.
    pub path: String,
    /// The entry.
    pub entry: Vec<u8>,
    /// Images that its icons may be.
    pub images: Vec<Image>,
}

/// The ids of all applications of a container, which is started when it does not run.
///
/// # Errors
/// It cannot be asked, or does not answer within that time.
pub fn list(
    context: &Context,
    container: &ContainerName,
    patience: Duration,
) -> Result<Vec<ApplicationId>, CommandError> {
    let output = ask_within(context, container, &line("applications", &[]), patience)?;
    check(container, output.status)?;
    let id = |part: &[u8]| str::from_utf8(part).ok()?.parse().ok();
    Ok(output.stdout.split(|byte| *byte == 0).filter_map(id).collect())
}

/// The applications among these that a container has.
///
/// # Errors
/// It cannot be asked, or does not answer within that time; what answers is no agent.
pub fn fetch(
    context: &Context,
    container: &ContainerName,
    ids: &[ApplicationId],
    patience: Duration,
) -> Result<Vec<Found>, CommandError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<&str> = ids.iter().map(ApplicationId::as_str).collect();
    let mut line = Line::new(context, container, &line("application", &words))?;
    let mut asked = line.spawn()?;
    let answer = gather(&mut asked, ids, patience);
    if line.has_failed_itself() {
        return Err(own_failure(container, &answer.complaint));
    }
    let (found, ended) = answer.found.map_err(|error| {
        if is_late(&error) { unanswered(container, patience) } else { failed(container).caused_by(error) }
    })?;
    check(container, status(ended))?;
    Ok(found)
}

/// What a process has said by its end.
struct Answer {
    found: Result<(Vec<Found>, ExitStatus), ArchiveError>,
    complaint: Vec<u8>,
}

/// Reads its answer, and sees to it that it has ended when that time is over: a guest may go on for ever, with what it says or without a word.
fn gather(asked: &mut Child, ids: &[ApplicationId], patience: Duration) -> Answer {
    let until = Instant::now() + patience;
    let told = asked.stderr.take().map(complaint);
    let found = follow(asked, ids, until);
    if found.is_err() {
        let _ = asked.kill().and_then(|()| asked.wait());
    }
    let complaint = told.and_then(|told| told.recv_timeout(REST).ok()).unwrap_or_default();
    Answer { found, complaint }
}

fn follow(
    asked: &mut Child,
    ids: &[ApplicationId],
    until: Instant,
) -> Result<(Vec<Found>, ExitStatus), ArchiveError> {
    let mut found = Vec::new();
    if let Some(stream) = asked.stdout.take() {
        let mut stream = Patient { stream, until }.take(LONGEST_STREAM);
        found = read(&mut stream, ids)?;
        // What fills the stream's last block: whoever writes it is not to fail. Whoever it has left behind may never close it.
        let mut filling = stream.into_inner().stream.take(FILLING);
        thread::spawn(move || io::copy(&mut filling, &mut io::sink()));
    }
    let ended = streams::wait(asked, until).map_err(ArchiveError::Stream)?;
    Ok((found, ended.ok_or_else(|| ArchiveError::Stream(io::ErrorKind::TimedOut.into()))?))
}

fn is_late(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Stream(error) if error.kind() == io::ErrorKind::TimedOut)
}

fn failed(container: &ContainerName) -> CommandError {
    CommandError::failed(format!("{container} cannot be asked for its applications"))
}

/// The agent's program, as an ordinary command of its owner's with a login's environment.
fn line(verb: &str, words: &[&str]) -> CommandLine {
    let argv = [GUEST_AGENT, verb].iter().chain(words).map(Into::into).collect();
    CommandLine { argv, environment: &[], as_root: false }
}

/// The first words of a process that may write without end, when it has ended.
fn complaint(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = (&mut stream).take(COMPLAINT).read_to_end(&mut said);
        let _ = io::copy(&mut stream, &mut io::sink());
        tell.send(said)
    });
    told
}

fn check(container: &ContainerName, status: i32) -> Result<(), CommandError> {
    match status {
        0 => Ok(()),
        // An agent of an earlier version does not know the word.
        1 => {
            let hint = format!("`snug restart {container}` gives it the agent of this version");
            Err(failed(container).hint(hint))
        }
        _ => Err(failed(container)),
    }
}

/// Reads a stream: entries that were asked for, each once, and what comes behind each.
fn read(stream: impl Read, ids: &[ApplicationId]) -> Result<Vec<Found>, ArchiveError> {
    let mut entries = Entries::new(stream);
    let mut all: Vec<Found> = Vec::new();
    let mut is_wanted = false;
    let (mut bytes, mut bytes_of_all) = (0, 0);
    while let Some(entry) = entries.next()? {
        let Some(path) = plain_path(&entry) else { continue };
        if let Some((id, path)) = path.strip_prefix("entry/").and_then(|rest| rest.split_once('/')) {
            let id: Option<ApplicationId> = id.parse().ok();
            let id = id.filter(|id| ids.contains(id) && !all.iter().any(|found| found.id == *id));
            is_wanted = false;
            if let Some(id) = id
                && let Some(entry) = content(&mut entries, key_file::LONGEST)?
            {
                all.push(Found { id, path: format!("/{path}"), entry, images: Vec::new() });
                (is_wanted, bytes) = (true, 0);
            }
            continue;
        }
        let Some(found) = all.last_mut().filter(|found| is_wanted && found.images.len() < MOST_IMAGES) else {
            continue;
        };
        if let Some(source) = source(&path)
            && bytes < MOST_BYTES
            && bytes_of_all < MOST_BYTES_OF_ALL
            && let Some(content) = content(&mut entries, icon::LONGEST)?
        {
            bytes += content.len();
            bytes_of_all += content.len();
            found.images.push(Image { source, content });
        }
    }
    Ok(all)
}

/// The name of an ordinary file in the stream.
fn plain_path(entry: &stream::Entry) -> Option<String> {
    let is_file = entry.header.entry_type() == EntryType::Regular;
    let path = String::from_utf8(entry.path.clone()).ok().filter(|_| is_file)?;
    let is_plain = !path.chars().any(char::is_control) && path.len() < 4096;
    is_plain.then_some(path)
}

/// What a file has; none where it is longer than that.
fn content<R: Read>(entries: &mut Entries<R>, longest: usize) -> Result<Option<Vec<u8>>, ArchiveError> {
    let mut content = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match entries.read(&mut buffer) {
            Ok(0) => return Ok(Some(content)),
            Ok(count) if content.len() + count <= longest => content.extend_from_slice(&buffer[..count]),
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ArchiveError::Stream(error)),
        }
    }
}

fn source(path: &str) -> Option<Source> {
    let (kind, rest) = path.split_once('/')?;
    match kind {
        "theme" => {
            let (size, file) = rest.split_once('/').filter(|(_, file)| !file.contains('/'))?;
            Some(Source::Theme { size: size.to_owned(), file: file.to_owned() })
        }
        "plain" if !rest.contains('/') => Some(Source::Plain(rest.to_owned())),
        "file" => Some(Source::File(format!("/{rest}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use tar::{Builder, Header};

    use super::*;

    fn stream(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Past the checks of the crate.
            let bytes = name.as_bytes();
            header.as_gnu_mut().unwrap().name[..bytes.len()].copy_from_slice(bytes);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn ids(texts: &[&str]) -> Vec<ApplicationId> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn entries_come_with_their_images() {
        let stream = stream(&[
            ("entry/tool/usr/share/applications/tool.desktop", b"text"),
            ("theme/48x48/tool.png", b"a"),
            ("plain/tool.xpm", b"b"),
            ("file/opt/x.png", b"c"),
            ("entry/other/x", b"other"),
        ]);
        let found = read(stream.as_slice(), &ids(&["tool", "other"])).unwrap();
        assert_eq!(
            (found[0].path.as_str(), found[0].entry.as_slice()),
            ("/usr/share/applications/tool.desktop", &b"text"[..])
        );
        let sources: Vec<&Source> = found[0].images.iter().map(|image| &image.source).collect();
        assert_eq!(
            sources,
            [
                &Source::Theme { size: "48x48".into(), file: "tool.png".into() },
                &Source::Plain("tool.xpm".into()),
                &Source::File("/opt/x.png".into())
            ]
        );
        assert_eq!((found[1].id.as_str(), found[1].images.len()), ("other", 0));
    }

    #[test]
    fn what_was_not_asked_for_or_has_no_end_is_passed_over() {
        let long = vec![b'x'; icon::LONGEST + 1];
        let stream = stream(&[
            ("theme/48x48/early.png", b"a"),
            ("entry/stranger/x", b"text"),
            ("theme/48x48/strangers.png", b"a"),
            ("entry/../x", b"text"),
            ("entry/tool/x", b"first"),
            ("theme/48x48/long.png", &long),
            ("theme/48x48/../../x.png", b"a"),
            ("plain/../x.png", b"a"),
            ("theme/x.png", b"a"),
            ("../../etc/passwd", b"a"),
            ("/etc/passwd", b"a"),
            ("theme/48x48/\n.png", b"a"),
            ("entry/tool/x", b"second"),
            ("theme/48x48/late.png", b"a"),
        ]);
        let found = read(stream.as_slice(), &ids(&["tool"])).unwrap();
        assert_eq!(
            (found.len(), found[0].entry.as_slice(), found[0].images.len()),
            (1, &b"first"[..], 0),
            "{found:?}"
        );
        let many: Vec<(String, &[u8])> =
            (0..300).map(|number| (format!("plain/{number}.png"), &b"x"[..])).collect();
        let files: Vec<(&str, &[u8])> = [("entry/tool/x", &b"text"[..])]
            .into_iter()
            .chain(many.iter().map(|(name, text)| (name.as_str(), *text)))
            .collect();
        assert_eq!(
            read(self::stream(&files).as_slice(), &ids(&["tool"])).unwrap()[0].images.len(),
            MOST_IMAGES
        );
    }

    /// What comes of a process that writes a whole answer, with this behind it.
    fn answer(then: &str, patience: Duration) -> (Result<usize, ArchiveError>, bool) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), stream(&[("entry/tool/x", b"text")])).unwrap();
        let mut asked = Command::new("sh")
            .args(["-c", &format!("cat \"$1\"; {then}"), "sh"])
            .arg(file.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let answer = gather(&mut asked, &ids(&["tool"]), patience);
        let has_ended = asked.try_wait().unwrap().is_some();
        (answer.found.map(|(found, _)| found.len()), has_ended)
    }

    #[test]
    fn a_guest_that_does_not_come_to_an_end_is_given_up() {
        let soon = Duration::from_millis(300);
        for then in ["exec sleep 60", "exec >&- 2>&-; exec sleep 60"] {
            let (found, has_ended) = answer(then, soon);
            assert!(is_late(&found.unwrap_err()) && has_ended, "{then}");
        }
        let mut silent =
            Command::new("sleep").arg("60").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(is_late(&gather(&mut silent, &ids(&["tool"]), soon).found.unwrap_err()));
        assert!(silent.try_wait().unwrap().is_some());
    }

    #[test]
    fn whom_it_has_left_behind_is_not_waited_for() {
        let begin = Instant::now();
        let (found, _) = answer("sleep 20 & exit 0", Duration::from_secs(60));
        assert!(found.unwrap() == 1 && begin.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_stream_that_breaks_is_no_answer() {
        let whole = stream(&[("entry/tool/x", b"text")]);
        assert!(read(&whole[..600], &ids(&["tool"])).is_err());
        assert!(read(&b"not a stream at all"[..], &ids(&["tool"])).is_err());
        assert!(read(&b""[..], &ids(&["tool"])).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_can_come(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0..512_usize) {
            let _ = read(bytes.as_slice(), &ids(&["tool"]));
            let mut stream = stream(&[("entry/tool/x", b"text"), ("plain/x.png", b"a")]);
            stream[at] ^= 1;
            let _ = read(stream.as_slice(), &ids(&["tool"]));
        }
    }
}
