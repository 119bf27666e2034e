//! UDP has no connections: what comes from one peer for one port is a conversation, until nothing was said for a while.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use super::datagram::with_buffer;

/// Silence after which one is over: of a question and its answer, and of what went on after it. Netfilter takes as long
/// (`nf_conntrack_udp_timeout`, `nf_conntrack_udp_timeout_stream`).
const SILENCE: Duration = Duration::from_secs(30);
const SILENCE_OF_A_STREAM: Duration = Duration::from_secs(120);
/// Conversations of one socket; a new one ends the oldest then.
const MOST: usize = 1024;

/// Those of one socket, by `Peer`.
#[derive(Debug)]
pub struct Conversations<Peer> {
    running: HashMap<Peer, (Weak<One>, AbortHandle)>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct One {
    other: UdpSocket,
    /// When something was said last.
    spoken: Cell<Instant>,
    /// The peer has spoken after an answer.
    goes_on: Cell<bool>,
    answered: Cell<bool>,
}

impl One {
    fn end(&self) -> Instant {
        self.spoken.get() + if self.goes_on.get() { SILENCE_OF_A_STREAM } else { SILENCE }
    }
}

impl<Peer: Hash + Eq + Clone> Default for Conversations<Peer> {
    fn default() -> Self {
        Self { running: HashMap::new(), tasks: JoinSet::new() }
    }
}

impl<Peer: Hash + Eq + Clone> Conversations<Peer> {
    /// Passes on what `peer` said. The first word opens a socket; what comes back there is given to `answer`.
    pub fn say(
        &mut self,
        peer: &Peer,
        data: &[u8],
        open: impl FnOnce() -> io::Result<UdpSocket>,
        answer: impl Fn(&[u8]) + 'static,
    ) {
        while self.tasks.try_join_next().is_some() {}
        let known = self.running.get(peer).and_then(|(one, _)| one.upgrade());
        let one = match known {
            Some(one) => one,
            None => {
                self.make_room();
                // As any way may lose it.
                let Ok(other) = open() else { return };
                let one = Rc::new(One {
                    other,
                    spoken: Cell::new(Instant::now()),
                    goes_on: Cell::new(false),
                    answered: Cell::new(false),
                });
                let task = self.tasks.spawn_local(listen(Rc::clone(&one), answer));
                self.running.insert(peer.clone(), (Rc::downgrade(&one), task));
                one
            }
        };
        one.spoken.set(Instant::now());
        one.goes_on.set(one.answered.get());
        // Not by the executor, which does not know yet that a new socket may be written. One that cannot be sent is lost.
        let _ = SockRef::from(&one.other).send(data);
    }

    fn make_room(&mut self) {
        self.running.retain(|_, (one, _)| one.strong_count() > 0);
        if self.running.len() < MOST {
            return;
        }
        let spoken = |(one, _): &(Weak<One>, AbortHandle)| one.upgrade().map(|one| one.spoken.get());
        let oldest = self.running.iter().min_by_key(|(_, entry)| spoken(entry)).map(|(peer, _)| peer.clone());
        if let Some((_, task)) = oldest.and_then(|peer| self.running.remove(&peer)) {
            task.abort();
        }
    }
}

async fn listen(one: Rc<One>, answer: impl Fn(&[u8])) {
    while let Some(left) = one.end().checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        match tokio::time::timeout(left, one.other.readable()).await {
            Ok(Ok(())) => {
                let passed_on = with_buffer(|buffer| {
                    let length = one.other.try_recv(buffer)?;
                    answer(&buffer[..length]);
                    Ok::<_, io::Error>(())
                });
                match passed_on {
                    Ok(()) => {
                        one.answered.set(true);
                        one.spoken.set(Instant::now());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // Nobody is there (any more); the next word tries again.
                    Err(_) => return,
                }
            }
            Ok(Err(_)) => return,
            // The peer may have spoken meanwhile.
            Err(_) => {}
        }
    }
}
