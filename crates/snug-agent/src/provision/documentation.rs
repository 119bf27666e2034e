//! Manual pages of packages, in images that have been made small by leaving them out: of a guest that shares its owner's home, the host has the pages of
//! the commands that it gets.
//!
//! Once in a guest's life, before its package manager is used. What a person changes afterwards stays as he has it. Packages that were in
//! the image have no pages by it; those that are installed or upgraded from then on have.
//!
//! | package manager | what leaves them out | what is done |
//! |---|---|---|
//! | dpkg | `path-exclude` in `/etc/dpkg/dpkg.cfg` or `dpkg.cfg.d/` (dpkg.cfg(5)) | a file of Snug's in `dpkg.cfg.d/` includes them again: the last pattern counts (dpkg(1), `--path-include`) |
//! | dnf 4 and 5 | `tsflags=nodocs` (dnf.conf(5)) | the flag is taken out of its line |
//! | zypper | `rpm.install.excludedocs = yes` (zypp.conf) | it becomes `no` |
//! | pacman | `NoExtract = usr/share/man/…` (pacman.conf(5)) | a line after it takes the pages out of that, by `!` |
//!
//! `/usr/bin/man` of a minimized Ubuntu is a script that says so, in the place of the program (dpkg-divert(1)). It stays: the host shows pages by
//! its own `man`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use snug_wire::provision::Provision;

use crate::files::{entries, read, replace};
use crate::places::Guest;

/// There when it has been done.
const DONE: &str = "/var/lib/snug/documentation";
const DPKG: &str = "/etc/dpkg/dpkg.cfg";
const DPKG_DIRECTORY: &str = "/etc/dpkg/dpkg.cfg.d";
/// Comes last of all that is there: a file's name may have letters, digits, `_` and `-` only (dpkg(1)).
const DPKG_OWN: &str = "/etc/dpkg/dpkg.cfg.d/zz-snug-documentation";
const DNF: &str = "/etc/dnf/dnf.conf";
const ZYPP: &str = "/etc/zypp/zypp.conf";
const PACMAN: &str = "/etc/pacman.conf";

/// Where pages are.
const PAGES: &str = "/usr/share/man";
const DPKG_TEXT: &str = "# Written by Snug, once: packages that are installed from now on bring their manual pages.\npath-include=/usr/share/man/*\n";
const PACMAN_LINE: &str = "NoExtract   = !usr/share/man/*";

/// Has packages bring their pages.
pub fn switch_on(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let done = guest.path(DONE);
    if !(provision.home_shared && provision.trusted) || fs::symlink_metadata(&done).is_ok() {
        return Ok(());
    }
    dpkg(guest)?;
    for (path, changed) in [(DNF, dnf as fn(&str) -> Option<String>), (ZYPP, zypper), (PACMAN, pacman)] {
        if let Some(text) = text_of(&guest.path(path))?.as_deref().and_then(changed) {
            replace(&guest.path(path), text.as_bytes(), 0o644)?;
        }
    }
    done.parent().map_or(Ok(()), fs::create_dir_all)?;
    replace(&done, b"", 0o644)
}

/// A file's text, if it is there and one.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    match read(path) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn dpkg(guest: &Guest) -> io::Result<()> {
    let mut files: Vec<PathBuf> = entries(&guest.path(DPKG_DIRECTORY))?;
    files.push(guest.path(DPKG));
    for file in files.into_iter().filter(|file| file.is_file()) {
        if text_of(&file)?.is_some_and(|text| excludes_pages(&text)) {
            return replace(&guest.path(DPKG_OWN), DPKG_TEXT.as_bytes(), 0o644);
        }
    }
    Ok(())
}

fn excludes_pages(text: &str) -> bool {
    let pattern = |line: &str| {
        let rest = line.trim().strip_prefix("path-exclude")?.trim_start();
        Some(rest.strip_prefix('=').unwrap_or(rest).trim().to_owned())
    };
    text.lines().filter_map(pattern).any(|pattern| is_about_pages(&pattern))
}

/// Whether a pattern takes away pages: of all of them, of some, or of everything above.
fn is_about_pages(pattern: &str) -> bool {
    let before = pattern.split(['*', '?', '[']).next().unwrap_or_default().trim_end_matches('/');
    before.starts_with(PAGES) || before.len() < pattern.len() && PAGES.starts_with(before)
}

/// Without the flag `nodocs`; `None` where it is not there.
fn dnf(text: &str) -> Option<String> {
    by_line(text, |line| {
        let (key, value) = line.split_once('=')?;
        let flags: Vec<&str> = value.split([',', ' ', '\t']).filter(|flag| !flag.is_empty()).collect();
        (key.trim() == "tsflags" && flags.contains(&"nodocs")).then(|| {
            let left: Vec<&str> = flags.into_iter().filter(|flag| *flag != "nodocs").collect();
            format!("{}={}", key.trim_end(), left.join(","))
        })
    })
}

fn zypper(text: &str) -> Option<String> {
    by_line(text, |line| {
        let (key, value) = line.split_once('=')?;
        let is_on = ["yes", "true", "on", "1"].contains(&value.trim());
        (key.trim() == "rpm.install.excludedocs" && is_on).then(|| "rpm.install.excludedocs = no".to_owned())
    })
}

fn pacman(text: &str) -> Option<String> {
    let leaves_out = |line: &&str| {
        let value = line.split_once('=').filter(|(key, _)| key.trim() == "NoExtract").map(|(_, value)| value);
        value.is_some_and(|value| {
            value
                .split_whitespace()
                .any(|pattern| !pattern.starts_with('!') && is_about_pages(&format!("/{pattern}")))
        })
    };
    let last = text.lines().rfind(leaves_out)?;
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().rposition(|line| *line == last)?;
    lines.insert(at + 1, PACMAN_LINE);
    Some(lines.join("\n") + "\n")
}

/// A text of which some lines are other ones.
fn by_line(text: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut changed = false;
    let mut lines = String::new();
    for line in text.lines() {
        let other = change(line);
        changed |= other.is_some();
        lines.push_str(other.as_deref().unwrap_or(line));
        lines.push('\n');
    }
    changed.then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{guest, provision};
    use super::*;

    #[test]
    fn each_package_manager_is_told_in_its_own_words_and_nothing_else_changes() {
        let dnf_text = "[main]\ngpgcheck=True\ntsflags=nodocs\n# tsflags=nodocs\n";
        assert_eq!(dnf(dnf_text).unwrap(), "[main]\ngpgcheck=True\ntsflags=\n# tsflags=nodocs\n");
        assert_eq!(dnf("tsflags = noscripts nodocs, test\n").unwrap(), "tsflags=noscripts,test\n");
        assert_eq!(dnf("tsflags=noscripts\n#tsflags=nodocs\n"), None);
        let zypp = "## text\nrpm.install.excludedocs = yes\n# rpm.install.excludedocs = no\n";
        assert_eq!(
            zypper(zypp).unwrap(),
            "## text\nrpm.install.excludedocs = no\n# rpm.install.excludedocs = no\n"
        );
        assert_eq!(zypper("rpm.install.excludedocs = no\n"), None);
        let conf = "[options]\nNoExtract  = usr/share/help/* !usr/share/help/en*\nNoExtract  = usr/share/man/* usr/share/info/*\n\n[core]\n";
        assert_eq!(
            pacman(conf).unwrap(),
            "[options]\nNoExtract  = usr/share/help/* !usr/share/help/en*\nNoExtract  = usr/share/man/* usr/share/info/*\nNoExtract   = !usr/share/man/*\n\n[core]\n"
        );
        assert_eq!(pacman("[options]\n#NoExtract   = usr/share/man/*\nNoExtract = !usr/share/man/*\n"), None);
        for (text, excludes) in [
            ("path-exclude /usr/share/man/*\n", true),
            ("path-exclude=/usr/share/man/*\n", true),
            ("path-exclude = /usr/share/*\n", true),
            ("path-exclude=/usr/share/man/??/*\n", true),
            ("# path-exclude=/usr/share/man/*\n", false),
            ("path-exclude=/usr/share/doc/*\npath-include=/usr/share/man/*\n", false),
            ("path-exclude=/usr/share/locale/*\nno-debsig\n", false),
        ] {
            assert_eq!(excludes_pages(text), excludes, "{text}");
        }
    }

    #[test]
    fn it_is_done_once_and_what_somebody_changes_afterwards_stays() {
        let (_directory, guest) = guest(&["/etc/dpkg/dpkg.cfg.d", "/etc/dnf"]);
        fs::write(guest.path("/etc/dpkg/dpkg.cfg.d/docker"), "path-exclude /usr/share/man/*\n").unwrap();
        fs::write(guest.path(DNF), "tsflags=nodocs\n").unwrap();
        switch_on(&guest, &provision()).unwrap();
        assert_eq!(fs::read_to_string(guest.path(DPKG_OWN)).unwrap(), DPKG_TEXT);
        assert_eq!(fs::read_to_string(guest.path(DNF)).unwrap(), "tsflags=\n");
        fs::remove_file(guest.path(DPKG_OWN)).unwrap();
        fs::write(guest.path(DNF), "tsflags=nodocs\n").unwrap();
        switch_on(&guest, &provision()).unwrap();
        assert!(!guest.path(DPKG_OWN).exists());
        assert_eq!(fs::read_to_string(guest.path(DNF)).unwrap(), "tsflags=nodocs\n");
    }

    #[test]
    fn a_guest_that_has_them_or_a_home_of_its_own_is_left_as_it_is() {
        let (_directory, whole) = guest(&["/etc/dpkg/dpkg.cfg.d"]);
        fs::write(whole.path(DPKG), "no-debsig\nlog /var/log/dpkg.log\n").unwrap();
        switch_on(&whole, &provision()).unwrap();
        assert!(!whole.path(DPKG_OWN).exists() && whole.path(DONE).exists());
        let (_directory, alone) = guest(&["/etc/dnf"]);
        fs::write(alone.path(DNF), "tsflags=nodocs\n").unwrap();
        switch_on(&alone, &Provision { home_shared: false, ..provision() }).unwrap();
        assert!(!alone.path(DONE).exists());
        assert_eq!(fs::read_to_string(alone.path(DNF)).unwrap(), "tsflags=nodocs\n");
    }

    #[test]
    fn what_is_no_file_of_text_is_left_alone_and_the_others_are_not() {
        let (_directory, guest) = guest(&["/etc/dpkg/dpkg.cfg.d/directory", "/etc/dnf", "/etc/zypp"]);
        fs::write(guest.path(DNF), b"tsflags=nodocs\n\xff\n").unwrap();
        fs::write(guest.path(ZYPP), "rpm.install.excludedocs = yes\n").unwrap();
        switch_on(&guest, &provision()).unwrap();
        assert_eq!(fs::read(guest.path(DNF)).unwrap(), b"tsflags=nodocs\n\xff\n");
        assert_eq!(fs::read_to_string(guest.path(ZYPP)).unwrap(), "rpm.install.excludedocs = no\n");
    }

    /// With dpkg itself, where there is one: the file that is written is one that it reads, and that counts.
    #[test]
    fn dpkg_unpacks_pages_by_it() {
        use std::process::Command;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        let package = directory.path().join("package");
        for path in ["DEBIAN", "usr/share/man/man1"] {
            fs::create_dir_all(package.join(path)).unwrap();
        }
        fs::write(package.join("usr/share/man/man1/x.1"), "page").unwrap();
        let control =
            "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: T <t@invalid>\nDescription: x\n";
        fs::write(package.join("DEBIAN/control"), control).unwrap();
        let file = directory.path().join("x.deb");
        let Ok(built) =
            Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(&package).arg(&file).output()
        else {
            return;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let unpack = |lines: &str| {
            let options = lines
                .lines()
                .filter(|line| line.starts_with("path-"))
                .map(|line| format!("--{}", line.replacen(' ', "=", 1)));
            fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
            fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
            let mut dpkg = Command::new("dpkg");
            dpkg.args(options).arg("--force-not-root").arg("--root").arg(&root).arg("--unpack").arg(&file);
            let ran = dpkg.output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            let is_there = root.join("usr/share/man/man1/x.1").exists();
            fs::remove_dir_all(&root).unwrap();
            is_there
        };
        let excluded = "path-exclude /usr/share/man/*\n";
        assert!(!unpack(excluded) && unpack(&format!("{excluded}{DPKG_TEXT}")));
    }
}
