//! `--save FILE` of `snug install` and `snug uninstall`: the list says what was done.

use std::path::Path;

use snug_core::name::ContainerName;
use snug_exports::{ApplicationId, Command};

use super::edit::{self, Installed};
use super::plan::words_of;
use super::standing::{applications_of, index, text_of};
use super::write::Text;
use super::{file, read};
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::CommandError;

/// A list that is changed after something was done.
pub struct Save<'a> {
    context: &'a Context,
    path: &'a Path,
    container: &'a ContainerName,
    before: Vec<Command>,
    apps_before: Vec<ApplicationId>,
}

impl<'a> Save<'a> {
    /// Looks at the list before anything is done: what cannot be read or written is said first. One that is missing will be made.
    ///
    /// # Errors
    /// It is no list, or cannot be changed.
    pub fn open(
        context: &'a Context,
        path: &'a Path,
        container: &'a ContainerName,
    ) -> Result<Self, CommandError> {
        context.require_host_paths()?;
        let config = context.config()?;
        file::change(path, |text| {
            text.map_or(Ok(()), |text| file::list(path, text, config, context.printer).map(drop))
                .map(|()| None)
        })?;
        file::can_be_written(path)?;
        let (before, apps_before) = exported(container)?;
        Ok(Self { context, path, container, before, apps_before })
    }

    /// Adds what was installed. `chosen`: the packages alone do not tell which commands the host has.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn installed(&self, bus: &Bus, packages: &[String], chosen: bool) -> Result<(), CommandError> {
        let (after, apps) = exported(self.container)?;
        let new: Vec<Command> =
            after.iter().filter(|command| !self.before.contains(command)).cloned().collect();
        let what = Installed {
            packages: packages.to_vec(),
            exports: words_of(&new, &[]).0,
            apps: strings_without(&apps, &self.apps_before),
            all_exports: chosen.then(|| words_of(&after, &[]).0),
        };
        let config = self.context.config()?;
        let view = bus.get(self.container.as_str(), &Options::new())?;
        self.change(|text| {
            let text = text.unwrap_or_default();
            if edit::has(text, self.container) {
                return edit::installed(text, self.container, &what);
            }
            // As a dump would have it, but for what else is installed.
            let mut packages = what.packages.clone();
            packages.sort();
            let (packages, exports) = (Some(packages), what.all_exports.clone());
            let apps = if chosen { strings_without(&apps, &[]) } else { Vec::new() };
            edit::with_container(text, &Text { packages, exports, apps, ..text_of(config, &view) })
        })
    }

    /// Takes out what was uninstalled.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn uninstalled(&self, packages: &[String]) -> Result<(), CommandError> {
        let (after, apps) = exported(self.container)?;
        let gone = self.before.iter().filter(|command| !after.contains(command));
        let gone: Vec<String> = gone.map(|command| command.name.to_string()).collect();
        let apps = strings_without(&self.apps_before, &apps);
        self.change(|text| {
            edit::uninstalled(text.unwrap_or_default(), self.container, packages, &gone, &apps)
        })
    }

    fn change(
        &self,
        change: impl FnOnce(Option<&str>) -> Result<String, toml_edit::TomlError>,
    ) -> Result<(), CommandError> {
        let config = self.context.config()?;
        let shown = file::shown(self.path);
        let unfit = || {
            CommandError::failed(format!(
                "{shown} is left as it was: it cannot be changed without breaking it"
            ))
            .hint(format!("a table [container.{}] in it can be", self.container))
        };
        file::change(self.path, |text| {
            let after = change(text).map_err(|error| unfit().caused_by(error))?;
            if text.is_none() && after.is_empty() {
                return Ok(None);
            }
            match read::read(&after, config) {
                Ok(_) => Ok(Some(after)),
                Err(_) => Err(unfit()),
            }
        })
    }
}

/// Commands and applications that the host has of a container.
fn exported(container: &ContainerName) -> Result<(Vec<Command>, Vec<ApplicationId>), CommandError> {
    let index = index()?;
    let apps = applications_of(&index, container);
    Ok((index.commands.into_iter().filter(|command| command.container == *container).collect(), apps))
}

fn strings_without(all: &[ApplicationId], others: &[ApplicationId]) -> Vec<String> {
    all.iter().filter(|id| !others.contains(id)).map(ToString::to_string).collect()
}
