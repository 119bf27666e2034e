//! Running cargo and other programs; the workspace's directories.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};

/// Tells the person at the terminal what is being done.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "xtask: {line}");
}

/// The root of the workspace that this is run in; from anywhere else, of that which it was built in. A checkout that was moved
/// keeps its programs: cargo does not see that they are of another place.
pub fn root() -> PathBuf {
    let current = std::env::current_dir().unwrap_or_default();
    let around = current.ancestors().find(|directory| directory.join("xtask/Cargo.toml").exists());
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    around.or(built).unwrap_or(Path::new("/")).to_owned()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs cargo in the workspace.
pub fn cargo(args: &[&str], environment: &[(String, String)]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).envs(environment.iter().map(|(k, v)| (k, v))).current_dir(root());
    run(command)
}

/// What cargo knows of the workspace and its dependencies.
pub fn metadata(args: &[&str]) -> Result<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(args)
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .doing(|| "running cargo metadata".to_owned())?;
    if !output.status.success() {
        return Err(Error::Program { command: "cargo metadata".into(), how: output.status.to_string() });
    }
    serde_json::from_slice(&output.stdout)
        .map_err(std::io::Error::from)
        .doing(|| "reading cargo metadata".to_owned())
}

/// Runs a program, whose output goes where ours goes.
pub fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    let status = command.stdin(Stdio::null()).status().doing(|| format!("starting `{shown}`"))?;
    if status.success() { Ok(()) } else { Err(Error::Program { command: shown, how: status.to_string() }) }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
