//! `snug which`.

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use snug_core::name::ContainerName;
use snug_core::text::escape;
use snug_packages::executables;
use snug_packages::name::{GuestPath, PackageName};

use super::arguments::{ContainerArgs, JsonArgs};
use super::export::unwritten;
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::{CommandError, Kind};
use crate::packages::guest::{Guest, unfit};
use crate::{completion, entry, exports, guest_commands};

/// Show of which container and package a command is
///
/// One that the host has of a container is looked up by its name there; any other in the default container, or the one that is named.
#[derive(Debug, Args)]
pub struct WhichArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// The command
    #[arg(value_name = "CMD", add = ArgValueCompleter::new(completion::exported_commands))]
    command: String,
    #[command(flatten)]
    json: JsonArgs,
}

/// The answer, as `docs/reference/json.md` has it.
#[derive(Debug, Serialize)]
struct Which {
    command: String,
    container: String,
    path: String,
    host: Option<String>,
    package: Option<String>,
    version: Option<String>,
}

/// Shows it.
pub fn execute(context: &Context, args: &WhichArgs) -> Result<ExitCode, CommandError> {
    let of_user = exports::of_user().map_err(unwritten)?;
    let links = exports::links(&of_user).map_err(unwritten)?;
    let named = args.container.container.as_deref().map(|name| context.container(Some(name))).transpose()?;
    let is_meant = |command: &&snug_exports::Command| {
        command.name.as_str() == args.command && named.as_ref().is_none_or(|name| command.container == *name)
    };
    let index = of_user.read().map_err(unwritten)?;
    let bus = context.bus()?;
    let found = match index.commands.iter().find(is_meant) {
        Some(command) => Some((
            command.container.clone(),
            command.path.clone(),
            Some(links.place(&command.name).display().to_string()),
        )),
        None => {
            let container = match named {
                Some(container) => container,
                None => context.default_container()?,
            };
            let path = in_container(context, &bus, &container, &args.command)?;
            path.map(|path| (container, path, None))
        }
    };
    let Some((container, path, host)) = found else {
        return Err(CommandError::user(format!("there is no command {}", escape(&args.command)))
            .hint("`snug provides CMD` says which package has it"));
    };
    let (owner, package) = match Guest::reach(context, &bus, &container, false) {
        Ok(guest) => {
            let owner = owner(&guest, OsStr::new(&path))?;
            let package = guest.installed(owner.as_slice())?.into_iter().next();
            (owner, package)
        }
        // It is of no package then.
        Err(error) if error.kind == Kind::User => (None, None),
        Err(error) => return Err(error),
    };
    let which = Which {
        command: args.command.clone(),
        container: container.to_string(),
        path,
        host,
        version: package.map(|package| package.version),
        package: owner.map(|owner| owner.to_string()),
    };
    if args.json.json {
        super::print_json(context.printer, "which", &which)?;
    } else {
        let package = match (&which.package, &which.version) {
            (Some(package), Some(version)) => format!(" ({package} {version})"),
            (Some(package), None) => format!(" ({package})"),
            _ => String::new(),
        };
        context.printer.answer_line(&escape(&format!("{} of {}{package}", which.path, which.container)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The package that has a command: of a link that no package has (update-alternatives(1)) the one that has what it leads to.
fn owner(guest: &Guest<'_>, path: &OsStr) -> Result<Option<PackageName>, CommandError> {
    let place = |path: &OsStr| GuestPath::new(path).map_err(|error| unfit(&error));
    let of_path = |place: &GuestPath| Ok(guest.ask(&guest.manager.manager.owner(place))?.into_iter().next());
    let here = place(path)?;
    if let Some(owner) = of_path(&here)? {
        return Ok(Some(owner));
    }
    match guest.ask(&executables::behind(&here))? {
        Some(file) if file.as_os_str() != path => of_path(&place(file.as_os_str())?),
        _ => Ok(None),
    }
}

fn in_container(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    command: &str,
) -> Result<Option<String>, CommandError> {
    bus.get(container.as_str(), &Options::new())
        .map_err(|error| entry::suggest(bus, container.as_str(), error))?;
    entry::ensure(context, bus, container.as_str())?;
    Ok(guest_commands::find(context, container, &[command])?.into_iter().next().flatten())
}
