//! `snug session`.

use std::process::ExitCode;

use clap::Args;
use snug_exec::sys::process::{Fork, go_to_background};

use crate::context::Context;
use crate::error::CommandError;
use crate::service::Service;
use crate::service::listener::{Listener, Opened};

/// Carry out on the host what your containers ask for
///
/// Rarely typed: it is started when a container that may ask (`host-exec`, `host-open`) is used, and leaves when none runs.
#[derive(Debug, Args)]
pub struct SessionArgs {
    /// Return as soon as it serves
    #[arg(long)]
    background: bool,
}

/// Serves until it is told to end, or no container is left.
pub fn execute(context: &Context, args: &SessionArgs) -> Result<ExitCode, CommandError> {
    let failed =
        |what: &'static str| move |error| CommandError::failed(format!("cannot {what}")).caused_by(error);
    let listener = match Listener::open().map_err(failed("listen for containers to serve"))? {
        Opened::Here(listener) => listener,
        Opened::Elsewhere => {
            if !args.background {
                context.printer.notice("your session is served already");
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    if args.background
        && let Fork::Parent(()) = go_to_background().map_err(failed("go to the background"))?
    {
        return Ok(ExitCode::SUCCESS);
    }
    let listener = listener.keep_alone().map_err(failed("close what was inherited"))?;
    let paths = context.paths.clone();
    Service::new(paths, listener).and_then(Service::run).map_err(failed("serve the containers"))?;
    Ok(ExitCode::SUCCESS)
}
