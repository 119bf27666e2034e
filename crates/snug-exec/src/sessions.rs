//! The sessions alive, and the ends of streams that they left for their client's further connections.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::cgroup::Tree;
use crate::control::{self, Order, Request, Token};

/// More offers than that nobody needs: whoever is dialled offers another connection at once.
const MOST_OFFERS: usize = 8;

struct Entry {
    channel: OwnedFd,
    kept: Vec<(Token, u8, OwnedFd)>,
    ended: bool,
    /// It has told that its client asks for something.
    accepted: bool,
    group: u32,
    /// Waits for all others to be gone.
    waits: bool,
    /// Waits for an offered connection.
    dials: bool,
}

/// All sessions of a server.
#[derive(Default)]
pub struct Sessions {
    entries: Vec<Entry>,
    offers: VecDeque<OwnedFd>,
}

impl Sessions {
    /// How many of a group there are.
    #[must_use]
    pub fn of_group(&self, group: u32) -> usize {
        self.entries.iter().filter(|entry| entry.group == group).count()
    }

    /// The group of one.
    #[must_use]
    pub fn group(&self, index: usize) -> Option<u32> {
        self.entries.get(index).map(|entry| entry.group)
    }

    /// The groups of those that have ended, and have not told that their client asks for something ([`Request::Accepted`]).
    pub fn ended_unaccepted(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().filter(|entry| entry.ended && !entry.accepted).map(|entry| entry.group)
    }

    /// A new one, known by its channel; what its group means is its server's affair.
    pub fn add(&mut self, channel: OwnedFd, group: u32) {
        self.entries.push(Entry {
            channel,
            group,
            kept: Vec::new(),
            ended: false,
            accepted: false,
            waits: false,
            dials: false,
        });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their channels, in the order of the indices below.
    pub fn channels(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.entries.iter().map(|entry| entry.channel.as_fd())
    }

    /// Receives from one; its streams are kept here.
    pub fn hear(&mut self, index: usize) -> Option<Request> {
        let entry = self.entries.get_mut(index)?;
        match control::receive::<Request>(entry.channel.as_fd()) {
            Ok(Some((Request::Keep(token, streams), fds))) => {
                entry.kept.extend(streams.into_iter().zip(fds).map(|(stream, fd)| (token, stream, fd)));
                None
            }
            Ok(Some((Request::Offer, fds))) => {
                self.offers.extend(fds.into_iter().take(MOST_OFFERS - self.offers.len()));
                self.connect_dials();
                None
            }
            Ok(Some((Request::Dial, _))) => {
                entry.dials = true;
                self.connect_dials();
                None
            }
            Ok(Some((request, _))) => {
                entry.accepted |= request == Request::Accepted;
                Some(request)
            }
            Ok(None) | Err(_) => {
                entry.ended = true;
                None
            }
        }
    }

    /// Gives a kept stream to whoever has its token; each goes once.
    pub fn give(&mut self, index: usize, token: Token, stream: u8) {
        let found = self.entries.iter_mut().find_map(|entry| {
            let place = entry.kept.iter().position(|kept| kept.0 == token && kept.1 == stream)?;
            Some(entry.kept.swap_remove(place).2)
        });
        let Some(entry) = self.entries.get(index) else { return };
        let _ = match &found {
            Some(end) => control::send(entry.channel.as_fd(), &Order::Taken, &[end.as_fd()]),
            None => control::send(entry.channel.as_fd(), &Order::Unknown, &[]),
        };
    }

    /// Joins those that dial with those that offer.
    fn connect_dials(&mut self) {
        while let Some(entry) = self.entries.iter_mut().find(|entry| entry.dials && !entry.ended) {
            let Some(offer) = self.offers.pop_front() else { return };
            entry.dials = false;
            let _ = control::send(entry.channel.as_fd(), &Order::Taken, &[offer.as_fd()]);
        }
    }

    /// Whether a connection is offered.
    #[must_use]
    pub fn has_offer(&self) -> bool {
        !self.offers.is_empty()
    }

    /// The offered connections. One that is readable is over: who offers has nothing to say.
    pub fn offers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.offers.iter().map(AsFd::as_fd)
    }

    /// Drops an offered connection, by its place.
    pub fn withdraw(&mut self, index: usize) {
        self.offers.remove(index);
    }

    /// Tells every session something.
    pub fn tell_all(&self, order: &Order) {
        for entry in &self.entries {
            let _ = control::send(entry.channel.as_fd(), order, &[]);
        }
    }

    /// Hangs up every session but the one that asks for it, which is told when all are gone.
    pub fn hang_up_all(&mut self, index: usize, grace: u32) {
        if let Some(asking) = self.entries.get_mut(index) {
            asking.waits = true;
        }
        for entry in self.entries.iter().filter(|entry| !entry.waits) {
            let _ = control::send(entry.channel.as_fd(), &Order::HangUp { grace }, &[]);
        }
    }

    /// Drops those that have ended; with the last one goes what commands left of their groups, but for the group that
    /// the spare session has made in advance.
    /// Tells whether there were any.
    pub fn forget_ended(&mut self, tree: Option<&Tree>, spare: Option<u32>) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.ended);
        if self.entries.is_empty() && before > 0 {
            // The list was as long as the busiest moment needed.
            self.entries.shrink_to(64);
            if let Some(tree) = tree {
                tree.sweep(spare);
            }
        }
        if self.entries.iter().any(|entry| entry.waits) && self.entries.iter().all(|entry| entry.waits) {
            self.tell_all(&Order::AllGone);
        }
        self.entries.len() < before
    }
}
