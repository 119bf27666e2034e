//! What has to be done for containers to be as a list says: computed from what stands, without touching anything.

use std::collections::BTreeMap;

use serde::Serialize;
use snug_core::grant::GrantSet;
use snug_core::name::ContainerName;
use snug_exports::{ApplicationId, Command, Socket};

use super::grants::is_same;
use super::step::{Exported, Obstacle, Step};
use super::{Entry, List, is_it, is_there, name_of, word_of, word_of_socket};

/// All that is to be done, in this order, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is to be done.
    pub steps: Vec<Step>,
    /// What cannot be.
    pub obstacles: Vec<Obstacle>,
}

/// What there is of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// What it was made from, in its full spelling.
    pub image: String,
    /// What it was made as.
    pub preset: String,
    /// It goes when the command does that it was made for.
    pub temporary: bool,
    /// All that it has of the host.
    pub grants: GrantSet,
    /// By key.
    pub settings: BTreeMap<String, String>,
    /// Of the packages that the list names those that are installed, with their versions. `None` where it cannot be asked.
    pub installed: Option<BTreeMap<String, String>>,
    /// Packages that somebody has asked for.
    pub asked_for: Vec<String>,
    /// Commands that the host has of it.
    pub commands: Vec<Command>,
    /// Applications that the host's menus have of it.
    pub apps: Vec<ApplicationId>,
    /// Sockets that the host has of it.
    pub sockets: Vec<Socket>,
}

/// The plan. With `prune` what the list does not name goes: settings, packages and exports of its containers where it says something of
/// these, and containers. Of one that was made from another image nothing goes: another distribution's packages have other names.
pub fn plan(list: &List, standing: &BTreeMap<ContainerName, Standing>, prune: bool) -> Plan {
    let mut plan = Plan::default();
    let mut exports = Vec::new();
    let prunes = |container: &ContainerName, entry: &Entry| {
        prune && !standing.get(container).is_some_and(|there| is_of_another_image(entry, there))
    };
    // A name on the host may go from one container to another: first all are taken back.
    let nothing = Standing { installed: Some(BTreeMap::new()), ..Standing::default() };
    let (mut entries, mut others) = (Vec::new(), Vec::new());
    for (container, entry) in &list.containers {
        match in_the_way(container, entry, standing.get(container)) {
            Some(obstacle) => others.push(obstacle),
            None => entries.push((container, entry)),
        }
    }
    plan.obstacles = others;
    for &(container, entry) in &entries {
        let there = standing.get(container).unwrap_or(&nothing);
        let (unexport, export) = of_exports(container, entry, there, prunes(container, entry));
        plan.steps.extend(unexport);
        exports.extend(export);
    }
    for (container, entry) in entries {
        let prune = prunes(container, entry);
        match standing.get(container) {
            None => plan.steps.push(create(container, entry)),
            Some(there) => {
                plan.obstacles.extend(obstacles(container, entry, there));
                plan.steps.extend(of_settings(container, entry, there, prune));
            }
        }
        plan.steps.extend(of_packages(container, entry, standing.get(container).unwrap_or(&nothing), prune));
    }
    plan.steps.append(&mut exports);
    if prune {
        let others = standing.keys().filter(|container| !list.containers.contains_key(container));
        plan.steps.extend(others.map(|container| Step::Remove { container: container.clone() }));
    }
    plan
}

fn signed(added: &[String], left_out: &[String]) -> Vec<String> {
    let words = |sign: &'static str, words: &[String]| -> Vec<String> {
        words.iter().map(|word| format!("{sign}{word}")).collect()
    };
    [words("+", added), words("-", left_out)].concat()
}

fn create(container: &ContainerName, entry: &Entry) -> Step {
    Step::Create {
        container: container.clone(),
        image: entry.image.clone(),
        preset: entry.preset.clone(),
        grants: signed(&entry.added, &entry.left_out),
        settings: entry.settings.clone().unwrap_or_default(),
    }
}

/// What keeps everything of a container from being done.
fn in_the_way(container: &ContainerName, entry: &Entry, there: Option<&Standing>) -> Option<Obstacle> {
    match there {
        None => entry.unknown_preset.clone(),
        Some(there) if there.temporary => Some(Obstacle {
            container: container.clone(),
            text: format!("'{container}' is there already, and temporary: it goes when its `snug run --rm` ends"),
            hints: vec![
                "`snug apply` again makes it as the list says when that has ended; another name in the list makes one beside it"
                    .to_owned(),
            ],
        }),
        Some(_) => None,
    }
}

fn is_of_another_image(entry: &Entry, there: &Standing) -> bool {
    entry.has_image && entry.image != there.image
}

/// What only a new container could have.
fn obstacles(container: &ContainerName, entry: &Entry, there: &Standing) -> Vec<Obstacle> {
    let anew = || {
        vec![format!(
            "what is installed in '{container}' goes with it: `snug rm {container}`, and `snug apply` again makes it as the list says"
        )]
    };
    let mut obstacles = Vec::new();
    if is_of_another_image(entry, there) {
        let text = format!("'{container}' was made from {}, the list says {}", there.image, entry.image);
        obstacles.push(Obstacle { container: container.clone(), text, hints: anew() });
    }
    let has_other_grants = entry.has_grants && !is_same(&entry.grants, &there.grants);
    if let Some(unknown) = &entry.unknown_preset {
        // One that has it from the time when there was one is as the list says. Anew it would not be made.
        if entry.has_grants && (has_other_grants || there.preset != entry.preset) {
            obstacles.push(unknown.clone());
        }
    } else if has_other_grants {
        let missing = |one: &GrantSet, other: &GrantSet, sign: &str| -> Vec<String> {
            one.iter().filter(|grant| !other.contains(grant)).map(|grant| format!("{sign}{grant}")).collect()
        };
        let all =
            [missing(&entry.grants, &there.grants, "+"), missing(&there.grants, &entry.grants, "-")].concat();
        let text =
            format!("the grants of '{container}' cannot be changed yet; the list says {}", all.join(" "));
        obstacles.push(Obstacle { container: container.clone(), text, hints: anew() });
    }
    obstacles
}

fn of_settings(container: &ContainerName, entry: &Entry, there: &Standing, prune: bool) -> Vec<Step> {
    let Some(wanted) = &entry.settings else { return Vec::new() };
    let mut steps = Vec::new();
    let differs = |(key, value): &(&String, &String)| there.settings.get(*key) != Some(*value);
    let settings: BTreeMap<_, _> =
        wanted.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
    if !settings.is_empty() {
        steps.push(Step::Set { container: container.clone(), settings });
    }
    let settings: Vec<String> =
        there.settings.keys().filter(|key| prune && !wanted.contains_key(*key)).cloned().collect();
    if !settings.is_empty() {
        steps.push(Step::Unset { container: container.clone(), settings });
    }
    steps
}

fn of_packages(container: &ContainerName, entry: &Entry, there: &Standing, prune: bool) -> Vec<Step> {
    let (Some(wanted), Some(installed)) = (&entry.packages, &there.installed) else { return Vec::new() };
    let mut steps = Vec::new();
    let is_named = |name: &&String| wanted.iter().any(|package| name_of(package) == name.as_str());
    let packages: Vec<String> =
        there.asked_for.iter().filter(|name| prune && !is_named(name)).cloned().collect();
    if !packages.is_empty() {
        steps.push(Step::Uninstall { container: container.clone(), packages });
    }
    let is_missing = |package: &&String| match (installed.get(name_of(package)), package.split_once('=')) {
        (None, _) => true,
        (Some(version), Some((_, wanted))) => version != wanted,
        (Some(_), None) => false,
    };
    let packages: Vec<String> = wanted.iter().filter(is_missing).cloned().collect();
    if !packages.is_empty() {
        steps.push(Step::Install {
            container: container.clone(),
            packages,
            export: entry.exports.is_none() && entry.apps.is_none(),
        });
    }
    steps
}

/// What is taken back, and what the host gets.
fn of_exports(
    container: &ContainerName,
    entry: &Entry,
    there: &Standing,
    prune: bool,
) -> (Option<Step>, Option<Step>) {
    let (mut gone, mut missing) = (Exported::default(), Exported::default());
    if let Some(wanted) = &entry.exports {
        let in_the_way = |command: &Command| {
            wanted.iter().any(|wanted| wanted.name == command.name && !is_there(command, wanted))
        };
        let is_named = |command: &Command| wanted.iter().any(|wanted| is_it(command, wanted));
        let goes = |command: &&Command| in_the_way(command) || (prune && !is_named(command));
        gone.commands = there.commands.iter().filter(goes).map(|command| command.name.to_string()).collect();
        let is_missing =
            |wanted: &&snug_exports::Wanted| !there.commands.iter().any(|command| is_it(command, wanted));
        let word = |wanted: &snug_exports::Wanted| {
            if wanted.named { format!("{}={}", wanted.word, wanted.name) } else { wanted.word.clone() }
        };
        missing.commands = wanted.iter().filter(is_missing).map(word).collect();
    }
    if let Some(wanted) = &entry.apps {
        let without = |all: &[ApplicationId], others: &[ApplicationId]| {
            all.iter().filter(|id| !others.contains(id)).map(ToString::to_string).collect()
        };
        gone.applications = if prune { without(&there.apps, wanted) } else { Vec::new() };
        missing.applications = without(wanted, &there.apps);
    }
    if let Some(wanted) = &entry.sockets {
        let in_the_way = |socket: &Socket| {
            let is_half = |wanted: &Socket| (wanted.path == socket.path) != (wanted.name == socket.name);
            wanted.iter().any(is_half)
        };
        let goes = |socket: &&Socket| in_the_way(socket) || (prune && !wanted.contains(socket));
        gone.sockets = there.sockets.iter().filter(goes).map(|socket| socket.path.clone()).collect();
        missing.sockets =
            wanted.iter().filter(|socket| !there.sockets.contains(socket)).map(word_of_socket).collect();
    }
    let unexport = |what| Step::Unexport { container: container.clone(), what };
    let export = |what| Step::Export { container: container.clone(), what };
    ((!gone.is_empty()).then(|| unexport(gone)), (!missing.is_empty()).then(|| export(missing)))
}

/// Words of what the host has of a container, in their order.
pub fn words_of(commands: &[Command], sockets: &[Socket]) -> (Vec<String>, Vec<String>) {
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    (sorted(commands.iter().map(word_of).collect()), sorted(sockets.iter().map(word_of_socket).collect()))
}

#[cfg(test)]
mod tests {
    use snug_core::config::Config;

    use super::super::read::read;
    use super::*;

    fn command(name: &str, path: &str) -> Command {
        Command::new(name.parse().unwrap(), "tools".parse().unwrap(), path.to_owned()).unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// An integrated container with ripgrep, jq and what the host has of them.
    fn tools() -> Standing {
        let config = Config::built_in();
        Standing {
            image: "images:debian/13".into(),
            preset: "integrated".into(),
            temporary: false,
            grants: super::super::grants::resolve(&config, "integrated", &Default::default()).unwrap(),
            settings: pairs(&[("memory", "4GiB"), ("cpu", "2")]),
            installed: Some(pairs(&[("ripgrep", "14.1"), ("jq", "1.7")])),
            asked_for: vec!["jq".into(), "ripgrep".into()],
            commands: vec![command("rg", "/usr/bin/rg"), command("jq", "/usr/bin/jq")],
            apps: vec!["org.x.Tool".parse().unwrap()],
            sockets: vec![Socket::parse("tools".parse().unwrap(), "/run/docker.sock").unwrap()],
        }
    }

    fn planned(text: &str, standing: &[(&str, Standing)], prune: bool) -> (Vec<String>, Vec<String>) {
        let list = read(text, &Config::built_in()).unwrap();
        let standing = standing.iter().map(|(name, there)| (name.parse().unwrap(), there.clone())).collect();
        let plan = plan(&list, &standing, prune);
        let obstacles = plan.obstacles.iter().map(|obstacle| obstacle.text.clone()).collect();
        (plan.steps.iter().map(Step::to_string).collect(), obstacles)
    }

    #[test]
    fn what_is_missing_is_done_and_nothing_else() {
        for (list, prune, steps) in [
            ("[container.tools]", false, &[][..]),
            ("[container.tools]\npackages = ['jq']", false, &[]),
            (
                "[container.tools]\npackages = ['jq=1.7', 'ripgrep=14']",
                false,
                &["install in 'tools': ripgrep=14"],
            ),
            ("[container.tools]\npackages = ['fd-find', 'jq']", false, &["install in 'tools': fd-find"]),
            ("[container.tools]\nexports = ['rg']", false, &[]),
            (
                "[container.tools]\nexports = ['rg=grep', '/opt/jq']",
                false,
                &["unexport from 'tools': jq", "export from 'tools': rg=grep, /opt/jq"],
            ),
            ("[container.tools]\napps = ['org.x.Tool']", true, &[]),
            (
                "[container.tools]\napps = ['b']",
                true,
                &["unexport from 'tools': org.x.Tool", "export from 'tools': b"],
            ),
            (
                "[container.tools]\nsockets = ['/run/docker.sock=d']",
                false,
                &["unexport from 'tools': /run/docker.sock", "export from 'tools': /run/docker.sock=d"],
            ),
            (
                "[container.tools]\nsettings = { memory = '8GiB', cpu = 2 }",
                false,
                &["set in 'tools': memory=8GiB"],
            ),
            // Of what the list says nothing nothing goes.
            ("[container.tools]", true, &[]),
            (
                "[container.tools]\npackages = ['jq']\nexports = ['jq']\nsockets = []\nsettings = { cpu = 2 }",
                true,
                &[
                    "unexport from 'tools': rg, /run/docker.sock",
                    "unset in 'tools': memory",
                    "uninstall in 'tools': ripgrep",
                ],
            ),
            (
                "[container.new]\nimage = 'alpine'\ngrants = ['+kvm', '-gpu']\nsettings = { cpu = 1 }\npackages = ['jq']\nexports = ['jq']",
                false,
                &[
                    "create 'new' from images:alpine/3.22: integrated +kvm -gpu cpu=1",
                    "install in 'new': jq",
                    "export from 'new': jq",
                ],
            ),
            (
                "[container.new]",
                true,
                &[
                    "create 'new' from images:debian/13: integrated",
                    "remove 'tools', with everything that was installed in it",
                ],
            ),
        ] {
            assert_eq!(
                planned(list, &[("tools", tools())], prune),
                (steps.iter().map(|step| (*step).to_owned()).collect(), Vec::new()),
                "{list} {prune}"
            );
        }
    }

    #[test]
    fn a_command_may_go_from_one_container_to_another() {
        let text = "[container.new]\nexports = ['rg']\n[container.tools]\nexports = []";
        let (steps, _) = planned(
            text,
            &[
                ("tools", tools()),
                ("new", Standing { commands: vec![], apps: vec![], sockets: vec![], ..tools() }),
            ],
            true,
        );
        assert_eq!(steps, ["unexport from 'tools': rg, jq", "export from 'new': rg"]);
    }

    #[test]
    fn what_only_a_new_container_could_have_is_named() {
        let there = [("tools", tools())];
        let obstacles = |list: &str| planned(list, &there, true).1;
        assert_eq!(
            obstacles("[container.tools]\nimage = 'debian:12'"),
            ["'tools' was made from images:debian/13, the list says images:debian/12"]
        );
        assert_eq!(
            obstacles("[container.tools]\ngrants = ['+kvm', '-gpu']"),
            ["the grants of 'tools' cannot be changed yet; the list says +kvm -gpu"]
        );
        assert_eq!(obstacles("[container.tools]\npreset = 'integrated'\nimage = 'debian:13'"), [""; 0]);
        assert!(obstacles("[container.tools]\npreset = 'isolated'")[0].contains("+home=private"));
    }

    #[test]
    fn one_of_a_preset_that_is_gone_is_as_the_list_says_and_no_new_one_is_made() {
        let there =
            Standing { preset: "work".into(), grants: GrantSet::parse(["gpu", "home"]).unwrap(), ..tools() };
        let list = |rest: &str| format!("[container.tools]\npreset = 'work'\n{rest}");
        let dumped = list("grants = ['+home', '+gpu']\npackages = ['fd-find']");
        let (steps, obstacles) = planned(&dumped, &[("tools", there.clone())], false);
        assert_eq!((steps, obstacles), (vec!["install in 'tools': fd-find".to_owned()], Vec::new()));
        // Other grants, or another preset that is misspelled.
        for (text, there) in [
            (list("grants = ['+kvm']"), &there),
            (list(""), &there),
            (dumped.clone(), &Standing { preset: "integrated".into(), ..there.clone() }),
        ] {
            let (steps, obstacles) = planned(&text, &[("tools", there.clone())], false);
            assert!(obstacles.len() == 1 && obstacles[0].ends_with("there is no preset 'work'"), "{text}");
            assert!(!steps.iter().any(|step| step.contains("create")), "{steps:?}");
        }
        // A new one; of the others all is done.
        let (steps, obstacles) = planned(&format!("{dumped}\n[container.new]"), &[], false);
        assert_eq!(steps, ["create 'new' from images:debian/13: integrated"]);
        assert_eq!(obstacles, ["'tools' cannot be made as the list says: there is no preset 'work'"]);
    }

    #[test]
    fn a_temporary_container_of_that_name_is_in_the_way() {
        let there = Standing { temporary: true, ..tools() };
        let text = "[container.tools]\nimage = 'fedora:43'\npackages = ['x']\nexports = []\nsettings = { cpu = 1 }\n[container.web]";
        let (steps, obstacles) = planned(text, &[("tools", there)], true);
        assert_eq!(steps, ["create 'web' from images:debian/13: integrated"]);
        assert!(obstacles.len() == 1 && obstacles[0].contains("temporary"), "{obstacles:?}");
    }

    #[test]
    fn of_a_container_of_another_distribution_nothing_goes() {
        let text = "[container.tools]\nimage = 'fedora:43'\npackages = ['jq', 'ShellCheck']\nexports = ['jq']\nsockets = []\napps = []\nsettings = { cpu = 4 }";
        let (steps, obstacles) = planned(text, &[("tools", tools())], true);
        assert_eq!(steps, ["set in 'tools': cpu=4", "install in 'tools': ShellCheck"]);
        assert_eq!(obstacles.len(), 1);
    }

    #[test]
    fn one_that_cannot_be_asked_keeps_its_packages() {
        let silent = Standing { installed: None, ..tools() };
        assert_eq!(planned("[container.tools]\npackages = []", &[("tools", silent)], true).0, [""; 0]);
    }
}
