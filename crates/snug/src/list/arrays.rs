//! Words more or less in a TOML list: the comments of whoever keeps it stay with their words, and so does his order.
//!
//! `toml_edit` gives what stands between two words to the second one, so a comment at a line's end belongs to the word after it:
//! here it goes with the word before it.

use toml_edit::{Array, RawString, Value};

/// Adds a word: among words that are in good order where it belongs, otherwise at the end.
pub fn add(array: &mut Array, word: &str) {
    let words: Vec<String> =
        array.iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect();
    let at =
        if words.is_sorted() { words.partition_point(|there| there.as_str() < word) } else { words.len() };
    let is_one_line = (0..=array.len()).all(|at| !between(array, at).contains('\n'));
    if is_one_line || (at < array.len() && !between(array, at).contains('\n')) {
        insert_in_line(array, at, word);
        return;
    }
    // Each word begins a line: the rest of the line before it goes with the word that was before it.
    end_with_comma(array);
    let indentation = array
        .iter()
        .map(|value| text(value.decor().prefix()))
        .find_map(|prefix| prefix.rfind('\n').map(|at| prefix[at + 1..].to_owned()))
        .unwrap_or_else(|| "    ".to_owned());
    let (before, mut after) = split_line(&between(array, at));
    if after.is_empty() {
        after.push('\n');
    }
    let value = Value::from(word).decorated(format!("{before}\n{indentation}"), "");
    array.insert_formatted(at, value);
    set_between(array, at + 1, &after);
}

/// Removes the words that are meant, each with the comment at its line's end; whether there were some.
pub fn remove(array: &mut Array, is_meant: impl Fn(&str) -> bool) -> bool {
    let mut any = false;
    let next = |array: &Array| array.iter().position(|value| value.as_str().is_some_and(&is_meant));
    while let Some(at) = next(array) {
        any = true;
        let before = between(array, at);
        let after = between(array, at + 1);
        let is_last = at + 1 == array.len();
        array.remove(at);
        let joined = if before.contains('\n') || after.contains('\n') {
            // Its own comment is what is left of its line.
            let (_, rest) = split_line(&after);
            match (rest.is_empty(), before.rfind('\n')) {
                // The next word is on the same line: it comes in this one's place.
                (true, _) => before,
                // What stands above it stays; its own line goes.
                (false, Some(line)) => before[..line].to_owned() + &rest,
                (false, None) => rest,
            }
        } else if at == 0 || is_last {
            if at == 0 { before } else { after }
        } else {
            after
        };
        set_between(array, at, &joined);
        if array.is_empty() {
            array.set_trailing_comma(false);
        }
    }
    any
}

fn insert_in_line(array: &mut Array, at: usize, word: &str) {
    let first = array.get(0).map(|value| text(value.decor().prefix()));
    let last_suffix = array.get(array.len().wrapping_sub(1)).map(|value| text(value.decor().suffix()));
    let value = match (at, array.len()) {
        (_, 0) => Value::from(word).decorated("", ""),
        (0, _) => {
            if let Some(value) = array.get_mut(0) {
                value.decor_mut().set_prefix(" ");
            }
            Value::from(word).decorated(first.unwrap_or_default(), "")
        }
        (at, len) if at == len => {
            if let Some(value) = array.get_mut(len - 1) {
                value.decor_mut().set_suffix("");
            }
            Value::from(word).decorated(" ", last_suffix.unwrap_or_default())
        }
        _ => Value::from(word).decorated(" ", ""),
    };
    array.insert_formatted(at, value);
}

/// A comma after the last word, before the comment that may stand there.
fn end_with_comma(array: &mut Array) {
    if array.trailing_comma() || array.is_empty() {
        return;
    }
    let last = array.len() - 1;
    let trailing = text(Some(array.trailing()));
    if let Some(value) = array.get_mut(last) {
        let suffix = text(value.decor().suffix());
        value.decor_mut().set_suffix("");
        array.set_trailing(suffix + &trailing);
    }
    array.set_trailing_comma(true);
}

/// What stands before the word at that place; behind the last one what stands before the bracket.
fn between(array: &Array, at: usize) -> String {
    match array.get(at) {
        Some(value) => text(value.decor().prefix()),
        None if array.trailing_comma() || array.is_empty() => text(Some(array.trailing())),
        None => {
            let suffix = array.get(array.len() - 1).map(|value| text(value.decor().suffix()));
            suffix.unwrap_or_default() + &text(Some(array.trailing()))
        }
    }
}

fn set_between(array: &mut Array, at: usize, between: &str) {
    match array.get_mut(at) {
        Some(value) => value.decor_mut().set_prefix(between),
        None => {
            if let Some(last) = array.len().checked_sub(1)
                && !array.trailing_comma()
                && let Some(value) = array.get_mut(last)
            {
                value.decor_mut().set_suffix("");
            }
            array.set_trailing(between);
        }
    }
}

/// The rest of a line, and what comes after it with its newline.
fn split_line(between: &str) -> (String, String) {
    match between.find('\n') {
        Some(at) => (between[..at].trim_end().to_owned(), between[at..].to_owned()),
        None => (between.trim_end().to_owned(), String::new()),
    }
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml_edit::DocumentMut;

    use super::*;

    fn changed(text: &str, change: impl FnOnce(&mut Array)) -> String {
        let mut document: DocumentMut = format!("a = {text}\n").parse().unwrap();
        change(document["a"].as_array_mut().unwrap());
        let out = document.to_string();
        out.parse::<DocumentMut>().unwrap_or_else(|error| panic!("{error}: {out}"));
        out.strip_prefix("a = ").unwrap().trim_end().to_owned()
    }

    #[test]
    fn a_word_comes_where_it_belongs() {
        for (before, after) in [
            ("[]", "['m']"),
            ("['a']", "['a', 'm']"),
            ("['z']", "['m', 'z']"),
            ("['a', 'z']", "['a', 'm', 'z']"),
            ("[ 'a', 'b' ]", "[ 'a', 'b', 'm' ]"),
            ("[ 'n', 'o' ]", "[ 'm', 'n', 'o' ]"),
            ("['z', 'a']", "['z', 'a', 'm']"),
            ("[\n    'a',\n    'z',\n]", "[\n    'a',\n    'm',\n    'z',\n]"),
            ("[\n    'a',\n    'b',\n]", "[\n    'a',\n    'b',\n    'm',\n]"),
            ("[\n    'a',\n    'b'\n]", "[\n    'a',\n    'b',\n    'm',\n]"),
            ("[\n  'n', # end\n  'o',\n]", "[\n  'm',\n  'n', # end\n  'o',\n]"),
            (
                "[\n    # above\n    'a', # of a\n    # over z\n    'z', # of z\n    # last\n]",
                "[\n    # above\n    'a', # of a\n    'm',\n    # over z\n    'z', # of z\n    # last\n]",
            ),
            ("[\n    'a', # of a\n    'b' # of b\n]", "[\n    'a', # of a\n    'b', # of b\n    'm',\n]"),
            ("[\n    'z', # of z\n    'a', # of a\n]", "[\n    'z', # of z\n    'a', # of a\n    'm',\n]"),
        ] {
            assert_eq!(changed(before, |array| add(array, "m")).replace('"', "'"), after, "{before}");
        }
    }

    #[test]
    fn a_word_goes_with_its_own_comment_and_no_other() {
        for (before, after) in [
            ("['m']", "[]"),
            ("['m', 'a']", "['a']"),
            ("['a', 'm']", "['a']"),
            ("[ 'a', 'm', 'b' ]", "[ 'a', 'b' ]"),
            ("[ 'a', 'm' ]", "[ 'a' ]"),
            ("[\n    'a',\n    'm',\n    'z',\n]", "[\n    'a',\n    'z',\n]"),
            ("[\n    'a',\n    'm',\n]", "[\n    'a',\n]"),
            ("[\n    'a',\n    'm'\n]", "[\n    'a'\n]"),
            ("[\n    'm',\n    'a',\n]", "[\n    'a',\n]"),
            ("[\n    'm', # of m\n]", "[\n]"),
            (
                "[\n    'a', # of a\n    'm', # of it\n    'z', # of z\n]",
                "[\n    'a', # of a\n    'z', # of z\n]",
            ),
            (
                "[\n    'a', # of a\n    # over m\n    'm', # of m\n    # over z\n    'z',\n]",
                "[\n    'a', # of a\n    # over m\n    # over z\n    'z',\n]",
            ),
            ("[\n    'a', 'm',\n    'z',\n]", "[\n    'a',\n    'z',\n]"),
            ("[\n    'a',\n    'm', 'z',\n]", "[\n    'a',\n    'z',\n]"),
            ("['m', 'a', 'm']", "['a']"),
            ("['a']", "['a']"),
        ] {
            let found = before.contains('m');
            let after_removal = changed(before, |array| assert_eq!(remove(array, |word| word == "m"), found));
            assert_eq!(after_removal, after, "{before}");
        }
    }

    proptest! {
        #[test]
        fn words_come_and_go_and_no_comment_of_others_is_lost(
            words in prop::collection::vec("[a-l]{1,3}", 0..6),
            ends in prop::collection::vec(prop::sample::select(vec![",", ", ", ",\n  ", " ,\n  ", ", # c\n  ", ",\n  # over\n  "]), 6),
            tail in prop::sample::select(vec!["", ",", "\n", ",\n", " # t\n", ", # t\n"]),
        ) {
            let mut text = "[".to_owned();
            for (at, word) in words.iter().enumerate() {
                text += &format!("'{word}'");
                if at + 1 < words.len() {
                    text += ends[at];
                }
            }
            let text = if words.is_empty() { "[]".to_owned() } else { text + tail + "]" };
            let comments = |text: &str| text.matches("# over").count() + text.matches("# c").count() + text.matches("# t").count();
            let read = |text: &str| {
                let document: DocumentMut = format!("a = {text}\n").parse().unwrap();
                document["a"].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let more = changed(&text, |array| add(array, "m"));
            let mut expected = words.clone();
            expected.push("m".to_owned());
            let mut found = read(&more);
            prop_assert_eq!(comments(&more), comments(&text), "{} {}", text, more);
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
            let less = changed(&more, |array| assert!(remove(array, |word| word == "m")));
            prop_assert_eq!(read(&less), words, "{} {}", text, less);
            prop_assert_eq!(comments(&less), comments(&text), "{} {} {}", text, more, less);
        }
    }
}
