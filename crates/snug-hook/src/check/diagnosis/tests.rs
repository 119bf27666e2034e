use super::*;
use Reach::{Answered, Refused, Silent};

fn seen(connection: Option<Reach>, names: &[(Reach, bool)], router: Reach) -> Seen {
    Seen { connection, names: names.to_vec(), router }
}

#[test]
fn only_what_the_host_has_and_the_guest_lacks_is_broken() {
    let well = seen(Some(Answered), &[(Answered, false)], Answered);
    let offline = seen(Some(Silent), &[(Silent, false)], Answered);
    let forward = Broken { connections: true, names: true, forward: true, ..Broken::default() };
    let connections = Broken { names: false, ..forward };
    for (what, guest, host, wanted) in [
        ("all is well", &well, &well, None),
        ("both are offline", &offline, &offline, None),
        ("the host came online", &well, &offline, None),
        ("nothing is forwarded", &offline, &well, Some(forward)),
        ("a rule refuses", &seen(Some(Refused), &[(Refused, false)], Answered), &well, Some(forward)),
        (
            "nobody listens there",
            &seen(Some(Refused), &[], Answered),
            &seen(Some(Refused), &[], Answered),
            None,
        ),
        (
            "one of two servers is enough",
            &seen(None, &[(Silent, false), (Answered, false)], Answered),
            &seen(None, &[(Answered, false), (Answered, false)], Answered),
            None,
        ),
        (
            "names go, connections do not",
            &seen(Some(Silent), &[(Answered, true)], Answered),
            &seen(Some(Answered), &[(Answered, true)], Answered),
            Some(connections),
        ),
        (
            "the host does not hear the guest's questions",
            &seen(Some(Answered), &[(Silent, true)], Silent),
            &seen(Some(Answered), &[(Answered, true)], Answered),
            Some(Broken { names: true, input: true, ..Broken::default() }),
        ),
        (
            "nothing goes through or in",
            &seen(Some(Silent), &[(Silent, false)], Silent),
            &well,
            Some(Broken { input: true, ..forward }),
        ),
        ("only DHCP may be concerned", &seen(Some(Answered), &[(Answered, false)], Silent), &well, None),
        ("nobody to ask", &seen(None, &[], Answered), &seen(None, &[], Answered), None),
    ] {
        // Nothing is dropped in the guest.
        assert_eq!(Broken::of(guest, guest, host), wanted, "{what}");
    }
    assert!(well.is_well() && !offline.is_well());
    assert!(!seen(Some(Answered), &[(Answered, false)], Refused).is_well());
}

#[test]
fn what_the_guest_drops_itself_is_not_the_hosts_doing() {
    let well = seen(Some(Answered), &[(Answered, false)], Answered);
    let nothing = seen(Some(Silent), &[(Silent, false)], Silent);
    let no_names = seen(Some(Answered), &[(Silent, false)], Silent);
    let not_through = seen(Some(Silent), &[(Answered, false)], Answered);
    let own = Broken { connections: true, names: true, ..Broken::default() };
    for (what, guest, passed, wanted) in [
        ("all of it", &nothing, &well, own),
        ("its questions for names", &no_names, &well, Broken { connections: false, ..own }),
        (
            "its names, and the host its connections",
            &nothing,
            &not_through,
            Broken { names: false, forward: true, ..own },
        ),
    ] {
        let broken = Broken::of(guest, passed, &well).unwrap();
        assert_eq!(broken, wanted, "{what}");
        let everything = Facts { ufw: true, docker0: true, ..Facts::default() };
        let fault = explain(broken, "br", &everything);
        assert_eq!(fault.text.contains("the container itself drops them"), broken.is_own(), "{fault:?}");
        assert_eq!(!fault.hints.iter().any(|hint| hint.contains("sudo")), broken.is_own(), "{fault:?}");
    }
}

#[test]
fn what_cannot_be_said_takes_nothing_back() {
    let well = seen(Some(Answered), &[(Answered, false)], Answered);
    let deaf = Seen { router: Silent, ..well.clone() };
    let away = seen(Some(Silent), &[(Silent, false)], Silent);
    let heard = |guest: &Seen, passed: &Seen| Heard {
        guest: guest.clone(),
        passed: Some(passed.clone()),
        host: well.clone(),
    };
    let lost = Heard { passed: None, ..heard(&deaf, &deaf) };
    let broken = Broken::of(&away, &away, &well).unwrap();
    let told = Next::Told;
    for (what, heard, (was_changed, is_over), before, wanted, after) in [
        ("all is well", heard(&well, &well), (false, false), false, told(Found::Well), false),
        ("it is heard again", heard(&well, &well), (false, true), true, told(Found::Well), false),
        ("it is not heard", heard(&deaf, &deaf), (false, false), false, Next::Wait, true),
        ("it has booted so", heard(&deaf, &deaf), (false, true), false, told(Found::Well), true),
        (
            "its own rules do not let it ask",
            heard(&deaf, &well),
            (false, false),
            false,
            told(Found::Well),
            false,
        ),
        ("its address went meanwhile", heard(&away, &deaf), (true, false), false, Next::Again, true),
        ("as before", heard(&away, &well), (true, false), true, Next::Again, true),
        ("it changes without end", heard(&well, &well), (true, true), false, told(Found::Unknown), false),
        ("too much has passed", lost, (false, false), true, told(Found::Unknown), true),
        ("cut off", heard(&away, &away), (false, true), false, told(Found::Broken(broken)), true),
    ] {
        let mut is_unheard = before;
        assert_eq!(judge(&heard, was_changed, is_over, &mut is_unheard), wanted, "{what}");
        assert_eq!(is_unheard, after, "{what}");
    }
    assert_eq!(Found::without_way_out(true), Found::Broken(Broken::ADDRESS));
    assert_eq!(Found::without_way_out(false), Found::Unknown);
}

fn chain(family: Family, table: &str, name: &str, hook: Option<Hook>, drops: bool) -> Chain {
    Chain { family, table: table.into(), name: name.into(), hook, drops }
}

fn facts(chains: &[&Chain]) -> Facts {
    Facts { forwards: true, chains: chains.iter().copied().cloned().collect(), ..Facts::default() }
}

const FORWARD: Broken =
    Broken { connections: true, names: true, address: false, forward: true, input: false };

#[test]
fn who_drops_it_is_named_with_what_mends_it() {
    let forward = chain(Family::Ip, "filter", "FORWARD", Some(Hook::Forward), true);
    let user = chain(Family::Ip, "filter", "DOCKER-USER", None, false);
    let zones = chain(Family::Inet, "firewalld", "filter_FORWARD", Some(Hook::Forward), false);
    let own = chain(Family::Inet, "mine", "route", Some(Hook::Forward), true);
    let input = chain(Family::Inet, "mine", "in", Some(Hook::Input), true);
    let bridge = chain(Family::Other, "filter", "FORWARD", Some(Hook::Forward), true);
    let with = |of: Facts, change: &dyn Fn(&mut Facts)| {
        let mut of = of;
        change(&mut of);
        of
    };
    let ufw: &dyn Fn(&mut Facts) = &|of| of.ufw = true;
    let docker0: &dyn Fn(&mut Facts) = &|of| of.docker0 = true;
    let both = Broken { input: true, ..FORWARD };
    for (broken, facts, cause, hint) in [
        (FORWARD, facts(&[&forward, &user]), "Docker", "-I DOCKER-USER -i br -j ACCEPT && "),
        (FORWARD, with(facts(&[&forward]), docker0), "Docker", "-I FORWARD -o br -m conntrack"),
        (
            FORWARD,
            with(facts(&[]), &|of| (of.docker0, of.legacy) = (true, true)),
            "Docker",
            "-I DOCKER-USER -i br",
        ),
        // Docker's policy is not in the way where there is none.
        (FORWARD, facts(&[&user]), "a firewall rule", "sudo nft list ruleset"),
        (FORWARD, with(facts(&[]), &|of| of.legacy = true), "a firewall rule", "iptables-legacy-save"),
        (FORWARD, facts(&[&zones]), "firewalld", "--zone=snug --add-interface=br"),
        (
            both,
            facts(&[&zones]),
            "firewalld",
            "--policy=snug-out --set-target=ACCEPT && sudo firewall-cmd --reload",
        ),
        (FORWARD, with(facts(&[&forward]), ufw), "ufw", "sudo ufw route allow in on br"),
        (both, with(facts(&[]), ufw), "ufw", " to any port 53 && sudo ufw route allow in on br"),
        (
            Broken::ADDRESS,
            with(facts(&[&forward, &user]), ufw),
            "DHCP: ufw",
            "on br to any port 67 proto udp && ",
        ),
        (Broken::ADDRESS, facts(&[&forward, &user]), "DHCP: a firewall rule", "nft list ruleset"),
        (Broken::ADDRESS, facts(&[&input]), "chain in ", "nft list chain inet mine in"),
        (FORWARD, facts(&[&own, &input]), "chain route ", "nft list chain inet mine route"),
        (FORWARD, facts(&[&bridge]), "a firewall rule", "nft list ruleset"),
        (
            FORWARD,
            with(facts(&[&forward, &user]), &|of| of.forwards = false),
            "net.ipv4.ip_forward is 0",
            "sudo sysctl -w net.ipv4.ip_forward=1",
        ),
    ] {
        let fault = explain(broken, "br", &facts);
        assert!(fault.text.contains(cause), "{cause}: {fault:?}");
        assert!(fault.hints.iter().any(|line| line.contains(hint)), "{hint}: {fault:?}");
        let is_wide = |line: &String| {
            let all_in = line.split(" && ").any(|command| command == "sudo ufw allow in on br");
            all_in || line.contains("trusted") || line.contains("zone=public")
        };
        assert!(!fault.hints.iter().any(is_wide), "it opens all of the host: {fault:?}");
    }
}

#[test]
fn where_two_may_drop_it_both_are_named() {
    let forward = chain(Family::Ip, "filter", "FORWARD", Some(Hook::Forward), true);
    let user = chain(Family::Ip, "filter", "DOCKER-USER", None, false);
    let facts = Facts { ufw: true, ..facts(&[&forward, &user]) };
    let fault = explain(FORWARD, "br", &facts);
    assert_eq!(
        fault.text,
        "the container's connections do not get beyond this host: Docker's firewall rules may drop what others send, or \
         ufw may drop what no rule of its allows"
    );
    assert!(fault.hints.iter().any(|line| line.contains("DOCKER-USER")));
    assert!(fault.hints.iter().any(|line| line == "sudo ufw route allow in on br"));
}
