//! Reading the configuration: vendor < system < user, each a file and drop-ins, then the environment. Merging and
//! checking is `snug_core::config`'s.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use snug_core::config::{Config, Layer, Source};
use snug_core::name::ContainerName;
use snug_core::paths::Paths;
use snug_wire::small_file;

use crate::context::parse_name;
use crate::env_vars;
use crate::error::{CommandError, Kind};
use crate::printer::Printer;

/// Bytes of a file; more than anybody writes.
const LONGEST: u64 = 1 << 20;

/// Environment variables that are configuration, and their keys.
pub const VARIABLES: [(&str, &str); 4] = [
    (env_vars::SNUG_CONTAINER, "default_container"),
    (env_vars::SNUG_IMAGE, "default_image"),
    (env_vars::SNUG_PRESET, "default_preset"),
    (env_vars::SNUG_PROMPT_HINT, "prompt_hint"),
];

/// Reads and merges everything. What has no effect is told as a warning.
pub fn read(paths: &Paths, printer: Printer) -> Result<Config, CommandError> {
    let mut layers = Vec::new();
    for directory in directories(paths) {
        layers.extend(layers_of(&directory)?);
    }
    layers.extend(environment()?);
    let config = Config::merge(&layers)?;
    for warning in config.warnings() {
        printer.warning(&warning.to_string());
    }
    let own = directories(paths).into_iter().nth(SYSTEMS);
    for (key, file) in own.iter().flat_map(|own| without_effect(&config, own)) {
        printer.warning(&format!(
            "{}: '{key}' is for the system's configuration, in {}: it has no effect here",
            file.display(),
            paths.etc.display()
        ));
    }
    Ok(config)
}

/// The configuration as the daemon reads it, which knows nothing of its callers'.
pub fn system(paths: &Paths) -> Result<Config, CommandError> {
    let mut layers = Vec::new();
    for directory in directories(paths).iter().take(SYSTEMS) {
        layers.extend(layers_of(directory)?);
    }
    Ok(Config::merge(&layers)?)
}

/// Keys of the caller's own files that only the daemon heeds, which does not read them.
fn without_effect<'a>(config: &'a Config, own: &'a Path) -> impl Iterator<Item = (&'a str, &'a Path)> {
    config.origins().filter_map(move |(key, source)| match source {
        Source::File(file) if Config::is_systems(key) && file.starts_with(own) => Some((key, file.as_path())),
        _ => None,
    })
}

/// The default container alone, for the hot path: merging the whole configuration costs more than starting a command.
/// Only the strongest file that names one is looked into; a broken one gets the full reading's error.
pub fn default_container(paths: &Paths, printer: Printer) -> Result<ContainerName, CommandError> {
    if let Some(name) = env_vars::non_empty(env_vars::SNUG_CONTAINER) {
        let named = |error: CommandError| error.hint(format!("{} names it", env_vars::SNUG_CONTAINER));
        return parse_name(&name.to_string_lossy()).map_err(named);
    }
    for directory in directories(paths).iter().rev() {
        for layer in layers_of(directory)?.iter().rev() {
            if layer.text.contains(DEFAULT_CONTAINER) {
                return Ok(read(paths, printer)?.default_container);
            }
        }
    }
    Ok(BUILT_IN_CONTAINER.parse()?)
}

const DEFAULT_CONTAINER: &str = "default_container";
/// The same as in the core's built-in configuration, as a test makes sure.
const BUILT_IN_CONTAINER: &str = "tools";

/// How many of the directories are the system's.
const SYSTEMS: usize = 2;

/// The weakest first.
pub fn directories(paths: &Paths) -> Vec<PathBuf> {
    let mut directories = vec![paths.vendor.clone(), paths.etc.clone()];
    let user = env_vars::non_empty(env_vars::XDG_CONFIG_HOME)
        .map(PathBuf::from)
        .filter(|directory| directory.is_absolute())
        .or_else(|| env_vars::non_empty(env_vars::HOME).map(|home| Path::new(&home).join(".config")));
    directories.extend(user.map(|directory| directory.join("snug")));
    directories
}

/// `config.toml`, then `config.d/*.toml` in the order of their names.
fn layers_of(directory: &Path) -> Result<Vec<Layer>, CommandError> {
    let mut layers = Vec::new();
    layers.extend(layer(directory.join("config.toml"))?);
    let drop_ins = directory.join("config.d");
    let entries = match fs::read_dir(&drop_ins) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(layers),
        Err(error) => return Err(unreadable(&drop_ins, &error)),
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    for path in names {
        layers.extend(layer(path)?);
    }
    Ok(layers)
}

fn layer(path: PathBuf) -> Result<Option<Layer>, CommandError> {
    let text = small_file::read(&path, LONGEST).and_then(|bytes| {
        let broken = |error: FromUtf8Error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        String::from_utf8(bytes).map_err(broken)
    });
    match text {
        Ok(text) => Ok(Some(Layer::file(path, &text))),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::new(Kind::Config, format!("{} cannot be read: {error}", path.display()))
}

fn environment() -> Result<Vec<Layer>, CommandError> {
    let mut layers = Vec::new();
    for (variable, key) in VARIABLES {
        let Some(value) = env_vars::non_empty(variable) else { continue };
        let value = value.into_string().map_err(|value| {
            CommandError::new(Kind::Config, format!("{variable} is not text: {}", value.to_string_lossy()))
        })?;
        layers.push(Layer::pairs(Source::Variable(variable), [(key, value.as_str())]));
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_knows_the_built_in_container() {
        assert_eq!(Config::built_in().default_container.as_str(), BUILT_IN_CONTAINER);
    }

    #[test]
    fn what_only_the_daemon_heeds_is_found_in_the_callers_files_alone() {
        let layer = |file: &str, text: &str| Layer::file(file, text);
        let config = Config::merge(&[
            layer("/etc/snug/config.toml", "idle_seconds = 9"),
            layer("/home/u/.config/snug/config.d/a.toml", "bridge = 'br9'\nprivate = ['.x']"),
        ]);
        let config = config.unwrap();
        let own = Path::new("/home/u/.config/snug");
        let found: Vec<_> = without_effect(&config, own).map(|(key, _)| key).collect();
        assert_eq!(found, ["bridge"]);
    }

    #[test]
    fn drop_ins_come_after_the_file_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("config.d")).unwrap();
        for (name, text) in [
            ("config.d/20-b.toml", "b"),
            ("config.toml", "a"),
            ("config.d/10-a.toml", "c"),
            ("config.d/x.bak", "d"),
        ] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let texts: Vec<_> =
            layers_of(directory.path()).unwrap().into_iter().map(|layer| layer.text).collect();
        assert_eq!(texts, ["a", "c", "b"]);
    }

    #[test]
    fn a_pipe_or_a_device_in_the_place_of_a_file_is_refused_at_once() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let refused = layers_of(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("config.toml cannot be read: it is no regular file"), "{refused}");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(layers_of(directory.path()).is_err());
    }

    #[test]
    fn every_key_and_variable_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
        let page = fs::read_to_string(path).unwrap();
        let config = Config::built_in();
        for (key, _) in config.origins() {
            let first = key.split('.').next().unwrap_or(key);
            assert!(page.contains(&format!("| `{first}")), "{key} is missing");
        }
        for (variable, key) in VARIABLES {
            assert!(page.contains(&format!("| `{variable}` | as `{key}` |")), "{variable} is missing");
        }
    }
}
