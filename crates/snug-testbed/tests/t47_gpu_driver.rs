//! The files of the host's graphics driver in a guest. There is no card here and no driver: a specification and libraries are made up.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{DEBIAN_13, Follower, HostFile, NO_INIT, answer, eventually, fresh, fresh_with};
use serde_json::json;
use snug_testbed::{Bed, Container};

/// Where its files are on the host.
const FILES: &str = "/usr/local/lib/snugtest-driver";
/// What programs ask for.
const LIBRARY: &str = "libnvidia-snugtest.so.1";
const SPECIFICATION: &str = "/run/cdi/snugtest.json";

/// A made-up driver of the host, gone with the value.
struct Driver;

impl Driver {
    fn new() -> Self {
        let _ = fs::remove_dir_all(FILES);
        fs::create_dir_all(Path::new(FILES).join("bin")).unwrap();
        Self
    }

    fn file(name: &str) -> PathBuf {
        Path::new(FILES).join(name)
    }

    fn write(name: &str, text: &str, mode: u32) {
        fs::write(Self::file(name), text).unwrap();
        fs::set_permissions(Self::file(name), Permissions::from_mode(mode)).unwrap();
    }

    fn library(version: &str) -> String {
        format!("libnvidia-snugtest.so.{version}")
    }

    /// A library without another one, which says its version, and a program, and what Vulkan looks for.
    fn install(&self, version: &str) {
        self.compile(
            &Self::library(version),
            LIBRARY,
            &format!("int snugtest(void) {{ return {version}; }}"),
        );
        Self::write("bin/snugtest-smi", &format!("#!/bin/sh\necho driver {version}\n"), 0o755);
        Self::write("nvidia_snugtest.json", "{}\n", 0o644);
    }

    /// Makes a library that has another name in itself.
    fn compile(&self, file: &str, name: &str, text: &str) {
        let library = Self::file(file);
        let options = ["-shared", "-nostdlib", "-fPIC", "-x", "c", "-"];
        let mut compiler = Command::new("cc")
            .args(options)
            .arg(format!("-Wl,-soname,{name}"))
            .arg("-o")
            .arg(&library)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(compiler.stdin.take().unwrap(), "{text}").unwrap();
        assert!(compiler.wait().unwrap().success());
        fs::set_permissions(&library, Permissions::from_mode(0o644)).unwrap();
    }

    /// As nvidia-ctk does it.
    fn specify(version: &str) -> String {
        let library = Self::library(version);
        let mount = |host: &str, guest: String| json!({"hostPath": Self::file(host), "containerPath": guest, "options": ["ro", "bind"]});
        let link = format!("{LIBRARY}::/usr/lib64/libnvidia-snugtest.so");
        let hook = json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook",
            "args": ["nvidia-cdi-hook", "create-symlinks", "--link", link]});
        json!({
            "cdiVersion": "0.5.0",
            "kind": "nvidia.com/gpu",
            "devices": [{"name": "all", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}],
            "containerEdits": {
                "env": ["NVIDIA_VISIBLE_DEVICES=void", "LD_PRELOAD=libevil.so"],
                "mounts": [
                    mount(&library, format!("/usr/lib64/{library}")),
                    mount("bin/snugtest-smi", "/usr/bin/snugtest-smi".into()),
                    mount("nvidia_snugtest.json", "/usr/share/vulkan/icd.d/nvidia_snugtest.json".into()),
                ],
                "hooks": [hook],
            },
        })
        .to_string()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(FILES);
    }
}

fn sh(guest: &Container<'_>, line: &str) -> String {
    answer(guest.snug(["run", "-w", "/", "--", "sh", "-c", line]))
}

/// Which file a program gets when it asks the linker for the library; nothing where there is none.
fn loaded(guest: &Container<'_>) -> String {
    let line = format!(
        "LD_PRELOAD={LIBRARY} cat /proc/self/maps 2>/dev/null | grep -o 'libnvidia-snugtest[^ ]*' | sort -u; true"
    );
    sh(guest, &line)
}

/// What of it is mounted, in the guest and on the host.
fn mounted(guest: &Container<'_>) -> (String, usize) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = guest.bed().run_dir(guest.user(), guest.name());
    let below = format!("{}/mounts/driver/", own.display());
    (
        sh(guest, "grep -c snugtest /proc/self/mountinfo; true"),
        table.lines().filter(|line| line.contains(&below)).count(),
    )
}

/// A guest that runs, on a host whose driver a follower looks at.
struct Running<'a> {
    bed: &'a Bed,
    driver: &'a Driver,
    guest: &'a Container<'a>,
}

#[test]
fn a_program_of_the_guest_finds_the_hosts_driver_and_follows_its_updates() {
    let bed = Bed::require();
    let _follower = Follower::start();
    let driver = Driver::new();
    driver.install("550");
    let guest = fresh(&bed, "tester", "driver", DEBIAN_13);
    let running = Running { bed: &bed, driver: &driver, guest: &guest };
    running.has_nothing();
    let specification = running.gets_what_comes();
    running.gets_another_while_a_program_keeps_the_first();
    running.has_it_for_the_first_command();
    running.loses_what_it_had_at_its_start(specification);
}

impl Running<'_> {
    fn sh(&self, line: &str) -> String {
        sh(self.guest, line)
    }

    fn loads(&self, version: &str) -> bool {
        loaded(self.guest) == Driver::library(version)
    }

    fn has_nothing(&self) {
        assert_eq!((loaded(self.guest), mounted(self.guest)), (String::new(), ("0".into(), 0)));
    }

    /// Where there is no directory for specifications yet.
    fn gets_what_comes(&self) -> HostFile {
        let begin = Instant::now();
        let specification = HostFile::write(SPECIFICATION, &Driver::specify("550"));
        eventually("the driver to appear", || self.loads("550"));
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(self.sh("/sbin/ldconfig -p").contains("libnvidia-snugtest.so.1"));
        let files = self.sh("snugtest-smi; cat /etc/vulkan/icd.d/nvidia_snugtest.json");
        assert_eq!(files, "driver 550\n{}");
        let environment = self.sh("env");
        assert!(!environment.contains("libevil") && !environment.contains("NVIDIA"), "{environment}");
        let by_name = format!(
            "perl -MDynaLoader -e 'print DynaLoader::dl_load_file(\"{LIBRARY}\") ? \"found\" : \"none\"'"
        );
        assert_eq!(self.sh(&by_name), "found");
        specification
    }

    fn gets_another_while_a_program_keeps_the_first(&self) {
        let number = self.start_with_the_library("550");
        // By place: a file on a mount that is gone has no path.
        let mapped = format!("cut -d' ' -f1 /proc/{number}/maps");
        let before = self.sh(&mapped);
        self.driver.install("560");
        fs::write(SPECIFICATION, Driver::specify("560")).unwrap();
        fs::remove_file(Driver::file(&Driver::library("550"))).unwrap();
        eventually("the driver to be another", || self.loads("560"));
        assert_eq!(self.sh("snugtest-smi"), "driver 560");
        assert_eq!(mounted(self.guest), ("3".into(), 3), "the earlier one is gone");
        assert_eq!(self.sh(&mapped), before);
        self.sh(&format!("kill {number}"));
    }

    /// The number of a program of the guest that has it loaded.
    fn start_with_the_library(&self, version: &str) -> String {
        let holds = format!("LD_PRELOAD={LIBRARY} setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!");
        let number = self.sh(&holds);
        eventually("it to run", || self.sh(&format!("cat /proc/{number}/comm")) == "sleep");
        let counted = format!("grep -c {} /proc/{number}/maps; true", Driver::library(version));
        eventually("it to have the library", || self.sh(&counted) != "0");
        number
    }

    fn has_it_for_the_first_command(&self) {
        self.bed.snug("tester").args(["restart", self.guest.name()]).run().unwrap().success();
        assert_eq!(loaded(self.guest), Driver::library("560"));
    }

    /// What is mounted at a start can be taken away, too.
    fn loses_what_it_had_at_its_start(&self, specification: HostFile) {
        drop(specification);
        eventually("the driver to be gone", || loaded(self.guest).is_empty());
        assert_eq!(mounted(self.guest), ("0".into(), 0));
        let left = "ls -A /.snug/driver; ls /etc/ld.so.conf.d /usr/local/bin | grep snug-driver; true";
        assert_eq!(self.sh(left), "");
        let names = self.sh("ls /usr/local/bin; ls /etc/vulkan/icd.d 2>/dev/null; true");
        assert!(!names.contains("snugtest"));
    }
}

#[test]
fn a_first_command_has_the_driver_and_nothing_of_it_stays_after_a_stop() {
    let bed = Bed::require();
    let driver = Driver::new();
    driver.install("550");
    let _specification = HostFile::write("/etc/cdi/snugtest.yaml", &Driver::specify("550"));
    let guest =
        fresh_with(&bed, "tester", "driver-first", DEBIAN_13, &["--preset", "isolated", "--grant", "gpu"]);
    assert_eq!(loaded(&guest), Driver::library("550"));
    assert_eq!(mounted(&guest), ("3".into(), 3));
    // The later directory has the same device.
    driver.install("560");
    let _later = HostFile::write(SPECIFICATION, &Driver::specify("560"));
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    assert_eq!(loaded(&guest), Driver::library("560"));
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains("snugtest"), "{table}");
}

#[test]
fn a_container_has_it_by_its_grants_alone_and_the_guests_own_stays() {
    let bed = Bed::require();
    let driver = Driver::new();
    driver.install("550");
    let _specification = HostFile::write(SPECIFICATION, &Driver::specify("550"));
    for (name, options, has) in [
        ("driver-gpu", &["--preset", "isolated", "--grant", "gpu"][..], true),
        ("driver-all", &[], true),
        ("driver-none", &["--preset", "isolated"], false),
    ] {
        let guest = fresh_with(&bed, "tester", name, NO_INIT, options);
        let there = sh(&guest, "ls /.snug/driver/current/lib 2>/dev/null; true");
        assert_eq!(there.contains(&Driver::library("550")), has, "{name}: {there}");
        if has {
            let own = "rm /usr/local/bin/snugtest-smi && echo own >/usr/local/bin/snugtest-smi";
            guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", own]).run().unwrap().success();
            bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
            assert_eq!(sh(&guest, "cat /usr/local/bin/snugtest-smi"), "own");
        }
    }
}

#[test]
fn the_guests_c_library_stays_whatever_a_specification_names() {
    let bed = Bed::require();
    let driver = Driver::new();
    // Without a symbol that any program wants of it.
    driver.compile(&Driver::library("550"), "libm.so.6", "int snugtest(void) { return 550; }");
    Driver::write("bin/snugtest-smi", "#!/bin/sh\n", 0o755);
    Driver::write("nvidia_snugtest.json", "{}\n", 0o644);
    let _specification = HostFile::write(SPECIFICATION, &Driver::specify("550"));
    let guest = fresh(&bed, "tester", "driver-libm", DEBIAN_13);
    assert_eq!(sh(&guest, "/sbin/ldconfig -p | grep libm.so.6 | grep -c snug; true"), "0");
    assert_eq!(sh(&guest, "ls /.snug/driver/current; perl -e 'print sqrt 4'"), "files\n2");
    let log = bed.snug("tester").args(["logs", "--jobs", guest.name()]).run().unwrap().success().out();
    assert!(log.contains("is not shared: its name is one of the C library"), "{log}");
}

#[test]
fn the_guests_root_cannot_write_what_it_sees() {
    let bed = Bed::require();
    let driver = Driver::new();
    driver.install("550");
    let _specification = HostFile::write(SPECIFICATION, &Driver::specify("550"));
    let guest = fresh(&bed, "tester", "driver-root", DEBIAN_13);
    let library = format!("/.snug/driver/current/lib/{}", Driver::library("550"));
    let before = fs::read(Driver::file(&Driver::library("550"))).unwrap();
    for line in [
        format!("echo x >>{library}"),
        format!("chmod 777 {library}"),
        format!("rm {library}"),
        format!("umount {library}"),
        format!("mount -o remount,bind,rw {library}"),
        "touch /.snug/driver/mine".into(),
        "rm /.snug/driver/current".into(),
        "mount -o remount,bind,rw /.snug/driver".into(),
        format!("touch /copy && mount --bind {library} /copy && mount -o remount,bind,rw /copy"),
    ] {
        let tried = guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", &line]).run().unwrap();
        assert!(!tried.status.success(), "{line}");
    }
    assert_eq!(fs::read(Driver::file(&Driver::library("550"))).unwrap(), before);
    assert_eq!(loaded(&guest), Driver::library("550"));
}

#[test]
fn what_a_specification_may_not_name_is_left_out_with_a_word_and_no_start_fails() {
    let bed = Bed::require();
    let driver = Driver::new();
    driver.install("550");
    let library = Driver::file(&Driver::library("550"));
    let specification = HostFile::write(SPECIFICATION, &Driver::specify("550"));
    let guest = fresh_with(&bed, "tester", "driver-odd", NO_INIT, &["--no-start"]);
    let started = || {
        bed.snug("tester").args(["stop", guest.name()]).run().unwrap();
        bed.snug("tester").args(["start", guest.name()]).run().unwrap().success();
        let log = bed.snug("tester").args(["logs", "--jobs", guest.name()]).run().unwrap().success().out();
        (log, sh(&guest, "ls -R /.snug/driver/current/ 2>/dev/null; true"))
    };
    fs::set_permissions(&library, Permissions::from_mode(0o600)).unwrap();
    let (log, there) = started();
    assert!(log.contains("not everybody may read it"), "{log}");
    assert!(!there.contains("libnvidia") && there.contains("snugtest-smi"), "{there}");
    fs::set_permissions(&library, Permissions::from_mode(0o644)).unwrap();
    let shadow = Driver::specify("550")
        .replace("/usr/bin/snugtest-smi", "/usr/local/bin/shadow")
        .replace(&Driver::file("bin/snugtest-smi").display().to_string(), "/etc/shadow");
    for (text, word) in [
        (shadow, "/etc/shadow of the graphics driver is not shared"),
        (Driver::specify("550").replace("/usr/bin/", "/usr/../etc/"), "leads back by '..'"),
        ("kind: [".into(), "it cannot be read"),
    ] {
        fs::write(SPECIFICATION, &text).unwrap();
        let (log, there) = started();
        assert!(log.contains(word), "{word}: {log}");
        assert!(!there.contains("shadow") && !there.contains("passwd"), "{there}");
    }
    fs::write(SPECIFICATION, Driver::specify("550")).unwrap();
    chown(SPECIFICATION, Some(bed.account("tester").uid), None).unwrap();
    let (log, there) = started();
    assert!(log.contains("not to root") && there.is_empty(), "{log} {there}");
    drop(specification);
}
