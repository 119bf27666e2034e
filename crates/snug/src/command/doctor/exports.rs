//! What the host has of containers: whether all of it is there, and found.

use std::ffi::OsStr;

use snug_exports::link::{LinkError, State};
use snug_exports::{Command, Index, Links, search};

use super::{check, failed};
use crate::bus::view::Check;
use crate::context::Context;
use crate::error::CommandError;
use crate::words;
use crate::{env_vars, exports};

/// The check's name.
const NAME: &str = "exports";
/// Names that one line tells.
const SHOWN: usize = 5;

/// Looks at links, the program that they lead to, and the PATH. `containers` are those that there are, as far as that is known.
pub fn look(context: &Context, containers: Option<&[String]>) -> Vec<Check> {
    let read = || -> std::io::Result<(Index, Links)> {
        let exports = exports::of_user()?;
        Ok((exports.read()?, exports::links(&exports)?))
    };
    let (index, links) = match read() {
        Ok(found) => found,
        Err(error) => {
            let error = CommandError::failed("the index of what is exported cannot be read").caused_by(error);
            return vec![failed(NAME, &error)];
        }
    };
    let strays = links.stray(|name| index.commands.iter().any(|command| command.name.as_str() == name));
    let strays: Vec<&str> = strays.iter().map(|name| name.as_str()).collect();
    let mut checks = Vec::new();
    if !index.commands.is_empty() {
        checks.extend(shim(links.leads_to(&context.paths.shim())));
        checks.extend(of_commands(&index.commands, &links, containers));
        let path = env_vars::non_empty(env_vars::PATH).unwrap_or_default();
        checks.extend(on_path(&index.commands, &links, &path));
    }
    if !strays.is_empty() {
        let text = format!("links that lead to no container: {}", listed(&strays));
        checks.push(check(NAME, "warning", &text, &format!("snug unexport --bin {}", listed_all(&strays))));
    }
    if checks.is_empty() {
        let text = match index.commands.len() {
            0 => "no commands are exported".to_owned(),
            count => format!("{} of containers are on your PATH", words::count(count, "command")),
        };
        checks.push(check(NAME, "ok", &text, ""));
    }
    checks
}

/// What all links lead to.
fn shim(leads_there: Result<bool, LinkError>) -> Option<Check> {
    let (why, hint) = match leads_there {
        Ok(true) => return None,
        Ok(false) => ("the link that they lead to is not the installed program's".to_owned(), "snug exports"),
        Err(error) => {
            let hint = match &error {
                LinkError::NotInstalled(_) => "install Snug as a whole again",
                LinkError::Foreign { .. } => "move it away, then: snug exports",
                LinkError::System { .. } => "snug exports",
            };
            (error.to_string(), hint)
        }
    };
    Some(check(NAME, "error", &format!("exported commands do not work: {why}"), hint))
}

/// The links, one by one.
fn of_commands(commands: &[Command], links: &Links, containers: Option<&[String]>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut tell = |status: &str, text: &str, names: &[&Command], hint: &dyn Fn(&Command) -> String| {
        if names.is_empty() {
            return;
        }
        let shown: Vec<&str> = names.iter().map(|command| command.name.as_str()).collect();
        let hints: Vec<String> = names.iter().take(SHOWN).map(|command| hint(command)).collect();
        checks.push(check(NAME, status, &format!("{text}: {}", listed(&shown)), &hints.join("\n")));
    };
    let is_gone = |command: &&Command| {
        containers.is_some_and(|all| !all.iter().any(|name| name == command.container.as_str()))
    };
    let (gone, there): (Vec<&Command>, Vec<&Command>) = commands.iter().partition(is_gone);
    let in_state = |is_meant: &dyn Fn(&State) -> bool| -> Vec<&Command> {
        there
            .iter()
            .copied()
            .filter(|command| links.state(&command.name).is_ok_and(|state| is_meant(&state)))
            .collect()
    };
    let again = |command: &Command| {
        format!("snug export -c {} --bin {}={}", command.container, command.path, command.name)
    };
    let back = |command: &Command| format!("snug unexport -c {} --bin {}", command.container, command.name);
    tell("warning", "commands of containers that are no more", &gone, &back);
    tell("error", "links of commands are missing", &in_state(&|state| *state == State::Missing), &again);
    let in_the_way = in_state(&|state| matches!(state, State::Foreign(_)));
    tell("warning", "something of your own is in the place of commands", &in_the_way, &back);
    checks
}

/// Whether what is typed is what was exported.
fn on_path(commands: &[Command], links: &Links, path: &OsStr) -> Option<Check> {
    if env_vars::non_empty(env_vars::SNUG_GUEST_DIRECTORY).is_some() {
        return None;
    }
    if !search::has(path, links.bin()) {
        let text = format!("{} is not on your PATH", links.bin().display());
        let hint = "log in again; in this shell: export PATH=\"$HOME/.local/bin:$PATH\"";
        return Some(check(NAME, "warning", &text, hint));
    }
    let is_shadowed = |command: &&Command| {
        let other = search::find_elsewhere(path, command.name.as_str(), links.bin());
        other.is_some_and(|(_, before)| before)
    };
    let shadowed: Vec<&str> =
        commands.iter().filter(is_shadowed).map(|command| command.name.as_str()).collect();
    let first = shadowed.first()?;
    let text =
        format!("the host has others of that name, which come first on your PATH: {}", listed(&shadowed));
    let hint =
        format!("`type -a {first}` shows them; `snug unexport --bin {first}` takes the exported one back");
    Some(check(NAME, "notice", &text, &hint))
}

fn listed(names: &[&str]) -> String {
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

fn listed_all(names: &[&str]) -> String {
    names[..names.len().min(SHOWN)].join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    struct Home {
        directory: tempfile::TempDir,
        links: Links,
    }

    impl Home {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let links = Links::new(directory.path().join("bin"), &directory.path().join("snug"));
            let home = Self { directory, links };
            program(&home.installed());
            home.links.repair(&home.installed()).unwrap();
            home
        }

        fn installed(&self) -> PathBuf {
            self.directory.path().join("snug-shim")
        }
    }

    fn program(path: &std::path::Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(name: &str) -> Command {
        Command::new(name.parse().unwrap(), "dev".parse().unwrap(), format!("/usr/bin/{name}")).unwrap()
    }

    fn told(checks: impl IntoIterator<Item = Check>) -> Vec<String> {
        checks.into_iter().map(|check| format!("{} {} / {}", check.status, check.text, check.hint)).collect()
    }

    #[test]
    fn each_link_that_does_not_work_is_told_with_what_mends_it() {
        let home = Home::new();
        let commands = ["fd", "jq", "rg"].map(command);
        let there = ["dev".to_owned()];
        for command in &commands {
            home.links.make(&command.name).unwrap();
        }
        let look = |containers: Option<&[String]>| told(of_commands(&commands, &home.links, containers));
        assert!(look(Some(&there)).is_empty() && look(None).is_empty());
        fs::remove_file(home.links.bin().join("fd")).unwrap();
        fs::remove_file(home.links.bin().join("jq")).unwrap();
        symlink("/usr/bin/true", home.links.bin().join("jq")).unwrap();
        assert_eq!(
            look(Some(&there)),
            [
                "error links of commands are missing: fd / snug export -c dev --bin /usr/bin/fd=fd",
                "warning something of your own is in the place of commands: jq / snug unexport -c dev --bin jq",
            ]
        );
        let gone = look(Some(&[]));
        assert_eq!(gone.len(), 1);
        assert!(
            gone[0].starts_with("warning commands of containers that are no more: fd, jq, rg / "),
            "{gone:?}"
        );
    }

    #[test]
    fn the_program_that_all_links_lead_to_is_looked_at_and_left_as_it_is() {
        let home = Home::new();
        assert!(shim(home.links.leads_to(&home.installed())).is_none());
        let other = home.directory.path().join("other");
        program(&other);
        let moved = told(shim(home.links.leads_to(&other)));
        assert!(
            moved[0].starts_with("error exported commands do not work: ")
                && moved[0].ends_with("/ snug exports"),
            "{moved:?}"
        );
        fs::remove_file(home.installed()).unwrap();
        let missing = told(shim(home.links.leads_to(&home.installed())));
        assert!(missing[0].ends_with("/ install Snug as a whole again"), "{missing:?}");
    }

    #[test]
    fn a_path_without_the_directory_and_programs_that_come_first_are_told() {
        let home = Home::new();
        let commands = [command("rg"), command("fd")];
        let before = home.directory.path().join("before");
        program(&before.join("rg"));
        let path = |directories: &[&std::path::Path]| std::env::join_paths(directories).unwrap();
        let look = |path: &OsStr| told(on_path(&commands, &home.links, path));
        assert!(look(&path(&[home.links.bin(), &before])).is_empty());
        assert!(look(&path(&[&before]))[0].contains("is not on your PATH / log in again"));
        let shadowed = look(&path(&[&before, home.links.bin()]));
        assert!(
            shadowed[0]
                .starts_with("notice the host has others of that name, which come first on your PATH: rg / "),
            "{shadowed:?}"
        );
    }
}
