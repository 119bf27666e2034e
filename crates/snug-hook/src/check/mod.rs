//! Whether a guest behind the bridge (`network=nat`) gets anywhere, looked at when it has started, from its network namespace and from the
//! host's. What the host has and the guest lacks is somebody's doing: of a firewall, most often. It is told in two files of the run
//! directory, and taken back when it has been mended.
//!
//! | module | what |
//! |---|---|
//! | [`probe`] | whether somebody can be reached |
//! | [`firewall`] | what there is of firewalls on the host |
//! | [`diagnosis`] | who is in the way, and what to do |
//!
//! Nobody is asked whom this host does not ask anyway: its name servers, else its router. Nothing here delays the guest's start, and
//! nothing looks by the clock: the kernel tells of addresses, routes and rules. Where all is well the process has ended a few milliseconds
//! after the guest has its address.

pub mod diagnosis;
pub mod firewall;
pub mod probe;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use snug_wire::network::{BRIDGED, Bridged, FAULT, Fault};
use snug_wire::notice::NOTICE;

use self::diagnosis::{Broken, Seen, explain};
use self::firewall::Facts;
use self::probe::{Asked, PATIENCE, Question, Reach, answers};
use crate::daemon::{self, say};
use crate::guest::Guest;
use crate::netlink::Changes;
use crate::owner::Owner;
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

/// What is looked at.
#[derive(Debug)]
pub struct Task {
    /// Whose it is: he is told.
    pub owner: Owner,
    /// The container's run directory.
    pub directory: PathBuf,
}

/// Looks, as a daemon whose log is the file. What an earlier look has told is taken back.
///
/// # Errors
/// It cannot be begun: nothing is known of the guest then.
pub fn start(guest: &Guest, task: &Task, log: &File) -> io::Result<()> {
    task.take_back()?;
    let bridged: Bridged = serde_json::from_slice(&fs::read(task.directory.join(BRIDGED))?)?;
    daemon::start(log, "the network was not looked at", || {
        let inside = guest.inside(changes_of_v4)?;
        Look { guest, bridged, inside }.run(task)
    })
}

/// How a look came out.
enum Found {
    Well,
    Broken(Broken),
    /// The guest has ended.
    Ended,
}

/// What was waited for.
enum Awaited {
    Come,
    Late,
    /// The guest has ended.
    Ended,
}

struct Look<'a> {
    guest: &'a Guest,
    bridged: Bridged,
    /// Of the guest's network.
    inside: Changes,
}

impl Look<'_> {
    fn run(&self, task: &Task) -> io::Result<()> {
        let Found::Broken(mut broken) = self.find()? else { return Ok(()) };
        let mut told = None;
        loop {
            // Before they are read.
            let rules = firewall::changes()?;
            let fault = explain(broken, &self.bridged.bridge, &Facts::collect());
            if told.as_ref() != Some(&fault) {
                say(format_args!("{}", fault.text));
                task.tell(&fault, told.is_none())?;
                told = Some(fault);
            }
            let mut wait = vec![PollFd::new(self.guest, PollFlags::IN), PollFd::new(&rules, PollFlags::IN)];
            // Its DHCP client may take long to ask again. Else a guest's changes are none of the host's.
            if broken.address {
                wait.push(PollFd::new(&self.inside, PollFlags::IN));
            }
            wait_for(&mut wait, None)?;
            if self.guest.has_ended(SETTLED)? {
                return Ok(());
            }
            match self.find()? {
                Found::Broken(found) => broken = found,
                Found::Well => {
                    say(format_args!("that has been mended"));
                    return task.take_back();
                }
                Found::Ended => return Ok(()),
            }
        }
    }

    /// Looks until it is known.
    fn find(&self) -> io::Result<Found> {
        let until = Instant::now() + BOOTED;
        // The host does not hear the guest.
        let mut unheard = false;
        loop {
            match self.await_way_out(true, if unheard { LOST } else { CONFIGURED })? {
                Awaited::Come => {}
                Awaited::Late if unheard => return Ok(Found::Broken(Broken::ADDRESS)),
                // Of its own doing, as far as it can be seen from here.
                Awaited::Late => {
                    say(format_args!("the guest has no default route: nothing is known of its network"));
                    return Ok(Found::Well);
                }
                Awaited::Ended => return Ok(Found::Ended),
            }
            self.inside.take();
            let Some((guest, host)) = self.ask()? else { return Ok(Found::Ended) };
            // Also where its DHCP client has taken the address away meanwhile: who is heard is answered at once.
            unheard = guest.router < host.router || unheard && guest.router != Reach::Answered;
            // What was asked while the guest had no address says nothing.
            let was_changed = self.inside.take();
            if !was_changed && let Some(broken) = Broken::of(&guest, &host) {
                return Ok(Found::Broken(broken));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !was_changed && !unheard {
                return Ok(Found::Well);
            }
            // It goes on with the address that it was given, until its DHCP client takes that away.
            if !was_changed {
                match self.await_way_out(false, left)? {
                    Awaited::Come => {}
                    Awaited::Late => return Ok(Found::Well),
                    Awaited::Ended => return Ok(Found::Ended),
                }
            }
        }
    }

    /// What the guest sees, and the host: that one is asked only where the guest lacks something. `None` when the guest has ended.
    fn ask(&self) -> io::Result<Option<(Seen, Seen)>> {
        let own = own_addresses();
        let is_beyond = |ip: &Ipv4Addr| !own.contains(ip);
        let servers = &self.bridged.name_servers;
        let beyond = servers.iter().copied().find(is_beyond).or_else(|| router(Path::new("/proc/self/net")));
        let ask = |from: &dyn Fn(&[Question]) -> io::Result<Vec<Asked>>| {
            let near = from(&[Question::name(self.bridged.router)])?;
            let Some(near) = answers(near, NEAR, self.guest.as_fd())? else { return Ok(None) };
            let questions: Vec<_> = servers.iter().map(|server| Question::name(*server)).collect();
            let connection: Vec<_> = beyond.into_iter().map(Question::connection).collect();
            let asked = from(&[connection.as_slice(), &questions].concat())?;
            let Some(mut reached) = answers(asked, PATIENCE, self.guest.as_fd())? else { return Ok(None) };
            let names = reached.split_off(connection.len());
            Ok::<_, io::Error>(Some(Seen {
                connection: reached.pop(),
                names: names.into_iter().zip(servers.iter().map(|server| !is_beyond(server))).collect(),
                router: near.first().copied().unwrap_or(Reach::Silent),
            }))
        };
        let here = |questions: &[Question]| questions.iter().map(|question| Asked::new(*question)).collect();
        let Some(guest) = ask(&|questions| self.guest.inside(|| here(questions)))? else { return Ok(None) };
        if guest.is_well() {
            return Ok(Some((guest.clone(), guest)));
        }
        Ok(ask(&here)?.map(|host| (guest, host)))
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
            if !wait[0].revents().is_empty() {
                return Ok(Awaited::Ended);
            }
            self.inside.take();
        }
        Ok(Awaited::Come)
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

impl Task {
    /// The fault for whoever asks; the owner's next command tells it once.
    fn tell(&self, fault: &Fault, also_once: bool) -> io::Result<()> {
        self.write(FAULT, &fault.to_string(), None)?;
        if also_once {
            let hints: String = fault.hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
            self.write(NOTICE, &format!("{}\n{hints}", fault.text), Some(self.owner))?;
        }
        Ok(())
    }

    fn take_back(&self) -> io::Result<()> {
        for name in [FAULT, NOTICE] {
            match fs::remove_file(self.directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// As a whole or not at all, in a directory that is root's.
    fn write(&self, name: &str, text: &str, owner: Option<Owner>) -> io::Result<()> {
        let (path, new) = (self.directory.join(name), self.directory.join(format!("{name}.new")));
        let mode = if owner.is_some() { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        if let Some(owner) = owner {
            fchown(&file, Some(owner.uid), Some(owner.gid))?;
        }
        fs::rename(new, path)
    }
}
