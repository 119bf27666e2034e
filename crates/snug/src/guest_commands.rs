//! Where commands of a container are, as its agent finds them.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use snug_core::name::ContainerName;

use crate::context::{Context, OWN_PROGRAM};
use crate::error::CommandError;

/// Finds commands (`snug_agent::find`).
const FIND: [&str; 2] = ["/.snug/bin/snug-agent", "find"];
/// Bytes; more than any answer has.
const LONGEST: u64 = 1 << 20;

/// Where each of these commands is, which are names or absolute paths: for the container's owner, with the PATH of a login there. The
/// container is started when it does not run.
///
/// # Errors
/// It cannot be asked; why has been told.
pub fn find(
    context: &Context,
    container: &ContainerName,
    words: &[&str],
) -> Result<Vec<Option<String>>, CommandError> {
    let failed = || CommandError::failed(format!("{container} cannot be asked where its commands are"));
    let quiet = context.printer.is_quiet().then_some("--quiet");
    // In a process of its own, whose standard output is not this one's.
    let mut asked = Command::new(OWN_PROGRAM)
        .arg0("snug")
        .arg("run")
        .args(quiet)
        .args(["--clean-env", "-T", "-w", "/", "-c", container.as_str(), "--"])
        .args(FIND)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed().caused_by(error))?;
    let mut answer = Vec::new();
    if let Some(stdout) = asked.stdout.take() {
        stdout.take(LONGEST).read_to_end(&mut answer).map_err(|error| failed().caused_by(error))?;
    }
    let status = asked.wait().map_err(|error| failed().caused_by(error))?;
    let restart = || format!("`snug restart {container}` gives it the agent of this version");
    if !status.success() {
        return Err(match status.code() {
            // An agent of an earlier version does not know the word.
            Some(1) => failed().hint(restart()),
            _ => failed(),
        });
    }
    understood(&answer, words).ok_or_else(|| failed().hint(restart()))
}

/// The agent's answer: something before a zero for each word. A path is answered with itself; whatever else a guest says of it, or what is
/// no text, is no answer.
fn understood(answer: &[u8], words: &[&str]) -> Option<Vec<Option<String>>> {
    let answer = answer.strip_suffix(b"\0")?;
    let parts: Vec<&[u8]> = answer.split(|byte| *byte == 0).collect();
    if parts.len() != words.len() {
        return None;
    }
    let path = |part: &[u8], word: &str| {
        let path = str::from_utf8(part).ok().filter(|path| !path.is_empty())?;
        (!word.contains('/') || path == word).then(|| path.to_owned())
    };
    Some(parts.into_iter().zip(words).map(|(part, word)| path(part, word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_part_for_each_word() {
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(understood(b"/usr/bin/rg\0\0", &["rg", "x"]), Some(vec![some("/usr/bin/rg"), None]));
        assert_eq!(understood(b"/opt/x\0/y\0", &["/opt/x", "/opt/x"]), Some(vec![some("/opt/x"), None]));
        assert_eq!(understood(b"/\xff\0", &["x"]), Some(vec![None]));
        for answer in [&b""[..], b"\0", b"/x", b"/x\0", b"/x\0/y\0/z\0"] {
            assert_eq!(understood(answer, &["x", "y"]), None, "{answer:?}");
        }
    }
}
