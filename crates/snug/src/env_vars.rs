//! Every environment variable that `snug` reads, declared once. `docs/reference/configuration.md` lists the public ones.

/// The container that commands without `-c` or NAME are for; wins over `default_container`.
pub const SNUG_CONTAINER: &str = snug_wire::host::CONTAINER_VARIABLE;
/// A directory of the container [`SNUG_CONTAINER`], where this command was typed in it. Set by `snug session` alone.
pub const SNUG_GUEST_DIRECTORY: &str = snug_wire::host::DIRECTORY_VARIABLE;
/// The image that new containers are made from; wins over `default_image`.
pub const SNUG_IMAGE: &str = "SNUG_IMAGE";
/// The preset of new containers; wins over `default_preset`.
pub const SNUG_PRESET: &str = "SNUG_PRESET";
/// Whether a shell in a container shows which it is; wins over `prompt_hint`.
pub const SNUG_PROMPT_HINT: &str = snug_wire::shell::HINT;
// Colour: NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM are read by anstream.

/// `dumb` means a terminal that cannot move its cursor: no progress.
pub const TERM: &str = "TERM";
/// The directory that this process was started in.
pub const PWD: &str = "PWD";
/// Where the user's configuration is; `~/.config` without it.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Where the index of exports is; `~/.local/share` without it.
pub const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
/// Where the lists of commands are; `~/.cache` without it.
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// Where the host's applications are, besides the user's own; `/usr/local/share:/usr/share` without it.
pub const XDG_DATA_DIRS: &str = "XDG_DATA_DIRS";
/// Where the host says which application opens what, besides the user; `/etc/xdg` without it.
pub const XDG_CONFIG_DIRS: &str = "XDG_CONFIG_DIRS";
/// The desktops that this session is of.
pub const XDG_CURRENT_DESKTOP: &str = "XDG_CURRENT_DESKTOP";
/// Where logs of package managers are; `~/.local/state` without it.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// Where the host's shells look for commands.
pub const PATH: &str = "PATH";
/// The user's shell: which words it understands.
pub const SHELL: &str = "SHELL";
/// The user's home.
pub const HOME: &str = "HOME";
/// A Wayland display: a graphical session, which has its own authentication agent.
pub const WAYLAND_DISPLAY: &str = "WAYLAND_DISPLAY";
/// An X11 display: as above.
pub const DISPLAY: &str = "DISPLAY";
/// Asks for completions instead of running; set by the scripts that `snug completion` prints.
pub const SNUG_COMPLETE: &str = "SNUG_COMPLETE";
/// Tests only, and only in debug builds: all of the installation's paths are below this directory.
pub const SNUG_TEST_ROOT: &str = "SNUG_TEST_ROOT";

/// A variable's value, when it is set to something that is not empty.
pub fn non_empty(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
