//! What the server keeps in memory while it waits.

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;

// Where the linker puts the program's file in memory: from its first byte to the end of its code (ld(1), "PROVIDE").
// What may be written comes behind.
unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

/// Drops the pages of code and constants that this process has used so far: whoever only waits from now on needs few of
/// them again, and those come back from the page cache by themselves (the kernel maps 16 pages around each that is missed).
/// A failure costs memory and nothing else.
pub fn forget_used_code() {
    let (start, end) = (&raw const __executable_start, &raw const etext);
    // Whole pages: the last one may hold the beginning of something else.
    let length = (end.addr() - start.addr()) / page_size() * page_size();
    // SAFETY: up to the end of its code the program's file is mapped privately and never written, so that a page which is
    // dropped is read again as it was; the mapping starts at the start of a page.
    let _ = unsafe { madvise(start.cast_mut().cast::<c_void>(), length, Advice::LinuxDontNeed) };
}
