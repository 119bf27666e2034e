//! `install` and `uninstall`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build::Options;
use crate::error::{Doing, Error, Result};
use crate::layout::{self, Item, Place, Source};
use crate::manifest::Manifest;
use crate::program::{root, run, say};

/// Installs what was built. Files that an earlier version installed and this one does not have are removed.
pub fn install(options: &Options, place: &Place) -> Result<()> {
    let built = options.directory();
    let mut items = layout::programs(place, &built);
    items.extend(data_files(place)?);
    items.extend(generated(place, &built.join("snug"))?);
    let earlier = Manifest::load(place)?.unwrap_or_default();
    let mut manifest = Manifest { directories: earlier.directories.clone(), ..Manifest::default() };
    manifest.files.extend(items.iter().map(|item| item.path.clone()));
    for item in &items {
        manifest.make_directory(place, item.path.parent().unwrap_or(Path::new("/")))?;
    }
    manifest.save(place)?;
    for item in &items {
        put(place, item)?;
    }
    for file in earlier.files.difference(&manifest.files) {
        let _ = fs::remove_file(place.below_destdir(file));
    }
    if place.is_running_system() {
        reload();
        switch_units("enable", &manifest);
    }
    say(format_args!("installed {} files, listed in {}", items.len(), Manifest::path(place).display()));
    Ok(())
}

/// Detaches Snug from its containers, then removes what was installed.
pub fn uninstall(place: &Place) -> Result<()> {
    let Some(manifest) = Manifest::load(place)? else {
        say("nothing is installed here");
        return Ok(());
    };
    if place.is_running_system() {
        detach(place)?;
        switch_units("disable", &manifest);
    }
    manifest.remove(place)?;
    if place.is_running_system() {
        stop(place, &manifest);
        reload();
    }
    say(format_args!("removed {} files", manifest.files.len()));
    if place.is_running_system() {
        let state = (place.state_dir.as_path(), "Snug's state, the copies of the agent");
        let lasting = LASTING.iter().map(|(path, what)| (Path::new(path), *what));
        for (path, what) in lasting.chain([state]).filter(|(path, _)| path.exists()) {
            say(format_args!("left: {} ({what})", path.display()));
        }
    }
    Ok(())
}

/// What is not a file of the installation, and whose it is. Removing it is a decision that nobody took by uninstalling.
const LASTING: [(&str, &str); 4] = [
    ("/etc/snug", "your configuration"),
    (
        "/var/lib/incus",
        "Incus with its containers, those of Snug too (projects snug-UID, pool snug, network snugbr0)",
    ),
    ("/etc/subuid", "and /etc/subgid: the lines of root, which containers need to start"),
    (
        "/var/lib/snug-testbed",
        "of `make try` and `make test`: packages and their source in /etc/apt/sources.list.d, users with homes, images; `make down DOWN=--purge` removes the last two",
    ),
];

/// A container whose agent file is missing does not start: each gets its own init back.
fn detach(place: &Place) -> Result<()> {
    let daemon = place.libexec().join("snugd");
    if !daemon.exists() {
        return Ok(());
    }
    say("detaching Snug from its containers");
    // The first would call the second. It would wait for a daemon that is at work, and for one that has nothing to do until that leaves.
    if Path::new("/run/systemd/system").is_dir() {
        let _ = quiet(Command::new("systemctl").args(["stop", "snug-follow.service", "snugd.service"]));
    } else {
        end_programs(&daemon.to_string_lossy());
    }
    let mut command = Command::new(daemon);
    command.arg("detach-all");
    run(command).map_err(|error| {
        Error::Check(format!(
            "{error}\nnothing was removed: containers that still need the agent would not start"
        ))
    })
}

/// Ends a snugd whose file is gone, and the other units: systemd keeps one that did its work at boot as active.
fn stop(place: &Place, manifest: &Manifest) {
    if Path::new("/run/systemd/system").is_dir() {
        let mut command = Command::new("systemctl");
        if !quiet(command.arg("stop").args(units(manifest, SYSTEM_UNITS).filter_map(|unit| unit.file_name())))
        {
            say(format_args!(
                "systemctl stop failed: look for what is left with `systemctl list-units 'snug*'`"
            ));
        }
        return;
    }
    end_programs(&format!("{} (deleted)", place.libexec().join("snugd").display()));
}

/// Tells every process whose program is that (proc(5), `exe`) to end.
fn end_programs(program: &str) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.as_os_str() == program) {
            let _ = quiet(Command::new("kill").arg(entry.file_name()));
        }
    }
}

/// The bus reads its policy and activation files again, systemd its units. Neither may be there.
fn reload() {
    let mut bus = Command::new("dbus-send");
    let method = "org.freedesktop.DBus.ReloadConfig";
    let _ = quiet(bus.args(["--system", "--print-reply", "--dest=org.freedesktop.DBus", "/", method]));
    if Path::new("/run/systemd/system").is_dir() {
        let mut systemd = Command::new("systemctl");
        let _ = quiet(systemd.arg("daemon-reload"));
        // Else with the next boot.
        let _ = quiet(Command::new("systemctl").args(["try-restart", "systemd-sysctl.service"]));
    }
}

const SYSTEM_UNITS: &str = "/usr/lib/systemd/system";

/// The installed units of a directory.
fn units<'a>(manifest: &'a Manifest, dir: &'a str) -> impl Iterator<Item = &'a PathBuf> {
    manifest.files.iter().filter(move |file| file.parent() == Some(Path::new(dir)))
}

/// Units that are each user's own to enable.
const OPTIONAL: [&str; 1] = ["snug-upgrade.timer"];

/// Whether `enable` or `disable` is for a unit of this name and text: for those that say when they want to be started; those that the bus
/// starts do not. Nothing optional is enabled; disabling is for whatever an administrator has enabled for all.
fn is_switched(verb: &str, name: &str, text: &str) -> bool {
    text.contains("[Install]") && (verb == "disable" || !OPTIONAL.contains(&name))
}

/// Enables or disables the installed units.
fn switch_units(verb: &str, manifest: &Manifest) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    for (dir, scope) in [(SYSTEM_UNITS, "--system"), ("/usr/lib/systemd/user", "--global")] {
        let wants = |file: &&PathBuf| {
            let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
            fs::read_to_string(file).is_ok_and(|text| is_switched(verb, name, &text))
        };
        for unit in units(manifest, dir).filter(wants) {
            let mut command = Command::new("systemctl");
            if !quiet(command.args([scope, verb]).args(unit.file_name())) {
                say(format_args!("systemctl {scope} {verb} {} failed", unit.display()));
            }
        }
    }
}

fn quiet(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A file of `data/` with the usual places of programs and state replaced by the chosen ones.
fn placed(text: &str, place: &Place) -> String {
    text.replace("/usr/libexec/snug", &place.libexec().to_string_lossy())
        .replace(layout::STATE_DIR, &place.state_dir.to_string_lossy())
        .replace("=/usr/bin/snug ", &format!("={} ", place.prefix.join("bin/snug").display()))
}

/// What is in `data/`, each file with its place.
pub fn data_files(place: &Place) -> Result<Vec<Item>> {
    let data = root().join("data");
    let mut items = Vec::new();
    for file in files_below(&data)? {
        let relative = file.strip_prefix(&data).unwrap_or(&file);
        match layout::data(place, relative) {
            Some(path) => {
                let mode = layout::mode(relative);
                items.push(Item { source: Source::Text(file), path, mode });
            }
            None => say(format_args!("data/{}: not installed, no rule for it", relative.display())),
        }
    }
    Ok(items)
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).doing(|| format!("reading {}", dir.display()))?.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Completions and man pages, as the program itself writes them.
fn generated(place: &Place, snug: &Path) -> Result<Vec<Item>> {
    let share = place.prefix.join("share");
    let completions = [
        ("bash", share.join("bash-completion/completions/snug")),
        ("zsh", layout::zsh_functions(place).join("_snug")),
        ("fish", share.join("fish/vendor_completions.d/snug.fish")),
    ];
    let mut items = Vec::new();
    for (shell, path) in completions {
        let text = output(snug, &["completion", shell])?;
        items.push(Item { source: Source::Made(text), path, mode: 0o644 });
    }
    // `snug man DIR` writes a page for each command.
    let dir = tempfile::tempdir().doing(|| "making a directory for the man pages".to_owned())?;
    output(snug, &["man", &dir.path().to_string_lossy()])?;
    for file in files_below(dir.path())? {
        let text = fs::read(&file).doing(|| format!("reading {}", file.display()))?;
        let path = share.join("man/man1").join(file.file_name().unwrap_or_default());
        items.push(Item { source: Source::Made(text), path, mode: 0o644 });
    }
    Ok(items)
}

fn output(program: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(args).env_clear().stdin(Stdio::null()).stderr(Stdio::inherit());
    let doing = || format!("running {} {}", program.display(), args.join(" "));
    let output = command.output().doing(doing)?;
    if !output.status.success() {
        return Err(Error::Program { command: doing(), how: output.status.to_string() });
    }
    Ok(output.stdout)
}

/// A new file under the name, so that a program that runs keeps its own.
fn put(place: &Place, item: &Item) -> Result<()> {
    let path = place.below_destdir(&item.path);
    let installing = || format!("installing {}", path.display());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let file = tempfile::NamedTempFile::new_in(dir).doing(installing)?;
    let content = match &item.source {
        Source::File(source) => {
            fs::read(source).doing(|| format!("reading {} (`cargo xtask build`)", source.display()))?
        }
        Source::Text(source) => {
            let text = fs::read_to_string(source).doing(|| format!("reading {}", source.display()))?;
            placed(&text, place).into_bytes()
        }
        Source::Made(content) => content.clone(),
    };
    fs::write(file.path(), content).doing(installing)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(item.mode)).doing(installing)?;
    file.persist(&path).map_err(|error| error.error).doing(installing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_optional_is_enabled() {
        for item in data_files(&Place::default()).unwrap() {
            let Source::Text(file) = &item.source else { continue };
            let (name, text) =
                (file.file_name().unwrap().to_str().unwrap(), fs::read_to_string(file).unwrap());
            let wants = text.contains("[Install]");
            assert_eq!(is_switched("disable", name, &text), wants, "{name}");
            assert_eq!(is_switched("enable", name, &text), wants && name != "snug-upgrade.timer", "{name}");
        }
        let timer = fs::read_to_string(root().join("data/systemd/user/snug-upgrade.timer")).unwrap();
        assert!(!is_switched("enable", OPTIONAL[0], &timer) && is_switched("disable", OPTIONAL[0], &timer));
    }

    #[test]
    fn units_start_the_programs_of_the_chosen_prefix() {
        let place = Place { prefix: "/opt/snug".into(), state_dir: "/srv/snug".into(), ..Place::default() };
        let text = "ConditionPathExists=/var/lib/snug/run\n\
            ExecStart=/usr/bin/snug start\nExecStart=/usr/libexec/snug/snugd\n";
        let expected = "ConditionPathExists=/srv/snug/run\n\
            ExecStart=/opt/snug/bin/snug start\nExecStart=/opt/snug/libexec/snug/snugd\n";
        assert_eq!(placed(text, &place), expected);
    }
}
