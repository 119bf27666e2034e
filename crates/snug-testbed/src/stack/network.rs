//! What Incus leaves in the host's network when its daemon goes: bridges, firewall rules.

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

/// Removes the bridges and Incus' firewall table; incusd makes both anew when it starts. Returns what is left.
pub fn clean() -> Vec<String> {
    let mut left = Vec::new();
    for bridge in bridges() {
        if let Err(error) = Tool::new("ip").args(["link", "delete", "dev", &bridge]).ok() {
            left.push(format!("interface {bridge}: {error}"));
        }
    }
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
