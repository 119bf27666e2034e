//! Which of the processes that wait for this one a terminal belongs to.

use std::fs;

use rustix::process::getppid;

/// As many parents are looked at.
const MOST: usize = 64;

/// What `/proc/PID/stat` says of a process' job (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Job {
    parent: i32,
    group: i32,
    /// Number of its controlling terminal, as the kernel encodes it here; 0 without one.
    terminal: u32,
    /// The group in front on that terminal.
    in_front: i32,
}

/// Whether the nearest parent whose controlling terminal has this device number is in front there. A parent that cannot be
/// seen (`hidepid=` of proc(5)) ends the search.
#[must_use]
pub fn is_in_front(terminal: u64) -> bool {
    let (major, minor) = (rustix::fs::major(terminal), rustix::fs::minor(terminal));
    // `new_encode_dev` of the kernel's kdev_t.h.
    let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    let job = |pid: i32| parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    let nearest = getppid().and_then(|pid| job(pid.as_raw_nonzero().get()));
    std::iter::successors(nearest, |child| job(child.parent))
        .take(MOST)
        .find(|parent| parent.terminal == number)
        .is_some_and(|parent| parent.group == parent.in_front)
}

fn parse(stat: &str) -> Option<Job> {
    // The name before it may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let (parent, group, _session) = (fields.next()?, fields.next()?, fields.next()?);
    let (terminal, in_front) = (fields.next()?, fields.next()?);
    Some(Job {
        parent: parent.parse().ok()?,
        group: group.parse().ok()?,
        // Printed as a signed number.
        terminal: terminal.parse::<i32>().ok()?.cast_unsigned(),
        in_front: in_front.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_whatever_the_program_calls_itself() {
        let stat = "812 (a) S 1 (b) S 700 812 700 34817 900 4194304 1 2";
        let expected = Job { parent: 700, group: 812, terminal: 34817, in_front: 900 };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("812 (cut) S 1"), None);
    }

    #[test]
    fn a_terminal_that_no_parent_has_is_in_front_of_none() {
        assert!(!is_in_front(rustix::fs::makedev(4095, 77)));
    }
}
