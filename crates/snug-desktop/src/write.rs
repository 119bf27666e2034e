//! The entry that the host gets.

use std::fmt::Write as _;

use crate::entry::{Action, Entry, Text, Words};
use crate::exec::CommandLine;
use crate::icon::Icon;
use crate::value::{escape, list};

/// Characters of a name that the container's comes behind. Menus cut off the end of a long one, and nobody would see whose it is.
const LONGEST_BEFORE: usize = 30;

/// What the host adds to an entry.
#[derive(Debug, Clone, Copy)]
pub struct Placing<'a> {
    /// What runs: a [`crate::exec::is_program`] of the host, whose arguments the guest's command line becomes.
    pub program: &'a str,
    /// Of which container it is.
    pub container: &'a str,
    /// Whether its name says so.
    pub is_named: bool,
    /// By what its windows are known.
    pub class: Option<&'a str>,
    /// What it opens.
    pub types: &'a [String],
}

/// The file's text. `icon_of` says what an icon is called on the host.
#[must_use]
pub fn text(entry: &Entry, placing: &Placing<'_>, icon_of: &dyn Fn(&Icon) -> Option<String>) -> String {
    let mut file = File(String::from("[Desktop Entry]\n"));
    file.line("Type", "Application");
    file.text("Name", &named(&entry.name, placing));
    // Some menus show it in the place of the name.
    file.texts("GenericName", entry.generic_name.as_ref().map(|name| named(name, placing)).as_ref());
    file.texts("Comment", entry.comment.as_ref());
    file.icon(entry.icon.as_ref(), icon_of);
    file.exec(&entry.exec, placing);
    // `Path` is a directory of the guest, `TryExec` a file of it, and nobody on the host answers for it on the bus (`DBusActivatable`).
    file.switch("Terminal", entry.terminal);
    match &entry.only_show_in {
        // Only desktops that nobody knows.
        Some(desktops) if desktops.is_empty() => file.switch("NoDisplay", true),
        _ => file.switch("NoDisplay", entry.no_display),
    }
    // There may be one of the two.
    match &entry.only_show_in {
        Some(desktops) => file.list("OnlyShowIn", desktops),
        None => file.list("NotShowIn", &entry.not_show_in),
    }
    file.list("MimeType", placing.types);
    file.list("Categories", &categories(&entry.categories));
    file.words("Keywords", entry.keywords.as_ref());
    if let Some(notify) = entry.startup_notify {
        file.line("StartupNotify", if notify { "true" } else { "false" });
    }
    if let Some(class) = placing.class {
        file.line("StartupWMClass", &escape(class));
    }
    file.switch("PrefersNonDefaultGPU", entry.prefers_other_gpu);
    // The name that validators before version 1.5 of the specification know, too.
    file.switch("X-GNOME-SingleWindow", entry.single_window);
    let ids: Vec<&str> = entry.actions.iter().map(|action| action.id.as_str()).collect();
    file.list("Actions", &ids);
    file.line("X-Snug-Container", &escape(placing.container));
    for Action { id, name, icon, exec } in &entry.actions {
        let _ = write!(file.0, "\n[Desktop Action {id}]\n");
        file.text("Name", name);
        file.icon(icon.as_ref(), icon_of);
        file.exec(exec, placing);
    }
    file.0
}

/// A name with the container's behind it.
#[must_use]
pub fn marked(name: &str, container: &str) -> String {
    let more = name.char_indices().nth(LONGEST_BEFORE).map(|(at, _)| &name[..at]);
    match more {
        Some(begin) => format!("{}… ({container})", begin.trim_end()),
        None => format!("{name} ({container})"),
    }
}

/// The name, perhaps with the container's.
fn named(name: &Text, placing: &Placing<'_>) -> Text {
    if !placing.is_named {
        return name.clone();
    }
    let of = |text: &str| marked(text, placing.container);
    let translated = name.translated.iter().map(|(locale, text)| (locale.clone(), of(text))).collect();
    Text { plain: of(&name.plain), translated }
}

/// What plays or shows is also of the category of both (Desktop Menu Specification: "must include AudioVideo as well").
fn categories(categories: &[String]) -> Vec<String> {
    let mut all = categories.to_vec();
    let has = |word: &str| categories.iter().any(|category| category == word);
    if (has("Audio") || has("Video")) && !has("AudioVideo") {
        all.insert(0, "AudioVideo".to_owned());
    }
    all
}

struct File(String);

impl File {
    /// A value that has its escapes.
    fn line(&mut self, key: &str, value: &str) {
        self.0.extend([key, "=", value, "\n"]);
    }

    fn text(&mut self, key: &str, text: &Text) {
        self.line(key, &escape(&text.plain));
        for (locale, text) in &text.translated {
            self.line(&format!("{key}[{locale}]"), &escape(text));
        }
    }

    fn texts(&mut self, key: &str, text: Option<&Text>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn words(&mut self, key: &str, words: Option<&Words>) {
        let Some(words) = words else { return };
        self.line(key, &list(&words.plain));
        for (locale, words) in &words.translated {
            self.line(&format!("{key}[{locale}]"), &list(words));
        }
    }

    fn list<T: AsRef<str>>(&mut self, key: &str, items: &[T]) {
        if !items.is_empty() {
            self.line(key, &list(items));
        }
    }

    fn switch(&mut self, key: &str, is_on: bool) {
        if is_on {
            self.line(key, "true");
        }
    }

    fn icon(&mut self, icon: Option<&Icon>, icon_of: &dyn Fn(&Icon) -> Option<String>) {
        if let Some(name) = icon.and_then(icon_of) {
            self.line("Icon", &escape(&name));
        }
    }

    fn exec(&mut self, exec: &CommandLine, placing: &Placing<'_>) {
        self.line("Exec", &exec.value(placing.program));
    }
}

#[cfg(test)]
mod tests;
