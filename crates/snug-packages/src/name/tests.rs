use super::*;
use crate::manager::MANAGERS;

/// What a program could take for something else.
const HOSTILE: &[&str] = &[
    "",
    "-",
    "-x",
    "--help",
    "-oDir::Etc=/x",
    "x-",
    "x y",
    "x\ny",
    "x\0y",
    "x;y",
    "$(x)",
    "`x`",
    "x|y",
    "x&y",
    "x>y",
    "x*",
    "?x",
    "x[a]",
    "~x",
    "!x",
    "x/y",
    "/x",
    "../x",
    "x\u{1b}[31m",
    "é",
    "x\u{202e}y",
    "=1",
    "x=",
    "x=-1",
    "x=1 2",
    "x=1\n",
    "x=$(y)",
    ".x",
    "+x",
    "http://x/y.deb",
    "x,y",
    "x<1",
    "x@y z",
    "x\\y",
    "\"x\"",
    "'x'",
    "x^",
    "#x",
    "%x",
    "{}",
    "a{}b",
    "x=1=2",
    "x=1-",
];

#[test]
fn what_a_program_could_take_for_something_else_is_no_name() {
    for manager in MANAGERS {
        for word in HOSTILE {
            let refused = manager.request(word).expect_err(&format!("{}: {word:?}", manager.name));
            assert!(!refused.to_string().contains(['\n', '\u{1b}', '\0']), "{refused}");
            assert!(refused.hint().is_some());
        }
        assert!(manager.request(&"x".repeat(201)).is_err());
    }
}

#[test]
fn real_names_are_names() {
    let names = [
        ("apt", "g++ libc6:i386 python3.11 0ad libstdc++-13-dev fd-find x11-apps"),
        ("dnf", "gcc-c++ NetworkManager libstdc++.i686 java-21-openjdk python3.12 perl-Module_X _x fd-find"),
        ("dnf5", "gcc-c++ NetworkManager"),
        ("pacman", "gtk2+extra libc++ lib32-glibc python-pyqt5 r8168 @x _x a52dec"),
        ("zypper", "gcc-c++ libX11-6 MozillaFirefox"),
        ("apk", "g++ py3-pip libstdc++ so_x R .NET"),
    ];
    for (manager, words) in names {
        let manager = Manager::by_name(manager).unwrap();
        for word in words.split(' ').filter(|word| *word != ".NET") {
            assert_eq!(manager.package(word).unwrap().as_str(), word, "{}", manager.name);
            assert!(PackageName::read(word.as_bytes()).is_some(), "{word}");
        }
    }
    assert!(
        Manager::by_name("apt")
            .unwrap()
            .package("Ripgrep")
            .unwrap_err()
            .to_string()
            .contains("small letters")
    );
}

#[test]
fn versions_go_where_the_manager_wants_them() {
    for (manager, joined) in [
        ("apt", "x=1:2.0-1~bpo12+1"),
        ("dnf", "x-1:2.0-1~bpo12+1"),
        ("dnf5", "x-1:2.0-1~bpo12+1"),
        ("zypper", "x=1:2.0-1~bpo12+1"),
        ("apk", "x=1:2.0-1~bpo12+1"),
    ] {
        let manager = Manager::by_name(manager).unwrap();
        let request = manager.request("x=1:2.0-1~bpo12+1").unwrap();
        let actions = manager.install(&[request], false);
        assert_eq!(actions.last().unwrap().command.argv.last().unwrap(), joined);
    }
    let refused = Manager::by_name("pacman").unwrap().request("x=1").unwrap_err();
    assert_eq!(refused, Error::OneVersion { manager: "pacman", package: "x".into() });
    assert_eq!(refused.hint().unwrap(), "ask for x without a version");
}

#[test]
fn files_have_a_full_path_and_the_managers_ending() {
    let file = |manager: &str, path: &str| Manager::by_name(manager).unwrap().file(path.as_ref());
    for (manager, path) in [
        ("apt", "/home/u/Downloads/my tool (1).deb"),
        ("dnf", "/a/[1]{2}.rpm"),
        ("dnf5", "/a/x.rpm"),
        ("zypper", "/a/x.rpm"),
        ("pacman", "/a/x-1-any.pkg.tar.zst"),
        ("pacman", "/a/x-1-any.pkg.tar.xz"),
        ("apk", "/a/x.apk"),
    ] {
        assert!(file(manager, path).is_ok(), "{path}");
    }
    for path in [
        "",
        "x.deb",
        "./x.deb",
        "-x.deb",
        "/x.rpm",
        "/x",
        "/.deb",
        "/x.deb/",
        "/x\n.deb",
        "/x\0.deb",
        "/http://h/x.deb",
        "http://h/x.deb",
        "/x\u{1b}[.deb",
    ] {
        let refused = file("apt", path).expect_err(path);
        assert!(refused.hint().unwrap().ends_with(".deb"), "{refused}");
        assert!(!refused.to_string().contains(['\n', '\u{1b}', '\0']));
    }
    for path in ["/x.pkg.tar", "/x.pkg.tar.", "/x.pkg.tar.zst.sig", "/.pkg.tar.xz", "/x.pkg.tar./xz"] {
        assert!(file("pacman", path).is_err(), "{path}");
    }
    assert!(file("apt", &format!("/{}.deb", "x".repeat(5000))).is_err());
}

#[test]
fn terms_commands_and_paths_are_checked() {
    assert_eq!(escaped(Term::new("c++ (x)").unwrap().as_str()), r"c\+\+ \(x\)");
    for word in ["", " ", "-x", "x\n", "x*", "[x]", "/x/", "a\\b", "\u{9b}x", &"x".repeat(201)] {
        assert!(Term::new(word).unwrap_err().hint().is_some(), "{word:?}");
    }
    for word in ["rg", "g++", "x86_64-linux-gnu-gcc-12", "7z", "python3.11", "a@b"] {
        assert!(CommandName::new(word).is_ok(), "{word}");
    }
    for word in ["", "-x", "a/b", "..", "[", "x*", "x y", "x\n", "$x", "é"] {
        assert!(CommandName::new(word).unwrap_err().hint().is_some(), "{word:?}");
    }
    for path in ["", "x", "/x\n", "/\0"] {
        assert!(GuestPath::new(path.as_ref()).unwrap_err().hint().is_some(), "{path:?}");
    }
}

#[test]
fn dpkg_is_asked_for_both_spellings_and_for_no_pattern() {
    let patterns = |path: &str| GuestPath::new(path.as_ref()).unwrap().patterns();
    assert_eq!(patterns("/usr/bin/ls"), ["/usr/bin/ls", "/bin/ls"]);
    assert_eq!(patterns("/bin/ls"), ["/bin/ls", "/usr/bin/ls"]);
    assert_eq!(patterns("/usr/games/x"), ["/usr/games/x"]);
    assert_eq!(patterns("/usr/bin/["), ["/usr/bin/\\[", "/bin/\\["]);
}

#[test]
fn what_a_guest_calls_a_package_is_checked() {
    for word in
        [&b""[..], b"-x", b"x-", b"x y", b"x\n", b"x\0", b"\xff", b"x/y", b"x*", b"\x1b[2J", b".", b"+", b":"]
    {
        assert_eq!(PackageName::read(word), None, "{word:?}");
    }
    for word in [&b""[..], b"-x", b"a b", b"x\n", b"*", b"!x", b"\xff", b"x\x1b"] {
        assert_eq!(Capability::read(word), None, "{word:?}");
    }
    for word in ["/bin/sh", "libc.so.6(GLIBC_2.4)(64bit)", "so:libc.musl-x86_64.so.1", "snuglib>=1.0"] {
        assert_eq!(Capability::read(word.as_bytes()).unwrap().as_str(), word);
    }
}
