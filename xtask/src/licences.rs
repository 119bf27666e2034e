//! The licences of all dependencies, against a list of those that go with ours.

use crate::error::{Error, Result};
use crate::program::{metadata, say};

/// Permissive ones: they ask for no more than their text to be kept.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "WTFPL",
    "Zlib",
];

/// Fails, naming them, if packages have other licences or none.
pub fn check() -> Result<()> {
    let metadata = metadata(&[])?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let mut refused = Vec::new();
    for package in &packages {
        let licence = package["license"].as_str().unwrap_or("none");
        if !allowed(licence) {
            refused.push(format!("{} {}: {licence}", package["name"], package["version"]));
        }
    }
    if refused.is_empty() {
        say(format_args!("licences of {} packages are fine", packages.len()));
        return Ok(());
    }
    Err(Error::Check(format!("licences that are not on the list:\n  {}", refused.join("\n  "))))
}

/// Evaluates an SPDX expression: `AND` binds closer than `OR`; an exception (`WITH`) only permits more.
fn allowed(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    let result = any(&words, &mut at);
    result && at == words.len()
}

fn any(words: &[&str], at: &mut usize) -> bool {
    let mut result = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= all(words, at);
    }
    result
}

fn all(words: &[&str], at: &mut usize) -> bool {
    let mut result = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= one(words, at);
    }
    result
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let result = any(words, at);
        *at += 1;
        return result;
    }
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    ALLOWED.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_evaluated() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["", "none", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-2.0", "MIT )"] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
