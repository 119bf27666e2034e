//! Which containers have a command already. Those that run are asked: the default one, and those that the host has commands of.

use std::time::{Duration, Instant};

use snug_core::name::ContainerName;
use snug_packages::name::CommandName;

use super::build;
use crate::context::Context;
use crate::{exports, probe};

/// For all of them.
const PATIENCE: Duration = Duration::from_millis(60);
/// So many are asked.
const MOST: usize = 4;
/// Directories of commands, as packages have them. What leads back to Snug's own programs is none of the guest's.
const SCRIPT: &str = r#"for d in /usr/local/bin /usr/bin /bin /usr/games /usr/local/sbin /usr/sbin /sbin; do
  if [ -f "$d/$1" ] && [ -x "$d/$1" ]; then
    case $(readlink -f -- "$d/$1") in /.snug/*) ;; *) exit 0 ;; esac
  fi
done
exit 1"#;

/// The containers that have it, the default one first.
pub fn having(context: &Context, default: &ContainerName, command: &CommandName) -> Vec<ContainerName> {
    let end = Instant::now() + PATIENCE;
    let mut all = vec![default.clone()];
    let index = exports::of_user().and_then(|exports| exports.read()).unwrap_or_default();
    for exported in index.commands {
        if !all.contains(&exported.container) {
            all.push(exported.container);
        }
    }
    all.truncate(MOST);
    all.retain(|container| {
        let left = || end.saturating_duration_since(Instant::now());
        let argv = ["/bin/sh", "-c", SCRIPT, "sh", command.as_str()];
        !left().is_zero()
            && build::is_running(context, container, left())
            && probe::status_within(context.target(container), &argv, left()) == Some(0)
    });
    all
}
