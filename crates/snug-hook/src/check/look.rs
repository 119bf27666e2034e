//! When one looks at a guest's network, and again: a guest that starts, rules that change.

use std::cell::Cell;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use snug_netlink::Changes;
use snug_wire::network::Bridged;

use super::Task;
use super::diagnosis::{Broken, Found, Heard, Next, Seen, explain, judge};
use super::firewall::{self, Facts};
use super::passage::{is_unknown, passage};
use super::probe::{Asked, Flow, PATIENCE, Question, Reach, answers, own_address};
use super::tap::Tap;
use crate::daemon::say;
use crate::guest::Guest;
use crate::uplink::{changes_of_v4, router};

/// Until the guest has a way out for the first time: its agent sets it before the guest's init runs.
const CONFIGURED: Duration = Duration::from_secs(30);
/// How long the host may take to answer over the bridge, which is no way at all. A guest's DHCP client takes the address away soon.
const NEAR: Duration = Duration::from_millis(250);
/// So long a guest whom the host does not hear may be without an address until that counts as lost: DHCP clients ask several times within it.
const LOST: Duration = Duration::from_secs(10);
/// A guest has booted by then, and its DHCP client has taken the network over.
const BOOTED: Duration = Duration::from_secs(180);
/// What writes one rule writes others.
const SETTLED: Duration = Duration::from_millis(300);
/// So many changes of a guest's network are looked at as they come: more than its agent and a DHCP client make at a start.
const PROMPT: u32 = 32;
/// Those after them are gathered for so long: a guest may make them without end.
const GATHERED: Duration = Duration::from_millis(200);
/// The same when all has been told: whoever mends a guest does not wait for it.
const LATER: Duration = Duration::from_secs(2);

/// What was waited for.
enum Awaited {
    Come,
    Late,
    /// The guest has ended.
    Ended,
}

/// Whom the guest is to reach.
struct Wanted {
    router: Ipv4Addr,
    /// Somebody beyond the host.
    beyond: Option<Ipv4Addr>,
    /// The name servers; whether one is the host itself.
    names: Vec<(Ipv4Addr, bool)>,
}

impl Wanted {
    fn of(bridged: &Bridged) -> Self {
        let own = own_addresses();
        let names: Vec<_> =
            bridged.name_servers.iter().map(|server| (*server, own.contains(server))).collect();
        let beyond = names.iter().find(|(_, is_host)| !is_host).map(|(server, _)| *server);
        let beyond = beyond.or_else(|| router(Path::new("/proc/self/net")));
        Self { router: bridged.router, beyond, names }
    }

    fn far(&self) -> Vec<Question> {
        let names = self.names.iter().map(|(server, _)| Question::name(*server));
        self.beyond.into_iter().map(Question::connection).chain(names).collect()
    }

    /// By how far one got with the router's name server, then with [`Self::far`].
    fn seen(&self, reached: &[Reach]) -> Seen {
        let mut reached = reached.iter().copied();
        let mut next = || reached.next().unwrap_or(Reach::Silent);
        let router = next();
        let connection = self.beyond.map(|_| next());
        Seen { connection, names: self.names.iter().map(|(_, is_host)| (next(), *is_host)).collect(), router }
    }
}

/// A look at a guest's network, for as long as something is to be looked at.
pub struct Look<'a> {
    guest: &'a Guest,
    bridged: Bridged,
    /// Of the host's rules.
    rules: Changes,
    /// Of the guest's network.
    inside: Changes,
    /// Of the guest's rules.
    own_rules: Changes,
    /// Until when the guest boots.
    booted: Instant,
    /// How many of its changes have been looked at.
    changes: Cell<u32>,
}

impl<'a> Look<'a> {
    /// From now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(guest: &'a Guest, bridged: Bridged) -> io::Result<Self> {
        let (inside, own_rules) = guest.inside(|| Ok((changes_of_v4()?, firewall::changes()?)))?;
        let (rules, booted) = (firewall::changes()?, Instant::now() + BOOTED);
        Ok(Self { guest, bridged, rules, inside, own_rules, booted, changes: Cell::default() })
    }

    /// Looks until all is well or the guest has ended, and tells what is to be told.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn run(&self, task: &Task) -> io::Result<()> {
        let Found::Broken(mut broken) = self.find(None)? else { return Ok(()) };
        let mut told = None;
        let mut is_sure = true;
        loop {
            let fault = explain(broken, &self.bridged.bridge, &Facts::collect());
            if told.as_ref() != Some(&fault) {
                say(format_args!("{}", fault.text));
                task.tell(&fault, told.is_none())?;
                told = Some(fault);
            }
            // Its DHCP client may take long to ask again. Else a guest's changes are none of the host's.
            if !self.await_change(broken.address || broken.is_own() || !is_sure)? {
                return Ok(());
            }
            match self.find(Some(broken))? {
                Found::Broken(found) => (broken, is_sure) = (found, true),
                Found::Unknown => is_sure = false,
                Found::Well => {
                    say(format_args!("that has been mended"));
                    return task.take_back();
                }
                Found::Ended => return Ok(()),
            }
        }
    }

    /// Waits for other rules, and for another network of the guest where that can mend something; whether the guest still runs.
    fn await_change(&self, also_inside: bool) -> io::Result<bool> {
        let mut wait = vec![PollFd::new(self.guest, PollFlags::IN), PollFd::new(&self.rules, PollFlags::IN)];
        if also_inside {
            wait.extend([&self.inside, &self.own_rules].map(|changes| PollFd::new(changes, PollFlags::IN)));
        }
        wait_for(&mut wait, None)?;
        let pause = if wait[1].revents().is_empty() { LATER } else { SETTLED };
        let has_ended = self.guest.has_ended(pause)?;
        // Before one looks: what comes then is looked at again.
        self.rules.take();
        self.own_rules.take();
        Ok(!has_ended)
    }

    /// Looks until it is known, beginning with what is known already.
    fn find(&self, known: Option<Broken>) -> io::Result<Found> {
        let mut is_unheard = known.is_some_and(|broken| broken.input);
        loop {
            let patience = if known.is_some() || is_unheard { LOST } else { CONFIGURED };
            match self.await_way_out(true, patience)? {
                Awaited::Come => {}
                Awaited::Late => {
                    let found = Found::without_way_out(is_unheard);
                    if found == Found::Unknown {
                        say(format_args!("the guest has no default route: nothing is known of its network"));
                    }
                    return Ok(found);
                }
                Awaited::Ended => return Ok(Found::Ended),
            }
            self.inside.take();
            let Some(heard) = self.ask()? else { return Ok(Found::Ended) };
            let was_changed = self.inside.take();
            let left = self.booted.saturating_duration_since(Instant::now());
            match judge(&heard, was_changed, left.is_zero(), &mut is_unheard) {
                Next::Told(found) => return Ok(found),
                Next::Again if self.pause()? => return Ok(Found::Ended),
                Next::Again => {}
                Next::Wait => match self.await_way_out(false, left)? {
                    Awaited::Come => {}
                    Awaited::Late => return Ok(Found::Well),
                    Awaited::Ended => return Ok(Found::Ended),
                },
            }
        }
    }

    /// What the guest sees, and the host: that one is asked only where the guest lacks something. `None` when the guest has ended.
    fn ask(&self) -> io::Result<Option<Heard>> {
        let wanted = Wanted::of(&self.bridged);
        let own = self.guest.inside(|| Ok(own_address(wanted.router)))?;
        let tap = own.map(|own| Tap::on(&self.bridged.bridge, own)).transpose()?;
        let all = |questions: &[Question]| questions.iter().map(|question| Asked::new(*question)).collect();
        let inside = |questions: &[Question]| self.guest.inside(|| all(questions));
        let Some((reached, flows)) = self.ask_from(&wanted, inside)? else { return Ok(None) };
        let guest = wanted.seen(&reached);
        if guest.is_well() {
            return Ok(Some(Heard { guest: guest.clone(), passed: Some(guest.clone()), host: guest }));
        }
        let packets = tap.map_or_else(|| Ok(Some(Vec::new())), |tap| tap.take())?;
        let passed = packets.map(|packets| {
            let mut sent: Vec<_> = flows.iter().map(|flow| passage(&packets, flow)).collect();
            if own.is_some_and(|own| is_unknown(&neighbours(), own, &self.bridged.bridge)) {
                sent.fill(None);
            }
            // What has not come to the host is none of its doing.
            let got =
                |(sent, got): (&Option<Reach>, &Reach)| sent.map_or(Reach::Answered, |sent| sent.max(*got));
            wanted.seen(&sent.iter().zip(&reached).map(got).collect::<Vec<_>>())
        });
        let Some((reached, _)) = self.ask_from(&wanted, all)? else { return Ok(None) };
        Ok(Some(Heard { guest, passed, host: wanted.seen(&reached) }))
    }

    /// From one network namespace. `None` when the guest has ended.
    fn ask_from(
        &self,
        wanted: &Wanted,
        ask: impl Fn(&[Question]) -> io::Result<Vec<Asked>>,
    ) -> io::Result<Option<(Vec<Reach>, Vec<Flow>)>> {
        let (mut reached, mut flows) = (Vec::new(), Vec::new());
        for (questions, patience) in [(vec![Question::name(wanted.router)], NEAR), (wanted.far(), PATIENCE)] {
            let asked = ask(&questions)?;
            flows.extend(asked.iter().map(Asked::flow));
            let Some(got) = answers(asked, patience, self.guest.as_fd())? else { return Ok(None) };
            reached.extend(got);
        }
        Ok(Some((reached, flows)))
    }

    /// Waits until the guest has a default route, or has none.
    fn await_way_out(&self, wanted: bool, patience: Duration) -> io::Result<Awaited> {
        let until = Instant::now() + patience;
        while router(&self.guest.network_directory()).is_some() != wanted {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Awaited::Late);
            }
            let mut wait = [PollFd::new(self.guest, PollFlags::IN), PollFd::new(&self.inside, PollFlags::IN)];
            wait_for(&mut wait, Some(left))?;
            if !wait[0].revents().is_empty() || self.pause()? {
                return Ok(Awaited::Ended);
            }
            self.inside.take();
        }
        Ok(Awaited::Come)
    }

    /// Gathers changes of a guest that has made many; whether the guest has ended.
    fn pause(&self) -> io::Result<bool> {
        let before = self.changes.replace(self.changes.get().saturating_add(1));
        self.guest.has_ended(if before < PROMPT { Duration::ZERO } else { GATHERED })
    }
}

fn wait_for(wait: &mut [PollFd<'_>], patience: Option<Duration>) -> io::Result<()> {
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    match poll(wait, patience.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The addresses of this host.
fn own_addresses() -> Vec<Ipv4Addr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter_map(|found| Some(found.address?.as_sockaddr_in()?.ip())).collect()
}

/// Whom the host has on its networks.
fn neighbours() -> String {
    fs::read_to_string("/proc/self/net/arp").unwrap_or_default()
}
