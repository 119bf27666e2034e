//! From what does not work, and what there is of firewalls, to what a person is told. Pure.

use snug_wire::network::Fault;

use super::firewall::{Chain, Facts, Family, Hook};
use super::probe::Reach;

/// What was asked, and how far one got, from one network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The connection to somebody beyond the host, where the host knows anybody there.
    pub connection: Option<Reach>,
    /// The name servers of the guest; whether one is the host itself.
    pub names: Vec<(Reach, bool)>,
    /// The host's own name server on the bridge, whom DHCP shares the fate of.
    pub router: Reach,
}

impl Seen {
    /// All that can be asked answers.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.connection.is_none_or(|reach| reach == Reach::Answered)
            && (self.names.is_empty() || self.has_names())
            && self.router == Reach::Answered
    }

    fn has_names(&self) -> bool {
        self.names.iter().any(|(reach, _)| *reach == Reach::Answered)
    }
}

/// What the guest lacks and its host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Broken {
    /// Connections to others.
    pub connections: bool,
    /// Names.
    pub names: bool,
    /// An address: it has lost the one that it began with, and got none by DHCP.
    pub address: bool,
    /// What the guest sends through the host is lost.
    pub forward: bool,
    /// What the guest sends to the host is lost.
    pub input: bool,
}

impl Broken {
    /// A guest that has lost its address, on a bridge whose host does not hear it.
    pub const ADDRESS: Self =
        Self { connections: false, names: false, address: true, forward: false, input: true };

    /// By what both see. A host that is offline breaks nothing.
    #[must_use]
    pub fn of(guest: &Seen, host: &Seen) -> Option<Self> {
        let connections = guest.connection < host.connection;
        let worse = || guest.names.iter().zip(&host.names).filter(|(guest, host)| guest.0 < host.0);
        let names = !guest.has_names() && worse().next().is_some();
        let of_host = |wanted| names && worse().any(|(guest, _)| guest.1 == wanted);
        let broken = Self {
            connections,
            names,
            address: false,
            forward: connections || of_host(false),
            input: of_host(true) || (connections || names) && guest.router < host.router,
        };
        (connections || names).then_some(broken)
    }

    fn what(self) -> &'static str {
        if self.address {
            "the container has no address: the host does not hear its DHCP"
        } else if self.connections {
            "the container's connections do not get beyond this host"
        } else {
            "the container's questions for names are not answered"
        }
    }
}

/// Who drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause<'a> {
    NoForwarding,
    Docker { has_chain: bool },
    Firewalld,
    Ufw,
    Policy(&'a Chain),
    Unknown,
}

/// What a person is told of it, and the commands that mend it. Where several could be it, all are named: each may drop what another one
/// lets pass.
#[must_use]
pub fn explain(broken: Broken, bridge: &str, facts: &Facts) -> Fault {
    let causes = causes(broken, facts);
    let names: Vec<String> = causes.iter().map(|cause| cause.name()).collect();
    let text = format!("{}: {}", broken.what(), names.join(", or "));
    let hints = causes.iter().flat_map(|cause| cause.hints(broken, bridge, facts)).collect();
    Fault { text, hints }
}

fn causes(broken: Broken, facts: &Facts) -> Vec<Cause<'_>> {
    if broken.forward && !facts.forwards {
        return vec![Cause::NoForwarding];
    }
    let has = |test: &dyn Fn(&Chain) -> bool| facts.chains.iter().any(test);
    let is_iptables = |chain: &Chain| chain.family == Family::Ip && chain.table == "filter";
    let mut causes = Vec::new();
    let docker_chain = has(&|chain| is_iptables(chain) && chain.name == "DOCKER-USER");
    let forward_drops = has(&|chain| is_iptables(chain) && chain.hook == Some(Hook::Forward) && chain.drops);
    // Docker sets the policy of FORWARD to DROP (dockerd(8), `--ip-forward-no-drop`). That of the older iptables is not seen.
    if broken.forward && (docker_chain || facts.docker0) && (forward_drops || facts.legacy) {
        causes.push(Cause::Docker { has_chain: docker_chain || !forward_drops });
    }
    // Its own table, or with its older backend the chains of its zones.
    if has(&|chain| chain.table == "firewalld" || is_iptables(chain) && chain.name == "INPUT_ZONES") {
        causes.push(Cause::Firewalld);
    }
    if facts.ufw {
        causes.push(Cause::Ufw);
    }
    if causes.is_empty() {
        let hooks = [(broken.forward, Hook::Forward), (broken.input, Hook::Input)];
        let is_meant = |chain: &&Chain| {
            let on_way = hooks.iter().any(|(is_on_way, hook)| *is_on_way && chain.hook == Some(*hook));
            chain.family != Family::Other && chain.drops && on_way
        };
        causes.extend(facts.chains.iter().filter(is_meant).map(Cause::Policy));
    }
    if causes.is_empty() {
        causes.push(Cause::Unknown);
    }
    causes
}

impl Cause<'_> {
    fn name(self) -> String {
        match self {
            Self::NoForwarding => "it forwards nothing (net.ipv4.ip_forward is 0)".to_owned(),
            Self::Docker { .. } => "Docker's firewall rules drop what others send".to_owned(),
            Self::Firewalld => "firewalld drops what its zone for the bridge does not allow".to_owned(),
            Self::Ufw => "ufw drops what no rule of its allows".to_owned(),
            Self::Policy(chain) => {
                format!("the firewall's chain {} (nftables, policy drop) drops it", chain.name)
            }
            Self::Unknown => "a firewall rule of the host drops it".to_owned(),
        }
    }

    /// Each a line.
    fn hints(self, broken: Broken, bridge: &str, facts: &Facts) -> Vec<String> {
        match self {
            Self::NoForwarding => vec!["sudo sysctl -w net.ipv4.ip_forward=1".to_owned()],
            Self::Docker { has_chain } => {
                let chain = if has_chain { "DOCKER-USER" } else { "FORWARD" };
                let answers = "-m conntrack --ctstate RELATED,ESTABLISHED";
                vec![
                    format!(
                        "sudo iptables -I {chain} -i {bridge} -j ACCEPT && sudo iptables -I {chain} -o {bridge} {answers} -j ACCEPT"
                    ),
                    "these two rules are gone after a boot: have a unit set them after docker.service"
                        .to_owned(),
                ]
            }
            Self::Firewalld => vec![format!(
                "sudo firewall-cmd --permanent --zone=trusted --change-interface={bridge} && sudo firewall-cmd --reload"
            )],
            Self::Ufw => {
                let mut commands = Vec::new();
                if broken.input {
                    commands.push(format!("sudo ufw allow in on {bridge}"));
                }
                if broken.forward {
                    let ways = ["in", "out"].map(|way| format!("sudo ufw route allow {way} on {bridge}"));
                    commands.extend(ways);
                }
                vec![commands.join(" && ")]
            }
            Self::Policy(chain) => {
                let family = if chain.family == Family::Ip { "ip" } else { "inet" };
                let shown = format!("sudo nft list chain {family} {} {}", chain.table, chain.name);
                vec![format!("have it accept what the bridge {bridge} sends and gets; its rules: {shown}")]
            }
            Self::Unknown => {
                let shown = if facts.legacy { "sudo iptables-legacy-save" } else { "sudo nft list ruleset" };
                vec![format!("have it accept what the bridge {bridge} sends and gets; the rules: {shown}")]
            }
        }
    }
}

#[cfg(test)]
mod tests;
