//! How a guest's commands reach its owner's session on the host.
//!
//! Nothing on the host listens for guests. The owner's `snug session` connects to the agent of each container that has
//! `host-exec` or `host-open`, and *offers* that connection ([`crate::message::ToAgent::Offer`]); a program of the guest
//! asks the agent for one ([`crate::message::ToAgent::Dial`]) and then speaks with the host over it, as a client on the
//! host speaks with an agent. So a request comes over a connection that belongs to one container alone.

/// The guest's program for it, beside the agent; what it does depends on the name that it is called by.
pub const GUEST_PROGRAM: &str = "snug-guest";
/// Where guests have it.
pub const GUEST_PROGRAM_PATH: &str = "/.snug/bin/snug-guest";

/// Opens links and files on the host (`xdg-open`, `$BROWSER`).
pub const OPEN: &str = "host-open";
/// Where guests have it, for `$BROWSER` and desktop entries.
pub const OPEN_PATH: &str = "/.snug/bin/host-open";
/// Runs a command on the host.
pub const EXEC: &str = "host-exec";
/// Where a guest has a link of that name to [`GUEST_PROGRAM_PATH`].
pub const GUEST_DIRECTORY: &str = "/usr/local/bin";
/// The names in [`GUEST_DIRECTORY`] with the grant `host-exec`: Snug's own, and those that scripts know.
pub const EXEC_NAMES: [&str; 5] = [EXEC, "distrobox-host-exec", "host-spawn", "flatpak-spawn", "snug"];
/// The same with `host-open`.
pub const OPEN_NAMES: [&str; 3] = [OPEN, "xdg-open", "gio"];

/// Longest link or path that is opened, in bytes (`PATH_MAX` is half of it).
pub const MAX_TARGET: usize = 8192;

/// Where systemd listens for `snug session`, below the owner's runtime directory (`snug-session.socket`).
pub const SERVICE_SOCKET: &str = "snug/session.sock";

/// The container that a command of the host was asked for by: `snug` takes it for the default one.
pub const CONTAINER_VARIABLE: &str = "SNUG_CONTAINER";
/// The directory of that container in which `snug` was typed there.
pub const DIRECTORY_VARIABLE: &str = "SNUG_GUEST_DIRECTORY";
/// The host's program that a guest's link of that name runs, wherever it is typed.
pub const SNUG: &str = "snug";

/// What stands before the first colon of a link (RFC 3986, section 3.1); `None`: it is none.
#[must_use]
pub fn scheme(link: &[u8]) -> Option<&[u8]> {
    let end = link.iter().position(|byte| *byte == b':')?;
    let scheme = &link[..end];
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    (scheme.first()?.is_ascii_alphabetic() && scheme.iter().all(allowed)).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_begins_with_a_scheme() {
        for (link, found) in
            [("https://x/?a=b:c", "https"), ("mailto:a@b", "mailto"), ("X-y+z.1:", "X-y+z.1")]
        {
            assert_eq!(scheme(link.as_bytes()), Some(found.as_bytes()), "{link}");
        }
        for link in ["", "/etc/passwd", "x", ":x", "1x:y", "-x:y", "a b:c", "./a:b"] {
            assert_eq!(scheme(link.as_bytes()), None, "{link}");
        }
    }
}
