//! One file a command: its options, and what it does.

pub mod apply;
pub mod arguments;
pub mod command_not_found;
pub mod completion;
pub mod cp;
pub mod create;
pub mod doctor;
pub mod dump;
pub mod enter;
pub mod export;
pub mod exports;
pub mod grants;
pub mod image;
pub mod info;
pub mod install;
pub mod list;
pub mod logs;
pub mod man;
pub mod markdown;
pub mod overview;
pub mod ports;
pub mod prune;
pub mod removal;
pub mod restart;
pub mod rm;
pub mod run;
pub mod search;
pub mod session;
pub mod set;
pub mod several;
pub mod shell_hook;
pub mod start;
pub mod stop;
pub mod undo;
pub mod unexport;
pub mod uninstall;
pub mod unset;
pub mod upgrade;
pub mod which;
pub mod x;

use std::fmt::Write;

use serde::Serialize;
use snug_core::text::is_unsafe;

use crate::error::CommandError;
use crate::printer::Printer;

/// Version of the shapes in `docs/reference/json.md`. Fields are added without changing it.
pub const JSON_VERSION: u32 = 1;

/// Prints `{"version": 1, "KEY": …}`.
pub fn print_json<T: Serialize + ?Sized>(printer: Printer, key: &str, value: &T) -> Result<(), CommandError> {
    let failed = |error| CommandError::failed("the answer cannot be written as JSON").caused_by(error);
    let mut shape = serde_json::Map::new();
    shape.insert("version".into(), JSON_VERSION.into());
    shape.insert(key.into(), serde_json::to_value(value).map_err(failed)?);
    printer.answer_line(&harmless(&serde_json::to_string_pretty(&shape).map_err(failed)?))
}

/// JSON without what a terminal would obey or a reader would be deceived by: DEL, the controls of ISO 6429's upper half, and
/// characters that turn the direction of writing. JSON may write any character by its number (RFC 8259, 7).
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        // Below, serde_json has escaped what it had to and lines are to stay.
        if character >= '\u{7f}' && is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_nothing_that_a_terminal_obeys_and_means_the_same() {
        let value = "plain \u{9b}31m \u{202e} ä \u{7f} \u{2028}\u{e0041}";
        let text = harmless(&serde_json::to_string(value).unwrap());
        assert_eq!(text, r#""plain \u009b31m \u202e ä \u007f \u2028\udb40\udc41""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
    }

    #[test]
    fn the_hot_path_names_the_same_places() {
        assert_eq!(snug_client::words::PLACES, snug_core::grant::PLACES);
    }

    #[test]
    fn the_hot_path_takes_the_same_characters_for_unsafe() {
        for c in '\0'..=char::MAX {
            assert_eq!(snug_client::words::is_unsafe(c), is_unsafe(c), "{c:?}");
        }
    }
}
