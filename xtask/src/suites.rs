//! The test programs of the real stack: built as oneself, run as root.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};
use crate::program::root;

/// Builds them and prints one path a line, in the order of their numbers.
pub fn print(filter: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "--locked",
            "--package",
            "snug-testbed",
            "--features",
            "real-stack",
            "--tests",
            "--no-run",
        ])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .doing(|| "running cargo test".to_owned())?;
    if !output.status.success() {
        return Err(Error::Program { command: "cargo test --no-run".into(), how: output.status.to_string() });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut suites: Vec<(String, String)> =
        text.lines().filter_map(suite).filter(|(name, _)| name.contains(filter)).collect();
    suites.sort();
    for (_, path) in suites {
        writeln!(std::io::stdout(), "{path}").doing(|| "writing the list of suites".to_owned())?;
    }
    Ok(())
}

/// The name and the program of an integration test among cargo's messages.
fn suite(line: &str) -> Option<(String, String)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let target = &message["target"];
    let is_suite = target["kind"].as_array()?.iter().any(|kind| kind == "test");
    is_suite.then_some((target["name"].as_str()?.to_owned(), message["executable"].as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integration_tests_are_suites() {
        let line = |kind: &str| {
            format!(r#"{{"target":{{"kind":["{kind}"],"name":"t10_run"}},"executable":"/t/t10_run-1a2b"}}"#)
        };
        assert_eq!(suite(&line("test")), Some(("t10_run".into(), "/t/t10_run-1a2b".into())));
        assert_eq!(suite(&line("lib")), None);
        assert_eq!(suite("not json"), None);
    }
}
