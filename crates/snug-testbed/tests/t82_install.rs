//! `snug install` and what belongs to it, by apt in a real guest, against a repository that the guest has in itself.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use common::{Finally, answer, eventually, explains, fresh_with, json};
use snug_testbed::{Bed, Captured, Container};

/// A repository of the guest's, below `/var/lib/t82`, which apt takes for trusted. `t82-meta` stands for `t82-tool`; `t82-bad` fails as it is
/// set up, and `t82-slow` takes long; `t82-tool` is there in two versions.
const REPOSITORY: &str = r#"set -e
mkdir -p /var/lib/t82/new; cd /var/lib/t82
pack() { # NAME VERSION DEPENDS SCRIPT COMMAND…
  root=$(mktemp -d) name=$1 version=$2
  mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/doc/$name"
  echo text > "$root/usr/share/doc/$name/README"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: T <t@invalid>\nDescription: a tool of the test t82\n' "$name" "$version" > "$root/DEBIAN/control"
  if [ -n "$3" ]; then printf 'Depends: %s\n' "$3" >> "$root/DEBIAN/control"; fi
  if [ -n "$4" ]; then printf '#!/bin/sh\n%s\n' "$4" > "$root/DEBIAN/postinst"; chmod 755 "$root/DEBIAN/postinst"; fi
  shift 4
  for command; do
    printf '#!/bin/sh\necho %s %s "$@"\n' "$command" "$version" > "$root/usr/bin/$command"; chmod 755 "$root/usr/bin/$command"
  done
  dpkg-deb --root-owner-group -b "$root" "$place/${name}_${version}_all.deb" >/dev/null
  rm -r "$root"
}
place=.
pack t82-tool 1.0 '' '' t82-tool t82-second
pack t82-meta 1.0 t82-tool ''
pack t82-like 1.0 '' '' incus
pack t82-bad 1.0 '' 'echo it cannot be set up >&2; exit 3' t82-bad
pack t82-slow 1.0 '' 'sleep 15' t82-slow
pack fd-find 1.0 '' '' fdfind
place=new
pack t82-file 2.0 t82-tool '' t82-file
for deb in *.deb; do
  dpkg-deb -f "$deb"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
echo 'deb [trusted=yes] file:/var/lib/t82 ./' > /etc/apt/sources.list.d/t82.list
"#;

/// A container with the repository.
fn guest() -> &'static Container<'static> {
    static PREPARED: std::sync::Once = std::sync::Once::new();
    let guest = Bed::shared("tester", "installs", common::DEBIAN_13);
    PREPARED.call_once(|| prepare(guest));
    guest
}

fn prepare(guest: &Container<'_>) {
    root(guest, REPOSITORY).success();
    // The distribution's own have what the tests' have, and cost a minute of the network.
    root(guest, "mkdir -p /var/lib/t82/off; mv /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /var/lib/t82/off/ 2>/dev/null; apt-get -q update")
        .success();
}

fn root(guest: &Container<'_>, line: &str) -> Captured {
    guest.snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", line]).run().unwrap()
}

fn bin() -> PathBuf {
    Bed::require().account("tester").home.join(".local/bin")
}

/// A line of the host's shell, with `~/.local/bin` on its PATH.
fn typed(line: &str) -> snug_testbed::UserCommand {
    let path = format!("{}:/usr/bin:/bin", bin().display());
    Bed::require().as_user("tester", ["bash", "-c", line]).env("PATH", path)
}

fn install<'a>(words: impl IntoIterator<Item = &'a str>) -> Captured {
    snug("install", words)
}

fn snug<'a>(verb: &'a str, words: impl IntoIterator<Item = &'a str>) -> Captured {
    let all = [verb, "-c", guest().name()].into_iter().chain(words);
    let path = format!("{}:/usr/bin:/bin", bin().display());
    guest().snug(all.collect::<Vec<_>>()).env("PATH", path).run().unwrap()
}

#[track_caller]
fn uninstalled(name: &str) {
    snug("uninstall", ["-y", name]).success();
}

fn exported() -> Vec<String> {
    let all = json(&Bed::require().snug("tester").args(["exports", "--json"]).run().unwrap().success());
    let of_guest = |export: &&serde_json::Value| export["container"] == guest().name();
    let name =
        |export: &serde_json::Value| export["host"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut names: Vec<_> = all["exports"].as_array().unwrap().iter().filter(of_guest).map(name).collect();
    names.sort();
    names
}

#[test]
fn what_was_installed_can_be_typed_and_is_gone_after_it_was_uninstalled() {
    let installed = install(["t82-tool"]).success();
    assert_eq!(installed.out(), "t82-second\nt82-tool\n");
    assert_eq!(answer(typed("t82-tool a 'b  c'")), "t82-tool 1.0 a b  c");
    let which = json(&snug("which", ["--json", "t82-tool"]).success());
    assert_eq!(
        (&which["which"]["package"], &which["which"]["version"], &which["which"]["path"]),
        (&"t82-tool".into(), &"1.0".into(), &"/usr/bin/t82-tool".into())
    );
    // Again: nothing changes, and it says so.
    assert_eq!(install(["t82-tool"]).success().out(), "t82-second\nt82-tool\n");
    assert_eq!(exported(), ["t82-second", "t82-tool"]);
    uninstalled("t82-tool");
    assert_eq!(exported(), [""; 0]);
    assert!(fs::symlink_metadata(bin().join("t82-tool")).is_err());
    assert_eq!(typed("t82-tool").run().unwrap().code(), 127);
    assert_eq!(root(guest(), "ls /usr/bin/t82-tool").code(), 2);
    explains(&snug("uninstall", ["-y", "t82-tool"]), 1, &["has no t82-tool"]);
}

#[test]
fn of_a_package_that_stands_for_others_the_host_has_theirs() {
    assert_eq!(install(["t82-meta"]).success().out(), "t82-second\nt82-tool\n");
    // What only it needed goes with it.
    let plan = snug("uninstall", ["--dry-run", "t82-meta"]).success().out();
    let name = guest().name();
    assert_eq!(plan, format!("remove t82-meta from '{name}'\nremove t82-tool from '{name}'\n"));
    uninstalled("t82-meta");
    assert_eq!(exported(), [""; 0]);
}

#[test]
fn a_known_name_comes_back_and_a_name_of_the_hosts_stays_the_hosts() {
    assert_eq!(install(["fd-find"]).success().out(), "fd\n");
    assert_eq!(answer(typed("fd")), "fdfind 1.0");
    uninstalled("fd-find");
    let installed = install(["t82-like"]).success();
    assert_eq!(installed.out(), "");
    assert!(!bin().join("incus").exists());
    assert_eq!(
        install(["t82-like", "--bin", "incus=t82-incus"]).success().out(),
        format!("{}\n", bin().join("t82-incus").display())
    );
    assert_eq!(answer(typed("t82-incus")), "incus 1.0");
    uninstalled("t82-like");
    assert_eq!(exported(), [""; 0]);
}

#[test]
fn a_file_of_the_users_own_stays() {
    guest();
    let mine = bin().join("t82-tool");
    let _ = fs::remove_file(&mine);
    symlink("/usr/bin/true", &mine).unwrap();
    let away = Finally(|| drop(fs::remove_file(&mine)));
    let installed = install(["t82-tool"]);
    let kept = fs::read_link(&mine);
    drop(away);
    assert_eq!(
        (installed.success().out().as_str(), kept.unwrap()),
        ("t82-second\n", PathBuf::from("/usr/bin/true"))
    );
    uninstalled("t82-tool");
}

#[test]
fn without_export_the_host_gets_nothing_but_what_was_named() {
    assert_eq!(install(["t82-tool", "--no-export"]).success().out(), "");
    assert_eq!(exported(), [""; 0]);
    let one = install(["t82-tool", "--no-export", "--bin", "t82-tool=one"]).success().out();
    assert_eq!(one, format!("{}\n", bin().join("one").display()));
    assert_eq!(answer(typed("one")), "t82-tool 1.0");
    uninstalled("t82-tool");
    assert_eq!(exported(), [""; 0]);
}

#[test]
fn a_local_file_is_installed_with_what_it_needs() {
    let guest = guest();
    let place = tempfile::Builder::new().prefix("snug-t82-").tempdir_in("/opt").unwrap();
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = place.path().join("t82-file_2.0_all.deb");
    // A directory that the guest does not have.
    let copy = guest.snug([
        "run",
        "--root",
        "-w",
        "/",
        "-c",
        guest.name(),
        "--",
        "cat",
        "/var/lib/t82/new/t82-file_2.0_all.deb",
    ]);
    fs::write(&file, copy.run().unwrap().success().stdout).unwrap();
    assert_eq!(install([file.to_str().unwrap()]).success().out(), "t82-file\n");
    assert_eq!(answer(typed("t82-file")), "t82-file 2.0");
    assert_eq!(root(guest, "ls -A /var/cache/snug/files").success().out(), "");
    uninstalled("t82-file");
    let text = place.path().join("no.deb");
    fs::write(&text, "no package").unwrap();
    explains(&install([text.to_str().unwrap()]), 1, &["dpkg-deb"]);
    explains(&install([place.path().join("none.deb").to_str().unwrap()]), 1, &["none.deb cannot be read"]);
    explains(&install(["/etc/passwd"]), 2, &["passwd", "apt", ".deb"]);
}

#[test]
fn what_there_is_not_is_said_with_what_is_like_it() {
    explains(&install(["t82-too"]), 1, &["has no package t82-too", "t82-tool", "`snug search TERM`"]);
    for (word, status) in [("-oDebug=1", 2), ("a;b", 2), ("a\nb", 2), ("", 2), ("../x", 1), ("t82-tool=", 2)]
    {
        let refused = snug("install", ["--", word]);
        explains(&refused, status, &[]);
    }
    let found = json(&snug("search", ["--json", "t82-"]).success());
    let names: Vec<&str> =
        found["packages"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"t82-tool") && names.contains(&"t82-bad"), "{names:?}");
    assert_eq!(snug("search", ["t82-none"]).code(), 1);
}

#[test]
fn a_failure_shows_what_the_package_manager_said_and_keeps_it() {
    let failed = install(["t82-bad"]);
    assert_eq!((failed.code(), failed.out().as_str()), (1, ""), "{}", failed.err());
    let err = failed.err();
    assert!(err.contains("it cannot be set up") && err.contains("hint: all that was said is in "), "{err}");
    let log = Bed::require()
        .account("tester")
        .home
        .join(format!(".local/state/snug/packages/{}.log", guest().name()));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("snug install t82-bad") && log.contains("it cannot be set up"), "{log}");
    assert_eq!(exported(), [""; 0]);
    // It stands in the way of nothing else.
    root(guest(), "dpkg -r --force-all t82-bad").success();
    assert_eq!(install(["t82-tool"]).success().out(), "t82-second\nt82-tool\n");
    uninstalled("t82-tool");
}

#[test]
fn a_person_who_gives_up_is_heard_and_what_follows_works() {
    let guest = guest();
    let mut pty = guest.snug(["install", "-c", guest.name(), "t82-slow"]).on_pty().unwrap();
    pty.until("setting up t82-slow").unwrap();
    pty.write("\x03").unwrap();
    let shown = pty.ends_with(130);
    assert!(!shown.contains("panicked"), "{shown}");
    eventually("nothing holds the lock", || root(guest, "pgrep -x apt-get || pgrep -x dpkg").code() == 1);
    root(guest, "dpkg --configure -a; dpkg -r t82-slow").success();
    // Before anything has begun.
    let mut pty = guest.snug(["install", "-c", guest.name(), "t82-slow"]).on_pty().unwrap();
    pty.until("preparing").unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    assert_eq!(root(guest, "dpkg -s t82-slow").code(), 1);
    assert_eq!(install(["t82-tool"]).success().out(), "t82-second\nt82-tool\n");
    uninstalled("t82-tool");
}

#[test]
fn in_a_container_its_own_packages_are_meant() {
    let guest = guest();
    let inside = |line: &str| guest.run(["sh", "-c", line]);
    assert_eq!(answer(inside("snug install t82-tool")), "t82-second\nt82-tool");
    assert_eq!(answer(typed("t82-tool")), "t82-tool 1.0");
    inside("snug uninstall t82-tool").run().unwrap().success();
    assert_eq!(exported(), [""; 0]);
}

#[test]
fn a_container_that_is_not_trusted_has_its_packages_too() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "installs-alone", common::DEBIAN_13, &["--preset", "isolated"]);
    prepare(&guest);
    let installed = guest.snug(["install", "-c", guest.name(), "t82-tool"]).run().unwrap().success();
    assert_eq!(installed.out(), "t82-second\nt82-tool\n");
    assert_eq!(answer(typed("cd /; t82-tool")), "t82-tool 1.0");
    bed.snug("tester").args(["rm", "-f", guest.name()]).run().unwrap().success();
    assert!(fs::symlink_metadata(bin().join("t82-tool")).is_err());
}

#[test]
fn one_without_a_package_manager_that_is_known_says_so() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "installs-none", common::BUSYBOX, &[]);
    let refused = guest.snug(["install", "-c", guest.name(), "x"]).run().unwrap();
    explains(&refused, 1, &["has no package manager that Snug knows", "apt"]);
    explains(
        &bed.snug("tester").args(["install", "-c", "nobody-here", "x"]).run().unwrap(),
        1,
        &["no container 'nobody-here'"],
    );
}
