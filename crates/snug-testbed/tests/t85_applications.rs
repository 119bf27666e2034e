//! Applications of a real guest among those of the host's menus.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::{Desktop, Finally, RunUser, eventually, explains, fresh_with, json};
use snug_testbed::{Bed, Captured, Container};

/// An image of 48 by 48 pixels, as far as anybody looks at it here.
const IMAGE: &str = r#"printf '\211PNG\r\n\032\n\0\0\0\rIHDR\0\0\0\060\0\0\0\060\010\006\0\0\0'"#;

fn guest() -> &'static Container<'static> {
    let guest = Bed::shared("tester", "applications", common::DEBIAN_13);
    // Where an application tells that it has run: a place that the host has not.
    root(guest, "mkdir -p /opt/t85 /usr/share/applications && chmod 777 /opt/t85").success();
    guest
}

fn root(guest: &Container<'_>, line: &str) -> Captured {
    guest.snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", line]).run().unwrap()
}

/// Has the guest have this as the entry of that application.
fn has(guest: &Container<'_>, id: &str, entry: &str) {
    let line = format!("cat > /usr/share/applications/{id}.desktop");
    guest
        .snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", &line])
        .input(entry)
        .run()
        .unwrap()
        .success();
}

fn snug<'a>(guest: &Container<'_>, words: impl IntoIterator<Item = &'a str>) -> Captured {
    let words: Vec<&str> = words.into_iter().collect();
    let all = [&words[..1], &["-c", guest.name()], &words[1..]].concat();
    guest.snug(all).deadline(Duration::from_secs(600)).run().unwrap()
}

fn data() -> PathBuf {
    Bed::require().account("tester").home.join(".local/share")
}

fn entry(guest: &Container<'_>, id: &str) -> PathBuf {
    data().join(format!("applications/snug.{}.{id}.desktop", guest.name()))
}

/// What the host has of that container's applications: files and links.
fn left(guest: &Container<'_>) -> Vec<PathBuf> {
    fn walk(directory: &Path, name: &str, all: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), name, all);
            } else if entry.file_name().to_string_lossy().starts_with(name) {
                all.push(entry.path());
            }
        }
    }
    let mut all = Vec::new();
    for directory in ["applications", "icons", "snug"] {
        walk(&data().join(directory), &format!("snug.{}.", guest.name()), &mut all);
    }
    all
}

#[track_caller]
fn is_valid(entry: &Path) {
    let said =
        Bed::require().as_user("tester", ["desktop-file-validate", "--no-hints", entry.to_str().unwrap()]);
    let said = said.run().unwrap();
    let text = fs::read_to_string(entry).unwrap();
    assert_eq!((said.code(), said.out().as_str(), said.err().as_str()), (0, "", ""), "{text}");
}

/// All that it runs is its link, with arguments.
#[track_caller]
fn runs_the_shim_alone(guest: &Container<'_>, id: &str) {
    let text = fs::read_to_string(entry(guest, id)).unwrap();
    let link = data().join(format!("snug/applications/snug.{}.{id}", guest.name()));
    assert_eq!(fs::canonicalize(&link).unwrap().file_name().unwrap(), "snug-shim");
    let begin = format!("Exec={} ", link.display());
    let mut execs = text.lines().filter(|line| line.contains("Exec")).peekable();
    assert!(execs.peek().is_some());
    execs.for_each(|line| assert!(line.starts_with(&begin), "{line}"));
}

/// Starts it as a launcher does: from its entry, in a session, in a directory that no guest shares.
#[track_caller]
fn launch(desktop: &Desktop<'_>, entry: &Path) {
    let command = desktop.command(["gio", "launch", entry.to_str().unwrap()]).dir("/");
    let mut launcher = command.spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    assert!(launcher.wait().unwrap().success(), "{}", entry.display());
}

#[test]
fn an_application_that_was_installed_draws_its_window_and_is_gone_after_it_was_uninstalled() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = guest();
    // The directory of sessions is the bed's, another one in each test; hosts have one for good.
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    root(guest, "apt-get -q update").success();
    snug(guest, ["install", "xterm"]).success();
    let exports = json(&bed.snug("tester").args(["exports", "--json"]).run().unwrap().success());
    let is_own =
        |export: &&serde_json::Value| export["kind"] == "application" && export["container"] == guest.name();
    let own: Vec<_> = exports["exports"].as_array().unwrap().iter().filter(is_own).collect();
    assert!(own.iter().any(|export| export["id"] == "debian-xterm"), "{exports}");
    for export in own {
        assert_eq!((&export["open"], &export["package"]), (&true.into(), &"xterm".into()), "{export}");
        is_valid(Path::new(export["host"].as_str().unwrap()));
        runs_the_shim_alone(guest, export["id"].as_str().unwrap());
    }
    let icons = left(guest).iter().filter(|file| file.to_string_lossy().contains("/icons/hicolor/")).count();
    assert!(icons > 1, "{:?}", left(guest));
    let desktop = Desktop::start(&bed, "tester");
    let windows = || desktop.command(["xwininfo", "-root", "-tree"]).run().unwrap().success().out();
    assert!(!windows().contains("\"XTerm\""));
    launch(&desktop, &entry(guest, "debian-xterm"));
    eventually("the window is drawn", || windows().contains("\"XTerm\""));
    root(guest, "pkill -x xterm").success();
    eventually("the window is gone", || !windows().contains("\"XTerm\""));
    snug(guest, ["uninstall", "-y", "xterm"]).success();
    assert_eq!(left(guest), Vec::<PathBuf>::new());
    // Without applications, where nobody wants them.
    snug(guest, ["install", "--no-apps", "xterm"]).success();
    assert_eq!(left(guest), Vec::<PathBuf>::new());
    snug(guest, ["uninstall", "-y", "xterm"]).success();
}

#[test]
fn a_container_that_does_not_run_is_started_by_its_application() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = guest();
    has(
        guest,
        "t85-starts",
        "[Desktop Entry]\nType=Application\nName=Starts\nExec=sh -c \"echo \\\\$0 \\\\$PWD > /opt/t85/started\" word\nPath=/opt/t85\n",
    );
    snug(guest, ["export", "--app", "t85-starts"]).success();
    let _gone = Finally(|| drop(snug(guest, ["unexport", "--app", "t85-starts"])));
    is_valid(&entry(guest, "t85-starts"));
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    let desktop = Desktop::log_in(&bed, "tester");
    launch(&desktop, &entry(guest, "t85-starts"));
    eventually("it has run", || common::state(&bed, "tester", guest.name()) == "running");
    eventually("it has told so", || root(guest, "cat /opt/t85/started").out() == "word /opt/t85\n");
    root(guest, "rm /opt/t85/started").success();
}

#[test]
fn a_hostile_guest_writes_nothing_outside_and_runs_nothing_on_the_host_but_the_shim() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = guest();
    let before = fs::read_dir(data().join("applications")).into_iter().flatten().count();
    let _gone = Finally(|| {
        drop(root(
            guest,
            "rm -rf /usr/share/applications/evil* /usr/share/icons/hicolor/48x48/apps/evil* /opt/t85/*",
        ))
    });
    // Its words are arguments, wherever they are run.
    has(
        guest,
        "evil",
        "[Desktop Entry]\nType=Application\nName=Evil\\nExec=/bin/evil\nName=Evil\nExec=sh -c \"touch /opt/t85/ran; `touch /opt/t85/too`\" ; touch /tmp/t85-host %u\n\
         Icon=../../../../../tmp/evil\nActions=a;../b;\n\n[Desktop Action a]\nName=A\nExec=touch /opt/t85/action\n[Desktop Action ../b]\nName=B\nExec=b\n\
         [Desktop Entry]\nExec=/bin/evil\n",
    );
    let refused = snug(guest, ["export", "--app", "evil"]);
    explains(&refused, 1, &["no name that can be shown"]);
    let text = "[Desktop Entry]\nType=Application\nName=Evil\nExec=sh -c \"touch /opt/t85/ran\" ; touch /opt/t85/no %u\nExec=/bin/evil\n\
                Icon=evil\nPath=../..\nTryExec=/no/such\nActions=a;../b;\n\n[Desktop Action a]\nName=A\nExec=touch /opt/t85/action\n\
                [Desktop Action ../b]\nName=B\nExec=b\n[Desktop Entry]\nExec=/bin/evil\n";
    has(guest, "evil", text);
    // Images that are none, or no files.
    root(guest, &format!(
        "cd /usr/share/icons/hicolor 2>/dev/null || mkdir -p /usr/share/icons/hicolor && cd /usr/share/icons/hicolor; \
         mkdir -p 16x16/apps 32x32/apps 48x48/apps 64x64/apps scalable/apps; {IMAGE} > 48x48/apps/evil.png; ln -sf /dev/zero 16x16/apps/evil.png; \
         mkfifo 32x32/apps/evil.png; truncate -s 1T 64x64/apps/evil.png; echo '<svg><script/></svg>' > scalable/apps/evil.svg"
    ))
    .success();
    snug(guest, ["export", "--app", "evil"]).success();
    is_valid(&entry(guest, "evil"));
    runs_the_shim_alone(guest, "evil");
    let icons: Vec<PathBuf> =
        left(guest).into_iter().filter(|file| file.to_string_lossy().contains("/icons/")).collect();
    assert_eq!(icons, [data().join(format!("icons/hicolor/48x48/apps/snug.{}.evil.png", guest.name()))]);
    let desktop = Desktop::log_in(&bed, "tester");
    launch(&desktop, &entry(guest, "evil"));
    eventually("it has run in the guest", || root(guest, "test -e /opt/t85/ran").code() == 0);
    assert!(!Path::new("/opt/t85").exists() && root(guest, "test -e /opt/t85/no").code() == 1);
    // What is no entry, or has no end.
    for (make, told) in [
        ("mkfifo evil2.desktop", "has no application evil2"),
        ("rm evil2.desktop; ln -s /dev/zero evil2.desktop", "has no application evil2"),
        ("rm evil2.desktop; truncate -s 1T evil2.desktop", "has no application evil2"),
        (
            "rm evil2.desktop; printf '[Desktop Entry]\\nType=Application\\nName=a\\0b\\nExec=x\\n' > evil2.desktop",
            "no name",
        ),
        ("printf '[Desktop Entry]\\nType=Application\\nName=\\377\\nExec=x\\n' > evil2.desktop", "no name"),
        ("printf '[Desktop Entry]\\nType=Application\\nName=x\\nExec=\"x\\n' > evil2.desktop", "a quote"),
        (
            "printf '[Desktop Entry]\\nType=Link\\nName=x\\nURL=x\\n' > evil2.desktop",
            "not that of an application",
        ),
    ] {
        root(guest, &format!("cd /usr/share/applications; {make}")).success();
        explains(&snug(guest, ["export", "--app", "evil2"]), 1, &[told]);
    }
    // Thousands of them hold nobody up.
    root(guest, "cd /usr/share/applications; for i in $(seq 3000); do : > evil-$i.desktop; done; mkdir -p /usr/share/icons/hicolor/48x48/apps; \
                 for i in $(seq 3000); do : > /usr/share/icons/hicolor/48x48/apps/evil-$i.png; done").success();
    snug(guest, ["export", "--app", "evil"]).success();
    snug(guest, ["unexport", "--app", "evil"]).success();
    assert_eq!(left(guest), Vec::<PathBuf>::new());
    let after = fs::read_dir(data().join("applications")).into_iter().flatten().flatten();
    let after = after.filter(|entry| entry.file_name() != "mimeinfo.cache").count();
    assert!(after <= before);
}

#[test]
fn an_application_of_a_container_that_is_not_trusted_says_whose_it_is_and_goes_with_it() {
    let bed = Bed::require();
    let guest =
        fresh_with(&bed, "tester", "applications-alone", common::DEBIAN_13, &["--preset", "isolated"]);
    root(&guest, "mkdir -p /usr/share/applications").success();
    has(
        &guest,
        "t85-alone",
        "[Desktop Entry]\nType=Application\nName=Files\nName[de]=Dateien\nExec=true %U\nMimeType=inode/directory;\n",
    );
    let place = entry(&guest, "t85-alone");
    assert_eq!(
        snug(&guest, ["export", "--app", "t85-alone"]).success().out(),
        format!("{}\n", place.display())
    );
    is_valid(&place);
    let text = fs::read_to_string(&place).unwrap();
    assert!(
        text.contains("Name=Files (applications-alone)\n")
            && text.contains("Name[de]=Dateien (applications-alone)\n"),
        "{text}"
    );
    assert!(!text.contains("MimeType"), "{text}");
    explains(&snug(&guest, ["export", "--app", "none"]), 1, &["has no application none", "t85-alone"]);
    bed.snug("tester").args(["rm", "-f", guest.name()]).run().unwrap().success();
    assert_eq!(left(&guest), Vec::<PathBuf>::new());
}
