//! The files that the host gets for an application of a container.

use std::collections::BTreeMap;

use snug_core::name::ContainerName;
use snug_desktop::entry::Unfit;
use snug_desktop::icon::{self, Icon, Kind};
use snug_desktop::{Entry, Placing, write};
use snug_exports::ApplicationName;
use snug_exports::application::THEME;
use snug_packages::answer::Package;

use super::guest::{Found, Image, Source};
use super::survey::Survey;

/// The longest file name in bytes (`NAME_MAX`, limits.h).
const LONGEST_NAME: usize = 255;

/// What the host gets.
#[derive(Debug)]
pub struct Composed {
    /// Which.
    pub name: ApplicationName,
    /// What menus call it.
    pub shown: String,
    /// Where its entry is in the guest.
    pub path: String,
    /// Of which package it is.
    pub package: Option<Package>,
    /// Where it is to run in the guest.
    pub directory: Option<String>,
    /// No menu shows it.
    pub is_hidden: bool,
    /// What it opens.
    pub types: Vec<String>,
    /// What it opens, but not on the host: something there does.
    pub left_to_host: Vec<String>,
    /// By their places in the user's data directory.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Of which container, and what there is already.
pub struct Surroundings<'a> {
    /// Which.
    pub container: &'a ContainerName,
    /// It is its owner: it may do what he may.
    pub is_trusted: bool,
    /// What the host has.
    pub survey: &'a Survey,
}

/// Makes them. `program` is what the entry runs on the host.
///
/// # Errors
/// The guest's entry is none that is taken over.
pub fn compose(
    found: &Found,
    surroundings: &Surroundings<'_>,
    name: ApplicationName,
    program: &str,
) -> Result<Composed, Unfit> {
    let Surroundings { container, is_trusted, survey } = *surroundings;
    let entry = Entry::read(&found.entry, &found.path)?;
    let mut files = BTreeMap::new();
    let mut icons: BTreeMap<&Icon, Option<String>> = BTreeMap::new();
    for icon in entry.icons() {
        let on_host = if entry.icon.as_ref() == Some(icon) {
            Some(name.stem())
        } else {
            icon.file_stem().map(|stem| name.icon(&stem))
        };
        icons.entry(icon).or_insert_with(|| {
            let on_host = on_host?;
            if add_images(&mut files, &found.images, icon, &on_host, is_trusted) {
                return Some(on_host);
            }
            // One that every desktop has (`utilities-terminal`), or none.
            matches!(icon, Icon::Named(_)).then(|| icon.as_str().to_owned())
        });
    }
    // Who is not its owner opens nothing of his: a link to an application's own scheme may have a password in it.
    let (types, left_to_host): (Vec<String>, Vec<String>) = match is_trusted {
        true => entry.types.iter().cloned().partition(|kind| survey.leaves_open(kind)),
        false => (Vec::new(), Vec::new()),
    };
    // What a window is known by where nothing else is said: its entry's name (GTK and Qt on Wayland), which is not this entry's.
    let class = entry.class.as_deref().unwrap_or(name.id.as_str());
    let is_taken = survey.has_class(class) || !is_trusted && survey.is_exported_class(class);
    let placing = Placing {
        program,
        container: container.as_str(),
        is_named: !is_trusted || survey.has_name(&entry.name.plain),
        class: (!is_taken).then_some(class),
        types: &types,
    };
    let text = write::text(&entry, &placing, &|icon| icons.get(icon).cloned().flatten());
    files.insert(name.entry(), text.into_bytes());
    let shown = if placing.is_named {
        write::marked(&entry.name.plain, container.as_str())
    } else {
        entry.name.plain.clone()
    };
    Ok(Composed {
        shown,
        path: found.path.clone(),
        package: None,
        directory: entry.directory.clone(),
        is_hidden: entry.no_display || entry.only_show_in.as_ref().is_some_and(Vec::is_empty),
        types,
        left_to_host,
        files,
        name,
    })
}

/// Adds the images of an icon under its name on the host; whether there was any.
fn add_images(
    files: &mut BTreeMap<String, Vec<u8>>,
    images: &[Image],
    icon: &Icon,
    on_host: &str,
    is_trusted: bool,
) -> bool {
    let before = files.len();
    // A size of the theme is better than none.
    for is_sized in [true, false] {
        for image in images {
            let Some((found_in, suffix)) =
                of_icon(&image.source, icon).filter(|(size, _)| size.is_some() == is_sized)
            else {
                continue;
            };
            // Readers of XPM are old, and read by hand.
            let looked =
                icon::Image::look(&image.content).filter(|looked| is_trusted || looked.kind != Kind::Xpm);
            let Some((looked, size)) = looked.and_then(|looked| Some((looked, looked.place(found_in)?)))
            else {
                continue;
            };
            let file = format!("{on_host}{suffix}.{}", looked.kind.ending());
            if file.len() <= LONGEST_NAME {
                files.entry(format!("{THEME}/{size}/apps/{file}")).or_insert_with(|| image.content.clone());
            }
        }
        if files.len() > before {
            return true;
        }
    }
    false
}

/// Whether an image is one of an icon: the size at which it was found, and what comes behind its name.
fn of_icon<'a>(source: &'a Source, icon: &Icon) -> Option<(Option<&'a str>, &'static str)> {
    let stem = |file: &'a str| file.rsplit_once('.').map(|(stem, _)| stem);
    match (source, icon) {
        (Source::Theme { size, file }, Icon::Named(name)) => {
            let rest = stem(file)?.strip_prefix(name.as_str())?;
            match rest {
                "" => Some((Some(size), "")),
                "-symbolic" if size == "symbolic" => Some((Some(size), "-symbolic")),
                _ => None,
            }
        }
        (Source::Plain(file), Icon::Named(name)) => (stem(file)? == name).then_some((None, "")),
        (Source::File(path), Icon::File(wanted)) => (path == wanted).then_some((None, "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x30\0\0\0\x30\x08\x06\0\0\0";
    const XPM: &[u8] = b"/* XPM */\nstatic char *x[] = {\n\"16 16 2 1\"};\n";

    fn theme(size: &str, file: &str, content: &[u8]) -> Image {
        Image { source: Source::Theme { size: size.into(), file: file.into() }, content: content.to_vec() }
    }

    fn composed(
        more: &str,
        images: Vec<Image>,
        is_trusted: bool,
        survey: &Survey,
    ) -> Result<Composed, Unfit> {
        let entry = format!("[Desktop Entry]\nType=Application\nName=The Tool\nExec=tool %U\n{more}");
        let path = "/usr/share/applications/tool.desktop".to_owned();
        let found = Found { id: "tool".parse().unwrap(), path, entry: entry.into_bytes(), images };
        let container: ContainerName = "dev".parse().unwrap();
        let name = ApplicationName { container: container.clone(), id: "tool".parse().unwrap() };
        compose(&found, &Surroundings { container: &container, is_trusted, survey }, name, "/shim")
    }

    fn entry(composed: &Composed) -> &str {
        str::from_utf8(&composed.files["applications/snug.dev.tool.desktop"]).unwrap()
    }

    fn places(composed: &Composed) -> Vec<&str> {
        let all = composed.files.keys().map(String::as_str);
        all.filter_map(|place| place.strip_prefix("icons/hicolor/")).collect()
    }

    #[test]
    fn an_application_has_its_icon_in_all_sizes() {
        let images = vec![
            theme("48x48", "tool.png", PNG),
            theme("32x32", "tool.png", b"#!/bin/sh"),
            theme("scalable", "tool.svg", b"<svg/>"),
            theme("symbolic", "tool-symbolic.svg", b"<svg/>"),
            theme("48x48", "tool-symbolic.svg", b"<svg/>"),
            theme("../..", "tool.png", PNG),
            theme("48x48", "stranger.png", PNG),
            theme("16x16", "new.png", PNG),
            Image { source: Source::Plain("tool.png".into()), content: PNG.to_vec() },
        ];
        let more = "Icon=tool\nActions=a;b;\n[Desktop Action a]\nName=A\nExec=a\nIcon=new\n[Desktop Action b]\nName=B\nExec=b\nIcon=tool\n";
        let composed = composed(more, images, true, &Survey::default()).unwrap();
        assert_eq!(
            places(&composed),
            [
                "16x16/apps/snug.dev.tool..new.png",
                "48x48/apps/snug.dev.tool.png",
                "scalable/apps/snug.dev.tool.svg",
                "symbolic/apps/snug.dev.tool-symbolic.svg"
            ]
        );
        let icons: Vec<&str> = entry(&composed).lines().filter(|line| line.starts_with("Icon=")).collect();
        assert_eq!(icons, ["Icon=snug.dev.tool", "Icon=snug.dev.tool..new", "Icon=snug.dev.tool"]);
    }

    #[test]
    fn an_icon_may_have_no_size_and_an_image_another_name_than_what_it_is() {
        let plain = |file: &str, content: &[u8]| Image {
            source: Source::Plain(file.into()),
            content: content.to_vec(),
        };
        let all = |is_trusted| {
            let images = vec![plain("tool.png", PNG), plain("tool.svg", XPM)];
            let composed = composed("Icon=tool\n", images, is_trusted, &Survey::default()).unwrap();
            places(&composed).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(all(true), ["16x16/apps/snug.dev.tool.xpm", "48x48/apps/snug.dev.tool.png"]);
        assert_eq!(all(false), ["48x48/apps/snug.dev.tool.png"]);
        let file = Image { source: Source::File("/opt/x y.png".into()), content: PNG.to_vec() };
        let composed_of = composed("Icon=/opt/x y.png\n", vec![file], true, &Survey::default()).unwrap();
        assert_eq!(places(&composed_of), ["48x48/apps/snug.dev.tool.png"]);
        let none = composed("Icon=utilities-terminal\n", vec![], true, &Survey::default()).unwrap();
        assert!(entry(&none).contains("Icon=utilities-terminal\n"));
        for none in ["Icon=/etc/passwd\n", "Icon=../x\n", ""] {
            let composed = composed(none, vec![], true, &Survey::default()).unwrap();
            assert!(!entry(&composed).contains("Icon="), "{none}");
        }
    }

    #[test]
    fn its_windows_are_known_by_what_the_guest_calls_it() {
        let class = |more: &str| {
            let composed = composed(more, vec![], true, &Survey::default()).unwrap();
            entry(&composed).lines().find_map(|line| line.strip_prefix("StartupWMClass=")).map(str::to_owned)
        };
        assert_eq!(class("").as_deref(), Some("tool"));
        assert_eq!(class("StartupWMClass=Tool Window\n").as_deref(), Some("Tool Window"));
    }

    #[test]
    fn who_is_not_its_owner_says_whose_it_is_and_opens_nothing() {
        let of = |is_trusted| {
            let lines = "Name[de]=Werkzeug\nGenericName=Bank\nMimeType=image/png;\n";
            composed(lines, vec![], is_trusted, &Survey::default()).unwrap()
        };
        let (own, others) = (of(true), of(false));
        assert!(entry(&own).contains("Name=The Tool\n") && entry(&own).contains("MimeType=image/png;\n"));
        let text = entry(&others);
        assert!(
            text.contains("Name=The Tool (dev)\n") && text.contains("Name[de]=Werkzeug (dev)\n"),
            "{text}"
        );
        assert!(text.contains("GenericName=Bank (dev)\n") && !text.contains("MimeType"), "{text}");
        assert_eq!((own.shown.as_str(), others.shown.as_str()), ("The Tool", "The Tool (dev)"));
    }
}
