//! What the child does between its start and the command's program: each step as the user would meet it. It may share the
//! memory of its parent (`CLONE_VM`): nothing may be allocated or freed.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{FileType, Mode, stat};
use rustix::io::Errno;
use rustix::process::{chdir, getpid, setpgid, umask};
use snug_wire::message::Limit;

use super::{NotThere, Place, Prepared, Refusal, Report, Trouble};
use crate::sys::process::Shared;
use crate::sys::{descriptor, process, signal};
use crate::system::Identity;

/// Becomes the command; what went wrong is left in `report`.
pub fn become_command(prepared: &mut Prepared, report: &Shared<Report>) -> Infallible {
    let mut said = Report::default();
    let trouble = match steps(prepared, &mut said, report) {
        Ok(never) => match never {},
        Err(trouble) => trouble,
    };
    said.trouble = Some(trouble);
    report.set(said);
    process::exit(125)
}

fn steps(prepared: &mut Prepared, said: &mut Report, report: &Shared<Report>) -> Result<Infallible, Trouble> {
    lead_a_group(prepared).map_err(Trouble::Group)?;
    place_descriptors(&prepared.streams)?;
    set_limits(&prepared.limits);
    umask(Mode::from_raw_mode(prepared.umask & 0o777));
    let Identity { entry, groups } = &prepared.identity;
    // What the memory still holds is the agent's: the kernel lets nobody trace a process whose user has changed until it
    // has another program (commit_creds, `fs.suid_dumpable`).
    if let Some(groups) = groups {
        process::become_user(entry.uid, entry.gid, groups).map_err(Trouble::User)?;
    }
    let pwd = enter_directory(prepared, said)?;
    if let Some(index) = prepared.pwd {
        prepared.environment.replace(index, &prepared.pwds[pwd]);
    }
    report.set(*said);
    signal::reset_dispositions(prepared.ignored);
    signal::unblock_all();
    Err(execute(prepared))
}

fn lead_a_group(prepared: &Prepared) -> Result<(), Errno> {
    setpgid(None, None)?;
    if let Some(terminal) = &prepared.terminal {
        // SIGTTOU is blocked, so a background process may do this.
        rustix::termios::tcsetpgrp(terminal, getpid())?;
    }
    Ok(())
}

fn place_descriptors(streams: &[(RawFd, Option<OwnedFd>)]) -> Result<(), Trouble> {
    descriptor::close_on_exec_from(0);
    for (slot, fd) in streams {
        match fd {
            Some(fd) => {
                descriptor::place(fd.as_fd(), *slot).map_err(|error| {
                    Trouble::Descriptor(*slot, Errno::from_io_error(&error).unwrap_or(Errno::BADF))
                })?;
            }
            None => descriptor::close(*slot),
        }
    }
    Ok(())
}

/// Soft limits exactly, hard ones as far as they go: without `CAP_SYS_RESOURCE` on the host none can be raised.
fn set_limits(limits: &[Limit]) {
    for Limit { resource, soft, hard } in limits {
        if process::set_limit(*resource, *soft, *hard).is_err()
            && let Some((_, possible)) = process::limit(*resource)
        {
            let hard = (*hard).min(possible);
            let _ = process::set_limit(*resource, (*soft).min(hard), hard);
        }
    }
}

/// Goes where the command shall be; says which of the PWDs holds there.
fn enter_directory(prepared: &Prepared, said: &mut Report) -> Result<usize, Trouble> {
    match &prepared.place {
        Place::Same { path, device, inode, or_home } => match enter_same(path, *device, *inode) {
            Ok(()) => return Ok(0),
            Err(why) if *or_home => said.not_there = Some(why),
            Err(why) => return Err(Trouble::Directory(why)),
        },
        Place::Guest(path) => {
            chdir(path).map_err(|error| Trouble::Directory(NotThere::Refused(error)))?;
            return Ok(0);
        }
        Place::Home => {}
    }
    match chdir(&prepared.home) {
        Ok(()) => Ok(1),
        Err(error) => {
            said.no_home = Some(error);
            chdir(c"/").map_err(Trouble::Root)?;
            Ok(2)
        }
    }
}

/// Goes to the guest's directory of that path, if it is the very one that the caller is in. `/` stands for itself: nobody
/// takes the root of one system for that of another, and who is nowhere in particular is there.
fn enter_same(path: &CStr, device: u64, inode: u64) -> Result<(), NotThere> {
    let missing = |error: Errno| match error {
        Errno::NOENT | Errno::NOTDIR => NotThere::Missing,
        other => NotThere::Refused(other),
    };
    // By name and then "here", not by a descriptor: the caller's limit may leave none.
    chdir(path).map_err(missing)?;
    if path.to_bytes() != b"/" {
        let here = stat(c".").map_err(missing)?;
        if here.st_dev != device || here.st_ino != inode {
            return Err(NotThere::Another);
        }
    }
    Ok(())
}

/// Replaces the program; says why that was not possible.
fn execute(prepared: &mut Prepared) -> Trouble {
    let anywhere = !prepared.name.contains(&b'/');
    let mut denied = None;
    for (index, candidate) in prepared.candidates.iter().enumerate() {
        let file_type =
            || stat(candidate.as_c_str()).ok().map(|status| FileType::from_raw_mode(status.st_mode));
        let refusal = match process::execute(candidate, &prepared.arguments, &prepared.environment) {
            // A script without `#!`: by /bin/sh, as execvp(3) and every shell do.
            Errno::NOEXEC => {
                prepared.by_shell.replace(1, candidate);
                let error = process::execute(c"/bin/sh", &prepared.by_shell, &prepared.environment);
                return Trouble::NotRun(index, Refusal::System(error));
            }
            Errno::NOENT | Errno::NOTDIR => match file_type() {
                Some(_) => Refusal::NoInterpreter,
                None => continue,
            },
            // On the way through PATH: a directory, or something in a directory that he may not enter.
            Errno::ACCESS if anywhere && file_type() != Some(FileType::RegularFile) => continue,
            _ if file_type() == Some(FileType::Directory) => Refusal::IsDirectory,
            error => Refusal::System(error),
        };
        denied.get_or_insert(Trouble::NotRun(index, refusal));
    }
    denied.unwrap_or(Trouble::NotFound)
}
