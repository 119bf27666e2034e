//! A change that is under way: its progress, its log, Ctrl-C.

use std::os::unix::process::CommandExt;
use std::process::Child;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use snug_client::signals::{self, Signals};
use snug_packages::command::{Action, Output};
use snug_packages::stage::{Event, Stage, Step};

use super::guest::status;
use super::line::Line;
use super::log::Log;
use super::streams::{self, Piece};
use crate::error::{CommandError, Kind};
use crate::progress;

/// Bytes of standard error that are kept, the last ones: what failed is said at the end.
const COMPLAINT: usize = 16 << 10;

/// Runs a change to its end. Its process has a job of its own, so that what reaches this one, by a key that is typed (Ctrl-C, Ctrl-Z) or from
/// another process, is passed on to it once. A package manager ends where that does no harm, so it is waited for.
///
/// # Errors
/// It cannot be started; it was ended by a signal of the user's.
pub fn follow(
    line: &mut Line,
    action: &Action,
    progress: &mut progress::Line,
    log: &mut Log<'_>,
) -> Result<Output, CommandError> {
    let unstarted = |error| CommandError::failed("the package manager cannot be started").caused_by(error);
    // Blocked here, not in the child: the standard library gives that an empty mask.
    let signals = Signals::block().map_err(unstarted)?;
    line.command().process_group(0);
    let mut child = line.spawn()?;
    let mut stages = [action.stages(), action.stages()];
    let mut complaint = Vec::new();
    let mut given_up = None;
    let ended = streams::follow(&mut child, |piece| {
        let mut take = |event: Event| match event {
            Event::Stage(stage) => progress.update(&shown(&stage), stage.percent.map(f64::from)),
            Event::Line(text) => log.line(&text),
        };
        match piece {
            Piece::Out(bytes) => stages[0].feed(bytes, &mut take),
            Piece::Err(bytes) => {
                stages[1].feed(bytes, &mut take);
                complaint.extend_from_slice(bytes);
                complaint.drain(..complaint.len().saturating_sub(COMPLAINT));
            }
            Piece::Nothing(child) => {
                given_up = given_up.or(heard(&signals, child));
                progress.tick();
            }
        }
    });
    let status = status(ended.map_err(unstarted)?);
    stages.iter_mut().for_each(|stages| {
        stages.finish(|event| {
            if let Event::Line(text) = event {
                log.line(&text);
            }
        });
    });
    // Also where it was done by then: what was to follow is not begun.
    match given_up.or(heard(&signals, &child)) {
        Some(signal) => Err(CommandError::new(Kind::Cancelled(signal), "interrupted")),
        None => Ok(Output { status, stdout: Vec::new(), stderr: complaint }),
    }
}

/// Passes signals on; the one by which the user has given up.
fn heard(signals: &Signals, child: &Child) -> Option<i32> {
    let mut given_up = None;
    while let Some(signal) = signals.next() {
        match signal {
            SIGINT | SIGQUIT | SIGTERM | SIGHUP => {
                given_up = Some(signal);
                tell(child, signal);
            }
            SIGTSTP => {
                tell(child, SIGTSTP);
                signals::stop();
                tell(child, SIGCONT);
            }
            _ => {}
        }
    }
    given_up
}

/// Sends a process that has not been waited for a signal: its number is not another's before. One that has ended needs none.
pub fn tell(child: &Child, signal: i32) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: a plain system call.
        unsafe { libc::kill(pid, signal) };
    }
}

/// What a person is told.
fn shown(stage: &Stage) -> String {
    let verb = match stage.step {
        Step::Refresh => "reading what there is",
        Step::Download => "fetching",
        Step::Unpack => "unpacking",
        Step::Configure => "setting up",
        Step::Remove => "removing",
    };
    let package = stage.package.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let number = stage.number.map(|(done, of)| format!(" ({done}/{of})")).unwrap_or_default();
    format!("{verb}{package}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_said_in_words() {
        let stage = |step, package: Option<&str>, number| Stage {
            step,
            package: package.and_then(|name| snug_packages::name::PackageName::read(name.as_bytes())),
            number,
            percent: None,
        };
        assert_eq!(shown(&stage(Step::Unpack, Some("ripgrep"), Some((1, 3)))), "unpacking ripgrep (1/3)");
        assert_eq!(shown(&stage(Step::Refresh, None, None)), "reading what there is");
    }
}
