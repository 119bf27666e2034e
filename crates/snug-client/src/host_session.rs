//! The caller's session on the host, for a container that has the grant `session`: its sockets are at other paths there, and
//! programs are told by variables.
//!
//! All is asked anew for each command, so it is the session of who calls: another after a new login, none from cron. Nothing
//! is told by way of `XDG_RUNTIME_DIR`, which is the guest's own. The session bus is told to the agent alone: the service manager on it is
//! the host's, and what asks that for a cgroup (crun, `systemd-run --user --wait`) would act on processes of the host.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use snug_wire::session::{BUS_VARIABLE, RUNTIME_DIRECTORIES, USERS};

use crate::xauthority;

/// Variables that belong to the host unless the container has its session.
pub const VARIABLES: [&str; 13] = [
    "DESKTOP_STARTUP_ID",
    "DISPLAY",
    "PIPEWIRE_REMOTE",
    "PULSE_COOKIE",
    "PULSE_SERVER",
    "PULSE_SINK",
    "PULSE_SOURCE",
    "SSH_AUTH_SOCK",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_ACTIVATION_TOKEN",
    "XDG_SESSION_DESKTOP",
    "XDG_SESSION_TYPE",
];

/// A caller's session.
pub struct HostSession<V> {
    /// His variables.
    pub variable: V,
    /// His number.
    pub uid: u32,
}

impl<V: Fn(&str) -> Option<OsString>> HostSession<V> {
    /// What a program in the guest must be told in the place of what the caller's variables say, or do not say because the
    /// host's programs look in the runtime directory anyway.
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let runtime = self.runtime_directory();
        let mut told: Vec<(&str, OsString)> = Vec::new();
        let display = self.set("WAYLAND_DISPLAY");
        let compositor = runtime.join(display.as_deref().unwrap_or(OsStr::new("wayland-0")));
        if display.is_some() || compositor.exists() {
            told.push(("WAYLAND_DISPLAY", in_guest(&compositor)));
        }
        let pipewire = self.set("PIPEWIRE_RUNTIME_DIR").map_or_else(|| runtime.clone(), PathBuf::from);
        let remote = self.set("PIPEWIRE_REMOTE");
        let socket = pipewire.join(remote.as_deref().unwrap_or(OsStr::new("pipewire-0")));
        if remote.is_some() || socket.exists() {
            told.push(("PIPEWIRE_REMOTE", in_guest(&socket)));
        }
        let pulse = self.set("PULSE_RUNTIME_PATH").map_or_else(|| runtime.join("pulse"), PathBuf::from);
        if self.set("PULSE_SERVER").is_none() && pulse.join("native").exists() {
            let mut server = OsString::from("unix:");
            server.push(in_guest(&pulse.join("native")));
            told.push(("PULSE_SERVER", server));
        }
        if let Some(bus) = self.bus(&runtime) {
            told.push((BUS_VARIABLE, in_guest(&bus)));
        }
        if let Some(display) = self.set("DISPLAY") {
            if let Some(file) = self.authority(&display, &runtime) {
                told.push(("XAUTHORITY", in_guest(&file)));
            }
            // The X server takes their numbers for the host's: a guest's memory has others.
            for (name, off) in [("QT_X11_NO_MITSHM", "1"), ("J2D_USE_MITSHM", "0")] {
                if self.set(name).is_none() {
                    told.push((name, off.into()));
                }
            }
        }
        told.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }

    /// The session bus, where it is a socket of the runtime directory: in the guest the agent stands between it and programs.
    fn bus(&self, runtime: &Path) -> Option<PathBuf> {
        let usual = runtime.join("bus");
        match self.set("DBUS_SESSION_BUS_ADDRESS") {
            // As its libraries do: without the directory's name there is none, for cron's programs above all.
            None => (self.set("XDG_RUNTIME_DIR").is_some() && usual.exists()).then_some(usual),
            Some(address) => {
                // The first of its addresses, without what else it says of it (D-Bus Specification, "Server Addresses").
                let first = address.as_bytes().split(|byte| b";,".contains(byte)).next()?;
                let path = first.strip_prefix(b"unix:path=")?;
                (path == usual.as_os_str().as_bytes()).then_some(usual)
            }
        }
    }

    fn set(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn runtime_directory(&self) -> PathBuf {
        let usual = || Path::new(RUNTIME_DIRECTORIES).join(self.uid.to_string());
        self.set("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or_else(usual)
    }

    /// A file with the cookie for the caller's display that counts on a machine of another name.
    fn authority(&self, display: &OsStr, runtime: &Path) -> Option<PathBuf> {
        let number = xauthority::local_display(display)?;
        let own = || self.set("HOME").map(|home| Path::new(&home).join(".Xauthority"));
        let file = self.set("XAUTHORITY").map(PathBuf::from).or_else(own)?;
        xauthority::for_other_machines(&file, number, &runtime.join("snug"))
    }
}

fn in_guest(path: &Path) -> OsString {
    translated(path.as_os_str().to_owned())
}

/// A variable's value with each path below the host's runtime directories as the guest has it: a path, a list of them, or an
/// address that holds one (`unix:path=/run/user/1000/bus`).
#[must_use]
pub fn translated(value: OsString) -> OsString {
    let bytes = value.as_bytes();
    let mut out: Vec<u8> = Vec::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(at) = find(&bytes[from..]).map(|at| from + at) {
        let after = at + RUNTIME_DIRECTORIES.len();
        from = after;
        // `/var/run` is a link to `/run`.
        let start = if bytes[..at].ends_with(b"/var") { at - 4 } else { at };
        let begins = start == 0 || b":=,; ".contains(&bytes[start - 1]);
        if begins && bytes.get(after) == Some(&b'/') {
            out.extend_from_slice(&bytes[copied..start]);
            out.extend_from_slice(USERS.as_bytes());
            copied = after;
        }
    }
    if copied == 0 {
        return value;
    }
    out.extend_from_slice(&bytes[copied..]);
    OsString::from_vec(out)
}

fn find(bytes: &[u8]) -> Option<usize> {
    let wanted = RUNTIME_DIRECTORIES.as_bytes();
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(pairs: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        };
        let session = HostSession { variable, uid: 4_000_000 };
        session
            .variables()
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect()
    }

    #[test]
    fn names_in_the_runtime_directory_become_paths_of_the_guest() {
        assert_eq!(told(&[]), [""; 0]);
        let all = told(&[("WAYLAND_DISPLAY", "wayland-1"), ("PIPEWIRE_REMOTE", "other")]);
        let base = "/var/lib/snug/session/user/4000000";
        assert_eq!(
            all,
            [format!("WAYLAND_DISPLAY={base}/wayland-1"), format!("PIPEWIRE_REMOTE={base}/other")]
        );
        let elsewhere = [("WAYLAND_DISPLAY", "/tmp/wayland-9"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(told(&elsewhere), ["WAYLAND_DISPLAY=/tmp/wayland-9"]);
    }

    #[test]
    fn what_the_hosts_programs_find_without_a_variable_is_told_where_it_is_there() {
        let runtime = tempfile::tempdir().unwrap();
        let path = runtime.path().to_str().unwrap();
        fs::create_dir(runtime.path().join("pulse")).unwrap();
        for socket in ["wayland-0", "pipewire-0", "pulse/native"] {
            fs::write(runtime.path().join(socket), "").unwrap();
        }
        assert_eq!(
            told(&[("XDG_RUNTIME_DIR", path)]),
            [
                format!("WAYLAND_DISPLAY={path}/wayland-0"),
                format!("PIPEWIRE_REMOTE={path}/pipewire-0"),
                format!("PULSE_SERVER=unix:{path}/pulse/native"),
            ]
        );
        let bus = "SNUG_SESSION_BUS=/var/lib/snug/session/user/4000000/bus";
        for address in
            ["unix:path=/run/user/4000000/bus", "unix:path=/run/user/4000000/bus,guid=1;tcp:host=x"]
        {
            assert_eq!(told(&[("DBUS_SESSION_BUS_ADDRESS", address)]), [bus]);
        }
        for address in ["unix:abstract=/tmp/x", "unix:path=/tmp/bus", "tcp:host=localhost"] {
            assert_eq!(told(&[("DBUS_SESSION_BUS_ADDRESS", address)]), [""; 0], "{address}");
        }
        assert_eq!(told(&[("PULSE_SERVER", "tcp:far")]), [""; 0], "it passes as it is");
        let far = [("DISPLAY", "far:0"), ("QT_X11_NO_MITSHM", "0")];
        assert_eq!(told(&far), ["J2D_USE_MITSHM=0"]);
    }

    #[test]
    fn values_that_hold_paths_of_the_session_are_translated_and_others_are_not() {
        for (value, wanted) in [
            ("/run/user/1000/keyring/ssh", "/var/lib/snug/session/user/1000/keyring/ssh"),
            ("unix:path=/run/user/1/bus,guid=5;x", "unix:path=/var/lib/snug/session/user/1/bus,guid=5;x"),
            (
                "/a:/run/user/1/x:/run/user/1/y",
                "/a:/var/lib/snug/session/user/1/x:/var/lib/snug/session/user/1/y",
            ),
            ("/var/run/user/1/x", "/var/lib/snug/session/user/1/x"),
            ("/some/var/run/user/1/x", "/some/var/run/user/1/x"),
            ("/run/users/1", "/run/users/1"),
            ("/run/user", "/run/user"),
            ("", ""),
        ] {
            assert_eq!(translated(value.into()), OsString::from(wanted));
        }
    }
}
