//! Applications of containers that the host's menus have: entries, icons and the index.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::TestEnv;
use support::applications::{ENTRY, Host, PNG, value};

const EXPORT: [&str; 5] = ["export", "-c", "dev", "--app", "tool"];
const UNEXPORT: [&str; 5] = ["unexport", "-c", "dev", "--app", "tool"];
const LEFT: [&str; 3] =
    [".local/share/snug/exports.json", ".local/share/snug/exports.lock", ".local/share/snug/shim"];

#[test]
fn an_application_is_in_the_menus_until_it_is_taken_back() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    let entry = host.entry("dev");
    assert_eq!(host.done(&EXPORT), format!("{}\n", entry.display()));
    let exec = format!("{} tool --x %U", host.link("dev").display());
    assert_eq!(value(&entry, "Exec").as_deref(), Some(exec.as_str()));
    assert_eq!(value(&entry, "Name[de]").as_deref(), Some("Das Werkzeug"));
    assert_eq!(value(&entry, "Icon").as_deref(), Some("snug.dev.tool"));
    assert_eq!(value(&entry, "StartupWMClass").as_deref(), Some("tool"));
    assert_eq!((value(&entry, "TryExec"), value(&entry, "DBusActivatable")), (None, None));
    assert_eq!(fs::read(host.icon("dev")).unwrap(), PNG);
    assert_eq!(fs::read_link(host.link("dev")).unwrap(), host.data("snug/shim"));
    let json: serde_json::Value = serde_json::from_str(&host.done(&["exports", "--json"])).unwrap();
    let wanted = serde_json::json!({
        "kind": "application", "container": "dev", "path": "/usr/share/applications/tool.desktop",
        "host": entry.to_str(), "open": true, "package": null, "version": null, "id": "tool",
    });
    assert_eq!(json["exports"][0], wanted);
    assert!(host.done(&["exports"]).contains("application tool"));
    if let Ok(said) = Command::new("desktop-file-validate").arg(&entry).output() {
        assert_eq!(
            (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned()),
            (Some(0), String::new())
        );
    }
    // Once more is no more.
    let before = host.home();
    host.done(&EXPORT);
    assert_eq!(host.home(), before);
    host.done(&UNEXPORT);
    assert_eq!(host.home(), LEFT);
    host.refused(&UNEXPORT, &["tool of dev is not exported"]);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    host.refused(
        &["export", "-c", "dev", "--app", "other"],
        &["dev has no application other", "it has tool"],
    );
    host.refused(
        &["export", "-c", "web", "--app", "tool"],
        &["web has no application tool", "no applications"],
    );
    host.guest_has("dev", &[("entry/tool/x", b"[Desktop Entry]\nType=Link\n")]);
    host.refused(&EXPORT, &["tool of dev cannot be exported: ", "not that of an application"]);
    host.guest_has("dev", &[("entry/tool/x", ENTRY.replace("Exec=tool --x %U", "Exec=\"tool").as_bytes())]);
    host.refused(&EXPORT, &["a quote in its command line does not end"]);
    for id in ["", "../x", "a/b", "a b", "-x"] {
        let ran = host.snug(&["export", "-c", "dev", &format!("--app={id}")]);
        assert_eq!(ran.status, Some(2), "{id}: {}", ran.stderr);
    }
    assert_eq!(host.home(), [""; 0]);
}

#[test]
fn a_second_container_with_the_same_application_says_whose_it_is() {
    let host = Host::new();
    for container in ["dev", "web"] {
        host.guest_has_tool(container, ENTRY);
        host.done(&["export", "-c", container, "--app", "tool"]);
    }
    assert_eq!(value(&host.entry("dev"), "Name").as_deref(), Some("The Tool"));
    assert_eq!(value(&host.entry("web"), "Name").as_deref(), Some("The Tool (web)"));
    assert_eq!(value(&host.entry("web"), "Name[de]").as_deref(), Some("Das Werkzeug (web)"));
    assert_eq!(value(&host.entry("web"), "MimeType"), None, "that of dev opens it already");
    // Once more is the same.
    host.done(&EXPORT);
    assert_eq!(value(&host.entry("dev"), "Name").as_deref(), Some("The Tool"));
    host.refused(
        &["unexport", "--app", "tool"],
        &["tool is an application of dev", "`snug unexport -c dev --app tool`"],
    );
    host.done(&["unexport", "-c", "web", "--app", "tool"]);
    assert!(host.entry("dev").exists() && host.icon("dev").exists());
    assert!(
        !host.entry("web").exists()
            && !host.icon("web").exists()
            && fs::symlink_metadata(host.link("web")).is_err()
    );
}

#[test]
fn of_two_that_come_together_one_opens_a_type() {
    let host = Host::new();
    let other = ENTRY.replace("The Tool", "Other");
    host.guest_has("dev", &[("entry/other/x", other.as_bytes()), ("entry/tool/x", ENTRY.as_bytes())]);
    let types = || {
        ["other", "tool"]
            .map(|id| value(&host.data(&format!("applications/snug.dev.{id}.desktop")), "MimeType"))
    };
    for again in [&["other", "tool"][..], &["other"], &["tool"]] {
        host.done(&[&["export", "-c", "dev", "--app"], again].concat());
        assert_eq!(types(), [Some("image/png;".to_owned()), None], "{again:?}");
    }
}

#[test]
fn what_the_host_has_stays_what_it_is() {
    let host = Host::new();
    let hosts = host.environment.system().join("usr/share/applications/tool.desktop");
    fs::create_dir_all(hosts.parent().unwrap()).unwrap();
    fs::write(&hosts, "[Desktop Entry]\nType=Application\nName=the tool\nExec=tool\nMimeType=image/png;\n")
        .unwrap();
    host.guest_has_tool("dev", ENTRY);
    host.done(&EXPORT);
    let entry = host.entry("dev");
    assert_eq!(value(&entry, "Name").as_deref(), Some("The Tool (dev)"));
    assert_eq!((value(&entry, "MimeType"), value(&entry, "StartupWMClass")), (None, None));
    // Where somebody has chosen what opens it, another one that can is no danger.
    let chosen = host.environment.home().join(".config/mimeapps.list");
    fs::write(&chosen, "[Default Applications]\nimage/png=tool.desktop\n").unwrap();
    host.done(&EXPORT);
    assert_eq!(value(&entry, "MimeType").as_deref(), Some("image/png;"));
    assert_eq!(fs::read_to_string(chosen).unwrap(), "[Default Applications]\nimage/png=tool.desktop\n");
}

#[test]
fn what_somebody_has_changed_stays_and_what_is_his_own_is_never_touched() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    let entry = host.entry("dev");
    fs::create_dir_all(entry.parent().unwrap()).unwrap();
    fs::write(&entry, "mine").unwrap();
    host.refused(&EXPORT, &["is there and not Snug's"]);
    assert_eq!(fs::read_to_string(&entry).unwrap(), "mine");
    assert!(!host.icon("dev").exists() && fs::symlink_metadata(host.link("dev")).is_err());
    fs::remove_file(&entry).unwrap();
    symlink("/etc/passwd", &entry).unwrap();
    host.refused(&EXPORT, &["is there and not Snug's"]);
    fs::remove_file(&entry).unwrap();
    // An icon of his own in the place of one stays, and the application comes without it.
    fs::create_dir_all(host.icon("dev").parent().unwrap()).unwrap();
    fs::write(host.icon("dev"), "mine").unwrap();
    host.done(&EXPORT);
    assert_eq!(fs::read_to_string(host.icon("dev")).unwrap(), "mine");
    // One that he has changed since.
    let changed = format!("{}# mine\n", fs::read_to_string(&entry).unwrap());
    fs::write(&entry, &changed).unwrap();
    host.guest_has_tool("dev", &ENTRY.replace("The Tool", "Another"));
    host.done(&EXPORT);
    assert_eq!(fs::read_to_string(&entry).unwrap(), changed);
    let ran = host.snug(&UNEXPORT);
    assert_eq!(
        (ran.status, ran.stderr.matches("was changed by somebody: it stays").count()),
        (Some(0), 1),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(&entry).unwrap(), changed);
    assert_eq!(fs::read_to_string(host.icon("dev")).unwrap(), "mine");
    host.refused(&UNEXPORT, &["is not exported"]);
}

#[test]
fn what_has_changed_in_the_guest_is_brought_up_to_date() {
    let host = Host::new();
    host.guest_has(
        "dev",
        &[
            ("entry/tool/usr/share/applications/tool.desktop", ENTRY.as_bytes()),
            ("theme/48x48/tool.png", PNG),
            ("theme/16x16/tool.png", PNG),
        ],
    );
    host.done(&EXPORT);
    let other = [PNG, b"more"].concat();
    let entry = ENTRY.replace("The Tool", "The New Tool");
    host.guest_has(
        "dev",
        &[
            ("entry/tool/usr/share/applications/tool.desktop", entry.as_bytes()),
            ("theme/48x48/tool.png", &other),
        ],
    );
    host.done(&EXPORT);
    assert_eq!(value(&host.entry("dev"), "Name").as_deref(), Some("The New Tool"));
    assert_eq!(fs::read(host.icon("dev")).unwrap(), other);
    assert!(!host.data("icons/hicolor/16x16").exists(), "a size that it has no more");
    // Whoever was interrupted left the index ahead of the files, or behind them: either is mended.
    let index = fs::read_to_string(host.data("snug/exports.json")).unwrap();
    fs::remove_file(host.entry("dev")).unwrap();
    fs::remove_file(host.link("dev")).unwrap();
    assert!(host.done(&["exports"]).contains("not there: "));
    host.done(&EXPORT);
    assert!(host.entry("dev").exists() && host.link("dev").symlink_metadata().is_ok());
    assert_eq!(fs::read_to_string(host.data("snug/exports.json")).unwrap(), index);
    fs::remove_file(host.data("snug/exports.json")).unwrap();
    host.done(&EXPORT);
    assert_eq!(fs::read_to_string(host.data("snug/exports.json")).unwrap(), index);
}

#[test]
fn more_than_one_question_asks_for_are_exported_all_the_same() {
    let host = Host::new();
    let ids: Vec<String> = (0..203).map(|number| format!("tool{number}")).collect();
    let names: Vec<String> = ids.iter().map(|id| format!("entry/{id}/usr/share/{id}.desktop")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), ENTRY.as_bytes())).collect();
    host.guest_has("dev", &files);
    let mut arguments = vec!["export", "-c", "dev"];
    for id in &ids {
        arguments.extend(["--app", id]);
    }
    let said = host.done(&arguments);
    assert_eq!(said.lines().filter(|line| line.ends_with(".desktop")).count(), ids.len(), "{said}");
    for id in [&ids[0], &ids[202]] {
        assert!(host.data(&format!("applications/snug.dev.{id}.desktop")).exists(), "{id}");
    }
    // And brought up to date, all of them.
    let newer = ENTRY.replace("The Tool", "The New Tool");
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), newer.as_bytes())).collect();
    host.guest_has("dev", &files);
    host.done(&["undo", "-y", "-c", "dev"]);
    for id in &ids {
        let entry = host.data(&format!("applications/snug.dev.{id}.desktop"));
        // With whose it is, where another has the same name.
        assert!(value(&entry, "Name").is_some_and(|name| name.starts_with("The New Tool")), "{id}");
    }
}

#[test]
fn whoever_was_interrupted_while_files_changed_leaves_nothing_that_is_not_known() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    // As it is between the index and the files: that says what will be there, and what was.
    let interrupt = || {
        host.done(&EXPORT);
        let file = host.data("snug/exports.json");
        let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let application = &mut index["applications"][0];
        application["replaces"] = application["files"].clone();
        let files = application["files"].as_object_mut().unwrap();
        files.values_mut().for_each(|digest| *digest = "0123456789abcdef0123456789abcdef".into());
        fs::write(&file, index.to_string()).unwrap();
    };
    interrupt();
    host.done(&UNEXPORT);
    assert_eq!(host.home(), LEFT);
    interrupt();
    host.guest_has_tool("dev", &ENTRY.replace("The Tool", "The New Tool"));
    host.done(&EXPORT);
    assert_eq!(value(&host.entry("dev"), "Name").as_deref(), Some("The New Tool"));
    assert!(!fs::read_to_string(host.data("snug/exports.json")).unwrap().contains("replaces"));
    host.done(&UNEXPORT);
    assert_eq!(host.home(), LEFT);
}

#[test]
fn what_cannot_be_renewed_stays_as_it_was() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    host.done(&EXPORT);
    let before = host.home();
    // No file can be made there, as on a disk that is full.
    symlink("nowhere", host.data("icons/hicolor/16x16")).unwrap();
    let entry = ENTRY.replace("The Tool", "The New Tool");
    let path = "entry/tool/usr/share/applications/tool.desktop";
    let files: [(&str, &[u8]); 3] =
        [(path, entry.as_bytes()), ("theme/16x16/tool.png", PNG), ("theme/48x48/tool.png", PNG)];
    host.guest_has("dev", &files);
    host.refused(&EXPORT, &["a file of an application cannot be written", "16x16"]);
    fs::remove_file(host.data("icons/hicolor/16x16")).unwrap();
    assert_eq!(host.home(), before);
    assert_eq!(value(&host.entry("dev"), "Name").as_deref(), Some("The Tool"));
    assert!(host.done(&["exports"]).contains("application tool"));
    host.done(&EXPORT);
    assert_eq!(value(&host.entry("dev"), "Name").as_deref(), Some("The New Tool"));
    host.done(&UNEXPORT);
    assert_eq!(host.home(), LEFT);
}

#[test]
fn a_hostile_guest_writes_nothing_outside_and_runs_nothing_but_the_shim() {
    let host = Host::new();
    let long = "x".repeat(100_000);
    let entries = [
        "[Desktop Entry]\nType=Application\nName=A\nExec=sh -c 'touch /tmp/x' `id` $(id) ; rm -rf ~ %f\nIcon=../../../../evil\n".to_owned(),
        format!("{ENTRY}\n[Desktop Entry]\nExec=/bin/evil\n[Desktop Action new]\nExec=/bin/evil\n"),
        "[Desktop Entry]\nType=Application\nName=A\\nExec=/bin/evil\nExec=tool\nExec=/bin/evil\nPath=../..\nStartupWMClass=a\\nExec=/bin/evil\n".to_owned(),
        format!("[Desktop Entry]\nType=Application\nName=A\nComment={long}\nKeywords={}\nExec=tool\nIcon=/etc/passwd\n", "a;".repeat(9000)),
        "[Desktop Entry]\nType=Application\nName=A\nExec=tool %%f %u%F \"%U x\"\nIcon=tool\nActions=../x;a b;new;\n[Desktop Action ../x]\nName=x\nExec=/bin/evil\n".to_owned(),
    ];
    for entry in entries {
        let mut files: Vec<(String, Vec<u8>)> =
            vec![("entry/tool/usr/share/applications/tool.desktop".into(), entry.clone().into_bytes())];
        files.extend(
            [
                "theme/../tool.png",
                "theme/../../../x/tool.png",
                "theme/48x48/../../tool.png",
                "file/etc/passwd",
                "plain/../tool.png",
                "/etc/evil",
                "../evil",
            ]
            .map(|name| (name.to_owned(), PNG.to_vec())),
        );
        files.extend(
            (0..200).map(|number| (format!("theme/{number}x{number}/tool.png"), b"#!/bin/sh\n".to_vec())),
        );
        files.push(("theme/48x48/tool.png".into(), b"\x7fELF".to_vec()));
        files.push(("entry/../../../evil/x".into(), ENTRY.as_bytes().to_vec()));
        files.push(("entry/stranger/x".into(), ENTRY.as_bytes().to_vec()));
        let borrowed: Vec<(&str, &[u8])> =
            files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        host.guest_has("dev", &borrowed);
        let ran = host.snug(&EXPORT);
        if ran.status == Some(0) {
            let text = fs::read_to_string(host.entry("dev")).unwrap();
            let begin = format!("Exec={} ", host.link("dev").display());
            let mut execs = 0;
            for line in text.lines().filter(|line| line.contains("Exec")) {
                assert!(line.starts_with(&begin), "{line}\n{text}");
                execs += 1;
            }
            assert!(execs >= 1 && !text.contains("Path="), "{text}");
            assert!(text.len() < 50_000);
            if let Ok(said) =
                Command::new("desktop-file-validate").arg("--no-hints").arg(host.entry("dev")).output()
            {
                assert_eq!(String::from_utf8_lossy(&said.stdout), "", "{text}");
            }
        } else {
            assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
        }
        let own = |name: &String| LEFT.contains(&name.as_str()) || name.contains("/snug.dev.tool");
        assert!(host.home().iter().all(own), "{:?}", host.home());
        assert!(
            host.home()
                .iter()
                .all(|name| !name.contains("hicolor") || name.contains("/48x48/apps/snug.dev.tool.")),
            "{:?}",
            host.home()
        );
    }
    // What is no stream at all, or has no end.
    let place = host.environment.system().join("dev");
    fs::write(place.join("stream"), "no stream").unwrap();
    host.refused(&EXPORT, &["dev cannot be asked for its applications"]);
    fs::write(place.join("agent"), "#!/bin/sh\nexec cat /dev/urandom\n").unwrap();
    host.refused(&EXPORT, &["dev cannot be asked for its applications"]);
    fs::write(place.join("agent"), "#!/bin/sh\nexit 1\n").unwrap();
    host.refused(&EXPORT, &["dev cannot be asked", "`snug restart dev` gives it the agent of this version"]);
}

#[test]
fn with_its_container_go_its_applications_and_no_others() {
    let environment = TestEnv::with_daemon(&["dev-stopped", "web-stopped"]);
    environment.install_shim();
    let host = Host { environment };
    for container in ["dev-stopped", "web-stopped"] {
        host.guest_has_tool(container, ENTRY);
        host.environment
            .agent(container, &[("/.snug/bin/snug-agent", host.agent(container).to_str().unwrap())]);
        host.done(&["export", "-c", container, "--app", "tool"]);
    }
    host.done(&["rm", "--dry-run", "dev-stopped"]);
    assert!(host.entry("dev-stopped").exists());
    let ran = host.snug(&["rm", "dev-stopped"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert!(!host.home().iter().any(|name| name.contains("dev-stopped")), "{:?}", host.home());
    assert!(host.entry("web-stopped").exists() && host.icon("web-stopped").exists());
}

#[test]
fn two_at_once_lose_nothing() {
    let host = Host::new();
    let names: Vec<(String, &[u8])> = (0..4)
        .map(|number| (format!("entry/tool{number}/usr/share/applications/x.desktop"), ENTRY.as_bytes()))
        .collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    host.guest_has("dev", &files);
    let all: Vec<String> = (0..4).map(|number| format!("tool{number}")).collect();
    for verb in ["export", "unexport"] {
        std::thread::scope(|scope| {
            for id in &all {
                let host = &host;
                scope.spawn(move || host.done(&[verb, "-c", "dev", "--app", id]));
            }
        });
        let there = host.home().iter().filter(|name| name.ends_with(".desktop")).count();
        assert_eq!(there, if verb == "export" { 4 } else { 0 });
    }
    assert_eq!(host.home(), LEFT);
}

#[test]
fn a_directory_that_cannot_be_written_leaves_nothing_exported() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    fs::create_dir_all(host.data("")).unwrap();
    fs::write(host.data("applications"), "a file").unwrap();
    host.refused(
        &EXPORT,
        &["a file of an application cannot be written", "applications/snug.dev.tool.desktop"],
    );
    assert!(!host.icon("dev").exists() && fs::symlink_metadata(host.link("dev")).is_err());
    assert_eq!(host.done(&["exports"]), "");
    assert_eq!(fs::read_to_string(host.data("applications")).unwrap(), "a file");
}

#[test]
fn a_shell_is_offered_what_the_container_has_and_what_is_exported() {
    let host = Host::new();
    host.guest_has_tool("dev", ENTRY);
    let complete = |words: &[&str]| {
        let mut command = host.environment.command(&[&["--", "snug"], words].concat());
        String::from_utf8(command.env("SNUG_COMPLETE", "fish").output().unwrap().stdout).unwrap()
    };
    assert_eq!(complete(&["export", "-c", "dev", "--app", "t"]), "tool\n");
    assert_eq!(complete(&["unexport", "--app", "t"]), "");
    host.done(&EXPORT);
    assert_eq!(complete(&["unexport", "--app", "t"]), "tool\tof dev\n");
}
