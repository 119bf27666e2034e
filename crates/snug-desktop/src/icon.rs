//! Which images are taken over, and where they go.
//!
//! What an image is its first bytes say, not its name. The desktop's own process reads them, so they are bounded, and of drawings (SVG) only
//! those are taken that need nothing but themselves.

mod svg;

use std::fmt;

/// Bytes of an image. The longest icon of Debian 13's `hicolor` has some four hundred thousand.
pub const LONGEST: usize = 1 << 20;
/// Pixels at most, each way: what a decoder makes of it has 16 MiB then.
const MOST_PIXELS: u32 = 2048;
/// The sizes that themes have (hicolor-icon-theme's `index.theme`).
const SIZES: [u32; 14] = [16, 22, 24, 32, 36, 48, 64, 72, 96, 128, 192, 256, 512, 1024];
/// Colours of an XPM image: more than a decoder is asked to keep.
const MOST_COLOURS: u32 = 4096;
/// Characters of an icon's name.
const LONGEST_NAME: usize = 120;
/// How image files end.
const ENDINGS: [&str; 4] = [".png", ".svg", ".svgz", ".xpm"];

/// What an entry has as its icon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Icon {
    /// One of a theme.
    Named(String),
    /// A file of the guest.
    File(String),
}

impl Icon {
    /// From the value of `Icon`; none where it is neither.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.starts_with('/') {
            let is_path = value.len() < 4096
                && !value.ends_with('/')
                && !value.split('/').any(|part| part == "..")
                && !value.chars().any(char::is_control);
            return is_path.then(|| Self::File(value.to_owned()));
        }
        // The specification has no ending here; people write one.
        let name = ENDINGS.iter().find_map(|ending| value.strip_suffix(ending)).unwrap_or(value);
        is_name(name).then(|| Self::Named(name.to_owned()))
    }

    /// As it stands in the entry, without an ending.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Named(text) | Self::File(text) => text,
        }
    }

    /// A name for it, for files of the host.
    #[must_use]
    pub fn file_stem(&self) -> Option<String> {
        let name = match self {
            Self::Named(name) => return Some(name.clone()),
            Self::File(path) => path.rsplit('/').next().unwrap_or_default(),
        };
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let plain: String =
            stem.chars().map(|c| if is_in_name(c) { c } else { '-' }).take(LONGEST_NAME).collect();
        is_name(&plain).then_some(plain)
    }
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+@-".contains(c)
}

/// Whether that is a name of an icon: one part of a path, and plain.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.starts_with(['.', '-']) && name.chars().all(is_in_name)
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Portable Network Graphics.
    Png,
    /// A drawing.
    Svg,
    /// The X consortium's pictures in C.
    Xpm,
}

impl Kind {
    /// How its files end.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Xpm => "xpm",
        }
    }
}

/// A directory of a theme: `48x48`, `32x32@2`, `scalable`, `symbolic`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(String);

impl Size {
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is_number = |text: &str| {
            text.len() <= 4
                && text.parse().is_ok_and(|number: u32| {
                    (1..=MOST_PIXELS).contains(&number) && number.to_string() == text
                })
        };
        let (pixels, scale) = name.split_once('@').unwrap_or((name, "1"));
        let is_square =
            pixels.split_once('x').is_some_and(|(width, height)| width == height && is_number(width));
        let is_known = is_square && ["1", "2", "3", "4"].contains(&scale) && !name.ends_with("@1");
        (is_known || ["scalable", "symbolic"].contains(&name)).then(|| Self(name.to_owned()))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The largest that such an image fills.
    fn for_pixels(pixels: u32) -> Self {
        let size = SIZES.iter().rev().find(|size| **size <= pixels).unwrap_or(&SIZES[0]);
        Self(format!("{size}x{size}"))
    }

    fn is_for_drawings(&self) -> bool {
        !self.0.starts_with(|c: char| c.is_ascii_digit())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image that is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// What it is.
    pub kind: Kind,
    /// Its larger side; a drawing has none.
    pixels: u32,
}

impl Image {
    /// Looks at an image; none where it is not taken over.
    #[must_use]
    pub fn look(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        if let Some(pixels) = png(bytes) {
            return Some(Self { kind: Kind::Png, pixels });
        }
        let text = str::from_utf8(bytes).ok()?;
        if let Some(pixels) = xpm(text) {
            return Some(Self { kind: Kind::Xpm, pixels });
        }
        svg::is_harmless(text).then_some(Self { kind: Kind::Svg, pixels: 0 })
    }

    /// Where a theme has it: in the directory in which it was found, or the one for its size; none where it belongs in neither.
    #[must_use]
    pub fn place(self, found_in: Option<&str>) -> Option<Size> {
        match found_in {
            Some(name) => Size::parse(name).filter(|size| self.kind == Kind::Svg || !size.is_for_drawings()),
            None if self.kind == Kind::Svg => Some(Size("scalable".to_owned())),
            None => Some(Size::for_pixels(self.pixels)),
        }
    }
}

fn fits(width: u32, height: u32) -> Option<u32> {
    let is_fit = |side| (1..=MOST_PIXELS).contains(&side);
    (is_fit(width) && is_fit(height)).then(|| width.max(height))
}

/// The size that a PNG image says it has in its first piece (PNG specification, 11.2.1).
fn png(bytes: &[u8]) -> Option<u32> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let (width, rest) = rest.split_first_chunk::<4>()?;
    let (height, _) = rest.split_first_chunk::<4>()?;
    fits(u32::from_be_bytes(*width), u32::from_be_bytes(*height))
}

/// The size that an XPM image says it has in its first string: width, height, colours, characters for each.
fn xpm(text: &str) -> Option<u32> {
    let rest = text.trim_start().strip_prefix("/* XPM */")?;
    let first = rest.split('"').nth(1)?;
    let numbers: Vec<u32> = first.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [width, height, colours, characters, ..] = numbers[..] else { return None };
    let is_fit = (1..=MOST_COLOURS).contains(&colours) && (1..=4).contains(&characters);
    fits(width, height).filter(|_| is_fit && !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png_of(width: u32, height: u32) -> Vec<u8> {
        let begin: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
        [begin, &width.to_be_bytes(), &height.to_be_bytes(), b"\x08\x06\0\0\0"].concat()
    }

    #[test]
    fn an_icon_is_a_plain_name_or_a_path() {
        let named = |name: &str| Some(Icon::Named(name.to_owned()));
        assert_eq!(Icon::parse("org.gimp.GIMP"), named("org.gimp.GIMP"));
        assert_eq!(Icon::parse("tool.png"), named("tool"));
        assert_eq!(
            Icon::parse("/usr/share/x/tool.png"),
            Some(Icon::File("/usr/share/x/tool.png".to_owned()))
        );
        for bad in [
            "",
            "../x",
            "a/b",
            "..",
            ".x",
            "-x",
            "a b",
            "a\nb",
            "\u{202e}x",
            "/x/../y",
            "/x/",
            "/a\nb",
            "/",
            &"x".repeat(200),
            "/a/..",
        ] {
            assert_eq!(Icon::parse(bad), None, "{bad:?}");
        }
        let stem = |path: &str| Icon::parse(path).unwrap().file_stem();
        assert_eq!(stem("/usr/share/my tool/i c$n.png").as_deref(), Some("i-c-n"));
        assert_eq!(stem("/usr/share/x/.png"), None);
    }

    #[test]
    fn what_an_image_is_its_bytes_say() {
        let kind = |bytes: &[u8]| Image::look(bytes).map(|image| image.kind);
        assert_eq!(kind(&png_of(48, 48)), Some(Kind::Png));
        assert_eq!(
            kind(b"/* XPM */\nstatic char *x[] = {\n\"16 16 2 1\",\n\"  c None\"};\n"),
            Some(Kind::Xpm)
        );
        assert_eq!(
            kind(b"<?xml version=\"1.0\"?>\n<!-- x -->\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
            Some(Kind::Svg)
        );
        for bad in [
            &png_of(0, 48)[..],
            &png_of(48, 1 << 20),
            b"\x89PNG\r\n\x1a\n",
            b"\x7fELF",
            b"GIF89a",
            b"#!/bin/sh\n",
            b"",
            b"<html><svg/></html>",
            b"/* XPM */ \"99999 1 2 1\"",
            b"/* XPM */ \"9 9 99999 1\"",
            b"/* XPM */",
            b"\x1f\x8b\x08",
        ] {
            assert_eq!(kind(bad), None, "{bad:?}");
        }
        let mut long = png_of(48, 48);
        long.resize(LONGEST + 1, 0);
        assert_eq!(kind(&long), None);
    }

    #[test]
    fn an_image_goes_where_it_was_or_where_its_size_belongs() {
        let place = |bytes: &[u8], found: Option<&str>| {
            Image::look(bytes).unwrap().place(found).map(|size| size.to_string())
        };
        let png = png_of(50, 40);
        assert_eq!(place(&png, Some("48x48")).as_deref(), Some("48x48"));
        assert_eq!(place(&png, Some("32x32@2")).as_deref(), Some("32x32@2"));
        assert_eq!(place(&png, None).as_deref(), Some("48x48"));
        assert_eq!(place(&png_of(5, 5), None).as_deref(), Some("16x16"));
        assert_eq!(place(&png_of(2000, 5), None).as_deref(), Some("1024x1024"));
        let svg = b"<svg/>";
        assert_eq!(place(svg, None).as_deref(), Some("scalable"));
        assert_eq!(place(svg, Some("symbolic")).as_deref(), Some("symbolic"));
        assert_eq!(place(svg, Some("48x48")).as_deref(), Some("48x48"));
        for bad in [
            "scalable",
            "48x32",
            "..",
            "../x",
            "048x048",
            "99999x99999",
            "0x0",
            "48x48@9",
            "48x48@1",
            "x",
            "",
            "+4x+4",
        ] {
            assert_eq!(place(&png, Some(bad)), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200), begin in 0..4_usize) {
            let begin: &[u8] = [&b""[..], b"<svg", b"/* XPM */ \"", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"][begin];
            let _ = Image::look(&[begin, &bytes].concat());
        }
    }
}
