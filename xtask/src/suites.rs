//! The test programs that need root, most of them the real stack too: built as oneself, run as root.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};
use crate::program::root;

/// Where they are, and what compiles them.
const PACKAGES: [&str; 6] =
    ["snug-testbed", "snugd", "snug-agent", "snug-hook", "snug-packages", "incus-client"];
const FEATURES: &str = "snug-testbed/real-stack,snugd/root-tests,snugd/failpoints,snug-agent/root-tests,snug-hook/root-tests,snug-packages/root-tests,incus-client/real-incus";

/// Builds them and prints one path a line, in the order of their numbers.
pub fn print(filter: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--locked", "--tests", "--no-run"])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .args(["--features", FEATURES])
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
    if suites.is_empty() {
        // Nothing run must not look like everything passed.
        return Err(Error::Check(format!("no suite has '{filter}' in its name")));
    }
    suites.sort();
    for (_, path) in suites {
        writeln!(std::io::stdout(), "{path}").doing(|| "writing the list of suites".to_owned())?;
    }
    Ok(())
}

/// The name and the program of an integration test among cargo's messages, or of the daemon's unit tests: some of
/// them are root's.
fn suite(line: &str) -> Option<(String, String)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let target = &message["target"];
    let name = target["name"].as_str()?;
    // `fake` needs neither root nor Incus: `make test-fast` runs it.
    if name == "fake" {
        return None;
    }
    let is_suite = |kind| kind == "test" || (kind == "lib" && name == "snugd");
    let is_suite = target["kind"].as_array()?.iter().filter_map(|kind| kind.as_str()).any(is_suite);
    is_suite.then_some((name.to_owned(), message["executable"].as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_integration_tests_and_the_daemons_unit_tests() {
        let line = |kind: &str, name: &str| {
            format!(r#"{{"target":{{"kind":["{kind}"],"name":"{name}"}},"executable":"/t/{name}-1a2b"}}"#)
        };
        for (kind, name) in [("test", "t10_run"), ("lib", "snugd")] {
            assert_eq!(suite(&line(kind, name)), Some((name.into(), format!("/t/{name}-1a2b"))));
        }
        for (kind, name) in [("lib", "snug_testbed"), ("bin", "snugd"), ("test", "fake")] {
            assert_eq!(suite(&line(kind, name)), None);
        }
        // The library itself, which is no program.
        assert_eq!(suite(&line("lib", "snugd").replace(r#""/t/snugd-1a2b""#, "null")), None);
        assert_eq!(suite("not json"), None);
    }
}
