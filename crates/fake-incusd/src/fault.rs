//! Misbehaviour on demand.

use std::time::Duration;

use crate::gate::Gate;
use crate::route::Route;

/// What goes wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The connection ends without an answer; the request is not carried out.
    Drop,
    /// The request is carried out, then the connection ends without an answer.
    DropAfter,
    /// The answer comes later.
    Delay(Duration),
    /// The answer comes when the gate is opened.
    Hold(Gate),
    /// There is never an answer.
    Hang,
    /// An error envelope with this status; the request is not carried out.
    Status(u16, String),
    /// An answer that is no JSON, with this status; the request is not carried out.
    NoJson(u16, String),
    /// The request is carried out; half of its answer is sent, then the connection ends.
    HalfReply,
    /// HTTP 200 and then an error envelope with this code, as `operations/ID/wait` may do.
    ErrorAfter200(u16, String),
    /// 412, as when someone else has changed the object.
    PreconditionFailed,
    /// A success whose body is this many bytes long.
    HugeReply(usize),
}

/// At which requests of a route, counted from when the fault was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At all.
    Always,
    /// At the n-th, from 1.
    Nth(u32),
    /// At the first n.
    First(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Planned {
    route: Route,
    when: When,
    seen: u32,
    fault: Fault,
}

impl Planned {
    pub(crate) fn new(route: Route, when: When, fault: Fault) -> Self {
        Self { route, when, seen: 0, fault }
    }

    /// Counts a request; the fault if it is due.
    pub(crate) fn due(&mut self, method: &str, path: &str) -> Option<Fault> {
        if !self.route.matches(method, path) {
            return None;
        }
        self.seen += 1;
        let due = match self.when {
            When::Always => true,
            When::Nth(n) => self.seen == n,
            When::First(n) => self.seen <= n,
        };
        due.then(|| self.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Planned, When};
    use crate::route::Route;

    #[test]
    fn faults_count_only_their_own_route() {
        let mut planned = Planned::new(Route::new("GET", "/a"), When::Nth(2), Fault::Drop);
        let due: Vec<_> =
            ["/a", "/b", "/a", "/a"].iter().map(|path| planned.due("GET", path).is_some()).collect();
        assert_eq!(due, [false, false, true, false]);
    }
}
