//! Groups, keys and values of a file, bounded. What is no line of such a file is passed over; of two groups or keys of one name the first
//! counts, since the specification knows no second.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a file. The longest of Debian 13 (LibreOffice's) has 30 thousand.
pub const LONGEST: usize = 512 << 10;
/// Bytes of a value.
const LONGEST_VALUE: usize = 16 << 10;
/// Groups that are kept: the entry, and one for each action.
const MOST_GROUPS: usize = 40;
/// Translations of one key: there are some three hundred locales in glibc.
const MOST_TRANSLATIONS: usize = 400;
/// Keys of a group.
const MOST_KEYS: usize = 200;

/// A key's values, as they stand in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// The value without a locale.
    pub plain: Option<String>,
    /// Those with one: `de`, `sr@latin`.
    pub translated: BTreeMap<String, String>,
}

/// A group's keys.
#[derive(Debug, Default)]
pub struct Group {
    keys: BTreeMap<String, Values>,
}

impl Group {
    /// The value of a key, without a locale.
    #[must_use]
    pub fn plain(&self, key: &str) -> Option<&str> {
        self.keys.get(key)?.plain.as_deref()
    }

    /// All values of a key.
    #[must_use]
    pub fn values(&self, key: &str) -> Option<&Values> {
        self.keys.get(key)
    }

    fn take(&mut self, key: &str, locale: Option<&str>, value: &str) {
        if !self.keys.contains_key(key) && self.keys.len() >= MOST_KEYS {
            return;
        }
        let values = self.keys.entry(key.to_owned()).or_default();
        match locale {
            None => {
                values.plain.get_or_insert_with(|| value.to_owned());
            }
            Some(locale) if values.translated.len() < MOST_TRANSLATIONS => {
                values.translated.entry(locale.to_owned()).or_insert_with(|| value.to_owned());
            }
            Some(_) => {}
        }
    }
}

/// A file.
#[derive(Debug, Default)]
pub struct KeyFile {
    groups: BTreeMap<String, Group>,
}

impl KeyFile {
    /// Reads a file; none that is longer than [`LONGEST`].
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut file = Self::default();
        let mut seen = BTreeSet::new();
        let mut current: Option<String> = None;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for line in text.split(|&byte| byte == b'\n').filter_map(|line| str::from_utf8(line).ok()) {
            let line = line.trim_matches([' ', '\t', '\r']);
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let is_first = seen.len() < MOST_GROUPS && seen.insert(name.to_owned());
                current = is_first.then(|| name.to_owned());
                if is_first {
                    file.groups.insert(name.to_owned(), Group::default());
                }
                continue;
            }
            let group = current.as_ref().and_then(|name| file.groups.get_mut(name));
            if let (Some(group), Some((key, locale, value))) = (group, assignment(line)) {
                group.take(key, locale, value);
            }
        }
        Some(file)
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }
}

/// `KEY=VALUE` or `KEY[LOCALE]=VALUE`. A value has no control characters: what is meant by them is written with escapes.
fn assignment(line: &str) -> Option<(&str, Option<&str>, &str)> {
    if line.starts_with('#') {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim_end_matches([' ', '\t']), value.trim_start_matches([' ', '\t']));
    let (key, locale) = match key.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((key, locale)) => (key, Some(locale)),
        None => (key, None),
    };
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_fit = value.len() <= LONGEST_VALUE && !value.chars().any(char::is_control);
    (is_key && is_fit && locale.is_none_or(is_locale)).then_some((key, locale, value))
}

/// `lang_COUNTRY.ENCODING@MODIFIER`.
fn is_locale(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_and_keys_are_read_with_their_translations() {
        let text = "\u{feff}# a comment\nBefore=x\n\n[Desktop Entry]\r\nName = The Tool \r\nName[de]=Das Werkzeug\nName[sr@latin]=Alat\n\
                    Exec=a=b\n#Exec=c\n[Desktop Action new]\nName=New\n";
        let file = KeyFile::read(text.as_bytes()).unwrap();
        let entry = file.group("Desktop Entry").unwrap();
        assert_eq!(entry.plain("Name"), Some("The Tool"));
        assert_eq!(entry.values("Name").unwrap().translated["de"], "Das Werkzeug");
        assert_eq!(entry.values("Name").unwrap().translated["sr@latin"], "Alat");
        assert_eq!(entry.plain("Exec"), Some("a=b"));
        assert_eq!(entry.plain("Before"), None);
        assert_eq!(file.group("Desktop Action new").unwrap().plain("Name"), Some("New"));
    }

    #[test]
    fn the_first_of_two_counts() {
        let text = "[Desktop Entry]\nExec=first\nExec=second\n[Other]\nExec=other\n[Desktop Entry]\nExec=third\nName=later\n";
        let file = KeyFile::read(text.as_bytes()).unwrap();
        let entry = file.group("Desktop Entry").unwrap();
        assert_eq!((entry.plain("Exec"), entry.plain("Name")), (Some("first"), None));
        assert_eq!(file.group("Other").unwrap().plain("Exec"), Some("other"));
    }

    #[test]
    fn what_is_no_line_of_such_a_file_is_passed_over() {
        let text = b"[Desktop Entry]\nName=\xff\nName[\xff]=x\nName[a b]=x\nName[=x\nName]=x\n=x\nNa me=x\nGeneric\0Name=x\nComment=a\0b\nIcon=a\x1bb\nExec\n\
                     Keywords=good\n[Broken\nKeywords=better\n";
        let file = KeyFile::read(text).unwrap();
        let entry = file.group("Desktop Entry").unwrap();
        assert_eq!(entry.keys.keys().collect::<Vec<_>>(), ["Keywords"]);
        assert_eq!(entry.plain("Keywords"), Some("good"));
    }

    #[test]
    fn nothing_is_kept_without_end() {
        assert!(KeyFile::read(&vec![b'x'; LONGEST + 1]).is_none());
        let lines = |line: &dyn Fn(usize) -> String| -> String { (0..20_000).map(line).collect() };
        let text = format!("[Desktop Entry]\n{}", lines(&|number| format!("Name[x{number}]=y\n")));
        let file = KeyFile::read(text.as_bytes()).unwrap();
        let name = file.group("Desktop Entry").unwrap().values("Name").unwrap();
        assert_eq!(name.translated.len(), MOST_TRANSLATIONS);
        let text = format!("[Desktop Entry]\n{}", lines(&|number| format!("K{number}=y\n")));
        let file = KeyFile::read(text.as_bytes()).unwrap();
        assert_eq!(file.group("Desktop Entry").unwrap().keys.len(), MOST_KEYS);
        let file = KeyFile::read(lines(&|number| format!("[{number}]\nK=y\n")).as_bytes()).unwrap();
        assert_eq!(file.groups.len(), MOST_GROUPS);
        let text = format!("[Desktop Entry]\nName={}\n", "x".repeat(LONGEST_VALUE + 1));
        let file = KeyFile::read(text.as_bytes()).unwrap();
        assert_eq!(file.group("Desktop Entry").unwrap().plain("Name"), None);
    }

    proptest! {
        #[test]
        fn no_value_has_a_control_character(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let text = [b"[Desktop Entry]\nName=".to_vec(), text].concat();
            if let Some(value) = KeyFile::read(&text).unwrap().group("Desktop Entry").and_then(|group| group.plain("Name")) {
                prop_assert!(!value.chars().any(char::is_control));
            }
        }
    }
}
