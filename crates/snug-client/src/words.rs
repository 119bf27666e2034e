//! What a person is told: hints, and a guest's own words made harmless.

use std::path::Path;

use crate::request::Directory;

/// What the grant `places` shares. The same as `snug_core::grant::PLACES`, whose crate is too much for the hot path (a test
/// of `snug` compares them).
pub const PLACES: [&str; 6] = ["/mnt", "/media", "/run/media", "/srv", "/tmp", "/var/tmp"];

/// The hint about an option of `snug run`, which not everybody has typed.
pub const OTHER_DIRECTORY: &str = "`-w DIR` names a directory of the container";

/// What would help where the container does not have a directory: `wanted`, or `current`, the caller's own. Only an
/// untrusted one shares nothing of the host.
pub fn directory_hints(
    wanted: &Directory,
    current: Option<&Path>,
    container: &str,
    trusted: bool,
) -> Vec<String> {
    let meant = match wanted {
        Directory::Guest(path) => Some(path.as_path()),
        Directory::Same { .. } | Directory::Home => current,
    };
    let place = meant.and_then(|meant| PLACES.into_iter().find(|place| meant.starts_with(place)));
    let shared = match place {
        _ if !trusted => {
            format!("{container} has none of the host's directories: `snug cp` brings files in and out")
        }
        Some(place) => format!(
            "with the grant `places` a container has the host's {place}; what is mounted there later may need `snug restart` \
             (`snug doctor` tells)"
        ),
        None => "what is below your home is there where the container shares it".to_owned(),
    };
    match wanted {
        Directory::Guest(path) => {
            let meant =
                format!("`-w` names a directory of {container}, which need not have those of the host");
            path.is_dir().then_some(shared).into_iter().chain([meant]).collect()
        }
        _ => vec![shared, OTHER_DIRECTORY.into()],
    }
}

/// Text of a guest without what a terminal would obey.
pub fn harmless(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character may change how a terminal shows what comes after it. The same as `snug_core::text::is_unsafe`,
/// whose crate is too much for the hot path (a test of `snug` compares them).
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hints_for_a_missing_directory_name_what_would_help() {
        let there = directory_hints(&Directory::Guest("/usr".into()), None, "dev", true);
        assert!(there[0].contains("your home") && there[1].contains("`-w`"), "{there:?}");
        let nowhere = directory_hints(&Directory::Guest("/nowhere/at/all".into()), None, "dev", true);
        assert!(!nowhere.concat().contains("your home"), "{nowhere:?}");
        let same = Directory::Same { or_home: false };
        let here = directory_hints(&same, Some(Path::new("/tmp/x")), "dev", false);
        assert!(here[0].contains("snug cp") && here[1].contains("`-w DIR`"), "{here:?}");
        for (current, word) in
            [("/var/tmp/x", "`places` a container has the host's /var/tmp"), ("/tmpfs", "your home")]
        {
            let hints = directory_hints(&same, Some(Path::new(current)), "dev", true);
            assert!(hints[0].contains(word), "{hints:?}");
        }
    }
}
