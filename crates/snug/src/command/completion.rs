//! `snug completion`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::completion;
use crate::context::Context;
use crate::error::CommandError;

/// Print the script that makes a shell complete `snug`
///
/// It asks Snug itself for each word, so it knows your containers and images.
///
/// bash: `snug completion bash > ~/.local/share/bash-completion/completions/snug`
///
/// zsh: `snug completion zsh > "${fpath[1]}/_snug"`
///
/// fish: `snug completion fish > ~/.config/fish/completions/snug.fish`
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// The shells.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints it.
pub fn execute(context: &Context, args: CompletionArgs) -> Result<ExitCode, CommandError> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    context.printer.answer_bytes(&completion::script(name)?)?;
    Ok(ExitCode::SUCCESS)
}
