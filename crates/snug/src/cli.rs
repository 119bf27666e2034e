//! The commands and their options, as clap parses them.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use snug_core::text;

use crate::command;
use crate::context::Context;
use crate::error::CommandError;
use crate::printer::{Level, Printer};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::Green.on_default())
    .invalid(AnsiColor::Yellow.on_default());

/// Any tool of any distribution, as if the host had it.
///
/// Snug runs commands in persistent containers that share your home and feel like the host itself.
/// Without a command it shows what there is and what to do next.
#[derive(Debug, Parser)]
#[command(name = "snug", bin_name = "snug", version, styles = STYLES, max_term_width = 100)]
#[command(disable_help_subcommand = false, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that mean the same everywhere.
#[derive(Debug, Clone, Copy, Args)]
pub struct GlobalArgs {
    /// Print nothing but the answer and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,
    /// Tell what happens step by step
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
}

impl GlobalArgs {
    fn printer(self) -> Printer {
        Printer::new(match self {
            Self { quiet: true, .. } => Level::Quiet,
            Self { verbose: true, .. } => Level::Verbose,
            _ => Level::Default,
        })
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Install(command::install::InstallArgs),
    Uninstall(command::uninstall::UninstallArgs),
    Upgrade(command::upgrade::UpgradeArgs),
    Search(command::search::SearchArgs),
    Provides(command::search::ProvidesArgs),
    Which(command::which::WhichArgs),
    X(command::x::XArgs),
    Dump(command::dump::DumpArgs),
    Apply(command::apply::ApplyArgs),
    Export(command::export::ExportArgs),
    Unexport(command::unexport::UnexportArgs),
    Exports(command::exports::ExportsArgs),
    Enter(command::enter::EnterArgs),
    Run(command::run::RunArgs),
    Create(command::create::CreateArgs),
    #[command(visible_alias = "ls")]
    List(command::list::ListArgs),
    Info(command::info::InfoArgs),
    Grants(command::grants::GrantsArgs),
    Ports(command::ports::PortsArgs),
    Start(command::start::StartArgs),
    Stop(command::stop::StopArgs),
    Restart(command::restart::RestartArgs),
    #[command(alias = "remove")]
    Rm(command::rm::RmArgs),
    Prune(command::prune::PruneArgs),
    Cp(command::cp::CpArgs),
    Set(command::set::SetArgs),
    Unset(command::unset::UnsetArgs),
    Undo(command::undo::UndoArgs),
    Logs(command::logs::LogsArgs),
    Image(command::image::ImageArgs),
    Doctor(command::doctor::DoctorArgs),
    Session(command::session::SessionArgs),
    Completion(command::completion::CompletionArgs),
    ShellHook(command::shell_hook::ShellHookArgs),
    #[command(name = "command-not-found", hide = true)]
    NotFound(command::command_not_found::CommandNotFoundArgs),
    #[command(hide = true)]
    Man(command::man::ManArgs),
    #[command(hide = true)]
    Markdown(command::markdown::MarkdownArgs),
    #[command(skip)]
    Overview,
}

impl Command {
    /// Status of Snug's own failure, where it is not the usual one: a command's own status must be told apart from it.
    pub fn failure_status(&self) -> Option<u8> {
        matches!(self, Self::Run(_) | Self::Enter(_) | Self::X(_)).then_some(FAILURE)
    }

    /// Does it.
    pub fn execute(self, context: &Context) -> Result<ExitCode, CommandError> {
        match self {
            Self::Enter(args) => command::enter::execute(context, args),
            Self::Run(args) => command::run::execute(context, args),
            Self::Create(args) => command::create::execute(context, args),
            Self::List(args) => command::list::execute(context, args),
            Self::Info(args) => command::info::execute(context, args),
            Self::Grants(args) => command::grants::execute(context, args),
            Self::Ports(args) => command::ports::execute(context, args),
            Self::Install(args) => command::install::execute(context, &args),
            Self::Uninstall(args) => command::uninstall::execute(context, &args),
            Self::Upgrade(args) => command::upgrade::execute(context, &args),
            Self::Search(args) => command::search::search(context, &args),
            Self::Provides(args) => command::search::provides(context, &args),
            Self::Which(args) => command::which::execute(context, &args),
            Self::X(args) => command::x::execute(context, args),
            Self::Dump(args) => command::dump::execute(context, &args),
            Self::Apply(args) => command::apply::execute(context, &args),
            Self::Export(args) => command::export::execute(context, &args),
            Self::Unexport(args) => command::unexport::execute(context, &args),
            Self::Exports(args) => command::exports::execute(context, args),
            Self::Start(args) => command::start::execute(context, args),
            Self::Stop(args) => command::stop::execute(context, args),
            Self::Restart(args) => command::restart::execute(context, args),
            Self::Rm(args) => command::rm::execute(context, args),
            Self::Prune(args) => command::prune::execute(context, args),
            Self::Cp(args) => command::cp::execute(context, args),
            Self::Set(args) => command::set::execute(context, args),
            Self::Unset(args) => command::unset::execute(context, args),
            Self::Undo(args) => command::undo::execute(context, args),
            Self::Logs(args) => command::logs::execute(context, args),
            Self::Image(args) => command::image::execute(context, args),
            Self::Doctor(args) => command::doctor::execute(context, args),
            Self::Session(args) => command::session::execute(context, &args),
            Self::Completion(args) => command::completion::execute(context, args),
            Self::ShellHook(args) => command::shell_hook::execute(context, args),
            Self::NotFound(args) => command::command_not_found::execute(context, &args),
            Self::Man(args) => command::man::execute(context, args),
            Self::Markdown(args) => command::markdown::execute(context, args),
            Self::Overview => command::overview::execute(context),
        }
    }
}

/// Status of `run`, `enter` and `x` when Snug itself fails, as of `env` and `nohup` (POSIX).
const FAILURE: u8 = 125;

/// `snug run` alone: building the whole tree of commands costs more than everything else on the hot path.
#[derive(Debug, Parser)]
#[command(name = "snug run", no_binary_name = true, styles = STYLES)]
struct RunOnly {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(flatten)]
    args: command::run::RunArgs,
}

/// Parses a command line. An error or a text that was asked for has been printed already: only the status is left.
pub fn parse(arguments: &[OsString]) -> Result<(Context, Command), ExitCode> {
    if let Some(run) = parse_run(arguments) {
        return Ok((Context::new(run.global.printer()), Command::Run(run.args)));
    }
    let parsed =
        Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => Ok((Context::new(cli.global.printer()), cli.command.unwrap_or(Command::Overview))),
        Err(error) => Err(refuse(&with_nearest(error, arguments), arguments)),
    }
}

/// What cannot be parsed here is parsed again by the whole tree, which words help and errors.
fn parse_run(arguments: &[OsString]) -> Option<RunOnly> {
    let words = arguments.get(1).filter(|word| *word == "run").and(arguments.get(2..))?;
    parse_plain_run(words).or_else(|| RunOnly::try_parse_from(words).ok())
}

/// `[-c NAME] [--] CMD…`, which is nearly every run: clap alone would take a tenth of the whole command's time (140 µs
/// of 1.9 ms, measured). A test compares what the two make of each line.
fn parse_plain_run(words: &[OsString]) -> Option<RunOnly> {
    let is_option = |word: &&OsString| word.as_encoded_bytes().starts_with(b"-");
    let (container, rest) = match words {
        [option, name, rest @ ..] if option == "-c" => (Some(name), rest),
        rest => (None, rest),
    };
    let command = match rest {
        [dashes, command @ ..] if dashes == "--" => command,
        command if command.first().is_some_and(|word| !is_option(&word)) => command,
        _ => return None,
    };
    if command.is_empty() || container.as_ref().is_some_and(is_option) {
        return None;
    }
    let container = container.map(|name| name.to_str().map(str::to_owned).ok_or(())).transpose().ok()?;
    let args = command::run::RunArgs::plain(container, command.to_vec());
    Some(RunOnly { global: GlobalArgs { quiet: false, verbose: false }, args })
}

/// A command that does not exist, with the one that was probably meant: clap alone finds none for a short word with two
/// letters swapped.
fn with_nearest(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return error;
    }
    let mut command = Cli::command();
    command.build();
    let mut parent = &command;
    for argument in arguments.iter().skip(1).take_while(|argument| *argument != word.as_str()) {
        parent = parent.find_subcommand(argument).unwrap_or(parent);
    }
    let shown = parent.get_subcommands().filter(|command| !command.is_hide_set());
    let names =
        shown.flat_map(|command| std::iter::once(command.get_name()).chain(command.get_visible_aliases()));
    if let Some(near) = text::nearest(word, names) {
        let near = ContextValue::Strings(vec![near.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, near);
    }
    error
}

fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // A text that cannot be written has no reader; the status says the rest.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let command = arguments.iter().skip(1).find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    match command {
        Some(word) if word == "run" || word == "enter" || word == "x" => ExitCode::from(FAILURE),
        _ => ExitCode::from(2),
    }
}

/// The whole tree, for documents and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests;
