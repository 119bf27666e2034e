//! What stands, as a text: in the order of names, so that it can be kept and compared.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml_edit::Value;

use super::{APPS, CONTAINER, EXPORTS, GRANTS, IMAGE, PACKAGES, PRESET, SETTINGS, SOCKETS};

/// How long a list may be on one line.
const WIDTH: usize = 80;
/// The first line.
pub const HEAD: &str =
    "# Snug: what containers are to be. `snug dump` writes it, `snug apply FILE` makes it so.\n";

/// What is written of a container. All of it is in the order of its words already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Its name.
    pub container: String,
    /// What is to be known of it, a line each.
    pub remarks: Vec<String>,
    /// As `snug create -i` takes it.
    pub image: String,
    /// As `--preset` takes it.
    pub preset: String,
    /// What differs from that.
    pub grants: Vec<String>,
    /// `None` where nothing is known of them.
    pub packages: Option<Vec<String>>,
    /// `None` where that is left to the packages.
    pub exports: Option<Vec<String>>,
    /// Those that the host's menus have.
    pub apps: Vec<String>,
    /// Those that the host has.
    pub sockets: Vec<String>,
    /// In their one spelling.
    pub settings: BTreeMap<String, String>,
}

/// The whole list.
pub fn write(texts: &[Text]) -> String {
    texts.iter().fold(HEAD.to_owned(), |all, text| all + "\n" + &table(text))
}

/// The table of one container.
pub fn table(text: &Text) -> String {
    let name = &text.container;
    let mut out = format!("[{CONTAINER}.{name}]\n");
    let mut line = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    for remark in &text.remarks {
        line(format!("# {}", snug_core::text::escape(remark)));
    }
    line(format!("{IMAGE} = {}", quoted(&text.image)));
    line(format!("{PRESET} = {}", quoted(&text.preset)));
    if !text.grants.is_empty() {
        line(format!("{GRANTS} = {}", array(&text.grants)));
    }
    if let Some(packages) = &text.packages {
        line(format!("{PACKAGES} = {}", array(packages)));
    }
    if let Some(exports) = &text.exports {
        line(format!("{EXPORTS} = {}", array(exports)));
    }
    if !text.apps.is_empty() {
        line(format!("{APPS} = {}", array(&text.apps)));
    }
    if !text.sockets.is_empty() {
        line(format!("{SOCKETS} = {}", array(&text.sockets)));
    }
    if !text.settings.is_empty() {
        line(format!("\n[{CONTAINER}.{name}.{SETTINGS}]"));
        for (key, value) in &text.settings {
            line(format!("{key} = {}", quoted(value)));
        }
    }
    out
}

/// A TOML string.
pub fn quoted(word: &str) -> String {
    Value::from(word).to_string()
}

/// A TOML list: of many words one a line, so that a line that differs is one word.
pub fn array(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let line = format!("[{}]", quoted.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let mut out = "[\n".to_owned();
    for word in quoted {
        // Writing to a String does not fail.
        let _ = writeln!(out, "    {word},");
    }
    out + "]"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use snug_core::config::Config;

    use super::super::read::read;
    use super::super::{Entry, word_of_socket};
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_list_reads_like_one_that_a_person_wrote() {
        let text = Text {
            container: "tools".into(),
            remarks: words(&["no repository has vendor-tool", "a\nb\u{1b}"]),
            image: "images:debian/13".into(),
            preset: "integrated".into(),
            grants: words(&["+kvm", "-gpu"]),
            packages: Some(words(&["fd-find", "ripgrep"])),
            exports: Some(words(&["/opt/x/bin/y=z", "fdfind=fd", "rg", "a\"b\\c"])),
            settings: BTreeMap::from([("memory".to_owned(), "4GiB".to_owned())]),
            ..Text::default()
        };
        assert_eq!(
            write(&[text]),
            r#"# Snug: what containers are to be. `snug dump` writes it, `snug apply FILE` makes it so.

[container.tools]
# no repository has vendor-tool
# a\nb\e
image = "images:debian/13"
preset = "integrated"
grants = ["+kvm", "-gpu"]
packages = ["fd-find", "ripgrep"]
exports = ["/opt/x/bin/y=z", "fdfind=fd", "rg", 'a"b\c']

[container.tools.settings]
memory = "4GiB"
"#
        );
        let long = array(&words(&["a-package-with-a-name"; 5]));
        assert_eq!(long.lines().count(), 7, "{long}");
    }

    /// What would be written of a container that is as the list says.
    fn again(name: &str, entry: &Entry) -> Text {
        let signed = |sign: &str, words: &[String]| -> Vec<String> {
            words.iter().map(|word| format!("{sign}{word}")).collect()
        };
        let wanted = |wanted: &snug_exports::Wanted| {
            if wanted.named { format!("{}={}", wanted.word, wanted.name) } else { wanted.word.clone() }
        };
        Text {
            container: name.to_owned(),
            remarks: Vec::new(),
            image: entry.image.clone(),
            preset: entry.preset.clone(),
            grants: [signed("+", &entry.added), signed("-", &entry.left_out)].concat(),
            packages: entry.packages.clone(),
            exports: entry.exports.as_ref().map(|exports| exports.iter().map(wanted).collect()),
            apps: entry.apps.iter().flatten().map(ToString::to_string).collect(),
            sockets: entry.sockets.iter().flatten().map(word_of_socket).collect(),
            settings: entry.settings.clone().unwrap_or_default(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_written_the_same(
            names in prop::collection::btree_set("[a-z][a-z0-9-]{0,6}[a-z]", 0..4),
            packages in prop::option::of(prop::collection::btree_set("[a-z][a-z0-9+.]{1,30}", 0..12)),
            exports in prop::collection::btree_map("[a-z][a-zé.'\"]{0,8}", "(/[a-z '\"\\\\#]{1,8}){0,3}/[a-z][a-z'#]{0,4}", 0..6),
            sockets in prop::collection::btree_map("[a-z]{1,9}", "/run/[a-z'# ]{0,9}[a-z]", 0..3),
            apps in prop::collection::btree_set("[a-z][a-zA-Z0-9._+-]{0,9}[a-z]", 0..4),
            grants in prop::sample::subsequence(vec!["+network=nat", "+private=.x y", "-gpu", "-session"], 0..4),
            memory in prop::option::of(64_u32..9_000),
        ) {
            let mut places = std::collections::BTreeSet::new();
            let sockets: Vec<String> = sockets.into_iter().filter(|(_, path)| places.insert(path.clone())).map(|(name, path)| format!("{path}={name}")).collect();
            let texts: Vec<Text> = names.iter().map(|name| Text {
                container: name.clone(),
                remarks: Vec::new(),
                image: "images:debian/13".into(),
                preset: "integrated".into(),
                grants: words(&grants),
                packages: packages.as_ref().map(|all| all.iter().cloned().collect()),
                exports: Some(exports.iter().filter(|(name, _)| *name != "snug").map(|(name, path)| format!("{path}={name}")).collect()),
                apps: apps.iter().filter(|id| id.parse::<snug_exports::ApplicationId>().is_ok_and(|read| read.as_str() == **id)).cloned().collect(),
                sockets: sockets.iter().map(|word| {
                    let socket = snug_exports::Socket::parse(name.parse().unwrap(), word).unwrap();
                    word_of_socket(&socket)
                }).collect(),
                settings: memory.map(|size| ("memory".to_owned(), format!("{size}MiB").parse::<snug_core::setting::Size>().unwrap().to_string())).into_iter().collect(),
            }).collect();
            let written = write(&texts);
            let list = read(&written, &Config::built_in()).unwrap();
            let second: Vec<Text> = list.containers.iter().map(|(name, entry)| again(name.as_str(), entry)).collect();
            prop_assert_eq!(write(&second), written);
        }
    }
}
