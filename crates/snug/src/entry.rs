//! Getting into a container: straight to its agent, and only when nobody answers there through the daemon, which starts
//! it, makes it or mends it.

use snug_client::{Outcome, Request};

use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::context::Context;
use crate::creation;
use crate::error::{self, CommandError, Kind};

/// How often the daemon may say that a container runs while its agent does not answer.
const ATTEMPTS: u32 = 3;

/// Makes the container of a request run.
pub type Ensure<'a> = dyn Fn(&Bus) -> Result<(), CommandError> + 'a;

/// Runs a command; `ensure` is called when the container does not run.
pub fn run(context: &Context, request: &Request, ensure: &Ensure<'_>) -> Result<Outcome, CommandError> {
    let mut bus = None;
    for _ in 0..ATTEMPTS {
        match snug_client::run(request) {
            Ok(outcome) => return Ok(outcome),
            Err(snug_client::Error::NotRunning { .. }) => {
                let bus = match &bus {
                    Some(bus) => bus,
                    None => bus.insert(context.bus()?),
                };
                ensure(bus)?;
            }
            Err(error) => return Err(from_client(&error)),
        }
    }
    let error = CommandError::failed(format!(
        "container {} runs, but its agent does not answer",
        request.target.name()
    ));
    Err(error
        .hint(format!("`snug restart {}` starts it afresh", request.target.name()))
        .hint(format!("`snug logs {}` shows its console", request.target.name())))
}

/// An error of the hot path.
pub fn from_client(failure: &snug_client::Error) -> CommandError {
    use snug_client::Error;
    let refusal = match failure {
        Error::NoDirectory(refusal) | Error::System { source: refusal, .. } => Some(refusal),
        Error::Agent { source: snug_wire::socket::WireError::System(refusal), .. } => Some(refusal),
        _ => None,
    };
    if refusal.is_some_and(error::is_out_of_descriptors) {
        return error::out_of_descriptors();
    }
    CommandError::failed(failure.to_string()).with_hints(failure.hints())
}

/// Prints what the outcome leaves to be said, and ends as the command ended.
pub fn finish(context: &Context, outcome: &Outcome) -> std::process::ExitCode {
    if let Outcome::Failed { message, hints, .. } = outcome {
        context.printer.error(&CommandError::failed(message.as_str()).with_hints(hints.iter().cloned()));
    }
    snug_client::finish(outcome)
}

/// Makes a container run: the default one is made when it is missing.
pub fn ensure(context: &Context, bus: &Bus, name: &str) -> Result<(), CommandError> {
    let config = context.config()?;
    let mut options = Options::new();
    if config.default_container.as_str() == name {
        // Short names of the user's own configuration are known here alone.
        let image = config.images.parse(&config.default_image)?.to_string();
        options = creation::options(context, &config.default_preset, &[], options)?;
        options = options.switch("create", true).text("image", Some(&image));
    }
    let ended =
        bus.change(&Change::ensure(name, options)).map_err(|error| suggest_or_create(bus, name, error))?;
    for notice in &ended.notices {
        context.printer.notice(notice);
    }
    ended.go_on()
}

/// Adds to "there is no such container" what may have been meant.
pub fn suggest(bus: &Bus, name: &str, mut error: CommandError) -> CommandError {
    if error.kind != Kind::NotFound {
        return error;
    }
    let existing = bus.list(&Options::new()).unwrap_or_default();
    let names: Vec<&str> = existing.iter().map(|container| container.name.as_str()).collect();
    if let Some(nearest) = snug_core::text::nearest(name, names.iter().copied()) {
        error.hints.insert(0, format!("did you mean '{nearest}'?"));
    }
    error
}

/// The same for what needs a container and could do with a new one.
pub fn suggest_or_create(bus: &Bus, name: &str, error: CommandError) -> CommandError {
    match suggest(bus, name, error) {
        error if error.kind == Kind::NotFound => error.hint(format!("`snug create {name}` makes it")),
        error => error,
    }
}
