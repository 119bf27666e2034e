//! Makes a guest its owner's, at every start, without any program of the guest.
//!
//! | module | what |
//! |---|---|
//! | [`accounts`] | the texts of `passwd`, `group`, `shadow`, `subuid` (pure) |
//! | [`certificates`] | certificate authorities of the host |
//! | [`devices`] | links to the host's device nodes |
//! | [`documentation`] | manual pages, in images that leave them out |
//! | [`driver`] | the files of the host's graphics driver |
//! | [`gpg`] | the host's gpg-agent, where gpg looks for it |
//! | [`guest_program`] | a program of the guest that makes something of what is put there |
//! | [`hosts`] | the texts of `hosts` and `sudoers` (pure) |
//! | [`owner`] | the owner's account, groups, sudo |
//! | [`home`] | his home directory |
//! | [`host_commands`] | the names by which programs reach the host |
//! | [`host_places`] | `/tmp`, `/media` and so on of the host in the place of the guest's |
//! | [`islands`] | the parts of a shared home that are the guest's own |
//! | [`identity`] | host name, time zone, resolver, markers of a container |
//! | [`locale`] | the host's locale, where the guest has it |
//! | [`mounts`] | mounting |
//! | [`network`] | the interfaces' addresses |
//! | [`reserve`] | room that is kept on a bounded disk |
//! | [`session`] | the host's displays and sockets of services, where programs look for them |
//! | [`systemd`] | what only a guest with systemd needs |
//! | [`systemd_cleaners`] | its cleaners, kept from the host's places |

mod accounts;
pub mod certificates;
mod devices;
mod documentation;
pub mod driver;
pub mod gpg;
mod guest_program;
mod home;
mod host_commands;
pub mod host_places;
mod hosts;
mod identity;
mod islands;
pub mod locale;
pub mod mounts;
mod network;
mod owner;
mod reserve;
pub mod session;
mod shells;
pub mod systemd;
mod systemd_cleaners;

use std::io;

use snug_wire::provision::{Followed, Provision};

use crate::console;
use crate::init::Kind;
use crate::places::{Guest, Places};

/// One step's name and outcome.
pub type Step = (&'static str, io::Result<()>);

/// Takes every step, tells which failed.
pub fn apply(guest: &Guest, places: &Places, provision: &Provision, init: Kind) {
    for (step, result) in steps(guest, places, provision, init) {
        if let Err(error) = result {
            console::say(format_args!("{step}: {error}"));
        }
    }
    network::bring_up(provision);
}

/// In this order: the home needs the account's numbers only and may lie below a place, the islands need the home.
fn steps(guest: &Guest, places: &Places, provision: &Provision, init: Kind) -> Vec<Step> {
    let mut steps = follow(guest, places, &provision.followed);
    steps.extend([
        ("host name", identity::set_host_name(guest, provision)),
        ("marker", identity::mark(guest, provision)),
        ("account", owner::make_account(guest, provision)),
        ("sudo", owner::allow_sudo(guest, provision)),
        ("the host's places", host_places::make(guest, provision, init)),
        ("home", home::make(guest, provision)),
        ("reserve", reserve::keep(guest, provision)),
        ("runtime directory", owner::make_runtime_directory(guest, provision)),
        ("mirrored network", systemd::keep_mirrored_network(guest, provision, init)),
        ("session", session::make_links(guest, provision)),
        ("commands of the host", host_commands::make(guest, provision)),
        ("accessibility", session::find_accessibility(guest, provision)),
        ("services of the session", session::find_services(guest, provision)),
        ("gpg-agent", gpg::find_agent(guest, provision, init)),
        ("prompts of shells", shells::make(guest)),
        ("manual pages", documentation::switch_on(guest, provision)),
    ]);
    let islands = islands::make(guest, provision);
    // Without them the owner's manager would start the units of the host's session a second time.
    let lingering = if islands.is_ok() {
        systemd::let_owner_linger(guest, provision, init)
    } else {
        systemd::keep_owner_from_lingering(guest, provision)
    };
    steps.extend([("islands", islands), ("lingering", lingering)]);
    steps
}

/// Takes over what has changed on the host.
pub fn follow(guest: &Guest, places: &Places, followed: &Followed) -> Vec<Step> {
    vec![
        ("time zone", identity::set_time_zone(guest, followed.timezone.as_deref())),
        ("locale", locale::set(guest, &followed.locale)),
        ("resolver", identity::set_resolver(guest, followed.resolv_conf.as_deref())),
        ("devices", devices::link(guest)),
        ("graphics driver", driver::link(guest, places)),
        ("certificates", certificates::place(guest, places, &followed.certificates)),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use snug_wire::provision::Account;

    /// A guest that has these directories, as long as the first of the two lives.
    pub fn guest(directories: &[&str]) -> (tempfile::TempDir, Guest) {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for path in directories {
            std::fs::create_dir_all(guest.path(path)).unwrap();
        }
        (directory, guest)
    }

    /// A plain owner.
    pub fn provision() -> Provision {
        Provision {
            owner: Account {
                name: "anna".into(),
                uid: 1000,
                gid: 1000,
                group: "anna".into(),
                gecos: "Anna".into(),
                shell: "/bin/bash".into(),
                home: "/home/anna".into(),
                home_real: "/home/anna".into(),
                home_also: None,
            },
            hostname: "tools".into(),
            image: "images:debian/13".into(),
            id: "1f".into(),
            followed: Followed::default(),
            network: None,
            places: Vec::new(),
            session: false,
            host_exec: false,
            host_open: false,
            private: Vec::new(),
            home_shared: true,
            trusted: true,
            hangup_grace: 2000,
            reserve: false,
            mirrored: false,
        }
    }
}
