//! The configuration of the host: vendor's and administrator's files with their drop-ins, read for each call. The daemon
//! reads nothing below a user's home.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use snug_core::config::{Config, Layer};
use snug_core::paths::Paths;

use crate::error::{Error, Result};
use crate::host::file;

/// Warnings of the configuration as it was last: it is read for each call, and they are told once.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Reads and merges it. Blocks.
///
/// # Errors
/// A file that cannot be read or understood, with its name and line.
pub fn load(paths: &Paths) -> Result<Config> {
    let mut layers = Vec::new();
    for path in [paths.vendor_config(), paths.system_config()] {
        add(&mut layers, &path)?;
        for drop_in in drop_ins(&Paths::drop_ins(&path))? {
            add(&mut layers, &drop_in)?;
        }
    }
    let config = Config::merge(&layers)?;
    let warnings: Vec<String> = config.warnings().iter().map(ToString::to_string).collect();
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if *told != warnings {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        *told = warnings;
    }
    Ok(config)
}

fn add(layers: &mut Vec<Layer>, path: &Path) -> Result<()> {
    let text = file::read_or_empty(path)?;
    if !text.is_empty() {
        layers.push(Layer::file(path, &text));
    }
    Ok(())
}

fn drop_ins(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::system(format!("read {}", directory.display()), error))?,
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_are_merged_by_name_over_the_file() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths::below(base.path());
        std::fs::create_dir_all(paths.etc.join("config.d")).unwrap();
        std::fs::write(paths.system_config(), "idle_seconds = 5\n").unwrap();
        std::fs::write(paths.etc.join("config.d/20.toml"), "idle_seconds = 7\n").unwrap();
        std::fs::write(paths.etc.join("config.d/10.toml"), "idle_seconds = 6\nbridge = \"br7\"\n").unwrap();
        let config = load(&paths).unwrap();
        assert_eq!((config.idle_seconds, config.bridge.as_str()), (7, "br7"));
    }
}
