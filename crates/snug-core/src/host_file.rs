//! Small files of the host: `login.defs` and `locale.conf`. Lenient: what is not understood is left out.

/// The number of a key of `/etc/login.defs` (`UID_MIN 1000`), decimal, octal or hexadecimal as login.defs(5) says;
/// the last one counts.
#[must_use]
pub fn login_defs_number(text: &str, key: &str) -> Option<u32> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(key)).then(|| words.next()).flatten()
        })
        .filter_map(number)
        .next_back()
}

fn number(word: &str) -> Option<u32> {
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        u32::from_str_radix(hex, 16).ok()
    } else if word.len() > 1 && word.starts_with('0') {
        u32::from_str_radix(word, 8).ok()
    } else {
        word.parse().ok()
    }
}

/// `LANG`, `LANGUAGE` and `LC_*` of `/etc/locale.conf` or `/etc/default/locale`: shell-like assignments, quotes removed,
/// nothing expanded.
#[must_use]
pub fn locale(text: &str) -> Vec<(String, String)> {
    assignments(text).into_iter().filter(|(key, _)| is_locale_key(key)).collect()
}

fn is_locale_key(key: &str) -> bool {
    key == "LANG" || key == "LANGUAGE" || key.starts_with("LC_")
}

/// Lines `KEY=VALUE` or `export KEY="VALUE"`, as in `/etc/os-release` and `/etc/locale.conf`.
#[must_use]
pub fn assignments(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let key = key.trim();
            let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            word.then(|| (key.to_owned(), unquote(value.trim()).to_owned()))
        })
        .collect()
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn login_defs_gives_numbers() {
        let text = "# UID_MIN 5\nUID_MIN\t\t\t 1000\nSYS_GID_MAX 0x3e7\nUMASK 022\nUID_MIN 500 # older\n";
        assert_eq!(login_defs_number(text, "UID_MIN"), Some(500));
        assert_eq!(login_defs_number(text, "SYS_GID_MAX"), Some(999));
        assert_eq!(login_defs_number(text, "UMASK"), Some(0o22));
        assert_eq!(login_defs_number(text, "GID_MIN"), None);
    }

    #[test]
    fn locale_conf_gives_language_only() {
        let text = "LANG=\"de_DE.UTF-8\"\nexport LC_TIME='C'\nPATH=/evil\n#LANG=x\nLC_ALL=\n";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(locale(text), [pair("LANG", "de_DE.UTF-8"), pair("LC_TIME", "C"), pair("LC_ALL", "")]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (login_defs_number(&text, "UID_MIN"), locale(&text), assignments(&text));
        }
    }
}
