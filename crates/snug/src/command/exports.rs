//! `snug exports`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use snug_core::text::escape;
use snug_exports::link::State;
use snug_exports::{Application, Command, Documents, Files, Index, Links, Socket};

use super::arguments::JsonArgs;
use crate::context::Context;
use crate::error::CommandError;
use crate::{documents, exports, table};

/// Show what the host has of your containers
///
/// Of commands and applications also the package and the version, as they were when Snug last installed or upgraded something there.
#[derive(Debug, Args)]
pub struct ExportsArgs {
    #[command(flatten)]
    json: JsonArgs,
}

/// One of them, as `docs/reference/json.md` has it.
#[derive(Debug, Serialize)]
struct Export {
    kind: &'static str,
    container: String,
    path: String,
    host: Option<String>,
    open: bool,
    package: Option<String>,
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Export {
    fn of_command(command: &Command, links: &Links, documents: &Documents) -> Self {
        let about = documents
            .about(&command.name)
            .filter(|about| about.container == command.container && about.path == command.path);
        let (package, version) = about.map_or((None, None), |about| (about.package, about.version));
        Self {
            package,
            version,
            kind: "command",
            container: command.container.to_string(),
            path: command.path.clone(),
            host: Some(links.place(&command.name).display().to_string()),
            open: links.state(&command.name).is_ok_and(|state| state == State::Ours),
            id: None,
        }
    }

    fn of_socket(socket: &Socket) -> Self {
        Self {
            kind: "socket",
            container: socket.container.to_string(),
            path: socket.path.clone(),
            host: socket.place().ok().map(|place| place.display().to_string()),
            open: socket.is_there(),
            package: None,
            version: None,
            id: None,
        }
    }

    /// Its package and version.
    fn of_package(&self) -> String {
        let words: Vec<&str> =
            [&self.package, &self.version].into_iter().flatten().map(String::as_str).collect();
        words.join(" ")
    }

    /// `links` are those of applications.
    fn of_application(application: &Application, files: &Files, links: &Links) -> Self {
        let name = application.name();
        let entry = files.place(&name.entry());
        let runs = name.link().is_ok_and(|link| links.state(&link).is_ok_and(|state| state == State::Ours));
        Self {
            kind: "application",
            container: application.container.to_string(),
            path: application.path.clone(),
            open: runs && entry.is_file(),
            package: application.package.clone(),
            version: application.version.clone(),
            host: Some(entry.display().to_string()),
            id: Some(application.id.to_string()),
        }
    }

    /// What it is in the container: an application by its id, all else by its path.
    fn what(&self) -> String {
        format!("{} {}", self.kind, self.id.as_deref().unwrap_or(&self.path))
    }

    /// Where the host has it, or would have it.
    fn shown(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        match self.kind {
            _ if self.open => host.to_owned(),
            "command" | "application" => format!("not there: {host}"),
            _ => format!("not open: {host}"),
        }
    }
}

/// Shows them.
pub fn execute(context: &Context, args: ExportsArgs) -> Result<ExitCode, CommandError> {
    let failed =
        |error| CommandError::failed("the index of what is exported cannot be read").caused_by(error);
    let of_user = exports::of_user().map_err(failed)?;
    let links = exports::links(&of_user).map_err(failed)?;
    let index = of_user.read().map_err(failed)?;
    mend(context, &index, &links);
    let documents = documents::of_user(&of_user, &links);
    let commands = index.commands.iter().map(|command| Export::of_command(command, &links, &documents));
    let (files, applied) = (Files::new(of_user.directory()), Links::of_applications(of_user.directory()));
    let applications = index.applications.iter().map(|one| Export::of_application(one, &files, &applied));
    let exports: Vec<Export> =
        commands.chain(applications).chain(index.sockets.iter().map(Export::of_socket)).collect();
    if args.json.json {
        super::print_json(context.printer, "exports", &exports)?;
    } else if exports.is_empty() {
        context.printer.notice("nothing is exported");
    } else {
        let rows = exports.iter().map(|export| {
            vec![
                export.container.clone(),
                escape(&export.what()).into_owned(),
                escape(&export.of_package()).into_owned(),
                export.shown(),
            ]
        });
        let heads = ["CONTAINER", "WHAT", "PACKAGE", "ON THE HOST"];
        context.printer.answer(&table::render(&heads, rows.collect()))?;
    }
    for name in links.stray(|name| index.commands.iter().any(|command| command.name.as_str() == name)) {
        let place = links.place(&name);
        context.printer.warning(&format!(
            "{} leads to no container: `snug unexport --bin {name}` removes it",
            place.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Has all of it where it belongs, as far as that needs nobody's leave. What is there can be seen without it, too.
fn mend(context: &Context, index: &Index, links: &Links) {
    if !(index.commands.is_empty() && index.applications.is_empty())
        && let Err(error) = links.repair(&context.paths.shim())
    {
        context.printer.warning(&format!("exported commands do not work: {error}"));
    }
    if let Some(socket) = index.sockets.first()
        && let Err(error) = context.serve_exports(&socket.container)
    {
        context.printer.warning(&error.to_string());
    }
}
