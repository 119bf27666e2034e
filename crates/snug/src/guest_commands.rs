//! Where commands of a container are, as its agent finds them.

use snug_core::name::ContainerName;
use snug_packages::command::CommandLine;

use crate::context::Context;
use crate::error::CommandError;
use crate::packages::guest;

/// Finds commands (`snug_agent::find`).
const FIND: [&str; 2] = ["/.snug/bin/snug-agent", "find"];

/// Where each of these commands is, which are names or absolute paths: for the container's owner, with the PATH of a login there. The
/// container is started when it does not run.
///
/// # Errors
/// It cannot be asked.
pub fn find(
    context: &Context,
    container: &ContainerName,
    words: &[&str],
) -> Result<Vec<Option<String>>, CommandError> {
    let argv = FIND.iter().copied().chain(words.iter().copied()).map(Into::into).collect();
    let output = guest::ask(context, container, &CommandLine { argv, environment: &[], as_root: false })?;
    let failed = || CommandError::failed(format!("{container} cannot be asked where its commands are"));
    let restart = || format!("`snug restart {container}` gives it the agent of this version");
    match output.status {
        0 => {}
        // An agent of an earlier version does not know the word.
        1 => return Err(failed().hint(restart())),
        _ => return Err(failed().caused_by(last_words(&output.stderr))),
    }
    let answer = output.stdout;
    understood(&answer, words).ok_or_else(|| failed().hint(restart()))
}

/// What a guest's program said at last. Whoever prints an error makes it harmless for the terminal.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    snug_core::text::shown(last.unwrap_or("it does not say why"))
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
    fn what_a_guest_says_writes_nowhere_else() {
        assert_eq!(last_words(b"one\n\x1b[2Jtwo\n\n"), "\\e[2Jtwo");
        assert_eq!(last_words(b""), "it does not say why");
    }

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
