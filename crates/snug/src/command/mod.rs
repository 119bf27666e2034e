//! One file a command: its options, and what it does.

pub mod arguments;
pub mod completion;
pub mod cp;
pub mod create;
pub mod doctor;
pub mod enter;
pub mod image;
pub mod info;
pub mod list;
pub mod logs;
pub mod man;
pub mod markdown;
pub mod overview;
pub mod prune;
pub mod restart;
pub mod rm;
pub mod run;
pub mod set;
pub mod several;
pub mod start;
pub mod stop;
pub mod unset;

use serde::Serialize;

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
    printer.answer_line(&serde_json::to_string_pretty(&shape).map_err(failed)?)
}
