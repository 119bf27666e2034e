//! What programs of a guest reach the host by (`snug_wire::host`): one program, which lies beside the agent, under the names
//! that people and scripts know.
//!
//! | called as | what |
//! |---|---|
//! | `host-exec` | runs a command on the host |
//! | `distrobox-host-exec`, `host-spawn`, `flatpak-spawn` | the same, with the options of those programs ([`names`]) |
//! | `snug` | the host's `snug`, for which this container is the default one |
//! | `host-open`, `xdg-open` | opens links and files on the host ([`open`]) |
//! | `gio` | the same for `gio open`; else the guest's own |
//! | a name in `~/.local/share/snug/for-guests` | the command that a container has exported by that name ([`exported`]) |
//! | any other name | that command on the host: `ln -s "$(command -v host-exec)" ~/bin/podman` |

mod exported;
mod host;
mod names;
mod open;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use open::Statuses;
use snug_wire::host::{EXEC, GUEST_PROGRAM, OPEN, SNUG};

/// Status of a failure that is not the command's own.
const FAILURE: u8 = 125;

/// Does what the name says that the program was called by, which is the first of `arguments`.
#[must_use]
pub fn main(mut arguments: Vec<OsString>) -> ExitCode {
    let called = arguments.first().cloned().unwrap_or_default();
    let mut name = Path::new(&called).file_name().unwrap_or(OsStr::new(EXEC)).to_owned();
    // `snug-guest NAME …`: by its own name.
    if name == GUEST_PROGRAM && arguments.len() > 1 {
        arguments.remove(0);
        name = arguments[0].clone();
    }
    let name = name.as_os_str();
    if name == EXEC || name == GUEST_PROGRAM {
        names::host_exec::run(&arguments)
    } else if name == "distrobox-host-exec" {
        names::distrobox::run(&arguments)
    } else if name == "host-spawn" {
        names::host_spawn::run(&arguments)
    } else if name == "flatpak-spawn" {
        names::flatpak::run(&arguments)
    } else if name == OPEN {
        open::run(&arguments, Statuses::Own)
    } else if name == "xdg-open" {
        open::run(&arguments, Statuses::OfXdgOpen)
    } else if name == "gio" {
        open::run_gio(&arguments)
    } else {
        arguments[0] = exported::on_host(name).unwrap_or_else(|| name.to_owned());
        host::run(&host::Command { or_home: name == SNUG, ..host::Command::new(arguments) })
    }
}

/// The one place that prints: what failed, and what to do.
#[expect(clippy::print_stderr, reason = "a program's own error message")]
fn fail(what: &str, hints: &[String]) -> ExitCode {
    eprintln!("error: {what}");
    for hint in hints {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(FAILURE)
}
