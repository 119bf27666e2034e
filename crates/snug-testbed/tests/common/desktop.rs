//! A session of a user of the bed, as a desktop without a screen has it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use snug_testbed::stack::users::Account;
use snug_testbed::{Bed, UserCommand};

use super::eventually;

const RUN_USER: &str = "/run/user";
const DISPLAY: &str = ":77";
/// What an X server that is killed leaves. The lock holds its process number: where another process has that by then, no server
/// starts on the display.
const LEFT_BY_X_SERVER: [&str; 2] = ["/tmp/.X11-unix/X77", "/tmp/.X77-lock"];
const WAYLAND: &str = "wayland-1";

/// `/run/user` as systemd makes it, a mount whose changes others see; until dropped.
pub struct RunUser;

impl RunUser {
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        fs::create_dir_all(RUN_USER).unwrap();
        // Left by a run that was killed.
        while unmount(RUN_USER, UnmountFlags::DETACH).is_ok() {}
        mount_bind(RUN_USER, RUN_USER).unwrap();
        mount_change(RUN_USER, MountPropagationFlags::SHARED).unwrap();
        let sockets = Path::new("/tmp/.X11-unix");
        fs::create_dir_all(sockets).unwrap();
        fs::set_permissions(sockets, fs::Permissions::from_mode(0o1777)).unwrap();
        Self
    }
}

impl Drop for RunUser {
    fn drop(&mut self) {
        let _ = unmount(RUN_USER, UnmountFlags::DETACH);
    }
}

/// Someone who is logged in; his programs end, and his runtime directory goes, when dropped.
pub struct Desktop<'a> {
    bed: &'a Bed,
    account: Account,
    runtime: PathBuf,
    programs: Vec<(&'static str, Child)>,
}

impl<'a> Desktop<'a> {
    /// As pam_systemd does it, with nothing running yet.
    #[track_caller]
    #[must_use]
    pub fn log_in(bed: &'a Bed, user: &str) -> Self {
        let account = bed.account(user);
        let runtime = Path::new(RUN_USER).join(account.uid.to_string());
        fs::create_dir_all(&runtime).unwrap();
        mount("tmpfs", &runtime, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=700,size=16m"))
            .unwrap();
        chown(&runtime, Some(account.uid), Some(account.gid)).unwrap();
        Self { bed, account, runtime, programs: Vec::new() }
    }

    /// With compositor, X server, sound, bus and agents.
    #[track_caller]
    #[must_use]
    pub fn start(bed: &'a Bed, user: &str) -> Self {
        let mut desktop = Self::log_in(bed, user);
        for program in ["bus", "compositor", "X server", "PipeWire", "WirePlumber", "PulseAudio", "ssh-agent"]
        {
            desktop.start_one(program);
        }
        desktop
    }

    /// Ends a program and starts it again.
    #[track_caller]
    pub fn restart(&mut self, program: &'static str) {
        self.end(program);
        self.start_one(program);
    }

    fn end(&mut self, program: &'static str) {
        for (_, child) in self.programs.extract_if(.., |(name, _)| *name == program) {
            end(child);
        }
        if program == "X server" {
            forget_x_server();
        }
    }

    #[track_caller]
    fn start_one(&mut self, program: &'static str) {
        let in_runtime = |name: &str| self.runtime.join(name);
        let (argv, socket): (Vec<String>, PathBuf) = match program {
            "bus" => (
                words(&format!(
                    "dbus-daemon --session --nofork --nopidfile --address=unix:path={}",
                    in_runtime("bus").display()
                )),
                in_runtime("bus"),
            ),
            "compositor" => (
                words(&format!(
                    "weston --backend=headless-backend.so --no-config --idle-time=0 --socket={WAYLAND}"
                )),
                in_runtime(WAYLAND),
            ),
            "X server" => {
                let authority = in_runtime("xauth");
                let cookie = "0123456789abcdef0123456789abcdef";
                self.command(["xauth", "-qf", authority.to_str().unwrap(), "add", DISPLAY, ".", cookie])
                    .run()
                    .unwrap()
                    .success();
                (
                    // It begins anew when its last client goes, and refuses the next one meanwhile; a desktop's never has none.
                    words(&format!("Xvfb {DISPLAY} -noreset -nolisten tcp -auth {}", authority.display())),
                    LEFT_BY_X_SERVER[0].into(),
                )
            }
            "PipeWire" => (words("pipewire"), in_runtime("pipewire-0")),
            "WirePlumber" => (words("wireplumber"), in_runtime("pipewire-0")),
            "PulseAudio" => (words("pipewire-pulse"), in_runtime("pulse/native")),
            "ssh-agent" => (
                words(&format!("ssh-agent -D -a {}", in_runtime("ssh-agent").display())),
                in_runtime("ssh-agent"),
            ),
            other => panic!("no program '{other}'"),
        };
        // One that was killed leaves its socket, which is not that of the next.
        if program == "X server" {
            forget_x_server();
        }
        if program != "WirePlumber" {
            let _ = fs::remove_file(&socket);
        }
        let child = self.command(&argv).spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
        self.programs.push((program, child));
        eventually(program, || socket.exists());
    }

    /// A command of his in this session.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> UserCommand {
        self.in_session(self.bed.as_user(&self.account.name, argv))
    }

    /// The same command in this session.
    #[must_use]
    pub fn in_session(&self, command: UserCommand) -> UserCommand {
        let in_runtime = |name: &str| self.runtime.join(name);
        command
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .env("XDG_SESSION_TYPE", "wayland")
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", in_runtime("bus").display()))
            .env("WAYLAND_DISPLAY", WAYLAND)
            .env("DISPLAY", DISPLAY)
            .env("XAUTHORITY", in_runtime("xauth"))
            .env("SSH_AUTH_SOCK", in_runtime("ssh-agent"))
    }

    /// `/run/user/UID`.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn forget_x_server() {
    for left in LEFT_BY_X_SERVER {
        let _ = fs::remove_file(left);
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Desktop<'_> {
    fn drop(&mut self) {
        // What was started last goes first.
        while let Some((_, child)) = self.programs.pop() {
            end(child);
        }
        forget_x_server();
        let _ = unmount(&self.runtime, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.runtime);
    }
}
