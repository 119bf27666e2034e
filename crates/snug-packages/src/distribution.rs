//! What people call a guest's distribution: `Debian 13`.

use crate::command::{Ask, Nothing, Query, SHELL};
use crate::read::lines;

/// The longest name.
const LONGEST: usize = 40;

/// What is to be run in a guest to learn it. `None` for one that does not tell, or something else than a name.
pub fn name() -> Query<Option<String>> {
    static NAME: Ask<Option<String>> = Ask {
        argv: &[
            SHELL,
            "-c",
            "cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null; exit 0",
        ],
        as_root: false,
        nothing: Nothing::Never,
        read: |output| {
            let lines: Vec<&str> =
                lines(output).take(1000).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            called(&lines.join("\n"))
        },
    };
    NAME.about::<&str>(&[], &[("LC_ALL", "C.UTF-8")])
}

/// `NAME` and `VERSION_ID` of os-release(5), without what all of them are.
pub fn called(os_release: &str) -> Option<String> {
    let field = |key: &str| {
        let mut lines = os_release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
        value.trim_matches(['"', '\'']).to_owned()
    };
    let name = field("NAME");
    let name = ["GNU/Linux", "Linux"].into_iter().fold(name.as_str(), |name, end| {
        name.strip_suffix(end).map(str::trim_end).filter(|name| !name.is_empty()).unwrap_or(name)
    });
    let called = format!("{name} {}", field("VERSION_ID"));
    let called = called.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || " .-+_/".contains(c);
    ((1..=LONGEST).contains(&called.len()) && called.chars().all(plain)).then(|| called.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn a_distribution_is_called_as_people_call_it() {
        for (os_release, name) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n",
                "Debian 13",
            ),
            ("NAME=\"Fedora Linux\"\nVERSION_ID=43\n", "Fedora 43"),
            ("NAME=\"Arch Linux\"\n", "Arch"),
            ("NAME='openSUSE Leap'\nVERSION_ID=\"16.0\"", "openSUSE Leap 16.0"),
            ("NAME=Linux\n", "Linux"),
        ] {
            assert_eq!(called(os_release).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for os_release in
            ["", "NAME=\n", "NAME=\"x\x1b[31m\"", "NAME=`id`", "NAME=\"a\u{202e}b\"", "NAME=x;y"]
        {
            assert_eq!(called(os_release), None, "{os_release:?}");
        }
        assert_eq!(called(&format!("NAME={}", "x".repeat(41))), None);
        for output in hostile() {
            let output = crate::command::Output { status: 0, stdout: output, stderr: Vec::new() };
            assert!(name().read(&output).unwrap().is_none_or(|name| name.is_ascii()));
        }
    }
}
