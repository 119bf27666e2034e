//! Room that is kept on a bounded disk. Incus writes there with each change of an instance and before each start: a guest that
//! has filled its disk could be neither started nor enlarged. Snug's daemon removes this file then, which is possible on a full
//! disk too, and there is room again.

use std::fs;
use std::io::{self, Write};

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, open};
use rustix::rand::{GetRandomFlags, getrandom};
use snug_wire::provision::{Provision, RESERVE, RESERVE_SIZE};

use crate::files::remove_if_there;
use crate::places::Guest;

/// Makes it where it is wanted and missing, and removes it where it is not wanted.
///
/// # Errors
/// What the system says: there is no room for it. Nothing is left then.
pub fn keep(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let path = guest.path(RESERVE);
    if !provision.reserve {
        return remove_if_there(&path).map(drop);
    }
    if fs::symlink_metadata(&path).is_ok_and(|status| status.is_file() && status.len() == RESERVE_SIZE) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    let filled = match fallocate(&file, FallocateFlags::empty(), 0, RESERVE_SIZE) {
        // A file system that cannot set room aside: written, and with what none makes smaller.
        Err(rustix::io::Errno::OPNOTSUPP) => fill(&fs::File::from(file)),
        other => other.map_err(io::Error::from),
    };
    if filled.is_err() {
        let _ = fs::remove_file(&path);
    }
    filled
}

fn fill(mut file: &fs::File) -> io::Result<()> {
    let mut noise = [0; 256];
    for _ in 0..RESERVE_SIZE / 256 {
        getrandom(&mut noise, GetRandomFlags::empty())?;
        file.write_all(&noise)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_room_while_it_is_wanted() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let mut provision = crate::provision::tests::provision();
        provision.reserve = true;
        let path = guest.path(RESERVE);
        for _ in 0..2 {
            keep(&guest, &provision).unwrap();
            let status = fs::metadata(&path).unwrap();
            assert_eq!((status.len(), status.mode() & 0o777), (RESERVE_SIZE, 0o600));
            assert!(status.blocks() * 512 >= RESERVE_SIZE);
        }
        provision.reserve = false;
        for _ in 0..2 {
            keep(&guest, &provision).unwrap();
            assert!(!path.exists());
        }
    }
}
