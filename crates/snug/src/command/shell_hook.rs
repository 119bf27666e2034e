//! `snug shell-hook`.

use std::process::ExitCode;

use clap::Args;

use super::completion::Shell;
use crate::context::Context;
use crate::error::CommandError;
use crate::not_found::store::Store;

/// Print what makes a shell explain commands that are not there
///
/// An unknown command is then answered by what the packages of the default container have: `rg: not here; "snug install ripgrep" gets it`.
/// What Snug does not know goes to the handler that was there before. Scripts see nothing of it.
///
/// bash: `eval "$(snug shell-hook bash)"` in `~/.bashrc`
///
/// zsh: `eval "$(snug shell-hook zsh)"` in `~/.zshrc`
///
/// fish: `snug shell-hook fish | source` in `~/.config/fish/config.fish`
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ShellHookArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints it.
pub fn execute(context: &Context, args: ShellHookArgs) -> Result<ExitCode, CommandError> {
    let text = match args.shell {
        Shell::Bash => include_str!("../../../../data/shell/command-not-found.bash"),
        Shell::Zsh => include_str!("../../../../data/shell/command-not-found.zsh"),
        Shell::Fish => include_str!("../../../../data/shell/command-not-found.fish"),
    };
    // Whoever has this in his shell's file wants lists; a home that cannot be written has none.
    let _ = Store::of_user().and_then(|store| store.want());
    context.printer.answer_bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
