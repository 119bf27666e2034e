//! The name that a library has in itself (`DT_SONAME`, elf(5)), by which programs ask for it. Read from where it is: libraries of a
//! driver have up to 100 MB each.

use std::fs::File;
use std::os::fd::AsRawFd;

use object::elf::{DT_SONAME, DT_STRTAB, DynamicTag, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};

use super::path_of;

/// Bytes of a name (limits.h, `NAME_MAX`).
const LONGEST: u64 = 255;

/// An ELF file, as far as the linker asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Library {
    /// Of 32 bits, not of 64.
    pub is_32_bit: bool,
    /// Its own name; a plain one, or none.
    pub name: Option<String>,
}

/// Looks at a file; `None` for what is no ELF file.
pub fn look(file: &impl AsRawFd) -> Option<Library> {
    let opened = File::open(path_of(file)).ok()?;
    let cache = ReadCache::new(opened);
    let (is_32_bit, name) = match FileKind::parse(&cache).ok()? {
        FileKind::Elf64 => (false, name::<FileHeader64<Endianness>, _>(&cache)),
        FileKind::Elf32 => (true, name::<FileHeader32<Endianness>, _>(&cache)),
        _ => return None,
    };
    Some(Library { is_32_bit, name: name.filter(|name| is_plain(name)) })
}

fn name<'a, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(data: R) -> Option<String> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let entries = segments.iter().find_map(|segment| segment.dynamic(endian, data).ok().flatten())?;
    let value = |tag: DynamicTag| -> Option<u64> {
        let entry = entries.iter().find(|entry| entry.tag(endian) == tag)?;
        Some(entry.val(endian))
    };
    let (table, name) = (value(DT_STRTAB)?, value(DT_SONAME)?);
    let address = table.checked_add(name)?;
    // An address in memory: the segment that is loaded there has it in the file.
    let start = segments.iter().find_map(|segment| {
        let begin: u64 = segment.p_vaddr(endian).into();
        let (offset, size): (u64, u64) = segment.file_range(endian);
        let distance = address.checked_sub(begin)?;
        (segment.p_type(endian) == object::elf::PT_LOAD && distance < size)
            .then(|| offset.checked_add(distance))?
    })?;
    let end = data.len().ok()?.min(start.checked_add(LONGEST + 1)?);
    let bytes = data.read_bytes_at_until(start..end, 0).ok()?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// Becomes the name of a link.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(|c: char| c == '/' || c.is_control())
}
