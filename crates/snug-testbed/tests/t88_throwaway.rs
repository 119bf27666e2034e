//! `snug x`: a command of a package, in a container that is kept for a while. Needs the distribution's own archive.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use common::{Doomed, Finally, answer, explains, fresh, state};
use rustix::process::Signal;
use snug_testbed::process::{self, Process};
use snug_testbed::{Bed, Captured};

const USER: &str = "tester";
/// That of the package `hello`, which is small and needs nothing.
const NAME: &str = "x-hello";

fn x(words: &[&str]) -> Captured {
    Bed::require().snug(USER).arg("x").args(words).run().unwrap()
}

fn kept(ending: &str) -> PathBuf {
    Bed::require().account(USER).home.join(format!(".local/state/snug/x/{NAME}.{ending}"))
}

/// What stops containers that nobody uses; it runs on for a minute.
fn collectors() -> Vec<Process> {
    let uid = Bed::require().account(USER).uid;
    let collects = |process: &Process| {
        process.uid() == Some(uid) && process.command_line().ends_with("snug --quiet x --collect")
    };
    process::all().into_iter().filter(collects).collect()
}

fn end_collectors() {
    for collector in collectors() {
        collector.signal(Signal::KILL);
        assert!(collector.wait_end(common::PATIENCE));
    }
}

/// No such container before and after the test, and nobody who looks after it.
fn clean(bed: &Bed) -> (Finally<impl FnMut() + use<>>, Doomed<'_>) {
    end_collectors();
    for ending in ["json", "lock"] {
        let _ = std::fs::remove_file(kept(ending));
    }
    let after = Finally(|| {
        end_collectors();
        for ending in ["json", "lock"] {
            let _ = std::fs::remove_file(kept(ending));
        }
    });
    (after, Doomed::new(bed, USER, NAME))
}

/// As if it had been used so long ago, and one who collects now.
fn collected_after(unused: Duration) {
    end_collectors();
    File::options().write(true).open(kept("lock")).unwrap().set_modified(SystemTime::now() - unused).unwrap();
    Bed::require().snug(USER).args(["x", "--collect"]).run().unwrap().success();
}

#[test]
fn a_command_runs_once_and_again_and_what_nobody_uses_goes() {
    let bed = &Bed::require();
    let _clean = clean(bed);
    assert_eq!(x(&["hello", "-g", "a  'b'"]).success().out(), "a  'b'\n");
    assert_eq!(state(bed, USER, NAME), "running");
    // Nothing of it is on the host.
    let exported = bed.snug(USER).args(["exports", "--json"]).run().unwrap().success();
    assert!(!exported.out().contains(NAME), "{}", exported.out());
    // Again; what is said and how it ends are the command's.
    let ran = x(&["-w", "/srv", "hello", "--nonsense"]);
    assert!(ran.err().contains("unrecognized option '--nonsense'"), "{}", ran.err());
    let ran = x(&["-w", "/no/such/place", "hello"]);
    explains(&ran, 125, &["/no/such/place"]);
    // Whoever looks after it is one, and stops it.
    common::eventually("one collector", || collectors().len() == 1);
    collected_after(Duration::from_secs(120));
    assert_eq!(state(bed, USER, NAME), "stopped");
    assert_eq!(x(&["hello", "-t"]).success().out(), "hello, world\n");
    collected_after(Duration::from_secs(15 * 24 * 60 * 60));
    assert_eq!(state(bed, USER, NAME), "");
    assert!(!kept("json").exists() && !kept("lock").exists());
}

#[test]
fn what_is_used_is_neither_stopped_nor_removed() {
    let bed = &Bed::require();
    let _clean = clean(bed);
    x(&["hello"]).success();
    // As whoever runs a command there has it.
    let lock = File::open(kept("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockShared).unwrap();
    end_collectors();
    File::options()
        .write(true)
        .open(kept("lock"))
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(15 * 24 * 60 * 60))
        .unwrap();
    bed.snug(USER).args(["prune"]).run().unwrap().success();
    assert_eq!(state(bed, USER, NAME), "running");
    drop(lock);
    let pruned = bed.snug(USER).args(["prune"]).run().unwrap().success();
    assert_eq!(pruned.out(), format!("{NAME}\n"));
    assert_eq!(state(bed, USER, NAME), "");
}

#[test]
fn what_cannot_be_run_leaves_no_container() {
    let bed = &Bed::require();
    let _clean = clean(bed);
    explains(&x(&["no-such-package-there-is"]), 125, &["has no package no-such-package-there-is"]);
    assert_eq!(state(bed, USER, "x-no-such-package-there-is"), "");
    explains(&x(&["; rm -rf ~"]), 125, &["is no name of a package"]);
    explains(
        &x(&["--bin", "hullo", "hello"]),
        125,
        &["hello has no command 'hullo'", "did you mean 'hello'"],
    );
}

#[test]
fn a_container_that_somebody_made_is_not_touched() {
    let bed = &Bed::require();
    let _clean = clean(bed);
    let own = fresh(bed, USER, NAME, common::NO_INIT);
    explains(&x(&["hello"]), 125, &["there is a container x-hello which `snug x` has not made"]);
    assert_eq!(answer(own.run(["echo", "here"])), "here");
    // And one that is gone is made again.
    drop(own);
    bed.snug(USER).args(["rm", "-f", NAME]).run().unwrap();
    x(&["hello"]).success();
    bed.snug(USER).args(["rm", "-f", NAME]).run().unwrap().success();
    assert_eq!(x(&["hello"]).success().out(), "Hello, world!\n");
}

#[test]
fn one_that_was_killed_while_it_was_made_is_made_anew() {
    let bed = &Bed::require();
    let _clean = clean(bed);
    let making = bed.snug(USER).args(["x", "hello"]);
    let mut making = making.spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    common::eventually("it is being made", || state(bed, USER, NAME) == "running");
    making.kill().unwrap();
    making.wait().unwrap();
    assert!(kept("json").exists());
    assert_eq!(x(&["hello"]).success().out(), "Hello, world!\n");
    // Two at once: one makes it, both run.
    bed.snug(USER).args(["rm", "-f", NAME]).run().unwrap().success();
    let ran: Vec<String> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| x(&["hello"]).success().out())).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(ran, ["Hello, world!\n", "Hello, world!\n"]);
}
