//! The real programs, with the very lines of the table: each test has a root of its own, this machine's with a layer of memory over it,
//! without a network, and a repository that it makes. Of both nothing is left when its thread ends.
//!
//! dpkg is Debian's; the other programs are packages that `snug-testbed up` installs. A program that is missing fails its test.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::thread::{UnshareFlags, unshare_unsafe};
use snug_packages::answer::{Change, ChangeKind, Found};
use snug_packages::command::{Action, CommandLine, Output, Query};
use snug_packages::contents::Entry;
use snug_packages::error::Error;
use snug_packages::executables;
use snug_packages::manager::{Guest, Manager};
use snug_packages::name::{CommandName, GuestPath, PackageName, Term};
use snug_packages::stage::{Event, Stage, Step};

/// Where the repositories are, in the root.
const BED: &str = "/bed";
/// A name that people's files have.
const AWKWARD: &str = "/var/tmp/my [tool] (1) 100%20 {x}";

/// What the repositories have: name, version in the first and in the second, what it needs, files.
const PACKAGES: [(&str, [&str; 2], &str, &[&str]); 5] = [
    ("snuglib", ["1.0", "1.0"], "", &["usr/lib/snuglib/data"]),
    ("snugtool", ["1.0", "1.1"], "snuglib", &["usr/bin/snugtool", "usr/games/snuggame"]),
    ("snugmeta", ["1.0", "1.0"], "snugtool", &[]),
    ("snugother", ["1.0", "1.0"], "", &["usr/bin/snugother"]),
    ("snugbase", ["1.0", "1.0"], "", &[]),
];

/// A root directory in which all that is written is in memory, seen by this test's thread alone.
struct Root {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Root {
    /// For programs that must be there; `os_release` is what the root says that it is.
    fn new(programs: &[&str], os_release: &str) -> Self {
        for program in programs {
            assert!(Path::new(program).exists(), "{program} is missing: `snug-testbed up` installs it");
        }
        let directory = tempfile::tempdir().unwrap();
        // SAFETY: descriptors stay shared; the file system and the network of this thread become its own.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
        tool("mount", ["--make-rprivate", "/"]);
        let base = directory.path();
        tool("mount", ["-t", "tmpfs", "-o", "mode=0755", "tmpfs", base.to_str().unwrap()]);
        for layer in ["upper", "work", "root"] {
            fs::create_dir(base.join(layer)).unwrap();
        }
        let options = format!("lowerdir=/,upperdir={0}/upper,workdir={0}/work", base.display());
        let path = base.join("root");
        tool("mount", ["-t", "overlay", "-o", &options, "overlay", path.to_str().unwrap()]);
        for mount in ["proc", "dev"] {
            tool("mount", ["--rbind", &format!("/{mount}"), path.join(mount).to_str().unwrap()]);
        }
        // Debian's rpm has its database in a home, for people who only look at packages.
        let root = Self { path, _directory: directory };
        root.write("/etc/rpm/macros", "%_dbpath /var/lib/rpm\n");
        // A link to the one in /usr.
        fs::remove_file(root.at("/etc/os-release")).unwrap();
        root.write("/etc/os-release", os_release);
        fs::create_dir(root.at(BED)).unwrap();
        root
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a directory of configuration hold one file.
    fn only(&self, directory: &str, name: &str, text: &str) {
        let _ = fs::remove_dir_all(self.at(directory));
        self.write(&format!("{directory}/{name}"), text);
    }

    /// The repository that the configuration means.
    fn offer(&self, number: usize) {
        let link = self.at(BED).join("current");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(number.to_string(), link).unwrap();
    }

    fn run(&self, line: &CommandLine) -> Output {
        let mut command = Command::new("chroot");
        if line.as_root {
            command.arg(&self.path);
        } else {
            // Whoever is not root there: of nobody's there is neither a home nor a file.
            command.args(["--userspec=nobody:nogroup", "--groups="]).arg(&self.path);
        }
        let output = command
            .args(&line.argv)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", if line.as_root { "/root" } else { "/nonexistent" })
            .envs(line.environment.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
        println!(
            "{:?}: {status}\n{}{}",
            line.argv,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Output { status, stdout: output.stdout, stderr: output.stderr }
    }

    fn ask<T>(&self, query: &Query<T>) -> T {
        query.read(&self.run(&query.command)).unwrap()
    }

    fn do_it(&self, action: &Action) -> Vec<Stage> {
        let output = self.run(&action.command);
        action.check(&output).unwrap();
        let mut stages = Vec::new();
        for stream in [&output.stdout, &output.stderr] {
            let mut reader = action.stages();
            let mut keep = |event| {
                if let Event::Stage(stage) = event {
                    stages.push(stage);
                }
            };
            reader.feed(stream, &mut keep);
            reader.finish(&mut keep);
        }
        stages
    }

    fn fails(&self, action: &Action) -> Error {
        action.check(&self.run(&action.command)).unwrap_err()
    }

    fn versions(&self, manager: &Manager, names: &[&str]) -> Vec<(String, String)> {
        let installed = self.ask(&manager.installed(&all(manager, names)));
        let mut installed: Vec<_> =
            installed.into_iter().map(|one| (one.name.to_string(), one.version)).collect();
        installed.sort();
        installed
    }
}

/// Runs a tool of this machine.
fn tool<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn sha256(path: &Path) -> String {
    tool("sha256sum", [path]).split(' ').next().unwrap().to_owned()
}

fn all(manager: &Manager, names: &[&str]) -> Vec<PackageName> {
    names.iter().map(|name| manager.package(name).unwrap()).collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a PackageName>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(PackageName::to_string).collect();
    names.sort();
    names
}

fn found(found: &[Found]) -> Vec<String> {
    names(found.iter().map(|one| &one.name))
}

fn of_kind(changes: &[Change], kind: ChangeKind) -> Vec<String> {
    names(changes.iter().filter(|change| change.kind == kind).map(|change| &change.name))
}

/// Whether it was within the last hour: archives may be dated by another clock's second.
fn is_recent(seconds: Option<u64>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    seconds.is_some_and(|seconds| seconds <= now + 5 && now - seconds.min(now) < 3600)
}

/// The files of a package below a directory.
fn lay_out(directory: &Path, name: &str, version: &str, files: &[&str]) {
    for file in files {
        let file = directory.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("#!/bin/sh\necho {name} {version}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Where the package files go, and a directory for what they are made of.
fn places(root: &Root, number: usize) -> (PathBuf, tempfile::TempDir) {
    let repository = root.at(BED).join(number.to_string());
    fs::create_dir_all(&repository).unwrap();
    (repository, tempfile::tempdir_in(root.path.parent().unwrap()).unwrap())
}

fn debian_repository(root: &Root, number: usize) {
    let (repository, work) = places(root, number);
    let binary = repository.join("dists/bed/main/binary-amd64");
    fs::create_dir_all(&binary).unwrap();
    let (mut index, mut contents) = (String::new(), String::new());
    for (name, versions, needs, files) in PACKAGES {
        let version = versions[number];
        let directory = work.path().join(name);
        fs::create_dir_all(directory.join("DEBIAN")).unwrap();
        lay_out(&directory, name, version, files);
        let needs = if needs.is_empty() {
            String::new()
        } else {
            format!("Depends: {needs} (>= 1.0), base-files | nothere\n")
        };
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: bed <bed@localhost>\n{needs}Description: summary of {name}\n text\n"
        );
        fs::write(directory.join("DEBIAN/control"), &control).unwrap();
        let file = repository.join(format!("{name}.deb"));
        tool(
            "dpkg-deb",
            ["--root-owner-group".as_ref(), "--build".as_ref(), directory.as_os_str(), file.as_os_str()],
        );
        index += &format!(
            "{control}Filename: {name}.deb\nSize: {}\nSHA256: {}\n\n",
            fs::metadata(&file).unwrap().len(),
            sha256(&file)
        );
        for file in files {
            contents += &format!("{file}    utils/{name}\n");
        }
    }
    fs::write(binary.join("Packages"), index).unwrap();
    let contents_file = repository.join("dists/bed/main/Contents-amd64");
    fs::write(&contents_file, contents + "usr/share/doc/snugtool/notes    utils/snugdoc\n").unwrap();
    let (plain_sum, plain_size) = (sha256(&contents_file), fs::metadata(&contents_file).unwrap().len());
    tool("gzip", ["-n".as_ref(), contents_file.as_os_str()]);
    let entry = |name: &str| {
        let path = repository.join("dists/bed").join(name);
        format!(" {} {} {name}\n", sha256(&path), fs::metadata(&path).unwrap().len())
    };
    let release = format!(
        "Origin: bed\nSuite: bed\nCodename: bed\nArchitectures: amd64\nComponents: main\nDate: {}\nSHA256:\n{}{} {plain_sum} {plain_size} main/Contents-amd64\n",
        tool("env", ["LC_ALL=C", "date", "-Ru"]).trim(),
        entry("main/binary-amd64/Packages"),
        entry("main/Contents-amd64.gz"),
    );
    fs::write(repository.join("dists/bed/Release"), release).unwrap();
}

fn rpm_repository(root: &Root, number: usize) {
    let (repository, work) = places(root, number);
    for (name, versions, needs, files) in PACKAGES {
        let version = versions[number];
        let needs = if needs.is_empty() { String::new() } else { format!("Requires: {needs} >= 1.0\n") };
        let provides = if name == "snugbase" { "Provides: glibc\n" } else { "" };
        let source = work.path().join(name);
        lay_out(&source, name, version, files);
        fs::create_dir_all(&source).unwrap();
        // A link that the package knows of and does not bring: as packages own the links of their alternatives.
        let (ghost, touch) = if name == "snugtool" {
            (
                "%ghost /usr/bin/snugalternative\n",
                "mkdir -p %{buildroot}/usr/bin; touch %{buildroot}/usr/bin/snugalternative\n",
            )
        } else {
            ("", "")
        };
        let list: String = files.iter().map(|file| format!("/{file}\n")).collect();
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: summary of {name}\nLicense: MIT\nBuildArch: noarch\nAutoReqProv: no\n{needs}{provides}\
             %description\ntext\n%install\nmkdir -p %{{buildroot}}\ncp -a {}/. %{{buildroot}}/\n{touch}%files\n{list}{ghost}",
            source.display()
        );
        let file = work.path().join(format!("{name}.spec"));
        fs::write(&file, spec).unwrap();
        let define =
            |name: &str, value: &dyn std::fmt::Display| ["--define".to_owned(), format!("{name} {value}")];
        let mut args = vec!["-bb".to_owned(), "--quiet".to_owned()];
        args.extend(define("_topdir", &work.path().join("build").display()));
        args.extend(define("_dbpath", &work.path().join("db").display()));
        args.extend(define("_rpmdir", &repository.display()));
        args.extend(define("_build_name_fmt", &"%%{NAME}.rpm"));
        args.push(file.to_str().unwrap().to_owned());
        tool("rpmbuild", args);
    }
    tool("createrepo_c", ["-q".as_ref(), repository.as_os_str()]);
}

fn arch_repository(root: &Root, number: usize) {
    let (repository, work) = places(root, number);
    let database = work.path().join("database");
    for (name, versions, needs, files) in PACKAGES {
        let version = format!("{}-1", versions[number]);
        let source = work.path().join(name);
        fs::create_dir_all(&source).unwrap();
        lay_out(&source, name, &version, files);
        let depend = if needs.is_empty() { String::new() } else { format!("depend = {needs}>=1.0\n") };
        let information = format!(
            "pkgname = {name}\npkgbase = {name}\npkgver = {version}\npkgdesc = summary of {name}\nurl = none\nbuilddate = 1\npackager = bed\nsize = 10\narch = any\n{depend}"
        );
        fs::write(source.join(".PKGINFO"), information).unwrap();
        let file = repository.join(format!("{name}-{version}-any.pkg.tar.gz"));
        let pack = |archive: &Path, directory: &Path, names: &[&str]| {
            let mut args = vec![
                "--owner=0",
                "--group=0",
                "-C",
                directory.to_str().unwrap(),
                "-czf",
                archive.to_str().unwrap(),
            ];
            args.extend(names);
            tool("tar", args);
        };
        pack(&file, &source, if files.is_empty() { &[".PKGINFO"] } else { &[".PKGINFO", "usr"] });
        let entry = database.join(format!("{name}-{version}"));
        fs::create_dir_all(&entry).unwrap();
        let mut fields = vec![
            ("FILENAME", file.file_name().unwrap().to_str().unwrap().to_owned()),
            ("NAME", name.to_owned()),
            ("BASE", name.to_owned()),
            ("VERSION", version.clone()),
            ("DESC", format!("summary of {name}")),
            ("CSIZE", fs::metadata(&file).unwrap().len().to_string()),
            ("ISIZE", "10".to_owned()),
            ("SHA256SUM", sha256(&file)),
            ("ARCH", "any".to_owned()),
        ];
        if !needs.is_empty() {
            fields.push(("DEPENDS", format!("{needs}>=1.0")));
        }
        let text: String = fields.iter().map(|(key, value)| format!("%{key}%\n{value}\n\n")).collect();
        fs::write(entry.join("desc"), text).unwrap();
        pack(
            &repository.join("bed.db"),
            work.path(),
            &["--transform=s,^database/,,", "--exclude=files", "database"],
        );
        fs::write(entry.join("files"), format!("%FILES%\n{}\n", files.join("\n"))).unwrap();
    }
    // pacman fetches what is newer, by seconds.
    tool(
        "touch",
        ["-d".as_ref(), ["1 hour ago", "now"][number].as_ref(), repository.join("bed.db").as_os_str()],
    );
    let archive = repository.join("bed.files");
    tool(
        "tar",
        [
            "-C",
            work.path().to_str().unwrap(),
            "--transform=s,^database/,,",
            "-czf",
            archive.to_str().unwrap(),
            "database",
        ],
    );
}

/// Everything that a row can be asked for.
fn whole_life(root: &Root, name: &str) {
    let guest = root.ask(&Guest::detection()).expect("a manager");
    let manager = guest.manager;
    assert_eq!(manager.name, name);
    let command = |name: &str| CommandName::new(name).unwrap();
    let ending = manager
        .file(OsStr::new("/x.pkg.tar.gz"))
        .map(|_| ".pkg.tar.gz")
        .unwrap_or(if name == "apt" { ".deb" } else { ".rpm" });

    // Metadata.
    assert_eq!(root.ask(&manager.refreshed()), None, "nothing has been fetched yet");
    let first = if let Some(refresh) = manager.refresh() {
        root.do_it(&refresh);
        manager.install(&[manager.request("snugmeta").unwrap()], false)
    } else {
        manager.install(&[manager.request("snugmeta").unwrap()], true)
    };

    // With what it needs, and progress.
    let mut stages = Vec::new();
    for action in &first {
        stages.extend(root.do_it(action));
    }
    assert!(is_recent(root.ask(&manager.refreshed())));
    let unpacked = |stage: &&Stage| {
        stage.step == Step::Unpack && stage.package.as_ref().is_some_and(|p| p.as_str() == "snugtool")
    };
    let unpacked = stages.iter().find(unpacked).unwrap_or_else(|| panic!("{stages:?}"));
    assert!(unpacked.number.is_some() || unpacked.percent.is_some(), "{unpacked:?}");
    let installed = root.versions(manager, &["snugmeta", "snugtool", "snuglib", "snugother", "nothere"]);
    assert_eq!(
        installed.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
        ["snuglib", "snugmeta", "snugtool"]
    );
    assert!(installed[2].1.starts_with("1.0"), "{installed:?}");

    // Looking for packages.
    let search = |word: &str| root.ask(&manager.search(&Term::new(word).unwrap()));
    let tools = search("snugto");
    assert_eq!(found(&tools), ["snugtool"]);
    assert_eq!(tools[0].summary.as_deref(), Some("summary of snugtool"));
    assert!(search("nothing-is-called-this").is_empty());
    assert!(search("c++ (x) $HOME|.").is_empty());
    let known = root.ask(&manager.available(&all(manager, &["snugtool", "nothere"])));
    assert_eq!(found(&known), ["snugtool"]);
    assert!(known[0].version.as_ref().unwrap().starts_with("1.0"), "{known:?}");
    if let Some(refresh) = manager.refresh_index() {
        assert_eq!(root.ask(&manager.index_refreshed().unwrap()), None);
        root.do_it(&refresh);
        assert!(is_recent(root.ask(&manager.index_refreshed().unwrap())));
    }
    assert_eq!(found(&root.ask(&manager.provides(&command("snugother")))), ["snugother"]);
    assert_eq!(found(&root.ask(&manager.provides(&command("snuggame")))), ["snugtool"]);
    assert!(root.ask(&manager.provides(&command("snugnothing"))).is_empty());
    // No pattern, no regular expression.
    assert!(root.ask(&manager.provides(&command("snug.ther"))).is_empty());

    // What there is not cannot be installed.
    for missing in ["nothere", "snug.ther"] {
        let error = root.fails(manager.install(&[manager.request(missing).unwrap()], false).last().unwrap());
        assert!(matches!(error, Error::Failed { .. }), "{error}");
    }
    assert!(root.versions(manager, &["snugother"]).is_empty());

    // What is installed.
    let tool_name = manager.package("snugtool").unwrap();
    let files = root.ask(&manager.files(&tool_name));
    let executables = executables::of_files(files.iter().map(PathBuf::as_path));
    assert_eq!(executables.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["snuggame", "snugtool"]);
    let programs = root.ask(&executables::programs(&executables));
    assert_eq!(programs, ["/usr/games/snuggame", "/usr/bin/snugtool"].map(PathBuf::from));
    assert!(root.ask(&manager.files(&manager.package("nothere").unwrap())).is_empty());
    let owner = |path: &str| names(&root.ask(&manager.owner(&GuestPath::new(path.as_ref()).unwrap())));
    assert_eq!(owner("/usr/bin/snugtool"), ["snugtool"]);
    for path in ["/usr/bin/snug*", "/usr/bin/snugtoo?", "/nothere", "/usr/bin/a b", "/usr/bin/\u{e9}"] {
        assert!(owner(path).is_empty(), "{path}");
    }
    let needed = root.ask(&manager.dependencies(&manager.package("snugmeta").unwrap()));
    assert!(
        names(&root.ask(&manager.providers(&needed).unwrap())).contains(&"snugtool".to_owned()),
        "{needed:?}"
    );

    // A file.
    let package_file = fs::read_dir(root.at(&format!("{BED}/0")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snugother"))
        .unwrap();
    let awkward = format!("{AWKWARD}{ending}");
    fs::copy(package_file, root.at(&awkward)).unwrap();
    let file = manager.file(awkward.as_ref()).unwrap();
    let inside = root.ask(&manager.identify(&file));
    assert_eq!(inside[0].name.as_str(), "snugother");
    assert!(inside[0].version.starts_with("1.0"));
    let no_package = format!("/var/tmp/no-package{ending}");
    root.write(&no_package, "/etc/passwd\n/bin/sh\n");
    let no_package = manager.identify(&manager.file(no_package.as_ref()).unwrap());
    assert!(no_package.read(&root.run(&no_package.command)).unwrap_err().to_string().contains("failed"));
    root.do_it(&manager.install_files(&[file]));
    assert_eq!(root.versions(manager, &["snugother"]).len(), 1);
    remove(root, manager, "snugother");
    assert!(root.versions(manager, &["snugother"]).is_empty());

    // A version.
    if let Ok(request) = manager.request(&format!("snugother={}", inside[0].version)) {
        root.do_it(&manager.install(&[request], false)[0]);
        assert_eq!(
            root.versions(manager, &["snugother"]),
            [("snugother".to_owned(), inside[0].version.clone())]
        );
        remove(root, manager, "snugother");
        root.fails(&manager.install(&[manager.request("snugother=9").unwrap()], false)[0]);
    }

    // New versions.
    root.offer(1);
    if let Some(refresh) = manager.refresh() {
        root.do_it(&refresh);
    }
    let upgrades = root.ask(&manager.upgrades());
    let tool_upgrade =
        upgrades.iter().find(|change| change.name == tool_name).unwrap_or_else(|| panic!("{upgrades:?}"));
    assert!(tool_upgrade.to.as_ref().unwrap().starts_with("1.1"), "{tool_upgrade:?}");
    if let Ok(named) = guest.upgrade(&all(manager, &["snuglib"])) {
        root.do_it(&named);
        assert!(root.versions(manager, &["snugtool"])[0].1.starts_with("1.0"));
    }
    root.do_it(&guest.upgrade(&[]).unwrap());
    assert!(root.versions(manager, &["snugtool"])[0].1.starts_with("1.1"));

    // And away.
    let preview = manager.preview_removal(&all(manager, &["snuglib"]));
    let preview = preview.read(&root.run(&preview.command));
    if name == "pacman" {
        assert!(preview.unwrap_err().to_string().contains("failed"));
    } else {
        assert!(of_kind(&preview.unwrap(), ChangeKind::Remove).contains(&"snugmeta".to_owned()));
    }
    let preview = remove(root, manager, "snugmeta");
    assert_eq!(of_kind(&preview, ChangeKind::Remove), ["snuglib", "snugmeta", "snugtool"]);
    assert!(root.versions(manager, &["snuglib", "snugmeta", "snugtool"]).is_empty());
    assert!(!root.at("/usr/bin/snugtool").exists());
}

/// As somebody who is careful does it. Returns what was foretold.
fn remove(root: &Root, manager: &Manager, name: &str) -> Vec<Change> {
    let names = all(manager, &[name]);
    let orphans = manager.orphans().map(|query| root.ask(&query)).unwrap_or_default();
    let preview = root.ask(&manager.preview_removal(&names));
    root.do_it(&manager.remove(&names, &preview, &orphans));
    preview
}

fn debian() -> Root {
    let root = Root::new(&["/usr/bin/apt-get", "/usr/bin/dpkg-deb"], "ID=debian\n");
    for number in [0, 1] {
        debian_repository(&root, number);
    }
    root.offer(0);
    let _ = fs::remove_file(root.at("/etc/apt/sources.list"));
    root.only(
        "/etc/apt/sources.list.d",
        "bed.list",
        &format!("deb [trusted=yes] file:{BED}/current bed main\n"),
    );
    // Stripped, as images are.
    fs::remove_dir_all(root.at("/var/lib/apt/lists")).unwrap();
    fs::create_dir(root.at("/var/lib/apt/lists")).unwrap();
    // This machine's own packages are nobody's business here, also where one of them is half upgraded.
    root
}

fn rpm(programs: &[&str], os_release: &str) -> Root {
    let root = Root::new(
        &[programs, &["/usr/bin/rpm", "/usr/bin/rpmbuild", "/usr/bin/createrepo_c"]].concat(),
        os_release,
    );
    for number in [0, 1] {
        rpm_repository(&root, number);
    }
    root.offer(0);
    let repository =
        format!("[bed]\nname=bed\nbaseurl=file://{BED}/current\nenabled=1\ngpgcheck=0\nmetadata_expire=0\n");
    root.only("/etc/yum.repos.d", "bed.repo", &repository);
    root.only("/etc/zypp/repos.d", "bed.repo", &repository);
    // zypper takes an empty database for a broken one, and newer versions a system without glibc.
    let base = format!("{BED}/0/snugbase.rpm");
    let line = CommandLine { argv: ["rpm", "-i", &base].iter().map(Into::into).collect(), environment: &[], as_root: true };
    assert_eq!(root.run(&line).status, 0);
    // A machine may have both, and then dnf5 is what there is.
    if !programs.contains(&"/usr/bin/dnf5") {
        let _ = fs::remove_file(root.at("/usr/bin/dnf5"));
    }
    // Debian has no release of Fedora's.
    root.write("/etc/dnf/vars/releasever", "1\n");
    root
}

#[test]
fn apt_does_all_that_its_row_says() {
    let root = debian();
    whole_life(&root, "apt");
}

#[test]
fn apt_removes_no_orphan_of_others_and_knows_diverted_files() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    for action in apt.install(&["snugother", "snugmeta"].map(|name| apt.request(name).unwrap()), true) {
        root.do_it(&action);
    }
    let line = |argv: &[&str]| CommandLine {
        argv: argv.iter().map(Into::into).collect(),
        environment: &[],
        as_root: true,
    };
    assert_eq!(root.run(&line(&["apt-mark", "auto", "snugother"])).status, 0);
    let preview = remove(&root, apt, "snugmeta");
    assert!(
        of_kind(&preview, ChangeKind::Remove).contains(&"snugother".to_owned()),
        "apt would take it along"
    );
    assert_eq!(
        root.versions(apt, &["snugother", "snuglib", "snugtool"]).len(),
        1,
        "it stays, and what snugmeta brought is gone"
    );

    let divert = [
        "dpkg-divert",
        "--local",
        "--rename",
        "--divert",
        "/usr/bin/snugother.real",
        "--add",
        "/usr/bin/snugother",
    ];
    assert_eq!(root.run(&line(&divert)).status, 0);
    let files = root.ask(&apt.files(&apt.package("snugother").unwrap()));
    assert!(
        files.contains(&"/usr/bin/snugother.real".into()) && !files.contains(&"/usr/bin/snugother".into()),
        "{files:?}"
    );
}

#[test]
fn an_alternatives_link_is_no_packages() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    for action in apt.install(&[apt.request("snugtool").unwrap()], true) {
        root.do_it(&action);
    }
    let install =
        ["update-alternatives", "--install", "/usr/bin/snugeditor", "snugeditor", "/usr/bin/snugtool", "1"];
    let line =
        CommandLine { argv: install.iter().map(Into::into).collect(), environment: &[], as_root: true };
    assert_eq!(root.run(&line).status, 0);
    let owner = root.ask(&apt.owner(&GuestPath::new("/usr/bin/snugeditor".as_ref()).unwrap()));
    assert!(owner.is_empty(), "dpkg does not know it: {owner:?}");
    let link = executables::of_files([Path::new("/usr/bin/snugeditor"), Path::new("/usr/bin/snugtool")]);
    assert_eq!(root.ask(&executables::programs(&link)), [PathBuf::from("/usr/bin/snugtool")]);
    let all = root.ask(&executables::alternatives());
    assert!(all.contains(&("/etc/alternatives/snugeditor".into(), "/usr/bin/snugtool".into())));
    let files = root.ask(&apt.files(&apt.package("snugtool").unwrap()));
    assert!(executables::by_alternatives(files.iter().map(PathBuf::as_path), &all).is_empty());
}

#[test]
fn the_contents_of_debians_sources_are_read_line_by_line() {
    let root = debian();
    let apt = Manager::by_name("apt").unwrap();
    root.do_it(&apt.refresh_index().unwrap());
    assert!(root.ask(&apt.refreshed()).is_none(), "the user's own lists are left alone");
    let output = root.run(&apt.contents().unwrap());
    assert_eq!(output.status, 0);
    let entries = output.stdout.split(|&byte| byte == b'\n').filter_map(Entry::read);
    let commands: Vec<String> = entries.filter_map(|entry| entry.command().map(str::to_owned)).collect();
    assert_eq!(commands, ["snugtool", "snuggame", "snugother"]);
}

#[test]
fn dnf_does_all_that_its_row_says() {
    whole_life(&rpm(&["/usr/bin/dnf-3"], "ID=fedora\n"), "dnf");
}

#[cfg(feature = "dnf5-tests")]
#[test]
fn dnf5_does_all_that_its_row_says() {
    whole_life(&rpm(&["/usr/bin/dnf5"], "ID=fedora\n"), "dnf5");
}

#[test]
fn zypper_does_all_that_its_row_says() {
    whole_life(&rpm(&["/usr/bin/zypper"], "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"), "zypper");
}

#[test]
fn zypper_upgrades_a_distribution_without_releases() {
    let root = rpm(&["/usr/bin/zypper"], "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n");
    let guest = root.ask(&Guest::detection()).unwrap();
    assert!(guest.rolling);
    for action in guest.manager.install(&[guest.manager.request("snugtool").unwrap()], true) {
        root.do_it(&action);
    }
    root.offer(1);
    root.do_it(&guest.manager.refresh().unwrap());
    root.do_it(&guest.upgrade(&[]).unwrap());
    assert!(root.versions(guest.manager, &["snugtool"])[0].1.starts_with("1.1"));
}

#[test]
fn pacman_does_all_that_its_row_says() {
    let root = Root::new(&["/usr/bin/pacman"], "ID=arch\n");
    for number in [0, 1] {
        arch_repository(&root, number);
    }
    root.offer(0);
    let configuration = format!(
        "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n[bed]\nServer = file://{BED}/current\n"
    );
    root.write("/etc/pacman.conf", &configuration);
    whole_life(&root, "pacman");
    // A look for new versions leaves nothing.
    let left = fs::read_dir(root.at("/var/tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("snug.")).collect::<Vec<_>>(), Vec::<String>::new());
}
