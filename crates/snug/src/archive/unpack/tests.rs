//! Archives that a hostile guest could send, each with what must not happen.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use tar::{Builder, Header};

use super::*;

/// A directory for the copy in a directory that must stay as it was.
struct Place {
    outside: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("target")).unwrap();
        fs::write(outside.path().join("secret"), "untouched").unwrap();
        Self { outside }
    }

    fn target(&self) -> PathBuf {
        self.outside.path().join("target")
    }

    fn unpack(&self, stream: &[u8]) -> Result<Vec<Skipped>, ArchiveError> {
        let directory = File::open(self.target()).unwrap();
        unpack(stream, directory.into(), OsStr::new("copy"))
    }

    /// Nothing but the target, nothing in it but the copy, and the file outside as it was.
    fn assert_nothing_outside(&self) {
        let names = |path: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.outside.path()), ["secret", "target"]);
        assert!(names(&self.target()).iter().all(|name| name == "copy"), "{:?}", names(&self.target()));
        assert_eq!(fs::read_to_string(self.outside.path().join("secret")).unwrap(), "untouched");
        assert!(!Path::new("/tmp/snug-escaped").exists());
    }
}

/// One entry with its path and link exactly as given: the tar crate's own writer refuses most of these.
fn entry(kind: EntryType, path: &[u8], link: &[u8], data: &[u8], mode: u32) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    header.as_mut_bytes()[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn stream(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

fn directory(path: &[u8]) -> Vec<u8> {
    entry(EntryType::Directory, path, b"", b"", 0o755)
}

fn file(path: &[u8], data: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, path, b"", data, 0o644)
}

fn link(path: &[u8], target: &[u8]) -> Vec<u8> {
    entry(EntryType::Symlink, path, target, b"", 0o777)
}

#[test]
fn a_tree_arrives_under_our_name_with_modes_and_inner_links() {
    let place = Place::new();
    let bytes = stream(&[
        directory(b"proj/"),
        directory(b"proj/bin/"),
        entry(EntryType::Regular, b"proj/bin/tool", b"", b"#!/bin/sh\n", 0o755),
        link(b"proj/bin/alias", b"tool"),
        link(b"proj/bin/up", b"../README"),
        file(b"proj/README", b"read me"),
    ]);
    assert_eq!(place.unpack(&bytes).unwrap(), []);
    let copy = place.target().join("copy");
    assert_eq!(fs::metadata(copy.join("bin/tool")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_to_string(copy.join("bin/up")).unwrap(), "read me");
    place.assert_nothing_outside();
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in [
        b"/tmp/snug-escaped".as_slice(),
        b"../secret",
        b"copy/../../secret",
        b"proj/../../../tmp/snug-escaped",
        b"proj//x",
        b"./proj",
        b".",
        b"..",
    ] {
        let place = Place::new();
        let bytes = stream(&[file(path, b"evil")]);
        assert!(matches!(place.unpack(&bytes), Err(ArchiveError::Refused { .. })), "{path:?}");
        place.assert_nothing_outside();
    }
}

#[test]
fn a_second_name_beside_the_copy_is_refused() {
    let place = Place::new();
    let bytes = stream(&[file(b"proj", b"ok"), file(b".bashrc", b"evil")]);
    assert!(matches!(place.unpack(&bytes), Err(ArchiveError::Refused { .. })));
    place.assert_nothing_outside();
}

#[test]
fn links_out_of_the_copy_are_left_out() {
    for target in [
        b"/etc/passwd".as_slice(),
        b"..",
        b"../secret",
        b"../../secret",
        b"./../../secret",
        b"a/../../../secret",
        b"loop/..",
    ] {
        let place = Place::new();
        let bytes = stream(&[directory(b"proj"), link(b"proj/loop", b"."), link(b"proj/out", target)]);
        let skipped = place.unpack(&bytes).unwrap();
        assert_eq!(skipped.len(), 1, "{target:?}");
        assert!(fs::symlink_metadata(place.target().join("copy/out")).is_err());
        place.assert_nothing_outside();
    }
}

#[test]
fn nothing_is_written_through_a_link_of_the_archive() {
    let place = Place::new();
    // An inner link is made, but an entry below it is not followed even where it would stay inside.
    let bytes = stream(&[
        directory(b"proj"),
        directory(b"proj/real"),
        link(b"proj/alias", b"real"),
        file(b"proj/alias/x", b"evil"),
    ]);
    assert!(matches!(place.unpack(&bytes), Err(ArchiveError::Host { .. })));
    assert!(!place.target().join("copy/real/x").exists());
    place.assert_nothing_outside();
}

#[test]
fn nothing_is_written_through_a_link_that_was_there_before() {
    let place = Place::new();
    fs::create_dir(place.target().join("copy")).unwrap();
    symlink("../../secret", place.target().join("copy/file")).unwrap();
    symlink("../..", place.target().join("copy/dir")).unwrap();
    // The link itself is replaced by the file.
    place.unpack(&stream(&[directory(b"proj"), file(b"proj/file", b"new")])).unwrap();
    assert_eq!(fs::read_to_string(place.target().join("copy/file")).unwrap(), "new");
    // A directory behind a link is not entered.
    assert!(place.unpack(&stream(&[directory(b"proj"), file(b"proj/dir/secret", b"evil")])).is_err());
    place.assert_nothing_outside();
}

#[test]
fn the_copy_itself_is_never_a_link() {
    let place = Place::new();
    for target in [b"../secret".as_slice(), b"x", b"/etc/passwd"] {
        let error = place.unpack(&stream(&[link(b"proj", target)])).unwrap_err();
        assert!(matches!(error, ArchiveError::Link(to) if to == target));
    }
    assert!(!place.target().join("copy").exists());
    place.assert_nothing_outside();
}

#[test]
fn sparse_files_arrive_with_their_holes() {
    use std::io::Seek as _;
    let place = Place::new();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("sparse");
    let mut file = File::create(&path).unwrap();
    // More pieces than a header holds.
    for piece in 0..40_u64 {
        file.seek(SeekFrom::Start(piece << 20)).unwrap();
        file.write_all(&[u8::try_from(piece).unwrap(); 4096]).unwrap();
    }
    file.set_len(64 << 20).unwrap();
    let mut writer = Builder::new(Vec::new());
    writer.append_path_with_name(&path, "sparse").unwrap();
    writer.append_path_with_name(&path, "sparse").unwrap();
    let bytes = writer.into_inner().unwrap();
    assert!(bytes.len() < 1 << 20, "the file system or the writer knows no holes");
    place.unpack(&bytes).unwrap();
    let copy = place.target().join("copy");
    let (read, written) = (fs::read(&copy).unwrap(), fs::read(&path).unwrap());
    assert_eq!(read.len(), written.len());
    assert_eq!(read.iter().zip(&written).position(|(a, b)| a != b), None);
    assert!(fs::metadata(&copy).unwrap().blocks() < 4096);
}

#[test]
fn hard_links_are_refused_for_no_agent_sends_them() {
    for target in [b"/etc/passwd".as_slice(), b"../secret", b"proj/there-before", b"proj/file"] {
        let place = Place::new();
        fs::create_dir(place.target().join("copy")).unwrap();
        fs::write(place.target().join("copy/there-before"), "mine").unwrap();
        let link = entry(EntryType::Link, b"proj/hard", target, b"", 0o644);
        let bytes = stream(&[directory(b"proj"), file(b"proj/file", b"x"), link]);
        assert!(matches!(place.unpack(&bytes), Err(ArchiveError::Refused { .. })), "{target:?}");
        assert!(!place.target().join("copy/hard").exists());
        place.assert_nothing_outside();
    }
}

#[test]
fn what_is_kept_in_mind_of_a_stream_is_bounded() {
    let place = Place::new();
    let directory_again = || directory(b"proj/again");
    let device = || entry(EntryType::Char, b"proj/device", b"", b"", 0o644);
    let many = MOST_NAMED + 7;
    let entries: Vec<_> = std::iter::once(directory(b"proj"))
        .chain((0..many).flat_map(|_| [directory_again(), device()]))
        .collect();
    let skipped = place.unpack(&stream(&entries)).unwrap();
    assert_eq!(skipped.len(), MOST_NAMED + 1);
    assert_eq!(skipped.last().unwrap().entry, "7 more");
    let mut unpacker = Unpacker {
        root: Root::new(File::open(place.target()).unwrap().into()),
        name: "copy".into(),
        top: None,
        umask: 0,
        directories: BTreeMap::new(),
        names: MOST_NAMES - 100,
        skipped: Vec::new(),
        unnamed: 0,
    };
    for _ in 0..1000 {
        unpacker.remember(b"a", vec!["a".into()], (0, 0)).unwrap();
    }
    let error = unpacker.remember(b"b", vec!["b".repeat(100).into()], (0, 0)).unwrap_err();
    assert!(matches!(error, ArchiveError::Refused { .. }), "{error}");
}

#[test]
fn what_was_there_stays_until_the_new_file_is_whole() {
    let place = Place::new();
    fs::write(place.target().join("copy"), "old").unwrap();
    let whole = stream(&[file(b"f", &[7; 4000])]);
    let broken = place.unpack(&whole[..2000]).unwrap_err();
    assert!(matches!(broken, ArchiveError::Stream(_)), "{broken}");
    place.assert_nothing_outside();
    assert_eq!(fs::read(place.target().join("copy")).unwrap(), b"old");
    place.unpack(&whole).unwrap();
    assert_eq!(fs::read(place.target().join("copy")).unwrap(), [7; 4000]);
    place.assert_nothing_outside();
}

#[test]
fn nothing_becomes_writable_for_others_unless_the_mask_says_so() {
    let place = Place::new();
    let bytes = stream(&[
        entry(EntryType::Directory, b"d", b"", b"", 0o777),
        entry(EntryType::Regular, b"d/f", b"", b"", 0o4777),
    ]);
    place.unpack(&bytes).unwrap();
    let mode = |path: &str| fs::metadata(place.target().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("copy"), mode("copy/f")), (0o777 & !umask(), 0o777 & !umask()));
}

#[test]
fn devices_and_pipes_are_left_out_and_setuid_is_dropped() {
    let place = Place::new();
    let bytes = stream(&[
        directory(b"proj"),
        entry(EntryType::Block, b"proj/sda", b"", b"", 0o666),
        entry(EntryType::Char, b"proj/mem", b"", b"", 0o666),
        entry(EntryType::Fifo, b"proj/pipe", b"", b"", 0o666),
        entry(EntryType::Regular, b"proj/root-shell", b"", b"\x7fELF", 0o6755),
    ]);
    assert_eq!(place.unpack(&bytes).unwrap().len(), 3);
    let mode = fs::metadata(place.target().join("copy/root-shell")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    place.assert_nothing_outside();
}

#[test]
fn long_names_are_read_and_endless_ones_are_not() {
    let place = Place::new();
    let long = format!("proj/{}", "n".repeat(200));
    let mut writer = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(4);
    writer.append_data(&mut header, &long, b"data".as_slice()).unwrap();
    place.unpack(&writer.into_inner().unwrap()).unwrap();
    assert!(place.target().join("copy").join("n".repeat(200)).exists());

    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_mode(0);
    header.set_size(1 << 40);
    header.set_cksum();
    let endless = header.as_bytes().chain(io::repeat(b'a'));
    let directory = File::open(place.target()).unwrap();
    assert!(matches!(
        unpack(endless, directory.into(), OsStr::new("copy")),
        Err(ArchiveError::Refused { .. })
    ));
    place.assert_nothing_outside();
}

#[test]
fn a_stream_that_ends_too_early_is_an_error() {
    let place = Place::new();
    let whole = stream(&[directory(b"proj"), file(b"proj/a", &[7; 5000])]);
    for cut in [600, 1100, 3000, 5500] {
        assert!(place.unpack(&whole[..cut]).is_err(), "{cut}");
    }
    assert!(matches!(place.unpack(b""), Err(ArchiveError::Empty)));
    place.assert_nothing_outside();
}

#[test]
fn what_is_packed_is_unpacked_the_same() {
    let place = Place::new();
    let source = tempfile::tempdir().unwrap();
    let tree = source.path().join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    fs::write(tree.join("deep/er/file"), vec![9; 100_000]).unwrap();
    fs::write(tree.join("long-".repeat(40)), "long").unwrap();
    symlink("deep/er", tree.join("link")).unwrap();
    fs::set_permissions(tree.join("deep"), fs::Permissions::from_mode(0o500)).unwrap();
    let mut bytes = Vec::new();
    assert_eq!(crate::archive::pack::pack(&tree, OsStr::new("other"), &mut bytes).unwrap(), []);
    assert_eq!(place.unpack(&bytes).unwrap(), []);
    let copy = place.target().join("copy");
    assert_eq!(fs::read(copy.join("link/file")).unwrap(), vec![9; 100_000]);
    assert_eq!(fs::read_to_string(copy.join("long-".repeat(40))).unwrap(), "long");
    fs::set_permissions(tree.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    place.assert_nothing_outside();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_comes_nothing_is_written_outside(
        entries in prop::collection::vec(
            (0_usize..8, "[a-c./]{1,12}", "[a-c./]{0,12}", prop::collection::vec(any::<u8>(), 0..20)),
            1..12,
        ),
    ) {
        let kinds = [
            EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Link,
            EntryType::Char, EntryType::Fifo, EntryType::GNULongName, EntryType::GNULongLink,
        ];
        let place = Place::new();
        let entries: Vec<_> = entries
            .iter()
            .map(|(kind, path, link, data)| {
                let path = format!("a/{path}");
                entry(kinds[*kind], path.as_bytes(), link.as_bytes(), data, 0o7777)
            })
            .collect();
        let _ = place.unpack(&stream(&entries));
        place.assert_nothing_outside();
        // Every link that was made resolves inside the copy, or to nothing.
        let copy = place.target().join("copy");
        let mut below = vec![copy.clone()];
        while let Some(path) = below.pop() {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_symlink() {
                if let Ok(resolved) = fs::canonicalize(&path) {
                    prop_assert!(resolved.starts_with(fs::canonicalize(&copy).unwrap()), "{path:?} → {resolved:?}");
                }
            } else if metadata.is_dir() {
                below.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                prop_assert_eq!(metadata.permissions().mode() & 0o7000, 0);
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let place = Place::new();
        let _ = place.unpack(&bytes);
        place.assert_nothing_outside();
    }
}
