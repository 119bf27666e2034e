//! `snug exports`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::arguments::JsonArgs;
use crate::context::Context;
use crate::error::CommandError;
use crate::exports::{Exports, Socket};
use crate::table;

/// Show what the host has of your containers
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
}

impl Export {
    fn of(socket: &Socket) -> Self {
        Self {
            kind: "socket",
            container: socket.container.to_string(),
            path: socket.path.clone(),
            host: socket.place().ok().map(|place| place.display().to_string()),
            open: socket.is_there(),
        }
    }
}

/// Shows them.
pub fn execute(context: &Context, args: ExportsArgs) -> Result<ExitCode, CommandError> {
    let failed =
        |error| CommandError::failed("the index of what is exported cannot be read").caused_by(error);
    let sockets = Exports::of_user().and_then(|exports| exports.sockets()).map_err(failed)?;
    // What is open can be seen without the service, too.
    if let Some(socket) = sockets.first()
        && let Err(error) = context.serve_exports(&socket.container)
    {
        context.printer.warning(&error.to_string());
    }
    let exports: Vec<Export> = sockets.iter().map(Export::of).collect();
    if args.json.json {
        super::print_json(context.printer, "exports", &exports)?;
    } else if exports.is_empty() {
        context.printer.notice("nothing is exported");
    } else {
        let rows = exports.iter().map(|export| {
            let host = export.host.clone().unwrap_or_default();
            let host = if export.open { host } else { format!("not open: {host}") };
            vec![export.container.clone(), format!("{} {}", export.kind, export.path), host]
        });
        context.printer.answer(&table::render(&["CONTAINER", "WHAT", "ON THE HOST"], rows.collect()))?;
    }
    Ok(ExitCode::SUCCESS)
}
