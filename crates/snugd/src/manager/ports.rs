//! `Ports`: what listens in containers, and whether the host has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use snug_core::grant::Network;
use snug_core::instance::is_mirrored;
use snug_core::name::{ContainerName, Uid};
use snug_wire::ports::{Door, Opened, Protocol, Report, SOCKET};
use zbus::Variant;

use super::{container, target, unnamed};
use crate::bus::call::{Answer, Call};
use crate::container::lookup::{self, Found, missing};
use crate::daemon::Daemon;
use crate::error::Result;
use crate::host::ports::{self, Holder, Holders};
use crate::turns::Turns;

type Row = HashMap<&'static str, Variant<'static>>;

/// `Ports`, of one container or of all that run. Answers the ports, and a sentence for each container that has something to say.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn call(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let mut options = unnamed(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let only = options.string("name")?.map(|name| container(&name)).transpose()?;
    options.finish()?;
    let config = daemon.config().await?;
    let found = lookup::list_full(daemon.incus(), &config, Some(uid)).await?;
    if let Some(name) = &only
        && !found.iter().any(|found| found.name == *name)
    {
        return Err(missing(name).into());
    }
    let mut all = Vec::new();
    let mut notices = Vec::new();
    let end = Instant::now() + SEARCH;
    for found in found {
        // All are looked at: who has a port may be another one than the one that was asked about.
        let is_asked = only.as_ref().is_none_or(|name| found.name == *name);
        match look(daemon, call, &found, end).await? {
            Ok((ports, missing)) => {
                let missing = missing.into_iter().filter(|_| is_asked);
                notices.extend(missing.map(|text| format!("'{}' {text}", found.name)));
                all.push((found.name, ports));
            }
            // Of those that nobody has asked about, only what is wrong.
            Err(_) if !is_asked => {}
            Err(Silence::Usual(text)) if only.is_some() => notices.push(format!("'{}' {text}", found.name)),
            Err(Silence::Usual(_)) => {}
            Err(Silence::Wrong(text)) => notices.push(format!("'{}' {text}", found.name)),
        }
    }
    call.answer(&(rows(&all, only.as_ref()), notices))
}

/// For the processes that have the ports of all the containers of one call.
const SEARCH: Duration = Duration::from_secs(3);

/// Of each owner.
static LOOKING: LazyLock<Turns<Uid>> = LazyLock::new(|| Turns::new(1));

/// A port, and who has it open.
type Port = (Door, BTreeSet<Holder>);

/// Why there is no list.
enum Silence {
    /// It is meant so.
    Usual(String),
    /// It is not.
    Wrong(String),
}

/// The ports, and what is missing, in words that follow the container's name.
type Looked = std::result::Result<(Vec<Port>, Vec<String>), Silence>;

/// `end`: whose ports they are is not looked for any longer.
async fn look(daemon: &Daemon, call: &Call, found: &Found, end: Instant) -> Result<Looked> {
    if !found.instance.status_code.is_running() {
        return Ok(Err(Silence::Usual("does not run".to_owned())));
    }
    let usual = |text: &str| Ok(Err(Silence::Usual(text.to_owned())));
    let grants = &found.spec()?.grants;
    match grants.network() {
        Network::Host => return usual("has the host's network: its ports are the host's"),
        Network::Nat => return usual("has network=nat: its ports are at its own address (`snug info`)"),
        Network::None => return usual("has no network"),
        Network::Mirror if !is_mirrored(grants, &found.instance.devices) => {
            return usual(
                "has network=nat, since it is not trusted or pasta is missing: its ports are at its own address",
            );
        }
        Network::Mirror => {}
    }
    let init = found.instance.state.as_ref().and_then(|state| state.init_pid());
    let socket = daemon.paths().container_dir(found.owner.uid, &found.name).join(SOCKET);
    // One forwarder that does not answer holds one thread, whoever asks.
    let _turn = LOOKING.take(found.owner.uid).await;
    // Who has asked may have left meanwhile, many times over.
    if daemon.subscribers().uid(&call.caller.connection).is_none() {
        return Err(crate::job::cancelled());
    }
    let asked = tokio::task::spawn_blocking(move || {
        let report = ports::report(&socket)?;
        let Some(Report { doors, incomplete, .. }) = report else { return Ok(None) };
        let inodes = doors.iter().flat_map(|door| &door.inodes).copied().collect();
        let Holders { found: holders, is_cut_short } =
            init.map(|init| ports::holders(init, &inodes, end)).unwrap_or_default();
        let unknown = is_cut_short.then(|| {
            "has too many open files to look at all of them: of some ports it is not known which process has them".to_owned()
        });
        let with_holders = |door: Door| {
            let held = door.inodes.iter().filter_map(|inode| holders.get(inode)).flatten().cloned().collect();
            (door, held)
        };
        Ok::<_, std::io::Error>(Some((
            doors.into_iter().map(with_holders).collect(),
            incomplete.into_iter().chain(unknown).collect(),
        )))
    });
    Ok(match asked.await? {
        Ok(Some(looked)) => Ok(looked),
        Ok(None) => Err(Silence::Wrong("has nobody who forwards its ports: snug restart".to_owned())),
        Err(error) => Err(Silence::Wrong(format!("does not tell of its ports: {error}"))),
    })
}

/// Of `only`, or of all.
fn rows(all: &[(ContainerName, Vec<Port>)], only: Option<&ContainerName>) -> Vec<Row> {
    // Who has it already: for the others, the name of the container.
    let mut open: BTreeMap<(bool, u16), &ContainerName> = BTreeMap::new();
    let key = |door: &Door| (door.protocol == Protocol::Tcp, door.address.port());
    for (name, ports) in all {
        for (door, _) in ports.iter().filter(|(door, _)| door.opened == Opened::Yes) {
            open.entry(key(door)).or_insert(name);
        }
    }
    let row = |name: &ContainerName, (door, holders): &Port| {
        let (state, text) = match &door.opened {
            Opened::Yes => ("open", String::new()),
            Opened::Taken => match open.get(&key(door)).filter(|other| **other != name) {
                Some(other) => ("taken", format!("'{other}' has it")),
                None => ("taken", "a program of the host has it".to_owned()),
            },
            Opened::NotPermitted => (
                "not-permitted",
                "below net.ipv4.ip_unprivileged_port_start: not for users of the host".to_owned(),
            ),
            Opened::Failed(error) => ("failed", error.clone()),
        };
        let (pids, names): (Vec<u32>, BTreeSet<String>) =
            holders.iter().map(|holder| (holder.pid, holder.name.clone())).unzip();
        Row::from([
            ("container", Variant::from(name.to_string())),
            ("protocol", Variant::from(if door.protocol == Protocol::Tcp { "tcp" } else { "udp" })),
            ("address", Variant::from(door.address.ip().to_string())),
            ("port", Variant::from(door.address.port())),
            ("state", Variant::from(state)),
            ("text", Variant::from(text)),
            ("pids", Variant::from(pids)),
            ("process", Variant::from(names.into_iter().collect::<Vec<_>>().join(", "))),
        ])
    };
    let asked = all.iter().filter(|(name, _)| only.is_none_or(|only| name == only));
    asked.flat_map(|(name, ports)| ports.iter().map(move |port| row(name, port))).collect()
}
