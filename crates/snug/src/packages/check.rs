//! Whether a guest is well, and what of its owner's runs in it.

use std::thread;
use std::time::Duration;

use snug_core::name::ContainerName;
use snug_packages::command::CommandLine;
use snug_packages::read::printable;

use super::guest::{Guest, ask_within};
use crate::context::Context;
use crate::error::CommandError;

/// How long a guest may take to boot and to answer: what systemd gives a unit (`DefaultTimeoutStartSec=`, systemd-system.conf(5)).
const PATIENCE: Duration = Duration::from_secs(90);
/// Whoever is still there at the last of so many looks, so far apart, is at work.
const LOOKS: u32 = 4;
const APART: Duration = Duration::from_millis(250);
/// Names of programs that are told.
const TOLD: usize = 5;
/// Characters of a guest's word.
const LONGEST: usize = 40;

/// The first process, whether there is one for the next start, and what systemd says of itself (systemctl(1), `is-system-running`).
///
/// With the word `booted` it is waited for the end of the boot, as long as a minute: one that takes longer is not taken for a failure.
const HEALTH: &str = r#"read -r name < /proc/1/comm && printf '%s\n' "$name"
if [ -x /sbin/init ]; then echo yes; else echo no; fi
state=
[ "$1" = booted ] && state=$(timeout 60 systemctl is-system-running --wait 2>/dev/null)
printf '%s\n' "${state:-$(systemctl is-system-running 2>/dev/null)}"
exit 0"#;

/// This process's control group, and number, user, group and name of each process. Nothing is started for it.
const PROCESSES: &str = r#"own=
while read -r line; do case $line in 0::*) own=${line#0::} ;; esac; done < /proc/self/cgroup
printf '%s\n' "$own"
for place in /proc/[0-9]*; do
  user= group= name=
  [ "${place#/proc/}" = $$ ] && continue
  while read -r key value rest; do case $key in Uid:) user=$value; break ;; esac; done 2>/dev/null < "$place/status" || continue
  while read -r line; do case $line in 0::*) group=${line#0::} ;; esac; done 2>/dev/null < "$place/cgroup" || continue
  read -r name 2>/dev/null < "$place/comm" || continue
  printf '%s %s %s\n' "$user" "${group:-/}" "$name"
done
exit 0"#;

/// What a guest says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The name of its first process.
    init: String,
    /// It has one to start with.
    has_init: bool,
    /// What systemd says; empty where there is none.
    state: String,
}

impl Health {
    fn read(output: &[u8]) -> Self {
        let mut lines = output.split(|byte| *byte == b'\n').map(|line| printable(line, LONGEST));
        let mut next = || lines.next().unwrap_or_default();
        Self { init: next(), has_init: next() == "yes", state: next() }
    }

    /// What is worse than it was before.
    pub fn worse_than(&self, before: &Self) -> Option<String> {
        // A unit may have failed before; one that still starts is no failure (systemctl(1)).
        let is_up = |state: &str| ["initializing", "starting", "running", "degraded"].contains(&state);
        if self.init != before.init {
            return Some(format!("its first process is {}, which was {}", self.init, before.init));
        }
        if before.has_init && !self.has_init {
            return Some("it has no /sbin/init any more".to_owned());
        }
        let fell = is_up(&before.state) && !is_up(&self.state);
        fell.then(|| format!("its systemd is '{}', and was '{}'", self.state, before.state))
    }
}

impl Guest<'_> {
    /// How it is: when it has booted far enough for commands, and one has run.
    ///
    /// # Errors
    /// None does, or it takes too long.
    pub fn health(&self) -> Result<Health, CommandError> {
        Ok(Health::read(&self.said_by(HEALTH, "now")?))
    }

    /// The same at the end of its boot.
    ///
    /// # Errors
    /// As of [`Self::health`].
    pub fn health_when_booted(&self) -> Result<Health, CommandError> {
        Ok(Health::read(&self.said_by(HEALTH, "booted")?))
    }

    /// Programs that its owner has in it, by their names: what a restart would end, and not bring back.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn programs(&self) -> Result<Vec<String>, CommandError> {
        programs_in(self.context, self.container)
    }

    fn said_by(&self, script: &str, word: &str) -> Result<Vec<u8>, CommandError> {
        said_by(self.context, self.container, script, word)
    }
}

/// [`Guest::programs`] of a container whose package manager does not matter.
///
/// # Errors
/// It cannot be asked.
pub fn programs_in(context: &Context, container: &ContainerName) -> Result<Vec<String>, CommandError> {
    let mut looks = 1;
    loop {
        let found = programs(&said_by(context, container, PROCESSES, "now")?, context.uid().0);
        if found.is_empty() || looks == LOOKS {
            return Ok(found);
        }
        // What was asked just before may be seen as it ends, and a guest that has just started as it starts.
        looks += 1;
        thread::sleep(APART);
    }
}

fn said_by(
    context: &Context,
    container: &ContainerName,
    script: &str,
    word: &str,
) -> Result<Vec<u8>, CommandError> {
    let argv = ["/bin/sh", "-c", script, "sh", word].map(Into::into).into();
    let line = CommandLine { argv, environment: &[("LC_ALL", "C.UTF-8")], as_root: true };
    let output = ask_within(context, container, &line, PATIENCE)?;
    if output.status == 0 {
        return Ok(output.stdout);
    }
    let text = format!("no command runs in {container} (status {})", output.status);
    Err(CommandError::failed(text))
}

/// `a, b and others`.
pub fn listed(programs: &[String]) -> String {
    let shown = programs.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    if programs.len() > TOLD { format!("{shown} and others") } else { shown }
}

fn programs(output: &[u8], owner: u32) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.lines();
    let own = lines.next().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let (Some(user), Some(group), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let is_own = group == own && group != "/";
        let name = printable(name.as_bytes(), LONGEST);
        if !is_own && is_of_owner(user.parse() == Ok(owner), group, &name) && !names.contains(&name) {
            names.push(name);
        }
        if names.len() > TOLD {
            break;
        }
    }
    names
}

/// Whether a process is one that nobody starts again after a restart. Services of the guest are started again; whatever is not known to be
/// one is the owner's: commands (`snug_exec::cgroup`), sessions and containers in scopes of their own, units of his service manager.
fn is_of_owner(is_owners: bool, group: &str, name: &str) -> bool {
    let unit = group.rsplit('/').next().unwrap_or_default();
    if group.starts_with("/snug-agent") {
        return group.starts_with("/snug-agent/commands/");
    }
    if group.contains("/user@") {
        // The manager itself, its bus and what that has started.
        return unit != "init.scope" && !unit.starts_with("dbus");
    }
    match unit {
        "init.scope" => false,
        // Where there are no groups, or none of version 2.
        "" => is_owners && !name.starts_with("snug-"),
        _ if unit.ends_with(".scope") => true,
        _ => !["/system.slice/", "/openrc"].iter().any(|place| group.starts_with(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_worse_where_its_init_is_another_or_missing_or_gave_up() {
        let health = |text: &str| Health::read(text.as_bytes());
        let well = health("systemd\nyes\ndegraded\n");
        for (after, what) in [
            ("systemd\nyes\nrunning\n", None),
            ("systemd\nyes\nstarting\n", None),
            ("systemd\nno\nrunning\n", Some("/sbin/init")),
            ("snug-agent\nyes\n\n", Some("was systemd")),
            ("systemd\nyes\nmaintenance\n", Some("'maintenance'")),
            ("systemd\nyes\n", Some("was 'degraded'")),
            ("", Some("first process")),
            ("\x1b[2J\nyes\nrunning\n", Some("first process")),
        ] {
            let worse = health(after).worse_than(&well);
            assert_eq!(worse.is_some(), what.is_some(), "{after:?}: {worse:?}");
            let worse = worse.unwrap_or_default();
            assert!(worse.contains(what.unwrap_or_default()) && !worse.contains('\x1b'), "{worse}");
        }
        // What was not well before is no reason.
        assert_eq!(
            health("systemd\nyes\nmaintenance\n").worse_than(&health("systemd\nyes\nmaintenance\n")),
            None
        );
        let other = health("init\nyes\noffline\n");
        assert_eq!(health("init\nyes\n\n").worse_than(&other), None);
    }

    #[test]
    fn what_a_restart_would_not_bring_back_is_the_owners() {
        let processes = b"/snug-agent/commands/7\n\
            0 /snug-agent/commands/7 sh\n\
            0 / systemd\n\
            0 /init.scope systemd\n\
            0 /system.slice/cron.service cron\n\
            1000 /system.slice/sync.service syncthing\n\
            0 /snug-agent.slice/user-1000.slice snug-agent\n\
            1000 /snug-agent/server snug-agent\n\
            1000 /user.slice/user-1000.slice/user@1000.service/init.scope systemd\n\
            1000 /user.slice/user-1000.slice/user@1000.service/session.slice/dbus.service dbus-daemon\n\
            1000 / snug-bus\n\
            0 /openrc.crond crond\n\
            no process\n";
        assert_eq!(programs(processes, 1000), Vec::<String>::new());
        for (line, name) in [
            ("1000 /snug-agent/commands/3 cargo", "cargo"),
            ("0 /snug-agent/commands/3 apt-get", "apt-get"),
            ("0 /system.slice/docker-0123.scope nginx", "nginx"),
            ("0 /user.slice/user-0.slice/session-1.scope bash", "bash"),
            ("1000 /user.slice/user-1000.slice/user@1000.service/app.slice/x.service x", "x"),
            ("0 /docker/0123 nginx", "nginx"),
            ("0 /machine.slice/m node", "node"),
            ("1000 / my shell", "my shell"),
            ("1000 / \x1b[2J", "\u{fffd}[2J"),
        ] {
            let all = [processes.as_slice(), line.as_bytes(), b"\n"].concat();
            assert_eq!(programs(&all, 1000), [name], "{line}");
        }
        // Without control groups a process that is not root's counts, this one aside.
        assert_eq!(programs(b"/\n1000 / vim\n0 / cron\n", 1000), ["vim"]);
        let many: String = (0..100).map(|number| format!("1000 / p{number}\n")).collect();
        let many = programs(format!("/\n{many}").as_bytes(), 1000);
        assert_eq!(listed(&many), "p0, p1, p2, p3, p4 and others");
    }

    #[test]
    fn the_scripts_are_understood_by_this_machines_shell() {
        let run = |script: &str, word: &str| {
            let mut shell = std::process::Command::new("/bin/sh");
            let output = shell.args(["-c", script, "sh", word]).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            output.stdout
        };
        for word in ["now", "booted"] {
            assert!(!Health::read(&run(HEALTH, word)).init.is_empty());
        }
        let processes = String::from_utf8(run(PROCESSES, "now")).unwrap();
        let this = std::fs::read_to_string("/proc/self/comm").unwrap();
        let is_this = |line: &str| line.splitn(3, ' ').nth(2) == Some(this.trim_end());
        assert!(processes.lines().skip(1).any(is_this), "{this} is not in {processes}");
    }
}
