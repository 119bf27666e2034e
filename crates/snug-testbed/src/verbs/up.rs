//! `up`: each step looks first whether there is anything to do, so that doing it twice is harmless and repairs.

use std::path::Path;
use std::time::Instant;

use crate::error::Result;
use crate::host;
use crate::session::host_file;
use crate::stack::image_recipes::RECIPES;
use crate::stack::{bus, images, incus, mounts, packages, users};
use crate::state::{LASTING_DIR, Lock, State};

/// What to bring up besides the daemons.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Guest images.
    pub images: bool,
    /// The users.
    pub users: bool,
    /// A pool and a bridge of the bed, where Incus has no pool (else snugd makes its own on first use).
    pub pool: bool,
    /// The programs that tests alone need.
    pub for_tests: bool,
}

/// Brings the stack up.
pub fn up(wanted: Wanted) -> Result<()> {
    host::require_root("snug-testbed up")?;
    let started = Instant::now();
    let _lock = Lock::take()?;
    packages::install(wanted.for_tests)?;
    let undone = host_file::undo_all()?;
    let mut state = State::load();
    mounts::share(&mut state)?;
    bus::start(&mut state)?;
    if !undone.is_empty() {
        let undone: Vec<_> = undone.iter().map(|path| path.display().to_string()).collect();
        host::say(format_args!("as before a test that was killed: {}", undone.join(", ")));
        // It has read them.
        let _ = super::down::end_snugd();
    }
    bus::start_polkit()?;
    incus::start(&mut state)?;
    if wanted.users {
        users::make()?;
    }
    if wanted.images {
        images::clear_unfinished();
        images::provide(&RECIPES)?;
    }
    if wanted.pool {
        make_pool()?;
    }
    host::say(format_args!("up ({:.1?})", started.elapsed()));
    Ok(())
}

/// Starts the Incus that the bed has run before and that does not run; says whether it did. Everything else stays as it is, so
/// [`super::down::down`] brings back what was. An Incus that is not the bed's, or whose guests run without it, is left alone.
pub fn incus_alone() -> Result<bool> {
    host::require_root("starting Incus")?;
    let beds_own = Path::new(LASTING_DIR).join("users.json").exists();
    let has_run = Path::new("/var/lib/incus/database").exists();
    if !beds_own || !has_run || incus::listens() || packages::incusd_path().is_err() {
        return Ok(false);
    }
    let _lock = Lock::take()?;
    if !incus::guest_processes().is_empty() {
        return Ok(false);
    }
    let mut state = State::load();
    let nothing_was_up = !state.bus && !state.incus && state.units.is_empty();
    mounts::share(&mut state)?;
    incus::start(&mut state)?;
    Ok(nothing_was_up)
}

/// The name of the pool and of the bridge that the bed makes with `--pool`.
pub const POOL: &str = "testbed";
/// The bridge's name.
pub const BRIDGE: &str = "testbedbr0";

fn make_pool() -> Result<()> {
    let list = incus::client().args(["storage", "list", "--format=csv"]).ok()?.text();
    if list.trim().is_empty() {
        host::say("making a btrfs pool of the bed's own");
        if let Err(error) = incus::client().args(["storage", "create", POOL, "btrfs", "size=20GiB"]).ok() {
            // No loop devices, as in a container: slower to create from, otherwise as good.
            host::say(format_args!("{error}; making a directory pool instead"));
            incus::client().args(["storage", "create", POOL, "dir"]).ok()?;
        }
    }
    if incus::client().args(["network", "show", BRIDGE]).succeeds() {
        return Ok(());
    }
    // A subnet is given: the automatic choice probes the network and finds none here.
    let options = ["ipv4.address=10.158.7.1/24", "ipv4.nat=true", "ipv6.address=none"];
    incus::client().args(["network", "create", BRIDGE]).args(options).ok().map(drop)
}
