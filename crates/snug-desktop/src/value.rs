//! The escapes of values and lists (Desktop Entry Specification, "Possible value types").

/// A value without its escapes. What is no escape stands for itself.
#[must_use]
pub fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('s') => text.push(' '),
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('\\') | None => text.push('\\'),
            Some(other) => text.extend(['\\', other]),
        }
    }
    text
}

/// The items of a list: each ends with `;`, which may be missing at the end. At most `most`.
#[must_use]
pub fn items(value: &str, most: usize) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' => items.push(std::mem::take(&mut item)),
            '\\' => match chars.next() {
                Some(';') => item.push(';'),
                next => {
                    item.push_str(&unescape(&[Some('\\'), next].into_iter().flatten().collect::<String>()))
                }
            },
            c => item.push(c),
        }
        if items.len() >= most {
            return items;
        }
    }
    if !item.is_empty() {
        items.push(item);
    }
    items
}

/// A text as a value.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\\' => value.push_str("\\\\"),
            '\n' => value.push_str("\\n"),
            '\r' => value.push_str("\\r"),
            '\t' => value.push_str("\\t"),
            // At either end it would be taken for none of the value.
            ' ' if at == 0 || at + 1 == text.len() => value.push_str("\\s"),
            c => value.push(c),
        }
    }
    value
}

/// Items as a list.
#[must_use]
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    items.iter().map(|item| escape(item.as_ref()).replace(';', "\\;") + ";").collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_those_of_the_specification() {
        assert_eq!(unescape(r"\sa\nb\tc\rd\\e\x\"), " a\nb\tc\rd\\e\\x\\");
        assert_eq!(escape(" a\nb\tc\rd\\e "), r"\sa\nb\tc\rd\\e\s");
        assert_eq!(items(r"a;b\;c;d\\;e", 9), ["a", "b;c", r"d\", "e"]);
        assert_eq!(items(";;", 9), ["", ""]);
        assert_eq!(items("a;b;c;", 2), ["a", "b"]);
        assert_eq!(list(&["a;b", r"c\"]), r"a\;b;c\\;");
        assert_eq!(items("", 9), [""; 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in any::<String>(), all in proptest::collection::vec("[^\0]{1,9}", 0..9)) {
            prop_assert_eq!(unescape(&escape(&text)), text);
            prop_assert_eq!(items(&list(&all), 99), all);
        }

        #[test]
        fn a_value_is_one_line(text in any::<String>()) {
            prop_assert!(!escape(&text).contains(['\n', '\r']));
        }
    }
}
