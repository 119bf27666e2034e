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

    /// By what the guest and its host see. A host that is offline breaks nothing. What is the guest's own doing is known by how far its
    /// questions got on the host, and not by what the guest sees: its own rules are in the way of that.
    #[must_use]
    pub fn of(guest: &Seen, passed: &Seen, host: &Seen) -> Option<Self> {
        let lacks = Self::lacking(guest, host)?;
        Some(Self::lacking(passed, host).unwrap_or(Self { forward: false, input: false, ..lacks }))
    }

    fn lacking(guest: &Seen, host: &Seen) -> Option<Self> {
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

    /// Nothing is lost on the host.
    #[must_use]
    pub fn is_own(self) -> bool {
        !self.forward && !self.input
    }

    fn what(self) -> &'static str {
        match self {
            Self { address: true, .. } => "the container has no address: the host does not hear its DHCP",
            _ if self.is_own() && self.connections => "the container's connections do not get anywhere",
            Self { connections: true, .. } => "the container's connections do not get beyond this host",
            _ => "the container's questions for names are not answered",
        }
    }

    /// What the host has to let pass.
    fn needed(self, bridge: &str) -> String {
        let services = self.input.then(|| format!("DHCP and DNS from {bridge} (UDP 67, UDP and TCP 53)"));
        let others = self.forward.then(|| format!("what {bridge} sends to others, and the answers"));
        let all: Vec<String> = services.into_iter().chain(others).collect();
        format!("have it accept {}", all.join(", and "))
    }
}

/// How a look came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The guest gets what its host gets.
    Well,
    /// It does not.
    Broken(Broken),
    /// Nothing can be said: what was said before holds.
    Unknown,
    /// The guest has ended.
    Ended,
}

impl Found {
    /// Of a guest that was waited for, and has no way out. Where it is not unheard that is of its own doing, as far as it can be seen from
    /// the host.
    #[must_use]
    pub fn without_way_out(is_unheard: bool) -> Self {
        if is_unheard { Self::Broken(Broken::ADDRESS) } else { Self::Unknown }
    }
}

/// What a guest sees, what its host let pass of that, and what the host sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The guest.
    pub guest: Seen,
    /// How far the guest's questions got on the host, as answered where that is not of the host's doing; `None` where that was not seen.
    pub passed: Option<Seen>,
    /// The host.
    pub host: Seen,
}

/// What comes after one asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is known.
    Told(Found),
    /// The guest's network has changed meanwhile: ask again.
    Again,
    /// The guest goes on with the address that it was given, until its DHCP client takes that away: wait for that.
    Wait,
}

/// Whether it is known now; `is_unheard` is whether the host does not hear the guest on the bridge, and is brought up to date. What was asked
/// while the guest had no address says nothing.
#[must_use]
pub fn judge(heard: &Heard, was_changed: bool, is_over: bool, is_unheard: &mut bool) -> Next {
    let Some(passed) = &heard.passed else { return Next::Told(Found::Unknown) };
    // Also where its DHCP client has taken the address away meanwhile: who is heard is answered at once.
    let is_lost = passed.router < heard.host.router;
    *is_unheard = is_lost || *is_unheard && heard.guest.router != Reach::Answered;
    if was_changed {
        return if is_over { Next::Told(Found::Unknown) } else { Next::Again };
    }
    match Broken::of(&heard.guest, passed, &heard.host) {
        Some(broken) => Next::Told(Found::Broken(broken)),
        None if *is_unheard && !is_over => Next::Wait,
        None => Next::Told(Found::Well),
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
    if broken.is_own() {
        let text = format!("{}: the container itself drops them, not this host", broken.what());
        return Fault { text, hints: vec!["look at the container's own firewall rules".to_owned()] };
    }
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
            Self::NoForwarding => "this host forwards nothing (net.ipv4.ip_forward is 0)".to_owned(),
            Self::Docker { .. } => "Docker's firewall rules may drop what others send".to_owned(),
            Self::Firewalld => "firewalld may drop what its zone for the bridge does not allow".to_owned(),
            Self::Ufw => "ufw may drop what no rule of its allows".to_owned(),
            Self::Policy(chain) => {
                format!("the firewall's chain {} (nftables, policy drop) may drop it", chain.name)
            }
            Self::Unknown => "a firewall rule of the host may drop it".to_owned(),
        }
    }

    /// Each a line. A command allows what a guest behind the bridge needs and no more: DHCP and names of the host, connections to others.
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
            Self::Firewalld => firewalld(bridge),
            Self::Ufw => {
                let mut commands = Vec::new();
                if broken.input {
                    let allow = format!("sudo ufw allow in on {bridge} to any port");
                    commands.extend([format!("{allow} 67 proto udp"), format!("{allow} 53")]);
                }
                // Answers pass by a rule of its own (`ufw-before-forward`).
                if broken.forward {
                    commands.push(format!("sudo ufw route allow in on {bridge}"));
                }
                vec![commands.join(" && ")]
            }
            Self::Policy(chain) => {
                let family = if chain.family == Family::Ip { "ip" } else { "inet" };
                let shown = format!("sudo nft list chain {family} {} {}", chain.table, chain.name);
                vec![format!("{}; its rules: {shown}", broken.needed(bridge))]
            }
            Self::Unknown => {
                let shown = if facts.legacy { "sudo iptables-legacy-save" } else { "sudo nft list ruleset" };
                vec![format!("{}; the rules: {shown}", broken.needed(bridge))]
            }
        }
    }
}

/// A zone for the bridge alone, since it is in that of all interfaces without one, and a policy from there to others (firewalld.policies(5),
/// since 0.9). `firewall-cmd` takes one kind of change at a time.
fn firewalld(bridge: &str) -> Vec<String> {
    // The names must differ.
    let line = |object: &str, name: &str, changes: &[&str]| {
        let command = "sudo firewall-cmd --permanent";
        let made = format!("{command} --new-{object}={name}");
        let changes = changes.iter().map(|change| format!("{command} --{object}={name} {change}"));
        std::iter::once(made).chain(changes).collect::<Vec<_>>().join(" && ")
    };
    let interface = format!("--add-interface={bridge}");
    let policy = ["--add-ingress-zone=snug", "--add-egress-zone=ANY", "--set-target=ACCEPT"];
    vec![
        line("zone", "snug", &["--add-service=dhcp --add-service=dns", &interface]),
        format!("{} && sudo firewall-cmd --reload", line("policy", "snug-out", &policy)),
    ]
}

#[cfg(test)]
mod tests;
