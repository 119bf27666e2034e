//! What there is on a host, to see whether it has changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use snug_core::grant::Nodes;

use super::{Ids, resolved, walk};

/// What there is on a host, as far as it changes what a user may open who stays in his groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, State>);

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Number, owners, mode and access list of a node.
    Node(u64, Ids, u32, Vec<u8>),
    /// Where a link leads to.
    Link(PathBuf),
}

impl Snapshot {
    /// Of the nodes in `base` that may be shared, and the links to such. Times do not count: whoever may open a node may touch it.
    /// Blocks.
    #[must_use]
    pub fn of(base: &Path) -> Self {
        let mut all = BTreeMap::new();
        walk(base, |path, about| {
            let state = if about.is_symlink() {
                let Ok(target) = fs::read_link(base.join(path)) else { return };
                if !resolved(base, path, &target).is_some_and(|leads_to| Nodes::ALL.has(&leads_to)) {
                    return;
                }
                State::Link(target)
            } else if Nodes::ALL.has(path) {
                let owners = (about.uid(), about.gid());
                State::Node(about.rdev(), owners, about.mode(), access_list(&base.join(path)))
            } else {
                return;
            };
            all.insert(path.to_owned(), state);
        });
        Self(all)
    }
}

/// The access control list (acl(5)) as the kernel keeps it; empty where there is none.
fn access_list(file: &Path) -> Vec<u8> {
    /// Some hundred entries.
    const LONGEST: usize = 4096;
    let mut buffer = vec![0; LONGEST];
    let read = rustix::fs::lgetxattr(file, "system.posix_acl_access", &mut buffer[..]);
    buffer.truncate(read.unwrap_or(0));
    buffer
}
