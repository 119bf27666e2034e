//! What is wrong with a list, a line each.

use super::*;

fn mistakes(text: &str) -> Vec<(usize, String, String)> {
    let told = |mistake: Mistake| (mistake.line, mistake.text, mistake.hints.join("; "));
    read(text, &Config::built_in())
        .map_or_else(|mistakes| mistakes.into_iter().map(told).collect(), |_| Vec::new())
}

#[test]
fn all_mistakes_are_counted() {
    let lines: String = (0..30).map(|number| format!("key{number} = 1\n")).collect();
    assert_eq!(mistakes(&format!("[container.tools]\n{lines}")).len(), 30);
}

#[test]
fn a_list_is_read_with_what_it_does_not_say() {
    let text = r#"
# mine
[container.tools]
image = "debian:13"
grants = ["+kvm", "-gpu"]
packages = ["ripgrep", "fd-find=10.1", "ripgrep"] # twice
exports = ["rg", 'fdfind=fd', "/opt/x/bin/y=z"]
apps = ["org.gnome.Calculator", "org.gnome.Calculator"]
sockets = ["/run/docker.sock"]
settings = { memory = "4g", cpu = 2 }
[container.other]
"#;
    let list = read(text, &Config::built_in()).unwrap();
    let [(other, second), (tools, first)] = &list.containers.iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!((tools.as_str(), other.as_str()), ("tools", "other"));
    assert_eq!((first.image.as_str(), first.preset.as_str()), ("images:debian/13", "integrated"));
    assert_eq!(first.packages, Some(vec!["ripgrep".to_owned(), "fd-find=10.1".to_owned()]));
    let settings = first.settings.as_ref().unwrap();
    assert_eq!((settings["memory"].as_str(), settings["cpu"].as_str()), ("4GiB", "2"));
    assert_eq!(first.exports.as_ref().unwrap()[1].name.as_str(), "fd");
    assert_eq!(first.apps, Some(vec!["org.gnome.Calculator".parse().unwrap()]));
    assert!(
        first.grants.words().contains(&"kvm".to_owned()) && !first.grants.words().contains(&"gpu".to_owned())
    );
    assert!(!second.has_image && !second.has_grants && second.packages.is_none() && second.exports.is_none());
    assert_eq!(second.image, "images:debian/13");
    assert!(read("", &Config::built_in()).unwrap().containers.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_was_meant() {
    for (text, line, what, hint) in [
        ("[container.tools]\npackage = []", 2, "no key 'package'", "did you mean 'packages'?"),
        ("[containers.tools]", 1, "no key 'containers'", "did you mean 'container'?"),
        ("container = 1", 1, "[container.NAME]", ""),
        ("[tools]\npackages = ['x']", 1, "no table 'tools'", "[container.tools]"),
        ("version = 2", 1, "no key 'version'", "a newer Snug"),
        ("[container.a]\nmounts = []", 2, "no key 'mounts'", "a newer Snug"),
        ("[container.a]\npackages = ['x=1', 'x=2']", 2, "a second time", "either 'x=1' or 'x=2'"),
        ("[container.a]\npackages = ['x', 'x=2']", 2, "a second time", "either 'x' or 'x=2'"),
        ("[container.a.settings]\ncpu = 1.5", 2, "1.5", "a number of processors"),
        ("[container.a.settings]\nautostart = true", 2, "true", "no, login or boot"),
        ("\n\n[container.My_Tools]", 3, "My_Tools", "my-tools"),
        ("[container]\ntools = 'x'", 2, "[container.tools]", ""),
        ("[container.a]\nimage = 'debain'", 2, "debain", "debian"),
        ("[container.a]\nimage = 'file:/x.tar'", 2, "a file is no image", "snug image import"),
        ("[container.a]\nimage = 1", 2, "is no text", "image = \"…\""),
        ("[container.a]\npreset = 'isolatd'\ngrants = ['+gppu']", 3, "gppu", "gpu"),
        ("[container.a]\ngrants = [\n'+kvm',\n'+gppu']", 4, "gppu", "gpu"),
        ("[container.a]\ngrants = ['-gppu']", 2, "gppu", "gpu"),
        ("[container.a]\ngrants = ['kvm']", 2, "added or left out", "'+kvm'"),
        ("[container.a]\ngrants = ['+network=nat', '+network=host']", 2, "network", ""),
        ("[container.a]\npackages = 'x'", 2, "no list", ""),
        ("[container.a]\npackages = [1]", 2, "no text", "packages = [\"…\"]"),
        ("[container.a]\npackages = ['-x']", 2, "-x", ""),
        ("[container.a]\npackages = ['x-1-1-any.pkg.tar.zst']", 2, "is a file", "snug install FILE"),
        ("[container.a]\npackages = ['./x.deb']", 2, "is a file", "snug install FILE"),
        ("[container.a]\nexports = ['x y/z']", 2, "x y/z", "fdfind=fd"),
        ("[container.a]\nexports = ['a=x', 'b=x']", 2, "two commands", "=NAME"),
        ("[container.a]\napps = ['../x']", 2, "../x", "org.gnome.Calculator"),
        ("[container.a]\nsockets = ['run/x']", 2, "run/x", "docker.sock"),
        ("[container.a]\nsockets = ['/run/x', '/run/x=y']", 2, "a second time", ""),
        ("[container.a.settings]\nmemroy = '1GiB'", 2, "memroy", "did you mean 'memory'?"),
        ("[container.a.settings]\nmemory = 'much'", 2, "much", "a size"),
        ("[container.a.settings]\nmemory = [1]", 2, "neither text nor a number", "a size"),
        ("[container.a]\nsettings = 1", 2, "are a table", ""),
        ("[container.a\n", 1, "", "a list is TOML"),
        ("[container.a]\nimage = debian:13", 2, "must be quoted", "a list is TOML"),
        ("[container.a]\n[container.a]\n", 2, "", ""),
        ("[container.a]\nimage = \"\\u{1b}[2J\"", 2, "", ""),
    ] {
        let told = mistakes(text);
        assert!(!told.is_empty(), "{text}");
        let (at, said, hints) = &told[0];
        assert_eq!(*at, line, "{text}: {told:?}");
        assert!(said.contains(what) && hints.contains(hint), "{text}: {told:?}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    let all = mistakes("[container.a]\npackage = []\n[container.b]\nimag = 'x'\n");
    assert_eq!(all.iter().map(|mistake| mistake.0).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(mistakes(&"x = 1\n".replace('x', "[container.a]\nx")).len(), 1);
}

#[test]
fn a_word_that_is_no_package_is_explained_for_the_image_alone() {
    for (image, name) in [
        ("image = 'debian:13'\n", Some("apt")),
        ("image = 'fedora:43'\n", Some("dnf")),
        ("image = 'archlinux'\n", Some("pacman")),
        ("image = 'alpine'\n", Some("apk")),
        ("image = 'local:mine'\n", None),
        ("", None),
    ] {
        for word in ["-x", "a*b", "", "x=-1"] {
            let told = mistakes(&format!("[container.a]\npackages = ['{word}']\n{image}"));
            assert_eq!((told.len(), told[0].0), (1, 2), "{told:?}");
            let is_named =
                |name: &&str| told[0].1.contains(&format!("{name}:")) || told[0].1.starts_with(*name);
            let named: Vec<&str> =
                ["apt", "dnf", "zypper", "pacman", "apk"].into_iter().filter(is_named).collect();
            assert_eq!(named, name.into_iter().collect::<Vec<_>>(), "{image}: {told:?}");
        }
    }
}

#[test]
fn a_preset_that_is_not_known_keeps_a_container_from_being_made_alone() {
    let unknown = |rest: &str| {
        let list = read(&format!("[container.a]\n{rest}"), &Config::built_in()).unwrap();
        let entry = list.containers.into_values().next().unwrap();
        (entry.unknown_preset.map(|obstacle| (obstacle.text, obstacle.hints)), entry.grants.words())
    };
    let (obstacle, _) = unknown("preset = 'isolatd'");
    let (text, hints) = obstacle.unwrap();
    assert!(text.contains("'a' cannot be made") && text.ends_with("there is no preset 'isolatd'"), "{text}");
    assert_eq!(hints, ["did you mean 'isolated'?"]);
    let dumped = "preset = 'work'\ngrants = ['+home=private', '+kvm', '+nesting', '+network=nat']";
    let (obstacle, grants) = unknown(dumped);
    let (_, hints) = obstacle.unwrap();
    let instead = hints.last().unwrap().strip_prefix("the same grants has ").unwrap();
    let (obstacle, again) = unknown(&instead.replace(" with ", "\n"));
    assert_eq!(obstacle, None);
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    assert_eq!(sorted(again), sorted(grants));
}

#[test]
fn nothing_panics() {
    for text in [
        "[".repeat(10_000),
        "a = ".to_owned() + &"[".repeat(10_000),
        "[container.a]\npackages = ['".to_owned() + &"x".repeat(1 << 20) + "']",
    ] {
        assert!(!mistakes(&text).is_empty());
    }
}
