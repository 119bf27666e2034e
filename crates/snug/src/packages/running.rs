//! A change that is under way: its progress, its log, Ctrl-C.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use rustix::process::{Pid, Signal, kill_process};
use snug_client::signals::{self, Signals};
use snug_packages::command::{Action, Output};
use snug_packages::stage::{Event, Stage, Step};

use super::guest::status;
use super::log::Log;
use crate::error::{CommandError, Kind};
use crate::progress::{Line, TICK};

/// Bytes of standard error that are kept, the last ones: what failed is said at the end.
const COMPLAINT: usize = 16 << 10;

/// Runs a change to its end. A key that is typed (Ctrl-C, Ctrl-Z) reaches its process from the terminal; what comes to this one alone is
/// passed on. A package manager ends where that does no harm, so it is waited for.
///
/// # Errors
/// It cannot be started; it was ended by a signal of the user's.
pub fn follow(
    command: &mut Command,
    action: &Action,
    line: &mut Line,
    log: &mut Log<'_>,
) -> Result<Output, CommandError> {
    let unstarted = |error| CommandError::failed("the package manager cannot be started").caused_by(error);
    // Blocked here, not in the child: the standard library gives that an empty mask.
    let signals = Signals::block().map_err(unstarted)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(unstarted)?;
    let (tell, told) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        pump(stdout, 0, tell.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        pump(stderr, 1, tell);
    }
    let mut stages = [action.stages(), action.stages()];
    let mut complaint = Vec::new();
    let mut given_up = None;
    loop {
        given_up = given_up.or(heard(&signals, &child));
        let mut take = |event: Event| match event {
            Event::Stage(stage) => line.update(&shown(&stage), stage.percent.map(f64::from)),
            Event::Line(text) => log.line(&text),
        };
        match told.recv_timeout(TICK) {
            Ok((stream, bytes)) => {
                stages[stream].feed(&bytes, &mut take);
                if stream == 1 {
                    complaint.extend(bytes);
                    complaint.drain(..complaint.len().saturating_sub(COMPLAINT));
                }
            }
            Err(RecvTimeoutError::Timeout) => line.tick(),
            Err(RecvTimeoutError::Disconnected) => {
                stages.iter_mut().for_each(|stages| stages.finish(&mut take));
                break;
            }
        }
    }
    let status = status(child.wait().map_err(unstarted)?);
    match given_up.or(heard(&signals, &child)) {
        Some(signal) if status != 0 => Err(CommandError::new(Kind::Cancelled(signal), "interrupted")),
        _ => Ok(Output { status, stdout: Vec::new(), stderr: complaint }),
    }
}

fn pump(mut stream: impl Read + Send + 'static, number: usize, tell: Sender<(usize, Vec<u8>)>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if tell.send((number, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
}

/// Passes signals on; the one by which the user has given up.
fn heard(signals: &Signals, child: &Child) -> Option<i32> {
    let mut given_up = None;
    while let Some(signal) = signals.next() {
        match signal {
            // The terminal has told it too.
            SIGINT | SIGQUIT => given_up = Some(signal),
            SIGTERM | SIGHUP => {
                given_up = Some(signal);
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    // One that has ended needs no signal; its number is not another's before it is waited for.
                    let _ = kill_process(pid, if signal == SIGTERM { Signal::TERM } else { Signal::HUP });
                }
            }
            SIGTSTP => signals::stop(),
            _ => {}
        }
    }
    given_up
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
