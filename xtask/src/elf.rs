//! Reading just enough of an ELF file to know that it needs nothing of a guest.

/// What the agent's file must fulfil.
#[derive(Debug, PartialEq, Eq)]
pub struct Linkage {
    /// Position independent (`ET_DYN`), so that its addresses are random.
    pub position_independent: bool,
    /// Asks the kernel for a dynamic loader (`PT_INTERP`).
    pub interpreter: bool,
}

const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;

/// Reads the header and the program headers of a 64-bit little-endian ELF file.
pub fn linkage(file: &[u8]) -> Option<Linkage> {
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let half = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let offset = usize::try_from(u64::from_le_bytes(file.get(32..40)?.try_into().ok()?)).ok()?;
    let size = usize::from(half(54)?);
    let mut interpreter = false;
    for index in 0..usize::from(half(56)?) {
        interpreter |= word(offset.checked_add(index * size)?)? == PT_INTERP;
    }
    Some(Linkage { position_independent: half(16)? == ET_DYN, interpreter })
}

/// Whether a text is in the file.
pub fn contains(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_asks_for_a_loader() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(linkage(&file), Some(Linkage { position_independent: true, interpreter: true }));
    }

    #[test]
    fn what_is_no_elf_file_or_only_its_start_is_refused() {
        assert_eq!(linkage(b"#!/bin/sh\n"), None);
        assert_eq!(linkage(b"\x7fELF\x02\x01"), None);
        assert!(contains(b"xnsswitch.conf", "nsswitch") && !contains(b"ns", "nsswitch"));
    }
}
