//! The texts of `hosts` and of the rule for sudo. Pure.

/// What our own lines of `/etc/hosts` end with.
const MARK: &str = "# snug";

/// Variables that name a proxy; curl and libwww read some in lower case alone (curl(1), "ENVIRONMENT").
const PROXIES: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// `/etc/hosts` in which the guest finds itself, so that sudo and Java ask no name server. Other lines stay.
pub fn hosts(text: &str, host_name: &str) -> String {
    let foreign: Vec<&str> = text.lines().filter(|line| !line.ends_with(MARK)).collect();
    let has_localhost = |address: &str| {
        foreign.iter().any(|line| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            words.next() == Some(address) && words.any(|word| word == "localhost")
        })
    };
    let mut ours = Vec::new();
    for (address, names) in [("127.0.0.1", "localhost"), ("::1", "localhost ip6-localhost ip6-loopback")] {
        if !has_localhost(address) {
            ours.push(format!("{address}\t{names}\t{MARK}"));
        }
    }
    // Debian's address for a host's own name; before all others, so that no older line wins.
    ours.push(format!("127.0.1.1\t{host_name}\t{MARK}"));
    ours.into_iter().chain(foreign.into_iter().map(str::to_owned)).map(|line| line + "\n").collect()
}

/// The rule that lets the owner become root without a password. By number: names from directory services hold
/// characters that mean something in sudoers(5).
pub fn sudoers(uid: u32) -> String {
    format!(
        "# The owner of this container is its administrator.\n\
         #{uid} ALL=(ALL:ALL) NOPASSWD: ALL\n\
         # `sudo apt-get` goes by the host's proxy, as what the owner starts does.\n\
         Defaults:#{uid} env_keep += \"{}\"\n",
        PROXIES.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_finds_itself_and_other_lines_stay() {
        let before = "127.0.0.1 localhost\n# mine\n10.0.0.1 db # not ours\n";
        let once = hosts(before, "tools");
        assert_eq!(
            once,
            "::1\tlocalhost ip6-localhost ip6-loopback\t# snug\n127.0.1.1\ttools\t# snug\n127.0.0.1 localhost\n# mine\n10.0.0.1 db # not ours\n"
        );
        assert_eq!(hosts(&once, "tools"), once);
        let renamed = hosts(&once, "dev");
        assert!(renamed.contains("dev") && !renamed.contains("tools"));
        assert!(hosts("", "x").contains("127.0.0.1\tlocalhost"));
    }
}
