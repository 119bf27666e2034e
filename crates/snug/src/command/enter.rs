//! `snug enter`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use clap_complete::{ArgValueCompleter, PathCompleter};
use snug_core::name::ContainerName;

use super::arguments::{YesArgs, show_notices};
use super::run::HowArgs;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::{CommandError, Kind};
use crate::{completion, entry, env_vars};

/// Open a login shell in a container
///
/// Without NAME in the default container, which is made when it does not exist. The shell starts where you are; when
/// the container does not have that directory, in your home.
#[derive(Debug, Args)]
pub struct EnterArgs {
    /// The container; without it, the default container
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::containers))]
    name: Option<String>,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    yes: YesArgs,
    /// Run this through the login shell instead of opening one
    #[arg(value_name = "CMD", last = true, value_hint = clap::ValueHint::CommandWithArguments, add = ArgValueCompleter::new(PathCompleter::any()))]
    command: Vec<OsString>,
}

/// Opens it.
pub fn execute(context: &Context, args: EnterArgs) -> Result<ExitCode, CommandError> {
    let (container, image) = target(context, args.name.as_deref())?;
    let yes = args.yes.yes;
    let mut request = args.how.request(context, &container, args.command, true, true)?;
    if request.argv.is_empty() && !request.overrides.iter().any(|(key, _)| key == env_vars::SNUG_PROMPT_HINT)
    {
        let hint = context.config()?.prompt_hint.as_str();
        request.overrides.push((env_vars::SNUG_PROMPT_HINT.into(), hint.into()));
    }
    let outcome =
        entry::run(context, &request, &|bus| match entry::ensure(context, bus, container.as_str()) {
            Err(error) if error.kind == Kind::NotFound => {
                create(context, bus, &container, &image, yes, error)
            }
            result => result,
        })?;
    Ok(entry::finish(context, &outcome))
}

/// The container that is meant, and the image that the word may also be: `fedora`, `fedora:43`.
fn target(context: &Context, given: Option<&str>) -> Result<(ContainerName, Option<String>), CommandError> {
    let Some(word) = given else { return Ok((context.default_container()?, None)) };
    match word.parse::<ContainerName>() {
        Ok(name) => Ok((name, Some(word.to_owned()))),
        Err(error) => {
            let images = &context.config()?.images;
            let name = images.parse(word).ok().and_then(|image| image.container_name());
            name.map(|name| (name, Some(word.to_owned()))).ok_or_else(|| error.into())
        }
    }
}

/// Offers to make a container that does not exist from the image of that name.
fn create(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    image: &Option<String>,
    yes: bool,
    error: CommandError,
) -> Result<(), CommandError> {
    let config = context.config()?;
    let image = image.as_deref().and_then(|word| Some((word, config.images.parse(word).ok()?)));
    let Some((word, image)) = image else { return Err(error) };
    let question = format!("There is no container {container}. Create it from {image}?");
    if !yes && !context.printer.can_ask() {
        return Err(error.hint(format!("'{word}' is an image: `snug create {container} -i {word}`")));
    }
    if !yes && !context.printer.confirm(&question, true)? {
        return Err(error);
    }
    let image = super::image::file::reference_of(context, bus, word)?;
    let options = Options::new().text("image", Some(&image)).text("preset", Some(&config.default_preset));
    let ended = bus.change(&Change::create(container.as_str(), options))?;
    show_notices(context, &ended.notices);
    Ok(())
}
