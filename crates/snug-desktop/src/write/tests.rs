use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::key_file::KeyFile;

const PLACING: Placing<'static> = Placing {
    program: "/home/u/.local/share/snug/applications/snug.dev.tool",
    container: "dev",
    is_named: false,
    class: Some("tool"),
    types: &[],
};

fn read(text: &str) -> Option<Entry> {
    Entry::read(text.as_bytes(), "/usr/share/applications/tool.desktop").ok()
}

fn host_icon(icon: &Icon) -> Option<String> {
    Some(format!("snug.dev.{}", icon.file_stem()?))
}

fn written(text: &str, placing: &Placing<'_>) -> String {
    super::text(&read(text).unwrap(), placing, &host_icon)
}

#[test]
fn an_entry_is_written_as_the_host_needs_it() {
    let text = written(
        "[Desktop Entry]\nType=Application\nVersion=1.5\nName=Tool\nName[de]=Werkzeug\nComment=Does it\nExec=tool --x %U\nTryExec=tool\n\
         Path=/opt\nIcon=tool\nDBusActivatable=true\nTerminal=true\nCategories=Audio;\nKeywords=a;b;\nActions=new;\nSingleMainWindow=true\n\
         MimeType=image/png;\nOnlyShowIn=GNOME;\nNotShowIn=KDE;\n\n[Desktop Action new]\nName=New\nName[de]=Neu\nExec=tool --new\n",
        &Placing { is_named: true, types: &["image/png".to_owned()], ..PLACING },
    );
    assert_eq!(
        text,
        "[Desktop Entry]\nType=Application\nName=Tool (dev)\nName[de]=Werkzeug (dev)\nComment=Does it\nIcon=snug.dev.tool\n\
         Exec=/home/u/.local/share/snug/applications/snug.dev.tool tool --x %U\nTerminal=true\nOnlyShowIn=GNOME;\nMimeType=image/png;\n\
         Categories=AudioVideo;Audio;\nKeywords=a;b;\nStartupWMClass=tool\nX-GNOME-SingleWindow=true\nActions=new;\nX-Snug-Container=dev\n\n\
         [Desktop Action new]\nName=New\nName[de]=Neu\nExec=/home/u/.local/share/snug/applications/snug.dev.tool tool --new\n"
    );
}

#[test]
fn a_long_name_does_not_hide_whose_it_is() {
    assert_eq!(marked("GNU Image Manipulation Program", "dev"), "GNU Image Manipulation Program (dev)");
    assert_eq!(
        marked("Browser, the only one of your host, believe me", "dev"),
        "Browser, the only one of your… (dev)"
    );
    let name = "ü".repeat(99);
    let text = written(
        &format!("[Desktop Entry]\nType=Application\nName={name}\nName[de]={name}\nExec=t\n"),
        &Placing { is_named: true, ..PLACING },
    );
    assert_eq!(text.matches(&format!("{}… (dev)\n", "ü".repeat(30))).count(), 2, "{text}");
}

#[test]
fn one_that_is_only_for_desktops_that_nobody_knows_is_not_shown() {
    let text = written("[Desktop Entry]\nType=Application\nName=T\nExec=t\nOnlyShowIn=Nowhere;\n", &PLACING);
    assert!(text.contains("NoDisplay=true\n") && !text.contains("OnlyShowIn"), "{text}");
}

/// Whether `desktop-file-validate` has nothing to say but hints; without it there is nothing to ask.
fn complaints(text: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("snug.dev.tool.desktop");
    fs::write(&file, text).unwrap();
    let output = Command::new("desktop-file-validate").args(["--no-hints"]).arg(&file).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn validators_have_nothing_to_say() {
    let mut all = vec![
        "[Desktop Entry]\nType=Application\nName=Tool\nComment=Tool\nGenericName=Tool\nExec=sh -c \"a \\\\$b \\\\`c\\\\` 'd' %%\" \"x %f\"\n\
         Icon=tool.png\nCategories=Video;Nonsense;Applet;\nMimeType=foo/bar;image/png;application/x-y;\nOnlyShowIn=Foo;GNOME;\n\
         NotShowIn=KDE;\nPrefersNonDefaultGPU=true\nSingleMainWindow=true\nX-Other=\u{fc}\nKeywords=a\\;b;\\sc;\nActions=a;a;b;\n\
         [Desktop Action a]\nName=A\nExec=a \"b c\"\nIcon=/usr/share/x.png\n[Desktop Action c]\nName=C\nExec=c\n[Other]\nA=b\n"
            .to_owned(),
    ];
    // What this machine's packages have.
    for entry in fs::read_dir("/usr/share/applications").into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "desktop") {
            all.extend(fs::read_to_string(path));
        }
    }
    for text in all {
        let Some(entry) = read(&text) else { continue };
        let written = super::text(&entry, &Placing { types: &entry.types, ..PLACING }, &host_icon);
        let Some(said) = complaints(&written) else { return };
        assert_eq!(said, "", "{written}\nof\n{text}");
    }
}

/// What a program is given that GLib starts by an entry with this command line and these files; without GLib's launcher there is nobody to
/// ask.
fn launched(exec: &str, files: &[&str]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let program = at("a program");
    // What it says is its launcher's output.
    fs::write(&program, "#!/bin/sh\nprintf '%s\\0' \"$@\"\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let guests = format!("[Desktop Entry]\nType=Application\nName=Tool\nExec={exec}\n");
    let placing = Placing { program: program.to_str().unwrap(), ..PLACING };
    fs::write(at("x.desktop"), text(&read(&guests).unwrap(), &placing, &host_icon)).unwrap();
    let output = Command::new("gio").arg("launch").arg(at("x.desktop")).args(files).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    Some(told.split_terminator('\0').map(str::to_owned).collect())
}

#[test]
fn a_launcher_gives_the_program_the_guests_words() {
    for (exec, files, wanted) in [
        ("tool --new", &[][..], &["tool", "--new"][..]),
        (
            r#"sh -c "echo \\$HOME \\`id\\` \\"x\\" 'y' \\\\ %%" ; rm -rf ~ $(id) `id`"#,
            &[],
            &["sh", "-c", r#"echo $HOME `id` "x" 'y' \ %"#, ";", "rm", "-rf", "~", "$(id)", "`id`"],
        ),
        ("tool %F", &["/tmp/a b", "/tmp/$c"], &["tool", "/tmp/a b", "/tmp/$c"]),
        ("tool --file=%f \"\" 'ü ß'", &["/tmp/a b"], &["tool", "--file=/tmp/a b", "", "ü ß"]),
        ("tool %u", &["http://x/?a=%20&b"], &["tool", "http://x/?a=%20&b"]),
        ("tool %c", &[], &["tool", "Tool"]),
        ("tool \"%f x\" %%f", &[], &["tool", " x", "%f"]),
    ] {
        let Some(told) = launched(exec, files) else { return };
        assert_eq!(told, wanted, "{exec}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_a_guest_writes_becomes_a_line_that_was_not_looked_at(
        lines in proptest::collection::vec("(Name|Exec|Icon|Comment|Keywords|Actions|Path|StartupWMClass|Categories|MimeType|OnlyShowIn)(\\[d?e?\\])? ?= ?[ -~\\\\;%\"\u{202e}ü]{0,40}", 1..10),
        action in proptest::collection::vec("(Name|Exec|Icon)=[ -~\\\\%]{0,30}", 1..4),
    ) {
        let text = format!("[Desktop Entry]\nType=Application\nName=x\nExec=x %u\nActions=a;\n{}\n[Desktop Action a]\n{}\n", lines.join("\n"), action.join("\n"));
        if let Some(entry) = read(&text) {
            let written = super::text(&entry, &PLACING, &host_icon);
            for line in written.lines().filter(|line| line.starts_with("Exec")) {
                let exec = format!("Exec={} ", PLACING.program);
                prop_assert!(line.starts_with(&exec), "{}", line);
            }
            prop_assert!(written.lines().filter(|line| line.starts_with('[')).count() <= 2);
            prop_assert!(!written.contains("TryExec") && !written.contains("DBus"));
            // What was written is what is read again.
            let again = Entry::read(written.as_bytes(), "/x").unwrap();
            prop_assert_eq!((&again.name, &again.comment, &again.keywords), (&entry.name, &entry.comment, &entry.keywords));
            prop_assert!(KeyFile::read(written.as_bytes()).is_some());
        }
    }
}
