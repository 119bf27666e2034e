//! Which packages of a container its image brought, and which came from files: what a list of it leaves out.
//!
//! No package manager knows either. It is kept in the guest, so it goes back with its disk, is copied with it and goes with it; it is written
//! before packages are first changed there. What the image brought is what was installed before the container was made.

use std::collections::BTreeSet;

use crate::answer::Asked;
use crate::command::{Ask, Nothing, Query, SHELL};
use crate::name::PackageName;

/// Where it is in the guest.
pub const FILE: &str = "/var/lib/snug/packages";
/// Where it is written first: [`Record::settle`] makes it the one that counts, so that who is interrupted leaves the one before.
pub const NEW: &str = "/var/lib/snug/packages.new";

const HEAD: &str = "# Snug: packages that came with the image, and those that came from files. `snug dump` leaves them out.\n";
/// The word of a line about a package of the image.
const IMAGE: &str = "image";
/// The word of a line about a package from a file.
const FROM_FILE: &str = "file";
/// What comes before the file, where there is one.
const THERE: &[u8] = b"there\n";

/// What is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    image: BTreeSet<PackageName>,
    files: BTreeSet<PackageName>,
}

impl Record {
    /// That of a container in which nothing was changed yet, which was made at that second of 1970. Of a package whose time is not known the
    /// image is as likely as anything; where it is not known when the container was made, nothing counts as the image's.
    pub fn of(asked: &[Asked], made: Option<u64>) -> Self {
        let is_images =
            |asked: &&Asked| made.is_some_and(|made| asked.since.is_none_or(|since| since <= made));
        let image = asked.iter().filter(is_images).map(|asked| asked.name.clone()).collect();
        Self { image, files: BTreeSet::new() }
    }

    /// What asks for it. The answer is `None` where there is none yet.
    pub fn read() -> Query<Option<Self>> {
        static READ: Ask<Option<Record>> = Ask {
            argv: &[SHELL, "-c", "[ ! -e \"$1\" ] || { echo there; exec cat -- \"$1\"; }", "sh", "{}"],
            as_root: true,
            nothing: Nothing::Never,
            read: Record::parse,
        };
        READ.about(&[FILE], &[])
    }

    /// What makes [`NEW`] the one that counts.
    pub fn settle() -> Query<()> {
        static SETTLE: Ask<()> =
            Ask { argv: &["mv", "-f", "--", "{}"], as_root: true, nothing: Nothing::Never, read: |_| () };
        SETTLE.about(&[NEW, FILE], &[])
    }

    /// A guest's root may have written anything there: what is no name is left out.
    fn parse(output: &[u8]) -> Option<Self> {
        let text = output.strip_prefix(THERE)?;
        let mut record = Self::default();
        for line in crate::read::lines(text) {
            let mut words = line.splitn(2, |&byte| byte == b' ');
            let (kind, name) = (words.next().unwrap_or_default(), words.next().and_then(PackageName::read));
            match kind {
                _ if kind == IMAGE.as_bytes() => record.image.extend(name),
                _ if kind == FROM_FILE.as_bytes() => record.files.extend(name),
                _ => {}
            }
        }
        Some(record)
    }

    /// What is written.
    pub fn text(&self) -> String {
        let line = |kind: &str, name: &PackageName| format!("{kind} {name}\n");
        let image = self.image.iter().map(|name| line(IMAGE, name));
        HEAD.to_owned()
            + &image.chain(self.files.iter().map(|name| line(FROM_FILE, name))).collect::<String>()
    }

    /// Takes down that these came from files.
    pub fn add_from_files(&mut self, names: &[PackageName]) {
        self.files.extend(names.iter().cloned());
    }

    /// Takes down that these are gone: who has them again may have them from elsewhere, and wants them.
    pub fn remove(&mut self, names: &[PackageName]) {
        self.files.retain(|name| !names.contains(name));
        self.image.retain(|name| !names.contains(name));
    }

    /// Of these what somebody has asked for: packages that repositories have, and those from files.
    pub fn asked_for(&self, asked: Vec<Asked>) -> (Vec<PackageName>, Vec<PackageName>) {
        let mine = asked.into_iter().map(|asked| asked.name).filter(|name| !self.image.contains(name));
        let (files, others) = mine.partition(|name| self.files.contains(name));
        (others, files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Output;

    fn name(name: &str) -> PackageName {
        PackageName::read(name.as_bytes()).unwrap()
    }

    fn asked(all: &[(&str, Option<u64>)]) -> Vec<Asked> {
        all.iter().map(|(word, since)| Asked { name: name(word), since: *since }).collect()
    }

    fn read(stdout: &[u8]) -> Option<Record> {
        Record::read().read(&Output { stdout: stdout.to_vec(), ..Output::default() }).unwrap()
    }

    #[test]
    fn what_is_older_than_the_container_is_its_images() {
        let all = asked(&[("base-files", Some(10)), ("ripgrep", Some(12)), ("world", None)]);
        assert_eq!(Record::of(&all, Some(11)).asked_for(all.clone()).0, [name("ripgrep")]);
        assert_eq!(Record::of(&all, None).asked_for(all.clone()).0.len(), 3);
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_what_is_none_is_left_out() {
        let mut record = Record { image: [name("bash"), name("dpkg")].into(), files: BTreeSet::new() };
        record.add_from_files(&[name("vendor-tool"), name("other")]);
        record.remove(&[name("other"), name("dpkg")]);
        assert_eq!(read(&[THERE, record.text().as_bytes()].concat()), Some(record.clone()));
        let (packages, files) =
            record.asked_for(asked(&[("bash", None), ("rg", None), ("vendor-tool", None)]));
        assert_eq!((packages, files), (vec![name("rg")], vec![name("vendor-tool")]));
        assert_eq!(read(b""), None);
        let hostile = b"there\nimage -x\nimage \x1b[2J\nfile a b\nimage\nfoo bar\n\xff\nimage ok\n";
        assert_eq!(read(hostile), Some(Record { image: [name("ok")].into(), files: BTreeSet::new() }));
        for output in crate::read::hostile() {
            read(&[THERE, &output].concat());
        }
    }
}
