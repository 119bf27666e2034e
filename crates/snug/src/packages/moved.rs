//! Exported commands after an upgrade: what has moved in the guest is followed when the upgrade stays, what is gone is an error.

use std::ffi::OsStr;

use snug_exports::Command;
use snug_packages::name::{GuestPath, PackageName};

use super::commands;
use super::guest::Guest;
use crate::error::CommandError;
use crate::exports;
use crate::exports::placing::unwritten;
use crate::guest_commands;

/// Commands that have moved, each with where it is now.
pub type Moved = Vec<(Command, String)>;

/// Which of the host's commands that were there `before` are somewhere else now. One that is not at its path any more has moved where the
/// guest's PATH has another of its file's name, and that is of a package which has just `changed`: any other program of that name is not it.
///
/// # Errors
/// One is gone. It may be meant to be: then whoever has exported it says so by `snug unexport`, and the upgrade is none to be undone. The
/// guest cannot be asked.
pub fn find(guest: &Guest<'_>, before: &[Command], changed: &[PackageName]) -> Result<Moved, CommandError> {
    let there = commands::present(guest.context, guest.container)?;
    let gone: Vec<&Command> = before.iter().filter(|command| !there.contains(command)).collect();
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = gone.iter().map(|command| file_name(&command.path)).collect();
    let found = guest_commands::find(guest.context, guest.container, &names)?;
    let (mut moved, mut lost) = (Vec::new(), Vec::new());
    for (command, place) in gone.into_iter().zip(found) {
        match place {
            Some(place) if is_of(guest, &place, changed)? => moved.push((command.clone(), place)),
            _ => lost.push(command),
        }
    }
    if lost.is_empty() {
        return Ok(moved);
    }
    let names: Vec<&str> = lost.iter().map(|command| command.name.as_str()).collect();
    let text = format!("it has lost {}, which the host has of it", names.join(", "));
    Err(CommandError::failed(text).hint(format!(
        "if you can do without: `snug unexport -c {} --bin {}`, and upgrade again",
        guest.container,
        names.join(" ")
    )))
}

/// Has the host's commands lead to where they are now. Of an upgrade that stays: one that goes back has them where they were.
pub fn follow(guest: &Guest<'_>, moved: &[(Command, String)]) {
    if moved.is_empty() {
        return;
    }
    let printer = &guest.context.printer;
    match exports::of_user().and_then(|exports| exports.change(|index| lead_to(&mut index.commands, moved))) {
        Ok(()) => {
            for (command, place) in moved {
                printer.notice(&format!("{} of {} is {place} now", command.name, guest.container));
            }
        }
        Err(error) => {
            let names: Vec<&str> = moved.iter().map(|(command, _)| command.name.as_str()).collect();
            let error = unwritten(error);
            printer.warning(&format!("{} of the host lead to where they were: {error}", names.join(", ")));
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a file is of one of these packages.
fn is_of(guest: &Guest<'_>, place: &str, changed: &[PackageName]) -> Result<bool, CommandError> {
    // A path that no package can have is of none.
    let Ok(path) = GuestPath::new(OsStr::new(place)) else { return Ok(false) };
    let owners = guest.ask(&guest.manager.manager.owner(&path))?;
    Ok(owners.iter().any(|owner| changed.contains(owner)))
}

/// Gives commands their new places; what somebody has changed in the meantime stays, and so does a place that cannot be one.
fn lead_to(commands: &mut [Command], moved: &[(Command, String)]) {
    for command in commands {
        let new = moved.iter().find(|(was, _)| was == command).map(|(_, place)| place.clone());
        let new =
            new.and_then(|place| Command::new(command.name.clone(), command.container.clone(), place).ok());
        if let Some(new) = new {
            *command = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_has_moved_keeps_its_name() {
        let command = |name: &str, path: &str| {
            Command::new(name.parse().unwrap(), "dev".parse().unwrap(), path.to_owned()).unwrap()
        };
        let mut all = [command("fd", "/usr/bin/fdfind"), command("rg", "/opt/rg")];
        let moved = [
            (command("fd", "/usr/bin/fdfind"), "/usr/games/fdfind".to_owned()),
            (command("rg", "/usr/bin/rg"), "/usr/sbin/rg".to_owned()),
        ];
        lead_to(&mut all, &moved);
        assert_eq!(all, [command("fd", "/usr/games/fdfind"), command("rg", "/opt/rg")]);
        lead_to(&mut all, &[(command("rg", "/opt/rg"), "no\npath".to_owned())]);
        assert_eq!(all[1], command("rg", "/opt/rg"));
        assert_eq!(file_name("/usr/bin/fdfind"), "fdfind");
    }
}
