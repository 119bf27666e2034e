//! `snug command-not-found`: what shells call for a word that is no command ([`super::shell_hook`]).

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use snug_packages::name::CommandName;

use super::arguments::ContainerArgs;
use super::export::commands as exported;
use crate::context::Context;
use crate::error::CommandError;
use crate::not_found::hint::{self, Known};
use crate::not_found::store::Store;
use crate::not_found::{build, here, near};
use crate::packages::commands::is_told_secrets;
use crate::{env_vars, exports};

/// Explain a command that is not there, or make the list that it is looked up in
///
/// Ends with 0 where something was told.
#[derive(Debug, Args)]
pub struct CommandNotFoundArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Make the container's list of commands now
    #[arg(long, conflicts_with = "command")]
    refresh: bool,
    /// Only where it is due and the container runs
    #[arg(long, requires = "refresh")]
    background: bool,
    /// What was typed
    #[arg(value_name = "CMD", required_unless_present = "refresh")]
    command: Option<OsString>,
}

/// Explains it, or makes the list.
pub fn execute(context: &Context, args: &CommandNotFoundArgs) -> Result<ExitCode, CommandError> {
    let Some(command) = &args.command else {
        let container = context.container(args.container.container.as_deref())?;
        let make = if args.background { build::in_background } else { build::now };
        return make(context, &container).map(|()| ExitCode::SUCCESS);
    };
    let lines = explain(context, args.container.container.as_deref(), command).unwrap_or_default();
    for line in &lines {
        context.printer.complain(&format!("{}\n", snug_core::text::escape(line)));
    }
    Ok(ExitCode::from(u8::from(lines.is_empty())))
}

/// What is known. Whatever stands in the way, a shell that has not found a command says so itself: `None`.
fn explain(context: &Context, container: Option<&str>, command: &OsStr) -> Option<Vec<String>> {
    // A script's output is for its reader.
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let word = CommandName::new(command.to_str()?).ok()?;
    let is_in_guest = env_vars::non_empty(env_vars::SNUG_GUEST_DIRECTORY).is_some();
    if !is_in_guest && let Some(line) = out_of_path(&word) {
        return Some(vec![line]);
    }
    let default = context.container(container).ok()?;
    let store = Store::of_user().ok()?;
    // Only who uses this needs a list.
    let _ = store.want();
    let list = store.read(&default);
    let here = if is_in_guest { Vec::new() } else { here::having(context, &default, &word) };
    let packages = list.as_ref().map(|list| list.having(&word)).unwrap_or_default();
    let is_known = !here.is_empty() || !packages.is_empty();
    let of_package =
        list.as_ref().filter(|_| !is_known).map(|list| list.of_package(word.as_str())).unwrap_or_default();
    let path = env_vars::non_empty(env_vars::PATH).filter(|_| !is_in_guest);
    let near = path.and_then(|path| near::on_path(&path, word.as_str(), is_known || !of_package.is_empty()));
    let lines = hint::lines(&Known {
        word: &word,
        default: &default,
        distribution: list.as_ref().and_then(|list| list.distribution.as_deref()),
        here,
        packages,
        of_package,
        near,
        is_asked_for: is_told_secrets(word.as_str()),
    });
    let is_begun = build::start_if_due(context, &default);
    if list.is_none() && lines.is_empty() && (is_begun || store.is_being_made(&default)) {
        context.printer.notice(&format!(
            "snug is reading which commands the packages of {default} have: from then on unknown ones are explained"
        ));
    }
    Some(lines)
}

/// An exported command whose directory this shell does not look into.
fn out_of_path(word: &CommandName) -> Option<String> {
    let exports = exports::of_user().ok()?;
    let command = snug_exports::lookup::lookup(exports.directory(), word.as_str()).ok()??;
    let links = exports::links(&exports).ok()?;
    std::fs::symlink_metadata(links.place(&command.name)).ok()?;
    exported::advice(&links).map(|advice| format!("{}: {advice}", word.as_str()))
}
