use proptest::prelude::*;

use super::*;

fn in_home(path: &Path) -> bool {
    path.starts_with("/home/anna") || Path::new("/home/anna").starts_with(path)
}

#[test]
fn grants_are_read_and_written() {
    for (given, written) in [
        ("home", "home"),
        ("home=private", "home=private"),
        ("home=/srv/h/", "home=/srv/h"),
        ("private=.config/systemd/user", "private=.config/systemd/user"),
        ("private=~/.cache", "private=.cache"),
        ("path=/srv", "path=/srv"),
        ("path=/srv:ro", "path=/srv:ro"),
        ("path=/srv:rw", "path=/srv"),
        ("path=/srv:/mnt/srv", "path=/srv:/mnt/srv"),
        ("path=/srv:/srv:ro", "path=/srv:ro"),
        (r"path=/a\:b:/c:ro", r"path=/a\:b:/c:ro"),
        ("path=.", "path=."),
        ("host", "host"),
        ("host:ro", "host:ro"),
        ("device=/dev/ttyUSB0", "device=/dev/ttyUSB0"),
        ("usb=1A2b:0003", "usb=1a2b:0003"),
        ("network=nat", "network=nat"),
        ("host-exec", "host-exec"),
        ("host-exec=xdg-open,flatpak", "host-exec=xdg-open,flatpak"),
        ("nesting", "nesting"),
        ("groups", "groups"),
    ] {
        assert_eq!(given.parse::<Grant>().unwrap().to_string(), written, "{given}");
    }
}

#[test]
fn what_is_no_grant_is_refused_with_a_hint() {
    for (given, hint) in [
        ("hme", "did you mean 'home'?"),
        ("sesion", "did you mean 'session'?"),
        ("nesting=yes", "it is written nesting"),
        ("host=ro", "it is written host[:ro]"),
        ("network", "it is written network=mirror|nat|host|none"),
        ("network=wifi", "it is written network=mirror|nat|host|none"),
        ("home=rel", "it is written home[=private|=PATH]"),
        ("path=/a/../b", "it is written path=SRC[:DST][:ro]"),
        ("path=/a:/", "it is written path=SRC[:DST][:ro]"),
        ("path=/a:/b:/c", "it is written path=SRC[:DST][:ro]"),
        ("path=", "it is written path=SRC[:DST][:ro]"),
        ("device=/etc/passwd", "it is written device=/dev/NODE"),
        ("device=/dev/../etc/passwd", "it is written device=/dev/NODE"),
        ("usb=+12b:0003", "it is written usb=VID:PID"),
        ("private=/", "it is written private=PATH"),
        ("host-exec=a,,b", "it is written host-exec[=CMD,…]"),
    ] {
        assert_eq!(given.parse::<Grant>().unwrap_err().hints()[0], hint, "{given}");
    }
}

#[test]
fn every_row_can_be_asked_for() {
    for row in table() {
        let value = match (row.variant, row.value) {
            (Some("PATH"), _) | (_, ValueKind::Mapping | ValueKind::Island) => "=/x".to_owned(),
            (Some(word), _) => format!("={word}"),
            (_, ValueKind::Device) => "=/dev/x".to_owned(),
            (_, ValueKind::Usb) => "=0000:0001".to_owned(),
            _ => String::new(),
        };
        let grant: Grant = format!("{}{value}", row.word).parse().unwrap();
        assert_eq!(grant.row(), Some(row));
        if let Support::Later { instead: Some(word) } = row.support {
            assert_eq!(word.parse::<Grant>().unwrap().support(), Support::Now);
        }
    }
}

#[test]
fn trusted_is_what_the_design_lists() {
    for (word, trusted) in [
        ("home", true),
        ("home=private", false),
        ("home=/home/anna/boxes", true),
        ("home=/srv/boxes", false),
        ("path=/home/anna/src", true),
        ("path=/home/anna/src:ro", false),
        ("path=/home", true),
        ("path=/srv", false),
        ("host", true),
        ("host:ro", true),
        ("session", true),
        ("x11", true),
        ("wayland", false),
        ("host-exec=ls", true),
        ("host-open", false),
        ("network=host", true),
        ("network=mirror", false),
        ("network=nat", false),
        ("nesting", false),
        ("privileged", true),
        ("devices", false),
        ("gpu", false),
        ("kvm", false),
        ("input", true),
        ("private=.cache", false),
    ] {
        assert_eq!(GrantSet::parse([word]).unwrap().is_trusted(in_home), trusted, "{word}");
    }
    let unknown: GrantSet = serde_json::from_str(r#"["teleport=moon"]"#).unwrap();
    assert!(!unknown.is_trusted(in_home));
}

#[test]
fn an_administrator_is_asked_for_privilege_and_a_writable_host() {
    let set = GrantSet::parse(["home", "privileged", "network=host"]).unwrap();
    assert_eq!(set.needs_administrator(), [&Grant::Privileged]);
    assert!(GrantSet::parse(["host:ro"]).unwrap().needs_administrator().is_empty());
    assert_eq!(GrantSet::parse(["host"]).unwrap().needs_administrator().len(), 1);
}

#[test]
fn two_of_one_slot_conflict_when_asked_for_and_replace_when_layered() {
    for pair in [["network=nat", "network=host"], ["home", "home=private"], ["host", "host:ro"]] {
        assert!(matches!(GrantSet::parse(pair), Err(GrantError::Conflict { .. })), "{pair:?}");
    }
    assert_eq!(GrantSet::parse(["home", "home"]).unwrap().words(), ["home"]);
    let mut set = GrantSet::parse(["network=mirror", "home", "path=/a"]).unwrap();
    set.extend(GrantSet::parse(["network=none", "path=/a:ro"]).unwrap());
    assert_eq!(set.words(), ["network=none", "home", "path=/a:ro"]);
}

#[test]
fn grants_are_taken_away_by_word_or_exactly() {
    let all = || GrantSet::parse(["home", "private=.a", "private=.b", "network=nat"]).unwrap();
    for (word, left) in [
        ("private", vec!["home", "network=nat"]),
        ("private=.a", vec!["home", "private=.b", "network=nat"]),
        ("nesting", vec!["home", "private=.a", "private=.b", "network=nat"]),
        ("network", vec!["home", "private=.a", "private=.b"]),
    ] {
        let mut set = all();
        assert_eq!(set.remove(word).unwrap(), left.len() < 4);
        assert_eq!(set.words(), left, "{word}");
    }
    assert!(all().remove("netwrok").is_err());
    let mut without = all();
    without.remove("network").unwrap();
    without.remove("home").unwrap();
    assert_eq!((without.network(), without.home()), (Network::None, Home::Private));
}

#[test]
fn an_island_lies_in_the_home() {
    let homes = [Path::new("/home/anna"), Path::new("/var/home/anna")];
    let check = |path: &str| GrantSet::parse([format!("private={path}")]).unwrap().check_islands(&homes);
    for path in [".cache", "~/.cache", "etc", "/home/anna/.cache", "/var/home/anna/a/b/"] {
        assert_eq!(check(path), Ok(()), "{path}");
    }
    for path in ["/etc", "/usr/bin", "/home", "/home/anna", "/home/anna/.", "/home/anna-too/.cache"] {
        let error = check(path).unwrap_err();
        assert!(
            error.to_string().ends_with(": an island lies in your home, and is not all of it"),
            "{error}"
        );
        assert_eq!(error.hints(), ["it is written private=PATH"]);
    }
    let none: &[&Path] = &[];
    assert!(GrantSet::parse(["home", "private=/home/anna/.x"]).unwrap().check_islands(none).is_err());
}

#[test]
fn what_comes_later_is_refused_when_asked_for_and_waits_in_a_preset() {
    let set = GrantSet::parse(["home=/srv/anna", "wayland", "network=mirror"]).unwrap();
    let error = GrantSet::parse(["home=/srv/anna"]).unwrap().check_supported().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the grant 'home=/srv/anna' does not exist in this version of Snug: it comes with a later one"
    );
    assert_eq!(error.hints(), ["'home=private' works"]);
    let (now, waiting) = set.part();
    assert_eq!(now.words(), ["home=private", "network=mirror"]);
    let waiting: Vec<String> = waiting.iter().map(Grant::to_string).collect();
    assert_eq!(waiting, ["home=/srv/anna", "wayland"]);
    assert!(now.check_supported().is_ok());
}

#[test]
fn a_stored_set_keeps_what_it_does_not_know() {
    let json = r#"["home","teleport=moon","network=quantum"]"#;
    let set: GrantSet = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&set).unwrap(), json);
    assert_eq!(set.network(), Network::None);
    assert_eq!(set.part().1.len(), 2);
}

proptest! {
    #[test]
    fn parsing_never_panics(given in any::<String>()) {
        let _ = given.parse::<Grant>();
        let _ = GrantSet::default().remove(&given);
        prop_assert_eq!(Grant::stored(&given).to_string().is_empty(), given.is_empty());
    }

    #[test]
    fn what_is_read_is_written_again(
        word in prop::sample::select(table().iter().map(|row| row.word).collect::<Vec<_>>()),
        value in prop_oneof![
            Just(String::new()), Just("=private".to_owned()), Just(":ro".to_owned()), Just("=12ab:00ff".to_owned()),
            r"=(/dev)?(/[a-z.\\: ]{1,6}){1,3}(:/[a-z:\\]{1,5})?(:ro)?", "=[a-z.,/~]{1,9}", "=(mirror|nat|host|none)",
        ],
    ) {
        if let Ok(grant) = format!("{word}{value}").parse::<Grant>() {
            prop_assert_eq!(grant.to_string().parse::<Grant>(), Ok(grant));
        }
    }
}
