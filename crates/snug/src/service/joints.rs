//! The processes that join connections to sockets of containers: how many there are, and how long they outlive their clients.
//!
//! A server in a container that is not trusted may never end a connection. Without a bound each caller of it would leave a
//! process on the host.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use snug_core::name::ContainerName;
use snug_wire::socket::GONE;

/// As many for one container at a time.
const MOST: usize = 256;
/// How long one goes on whose client has gone: what that said last may still be on its way.
const GRACE: Duration = Duration::from_secs(60);
/// And how long after it was told to end, until it is killed.
const FURTHER: Duration = Duration::from_secs(10);

/// One of them.
struct Joint {
    container: ContainerName,
    /// The connection that is joined, until its client has gone.
    client: Option<OwnedFd>,
    process: OwnedFd,
    /// When it is told to end, and how.
    end: Option<(Instant, End)>,
}

/// How one is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    HangUp,
    Kill,
}

/// Those of one user.
#[derive(Default)]
pub struct Joints(Vec<Joint>);

impl Joints {
    /// Whether the container may have one more.
    pub fn has_room(&self, container: &ContainerName) -> bool {
        self.0.iter().filter(|joint| joint.container == *container).count() < MOST
    }

    /// `process` (a pidfd) joins `client`, of which this is a copy.
    pub fn add(&mut self, container: ContainerName, client: OwnedFd, process: OwnedFd) {
        self.0.push(Joint { container, client: Some(client), process, end: None });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to wait for.
    pub fn wait_for<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        for joint in &self.0 {
            polled.push(PollFd::new(&joint.process, PollFlags::IN));
            polled.extend(joint.client.as_ref().map(|client| PollFd::new(client, PollFlags::empty())));
        }
    }

    /// The next time at which one is told to end.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|joint| joint.end.map(|(end, _)| end)).min()
    }

    /// Forgets those that have ended, and tells those to end whose clients have gone for long.
    pub fn advance(&mut self, now: Instant) {
        self.0.retain_mut(|joint| {
            // The client sees its end with the last copy.
            if is(&joint.process, PollFlags::IN) {
                return false;
            }
            if joint.client.as_ref().is_some_and(|client| is(client, GONE)) {
                joint.client = None;
                joint.end = Some((now + GRACE, End::HangUp));
            }
            if let Some((_, how)) = joint.end.take_if(|(end, _)| *end <= now) {
                joint.end = (how == End::HangUp).then_some((now + FURTHER, End::Kill));
                // One that is stopped hears nothing else before it goes on.
                let signals: &[Signal] = match how {
                    End::HangUp => &[Signal::HUP, Signal::CONT],
                    End::Kill => &[Signal::KILL],
                };
                for signal in signals {
                    // It may be ending by itself.
                    let _ = pidfd_send_signal(&joint.process, *signal);
                }
            }
            true
        });
    }
}

/// Whether one of the events is there, without waiting. HUP and ERR come unasked.
fn is(fd: &OwnedFd, events: PollFlags) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd.as_fd(), events.difference(GONE))];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().intersects(events)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, PidfdFlags, WaitOptions, kill_process, pidfd_open, waitpid};

    use super::*;

    fn name(text: &str) -> ContainerName {
        text.parse().unwrap()
    }

    /// A process that ends when its standard input does, or is told to, and what is known of it.
    fn joint(joints: &mut Joints, container: &str) -> (Child, UnixStream) {
        let (far, near) = UnixStream::pair().unwrap();
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        joints.add(name(container), near.into(), process);
        (child, far)
    }

    /// The client of the last one goes. A process that another test starts just now has a copy of it until it is executed.
    fn go(joints: &Joints, far: UnixStream) {
        drop(far);
        let client = joints.0.last().and_then(|joint| joint.client.as_ref()).unwrap();
        poll(&mut [PollFd::new(client, PollFlags::empty())], None).unwrap();
    }

    #[test]
    fn one_whose_client_has_gone_is_told_to_end_after_a_while() {
        let mut joints = Joints::default();
        let (mut child, far) = joint(&mut joints, "dev");
        let begin = Instant::now();
        joints.advance(begin);
        assert_eq!(joints.deadline(), None);
        go(&joints, far);
        joints.advance(begin);
        assert_eq!(joints.deadline(), Some(begin + GRACE));
        joints.advance(begin + GRACE / 2);
        assert!(child.try_wait().unwrap().is_none());
        joints.advance(begin + GRACE);
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::HUP.as_raw()));
        joints.advance(begin + GRACE);
        assert!(joints.is_empty());
    }

    #[test]
    fn one_that_is_stopped_ends_too_and_one_that_hears_nothing_is_killed() {
        let mut joints = Joints::default();
        let begin = Instant::now();
        let (mut child, far) = joint(&mut joints, "dev");
        let process = Pid::from_child(&child);
        kill_process(process, Signal::STOP).unwrap();
        waitpid(Some(process), WaitOptions::UNTRACED).unwrap();
        go(&joints, far);
        joints.advance(begin);
        joints.advance(begin + GRACE);
        assert_eq!(joints.deadline(), Some(begin + GRACE + FURTHER));
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::HUP.as_raw()));
        joints.advance(begin + GRACE);
        assert!(joints.is_empty());

        let (far, near) = UnixStream::pair().unwrap();
        let line = "trap '' HUP; echo; read nothing";
        let mut deaf = Command::new("sh")
            .args(["-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        deaf.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let process = pidfd_open(Pid::from_child(&deaf), PidfdFlags::empty()).unwrap();
        joints.add(name("dev"), near.into(), process);
        go(&joints, far);
        joints.advance(begin);
        joints.advance(begin + GRACE);
        assert!(deaf.try_wait().unwrap().is_none());
        joints.advance(begin + GRACE + FURTHER);
        assert_eq!(deaf.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn a_client_sees_the_end_of_the_process_that_joined_it() {
        let mut joints = Joints::default();
        let (mut child, far) = joint(&mut joints, "dev");
        drop(child.stdin.take());
        child.wait().unwrap();
        joints.advance(Instant::now());
        assert!(joints.is_empty());
        assert_eq!((&far).read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn each_container_has_a_bound_of_its_own() {
        let mut joints = Joints::default();
        let (mut child, _far) = joint(&mut joints, "dev");
        let process = joints.0[0].process.try_clone().unwrap();
        for _ in 1..MOST {
            assert!(joints.has_room(&name("dev")));
            let (_, near) = UnixStream::pair().unwrap();
            joints.add(name("dev"), near.into(), process.try_clone().unwrap());
        }
        assert!(!joints.has_room(&name("dev")) && joints.has_room(&name("other")));
        drop(child.stdin.take());
        child.wait().unwrap();
        joints.advance(Instant::now());
        assert!(joints.has_room(&name("dev")));
    }
}
