//! Pages that will be needed, brought in before they are.

use std::ffi::c_void;
use std::hint::black_box;
use std::time::Instant;

use rustix::mm::{Advice, madvise};

// Where the program's code begins and ends; every linker that follows the System V conventions defines them.
unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

/// A command's start touches as much of the stack and of the heap.
const TOUCHED: usize = 32 << 10;
const PAGE: usize = 4096;

/// After a fork each page costs a fault when it is first touched (2.5 µs to copy one, 5 µs to map code, measured in a
/// virtual machine), and a command's start touches some 20. Whoever waits for a client does that while he waits.
pub fn warm() {
    let (start, end) = ((&raw const __executable_start).addr(), (&raw const etext).addr());
    let start = start & !(PAGE - 1);
    // SAFETY: reads pages of the program into its own page tables, and changes nothing. A kernel before 5.14 refuses.
    let _ = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxPopulateRead) };
    // The allocator keeps what is given back to it.
    black_box(vec![1_u8; TOUCHED]);
    black_box([1_u8; TOUCHED]);
    // The clock's page.
    black_box(Instant::now());
}
