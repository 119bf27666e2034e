//! `status`: what is there, for people; and the check that suites make before they start.

use crate::error::{Error, Result};
use crate::stack::image_recipes::RECIPES;
use crate::stack::images::{self, Present};
use crate::stack::{bus, incus, mount_namespace, mounts, users};

/// One part and its state.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Whether it can be used.
    pub up: bool,
    /// More about it.
    pub detail: String,
}

/// The state of all parts.
pub fn parts() -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |name: &str, up: bool, detail: String| parts.push(Part { name: name.into(), up, detail });
    add("bus", bus::answers(), bus::SOCKET.to_owned());
    let polkit = bus::owner("org.freedesktop.PolicyKit1");
    add("polkit", polkit.is_some(), polkit.map(|process| format!("pid {}", process.pid)).unwrap_or_default());
    let own = incus::own_daemon();
    let whose =
        own.map_or_else(|| "not started by the bed".to_owned(), |process| format!("pid {}", process.pid));
    let listens = incus::listens();
    add("incusd", listens, if listens { whose } else { "nothing listens".to_owned() });
    let shared = mounts::holding(std::path::Path::new(mounts::SHARED_DIR), &mounts::of("self"))
        .is_some_and(|mount| mount.shared.is_some());
    let arrives = own.is_none_or(mount_namespace::receives_shared);
    add("shared mount", shared && arrives, mounts::SHARED_DIR.to_owned());
    for user in users::USERS {
        let account = users::account(user.name);
        let detail =
            account.as_ref().map(|a| format!("uid {}, {}", a.uid, a.home.display())).unwrap_or_default();
        add(&format!("user {}", user.name), account.is_some(), detail);
    }
    for recipe in RECIPES {
        let present = if listens { images::present(&recipe.alias()) } else { Present::No };
        let detail = match &present {
            Present::No => "missing".to_owned(),
            Present::Own(key) => key.clone(),
            Present::Foreign => "not the bed's own".to_owned(),
        };
        add(&format!("image {}", recipe.alias()), present != Present::No, detail);
    }
    parts
}

/// Fails, naming what is missing, unless everything is up.
pub fn require() -> Result<()> {
    // As Snug does when it needs polkit: one that died is there again. What is missing after that is named below.
    let _ = bus::start_polkit();
    let missing: Vec<String> = parts()
        .into_iter()
        .filter(|part| !part.up)
        .map(|part| format!("{} ({})", part.name, part.detail))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Unfit(format!("the real stack is not up: {}; bring it up with `make up`", missing.join(", "))))
}
