//! `snug create`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::Explain;
use snug_core::grant::GrantSet;
use snug_core::image::ImageRef;
use snug_core::name::ContainerName;
use snug_core::plan::{PlanError, Step};
use snug_core::preset::{GrantRequest, PresetError};

use super::arguments::{DryRunArgs, YesArgs, show_notices, show_plan, show_warnings};
use super::image::file::{FileImage, ImageFile};
use super::removal;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::completion;
use crate::context::{Context, parse_name};
use crate::creation;
use crate::error::{CommandError, Kind};
use crate::image_server;

/// Create a container
///
/// Prints its name when none was given.
#[derive(Debug, Default, Args)]
pub struct CreateArgs {
    /// Name of the container; without it, the image's
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// What it is made from: `debian`, `fedora:43`, `images:alpine/3.22`, `local:ALIAS`, `file:PATH`
    #[arg(short, long, value_name = "IMAGE", add = ArgValueCompleter::new(completion::images))]
    image: Option<String>,
    /// What it may do: `integrated`, `isolated` and so on
    #[arg(long, value_name = "PRESET", add = ArgValueCompleter::new(completion::presets))]
    preset: Option<String>,
    /// Add a grant to those of the preset; several times
    #[arg(long = "grant", value_name = "GRANT[=VALUE]")]
    grants: Vec<String>,
    /// Leave a grant of the preset out; several times
    #[arg(long = "no-grant", value_name = "GRANT")]
    no_grants: Vec<String>,
    /// A setting, as `snug set` takes them; several times
    #[arg(long = "set", value_name = "KEY=VALUE", add = ArgValueCompleter::new(completion::settings))]
    settings: Vec<String>,
    /// Do not start it
    #[arg(long)]
    no_start: bool,
    /// Remove a container of that name first; on a terminal you are asked
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl CreateArgs {
    /// For a container of a list.
    pub fn of(
        name: &ContainerName,
        image: &str,
        preset: &str,
        grants: Vec<String>,
        no_grants: Vec<String>,
        settings: Vec<String>,
    ) -> Self {
        Self {
            name: Some(name.to_string()),
            image: Some(image.to_owned()),
            preset: Some(preset.to_owned()),
            grants,
            no_grants,
            settings,
            ..Self::default()
        }
    }
}

/// Creates it.
pub fn execute(context: &Context, args: CreateArgs) -> Result<ExitCode, CommandError> {
    let config = context.config()?;
    let image = args.image.as_deref().unwrap_or(&config.default_image);
    let parsed = config.images.parse(image)?;
    let name = match &args.name {
        Some(name) => parse_name(name)?,
        None => parsed.container_name().ok_or_else(|| {
            CommandError::user(format!("no name can be made from image '{image}'"))
                .hint("name the container: `snug create NAME -i IMAGE`")
        })?,
    };
    let settings = super::set::parse_settings(&args.settings)?;
    let preset = args.preset.as_deref().unwrap_or(&config.default_preset);
    let made = creation::options(context, preset, &settings, args.dry_run.options())?;
    leave_out(context, preset, &args.grants, &args.no_grants)?;
    let administrator = is_privileged(context, preset, &args.grants);
    let bus = context.bus()?;
    if args.replace && !args.yes.yes && !args.dry_run.dry_run && !is_agreed(context, &bus, &name)? {
        context.printer.notice("nothing was removed");
        return Ok(ExitCode::from(1));
    }
    let image = match &parsed {
        ImageRef::File(path) => {
            context.require_host_paths()?;
            let file = ImageFile::open(path)?.image()?;
            if !file.is_known(&bus)? {
                if args.dry_run.dry_run {
                    return plan_of_file(context, &bus, &file, &name, &args);
                }
                file.take_in(&bus)?;
            }
            file.reference()
        }
        image => image.to_string(),
    };
    let options = made
        .text("image", Some(&image))
        .list("grants", &args.grants)
        .list("no-grants", &args.no_grants)
        .off("start", args.no_start)
        .switch("replace", args.replace);
    let ended = bus
        .change(&Change::create(name.as_str(), options).with_administrator(administrator))
        .map_err(|error| image_server::offer_names(context, &image, error))?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    if settings.is_empty() {
        show_notices(context, &ended.notices);
    } else {
        // A limit that has no effect is known to who set it, also in a script.
        show_warnings(context, &ended.notices);
    }
    if args.name.is_none() {
        context.printer.answer_line(name.as_str())?;
    }
    context.printer.notice(&format!("container {name} is ready: `snug enter {name}`"));
    Ok(ExitCode::SUCCESS)
}

/// Looks at what is to be left out before anything is done.
fn leave_out(
    context: &Context,
    preset: &str,
    grants: &[String],
    without: &[String],
) -> Result<(), CommandError> {
    let config = context.config()?;
    let request = GrantRequest {
        preset: preset.to_owned(),
        // What is wrong with one the daemon says.
        grants: GrantSet::parse(grants).unwrap_or_default(),
        without: without.to_vec(),
        islands: config.private.clone(),
    };
    if let Err(error @ PresetError::Both(_)) = config.presets.resolve(&request) {
        let usage = CommandError::usage(error.to_string());
        return Err(error.hints().into_iter().fold(usage, CommandError::hint));
    }
    for word in config.presets.without_effect(&request)? {
        let text = format!("the preset '{preset}' has no grant '{word}': there is nothing to leave out");
        context.printer.warning(&text);
    }
    Ok(())
}

/// Whether the container of that name, if there is one, may go. As with `snug rm` nobody is asked without a terminal.
fn is_agreed(context: &Context, bus: &Bus, name: &ContainerName) -> Result<bool, CommandError> {
    if !context.printer.can_ask() {
        return Ok(true);
    }
    match bus.get(name.as_str(), &Options::new().switch("size", true)) {
        Ok(container) => context.printer.confirm(&removal::replacement_question(&container), false),
        Err(error) if error.kind == Kind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// What would be done with a file: until it is an image the daemon cannot tell what follows from it.
fn plan_of_file(
    context: &Context,
    bus: &Bus,
    file: &FileImage,
    name: &ContainerName,
    args: &CreateArgs,
) -> Result<ExitCode, CommandError> {
    GrantSet::parse(&args.grants)?;
    for word in &args.no_grants {
        GrantSet::new().remove(word)?;
    }
    let containers = bus.list(&Options::new())?;
    let is_there = containers.iter().any(|container| container.name == name.as_str());
    if is_there && !args.replace {
        return Err(PlanError::Exists(name.clone()).into());
    }
    let most = usize::try_from(context.config()?.max_containers).unwrap_or(usize::MAX);
    if !is_there && containers.len() >= most {
        return Err(PlanError::TooMany { name: name.clone(), most }.into());
    }
    let options = args.dry_run.options().text("rootfs", Some(&file.path));
    show_plan(context.printer, &bus.change(&Change::import_image(&file.alias, options))?.plan)?;
    if is_there {
        context.printer.answer_line(&Step::DeleteInstance { name: name.clone() }.to_string())?;
    }
    let start = if args.no_start { "" } else { " and start it" };
    context.printer.answer_line(&format!("create the container '{name}' from it{start}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether an administrator will have to agree, as far as the configuration tells.
pub fn is_privileged(context: &Context, preset: &str, grants: &[String]) -> bool {
    let of_preset = context.config().is_ok_and(|config| {
        config.presets.get(preset).is_ok_and(|preset| !preset.grants.needs_administrator().is_empty())
    });
    let added = GrantSet::parse(grants).is_ok_and(|grants| !grants.needs_administrator().is_empty());
    of_preset || added
}
