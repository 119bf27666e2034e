use proptest::prelude::*;

use super::*;

const ABOUT: About<'static> =
    About { icon: Some("tool"), name: "The Tool", path: "/usr/share/applications/tool.desktop" };

/// What the host's entry has for a guest's, both without their escapes.
fn taken(text: &str) -> Result<String, ExecError> {
    CommandLine::read(text, &ABOUT).map(|line| value::unescape(&line.value("/shim")))
}

#[track_caller]
fn becomes(text: &str, wanted: &str) {
    assert_eq!(taken(text).unwrap(), format!("/shim {wanted}"), "{text}");
}

#[test]
fn a_guests_command_line_is_arguments_of_the_hosts_program() {
    becomes("tool", "tool");
    becomes("  /opt/my\\ tool/bin   --new  ", r#""/opt/my tool/bin" --new"#);
    becomes(r#""tool" "a b" "" 'c d'"#, r#"tool "a b" "" "c d""#);
    becomes(r#"env A=b tool"#, "env A=b tool");
    becomes(r#"sh -c "echo \"\$HOME\" \`id\` \\\\ 'x'""#, r#"sh -c "echo \"\$HOME\" \`id\` \\\\ 'x'""#);
    becomes(
        "tool ; rm -rf ~ & `id` $(id) | x > y",
        r#"tool ";" rm -rf "~" "&" "\`id\`" "\$(id)" "|" x ">" y"#,
    );
    becomes("tool %%d 100%% 'a %%'", r#"tool %%d 100%% "a %%""#);
    becomes("tool --icon=ü", r#"tool "--icon=ü""#);
}

#[test]
fn field_codes_stay_where_they_mean_something_and_are_dropped_elsewhere() {
    for code in ["%f", "%F", "%u", "%U", "%c"] {
        becomes(&format!("tool {code}"), &format!("tool {code}"));
        becomes(&format!(r#"tool "{code}""#), &format!("tool {code}"));
    }
    becomes("tool --file=%f -x", "tool --file=%f -x");
    becomes("tool --file=%F", "tool --file=");
    becomes("tool %f %U", "tool %f");
    becomes("tool %u --f=%f", "tool %u --f=");
    becomes("tool %d %D %n %N %v %m x", "tool x");
    becomes("tool %i x", "tool --icon tool x");
    becomes("tool %k", "tool /usr/share/applications/tool.desktop");
    becomes("tool --caption=%c", r#"tool "--caption=The Tool""#);
    becomes("sh -c \"tool %f\"", r#"sh -c "tool ""#);
    becomes("sh -c 'tool \"$@\"' sh %F", r#"sh -c "tool \"\$@\"" sh %F"#);
    let without_icon = About { icon: None, ..ABOUT };
    assert_eq!(CommandLine::read("tool %i", &without_icon).unwrap().value("/shim"), "/shim tool");
}

#[test]
fn what_no_program_can_be_started_by_is_refused() {
    for (text, error) in [
        ("", ExecError::Empty),
        ("   ", ExecError::Empty),
        ("%d", ExecError::Empty),
        ("\"tool", ExecError::Quote),
        ("'tool", ExecError::Quote),
        ("tool \\", ExecError::Quote),
        ("tool \"a\\", ExecError::Quote),
        ("tool %", ExecError::FieldCode),
        ("tool %x", ExecError::FieldCode),
        ("tool %20", ExecError::FieldCode),
        ("tool\nrm", ExecError::Control),
        ("tool \x1b[2J", ExecError::Control),
        ("tool \u{202e}", ExecError::Control),
        ("-x tool", ExecError::Program),
        ("%f", ExecError::Program),
        ("%u/tool", ExecError::Program),
        ("\"\" x", ExecError::Program),
        (&"x".repeat(LONGEST + 1), ExecError::TooLong),
        (&"x ".repeat(MOST_WORDS + 1), ExecError::TooLong),
    ] {
        assert_eq!(taken(text), Err(error), "{text:?}");
    }
}

#[test]
fn what_codes_stand_for_makes_no_line_longer_than_any() {
    let path = format!("/{}", "x".repeat(2000));
    let icon = "y".repeat(2000);
    let about = About { icon: Some(&icon), path: &path, ..ABOUT };
    for long in [
        format!("tool {}", "%k".repeat(4000)),
        "tool".to_owned() + &" %k".repeat(99),
        "tool".to_owned() + &" %i".repeat(99),
    ] {
        assert_eq!(CommandLine::read(&long, &about), Err(ExecError::TooLong), "{}", &long[..20]);
    }
    assert!(CommandLine::read("tool %i %k", &about).is_ok());
}

#[test]
fn a_program_is_named_as_it_is_looked_for() {
    for (path, good) in [
        ("/home/u/.local/share/snug/applications/x", true),
        ("/home/a b/x", true),
        ("/home/u=v/x", false),
        ("/home/100%/x", false),
        ("/home/\n/x", false),
        ("x", false),
    ] {
        assert_eq!(is_program(path), good, "{path}");
    }
    let line = CommandLine::read("tool", &ABOUT).unwrap();
    assert_eq!(line.value("/home/a b$c/x"), r#""/home/a b\\$c/x" tool"#);
}

/// As the specification has it, for what has no codes: the words of a value.
fn words(value: &str) -> Vec<String> {
    let text = value::unescape(value);
    let mut words = vec![];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let mut word = String::new();
        if let Some(inner) = rest.strip_prefix('"') {
            let mut chars = inner.char_indices();
            loop {
                match chars.next().unwrap() {
                    (at, '"') => {
                        rest = &inner[at + 1..];
                        break;
                    }
                    (_, '\\') => word.push(chars.next().unwrap().1),
                    (_, c) => word.push(c),
                }
            }
        } else {
            let (one, more) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            assert!(!one.contains([
                '"', '\'', '\\', '>', '<', '~', '|', '&', ';', '$', '*', '?', '#', '(', ')', '`'
            ]));
            word.push_str(one);
            rest = more;
        }
        words.push(word.replace("%%", "%"));
        assert!(rest.is_empty() || rest.starts_with(' '));
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    words
}

proptest! {
    #[test]
    fn words_arrive_as_they_are(all in proptest::collection::vec("[ -~ü]{0,12}", 1..8)) {
        let line: Vec<String> = all.iter().map(|word| {
            let escaped: String = word.replace('%', "%%").chars().flat_map(|c| ['\\', c]).collect();
            if word.is_empty() { "\"\"".to_owned() } else { escaped }
        }).collect();
        // Every character has a backslash: a plain one, too, outside of quotes.
        let read = CommandLine::read(&line.join(" "), &ABOUT);
        if !all[0].is_empty() && !all[0].starts_with('-') {
            let value = read.unwrap().value("/shim");
            prop_assert!(!value.contains('\n'));
            let wanted: Vec<String> = [vec!["/shim".to_owned()], all].concat();
            prop_assert_eq!(words(&value), wanted);
        } else {
            prop_assert!(read.is_err());
        }
    }

    #[test]
    fn whatever_is_read_begins_with_the_hosts_program(text in "[ -~\\\\\"'%fFuUcki\n]{0,60}") {
        if let Ok(line) = CommandLine::read(&value::unescape(&text), &ABOUT) {
            let value = line.value("/shim");
            prop_assert!(value.starts_with("/shim "));
            prop_assert!(!value.chars().any(char::is_control));
        }
    }
}
