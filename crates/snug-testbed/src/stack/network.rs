//! What Incus and Snug leave in the host's network when their daemons go: bridges, rules of firewall and routing.

use std::fs;
use std::path::Path;

use crate::tool::Tool;

/// Incus keeps a directory for each network of its own.
const NETWORKS_DIR: &str = "/var/lib/incus/networks";

/// Bridges that Incus made and that exist now.
pub fn bridges() -> Vec<String> {
    let Ok(entries) = fs::read_dir(NETWORKS_DIR) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| Path::new("/sys/class/net").join(name).join("bridge").is_dir()).collect()
}

/// `snugd`'s rules of routing are known by that (`snugd::host::routing_rules::PROTOCOL`).
const PROTOCOL: &str = "83";

/// Snug's rules of routing, as `ip rule` shows them: priority, `from all to NETWORK iif BRIDGE …`.
pub fn rules() -> Vec<String> {
    let of = |family| {
        let shown = Tool::new("ip").args([family, "rule", "show"]).ok();
        // A host without IPv6 has no rules of it.
        shown.map(|output| output.text()).unwrap_or_default()
    };
    let all = [of("-4"), of("-6")].concat();
    let rules = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    // `show` of iproute2 6.1 heeds no protocol, unlike `flush`; the kernel's own rules are shown without one.
    rules.filter(|rule| rule.contains(&format!(" proto {PROTOCOL}"))).collect()
}

/// Those of them that belong to no bridge, or that a bridge has twice. One for each bridge stays, as the bridge does.
pub fn stray_rules() -> Vec<String> {
    let rules = rules();
    let bridge = |rule: &str| rule.split(" iif ").nth(1)?.split(' ').next().map(str::to_owned);
    let is_v6 = |rule: &str| rule.contains("::");
    let key = |rule: &String| (bridge(rule), is_v6(rule));
    let is_stray = |(at, rule): (usize, &String)| {
        let exists = bridge(rule).is_some_and(|bridge| Path::new("/sys/class/net").join(bridge).exists());
        !exists || rules[..at].iter().any(|earlier| key(earlier) == key(rule))
    };
    rules.iter().enumerate().filter(|it| is_stray(*it)).map(|(_, rule)| rule.clone()).collect()
}

/// Removes the bridges with Snug's rules for them, and Incus' firewall table; incusd makes bridges and table anew when it starts. Returns
/// what is left.
pub fn clean() -> Vec<String> {
    let mut left = Vec::new();
    for bridge in bridges() {
        if let Err(error) = Tool::new("ip").args(["link", "delete", "dev", &bridge]).ok() {
            left.push(format!("interface {bridge}: {error}"));
        }
    }
    for family in ["-4", "-6"] {
        // A host without IPv6 has no rules of it; what is left is found below.
        let _ = Tool::new("ip").args([family, "rule", "flush", "protocol", PROTOCOL]).run();
    }
    left.extend(rules().into_iter().map(|rule| format!("rule of routing {rule}")));
    for family in ["inet", "ip", "ip6"] {
        let table = [family, "incus"];
        if Tool::new("nft").args(["list", "table"]).args(table).succeeds()
            && let Err(error) = Tool::new("nft").args(["delete", "table"]).args(table).ok()
        {
            left.push(format!("nft table {family} incus: {error}"));
        }
    }
    left
}
