//! `snug image list`.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use snug_core::image::Remote;

use crate::bus::options::Options;
use crate::bus::view::Image;
use crate::command::arguments::JsonArgs;
use crate::command::print_json;
use crate::context::Context;
use crate::error::CommandError;
use snug_core::server_list::ServerImage;

use crate::image_server;
use crate::{table, words};

/// List images
///
/// Without a remote: those on this machine, and the short names of the configuration.
#[derive(Debug, Args)]
pub struct ImageListArgs {
    /// Those of a remote instead, for this machine's architecture: `images:`
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

/// Lists them.
pub fn execute(context: &Context, args: ImageListArgs) -> Result<ExitCode, CommandError> {
    let config = context.config()?;
    let remote = args.remote.as_deref().map(|remote| remote.trim_end_matches(':'));
    let mut images = match remote.filter(|remote| *remote != snug_core::image::LOCAL) {
        None => context.bus()?.images(&Options::new())?,
        Some(name) => {
            let remote = config.images.remotes.get(name).ok_or_else(|| {
                let known: Vec<&str> = config.images.remotes.keys().map(String::as_str).collect();
                CommandError::user(format!("there is no remote '{}'", snug_core::text::shown(name)))
                    .hint(format!("remotes of the configuration: {}", known.join(", ")))
            })?;
            of_server(context, remote)?
        }
    };
    images.sort_by(|a, b| a.reference.cmp(&b.reference));
    if args.json.json {
        print_json(context.printer, "images", &images)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_remote = remote.is_some_and(|remote| remote != snug_core::image::LOCAL);
    if images.is_empty() {
        context.printer.notice(if is_remote {
            "the server has no images of containers for this machine"
        } else {
            "no images here yet; `snug image pull debian` fetches one"
        });
    } else {
        context.printer.answer(&table_of(&images))?;
    }
    if remote.is_none() && !config.images.short_names.is_empty() {
        let names: Vec<&str> = config.images.short_names.keys().map(String::as_str).collect();
        context.printer.notice(&format!("short names: {}", names.join(" ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a server has, and what of it is here already.
fn of_server(context: &Context, remote: &Remote) -> Result<Vec<Image>, CommandError> {
    let images = image_server::list(context, remote)?;
    let here = context.bus()?.images(&Options::new())?;
    let image = |image: ServerImage| Image {
        reference: format!("{}:{}", remote.name, image.aliases.first().map_or("", String::as_str)),
        cached: here.iter().any(|known| known.fingerprint == image.fingerprint),
        description: image.description,
        fingerprint: image.fingerprint,
        architecture: image.architecture,
        size: Some(image.size),
        created: image.created,
    };
    Ok(images.into_iter().map(image).collect())
}

fn table_of(images: &[Image]) -> String {
    let now = SystemTime::now();
    let row = |image: &Image| {
        vec![
            image.reference.clone(),
            image.description.clone(),
            image.architecture.clone(),
            image.size.map(words::size).unwrap_or_default(),
            words::age(&image.created, now),
        ]
    };
    table::render(&["IMAGE", "DESCRIPTION", "ARCH", "SIZE", "MADE"], images.iter().map(row).collect())
}
