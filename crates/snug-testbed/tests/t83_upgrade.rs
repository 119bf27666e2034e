//! `snug upgrade`, by apt in real guests, against a repository that each guest has in itself: what goes well stays, what goes wrong goes
//! back.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use common::{
    DEBIAN_13, PATIENCE, TemporaryUser, answer, eventually, explains, fresh, fresh_with, json, state,
};
use snug_testbed::{Bed, Captured, Container, Leaks, Lifeline, UserCommand};

/// A repository of the guest's, below `/var/lib/t83`, which apt takes for trusted: two versions of each package, of which the second is
/// offered by `sh /var/lib/t83/offer`. The second of `t83-bad` cannot be set up, that of `t83-lost` has no command any more, that of
/// `t83-moved` has it elsewhere, that of `t83-boot` has the next boot end in the rescue shell, that of `t83-init` takes the init away, and
/// that of `t83-slow` takes long. `t83-tool` provides `t83-word-of-tool`.
const REPOSITORY: &str = r#"set -e
mkdir -p /var/lib/t83; cd /var/lib/t83
pack() { # NAME VERSION SCRIPT COMMAND…
  root=$(mktemp -d) name=$1 version=$2
  mkdir -p "$root/DEBIAN" "$root/usr/share/doc/$name"
  echo text > "$root/usr/share/doc/$name/README"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: T <t@invalid>\nProvides: %s\nDescription: a tool of the test t83\n' \
    "$name" "$version" "${name%-*}-word-of-${name##*-}" > "$root/DEBIAN/control"
  if [ -n "$3" ]; then printf '#!/bin/sh\n%s\n' "$3" > "$root/DEBIAN/postinst"; chmod 755 "$root/DEBIAN/postinst"; fi
  shift 3
  for command; do
    mkdir -p "$root/${command%/*}"
    printf '#!/bin/sh\necho %s %s "$@"\n' "${command##*/}" "$version" > "$root/$command"; chmod 755 "$root/$command"
  done
  dpkg-deb --root-owner-group -b "$root" "${name}_${version}_all.deb" >/dev/null
  rm -r "$root"
}
for name in tool bad lost moved boot init slow; do pack t83-$name 1.0 '' usr/bin/t83-$name; done
pack t83-tool 2.0 '' usr/bin/t83-tool
pack t83-bad 2.0 'echo it cannot be set up >&2; exit 3' usr/bin/t83-bad
pack t83-lost 2.0 ''
pack t83-moved 2.0 '' usr/games/t83-moved
pack t83-boot 2.0 'ln -sf /usr/lib/systemd/system/rescue.target /etc/systemd/system/default.target' usr/bin/t83-boot
pack t83-init 2.0 'mv /usr/sbin/init /usr/sbin/init.away' usr/bin/t83-init
pack t83-slow 2.0 'sleep 15' usr/bin/t83-slow
cat > offer <<'END'
cd /var/lib/t83
for deb in *_$1_all.deb; do
  dpkg-deb -f "$deb"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages.new && mv Packages.new Packages
END
sh offer 1.0
echo 'deb [trusted=yes] file:/var/lib/t83 ./' > /etc/apt/sources.list.d/t83.list
mkdir -p off; mv /etc/apt/sources.list.d/*.sources /etc/apt/sources.list off/ 2>/dev/null || :
apt-get -q update
"#;

fn root(guest: &Container<'_>, line: &str) -> Captured {
    guest.snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", line]).run().unwrap()
}

/// Has the guest these packages of the first version, their commands on the host, and the second versions on offer.
fn prepare(guest: &Container<'_>, packages: &[&str]) {
    root(guest, REPOSITORY).success();
    snug(guest, "install").args(packages).run().unwrap().success();
    root(guest, "sh /var/lib/t83/offer 2.0").success();
}

/// A container with these packages.
fn guest<'a>(bed: &'a Bed, name: &str, packages: &[&str]) -> Container<'a> {
    let guest = fresh(bed, "tester", name, DEBIAN_13);
    prepare(&guest, packages);
    guest
}

fn snug(guest: &Container<'_>, verb: &str) -> UserCommand {
    guest.snug([verb, "-c", guest.name()]).deadline(PATIENCE * 3)
}

fn upgrade(guest: &Container<'_>, words: &[&str]) -> Captured {
    snug(guest, "upgrade").args(words).run().unwrap()
}

/// A line of the host's shell, with `~/.local/bin` on its PATH.
fn typed(line: &str) -> UserCommand {
    let bin = Bed::require().account("tester").home.join(".local/bin");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    Bed::require().as_user("tester", ["bash", "-c", line]).env("PATH", path)
}

/// The version of a package that is installed, and in which state.
fn version(guest: &Container<'_>, package: &str) -> String {
    root(guest, &format!("dpkg-query -W -f '${{db:Status-Abbrev}}${{Version}}' {package}")).out()
}

/// When the guest was started, as its first process knows.
fn started(guest: &Container<'_>) -> String {
    root(guest, "cut -d' ' -f22 /proc/1/stat").success().out()
}

fn log(guest: &Container<'_>) -> String {
    let home: PathBuf = Bed::require().account("tester").home.clone();
    fs::read_to_string(home.join(format!(".local/state/snug/packages/{}.log", guest.name()))).unwrap()
}

fn what_is_kept(guest: &Container<'_>) -> Vec<String> {
    let all = json(&snug(guest, "undo").args(["--list", "--json"]).run().unwrap().success());
    let before = |one: &serde_json::Value| one["before"].as_str().unwrap().to_owned();
    all["snapshots"].as_array().unwrap().iter().map(before).collect()
}

/// One that has gone wrong, and back.
#[track_caller]
fn went_back(guest: &Container<'_>, package: &str, words: &[&str]) {
    let before = version(guest, package);
    let failed = upgrade(guest, &[package]);
    explains(&failed, 1, &[words, &["is as it was before", "hint: all that was said is in"]].concat());
    assert_eq!(version(guest, package), before, "{}", failed.err());
    assert_eq!(answer(typed(&format!("{package} a"))), format!("{package} 1.0 a"));
    assert_eq!(state(guest.bed(), guest.user(), guest.name()), "running");
    assert!(log(guest).contains("-- it was put back to before the upgrade"), "{}", log(guest));
}

#[test]
fn what_the_package_manager_takes_for_a_package_is_one() {
    let bed = Bed::require();
    let guest = fresh(&bed, "tester", "upgrades-words", DEBIAN_13);
    root(&guest, REPOSITORY).success();
    let out = |verb: &str, words: &[&str]| snug(&guest, verb).args(words).run().unwrap().success().out();
    for word in ["t83-word-of-tool", "t83-tool:all", "t83-tool"] {
        assert_eq!(out("install", &[word]), "t83-tool\n");
        // Once more changes nothing.
        assert_eq!(out("install", &[word]), "t83-tool\n");
        assert_eq!(answer(typed("t83-tool a")), "t83-tool 1.0 a");
        out("uninstall", &["-y", word]);
        assert!(!version(&guest, "t83-tool").starts_with("ii"), "{word}");
        assert_eq!(typed("t83-tool").run().unwrap().code(), 127, "{word}");
    }
    explains(
        &snug(&guest, "install").arg("t83-word-of-none").run().unwrap(),
        1,
        &["has no package t83-word-of-none"],
    );
    // An alternative is no package's, and what it leads to is.
    out("install", &["t83-tool"]);
    root(&guest, "update-alternatives --install /usr/bin/t83-other t83-other /usr/bin/t83-tool 1").success();
    let which = json(&snug(&guest, "which").args(["--json", "t83-other"]).run().unwrap().success());
    let which = &which["which"];
    assert_eq!((&which["package"], &which["path"]), (&"t83-tool".into(), &"/usr/bin/t83-other".into()));
}

#[test]
fn what_is_newer_is_told_and_upgraded_and_can_be_undone() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let guest = guest(&bed, "upgrades", &["t83-tool", "t83-moved"]);
    let name = guest.name();
    let check = upgrade(&guest, &["--check", "--json"]);
    assert_eq!(check.code(), 100, "{}", check.err());
    let row = |package: &str| serde_json::json!({"container": name, "package": package, "change": "upgrade", "from": "1.0", "to": "2.0"});
    assert_eq!(json(&check)["upgrades"], serde_json::json!([row("t83-moved"), row("t83-tool")]));
    assert_eq!(version(&guest, "t83-tool"), "ii 1.0");
    let kept = what_is_kept(&guest).len();
    // By what it provides, and with its architecture.
    let plan = upgrade(&guest, &["--dry-run", "t83-word-of-tool"]).success().out();
    assert_eq!(plan, format!("upgrade t83-tool from 1.0 to 2.0 in '{name}'\n"));
    let first = started(&guest);
    let one = upgrade(&guest, &["t83-tool:all"]).success();
    assert_eq!(one.out(), format!("{name}: t83-tool 1.0 -> 2.0\n"));
    assert_ne!(started(&guest), first, "it was not started anew");
    assert_eq!(
        (version(&guest, "t83-tool").as_str(), version(&guest, "t83-moved").as_str()),
        ("ii 2.0", "ii 1.0")
    );
    assert_eq!(what_is_kept(&guest).len(), kept + 1);
    assert_eq!(what_is_kept(&guest)[0], "upgrade t83-tool:all");
    // The rest: its command has moved, and the host's follows.
    let rest = upgrade(&guest, &[]).success();
    assert_eq!(rest.out(), format!("{name}: t83-moved 1.0 -> 2.0\n"));
    assert_eq!(answer(typed("t83-moved x; t83-tool y")), "t83-moved 2.0 x\nt83-tool 2.0 y");
    let exports = bed.snug("tester").args(["exports"]).run().unwrap().success().out();
    assert!(exports.contains("/usr/games/t83-moved"), "{exports}");
    // Nothing is newer, and no snapshot is taken for nothing.
    let again = upgrade(&guest, &[]).success();
    assert_eq!((again.out().as_str(), what_is_kept(&guest).len()), ("", kept + 2));
    assert_eq!(upgrade(&guest, &["--check"]).code(), 0);
    explains(&upgrade(&guest, &["t83-none"]), 1, &["has no t83-none"]);
    snug(&guest, "undo").arg("-y").run().unwrap().success();
    assert_eq!(version(&guest, "t83-moved"), "ii 1.0");
    drop(guest);
    leaks.assert_none();
}

#[test]
fn what_cannot_be_set_up_and_what_takes_a_command_away_goes_back() {
    let bed = Bed::require();
    let guest = guest(&bed, "upgrades-bad", &["t83-bad", "t83-lost"]);
    went_back(&guest, "t83-bad", &["the upgrade of upgrades-bad failed", "  it cannot be set up"]);
    assert!(log(&guest).contains("it cannot be set up"));
    went_back(
        &guest,
        "t83-lost",
        &["it has lost t83-lost", "`snug unexport -c upgrades-bad --bin t83-lost`"],
    );
    // What the upgrade left can be looked at.
    assert_eq!(what_is_kept(&guest)[0], "undo of upgrade t83-lost");
    // Whoever can do without it says so.
    snug(&guest, "unexport").args(["--bin", "t83-lost"]).run().unwrap().success();
    upgrade(&guest, &["t83-lost"]).success();
    assert_eq!(version(&guest, "t83-lost"), "ii 2.0");
}

#[test]
fn what_does_not_boot_any_more_goes_back() {
    let bed = Bed::require();
    let guest = guest(&bed, "upgrades-boot", &["t83-boot", "t83-init"]);
    went_back(&guest, "t83-init", &["is not well after its upgrade", "no /sbin/init"]);
    went_back(&guest, "t83-boot", &["is not well after its upgrade"]);
    assert_eq!(answer(guest.run(["id", "-un"])), "tester");
}

#[test]
fn what_runs_in_it_lives_on() {
    let bed = Bed::require();
    let guest = guest(&bed, "upgrades-used", &["t83-tool", "t83-bad", "t83-lost"]);
    let mut work = Lifeline::new(&bed, "tester");
    let line = format!("exec 9>{}; echo here >&9; while :; do sleep 1; done", work.path().display());
    let null = Stdio::null;
    let mut client = guest.run(["sh", "-c", &line]).spawn(null(), null(), null()).unwrap();
    work.until("here");
    let first = started(&guest);
    upgrade(&guest, &["t83-tool"]).success();
    assert_eq!((started(&guest), version(&guest, "t83-tool").as_str()), (first.clone(), "ii 2.0"));
    let failed = upgrade(&guest, &["t83-bad"]);
    explains(
        &failed,
        1,
        &["was not put back, since that would end", "`snug undo -c upgrades-used --to snug-"],
    );
    assert_eq!(started(&guest), first);
    assert!(client.try_wait().unwrap().is_none(), "what ran was ended");
    assert_ne!(version(&guest, "t83-bad"), "ii 1.0");
    // Whoever wants that has it.
    root(&guest, "dpkg -r --force-all t83-bad").success();
    explains(&upgrade(&guest, &["-y", "t83-lost"]), 1, &["it has lost t83-lost", "is as it was before"]);
    assert_ne!(started(&guest), first);
    assert!(!client.wait().unwrap().success());
}

#[test]
fn who_gives_up_has_it_as_it_was_and_the_second_waits_for_the_first() {
    let bed = Bed::require();
    let guest = guest(&bed, "upgrades-slow", &["t83-slow", "t83-tool"]);
    let mut pty = snug(&guest, "upgrade").arg("t83-slow").on_pty().unwrap();
    pty.until("setting up t83-slow").unwrap();
    let mut second = snug(&guest, "upgrade").arg("t83-tool").on_pty().unwrap();
    second.until("waiting for `snug upgrade t83-slow`").unwrap();
    pty.write("\x03").unwrap();
    let shown = pty.ends_with(130);
    assert!(shown.contains("was interrupted") && shown.contains("is as it was before"), "{shown}");
    second.ends_with(0);
    assert_eq!(
        (version(&guest, "t83-slow").as_str(), version(&guest, "t83-tool").as_str()),
        ("ii 1.0", "ii 2.0")
    );
    eventually("nothing holds the lock", || root(&guest, "pgrep -x apt-get || pgrep -x dpkg").code() == 1);
}

#[test]
fn without_a_snapshot_it_is_said_before_and_after() {
    let bed = Bed::require();
    let _pool = common::copying_pool(&bed, "snug-test-upgrade-dir");
    let guest = guest(&bed, "upgrades-dir", &["t83-tool", "t83-bad"]);
    let first = started(&guest);
    let upgraded = upgrade(&guest, &["t83-tool"]).success();
    assert!(upgraded.err().starts_with("warning: upgrades-dir: there is no way back"), "{}", upgraded.err());
    assert_eq!((started(&guest), version(&guest, "t83-tool").as_str()), (first, "ii 2.0"));
    let failed = upgrade(&guest, &["t83-bad"]);
    explains(
        &failed,
        1,
        &["warning: upgrades-dir", "stays as that has left it: there is no snapshot to go back to"],
    );
    assert_ne!(version(&guest, "t83-bad"), "ii 1.0");
}

#[test]
fn all_are_upgraded_one_that_fails_stops_no_other_and_one_that_was_stopped_is_so_again() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-upgrader");
    let [good, bad] =
        [("upgrades-good", "t83-tool"), ("upgrades-wrong", "t83-bad")].map(|(name, package)| {
            let guest = fresh(&bed, user.name(), name, DEBIAN_13);
            prepare(&guest, &[package]);
            guest
        });
    let none = fresh_with(&bed, user.name(), "upgrades-none", common::NO_INIT, &[]);
    for guest in [&good, &none] {
        user.snug(["stop", guest.name()]).run().unwrap().success();
    }
    let all = user.snug(["upgrade", "--all"]).deadline(PATIENCE * 4).run().unwrap();
    assert_eq!(
        (all.code(), all.out().as_str()),
        (1, "upgrades-good: t83-tool 1.0 -> 2.0\n"),
        "{}",
        all.err()
    );
    let last = "error: 1 of 3 containers could not be upgraded: upgrades-wrong";
    assert_eq!(all.err().lines().last().unwrap(), last, "{}", all.err());
    for (guest, wanted) in [(&good, "stopped"), (&bad, "running"), (&none, "stopped")] {
        assert_eq!(state(&bed, user.name(), guest.name()), wanted, "{}", guest.name());
    }
    assert_eq!(
        (version(&good, "t83-tool").as_str(), version(&bad, "t83-bad").as_str()),
        ("ii 2.0", "ii 1.0")
    );
}

#[test]
fn the_unit_of_the_timer_upgrades_without_a_word_where_nothing_is_newer() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-daily");
    let guest = fresh(&bed, user.name(), "upgrades-daily", DEBIAN_13);
    prepare(&guest, &["t83-tool"]);
    let unit = fs::read_to_string("/usr/lib/systemd/user/snug-upgrade.service").unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/snug ")).unwrap();
    let daily = || user.snug(line.split(' ')).deadline(PATIENCE * 2).run().unwrap().success();
    assert_eq!(daily().out(), "upgrades-daily: t83-tool 1.0 -> 2.0\n");
    let again = daily();
    assert_eq!((again.out().as_str(), again.err().as_str()), ("", ""));
}
