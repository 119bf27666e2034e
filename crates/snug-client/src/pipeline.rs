//! The other programs of the caller's job that use its terminal.

use std::fs;

use rustix::fs::stat;
use rustix::process::{Pid, getpgrp, getpid};

/// Whether another process of our job has the terminal of this device number as its standard input, so that a line that is typed may be for it.
/// Those that wait for us (the shell that runs a script) do not count; those that cannot be looked at neither.
#[must_use]
pub fn others_read(terminal: u64) -> bool {
    let ancestors = ancestors();
    let job = getpgrp();
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let mut pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.any(|pid: i32| {
        !ancestors.contains(&pid)
            && status_of(pid).is_some_and(|status| status.group == job.as_raw_nonzero().get())
            && stat(format!("/proc/{pid}/fd/0")).is_ok_and(|input| input.st_rdev == terminal)
    })
}

struct Status {
    parent: i32,
    group: i32,
}

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)). The name before them may contain anything.
fn status_of(pid: i32) -> Option<Status> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(&text)
}

fn parse(stat: &[u8]) -> Option<Status> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace().skip(1);
    Some(Status { parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

/// This process, its parent, and so on.
fn ancestors() -> Vec<i32> {
    let mut line = vec![getpid().as_raw_nonzero().get()];
    while let Some(status) = line.last().and_then(|pid| status_of(*pid))
        && Pid::from_raw(status.parent).is_some()
        && !line.contains(&status.parent)
    {
        line.push(status.parent);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_look_like_its_fields() {
        let status = parse(b"42 (a) S 1 2 3) T 7 8 9 10").unwrap();
        assert_eq!((status.parent, status.group), (7, 8));
        assert!(parse(b"42 (a").is_none());
    }

    #[test]
    fn every_process_descends_from_the_first_one() {
        let line = ancestors();
        assert_eq!(line[0], getpid().as_raw_nonzero().get());
        assert!(line.len() > 1, "{line:?}");
    }
}
