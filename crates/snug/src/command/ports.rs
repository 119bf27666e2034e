//! `snug ports`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::arguments::JsonArgs;
use crate::bus::options::Options;
use crate::bus::view::Port;
use crate::context::Context;
use crate::error::CommandError;
use crate::{completion, entry, table};

/// Show what listens in your containers, and where the host has it
///
/// A port that is bound to the loopback interface in a container (network=mirror) is on the loopback interface of the host, one that is
/// bound to all addresses on all of the host's.
#[derive(Debug, Args)]
pub struct PortsArgs {
    /// Of this container; without it, of all that run
    #[arg(short, long, value_name = "NAME", add = ArgValueCompleter::new(completion::containers))]
    container: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

/// Shows them.
pub fn execute(context: &Context, args: PortsArgs) -> Result<ExitCode, CommandError> {
    let name = args.container.as_deref();
    let bus = context.bus()?;
    let options = Options::new().text("name", name);
    let (mut ports, notices) = bus.ports(&options).map_err(|error| match name {
        Some(name) => entry::suggest(&bus, name, error),
        None => error,
    })?;
    ports.sort_by(|a, b| {
        (&a.container, a.port, &a.protocol, &a.address).cmp(&(&b.container, b.port, &b.protocol, &b.address))
    });
    for notice in &notices {
        context.printer.notice(notice);
    }
    if args.json.json {
        super::print_json(context.printer, "ports", &ports)?;
    } else if ports.is_empty() {
        if notices.is_empty() {
            context.printer.notice("nothing listens in a container that runs");
        }
    } else {
        context.printer.answer(&table::render(
            &["CONTAINER", "LISTENS", "PROCESS", "ON THE HOST"],
            ports.iter().map(row).collect(),
        ))?;
        if let Some(hint) = lower_first_port(&ports) {
            context.printer.hint(&hint);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What lets the host have those that its users may not open (`Opened::NotPermitted`).
fn lower_first_port(ports: &[Port]) -> Option<String> {
    let first = ports.iter().filter(|port| port.state == "not-permitted").map(|port| port.port).min()?;
    Some(format!(
        "`sudo sysctl net.ipv4.ip_unprivileged_port_start={first}` on the host (to stay: in /etc/sysctl.d) opens it to all users, \
         and a port from 1024 on needs nothing"
    ))
}

fn row(port: &Port) -> Vec<String> {
    let number = match port.pids.as_slice() {
        [] => String::new(),
        [pid] => format!(" ({pid})"),
        [pid, ..] => format!(" ({pid}, …)"),
    };
    let address =
        if port.address.contains(':') { format!("[{}]", port.address) } else { port.address.clone() };
    let host = match port.state.as_str() {
        "open" => "open".to_owned(),
        state => format!("{state}: {}", port.text),
    };
    vec![
        port.container.clone(),
        format!("{} {address}:{}", port.protocol, port.port),
        format!("{}{number}", port.process),
        host,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_may_not_open_has_a_hint_that_names_the_lowest() {
        let port = |port, state: &str| Port { port, state: state.into(), ..Port::default() };
        let hint =
            lower_first_port(&[port(443, "not-permitted"), port(22, "taken"), port(80, "not-permitted")]);
        assert!(hint.unwrap().contains("net.ipv4.ip_unprivileged_port_start=80`"));
        assert_eq!(lower_first_port(&[port(22, "taken"), port(8080, "open")]), None);
    }
}
