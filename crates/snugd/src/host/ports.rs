//! What the forwarder of a container's ports tells, and which processes those are. Blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use snug_wire::ports::{LONGEST, Report};

/// The forwarder answers at once; it is its owner's process, who may have stopped it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is forwarded now; `None` where nobody forwards. It takes [`PATIENCE`] at most, and a little.
///
/// # Errors
/// What the forwarder answers is no report, or it does not answer.
pub fn report(socket: &Path) -> io::Result<Option<Report>> {
    let mut stream = match connect(socket) {
        Ok(stream) => stream,
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let end = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || text.len() > LONGEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => return Ok(Some(serde_json::from_slice(&text)?)),
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Without waiting: one that accepts nothing has a full queue some day (EAGAIN, connect(2)).
fn connect(socket: &Path) -> rustix::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let descriptor = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&descriptor, &SocketAddrUnix::new(socket)?)?;
    rustix::io::ioctl_fionbio(&descriptor, false)?;
    Ok(descriptor.into())
}

/// A guest may have hundreds of processes with thousands of descriptors each, and root reads them all: no longer than that, and no more.
const LOOKING: Duration = Duration::from_secs(1);
const MOST_DESCRIPTORS: usize = 250_000;
/// So many processes are named of those that share a socket: the first are told, and all are kept until the answer.
const MOST_HOLDERS: usize = 8;

/// A process of a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its number in its guest.
    pub pid: u32,
    /// Its name, as it calls itself.
    pub name: String,
}

/// Who has sockets open.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// By inode: a process at least of those that have it, where one was found.
    pub found: BTreeMap<u32, BTreeSet<Holder>>,
    /// There was too much to look at.
    pub is_cut_short: bool,
}

/// Who has the sockets with these inodes open, among the processes that share the network namespace of process `init`. It ends as soon as
/// there is one for each, or at `end`. What cannot be looked at, or ends meanwhile, is left out.
#[must_use]
pub fn holders(init: u32, inodes: &BTreeSet<u32>, end: Instant) -> Holders {
    look_for(init, inodes, end.min(Instant::now() + LOOKING), MOST_DESCRIPTORS)
}

fn look_for(init: u32, inodes: &BTreeSet<u32>, end: Instant, most: usize) -> Holders {
    let mut holders = Holders::default();
    let mut left = most;
    let network = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let Some(wanted) = network(init).filter(|_| !inodes.is_empty()) else { return holders };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in numbers.filter(|pid| network(*pid).as_ref() == Some(&wanted)) {
        let mut held = BTreeSet::new();
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            if left == 0 || Instant::now() >= end {
                holders.is_cut_short = true;
                break;
            }
            left -= 1;
            let inode = fs::read_link(fd.path()).ok().and_then(|link| socket(&link));
            held.extend(inode.filter(|inode| inodes.contains(inode)));
        }
        if !held.is_empty() {
            // One of the host that has gone into the guest's network alone is none of its processes.
            // A name may be any bytes.
            let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
            if let Some(holder) = holder(&String::from_utf8_lossy(&status)) {
                for inode in held {
                    let named = holders.found.entry(inode).or_default();
                    if named.len() < MOST_HOLDERS {
                        named.insert(holder.clone());
                    }
                }
            }
        }
        if holders.found.len() == inodes.len() {
            holders.is_cut_short = false;
            break;
        }
        // Also where its processes have nothing open.
        holders.is_cut_short |= Instant::now() >= end;
        if holders.is_cut_short {
            break;
        }
    }
    holders
}

/// `socket:[INODE]`
fn socket(link: &Path) -> Option<u32> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// By `/proc/PID/status`: the name, and the number in the first namespace below the host's.
fn holder(status: &str) -> Option<Holder> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    let pid = field("NSpid")?.split_whitespace().nth(1)?.parse().ok()?;
    Some(Holder { pid, name: field("Name")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_process_is_named_as_its_guest_knows_it() {
        let status = "Name:\tnode\nPid:\t4711\nNSpid:\t4711\t12\t3\n";
        assert_eq!(holder(status), Some(Holder { pid: 12, name: "node".into() }));
        assert_eq!(holder("Name:\tsshd\nNSpid:\t4711\n"), None, "one of the host's");
        assert_eq!(socket(Path::new("socket:[17]")), Some(17));
        assert_eq!(socket(Path::new("pipe:[17]")), None);
    }

    #[test]
    fn a_look_ends_when_there_is_nothing_to_find_and_when_it_has_found_or_seen_enough() {
        let own = std::process::id();
        let socket = UnixListener::bind(tempfile::tempdir().unwrap().path().join("socket")).unwrap();
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino as u32;
        let later = || Instant::now() + Duration::from_secs(60);
        let look = |inodes: &[u32], end, most| look_for(own, &inodes.iter().copied().collect(), end, most);
        assert_eq!(look(&[], later(), 0), Holders::default());
        assert!(look(&[inode], later(), 0).is_cut_short);
        assert!(look(&[inode], Instant::now(), 1000).is_cut_short);
        assert!(!look(&[inode], later(), usize::MAX).is_cut_short);
    }

    #[test]
    fn whoever_answers_something_else_or_nothing_is_an_error_and_nobody_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ports.sock");
        assert_eq!(report(&path).unwrap(), None);
        let listener = UnixListener::bind(&path).unwrap();
        let answers = std::thread::spawn(move || {
            for text in ["{\"version\":1}", "[]"] {
                listener.accept().unwrap().0.write_all(text.as_bytes()).unwrap();
            }
            // The last one is kept open, and silent.
            listener.accept().unwrap().0
        });
        assert_eq!(report(&path).unwrap().unwrap().doors, []);
        assert!(report(&path).is_err());
        // Before its thread's end, which closes it.
        let silent = std::thread::spawn(move || report(&path));
        let kept = answers.join().unwrap();
        assert!(silent.join().unwrap().is_err());
        drop(kept);
    }
}
