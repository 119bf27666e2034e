//! What the environment of a command on the host is made of: the owner's session, and what the guest's program was told.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use snug_client::environment::{is_for_host, is_of_unit};
use snug_exec::environment::{key, set, set_all, split, value};
use snug_exec::sys::process::{Fork, fork};
use snug_exec::sys::{descriptor, process, signal};
use snug_wire::socket::wait;

use super::bus::runtime_directory;

/// How long the owner's service manager may take to tell; without it this process's own environment has to do.
const PATIENCE: Duration = Duration::from_millis(500);
/// More than any sane environment.
const LONGEST: u64 = 1 << 20;

/// How much of what a guest tells is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// What kind of terminal it is.
    Terminal,
    /// How and where to draw, and in which language.
    Appearance,
    /// All that does not belong to the guest.
    All,
}

/// Puts the environment together.
pub fn compose(session: &[Vec<u8>], caller: &[Vec<u8>], overrides: &[Vec<u8>], told: Told) -> Vec<Vec<u8>> {
    let mut variables = session.to_vec();
    let is_taken = |variable: &&Vec<u8>| {
        let name = key(variable);
        let of_terminal = [&b"TERM"[..], b"COLORTERM", b"NO_COLOR"].contains(&name);
        let of_appearance =
            [&b"LANG"[..], b"LANGUAGE", b"DISPLAY", b"WAYLAND_DISPLAY", b"XDG_ACTIVATION_TOKEN"];
        match told {
            Told::Nothing => false,
            Told::Terminal => of_terminal,
            Told::Appearance => of_terminal || of_appearance.contains(&name) || name.starts_with(b"LC_"),
            Told::All => {
                is_for_host(OsStr::from_bytes(name), variable.get(name.len() + 1..).unwrap_or_default())
            }
        }
    };
    let taken: Vec<Vec<u8>> = caller.iter().filter(is_taken).cloned().collect();
    set_all(&mut variables, &taken);
    set_all(&mut variables, overrides);
    variables
}

/// The environment of the owner's session: as his service manager has it, into which desktops import theirs, else this
/// process's own.
pub fn of_session() -> Vec<Vec<u8>> {
    let own = own();
    match of_service_manager() {
        // What is set at a login alone (`SHELL`, `LOGNAME` of some) is this user's in any case.
        Some(mut known) if value(&known, b"PATH").is_some() => {
            for variable in own.into_iter().filter(|variable| IDENTITY.contains(&key(variable))) {
                if value(&known, key(&variable)).is_none() {
                    known.push(variable);
                }
            }
            known
        }
        _ => with_usual_places(own),
    }
}

/// Adds where a login puts things, if somebody is logged in: this process may have been started before.
fn with_usual_places(mut variables: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let runtime = runtime_directory();
    for (name, before, path) in [
        (&b"XDG_RUNTIME_DIR"[..], &b""[..], runtime.clone()),
        (b"DBUS_SESSION_BUS_ADDRESS", b"unix:path=", runtime.join("bus")),
    ] {
        if value(&variables, name).is_none() && path.exists() {
            set(&mut variables, name, &[before, path.as_os_str().as_bytes()].concat());
        }
    }
    variables
}

/// What is about the shell that has started this process.
const OF_SHELL: [&[u8]; 4] = [b"OLDPWD", b"PWD", b"SHLVL", b"_"];

const IDENTITY: [&[u8]; 5] = [b"HOME", b"USER", b"LOGNAME", b"SHELL", b"XDG_RUNTIME_DIR"];

fn own() -> Vec<Vec<u8>> {
    std::env::vars_os()
        .map(|(name, value)| [name.into_vec(), b"=".to_vec(), value.into_vec()].concat())
        .filter(|variable| {
            !is_of_unit(OsStr::from_bytes(key(variable))) && !OF_SHELL.contains(&key(variable))
        })
        .collect()
}

/// Asked in a process of its own: the bus needs an executor, and this process has to stay small and of one thread.
fn of_service_manager() -> Option<Vec<Vec<u8>>> {
    let (answer, speaker) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    match fork().ok()? {
        Fork::Child => {
            signal::unblock_all();
            if let Ok([speaker]) = descriptor::keep_only([std::os::fd::AsRawFd::as_raw_fd(&speaker)])
                && let Some(variables) = ask()
            {
                let text: Vec<u8> =
                    variables.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect();
                let _ = std::fs::File::from(speaker).write_all(&text);
            }
            process::exit(0)
        }
        Fork::Parent(asking) => {
            drop(speaker);
            let answered = read_answer(answer);
            end(asking);
            answered.filter(|text| !text.is_empty()).map(|text| split(&text))
        }
    }
}

fn read_answer(answer: OwnedFd) -> Option<Vec<u8>> {
    let deadline = Some(Instant::now() + PATIENCE);
    let mut file = std::fs::File::from(answer);
    let mut text = Vec::new();
    loop {
        wait(file.as_fd(), PollFlags::IN, deadline).ok()?;
        let mut part = [0; 16 << 10];
        match file.read(&mut part).ok()? {
            0 => return Some(text),
            count => text.extend_from_slice(&part[..count]),
        }
        if text.len() as u64 > LONGEST {
            return None;
        }
    }
}

fn end(child: Pid) {
    let _ = kill_process(child, Signal::KILL);
    let _ = waitpid(Some(child), WaitOptions::empty());
}

/// `Environment` of `org.freedesktop.systemd1.Manager` on the session bus.
fn ask() -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = async {
        let connection = zbus::Connection::session().await.ok()?;
        let reply = connection
            .call_method(
                Some("org.freedesktop.systemd1"),
                "/org/freedesktop/systemd1",
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &("org.freedesktop.systemd1.Manager", "Environment"),
            )
            .await
            .ok()?;
        let value: zbus::OwnedVariant = reply.body().deserialize().ok()?;
        Vec::<String>::try_from(value).ok()
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_command_has_the_sessions_programs_and_the_callers_wishes() {
        let session = strings(&["PATH=/usr/bin", "HOME=/home/a", "DISPLAY=:0", "EDITOR=nano"]);
        let caller = strings(&[
            "PATH=/guest",
            "HOME=/root",
            "DISPLAY=:1",
            "EDITOR=vim",
            "LD_PRELOAD=x",
            "BROWSER=/.snug/bin/host-open",
            "container=lxc",
        ]);
        let all = compose(&session, &caller, &strings(&["X=1", "PATH=/mine"]), Told::All);
        assert_eq!(all, strings(&["PATH=/mine", "HOME=/home/a", "DISPLAY=:1", "EDITOR=vim", "X=1"]));
        let appearance = compose(&session, &caller, &[], Told::Appearance);
        assert_eq!(appearance, strings(&["PATH=/usr/bin", "HOME=/home/a", "DISPLAY=:1", "EDITOR=nano"]));
        let terminal = compose(&session, &strings(&["TERM=x", "LANG=de"]), &[], Told::Terminal);
        assert_eq!(terminal, [&session[..], &strings(&["TERM=x"])].concat());
        assert_eq!(compose(&session, &caller, &[], Told::Nothing), session);
    }
}
