//! Forwards ports between the host and a guest, with the owner's rights.

pub mod conversation;
pub mod datagram;
pub mod doors;
pub mod inside;
pub mod resolver;
pub mod stream;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use snug_wire::ports::{Report, VERSION};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::task::LocalSet;

use crate::bpf::steer::{Sockets, Steering};
use crate::bpf::watch::Watch;
use crate::daemon::say;
use crate::namespace::Namespace;
use crate::owner::Owner;
use crate::plan::{Plan, plan};
use crate::sockets::{Diagnosis, Listener, Protocol};
use doors::Doors;
use inside::Inside;

/// The resolver's address in a guest: of the link (RFC 3927), and none that a program picks for itself.
pub const RESOLVER: Ipv4Addr = snug_wire::network::RESOLVER;

/// What opens one port opens others.
const SETTLED: Duration = Duration::from_millis(20);
/// Between two looks, at least and at most: whoever opens and closes ports all the time is seen now and then.
const APART: Duration = Duration::from_millis(100);
const FARTHEST_APART: Duration = Duration::from_secs(60);
/// And so many times as long as the last one took: another user may have so many sockets that a look takes long, and changes them all the time.
const REST: u32 = 10;

/// Between two looks where the kernel does not tell.
const UNTOLD: Duration = Duration::from_secs(2);
/// How long whoever asked may take to read the answer.
const READING: Duration = Duration::from_secs(5);

/// What the forwarder is told.
#[derive(Debug)]
pub struct Settings {
    /// The guest's network namespace.
    pub guest: OwnedFd,
    /// Whose ports the host's become.
    pub owner: Owner,
    /// Where it says what there is, once to each who connects.
    pub socket: PathBuf,
}

/// What root has prepared. A kernel that takes no program (one that is locked down, or in the container that the host is itself)
/// leaves out what needs one.
struct Prepared {
    host: Diagnosis,
    guest: Diagnosis,
    namespace: Namespace,
    inside: inside::Sockets,
    watch: io::Result<(Watch, OwnedFd)>,
    steering: io::Result<Steering>,
    report: UnixListener,
}

/// Forwards until it is killed. Begins as root, and becomes the owner.
///
/// # Errors
/// What the kernel says before anything is forwarded.
pub fn run(settings: Settings) -> io::Result<()> {
    let Settings { guest, owner, socket } = settings;
    let prepared = prepare(guest, &socket)?;
    owner.become_him()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(prepared))
}

fn prepare(guest: OwnedFd, socket: &Path) -> io::Result<Prepared> {
    let host = Diagnosis::here()?;
    let (namespace, (guest, inside, steering, cookie)) = Namespace::enter(guest, |namespace| {
        let steered = inside::Sockets::steered()?;
        let cookie = steered.namespace_cookie();
        let steering = Steering::begin(namespace, Sockets(steered.by_way()), RESOLVER);
        let inside = if steering.is_ok() { steered } else { inside::Sockets::resolver()? };
        Ok((Diagnosis::here()?, inside, steering, cookie))
    })?;
    let watch = Watch::begin(cookie.ok().zip(steering.as_ref().ok()));
    if let Ok((watch, _)) = &watch {
        // Those that are bound by now; what is bound meanwhile is remembered by itself.
        let all = [host.listeners()?, guest.listeners()?].concat();
        for listener in all.iter().filter(|listener| listener.protocol == Protocol::Udp) {
            watch.remember(listener.cookie)?;
        }
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let report = UnixListener::bind(socket)?;
    report.set_nonblocking(true)?;
    Ok(Prepared { host, guest, namespace, inside, watch, steering, report })
}

async fn serve(prepared: Prepared) -> io::Result<()> {
    let Prepared { host, guest, namespace, inside, watch, steering, report } = prepared;
    let (_inside, ours) = Inside::serve(inside)?;
    let report = tokio::net::UnixListener::from_std(report)?;
    let missing = [
        steering.as_ref().err().map(|error| format!("has none of the host's ports ({error})")),
        watch.as_ref().err().map(|error| format!("is looked at every two seconds ({error})")),
    ];
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    let incomplete = (!missing.is_empty()).then(|| missing.join(" and "));
    if let Some(text) = &incomplete {
        say(format_args!("the container {text}"));
    }
    let forwarded = RefCell::new(Forwarded {
        host,
        guest,
        ours,
        doors: Doors::new(namespace),
        steering: steering.ok(),
        steered: BTreeMap::new(),
    });
    tokio::select! {
        ended = look_and_look_again(&forwarded, watch.ok()) => ended,
        () = report_to_all(&forwarded, &report, incomplete.as_ref()) => Ok(()),
    }
}

/// Has what is forwarded follow what listens.
async fn look_and_look_again(
    forwarded: &RefCell<Forwarded>,
    watch: Option<(Watch, OwnedFd)>,
) -> io::Result<()> {
    // Answers how long to wait with the next one.
    let look = || {
        let begun = Instant::now();
        if let Err(error) = forwarded.borrow_mut().look() {
            say(format_args!("cannot see who listens: {error}"));
        }
        rest(begun.elapsed())
    };
    let Some((watch, told)) = watch else {
        loop {
            let rest = look();
            tokio::time::sleep(rest.max(UNTOLD)).await;
        }
    };
    let told = register(told)?;
    loop {
        // Taken before the look, with some time between: what comes meanwhile is told again, and what was told of happens a little later
        // (the state changes before the socket is found).
        watch.take();
        tokio::time::sleep(SETTLED).await;
        tokio::time::sleep(look()).await;
        told.readable().await?.clear_ready();
    }
}

/// How long nobody looks after a look that took so long.
fn rest(look: Duration) -> Duration {
    (look * REST).clamp(APART, FARTHEST_APART)
}

async fn report_to_all(
    forwarded: &RefCell<Forwarded>,
    listener: &tokio::net::UnixListener,
    incomplete: Option<&String>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(APART).await;
            continue;
        };
        let report = {
            let forwarded = forwarded.borrow();
            Report {
                version: VERSION,
                incomplete: incomplete.cloned(),
                doors: forwarded.doors.report(),
                steered: forwarded.steered.keys().copied().collect(),
            }
        };
        tokio::task::spawn_local(answer(stream, report));
    }
}

/// Gives a report to whoever has asked.
async fn answer(mut stream: tokio::net::UnixStream, report: Report) {
    // Whoever does not read it gets none.
    if let Ok(text) = serde_json::to_vec(&report) {
        let _ = tokio::time::timeout(READING, stream.write_all(&text)).await;
    }
}

/// What is forwarded now, and whom to ask what should be.
struct Forwarded {
    host: Diagnosis,
    guest: Diagnosis,
    /// The inodes of our sockets in the guest.
    ours: HashSet<u32>,
    doors: Doors,
    steering: Option<Steering>,
    steered: BTreeMap<u16, u8>,
}

impl Forwarded {
    fn look(&mut self) -> io::Result<()> {
        let on_host = without(self.host.listeners()?, &self.doors.inodes());
        let in_guest = without(self.guest.listeners()?, &self.ours);
        self.become_like(plan(&on_host, &in_guest, ephemeral()));
        Ok(())
    }

    fn become_like(&mut self, plan: Plan) {
        self.doors.become_like(plan.doors);
        let Some(steering) = &self.steering else { return };
        for port in self.steered.keys().filter(|port| !plan.steered.contains_key(port)) {
            steering.set(*port, 0);
        }
        // Also those that have not changed: the kernel takes a flag away when the guest binds the port.
        for (port, flags) in &plan.steered {
            steering.set(*port, *flags);
        }
        self.steered = plan.steered;
    }
}

fn without(all: Vec<Listener>, ours: &HashSet<u32>) -> Vec<Listener> {
    all.into_iter().filter(|listener| !ours.contains(&listener.inode)).collect()
}

/// The ports that programs get who ask for none; the kernel's usual ones where it does not say.
fn ephemeral() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(first)), Some(Ok(last))) => (first, last),
        _ => (32768, 60999),
    }
}

/// Registers a descriptor with the executor.
fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same open descriptor until it is dropped, which the `AsyncFd` owns it for.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// The number of a socket's inode.
fn inode(socket: &impl AsFd) -> io::Result<u32> {
    // sock_diag knows 32 bits of it.
    Ok(rustix::fs::fstat(socket)?.st_ino as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_take_a_bounded_share_of_the_time() {
        assert_eq!(rest(Duration::from_micros(300)), APART);
        assert_eq!(rest(Duration::from_millis(60)), Duration::from_millis(600));
        assert_eq!(rest(Duration::from_secs(6)), FARTHEST_APART);
        assert_eq!(rest(Duration::from_secs(60)), FARTHEST_APART);
    }
}
