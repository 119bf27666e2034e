//! What the daemon is told for a container to be made. It reads the system's configuration alone: what the caller's own says of presets,
//! islands and settings goes with the call.

use snug_core::config::Config;
use snug_core::preset::Preset;

use crate::bus::options::Options;
use crate::configuration;
use crate::context::Context;
use crate::error::CommandError;

/// Adds the preset, with what it is in the caller's configuration, his islands, and the settings: his, and `given` above them.
///
/// # Errors
/// There is no such preset; a file of the system that cannot be read.
pub fn options(
    context: &Context,
    preset: &str,
    given: &[(String, String)],
    options: Options,
) -> Result<Options, CommandError> {
    let (own, systems) = (context.config()?, configuration::system(&context.paths)?);
    let wanted = own.presets.get(preset)?;
    let mut options = options.text("preset", Some(preset));
    if !systems.presets.get(preset).is_ok_and(|known| is_same(known, wanted)) {
        let words = |set: &snug_core::grant::GrantSet| set.words();
        options = options
            .exactly("preset-grants", &words(&wanted.grants))
            .list("preset-requires", &words(&wanted.requires));
    }
    if own.private != systems.private {
        options = options.exactly("islands", &own.private);
    }
    Ok(options.map("settings", &settings(own, &systems, given)))
}

/// The text for people may be another one.
fn is_same(one: &Preset, other: &Preset) -> bool {
    (&one.grants, &one.requires) == (&other.grants, &other.requires)
}

/// Those of the caller's that are not the system's anyway, less and more those that were given.
fn settings(own: &Config, systems: &Config, given: &[(String, String)]) -> Vec<(String, String)> {
    let is_systems = |key: &str, value: &str| systems.settings.iter().any(|one| one == (key, value));
    let is_given = |key: &str| given.iter().any(|(name, _)| name == key);
    let own = own.settings.iter().filter(|(key, value)| !is_systems(key, value) && !is_given(key));
    own.map(|(key, value)| (key.to_owned(), value.to_owned())).chain(given.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use snug_core::config::Layer;

    use super::*;

    fn config(text: &str) -> Config {
        Config::merge(&[Layer::file("/c", text)]).unwrap()
    }

    #[test]
    fn what_was_given_wins_over_the_callers_settings_and_those_over_the_systems() {
        let systems = config("[settings]\ncpu = 2\nmemory = '4GiB'");
        let own = config("[settings]\ncpu = 2\nmemory = '8GiB'\nprocesses = 100");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(settings(&own, &systems, &[]), [pair("memory", "8GiB"), pair("processes", "100")]);
        assert_eq!(
            settings(&own, &systems, &[pair("memory", "1GiB")]),
            [pair("processes", "100"), pair("memory", "1GiB")]
        );
        assert_eq!(settings(&systems, &systems, &[]), []);
    }
}
