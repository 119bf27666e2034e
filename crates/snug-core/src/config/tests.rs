use proptest::prelude::*;

use super::*;

fn file(name: &str, text: &str) -> Layer {
    Layer::file(name, text)
}

#[test]
fn the_built_in_configuration_is_whole() {
    let config = Config::built_in();
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    assert_eq!(config.default_container.as_str(), "tools");
    assert_eq!(config.images.parse("debian").unwrap().to_string(), "images:debian/13");
    assert_eq!(config.images.parse("fedora:42").unwrap().to_string(), "images:fedora/42");
    assert_eq!(
        config.presets.0.keys().collect::<Vec<_>>(),
        ["integrated", "isolated", "privileged", "project"]
    );
    assert_eq!(config.keep_snapshots(), Keep { most: 10, days: 30 });
    assert_eq!(config.project(Uid(1000)), "snug-1000");
    assert_eq!(config.project_owner("snug-1000"), Some(Uid(1000)));
    for other in ["default", "snug-", "snug-x", "snug-01000", "user-1000"] {
        assert_eq!(config.project_owner(other), None, "{other}");
    }
}

#[test]
fn layers_are_merged_key_by_key_and_know_where_a_value_comes_from() {
    let config = Config::merge(&[
        file("/usr/lib/snug/config.toml", "default_container = 'vendor'\n[remotes.images]\nurl = 'https://mirror'\n[hints]\nno-incus = 'ask'"),
        file("/etc/snug/config.toml", "default_image = 'local:debian/13'\n[short_names]\nwork = 'local:work'\nvoid = ''\n[settings]\nmemory = '4G'\ncpu = 2"),
        Layer::pairs(Source::Variable("SNUG_CONTAINER"), [("default_container", "dev"), ("idle_seconds", "5")]),
        Layer::pairs(Source::Flags, [("default_preset", "isolated")]),
    ])
    .unwrap();
    assert_eq!(config.default_container.as_str(), "dev");
    assert_eq!(config.default_image, "local:debian/13");
    assert_eq!(config.default_preset, "isolated");
    assert_eq!(config.idle_seconds, 5);
    assert_eq!(config.images.remotes["images"].url, "https://mirror");
    assert_eq!(config.images.parse("work").unwrap().to_string(), "local:work");
    assert!(config.images.parse("void").is_err());
    assert_eq!(config.images.parse("debian").unwrap().to_string(), "images:debian/13");
    assert_eq!(config.settings.iter().collect::<Vec<_>>(), [("cpu", "2"), ("memory", "4GiB")]);
    assert_eq!(config.hints["no-incus"], "ask");
    assert_eq!(config.origin("default_container"), Some(&Source::Variable("SNUG_CONTAINER")));
    assert_eq!(config.origin("remotes.images.url").unwrap().to_string(), "/usr/lib/snug/config.toml");
    assert_eq!(config.origin("remotes.images.protocol"), Some(&Source::BuiltIn));
    assert_eq!(config.origin("nothing"), None);
}

#[test]
fn unknown_keys_are_named_and_have_no_effect() {
    let text = "default_contaner = 'x'\n[remotes.images]\nurll = 'https://x'\n[presets.mine]\ngrants = ['home', 'teleport', 'hom']\n[extra.deep]\na = 1";
    let config = Config::merge(&[file("/etc/c.toml", text)]).unwrap();
    let mut warnings: Vec<String> = config.warnings().iter().map(ToString::to_string).collect();
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "/etc/c.toml: 'default_contaner' is not known and has no effect; did you mean 'default_container'?",
            "/etc/c.toml: 'extra' is not known and has no effect",
            "/etc/c.toml: 'presets.mine.grants: hom' is not known and has no effect; did you mean 'home'?",
            "/etc/c.toml: 'presets.mine.grants: teleport' is not known and has no effect",
            "/etc/c.toml: 'remotes.images.urll' is not known and has no effect; did you mean 'url'?",
        ]
    );
    assert_eq!(config.presets.get("mine").unwrap().grants.words(), ["home", "teleport", "hom"]);
}

#[test]
fn errors_name_file_line_and_column() {
    for (text, message) in [
        (
            "default_image = 'a'\nbridge = 5\n",
            "/etc/c.toml, line 2, column 10: invalid type: integer `5`, expected a string",
        ),
        ("a = \n", "/etc/c.toml, line 1, column 5: "),
        ("[remotes.x]\nprotocol = 'gopher'\n", "/etc/c.toml, line 2, column 12: unknown variant `gopher`"),
    ] {
        let error = Config::merge(&[file("/etc/c.toml", text)]).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn values_that_make_no_sense_name_file_and_key() {
    for (text, message) in [
        (
            "default_container = 'A'",
            "/c: 'default_container': 'A' is not a valid container name: 'A' (character 1) is upper case",
        ),
        ("default_image = ''", "/c: 'default_image': it is empty"),
        ("default_preset = 'integratd'", "/c: 'default_preset': there is no preset 'integratd'"),
        (
            "project_template = 'snug'",
            "/c: 'project_template': it must hold {uid} once, beside letters, digits and dashes",
        ),
        (
            "bridge = 'much-too-long-name'",
            "/c: 'bridge': an interface has up to 15 letters, digits and dashes",
        ),
        ("pasta = 'pasta'", "/c: 'pasta': it is no whole path of letters, digits and ._+-"),
        ("pasta = '/opt/a;b'", "/c: 'pasta': it is no whole path of letters, digits and ._+-"),
        (
            "private = ['../x']",
            "/c: 'private': the grant 'private' cannot be '../x': '..' is not allowed in the path",
        ),
        (
            "[remotes.x]\nurl = 'http://x'",
            "/c: 'remotes.x.url': an image server's address starts with https://",
        ),
        ("[remotes.local]\nurl = 'https://x'", "/c: 'remotes.local.url': a remote cannot have this name"),
        ("[short_names]\nx = 'nowhere:y'", "/c: 'short_names.x': no remote is called"),
        ("[settings]\nmemory = '1'", "/c: 'settings.memory': '1' is no value for 'memory'"),
        ("[settings]\ncpu = true", "/c: 'settings.cpu': it is neither a text nor a number"),
        ("[presets.x]\ngrants = ['network=x']", "/c: 'presets.x.grants': the grant 'network' cannot be 'x'"),
        (
            "[presets.x]\ngrants = ['home', 'home=private']",
            "/c: 'presets.x.grants': 'home' and 'home=private' exclude each other",
        ),
    ] {
        let error = Config::merge(&[file("/c", text)]).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
}

#[test]
fn a_variable_is_named_and_no_line_of_it() {
    for (variable, key, value, message) in [
        (
            "SNUG_PROMPT_HINT",
            "prompt_hint",
            "foo",
            "SNUG_PROMPT_HINT: 'prompt_hint': unknown variant `foo`, expected one of `auto`, `always`, `never`",
        ),
        ("SNUG_PRESET", "default_preset", "x", "SNUG_PRESET: 'default_preset': there is no preset 'x'"),
    ] {
        let layer = Layer::pairs(Source::Variable(variable), [(key, value)]);
        assert_eq!(Config::merge(&[layer]).unwrap_err().to_string(), message);
    }
}

proptest! {
    #[test]
    fn merging_never_panics(text in any::<String>(), key in "[a-z_.*]{0,12}", value in "[a-z0-9'\"\\[\\]{}=.\n]{0,20}") {
        let _ = Config::merge(&[file("/c", &text)]);
        let _ = Config::merge(&[file("/c", &format!("{key} = {value}"))]);
        let _ = Config::merge(&[Layer::pairs(Source::Variable("SNUG_IMAGE"), [("default_image", text.as_str())])]);
    }
}
