//! `snug export --app`.

use snug_core::name::ContainerName;
use snug_exports::ApplicationId;

use crate::applications::export::{Wish, export};
use crate::context::Context;
use crate::error::CommandError;

/// What was typed.
pub fn parse(texts: &[String]) -> Result<Vec<ApplicationId>, CommandError> {
    let mut ids: Vec<ApplicationId> = Vec::new();
    for text in texts {
        let id = text.parse().map_err(|error: snug_exports::application::Unfit| {
            CommandError::usage(error.to_string())
                .hint("for example `snug export --app org.gnome.Calculator`")
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Exports them, and says where they are.
pub fn execute(
    context: &Context,
    container: &ContainerName,
    ids: &[ApplicationId],
) -> Result<(), CommandError> {
    for exported in export(context, container, ids, Wish::Named)?.exported {
        context.printer.answer_line(&exported.place.display().to_string())?;
        context.printer.notice(&format!("in the menus: {}", exported.shown));
    }
    Ok(())
}
