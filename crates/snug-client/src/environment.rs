//! Which variables belong to the host. The one place: `docs/reference/environment.md` is generated from this table.
//!
//! Everything else passes with its bytes unchanged. The agent adds the guest's own `HOME`, `USER`, … and puts the
//! guest's system directories into `PATH` where the caller's were.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use snug_wire::session::USERS;
use snug_wire::shell;

use crate::host_session;

/// The reason for names that systemd tells a unit about itself (systemd.exec(5)).
const OF_UNIT: &str = "of a unit of the host";

/// Names that do not pass, each with the reason. `*` stands for any characters.
pub const HOST_VARIABLES: &[(&str, &str)] = &[
    ("HOME", "the guest's account has its own"),
    ("USER", "the guest's account has its own"),
    ("LOGNAME", "the guest's account has its own"),
    ("SHELL", "the shell may have another path in the guest"),
    ("MAIL", "the host's mail spool"),
    ("PWD", "set to the command's directory"),
    ("OLDPWD", "the caller's shell's"),
    ("SHLVL", "the caller's shell's"),
    ("_", "the caller's shell's"),
    ("HOSTNAME", "the host's name"),
    ("HOST", "the host's name"),
    ("XDG_RUNTIME_DIR", "the guest has its own"),
    ("XDG_SESSION_*", "the host's login session"),
    ("XDG_SEAT*", "the host's login session"),
    ("XDG_VTNR", "the host's login session"),
    ("XDG_DATA_DIRS", "the host's system directories"),
    ("XDG_CONFIG_DIRS", "the host's system directories"),
    ("DBUS_*", "the host's buses"),
    ("DISPLAY", "the grant `session` brings it"),
    ("WAYLAND_*", "the grant `session` brings it"),
    ("XAUTHORITY", "the grant `session` brings it"),
    ("PULSE_*", "the grant `session` brings it"),
    ("PIPEWIRE_*", "the grant `session` brings it"),
    ("SSH_AUTH_SOCK", "the grant `session` brings it"),
    ("SSH_AGENT_PID", "a process of the host"),
    ("GPG_AGENT_INFO", "the grant `session` brings it"),
    ("SESSION_MANAGER", "a socket of the host's session"),
    ("DESKTOP_STARTUP_ID", "for one window of the host"),
    ("XDG_ACTIVATION_TOKEN", "for one window of the host"),
    ("INVOCATION_ID", OF_UNIT),
    ("JOURNAL_STREAM", OF_UNIT),
    ("NOTIFY_SOCKET", OF_UNIT),
    ("LISTEN_*", OF_UNIT),
    ("MAINPID", OF_UNIT),
    ("MANAGERPID*", OF_UNIT),
    ("SYSTEMD_*", OF_UNIT),
    ("WATCHDOG_*", OF_UNIT),
    ("MEMORY_PRESSURE_*", OF_UNIT),
    ("CREDENTIALS_DIRECTORY", OF_UNIT),
    ("RUNTIME_DIRECTORY", OF_UNIT),
    ("STATE_DIRECTORY", OF_UNIT),
    ("CACHE_DIRECTORY", OF_UNIT),
    ("LOGS_DIRECTORY", OF_UNIT),
    ("CONFIGURATION_DIRECTORY", OF_UNIT),
    ("DOCKER_HOST", "the guest has its own Docker"),
    ("DOCKER_CONTEXT", "the guest has its own Docker"),
    ("CONTAINER_HOST", "the guest has its own Podman"),
    ("LD_*", "libraries of the host"),
    ("GCONV_PATH", "modules of the host's C library"),
    ("LOCPATH", "data of the host's C library"),
    ("LOCALE_ARCHIVE*", "data of the host's C library"),
    ("NIX_LD*", "libraries of the host"),
    ("TZDIR", "data of the host"),
    ("TERMINFO", "data of the host; the entry itself is brought along"),
    ("TERMINFO_DIRS", "data of the host; the entry itself is brought along"),
    ("GIO_*", "modules of the host"),
    ("GTK_PATH", "modules of the host"),
    ("GTK_MODULES", "modules of the host"),
    ("GTK_IM_MODULE_FILE", "modules of the host"),
    ("GDK_PIXBUF_*", "modules of the host"),
    ("GI_TYPELIB_PATH", "modules of the host"),
    ("GSETTINGS_SCHEMA_DIR", "data of the host"),
    ("GST_PLUGIN_*", "modules of the host"),
    ("QT_PLUGIN_PATH", "modules of the host"),
    ("QML*_IMPORT_PATH", "modules of the host"),
    ("PYTHONHOME", "the host's Python"),
    ("SUDO_*", "how the caller became who he is"),
    ("PKEXEC_UID", "how the caller became who he is"),
    ("FLATPAK_*", "the caller's sandbox"),
    ("SNAP", "the caller's sandbox"),
    ("SNAP_*", "the caller's sandbox"),
    ("APPDIR", "the caller's AppImage"),
    ("APPIMAGE", "the caller's AppImage"),
    ("container", "what the host itself runs in"),
    ("SNUG_*", "Snug's own on the host"),
];

/// Names that a program of a guest does tell the host, although they belong to a system: where to draw, and the agent of who is
/// logged in from elsewhere. Their paths mean the same on both sides (`snug_wire::session`).
const TOLD_TO_HOST: &[&str] = &["DISPLAY", "WAYLAND_DISPLAY", "SSH_AUTH_SOCK"];
/// Names that a guest has from Snug, or from its own system.
const GUEST_VARIABLES: &[&str] = &["PATH", "TMUX_TMPDIR", "QT_X11_NO_MITSHM", "J2D_USE_MITSHM"];

/// Whether a command on the host is told of a variable of the guest's program that asks for it.
#[must_use]
pub fn is_for_host(name: &OsStr, value: &[u8]) -> bool {
    if TOLD_TO_HOST.iter().any(|known| name == *known)
        || name == "XAUTHORITY" && value.starts_with(USERS.as_bytes())
    {
        return true;
    }
    // `BROWSER` above all, and what makes a shell show the container.
    let shells = shell::DIRECTORY.as_bytes();
    let of_snug = value.starts_with(b"/.snug/") || value.windows(shells.len()).any(|part| part == shells);
    !of_snug && !belongs_to_host(name) && !GUEST_VARIABLES.iter().any(|known| name == *known)
}

/// What an untrusted guest is told: how to draw, and nothing about the caller.
const UNTRUSTED_VARIABLES: &[&str] = &["TERM", "COLORTERM", "NO_COLOR"];

/// Whether a variable is about the unit of systemd that a process belongs to.
#[must_use]
pub fn is_of_unit(name: &OsStr) -> bool {
    find(name).is_some_and(|(_, reason)| *reason == OF_UNIT)
}

/// Whether a variable stays on the host.
#[must_use]
pub fn belongs_to_host(name: &OsStr) -> bool {
    find(name).is_some()
}

fn find(name: &OsStr) -> Option<&'static (&'static str, &'static str)> {
    let name = name.as_bytes();
    HOST_VARIABLES.iter().find(|(pattern, _)| match pattern.split_once('*') {
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len()
                && name.starts_with(head.as_bytes())
                && name.ends_with(tail.as_bytes())
        }
        None => name == pattern.as_bytes(),
    })
}

/// How much of the caller's environment a command gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What is needed to draw on the terminal.
    Terminal,
    /// All that does not belong to the host.
    Caller,
    /// The same, and the caller's session, whose paths are the guest's.
    Session,
    /// For the host, from a guest: [`is_for_host`].
    Host,
}

/// The caller's environment as `KEY=VALUE`, less what belongs to the host.
pub fn passed(variables: impl Iterator<Item = (OsString, OsString)>, extent: Extent) -> Vec<Vec<u8>> {
    let passes = |name: &OsStr, value: &OsStr| match extent {
        Extent::Host => is_for_host(name, value.as_bytes()),
        Extent::Terminal => UNTRUSTED_VARIABLES.iter().any(|known| name == *known),
        Extent::Caller => !belongs_to_host(name),
        Extent::Session => {
            host_session::VARIABLES.iter().any(|known| name == *known) || !belongs_to_host(name)
        }
    };
    variables
        .filter(|(name, value)| passes(name, value))
        .map(|(name, value)| {
            joined((name, if extent == Extent::Session { host_session::translated(value) } else { value }))
        })
        .collect()
}

/// Sets a variable in the place of one of that name.
pub fn set(environment: &mut Vec<Vec<u8>>, name: OsString, value: &OsStr) {
    let variable = joined((name, value.to_owned()));
    let name = variable.split_inclusive(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
    environment.retain(|present| !present.starts_with(&name));
    environment.push(variable);
}

/// `KEY=VALUE`.
#[must_use]
pub fn joined((name, value): (OsString, OsString)) -> Vec<u8> {
    let mut text = name.into_vec();
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &[u8])]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(k, v)| (OsString::from(*k), OsString::from_vec(v.to_vec()))).collect()
    }

    #[test]
    fn values_pass_with_their_bytes_unchanged() {
        let odd = b"a\"b$c`d\ne\\\xff'".to_vec();
        let passed = passed(variables(&[("ODD", &odd), ("HOME", b"/x")]).into_iter(), Extent::Caller);
        assert_eq!(passed, vec![[b"ODD=".to_vec(), odd].concat()]);
    }

    #[test]
    fn patterns_stand_for_all_names_that_begin_so_and_for_no_others() {
        for name in ["LD_PRELOAD", "LISTEN_FDS", "XDG_SESSION_ID", "QML2_IMPORT_PATH", "SNUG_CONTAINER"] {
            assert!(belongs_to_host(OsStr::new(name)), "{name}");
        }
        for name in ["LDFLAGS", "XDG_CONFIG_HOME", "PATH", "EDITOR", "LANG", "http_proxy", "SNAPSHOT", "QML"]
        {
            assert!(!belongs_to_host(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_session_brings_what_else_stays_with_the_paths_of_the_guest() {
        let all = variables(&[
            ("SSH_AUTH_SOCK", b"/run/user/7/a"),
            ("DBUS_SYSTEM_BUS_ADDRESS", b"x"),
            ("E", b"/run/user/7/e"),
        ]);
        assert_eq!(passed(all.clone().into_iter(), Extent::Caller), [b"E=/run/user/7/e"]);
        let wanted = ["SSH_AUTH_SOCK=/var/lib/snug/session/user/7/a", "E=/var/lib/snug/session/user/7/e"];
        assert_eq!(passed(all.into_iter(), Extent::Session), wanted.map(|text| text.as_bytes().to_vec()));
    }

    #[test]
    fn an_untrusted_guest_learns_only_how_to_draw() {
        let all = variables(&[("TERM", b"xterm"), ("PATH", b"/bin"), ("AWS_SECRET", b"s"), ("LANG", b"C")]);
        assert_eq!(passed(all.into_iter(), Extent::Terminal), vec![b"TERM=xterm".to_vec()]);
    }
}
