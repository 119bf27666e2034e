//! What a shell can be offered for a half-typed word: containers, images, presets, settings. The shell asks this program
//! for each word; an answer that takes long is none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::engine::ValueCompleter;
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{CompletionCandidate, PathCompleter};
use snug_core::setting::{Autostart, Setting, SettingKey};
use snug_exports::Index;
use snug_packages::command::CommandLine;
use snug_packages::name::CommandName;

use crate::applications;
use crate::bus::Bus;
use crate::context::Context;
use crate::env_vars;
use crate::error::CommandError;
use crate::exports;
use crate::packages::guest;
use crate::printer::{Level, Printer};

/// Longer than this nobody waits for a word. The first question also starts the daemon.
const DEADLINE: Duration = Duration::from_millis(1500);

/// Commands of a guest that are offered for one word; without any letter there are a thousand.
const MOST_COMMANDS: usize = 200;

/// zsh reads a file of its `fpath` when it is first asked for a word, as the body of that first call: clap's script alone
/// would register itself then and offer nothing.
const ZSH_AUTOLOAD: &str =
    "\nif [[ ${funcstack[1]} == _snug ]]; then\n    _clap_dynamic_completer_snug \"$@\"\nfi\n";

/// Whether a shell asks.
pub fn is_asked_for() -> bool {
    env_vars::non_empty(env_vars::SNUG_COMPLETE).is_some()
}

/// Answers the shell.
pub fn answer() -> ExitCode {
    let asked = CompleteEnv::with_factory(crate::cli::command).var(env_vars::SNUG_COMPLETE).bin("snug");
    match asked.try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The script that makes a shell ask.
pub fn script(shell: &str) -> Result<Vec<u8>, CommandError> {
    let shells = Shells::builtins();
    let completer = shells
        .completer(shell)
        .ok_or_else(|| CommandError::user(format!("no completion for shell '{shell}'")))?;
    let mut script = Vec::new();
    completer
        .write_registration(env_vars::SNUG_COMPLETE, "snug", "snug", "snug", &mut script)
        .map_err(|error| CommandError::failed(format!("the script cannot be made: {error}")))?;
    if shell == "zsh" {
        script.extend_from_slice(ZSH_AUTOLOAD.as_bytes());
    }
    Ok(script)
}

fn bus() -> Option<Bus> {
    Bus::connect(Printer::new(Level::Quiet)).ok()
}

/// The caller's containers.
pub fn containers(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let listed = bus().and_then(|bus| bus.list_within(DEADLINE)).unwrap_or_default();
    listed
        .into_iter()
        .filter(|container| container.name.starts_with(current) && !container.temporary)
        .map(|container| {
            let help = format!("{}, {}", container.state, container.image);
            CompletionCandidate::new(container.name)
                .help(Some(snug_core::text::escape(&help).into_owned().into()))
        })
        .collect()
}

/// Images on this machine and the configuration's short names.
pub fn images(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let context = Context::new(Printer::new(Level::Quiet));
    let mut candidates = Vec::new();
    let here = bus().and_then(|bus| bus.images_within(DEADLINE)).unwrap_or_default();
    for image in here.into_iter().filter(|image| image.reference.starts_with(current)) {
        let help = snug_core::text::escape(&image.description).into_owned();
        candidates.push(CompletionCandidate::new(image.reference).help(Some(help.into())));
    }
    if let Ok(config) = context.config() {
        for (name, image) in config.images.short_names.iter().filter(|(name, _)| name.starts_with(current)) {
            candidates.push(CompletionCandidate::new(name).help(Some(image.clone().into())));
        }
    }
    candidates
}

/// Presets of the configuration.
pub fn presets(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let context = Context::new(Printer::new(Level::Quiet));
    let Ok(config) = context.config() else { return Vec::new() };
    let fitting = config.presets.0.values().filter(|preset| preset.name.starts_with(current));
    fitting
        .map(|preset| CompletionCandidate::new(&preset.name).help(Some(preset.text.clone().into())))
        .collect()
}

/// `cpu=` and so on, and the values of the one that has few.
pub fn settings(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(text) = current.to_str() else { return Vec::new() };
    if !text.contains('=') {
        return keys(current, "=");
    }
    let pairs =
        [Autostart::No, Autostart::Login, Autostart::Boot].map(|when| Setting::Autostart(when).to_string());
    pairs.into_iter().filter(|pair| pair.starts_with(text)).map(CompletionCandidate::new).collect()
}

/// What is exported, as far as can be read.
fn index() -> Index {
    exports::of_user().and_then(|exports| exports.read()).unwrap_or_default()
}

/// Commands that are exported, by their names on the host.
pub fn exported_commands(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let commands = index().commands;
    let names = typable(commands.iter().map(|command| command.name.as_str()), current);
    let of_name = |name: &str| commands.iter().find(|command| command.name.as_str() == name);
    names
        .map(|name| {
            let help = of_name(name).map(|command| format!("{} of {}", command.path, command.container));
            CompletionCandidate::new(name).help(help.map(Into::into))
        })
        .collect()
}

/// Names of commands that begin with a word, in the directories of the guest's PATH.
const COMMANDS: &str = r#"IFS=:
for place in $PATH; do
  for file in "$place/$1"*; do [ -f "$file" ] && [ -x "$file" ] && printf '%s\n' "${file##*/}"; done
done
exit 0"#;

/// Commands of the container that the line names so far, or of the default one. Nobody starts a container for that.
pub fn commands_of_container(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str().filter(|text| !text.contains(['/', '='])) else { return Vec::new() };
    let context = Context::new(Printer::new(Level::Quiet));
    let words: Vec<String> = std::env::args().collect();
    let Ok(name) = context.container(named_container(&words).as_deref()) else { return Vec::new() };
    let listed = bus().and_then(|bus| bus.list_within(DEADLINE)).unwrap_or_default();
    if !listed.iter().any(|container| container.name == name.as_str() && container.is_running()) {
        return Vec::new();
    }
    let argv = ["/bin/sh", "-c", COMMANDS, "sh", current].map(Into::into).into();
    let line = CommandLine { argv, environment: &[], as_root: false };
    let said =
        guest::ask_within(&context, &name, &line, DEADLINE).map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    typable(said.lines(), current).take(MOST_COMMANDS).map(CompletionCandidate::new).collect()
}

/// Names of commands that begin with a word, of those that somebody says there are: each once, and none that a shell would take for more than
/// a word. bash puts what it is offered into the line as it stands: of a guest with `x$(reboot)` on its PATH the host's shell would run that.
fn typable<'a>(names: impl Iterator<Item = &'a str>, current: &str) -> impl Iterator<Item = &'a str> {
    let fitting = names.filter(|name| name.starts_with(current) && CommandName::new(name).is_ok());
    fitting.collect::<BTreeSet<&str>>().into_iter()
}

/// Applications that are exported, by their ids.
pub fn exported_applications(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let fitting = index().applications.into_iter().filter(|one| one.id.as_str().starts_with(current));
    fitting
        .map(|one| {
            CompletionCandidate::new(one.id.as_str()).help(Some(format!("of {}", one.container).into()))
        })
        .collect()
}

/// Applications of the container that the line names so far, or of the default one, where that runs.
pub fn applications(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let words: Vec<String> = std::env::args().collect();
    let context = Context::new(Printer::new(Level::Quiet));
    let Ok(container) = context.container(named_container(&words).as_deref()) else { return Vec::new() };
    let listed = bus().and_then(|bus| bus.list_within(DEADLINE)).unwrap_or_default();
    if !listed.iter().any(|there| there.name == container.as_str() && there.is_running()) {
        return Vec::new();
    }
    let ids = applications::guest::list(&context, &container, DEADLINE).unwrap_or_default();
    let fitting = ids.into_iter().filter(|id| id.as_str().starts_with(current));
    fitting.map(|id| CompletionCandidate::new(id.as_str())).collect()
}

/// Sockets that are exported, by their paths in the containers.
pub fn exported_sockets(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let sockets = index().sockets;
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for socket in sockets.into_iter().filter(|socket| socket.path.starts_with(current)) {
        owners.entry(socket.path).or_default().push(socket.container.to_string());
    }
    owners
        .into_iter()
        .map(|(path, containers)| {
            CompletionCandidate::new(path).help(Some(format!("of {}", containers.join(", ")).into()))
        })
        .collect()
}

/// Snapshots of the container that the line names so far, or of the default one.
pub fn snapshots(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let words: Vec<String> = std::env::args().collect();
    let Some(name) = named_container(&words)
        .or_else(|| Context::new(Printer::new(Level::Quiet)).default_container().ok().map(String::from))
    else {
        return Vec::new();
    };
    let listed = bus().and_then(|bus| bus.snapshots_within(&name, DEADLINE)).unwrap_or_default();
    let fitting = listed.into_iter().filter(|snapshot| snapshot.name.starts_with(current));
    fitting
        .map(|snapshot| {
            let help = format!("before: {}", snapshot.before);
            CompletionCandidate::new(snapshot.name)
                .help(Some(snug_core::text::escape(&help).into_owned().into()))
        })
        .collect()
}

/// What stands after `-c` in a line that is being typed.
fn named_container(words: &[String]) -> Option<String> {
    words.iter().enumerate().find_map(|(at, word)| match word.as_str() {
        "-c" | "--container" => words.get(at + 1).cloned(),
        word => word.strip_prefix("--container=").map(str::to_owned),
    })
}

/// `NAME:` of a container, and paths of the host.
pub fn places(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = PathCompleter::any().complete(current);
    let is_name = current.to_str().is_some_and(|text| !text.contains(['/', ':', '.']));
    if is_name {
        let named = containers(current).into_iter();
        candidates.extend(named.map(|name| {
            let mut place = name.get_value().to_owned();
            place.push(":");
            CompletionCandidate::new(place).help(name.get_help().cloned())
        }));
    }
    candidates
}

/// `cpu` and so on.
pub fn setting_keys(current: &OsStr) -> Vec<CompletionCandidate> {
    keys(current, "")
}

fn keys(current: &OsStr, after: &str) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    SettingKey::ALL
        .into_iter()
        .filter(|key| key.word().starts_with(current))
        .map(|key| CompletionCandidate::new(format!("{key}{after}")).help(Some(key.values().into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_offered_that_a_shell_takes_apart() {
        let said = "rg\nrgrep\nrg\nrg$(reboot)\nrg`x`\nrg;x\nrg x\nrg'x\nrg\\x\nrg|x\nrg>x\nrg&\nrg*\nrg\x1b[2J\nrg\u{202e}\n-rg\nfd\ng++\n";
        assert_eq!(typable(said.lines(), "rg").collect::<Vec<_>>(), ["rg", "rgrep"]);
        assert_eq!(typable(said.lines(), "").collect::<Vec<_>>(), ["fd", "g++", "rg", "rgrep"]);
    }
}
