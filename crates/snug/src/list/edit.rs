//! A list that a person keeps, changed: his comments, his order and all that is not meant stay as they are.

use snug_core::name::ContainerName;
use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

use super::write::{HEAD, Text, table};
use super::{APPS, CONTAINER, EXPORTS, PACKAGES, arrays, name_of};

/// What was installed.
#[derive(Debug, Default)]
pub struct Installed {
    /// Names, perhaps with a version.
    pub packages: Vec<String>,
    /// Commands that the host has of the container since then.
    pub exports: Vec<String>,
    /// Applications that the host's menus have of it since then.
    pub apps: Vec<String>,
    /// What the list is to say of all commands, where it says nothing yet and the packages alone do not tell.
    pub all_exports: Option<Vec<String>>,
}

/// Whether a list has a table for that container.
pub fn has(text: &str, container: &ContainerName) -> bool {
    text.parse::<DocumentMut>().is_ok_and(|document| entry(&document, container).is_some())
}

fn entry<'a>(document: &'a DocumentMut, container: &ContainerName) -> Option<&'a dyn TableLike> {
    document.get(CONTAINER)?.as_table_like()?.get(container.as_str())?.as_table_like()
}

fn entry_mut<'a>(document: &'a mut DocumentMut, container: &ContainerName) -> Option<&'a mut dyn TableLike> {
    let containers = document.get_mut(CONTAINER)?.as_table_like_mut()?;
    containers.get_mut(container.as_str())?.as_table_like_mut()
}

/// A list with one more container.
///
/// # Errors
/// It is no TOML, or cannot be added to: what stands there then is no list.
pub fn with_container(text: &str, new: &Text) -> Result<String, toml_edit::TomlError> {
    let mut out = text.to_owned();
    if out.is_empty() {
        out.push_str(HEAD);
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out = out + "\n" + &table(new);
    out.parse::<DocumentMut>().map(|_| out)
}

/// The list after packages of a container were installed that it has a table for.
///
/// # Errors
/// It is no TOML.
pub fn installed(
    text: &str,
    container: &ContainerName,
    what: &Installed,
) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let Some(entry) = entry_mut(&mut document, container) else { return Ok(text.to_owned()) };
    for package in &what.packages {
        if let Some(packages) = list(entry, PACKAGES) {
            let same = |word: &str| name_of(word) == name_of(package);
            let there = packages.iter().position(|value| value.as_str().is_some_and(same));
            match there.and_then(|at| packages.get_mut(at)) {
                None => arrays::add(packages, package),
                // Another version is asked for now.
                Some(value) if package.contains('=') => replace(value, package),
                Some(_) => {}
            }
        }
    }
    if let (false, Some(all)) = (entry.contains_key(EXPORTS), &what.all_exports) {
        for word in all {
            add_export(entry, word);
        }
        list(entry, EXPORTS);
    }
    if entry.contains_key(EXPORTS) {
        what.exports.iter().for_each(|word| add_export(entry, word));
    }
    // Where the list says of no commands which, the packages bring theirs and their applications.
    if entry.contains_key(EXPORTS) || entry.contains_key(APPS) {
        for id in &what.apps {
            if let Some(apps) = list(entry, APPS)
                && !apps.iter().any(|value| value.as_str() == Some(id))
            {
                arrays::add(apps, id);
            }
        }
    }
    Ok(document.to_string())
}

fn add_export(entry: &mut dyn TableLike, word: &str) {
    if let Some(exports) = list(entry, EXPORTS)
        && !exports
            .iter()
            .any(|value| value.as_str().is_some_and(|there| host_name(there) == host_name(word)))
    {
        arrays::add(exports, word);
    }
}

/// The list after packages of a container were uninstalled, and the host has commands no more.
///
/// # Errors
/// It is no TOML.
pub fn uninstalled(
    text: &str,
    container: &ContainerName,
    packages: &[String],
    commands: &[String],
    apps: &[String],
) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    if let Some(entry) = entry_mut(&mut document, container) {
        if let Some(array) = entry.get_mut(PACKAGES).and_then(Item::as_array_mut) {
            arrays::remove(array, |word| packages.iter().any(|package| package == name_of(word)));
        }
        if let Some(array) = entry.get_mut(EXPORTS).and_then(Item::as_array_mut) {
            arrays::remove(array, |word| commands.iter().any(|command| command == host_name(word)));
        }
        if let Some(array) = entry.get_mut(APPS).and_then(Item::as_array_mut) {
            arrays::remove(array, |word| apps.iter().any(|app| app == word));
        }
    }
    Ok(document.to_string())
}

/// The name that a command of a list has on the host.
fn host_name(word: &str) -> &str {
    word.rsplit(['=', '/']).next().unwrap_or(word)
}

/// A list of words of a container, made where it is missing.
fn list<'a>(entry: &'a mut dyn TableLike, key: &str) -> Option<&'a mut Array> {
    if !entry.contains_key(key) {
        entry.insert(key, Item::Value(Value::Array(Array::new())));
    }
    entry.get_mut(key)?.as_array_mut()
}

fn replace(value: &mut Value, word: &str) {
    let decor = value.decor().clone();
    *value = Value::from(word);
    *value.decor_mut() = decor;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"# my machine
[container.other]
packages = ["x"]

# the usual
[container.tools]
image = "debian" # whatever is newest
packages = [
    # looking for things
    "fd-find", # fdfind
    "ripgrep", # fast
]   # end
exports = ["fdfind=fd", "rg"]

[container.tools.settings]
memory = "4GiB" # of 32
"#;

    fn tools() -> ContainerName {
        "tools".parse().unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_was_installed_is_added_and_nothing_else_changes() {
        let what = Installed {
            packages: words(&["jq", "ripgrep"]),
            exports: words(&["jq", "rg"]),
            ..Installed::default()
        };
        let after = installed(LIST, &tools(), &what).unwrap();
        let expected = LIST
            .replace("    \"ripgrep\"", "    \"jq\",\n    \"ripgrep\"")
            .replace("\"fdfind=fd\", \"rg\"", "\"fdfind=fd\", \"jq\", \"rg\"");
        assert_eq!(after, expected);
        assert_eq!(installed(&after, &tools(), &what).unwrap(), after);
        // And back.
        assert_eq!(
            uninstalled(&after, &tools(), &words(&["jq"]), &words(&["jq"]), &words(&["org.jq"])).unwrap(),
            LIST
        );
    }

    #[test]
    fn a_version_takes_the_place_of_another_and_no_key_comes_that_was_not_there() {
        let list = "[container.tools]\npackages = [\n  \"a=1\", # why\n]\n";
        let what = Installed { packages: words(&["a=2"]), exports: words(&["a"]), ..Installed::default() };
        assert_eq!(installed(list, &tools(), &what).unwrap(), list.replace("a=1", "a=2"));
        let none = "[container.tools]\n# nothing yet\n\n[container.x]\n";
        let what = Installed {
            packages: words(&["a"]),
            exports: words(&["a"]),
            all_exports: Some(Vec::new()),
            ..Installed::default()
        };
        let after = installed(none, &tools(), &what).unwrap();
        assert!(after.contains("packages = [\"a\"]\nexports = [\"a\"]"), "{after}");
        assert!(after.contains("# nothing yet") && after.contains("[container.x]"), "{after}");
        assert_eq!(installed(none, &"y".parse().unwrap(), &what).unwrap(), none);
    }

    #[test]
    fn what_was_uninstalled_goes_with_its_comment() {
        let after = uninstalled(LIST, &tools(), &words(&["ripgrep", "x"]), &words(&["rg"]), &[]).unwrap();
        assert_eq!(after, LIST.replace("    \"ripgrep\", # fast\n", "").replace(", \"rg\"", ""));
        assert_eq!(uninstalled("", &tools(), &words(&["x"]), &[], &[]).unwrap(), "");
    }

    #[test]
    fn a_container_that_is_missing_comes_at_the_end() {
        let new = Text {
            container: "new".into(),
            image: "images:alpine/3.22".into(),
            preset: "integrated".into(),
            packages: Some(words(&["jq"])),
            ..Text::default()
        };
        let after = with_container(LIST, &new).unwrap();
        assert!(after.starts_with(LIST) && after.ends_with("\n\n[container.new]\nimage = \"images:alpine/3.22\"\npreset = \"integrated\"\npackages = [\"jq\"]\n"), "{after}");
        assert!(has(&after, &"new".parse().unwrap()) && !has(LIST, &"new".parse().unwrap()));
        assert!(with_container("", &new).unwrap().starts_with("# Snug: "));
        // One that is on one line cannot be added to.
        assert!(with_container("container = { a = {} }\n", &new).is_err());
    }
}
