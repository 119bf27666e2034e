//! The environment of a command: the caller's, what the guest's login adds, and what is the guest's own.
//!
//! Values are bytes and pass unchanged. The caller's win over the guest's login environment, `-e` wins over all.

use snug_exec::environment::{DEFAULT_PATH, key, set, set_all, value};
use snug_exec::system::Entry;
use snug_wire::host::EXPORTED_COMMANDS;
use snug_wire::session::BUS_VARIABLE;

/// Where tmux has its sockets, in the place of `/tmp` (tmux(1)).
const TMUX_DIRECTORY: &[u8] = b"TMUX_TMPDIR";

/// The program that opens links on the host ; the caller's `BROWSER` is a program of the host.
const BROWSER: &[u8] = snug_wire::host::OPEN_PATH.as_bytes();

/// Directories of programs that belong to a system rather than to a person: in the caller's PATH they stand for the
/// guest's.
const SYSTEM_DIRECTORIES: [&[u8]; 9] = [
    b"/usr/local/sbin",
    b"/usr/local/bin",
    b"/usr/sbin",
    b"/usr/bin",
    b"/sbin",
    b"/bin",
    b"/usr/local/games",
    b"/usr/games",
    b"/snap/bin",
];

/// What the environment is made of.
pub struct Sources<'a> {
    /// The caller's, already without what belongs to the host.
    pub caller: &'a [Vec<u8>],
    /// `-e`.
    pub overrides: &'a [Vec<u8>],
    /// The guest's login environment.
    pub login: &'a [Vec<u8>],
    /// Leave the caller's PATH and the like out.
    pub clean: bool,
    /// As whom the command runs.
    pub user: &'a Entry,
    /// His shell in this guest.
    pub shell: &'a [u8],
    /// `/run/user/UID`, where it exists.
    pub runtime_directory: Option<Vec<u8>>,
    /// Address of the session bus, for who has the caller's session.
    pub session_bus: Option<Vec<u8>>,
    /// Links are opened on the host.
    pub browser: bool,
    /// Commands that other containers export can be called.
    pub exports: bool,
    /// `/tmp` may be the host's.
    pub shares_tmp: bool,
    /// Value of `container`.
    pub container: &'a [u8],
}

/// Puts the environment together.
pub fn compose(sources: &Sources<'_>) -> Vec<Vec<u8>> {
    let mut environment = sources.caller.to_vec();
    let default = if sources.user.uid == 0 { None } else { value(sources.login, b"PATH") };
    let guest_path = default.unwrap_or(DEFAULT_PATH);
    let mut path = match value(sources.caller, b"PATH") {
        Some(caller) if !sources.clean => merge_path(caller, guest_path),
        _ => guest_path.to_vec(),
    };
    if sources.exports && !sources.clean {
        // Last, whatever a login has made of it: what the guest has itself comes before.
        let exported = exported_commands(sources);
        let others = path.split(|byte| *byte == b':').filter(|directory| *directory != exported);
        path = others.chain([&exported[..]]).collect::<Vec<_>>().join(&b':');
    }
    set(&mut environment, b"PATH", &path);
    for variable in sources.login {
        let name = key(variable);
        if !environment.iter().any(|present| key(present) == name) {
            environment.push(variable.clone());
        }
    }
    set(&mut environment, b"HOME", &sources.user.home);
    set(&mut environment, b"USER", &sources.user.name);
    set(&mut environment, b"LOGNAME", &sources.user.name);
    set(&mut environment, b"SHELL", sources.shell);
    set(&mut environment, b"container", sources.container);
    match &sources.runtime_directory {
        Some(directory) => set(&mut environment, b"XDG_RUNTIME_DIR", directory),
        None => environment.retain(|variable| key(variable) != b"XDG_RUNTIME_DIR"),
    }
    environment.retain(|variable| key(variable) != BUS_VARIABLE.as_bytes());
    if let Some(address) = &sources.session_bus {
        set(&mut environment, b"DBUS_SESSION_BUS_ADDRESS", address);
    }
    if sources.browser {
        set(&mut environment, b"BROWSER", BROWSER);
    }
    // Else a guest's `tmux` joins the host's server, which is perhaps of another version and starts its programs there.
    if let Some(directory) = sources.runtime_directory.as_ref().filter(|_| sources.shares_tmp)
        && value(&environment, TMUX_DIRECTORY).is_none()
    {
        set(&mut environment, TMUX_DIRECTORY, directory);
    }
    set_all(&mut environment, sources.overrides);
    environment
}

/// Where the owner has those, in the home that the guest shares.
fn exported_commands(sources: &Sources<'_>) -> Vec<u8> {
    let data = value(sources.caller, b"XDG_DATA_HOME").filter(|data| data.starts_with(b"/"));
    let data = data.map_or_else(|| [&sources.user.home[..], b"/.local/share"].concat(), <[u8]>::to_vec);
    [&data[..], b"/", EXPORTED_COMMANDS.as_bytes()].concat()
}

/// The caller's PATH with the system directories replaced by the guest's, order kept: the guest's stand where the
/// first system directory stood, or at the end.
pub fn merge_path(caller: &[u8], guest: &[u8]) -> Vec<u8> {
    let is_system = |directory: &[u8]| {
        let end = directory.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        SYSTEM_DIRECTORIES.contains(&&directory[..end])
    };
    let split = |path| <[u8]>::split(path, |byte| *byte == b':');
    let callers: Vec<&[u8]> = split(caller).filter(|directory| !is_system(directory)).collect();
    let mut guests = split(guest).filter(|directory| !directory.is_empty() && !callers.contains(directory));
    let mut merged: Vec<&[u8]> = Vec::new();
    for directory in split(caller) {
        if is_system(directory) {
            merged.extend(guests.by_ref());
        } else {
            merged.push(directory);
        }
    }
    merged.extend(guests);
    merged.join(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    fn anna() -> Entry {
        Entry {
            name: b"anna".to_vec(),
            uid: 1000,
            gid: 1000,
            home: b"/home/anna".to_vec(),
            shell: b"/bin/zsh".to_vec(),
        }
    }

    fn composed(caller: &[&str], overrides: &[&str], login: &[&str], clean: bool) -> Vec<Vec<u8>> {
        compose(&Sources {
            caller: &strings(caller),
            overrides: &strings(overrides),
            login: &strings(login),
            clean,
            user: &anna(),
            shell: b"/bin/bash",
            runtime_directory: Some(b"/run/user/1000".to_vec()),
            session_bus: Some(b"unix:path=/b".to_vec()),
            browser: true,
            exports: false,
            shares_tmp: true,
            container: b"lxc",
        })
    }

    #[test]
    fn what_other_containers_export_comes_last() {
        let path = |caller: &[&str], clean: bool, exports: bool| {
            let environment = compose(&Sources {
                caller: &strings(caller),
                overrides: &[],
                login: &strings(&["PATH=/usr/bin"]),
                clean,
                user: &anna(),
                shell: b"/bin/bash",
                runtime_directory: None,
                session_bus: None,
                browser: false,
                exports,
                shares_tmp: false,
                container: b"lxc",
            });
            String::from_utf8(value(&environment, b"PATH").unwrap().to_vec()).unwrap()
        };
        let home = ":/home/anna/.local/share/snug/for-guests";
        assert_eq!(path(&["PATH=/x:/usr/bin"], false, true), format!("/x:/usr/bin{home}"));
        assert_eq!(path(&[], false, true), format!("/usr/bin{home}"));
        let inside = format!("PATH=/x{home}:/usr/bin{home}:/y");
        assert_eq!(path(&[&inside], false, true), format!("/x:/usr/bin:/y{home}"));
        assert_eq!(path(&["XDG_DATA_HOME=/d"], false, true), "/usr/bin:/d/snug/for-guests");
        assert_eq!(path(&["XDG_DATA_HOME=d"], false, true), format!("/usr/bin{home}"));
        assert_eq!(path(&[], true, true), "/usr/bin");
        assert_eq!(path(&[], false, false), "/usr/bin");
    }

    #[test]
    fn the_guests_system_directories_stand_where_the_callers_stood() {
        let table: [(&str, &str, &str); 7] = [
            ("/home/a/bin:/usr/bin:/bin", "/usr/bin:/sbin", "/home/a/bin:/usr/bin:/sbin"),
            ("/usr/bin:/home/a/bin:/bin", "/usr/bin", "/usr/bin:/home/a/bin"),
            ("/home/a/bin", "/usr/bin:/bin", "/home/a/bin:/usr/bin:/bin"),
            ("/opt/x/bin:/usr/bin/:/y", "/g:/usr/bin", "/opt/x/bin:/g:/usr/bin:/y"),
            ("/x:/usr/bin", "/x:/usr/bin", "/x:/usr/bin"),
            ("", "/usr/bin", ":/usr/bin"),
            ("/nix/bin::/bin", "/usr/bin", "/nix/bin::/usr/bin"),
        ];
        for (caller, guest, merged) in table {
            let result = merge_path(caller.as_bytes(), guest.as_bytes());
            assert_eq!(String::from_utf8(result).unwrap(), merged, "{caller} with {guest}");
        }
    }

    #[test]
    fn the_callers_values_win_over_the_logins_and_overrides_over_all() {
        let environment = composed(
            &["A=caller", "HOME=/host/home", "Q=\"$x`\n"],
            &["B=override", "HOME=/elsewhere"],
            &["A=login", "B=login", "C=login"],
            false,
        );
        for (wanted, expected) in
            [("A", "caller"), ("B", "override"), ("C", "login"), ("HOME", "/elsewhere"), ("Q", "\"$x`\n")]
        {
            assert_eq!(value(&environment, wanted.as_bytes()), Some(expected.as_bytes()), "{wanted}");
        }
    }

    #[test]
    fn who_the_user_is_comes_from_the_guest() {
        let environment = composed(
            &["USER=host", "SHELL=/bin/fish", "BROWSER=firefox", "XDG_RUNTIME_DIR=/x", "SNUG_SESSION_BUS=/x"],
            &[],
            &[],
            false,
        );
        for (wanted, expected) in [
            ("USER", "anna"),
            ("LOGNAME", "anna"),
            ("HOME", "/home/anna"),
            ("SHELL", "/bin/bash"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("container", "lxc"),
            ("TMUX_TMPDIR", "/run/user/1000"),
            ("BROWSER", "/.snug/bin/host-open"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/b"),
        ] {
            assert_eq!(value(&environment, wanted.as_bytes()), Some(expected.as_bytes()), "{wanted}");
        }
        assert_eq!(value(&environment, b"SNUG_SESSION_BUS"), None);
    }

    #[test]
    fn a_clean_environment_takes_the_guests_path_alone() {
        let environment = composed(&["TERM=x", "PATH=/mine"], &[], &["PATH=/usr/bin"], true);
        assert_eq!(value(&environment, b"PATH"), Some(&b"/usr/bin"[..]));
        assert_eq!(value(&environment, b"TERM"), Some(&b"x"[..]));
    }

    #[test]
    fn no_variable_appears_twice_by_our_doing() {
        let environment = composed(&["A=1", "PATH=/x"], &["A=2", "N="], &["A=3", "PATH=/y", "N=1"], false);
        for variable in &environment {
            let count = environment.iter().filter(|other| key(other) == key(variable)).count();
            assert_eq!(count, 1, "{}", String::from_utf8_lossy(variable));
        }
        assert_eq!(value(&environment, b"N"), Some(&b""[..]));
    }
}
