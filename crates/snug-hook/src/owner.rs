//! Giving up root's rights.

use std::io;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::set_no_new_privs;

/// A container's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// His number.
    pub uid: u32,
    /// That of his primary group.
    pub gid: u32,
}

impl Owner {
    /// Makes all threads of this process his, without a way back. It ends with the process that has started it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn become_him(self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        setgroups(&[gid])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        set_no_new_privs(true)?;
        // He may end it, and not look into it or take what root has opened (ptrace(2)).
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        // After the change, which takes it back (prctl(2)).
        Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
    }
}
