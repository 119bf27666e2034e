//! Bytes through `snug run cat`: descriptors handed over, relayed, and to a terminal.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clock::{interleaved, median};
use crate::report::{Budget, Report, Row, shown};
use crate::subject::{Subject, USER};

const ROUNDS: usize = 5;
const BYTES: &str = "1073741824";
const TEXT: usize = 256 << 20;

pub fn measure(subject: &Subject<'_>, report: &mut Report) {
    let trusted = subject.container("bench-pipe", &[]);
    let isolated = subject.container("bench-relay", &["--preset", "isolated"]);
    let [snug, relayed, host] = interleaved(
        ROUNDS,
        Duration::ZERO,
        [
            &mut || piped(subject, subject.as_user("/usr/bin/snug", &["run", "-c", trusted.name(), "cat"])),
            &mut || piped(subject, subject.as_user("/usr/bin/snug", &["run", "-c", isolated.name(), "cat"])),
            &mut || piped(subject, subject.as_user("cat", &[])),
        ],
    );
    let (snug, relayed, host) = (median(&snug), median(&relayed), median(&host));
    throughput(report, "1 GiB by pipes, trusted", snug, host, 0.97);
    throughput(report, "1 GiB by pipes, untrusted (relayed)", relayed, host, 0.5);
    drop(isolated);

    let home = subject.bed.account(USER).home;
    let text = home.join("bench-text");
    write_text(&text).expect("the user's home takes a file");
    let path = text.display().to_string();
    let [snug, host] = interleaved(
        ROUNDS,
        Duration::ZERO,
        [
            &mut || on_pty(subject, &["/usr/bin/snug", "run", "-w", "/", "-c", trusted.name(), "cat", &path]),
            &mut || on_pty(subject, &["cat", &path]),
        ],
    );
    throughput(report, "256 MiB of text to a terminal", median(&snug), median(&host), 0.6);
    fs::remove_file(&text).expect("just written");
}

fn throughput(report: &mut Report, what: &str, snug: Duration, host: Duration, least: f64) {
    report.add(Row {
        what: what.into(),
        snug: shown(snug),
        against: format!("cat on the host: {}", shown(host)),
        value: host.as_secs_f64() / snug.as_secs_f64(),
        budget: Budget::AtLeast(least),
    });
}

/// `head -c 1G /dev/zero | command | wc -c`, as three processes with pipes between.
fn piped(_subject: &Subject<'_>, mut command: Command) -> Duration {
    let mut count = String::new();
    let duration = crate::clock::timed(|| {
        let mut head = Command::new("head")
            .args(["-c", BYTES, "/dev/zero"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("head");
        let input = head.stdout.take().expect("piped");
        let mut middle = command.stdin(input).stdout(Stdio::piped()).spawn().expect("the command starts");
        // The command holds the pipes' ends as long as it lives; it would wait for itself.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let output = middle.stdout.take().expect("piped");
        let wc = Command::new("wc").arg("-c").stdin(output).output().expect("wc");
        count = String::from_utf8_lossy(&wc.stdout).trim().to_owned();
        assert!(middle.wait().is_ok_and(|status| status.success()), "{command:?} failed");
        assert!(head.wait().is_ok());
    });
    assert_eq!(count, BYTES, "bytes were lost");
    duration
}

fn write_text(path: &std::path::Path) -> std::io::Result<()> {
    let line = "The quick brown fox jumps over the lazy dog and does not look back once.\n";
    let mut file = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut written = 0;
    while written < TEXT {
        file.write_all(line.as_bytes())?;
        written += line.len();
    }
    file.flush()
}

/// Runs a command on a pty whose other side is read as fast as it can be.
fn on_pty(subject: &Subject<'_>, argv: &[&str]) -> Duration {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::os::unix::process::CommandExt;
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
    grantpt(&master).expect("a pty");
    unlockpt(&master).expect("a pty");
    let name = ptsname(&master, Vec::new()).expect("a pty has a name");
    let name = name.into_string().expect("a path");
    let slave = fs::OpenOptions::new().read(true).write(true).open(&name).expect("the slave opens");
    let mut args = vec!["--ctty", "--wait", "--"];
    args.extend_from_slice(argv);
    let mut seen = 0_usize;
    let duration = crate::clock::timed(|| {
        let mut command = subject.as_user("setsid", &args);
        let clone = || Stdio::from(slave.try_clone().expect("a descriptor"));
        command.stdin(clone()).stdout(clone()).stderr(clone()).process_group(0);
        let mut child = command.spawn().expect("setsid");
        drop(command);
        let mut buffer = vec![0; 1 << 16];
        let waiter = std::thread::spawn(move || child.wait());
        // One end stays open here so that the reader sees no hang-up before the writer has begun.
        let mut keep = Some(slave.try_clone().expect("a descriptor"));
        while let Ok(count) = rustix::io::read(&master, &mut buffer[..]) {
            seen += count;
            if seen >= TEXT {
                keep = None;
            }
            if keep.is_none() && waiter.is_finished() {
                break;
            }
            if count == 0 {
                break;
            }
        }
        assert!(waiter.join().expect("no panic").is_ok_and(|status| status.success()), "{argv:?} failed");
    });
    assert!(seen >= TEXT, "{argv:?} showed {seen} bytes only");
    duration
}
