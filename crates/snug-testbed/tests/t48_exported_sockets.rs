//! `snug export --socket`: the host has a container's socket.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{answer, eventually, explains, fresh_with, json, sessions_of};
use rustix::process::Signal;
use snug_testbed::{Bed, Container, UserCommand};

/// Answers each caller, when he has said all, with how much it was and the same again, and goes on after it has been left.
const SERVER: &str = "use IO::Socket::UNIX; $SIG{CHLD} = 'IGNORE'; unlink $ARGV[0]; \
    my $door = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 64) or die $!; \
    while (my $caller = $door->accept) { next if fork; local $/; my $said = <$caller>; \
    print $caller length($said), \"\\n\", $said; exit }";

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "exports", common::DEBIAN_13)
}

/// A server at that path of the guest, of its root's, as a unit of its.
fn serve(guest: &Container<'_>, path: &str) {
    let unit = format!("server{}", path.replace(['/', '.'], "-"));
    let started = guest.run(["sudo", "systemd-run", "-q", "--unit", &unit, "perl", "-e", SERVER, path]);
    started.run().unwrap().success();
    eventually("it listens", || guest.run(["sudo", "test", "-S", path]).run().unwrap().code() == 0);
}

/// A socket that is exported, until dropped.
struct Exported<'a> {
    guest: &'a Container<'a>,
    path: &'a str,
    place: PathBuf,
}

impl<'a> Exported<'a> {
    #[track_caller]
    fn new(guest: &'a Container<'a>, path: &'a str) -> Self {
        let said = answer(guest.snug(["export", "-c", guest.name(), "--socket", path]));
        Self { guest, path, place: said.into() }
    }
}

impl Drop for Exported<'_> {
    fn drop(&mut self) {
        let _ = self.guest.snug(["unexport", "-c", self.guest.name(), "--socket", self.path]).run();
    }
}

/// A program of the owner's on the host.
fn on_host<const N: usize>(argv: [&str; N]) -> UserCommand {
    UserCommand::for_account(Bed::require().account("tester"), argv.map(Into::into).to_vec())
}

/// What is answered to that by whoever listens there.
fn asked_by_owner(place: &Path, text: &str) -> String {
    let line = "use IO::Socket::UNIX; my $door = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; \
                print $door $ARGV[1]; shutdown $door, 1; print while <$door>";
    let place = place.to_str().unwrap();
    answer(on_host(["perl", "-e", line, place, text]))
}

#[test]
fn who_connects_on_the_host_speaks_with_the_containers_server() {
    let guest = guest();
    serve(guest, "/run/one.sock");
    let exported = Exported::new(guest, "/run/one.sock");
    assert!(exported.place.ends_with("exports/one.sock"), "{}", exported.place.display());
    assert_eq!(asked_by_owner(&exported.place, "hello"), "5\nhello");
    let all = json(&guest.snug(["exports", "--json"]).run().unwrap());
    assert_eq!(all["exports"][0]["path"], "/run/one.sock");
    assert_eq!(all["exports"][0]["open"], true);
    // His alone.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&exported.place), mode(exported.place.parent().unwrap())), (0o600, 0o700));
    let mut refused = UnixStream::connect(&exported.place).unwrap();
    refused.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may be closed before it has heard that.
    let _ = refused.write_all(b"hello").and_then(|()| refused.shutdown(Shutdown::Write));
    let mut said = Vec::new();
    let end = refused.read_to_end(&mut said).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "another user is refused: {end:?}");
    // Gone with it.
    let place = exported.place.clone();
    drop(exported);
    assert!(!place.exists());
    assert!(guest.snug(["exports"]).run().unwrap().success().out().is_empty());
}

#[test]
fn much_and_many_at_a_time_arrive_whole() {
    let guest = guest();
    serve(guest, "/run/many.sock");
    let exported = Exported::new(guest, "/run/many.sock");
    let line = "for i in $(seq 20); do (head -c 3000000 /dev/urandom > /tmp/many-$i; perl -e 'use IO::Socket::UNIX; \
                my $door = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; local $/; print $door <STDIN>; shutdown $door, 1; \
                my $said = <$door>; $said =~ s/^3000000\\n//; print $said' \"$0\" < /tmp/many-$i | cmp - /tmp/many-$i && echo same; \
                rm /tmp/many-$i) & done; wait";
    let place = exported.place.to_str().unwrap();
    let said = answer(on_host(["sh", "-c", line, place]));
    assert_eq!(said.matches("same").count(), 20, "{said}");
}

#[test]
fn a_stopped_container_is_started_and_a_service_that_died_is_there_again() {
    let bed = Bed::require();
    let guest = fresh_with(&bed, "tester", "exports-stopped", common::DEBIAN_13, &["--preset", "isolated"]);
    let unit = "[Service]\nExecStart=/usr/local/bin/serve\n[Install]\nWantedBy=sysinit.target\n";
    let install = "cat > /etc/systemd/system/serve.service; \
                   printf '#!/bin/sh\\nexec perl -e '\\''%s'\\'' /run/kept.sock' \"$0\" > /usr/local/bin/serve; \
                   chmod +x /usr/local/bin/serve; systemctl enable -q --now serve";
    let server = SERVER.replace('\'', "\"");
    guest
        .snug(["run", "--root", "-w", "/", "-c", guest.name(), "--", "sh", "-c", install, &server])
        .input(unit)
        .run()
        .unwrap()
        .success();
    let exported = Exported::new(&guest, "/run/kept.sock");
    eventually("it answers", || asked_by_owner(&exported.place, "1").ends_with('1'));
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    assert!(exported.place.exists());
    eventually("it answers again", || asked_by_owner(&exported.place, "2").ends_with('2'));
    assert_eq!(common::state(&bed, "tester", guest.name()), "running");
    // Its listener is killed; the next command of Snug's that concerns it makes another one.
    for session in sessions_of("tester") {
        session.signal(Signal::KILL);
    }
    eventually("it is gone", || sessions_of("tester").is_empty());
    guest.snug(["exports"]).run().unwrap().success();
    assert!(asked_by_owner(&exported.place, "3").ends_with('3'));
    // It goes with its container.
    bed.snug("tester").args(["rm", "-f", guest.name()]).run().unwrap().success();
    assert!(!exported.place.exists());
    assert!(guest.snug(["exports"]).run().unwrap().success().out().is_empty());
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_of_the_users_is_touched() {
    let guest = guest();
    let name = guest.name();
    let export = |socket: &str| guest.snug(["export", "-c", name, "--socket", socket]).run().unwrap();
    explains(&export("run/x"), 2, &["'run/x' is no absolute path"]);
    explains(&export("/run/x=../y"), 2, &["cannot be the name"]);
    explains(&guest.snug(["export", "-c", "exprots", "--socket", "/x"]).run().unwrap(), 1, &["exports"]);
    let unexport = guest.snug(["unexport", "-c", name, "--socket", "/run/never.sock"]).run().unwrap();
    explains(&unexport, 1, &["is not exported", "snug exports"]);
    // Nothing listens there yet; two of one name cannot be.
    let early = export("/run/early.sock");
    assert!(early.err().contains("has no socket /run/early.sock now"), "{}", early.err());
    let place = PathBuf::from(early.success().out().trim());
    explains(&export("/tmp/early.sock"), 1, &["has a socket early.sock on the host already", "=NAME"]);
    assert!(UnixStream::connect(&place).is_ok());
    guest.snug(["unexport", "-c", name, "--socket", "/run/early.sock"]).run().unwrap().success();
    // A file in its place stays.
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let account = Bed::require().account("tester");
    std::os::unix::fs::chown(place.parent().unwrap(), Some(account.uid), Some(account.gid)).unwrap();
    fs::write(&place, "mine").unwrap();
    explains(&export("/run/early.sock"), 1, &["is not on the host", "nothing was exported"]);
    assert!(guest.snug(["exports"]).run().unwrap().success().out().is_empty());
    assert_eq!(fs::read_to_string(&place).unwrap(), "mine");
    fs::remove_dir_all(place.parent().unwrap()).unwrap();
}
