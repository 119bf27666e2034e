//! `snug dump`, `snug apply` and `--save`: what was lost is there again by one list. By apt in a real guest, against a repository that it has in itself.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::time::Duration;

use common::{DEBIAN_13, NO_INIT, TemporaryUser, explains, json};
use snug_testbed::{Bed, Captured, UserCommand};

/// A repository of the guest's, below `/var/lib/t87`, which apt takes for trusted: `t87-tool` needs `t87-needed`. The distribution's own have what
/// the tests' have, and cost a minute of the network.
const REPOSITORY: &str = r#"set -e
mkdir -p /var/lib/t87/file /var/lib/t87/off; cd /var/lib/t87
pack() { # PLACE NAME DEPENDS COMMAND…
  root=$(mktemp -d) place=$1 name=$2
  mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/doc/$name"
  echo text > "$root/usr/share/doc/$name/README"
  printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@invalid>\nDescription: a tool of the test t87\n' "$name" > "$root/DEBIAN/control"
  if [ -n "$3" ]; then printf 'Depends: %s\n' "$3" >> "$root/DEBIAN/control"; fi
  shift 3
  for command; do
    printf '#!/bin/sh\necho %s "$@"\n' "$command" > "$root/usr/bin/$command"; chmod 755 "$root/usr/bin/$command"
  done
  dpkg-deb --root-owner-group -b "$root" "$place/${name}_1.0_all.deb" >/dev/null
  rm -r "$root"
}
pack . t87-tool t87-needed t87-tool
pack . t87-needed '' t87-inner
pack . t87-hand '' t87-hand
pack . fd-find '' fdfind
pack file t87-file '' t87-file
for deb in *.deb; do
  dpkg-deb -f "$deb"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
mv /etc/apt/sources.list.d/*.sources /etc/apt/sources.list off/ 2>/dev/null || true
echo 'deb [trusted=yes] file:/var/lib/t87 ./' > /etc/apt/sources.list.d/t87.list
apt-get -q update
"#;
/// Where nothing is known yet the distribution's package lists come first.
const LONG: Duration = Duration::from_secs(300);

/// Somebody with containers of his own: what is taken away here is nobody else's.
struct Lister<'a>(TemporaryUser<'a>);

impl<'a> Lister<'a> {
    fn new(bed: &'a Bed, name: &str) -> Self {
        Self(TemporaryUser::new(bed, name))
    }

    /// With a container `tools` whose apt has the test's repository.
    fn with_tools(bed: &'a Bed, name: &str) -> Self {
        let lister = Self::new(bed, name);
        lister
            .run(["create", "tools", "-i", DEBIAN_13, "--no-grant", "gpu", "--set", "memory=1GiB"])
            .success();
        lister.prepare();
        lister
    }

    fn prepare(&self) {
        self.root(REPOSITORY).success();
    }

    fn root(&self, line: &str) -> Captured {
        self.run(["run", "--root", "-w", "/", "-c", "tools", "--", "sh", "-c", line])
    }

    fn snug<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> UserCommand {
        self.0.snug(args).deadline(LONG)
    }

    fn run<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Captured {
        self.snug(args).run().unwrap()
    }

    /// A file of his home.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.account().home.join(name);
        fs::write(&path, text).unwrap();
        std::os::unix::fs::chown(&path, Some(self.0.account().uid), Some(self.0.account().gid)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.account().home.join(name)).unwrap()
    }

    fn dumped(&self) -> String {
        self.run(["dump"]).success().out()
    }

    fn containers(&self) -> Vec<String> {
        let listed = json(&self.run(["list", "--json"]).success());
        let name = |container: &serde_json::Value| container["name"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = listed["containers"].as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    fn exported(&self) -> Vec<String> {
        let all = json(&self.run(["exports", "--json"]).success());
        let name = |export: &serde_json::Value| {
            export["host"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
        };
        let mut names: Vec<_> = all["exports"].as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }
}

#[test]
fn a_container_that_was_lost_is_there_again() {
    let bed = Bed::require();
    let lister = Lister::with_tools(&bed, "snug-lister");
    lister.run(["install", "-c", "tools", "t87-tool", "fd-find"]).success();
    // By hand, as people do.
    lister.root("apt-get -q -y install t87-hand").success();
    lister.run(["export", "-c", "tools", "--bin", "t87-hand=hand"]).success();
    let list = lister.dumped();
    assert_eq!(
        list,
        "# Snug: what containers are to be. `snug dump` writes it, `snug apply FILE` makes it so.\n\n\
         [container.tools]\n\
         # this host's own image: `snug image import` takes it to another one\n\
         image = \"local:debian/13\"\n\
         preset = \"integrated\"\n\
         grants = [\"-gpu\"]\n\
         packages = [\"fd-find\", \"t87-hand\", \"t87-tool\"]\n\
         exports = [\"fdfind=fd\", \"t87-hand=hand\", \"t87-tool\"]\n\n\
         [container.tools.settings]\n\
         memory = \"1GiB\"\n"
    );
    let path = lister.write("tools.toml", &list);
    assert_eq!(lister.run(["apply", &path, "--dry-run"]).success().out(), "");
    lister.run(["rm", "-f", "tools"]).success();
    assert_eq!(lister.exported(), [""; 0]);
    // The new one's apt knows nothing of the test's repository: what can be done is, and the rest is said.
    let first = lister.run(["apply", &path]);
    assert_eq!(first.code(), 1, "{}", first.err());
    assert!(
        first.err().contains("left: install in 'tools': ") && first.err().contains("t87-tool"),
        "{}",
        first.err()
    );
    assert_eq!(lister.containers(), ["tools"]);
    lister.prepare();
    lister.run(["apply", &path]).success();
    assert_eq!(lister.exported(), ["fd", "hand", "t87-tool"]);
    assert_eq!(lister.dumped(), list);
    assert_eq!(lister.root("/usr/bin/t87-tool it").success().out(), "t87-tool it\n");
    // Again, by standard input: nothing is left to do.
    assert_eq!(
        lister
            .snug(["apply", "-", "--prune", "--dry-run"])
            .input(list.clone())
            .run()
            .unwrap()
            .success()
            .out(),
        ""
    );
    lister.snug(["apply", "-", "--prune"]).input(list.clone()).run().unwrap().success();
    assert_eq!(lister.dumped(), list);
    // Of one that does not run, too, which then does not run.
    lister.run(["stop", "tools"]).success();
    assert_eq!(lister.dumped(), list);
    let listed = json(&lister.run(["info", "tools", "--json"]).success());
    assert_eq!(listed["container"]["state"], "stopped");
}

#[test]
fn what_the_list_does_not_name_goes_only_when_that_is_said() {
    let bed = Bed::require();
    let lister = Lister::with_tools(&bed, "snug-pruner");
    lister.run(["create", "play", "-i", NO_INIT, "--no-start"]).success();
    lister.run(["install", "-c", "tools", "t87-tool", "t87-hand"]).success();
    let path = lister.write(
        "tools.toml",
        "[container.tools]\npackages = [\"t87-hand\"]\nexports = [\"t87-hand\"]\n[container.tools.settings]\n",
    );
    lister.run(["apply", &path]).success();
    assert_eq!(lister.exported(), ["t87-hand", "t87-tool"]);
    let plan = lister.run(["apply", &path, "--prune", "--dry-run"]).success().out();
    assert_eq!(
        plan,
        "unexport from 'tools': t87-tool\nunset in 'tools': memory\nuninstall in 'tools': t87-tool\n\
         remove 'play', with everything that was installed in it\n"
    );
    let json = json(&lister.run(["apply", &path, "--prune", "--dry-run", "--json"]).success());
    assert_eq!(json["plan"]["steps"][3], serde_json::json!({"do": "remove", "container": "play"}));
    assert_eq!((lister.containers().len(), lister.exported().len()), (2, 2), "a plan has changed something");
    // A person is asked.
    let mut pty = lister.snug(["apply", &path, "--prune"]).on_pty().unwrap();
    pty.until("Do this, 4 steps?").unwrap();
    pty.write("n\n").unwrap();
    pty.ends_with(1);
    assert_eq!(lister.exported().len(), 2);
    // Where nobody can be, containers stay.
    explains_all(&lister.run(["apply", &path, "--prune"]), &["play stays: nobody can be asked"]);
    assert_eq!(
        (lister.exported(), lister.containers()),
        (vec!["t87-hand".to_owned()], vec!["play".into(), "tools".into()])
    );
    assert_eq!(lister.root("dpkg -s t87-needed").code(), 1, "what only it needed is left");
    lister.run(["apply", &path, "--prune", "-y"]).success();
    assert_eq!(lister.containers(), ["tools"]);
    assert_eq!(lister.root("t87-hand").success().out(), "t87-hand\n");
}

#[track_caller]
fn explains_all(captured: &Captured, words: &[&str]) {
    assert_eq!(captured.code(), 1, "{}", captured.err());
    for word in words {
        assert!(captured.err().contains(word), "{word}: {}", captured.err());
    }
}

#[test]
fn a_list_that_is_wrong_and_one_that_cannot_be_had_change_nothing() {
    let bed = Bed::require();
    let lister = Lister::new(&bed, "snug-misser");
    for (text, words) in [
        (
            "[container.new]\nimage = \"local:debian/13\"\npackage = [\"x\"]\n",
            &["line 3", "did you mean 'packages'?"][..],
        ),
        ("[container.new]\ngrants = [\"+gppu\"]\n", &["line 2", "gppu"]),
        ("[container.new\n", &["line 1"]),
    ] {
        let path = lister.write("tools.toml", text);
        explains(&lister.run(["apply", &path]), 1, words);
        explains(&lister.run(["apply", &path, "--prune", "-y"]), 1, words);
    }
    let empty = lister.write("tools.toml", "");
    explains(&lister.run(["apply", &empty, "--prune", "-y"]), 1, &["names no container"]);
    assert_eq!(lister.containers(), [""; 0]);
    // Another image, other grants: said, and left as they are.
    lister.run(["create", "old", "-i", NO_INIT, "--no-start"]).success();
    let path =
        lister.write("tools.toml", "[container.old]\nimage = \"local:debian/13\"\ngrants = [\"-gpu\"]\n");
    let refused = lister.run(["apply", &path]);
    explains_all(
        &refused,
        &["'old' was made from local:minimal/none, the list says local:debian/13", "the grants of 'old'"],
    );
    let info = json(&lister.run(["info", "old", "--json"]).success());
    assert_eq!(
        (&info["container"]["image"], &info["container"]["state"]),
        (&NO_INIT.into(), &"stopped".into())
    );
}

#[test]
fn what_was_installed_is_saved_in_a_list_that_keeps_its_comments() {
    let bed = Bed::require();
    let lister = Lister::with_tools(&bed, "snug-saver");
    let path = lister.write(
        "tools.toml",
        "# mine\n[container.tools]\npackages = [\n    \"t87-hand\", # by hand\n] # all\n",
    );
    explains(
        &lister.run(["install", "-c", "tools", "--save", &path, "t87-none"]),
        1,
        &["has no package t87-none"],
    );
    lister.run(["install", "-c", "tools", "--save", &path, "t87-tool"]).success();
    assert_eq!(
        lister.read("tools.toml"),
        "# mine\n[container.tools]\npackages = [\n    \"t87-hand\", # by hand\n    \"t87-tool\",\n] # all\n"
    );
    lister.run(["apply", &path]).success();
    assert_eq!(lister.exported(), ["t87-hand", "t87-tool"]);
    lister.run(["uninstall", "-y", "-c", "tools", "--save", &path, "t87-hand"]).success();
    assert_eq!(
        lister.read("tools.toml"),
        "# mine\n[container.tools]\npackages = [\n    \"t87-tool\",\n] # all\n"
    );
    // What came from a file no list can bring back.
    let file = lister.root("cat /var/lib/t87/file/t87-file_1.0_all.deb").success().stdout;
    let deb = lister.0.account().home.join("t87-file_1.0_all.deb");
    fs::write(&deb, file).unwrap();
    let new = lister.0.account().home.join("new.toml");
    let saved = lister
        .run(["install", "-c", "tools", "--save", new.to_str().unwrap(), deb.to_str().unwrap()])
        .success();
    assert!(saved.err().contains("t87-file_1.0_all.deb is not in the list"), "{}", saved.err());
    let dumped = lister.dumped();
    assert!(dumped.contains("# installed from files, so in no list: t87-file\n"), "{dumped}");
    assert!(dumped.contains("packages = [\"t87-tool\"]\n"), "{dumped}");
    assert_eq!(lister.run(["apply", &path, "--prune", "--dry-run"]).success().out(), "");
}
