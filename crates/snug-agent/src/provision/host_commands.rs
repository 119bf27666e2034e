//! The names by which the guest's programs reach the host (`snug_wire::host`), where shells and desktops look for them.

use std::fs;
use std::io;
use std::path::Path;

use snug_wire::host::{EXEC, EXEC_NAMES, GUEST_DIRECTORY, GUEST_PROGRAM_PATH, OPEN_NAMES};
use snug_wire::provision::Provision;

use crate::console;
use crate::files::{read_text, replace, replace_link};
use crate::places::Guest;

/// Whatever the grants are: without one they say so.
const ALWAYS: [&str; 2] = [EXEC, "snug"];

/// Where applications are that an administrator has added (XDG Base Directory Specification, `XDG_DATA_DIRS`).
const APPLICATIONS: &str = "/usr/local/share/applications";
/// Files of Snug's begin with it.
const MARK: &str = "# Written by Snug at each start.\n";
/// For programs that start what is registered for a link, not `xdg-open` (freedesktop.org's Desktop Entry and MIME
/// Applications specifications).
const ENTRY: (&str, &str) = (
    "snug-host-open.desktop",
    "[Desktop Entry]
Type=Application
Name=Open on the host
Exec=/.snug/bin/host-open %U
NoDisplay=true
MimeType=x-scheme-handler/http;x-scheme-handler/https;x-scheme-handler/mailto;text/html;
",
);
const DEFAULTS: (&str, &str) = (
    "mimeapps.list",
    "[Default Applications]
x-scheme-handler/http=snug-host-open.desktop
x-scheme-handler/https=snug-host-open.desktop
x-scheme-handler/mailto=snug-host-open.desktop
text/html=snug-host-open.desktop
",
);

/// Where the shells of a login, which forget the PATH that they were started with, read what adds to it (Debian's and Fedora's
/// `/etc/profile`).
const PROFILES: &str = "/etc/profile.d";
/// Commands that other containers export come behind all that this one has. Root runs nothing that the owner has put somewhere.
const PROFILE: (&str, &str) = (
    "snug-exports.sh",
    r#"snug_exports=${XDG_DATA_HOME:-$HOME/.local/share}/snug/for-guests
case ":$PATH:$HOME:" in
  *":$snug_exports:"* | *:/root:) ;;
  *) PATH=$PATH:$snug_exports ;;
esac
unset snug_exports
"#,
);

/// Makes the names that the grants bring, and takes those away that they do not.
pub fn make(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let directory = guest.path(GUEST_DIRECTORY);
    fs::create_dir_all(&directory)?;
    let names = EXEC_NAMES
        .into_iter()
        .map(|name| (name, provision.host_exec || ALWAYS.contains(&name)))
        .chain(OPEN_NAMES.map(|name| (name, provision.host_open)));
    for (name, wanted) in names {
        link(&directory.join(name), wanted)?;
    }
    let profiles = guest.path(PROFILES);
    if profiles.is_dir() {
        write(&profiles.join(PROFILE.0), PROFILE.1, provision.host_exec)?;
    }
    let applications = guest.path(APPLICATIONS);
    if provision.host_open {
        fs::create_dir_all(&applications)?;
    }
    for (name, text) in [ENTRY, DEFAULTS] {
        write(&applications.join(name), text, provision.host_open)?;
    }
    Ok(())
}

/// Makes or removes a link; what the guest has itself under the name stays.
fn link(path: &Path, wanted: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(_) if fs::read_link(path).is_ok_and(|target| target == Path::new(GUEST_PROGRAM_PATH)) => {
            return if wanted { Ok(()) } else { fs::remove_file(path) };
        }
        Ok(_) if wanted => {
            console::say(format_args!("{} is the container's own: it stays", path.display()));
            return Ok(());
        }
        Ok(_) => return Ok(()),
    }
    if wanted { replace_link(path, Path::new(GUEST_PROGRAM_PATH)) } else { Ok(()) }
}

/// Writes or removes a file; one that is not Snug's stays.
fn write(path: &Path, text: &str, wanted: bool) -> io::Result<()> {
    match read_text(path) {
        Ok(present) if !present.starts_with(MARK) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(_) if !wanted => return fs::remove_file(path),
        Ok(_) => {}
    }
    if wanted { replace(path, format!("{MARK}{text}").as_bytes(), 0o644) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::{guest, provision};

    #[test]
    fn names_come_and_go_with_the_grants_and_the_guests_own_stay() {
        let (_directory, guest) =
            guest(&["/usr/local/bin", "/usr/local/share/applications", "/etc/profile.d"]);
        let profile = guest.path("/etc/profile.d/snug-exports.sh");
        let own = guest.path("/usr/local/bin/gio");
        fs::write(&own, "the guest's").unwrap();
        let is_there = |name: &str| guest.path("/usr/local/bin").join(name).is_symlink();
        let mut provision = provision();
        make(&guest, &provision).unwrap();
        assert!(is_there("host-exec") && is_there("snug") && !profile.exists());
        assert!(!is_there("xdg-open") && !is_there("flatpak-spawn"));
        provision.host_exec = true;
        provision.host_open = true;
        for _ in 0..2 {
            make(&guest, &provision).unwrap();
            assert!(is_there("xdg-open") && is_there("distrobox-host-exec"));
        }
        let path = |home: &str, path: &str| {
            let line = format!(". {}; . {}; echo \"$PATH\"", profile.display(), profile.display());
            let ran = std::process::Command::new("/bin/sh")
                .args(["-euc", &line])
                .env_clear()
                .env("HOME", home)
                .env("PATH", path)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
            String::from_utf8(ran.stdout).unwrap()
        };
        assert_eq!(
            path("/home/a", "/usr/bin"),
            "/usr/bin:/home/a/.local/share/snug/for-guests
"
        );
        assert_eq!(
            path("/root", "/usr/bin"),
            "/usr/bin
"
        );
        let defaults = guest.path("/usr/local/share/applications/mimeapps.list");
        assert!(read_text(&defaults).unwrap().starts_with(MARK));
        provision.host_open = false;
        make(&guest, &provision).unwrap();
        assert!(!is_there("xdg-open") && is_there("host-spawn") && !defaults.exists());
        fs::write(&defaults, "[Default Applications]\n").unwrap();
        provision.host_open = true;
        make(&guest, &provision).unwrap();
        assert_eq!(read_text(&defaults).unwrap(), "[Default Applications]\n");
        assert_eq!(read_text(&own).unwrap(), "the guest's");
    }
}
