//! `snug uninstall`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use snug_core::name::ContainerName;
use snug_packages::manager::going;
use snug_packages::name::PackageName;

use super::arguments::{ContainerArgs, DryRunArgs, YesArgs, show_plan};
use crate::applications::export;
use crate::context::Context;
use crate::error::CommandError;
use crate::list::save::Save;
use crate::packages::commands;
use crate::packages::guest::{Guest, unfit};
use crate::packages::held::Held;
use crate::packages::log::Log;
use crate::packages::record;
use crate::packages::turn::Turn;
use crate::words;

/// Uninstall packages of a container, and take back the commands and applications that the host has of them
///
/// What only they needed goes with them; configuration that somebody changed stays. On a terminal you are asked first where more than the
/// named packages would go.
#[derive(Debug, Default, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Names of packages
    #[arg(value_name = "PKG", required = true)]
    packages: Vec<String>,
    /// Take the packages out of this list, as `snug apply` takes it, when they are gone
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    save: Option<PathBuf>,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl UninstallArgs {
    /// For packages that a list does not name.
    pub fn of(container: &ContainerName, packages: &[String], yes: bool) -> Self {
        Self {
            container: ContainerArgs { container: Some(container.to_string()) },
            packages: packages.to_vec(),
            yes: YesArgs { yes },
            ..Self::default()
        }
    }
}

/// Uninstalls them.
pub fn execute(context: &Context, args: &UninstallArgs) -> Result<ExitCode, CommandError> {
    let container = context.container(args.container.container.as_deref())?;
    let save = args.save.as_deref().map(|file| Save::open(context, file, &container)).transpose()?;
    let bus = context.bus()?;
    let what = format!("uninstall {}", args.packages.join(" "));
    // Nobody is kept waiting for a plan.
    let _turn = (!args.dry_run.dry_run).then(|| Turn::wait(context, &container, &what));
    let guest = Guest::reach(context, &bus, &container, false)?;
    let manager = guest.manager.manager;
    let words: Vec<PackageName> = args
        .packages
        .iter()
        .map(|name| manager.package(name))
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(&error))?;
    let names = meant(&container, &guest.held(&words)?)?;
    let orphans = match manager.orphans() {
        Some(orphans) => guest.ask(&orphans)?,
        None => Vec::new(),
    };
    let preview = guest.ask(&manager.preview_removal(&names))?;
    let going = going(&names, &preview, &orphans);
    if args.dry_run.dry_run {
        let plan: Vec<String> =
            going.iter().map(|name| format!("remove {name} from '{container}'")).collect();
        show_plan(context.printer, &plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let others: Vec<&str> =
        going.iter().filter(|name| !names.contains(name)).map(PackageName::as_str).collect();
    if !others.is_empty() && !args.yes.yes && context.printer.can_ask() {
        const SHOWN: usize = 30;
        let more = if others.len() > SHOWN { " and more" } else { "" };
        let question = format!(
            "{} of {container} would go, too: {}{more}. Remove them?",
            words::count(others.len(), "other package"),
            others[..others.len().min(SHOWN)].join(", ")
        );
        if !context.printer.confirm(&question, true)? {
            context.printer.notice("nothing was removed");
            return Ok(ExitCode::from(1));
        }
    }
    let mut log = Log::begin(context, &container, &what);
    let exported = commands::present(context, &container)?;
    let applications = export::present(context, &container)?;
    let done = {
        let progress = context.printer.progress();
        let mut line = progress.line(container.as_str());
        line.stage("removing");
        guest.remember(&bus, &what)?;
        guest.carry_out(&manager.remove(&names, &preview, &orphans), &mut line, &mut log)
    };
    // Also where it has failed: what is gone is gone.
    let taken = commands::forget_gone(context, &container, &exported);
    let applications = export::forget_gone(context, &container, &applications);
    done.map_err(|error| guest.failed_change(error))?;
    let mut taken = taken?;
    taken.extend(applications?.into_iter().map(String::from));
    let left = guest.installed(&names)?;
    if !left.is_empty() {
        // apk keeps what another package needs, and says so.
        let left: Vec<&str> = left.iter().map(|package| package.name.as_str()).collect();
        return Err(log.explain(CommandError::failed(format!("{container} has kept {}", left.join(", ")))));
    }
    let gone: Vec<&str> = going.iter().map(PackageName::as_str).collect();
    context.printer.notice(&format!("removed from {container}: {}", gone.join(", ")));
    if !taken.is_empty() {
        context.printer.notice(&format!("the host has no more: {}", taken.join(", ")));
    }
    record::uninstalled(&guest, &going);
    if let Some(save) = save {
        save.uninstalled(&going.iter().map(PackageName::to_string).collect::<Vec<_>>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The packages that are meant: what is not installed is an error, and so is a word that several of them provide.
fn meant(container: &ContainerName, held: &[Held]) -> Result<Vec<PackageName>, CommandError> {
    let missing = held.iter().filter(|held| held.packages.is_empty());
    let missing: Vec<&str> = missing.map(|held| held.word.as_str()).collect();
    if !missing.is_empty() {
        return Err(CommandError::user(format!("{container} has no {}", missing.join(" and no ")))
            .hint(format!("`snug which CMD` says which package of {container} a command is of")));
    }
    let mut names: Vec<PackageName> = Vec::new();
    for held in held {
        let own = held.names();
        if own.len() > 1 {
            let own: Vec<&str> = own.iter().map(PackageName::as_str).collect();
            return Err(CommandError::user(format!("{} of {container} is several packages", held.word))
                .hint(format!("name one of {}", own.join(", "))));
        }
        names.extend(own.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use snug_packages::answer::Package;

    use super::*;

    #[test]
    fn of_what_several_provide_none_is_removed() {
        let name = |name: &str| PackageName::read(name.as_bytes()).unwrap();
        let package = |text: &str| Package { name: name(text), version: "1".to_owned() };
        let held = |word: &str, packages: &[&str], is_named| Held {
            word: name(word),
            packages: packages.iter().map(|text| package(text)).collect(),
            is_named,
        };
        let container = "tools".parse().unwrap();
        let all = [held("vim", &["vim-enhanced"], false), held("vim-enhanced", &["vim-enhanced"], true)];
        assert_eq!(meant(&container, &all).unwrap(), [name("vim-enhanced")]);
        assert_eq!(meant(&container, &[held("libc6:i386", &["libc6"], true)]).unwrap(), [name("libc6:i386")]);
        let several = meant(&container, &[held("awk", &["gawk", "mawk"], false)]).unwrap_err();
        assert_eq!(several.hints, ["name one of gawk, mawk"]);
        let none = meant(&container, &[held("rg", &[], false)]).unwrap_err();
        assert_eq!(none.to_string(), "tools has no rg");
    }
}
