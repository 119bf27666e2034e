//! A root directory of a test's own, and what is run in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::thread::{UnshareFlags, unshare_unsafe};
use snug_packages::command::{Action, CommandLine, Output, Query};
use snug_packages::error::Error;
use snug_packages::manager::Manager;
use snug_packages::name::PackageName;
use snug_packages::stage::{Event, Stage};

/// Where the repositories are, in the root.
pub const BED: &str = "/bed";

/// A root directory in which all that is written is in memory, seen by this test's thread alone.
pub struct Root {
    pub path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Root {
    /// For programs that must be there; `os_release` is what the root says that it is.
    pub fn new(programs: &[&str], os_release: &str) -> Self {
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

    pub fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a directory of configuration hold one file.
    pub fn only(&self, directory: &str, name: &str, text: &str) {
        let _ = fs::remove_dir_all(self.at(directory));
        self.write(&format!("{directory}/{name}"), text);
    }

    /// The repository that the configuration means.
    pub fn offer(&self, number: usize) {
        let link = self.at(BED).join("current");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(number.to_string(), link).unwrap();
    }

    pub fn run(&self, line: &CommandLine) -> Output {
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

    pub fn ask<T>(&self, query: &Query<T>) -> T {
        query.read(&self.run(&query.command)).unwrap()
    }

    pub fn do_it(&self, action: &Action) -> Vec<Stage> {
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

    pub fn fails(&self, action: &Action) -> Error {
        action.check(&self.run(&action.command)).unwrap_err()
    }

    pub fn versions(&self, manager: &Manager, names: &[&str]) -> Vec<(String, String)> {
        let installed = self.ask(&manager.installed(&all(manager, names)));
        let mut installed: Vec<_> =
            installed.into_iter().map(|one| (one.name.to_string(), one.version)).collect();
        installed.sort();
        installed
    }
}

/// Runs a tool of this machine.
pub fn tool<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Names for a manager.
pub fn all(manager: &Manager, names: &[&str]) -> Vec<PackageName> {
    names.iter().map(|name| manager.package(name).unwrap()).collect()
}
