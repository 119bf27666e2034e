//! Repositories that the tests make, and roots that have them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use snug_packages::command::CommandLine;

use crate::root::{BED, Root, tool};

/// What the repositories have: name, version in the first and in the second, what it needs, files.
const PACKAGES: [(&str, [&str; 2], &str, &[&str]); 5] = [
    ("snuglib", ["1.0", "1.0"], "", &["usr/lib/snuglib/data"]),
    ("snugtool", ["1.0", "1.1"], "snuglib", &["usr/bin/snugtool", "usr/games/snuggame"]),
    ("snugmeta", ["1.0", "1.0"], "snugtool", &[]),
    ("snugother", ["1.0", "1.0"], "", &["usr/bin/snugother"]),
    ("snugbase", ["1.0", "1.0"], "", &[]),
];

/// What a package provides beside its name: a word of its own, and one that several have.
fn provides(name: &str) -> Option<&'static str> {
    match name {
        "snuglib" => Some("snugvirtual"),
        "snugother" | "snugbase" => Some("snugseveral"),
        _ => None,
    }
}

/// Of a file.
fn sha256(path: &Path) -> String {
    tool("sha256sum", [path]).split(' ').next().unwrap().to_owned()
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
        let needs = needs + &provides(name).map(|word| format!("Provides: {word}\n")).unwrap_or_default();
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

/// Lets the first repository have this list of commands.
pub fn commands_of_the_archive(root: &Root, list: &str) {
    let dists = root.at(BED).join("0/dists/bed");
    let file = dists.join("main/cnf/Commands-amd64");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, format!("suite: bed\ncomponent: main\narch: amd64\n\n{list}")).unwrap();
    let entry =
        format!(" {} {} main/cnf/Commands-amd64\n", sha256(&file), fs::metadata(&file).unwrap().len());
    let release = fs::read_to_string(dists.join("Release")).unwrap();
    fs::write(dists.join("Release"), release + &entry).unwrap();
}

fn rpm_repository(root: &Root, number: usize) {
    let (repository, work) = places(root, number);
    for (name, versions, needs, files) in PACKAGES {
        let version = versions[number];
        let needs = if needs.is_empty() { String::new() } else { format!("Requires: {needs} >= 1.0\n") };
        let provides = match (name, provides(name)) {
            ("snugbase", _) => "Provides: glibc\n".to_owned(),
            (_, provided) => provided.map(|word| format!("Provides: {word}\n")).unwrap_or_default(),
        };
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
        let depend = depend + &provides(name).map(|word| format!("provides = {word}\n")).unwrap_or_default();
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
        fields.extend(provides(name).map(|word| ("PROVIDES", word.to_owned())));
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

/// One with apt.
pub fn debian() -> Root {
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

/// One with programs that use rpm.
pub fn rpm(programs: &[&str], os_release: &str) -> Root {
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
    let line = CommandLine {
        argv: ["rpm", "-i", &base].iter().map(Into::into).collect(),
        environment: &[],
        as_root: true,
    };
    assert_eq!(root.run(&line).status, 0);
    // A machine may have both, and then dnf5 is what there is.
    if !programs.contains(&"/usr/bin/dnf5") {
        let _ = fs::remove_file(root.at("/usr/bin/dnf5"));
    }
    // Debian has no release of Fedora's.
    root.write("/etc/dnf/vars/releasever", "1\n");
    root
}

/// One with pacman.
pub fn arch() -> Root {
    let root = Root::new(&["/usr/bin/pacman"], "ID=arch\n");
    for number in [0, 1] {
        arch_repository(&root, number);
    }
    root.offer(0);
    let configuration = format!(
        "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n[bed]\nServer = file://{BED}/current\n"
    );
    root.write("/etc/pacman.conf", &configuration);
    root
}
