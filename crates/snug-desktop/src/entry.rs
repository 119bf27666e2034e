//! What of an entry is taken over.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::exec::{About, CommandLine, ExecError};
use crate::icon::Icon;
use crate::key_file::{Group, KeyFile, Values};
use crate::value::{items, unescape};
use crate::vocabulary::{is_category, is_desktop, is_media_type};

/// The group of the entry itself.
const ENTRY: &str = "Desktop Entry";
/// Characters of a text for people.
const LONGEST_TEXT: usize = 1000;
/// Characters of a name.
const LONGEST_NAME: usize = 200;
const MOST_ACTIONS: usize = 24;
const MOST_TYPES: usize = 400;
const MOST_WORDS: usize = 100;

/// Why an entry is not taken over.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub enum Unfit {
    /// Bytes without end.
    #[error("its entry is longer than any is")]
    TooLong,
    /// No group of that name.
    #[error("its file is no desktop entry")]
    NoEntry,
    /// A link or a directory.
    #[error("its entry is not that of an application")]
    NotApplication,
    /// Its package or its user has taken it away.
    #[error("its entry says that it has been removed (Hidden)")]
    Hidden,
    /// No name, or none that can be shown.
    #[error("its entry has no name that can be shown")]
    Name,
    /// A command line that is none.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// A text, and its translations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Where there is no translation.
    pub plain: String,
    /// By locale.
    pub translated: BTreeMap<String, String>,
}

/// Words, and their translations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Where there is no translation.
    pub plain: Vec<String>,
    /// By locale.
    pub translated: BTreeMap<String, Vec<String>>,
}

/// Something else that an application can be started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What the entry calls it.
    pub id: String,
    /// What people call it.
    pub name: Text,
    /// Its icon.
    pub icon: Option<Icon>,
    /// What runs.
    pub exec: CommandLine,
}

/// An application's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What people call it.
    pub name: Text,
    /// What it is: "Web Browser".
    pub generic_name: Option<Text>,
    /// What it is for.
    pub comment: Option<Text>,
    /// What else it is found by.
    pub keywords: Option<Words>,
    /// Its icon.
    pub icon: Option<Icon>,
    /// What runs.
    pub exec: CommandLine,
    /// Where it runs, in the guest: an absolute path.
    pub directory: Option<String>,
    /// In a terminal.
    pub terminal: bool,
    /// It opens files, and no menu shows it.
    pub no_display: bool,
    /// The desktops that show it; `None`: all.
    pub only_show_in: Option<Vec<String>>,
    /// Desktops that do not.
    pub not_show_in: Vec<String>,
    /// What it opens.
    pub types: Vec<String>,
    /// Where menus have it.
    pub categories: Vec<String>,
    /// Whether it tells that it has started.
    pub startup_notify: Option<bool>,
    /// By what its windows are known.
    pub class: Option<String>,
    /// It is for the better graphics card.
    pub prefers_other_gpu: bool,
    /// It has one window alone.
    pub single_window: bool,
    /// What else it can be started for.
    pub actions: Vec<Action>,
}

impl Entry {
    /// Reads the file that the guest has at `path`.
    ///
    /// # Errors
    /// What is none of an application, or nothing that could be started or shown.
    pub fn read(file: &[u8], path: &str) -> Result<Self, Unfit> {
        let file = KeyFile::read(file).ok_or(Unfit::TooLong)?;
        let group = file.group(ENTRY).ok_or(Unfit::NoEntry)?;
        if group.plain("Type") != Some("Application") {
            return Err(Unfit::NotApplication);
        }
        if is_true(group, "Hidden") {
            return Err(Unfit::Hidden);
        }
        let name = text(group, "Name", LONGEST_NAME).ok_or(Unfit::Name)?;
        let icon = icon(group);
        let exec = exec(group, &name, icon.as_ref(), path)?;
        let generic_name = text(group, "GenericName", LONGEST_NAME);
        let comment = comment(group, [Some(&name), generic_name.as_ref()]);
        Ok(Self {
            generic_name,
            comment,
            keywords: words(group, "Keywords"),
            directory: string(group, "Path").filter(|path| path.starts_with('/') && path.len() < 4096),
            terminal: is_true(group, "Terminal"),
            no_display: is_true(group, "NoDisplay"),
            only_show_in: group.plain("OnlyShowIn").map(|list| known(list, MOST_WORDS, is_desktop)),
            not_show_in: known(group.plain("NotShowIn").unwrap_or_default(), MOST_WORDS, is_desktop),
            types: known(group.plain("MimeType").unwrap_or_default(), MOST_TYPES, is_media_type),
            categories: known(group.plain("Categories").unwrap_or_default(), MOST_WORDS, is_category),
            startup_notify: group.plain("StartupNotify").map(|_| is_true(group, "StartupNotify")),
            class: string(group, "StartupWMClass").filter(|class| class.len() <= 250 && is_ascii_text(class)),
            prefers_other_gpu: is_true(group, "PrefersNonDefaultGPU"),
            single_window: is_true(group, "SingleMainWindow") || is_true(group, "X-GNOME-SingleWindow"),
            actions: actions(&file, group, path),
            name,
            icon,
            exec,
        })
    }

    /// All icons that it names, its own first.
    pub fn icons(&self) -> impl Iterator<Item = &Icon> {
        self.icon.iter().chain(self.actions.iter().filter_map(|action| action.icon.as_ref()))
    }
}

fn is_true(group: &Group, key: &str) -> bool {
    // "1" is what an earlier specification had.
    matches!(group.plain(key).map(str::trim_end), Some("true" | "1"))
}

/// A value that is not translated.
fn string(group: &Group, key: &str) -> Option<String> {
    group.plain(key).map(unescape).filter(|value| !value.is_empty() && !value.chars().any(char::is_control))
}

fn is_ascii_text(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Whether people can be shown a text: no line breaks and escapes, and nothing that turns the text around it. (Persian and Hindi need the
/// characters without width that join letters or keep them apart.)
fn is_shown(text: &str, longest: usize) -> bool {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    // No spaces by Unicode, and nothing to be seen.
    let is_blank = |c: char| matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}');
    !text.trim().is_empty()
        && text.chars().count() <= longest
        && !text.chars().any(|c| c.is_control() || turns(c) || is_blank(c))
}

/// A text as people are shown it; `None` for one that they cannot be shown. No room in it is wider than a space: what stands behind would be
/// moved out of sight.
fn shown(text: &str, longest: usize) -> Option<String> {
    let text = text.trim();
    let mut is_in_space = false;
    let is_wanted = |c: &char| !(std::mem::replace(&mut is_in_space, c.is_whitespace()) && c.is_whitespace());
    is_shown(text, longest).then(|| text.chars().filter(is_wanted).collect())
}

fn text(group: &Group, key: &str, longest: usize) -> Option<Text> {
    let Values { plain, translated } = group.values(key)?;
    let shown = |value: &str| shown(&unescape(value), longest);
    let plain = shown(plain.as_deref()?)?;
    let translated =
        translated.iter().filter_map(|(locale, value)| Some((locale.clone(), shown(value)?))).collect();
    Some(Text { plain, translated })
}

/// What the other texts do not say already.
fn comment(group: &Group, others: [Option<&Text>; 2]) -> Option<Text> {
    let others = || others.into_iter().flatten();
    let mut comment = text(group, "Comment", LONGEST_TEXT)?;
    comment
        .translated
        .retain(|locale, text| !others().any(|other| other.translated.get(locale) == Some(text)));
    (!others().any(|other| other.plain == comment.plain)).then_some(comment)
}

fn words(group: &Group, key: &str) -> Option<Words> {
    let Values { plain, translated } = group.values(key)?;
    let shown = |value: &str| -> Option<Vec<String>> {
        let mut words = items(value, MOST_WORDS);
        words.iter_mut().for_each(|word| *word = word.trim().to_owned());
        words.retain(|word| is_shown(word, LONGEST_NAME));
        (!words.is_empty()).then_some(words)
    };
    let plain = shown(plain.as_deref()?)?;
    let translated =
        translated.iter().filter_map(|(locale, value)| Some((locale.clone(), shown(value)?))).collect();
    Some(Words { plain, translated })
}

/// The items of a list that are known, each once.
fn known(list: &str, most: usize, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for item in items(list, most) {
        if is_known(&item) && !known.contains(&item) {
            known.push(item);
        }
    }
    known
}

fn icon(group: &Group) -> Option<Icon> {
    string(group, "Icon").and_then(|value| Icon::parse(&value))
}

fn exec(group: &Group, name: &Text, icon: Option<&Icon>, path: &str) -> Result<CommandLine, ExecError> {
    let about = About { icon: icon.map(Icon::as_str), name: &name.plain, path };
    CommandLine::read(&unescape(group.plain("Exec").unwrap_or_default()), &about)
}

/// Those that can be shown and started: an application is none the worse without the others.
fn actions(file: &KeyFile, group: &Group, path: &str) -> Vec<Action> {
    let is_id = |id: &str| {
        (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let one = |id: String| {
        let group = file.group(&format!("Desktop Action {id}"))?;
        let name = text(group, "Name", LONGEST_NAME)?;
        let icon = icon(group);
        let exec = exec(group, &name, icon.as_ref(), path).ok()?;
        Some(Action { id, name, icon, exec })
    };
    let ids = known(group.plain("Actions").unwrap_or_default(), MOST_ACTIONS, is_id);
    ids.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(more: &str) -> Result<Entry, Unfit> {
        let text = format!("[Desktop Entry]\nType=Application\nName=Tool\nExec=tool\n{more}");
        Entry::read(text.as_bytes(), "/usr/share/applications/tool.desktop")
    }

    #[test]
    fn known_keys_are_taken_and_others_are_not() {
        let entry = read(
            "Name[de]=Werkzeug\nGenericName=A Tool\nComment=For \\\\ all\nKeywords=a;b\\;c;\nKeywords[de]=d;\nIcon=tool\nPath=/opt\n\
             Terminal=true\nCategories=Graphics;Nonsense;X-Own;Graphics;\nMimeType=image/png;nonsense/x;\nStartupWMClass=Tool\n\
             StartupNotify=false\nDBusActivatable=true\nTryExec=/no/such\nActions=new;gone;bad-name;\nX-Whatever=1\n\n\
             [Desktop Action new]\nName=New\nExec=tool --new\nIcon=new\n[Desktop Action bad-name]\nExec=x\n",
        )
        .unwrap();
        assert_eq!((entry.name.plain.as_str(), entry.name.translated["de"].as_str()), ("Tool", "Werkzeug"));
        assert_eq!(entry.comment.as_ref().unwrap().plain, "For \\ all");
        assert_eq!(entry.keywords.as_ref().unwrap().plain, ["a", "b;c"]);
        assert_eq!(entry.keywords.as_ref().unwrap().translated["de"], ["d"]);
        assert_eq!(entry.directory.as_deref(), Some("/opt"));
        assert!(entry.terminal && entry.startup_notify == Some(false) && !entry.no_display);
        assert_eq!(entry.categories, ["Graphics", "X-Own"]);
        assert_eq!(entry.types, ["image/png"]);
        assert_eq!(entry.class.as_deref(), Some("Tool"));
        let ids: Vec<&str> = entry.actions.iter().map(|action| action.id.as_str()).collect();
        assert_eq!(ids, ["new"]);
        assert_eq!(entry.icons().map(Icon::as_str).collect::<Vec<_>>(), ["tool", "new"]);
    }

    #[test]
    fn what_is_no_application_is_refused() {
        let of = |text: &str| Entry::read(text.as_bytes(), "/x").unwrap_err();
        assert_eq!(of(""), Unfit::NoEntry);
        assert_eq!(of("[Other]\nType=Application\n"), Unfit::NoEntry);
        assert_eq!(of("[Desktop Entry]\nType=Link\nName=x\nURL=x\n"), Unfit::NotApplication);
        assert_eq!(of("[Desktop Entry]\nType=Application\nExec=x\n"), Unfit::Name);
        assert_eq!(of("[Desktop Entry]\nType=Application\nName[de]=x\nExec=x\n"), Unfit::Name);
        assert_eq!(of("[Desktop Entry]\nType=Application\nName=a\\nb\nExec=x\n"), Unfit::Name);
        assert_eq!(of("[Desktop Entry]\nType=Application\nName=\u{202e}x\nExec=x\n"), Unfit::Name);
        assert_eq!(of("[Desktop Entry]\nType=Application\nName=x\n"), Unfit::Exec(ExecError::Empty));
        assert_eq!(
            of("[Desktop Entry]\nType=Application\nName=x\nExec=a\\nb\n"),
            Unfit::Exec(ExecError::Control)
        );
        assert_eq!(read("Hidden=true\n").unwrap_err(), Unfit::Hidden);
        assert_eq!(Entry::read(&vec![b'\n'; 1 << 20], "/x").unwrap_err(), Unfit::TooLong);
    }

    #[test]
    fn a_translation_that_cannot_be_shown_is_left_out() {
        let entry = read("Name[de]=a\\nb\nName[fr]=\u{202e}x\nName[fa]=\u{645}\u{6cc}\u{200c}\u{62e}\nName[it]=  \nComment=Tool\n").unwrap();
        assert_eq!(entry.name.translated.keys().collect::<Vec<_>>(), ["fa"]);
        assert_eq!(entry.comment, None, "it says nothing more");
        let entry =
            read("Name[de]=Werkzeug\nComment=More\nComment[de]=Werkzeug\nComment[fr]=Plus\n").unwrap();
        assert_eq!(entry.comment.unwrap().translated.keys().collect::<Vec<_>>(), ["fr"]);
    }

    #[test]
    fn nothing_in_a_name_moves_what_stands_behind_it_out_of_sight() {
        let of = |name: &str| {
            let text = format!("[Desktop Entry]\nType=Application\nName={name}\nExec=x\n");
            Entry::read(text.as_bytes(), "/x").map(|entry| entry.name.plain)
        };
        assert_eq!(
            of(&format!("Web{}Browser", " \u{a0}\u{3000}\u{2003}".repeat(20))).unwrap(),
            "Web Browser"
        );
        assert_eq!(of("Fran\u{e7}ais\u{a0}: x").unwrap(), "Fran\u{e7}ais\u{a0}: x");
        for blank in ['\u{115f}', '\u{2800}', '\u{3164}', '\u{ffa0}'] {
            assert_eq!(of(&format!("Browser{blank}x")), Err(Unfit::Name), "{blank:?}");
        }
    }

    #[test]
    fn where_it_is_shown_is_kept() {
        assert_eq!(read("").unwrap().only_show_in, None);
        assert_eq!(read("OnlyShowIn=GNOME;KDE;\n").unwrap().only_show_in.unwrap(), ["GNOME", "KDE"]);
        assert_eq!(read("OnlyShowIn=Nowhere;\n").unwrap().only_show_in.unwrap(), [""; 0]);
        assert_eq!(read("NotShowIn=KDE;\n").unwrap().not_show_in, ["KDE"]);
        assert!(read("NoDisplay=true\n").unwrap().no_display);
    }

    proptest! {
        #[test]
        fn no_file_is_too_much_for_it(lines in proptest::collection::vec("(Name|Exec|Icon|Actions|Keywords|Type|Path)(\\[de\\])?=[ -~ü\u{202e}]{0,30}", 0..12)) {
            let text = format!("[Desktop Entry]\nType=Application\n{}\n", lines.join("\n"));
            if let Ok(entry) = Entry::read(text.as_bytes(), "/x") {
                prop_assert!(is_shown(&entry.name.plain, LONGEST_NAME));
            }
        }
    }
}
