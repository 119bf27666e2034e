//! `snug doctor`.

mod exports;
mod guest;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use snug_core::text;

use super::arguments::JsonArgs;
use crate::bus::options::Options;
use crate::bus::view::Check;
use crate::completion;
use crate::context::Context;
use crate::entry;
use crate::error::CommandError;
use crate::printer::{DIM, ERROR, GOOD, HINT, WARNING};

/// Where devices are.
const DEV: &str = "/dev";

/// Look for what is missing or wrong, and say what to do about it
///
/// Ends with 1 when something is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look why a container has this device of the host, or has it not: host, owner, grant or guest; `ttyUSB0` is `/dev/ttyUSB0`
    #[arg(long, value_name = "NODE", value_hint = ValueHint::FilePath)]
    device: Option<PathBuf>,
    /// Of which container; without it, of the default container
    #[arg(short, long, value_name = "NAME", requires = "device", add = ArgValueCompleter::new(completion::containers))]
    container: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

/// First what can be seen from here, then what the daemon sees.
pub fn execute(context: &Context, args: DoctorArgs) -> Result<ExitCode, CommandError> {
    if let Some(device) = &args.device {
        let name = context.container(args.container.as_deref())?;
        let device = node(device)?;
        let device = device
            .to_str()
            .ok_or_else(|| CommandError::failed(format!("{} is no name of a device", device.display())))?;
        let options = Options::new().text("device", Some(device)).text("name", Some(name.as_str()));
        let bus = context.bus()?;
        let mut checks = bus.doctor(&options).map_err(|error| entry::suggest(&bus, name.as_str(), error))?;
        for check in checks.iter_mut().filter(|check| !check.node.is_empty()) {
            let there = guest::look(context.target(&name), &check.node);
            guest::tell(check, &name, there);
        }
        return show(context, args.json, &checks);
    }
    let mut checks = vec![configuration(context)];
    let mut containers: Option<Vec<String>> = None;
    match context.bus() {
        Ok(bus) => {
            checks.push(check("bus", "ok", "the system bus answers", ""));
            match bus.doctor(&Options::new()) {
                Ok(found) => checks.extend(found),
                Err(error) => checks.push(failed("daemon", &error)),
            }
            let listed = bus.list(&Options::new()).ok();
            containers = listed.map(|all| all.into_iter().map(|container| container.name).collect());
        }
        Err(error) => checks.push(failed("bus", &error)),
    }
    checks.extend(exports::look(context, containers.as_deref()));
    show(context, args.json, &checks)
}

/// The path of a device: the daemon has another directory. What is no path below `/dev` from here is a name there.
fn node(given: &Path) -> Result<PathBuf, CommandError> {
    let path = std::path::absolute(given)
        .map_err(|error| CommandError::failed(format!("{}: {error}", given.display())))?;
    let is_name = given.is_relative() && !path.starts_with(DEV);
    Ok(if is_name { Path::new(DEV).join(given) } else { path })
}

fn show(context: &Context, json: JsonArgs, checks: &[Check]) -> Result<ExitCode, CommandError> {
    let wrong = checks.iter().any(|check| check.status == "error");
    if json.json {
        super::print_json(context.printer, "checks", &checks)?;
    } else {
        context.printer.answer(&checks.iter().map(render).collect::<String>())?;
    }
    Ok(ExitCode::from(u8::from(wrong)))
}

fn configuration(context: &Context) -> Check {
    match context.config() {
        Ok(config) => check(
            "your-settings",
            "ok",
            &format!("the default container is {}", config.default_container),
            "",
        ),
        Err(error) => failed("your-settings", &error),
    }
}

fn check(check: &str, status: &str, text: &str, hint: &str) -> Check {
    let (check, status, text, hint) = (check.into(), status.into(), text.into(), hint.into());
    Check { check, status, text, hint, node: String::new() }
}

fn failed(name: &str, error: &CommandError) -> Check {
    check(name, "error", &error.to_string(), &error.hints.join("\n"))
}

fn render(check: &Check) -> String {
    let style = match check.status.as_str() {
        "ok" => GOOD,
        "notice" => DIM,
        "warning" => WARNING,
        _ => ERROR,
    };
    let status = text::escape(&check.status);
    let mut out = format!(
        "{style}{status:8}{style:#} {:16} {}\n",
        text::escape(&check.check),
        text::escape(&check.text)
    );
    for hint in check.hint.lines().filter(|hint| !hint.is_empty()) {
        out.push_str(&format!("{:25} {HINT}hint:{HINT:#} {}\n", "", text::escape(hint)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_be_named_without_its_directory() {
        for (given, path) in [
            ("/dev/ttyUSB0", "/dev/ttyUSB0"),
            ("ttyUSB0", "/dev/ttyUSB0"),
            ("net/tun", "/dev/net/tun"),
            ("/etc/passwd", "/etc/passwd"),
        ] {
            assert_eq!(node(Path::new(given)).unwrap(), Path::new(path), "{given}");
        }
    }
}
