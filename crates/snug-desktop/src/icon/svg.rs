//! Drawings that need nothing but themselves: no scripts, no entities, and nothing that is elsewhere.
//!
//! The renderers of desktops run no scripts and fetch nothing (librsvg, QtSvg), so this is a second wall. It is by words, not by a parser: what
//! is refused for nothing is an icon of one size less.

/// Words, in small letters, that no harmless drawing has.
const REFUSED: [&str; 9] = [
    "<!entity",
    "<!attlist",
    "<!element",
    "<script",
    "<foreignobject",
    "<iframe",
    "javascript:",
    "@import",
    "xml-stylesheet",
];

/// Copies of parts of it: of parts that have copies in them a renderer draws 2, 4, 8, …, and this many make no more than some thousands. Of 1400
/// drawings of Debian's themes none has any.
const MOST_USES: usize = 24;

/// Whether a text is such a drawing.
pub fn is_harmless(text: &str) -> bool {
    if !is_svg(text) || text.chars().any(|c| c.is_control() && !"\t\r\n".contains(c)) {
        return false;
    }
    let small = text.to_ascii_lowercase();
    is_as_it_reads(&small)
        && !REFUSED.iter().any(|word| small.contains(word))
        && references(&small).all(is_own)
        && ["<use", ":use"].iter().map(|word| small.matches(word).count()).sum::<usize>() <= MOST_USES
}

/// Whether readers see the same text: a declaration may say that it is written in another way (`UTF-7` has `<` as `+ADw-`), which XML libraries
/// follow, and then none of the words would be found.
fn is_as_it_reads(small: &str) -> bool {
    let rest = small.trim_start_matches('\u{feff}').trim_start().strip_prefix("<?xml").unwrap_or_default();
    let declaration = rest.split_once("?>").map_or("", |(before, _)| before);
    declaration.match_indices("encoding").all(|(at, word)| {
        let value = declaration[at + word.len()..].trim_start().trim_start_matches('=').trim_start();
        let value = value.trim_start_matches(['"', '\'']);
        let name = value.split(['"', '\'']).next().unwrap_or_default();
        ["utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1"].contains(&name)
    })
}

/// Whether its first element is `svg`, after a declaration, comments and a document type.
fn is_svg(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // Each turn passes over something.
    loop {
        let end = match rest {
            _ if rest.starts_with("<?") => "?>",
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<!DOCTYPE") => ">",
            _ => break,
        };
        let Some((_, after)) = rest.split_once(end) else { return false };
        rest = after.trim_start();
    }
    let name = rest.strip_prefix('<').unwrap_or_default();
    let name = name.strip_prefix("svg:").unwrap_or(name);
    name.strip_prefix("svg")
        .is_some_and(|after| after.starts_with(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/'))
}

/// What a drawing refers to: values of `href` and of `url(…)`.
fn references(small: &str) -> impl Iterator<Item = &str> {
    let attributes = small.match_indices("href").filter_map(|(at, word)| {
        // The word within a text is no attribute.
        small[at + word.len()..].trim_start().strip_prefix('=').map(str::trim_start)
    });
    let functions = small.match_indices("url(").map(|(at, word)| small[at + word.len()..].trim_start());
    attributes.chain(functions)
}

/// Whether a reference is to the drawing itself, or has in itself what it refers to. `&quot;` and its like are how quotes are written within
/// an attribute; an escaped letter is taken for somewhere else.
fn is_own(reference: &str) -> bool {
    const QUOTES: [&str; 6] = ["\"", "'", "&quot;", "&apos;", "&#34;", "&#39;"];
    let quoted = QUOTES.iter().find_map(|quote| Some((*quote, reference.strip_prefix(quote)?)));
    let is_nothing = quoted.is_some_and(|(quote, value)| value.starts_with(quote));
    let value = quoted.map_or(reference, |(_, value)| value).trim_start();
    let is_image = |value: &str| ["png", "jpeg", "jpg"].iter().any(|kind| value.starts_with(kind));
    is_nothing || value.starts_with('#') || value.strip_prefix("data:image/").is_some_and(is_image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_needs_nothing_but_itself() {
        let of = |inner: &str| format!("<svg xmlns:xlink=\"http://www.w3.org/1999/xlink\">{inner}</svg>");
        for good in [
            "<path style=\"fill:url(#a)\" d=\"M0 0\"/>",
            "<use xlink:href=\"#a\"/>",
            "<use href = '#a'/>",
            "<g fill=\"url(&quot;#a&quot;)\"/>",
            "<image href=\"data:image/png;base64,AA==\"/>",
            "<title>href and url</title>",
            "<a xlink:href=\"\"/>",
            "<rdf:Description rdf:resource=\"http://purl.org/x\"/>",
        ] {
            assert!(is_harmless(&of(good)), "{good}");
        }
        for bad in [
            "<script>x</script>",
            "<SCRIPT/>",
            "<image href=\"file:///etc/passwd\"/>",
            "<image xlink:HREF = 'http://x/'/>",
            "<image href=\"/etc/passwd\"/>",
            "<image href=\"../x.png\"/>",
            "<image href=\"'x.png\"/>",
            "<image href=\"&#x68;ttp://x\"/>",
            "<image href=\"data:text/html,x\"/>",
            "<image href=\"data:image/svg+xml;base64,AA\"/>",
            "<path style=\"fill:url(http://x)\"/>",
            "<path style=\"fill:url( 'x.svg#a' )\"/>",
            "<style>@import 'x';</style>",
            "<foreignObject/>",
            "<a xlink:href=\"javascript:x\"/>",
            "\0",
            &"<g id=\"a\"><use href=\"#b\"/></g>".repeat(MOST_USES + 1),
            &"<svg:use href=\"#b\"/>".repeat(MOST_USES + 1),
        ] {
            assert!(!is_harmless(&of(bad)), "{bad}");
        }
    }

    #[test]
    fn its_first_element_is_svg() {
        for good in [
            "<svg/>",
            "\u{feff}<?xml version='1.0'?><!-- a > b --><!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://x.dtd\">\n<svg >",
            "<svg:svg xmlns:svg='x'/>",
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?><svg/>",
        ] {
            assert!(is_harmless(good), "{good}");
        }
        for bad in [
            "",
            "<",
            "svg",
            "<svgx/>",
            "<html><svg/>",
            "<!-- ",
            "<?xml",
            "<?xml version='1.0' encoding='UTF-7'?><svg>+ADw-script/+AD4-</svg>",
            "<?xml version='1.0' encoding = \"IBM037\"?><svg/>",
            "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>",
            "<!DOCTYPE svg",
            "text <svg/>",
        ] {
            assert!(!is_harmless(bad), "{bad}");
        }
    }
}
