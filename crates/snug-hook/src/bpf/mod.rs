//! Programs and maps in the kernel, by bpf(2). There is no compiler for them here: the four programs are a few dozen instructions
//! each, which [`code`] puts together.

pub mod code;
pub mod steer;
pub mod watch;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Commands of bpf(2).
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const LINK_CREATE: libc::c_int = 28;

/// Kinds of maps (`enum bpf_map_type`).
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum MapKind {
    Array = 2,
    LruHash = 9,
    Sockets = 15,
    Ring = 27,
}

/// Kinds of programs (`enum bpf_prog_type`), each with the kind of place that it is for (`enum bpf_attach_type`).
#[derive(Debug, Clone, Copy)]
enum Kind {
    PostBind4,
    PostBind6,
    SocketRelease,
    RawTracepoint,
    SocketLookup,
}

impl Kind {
    fn program(self) -> u32 {
        match self {
            Self::PostBind4 | Self::PostBind6 | Self::SocketRelease => 9,
            Self::RawTracepoint => 17,
            Self::SocketLookup => 30,
        }
    }

    fn place(self) -> u32 {
        match self {
            Self::PostBind4 => 12,
            Self::PostBind6 => 13,
            Self::SocketRelease => 34,
            Self::RawTracepoint => 0,
            Self::SocketLookup => 36,
        }
    }
}

/// Arguments of [`MAP_CREATE`], the first of `union bpf_attr`; what follows there may be left out.
#[repr(C)]
struct MapAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct TracepointAttributes {
    name: u64,
    program: u32,
    padding: u32,
}

#[repr(C)]
struct LinkAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the callers pair each command with its attributes, whose pointers are to live values of theirs.
    let status =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

fn descriptor<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let number = call(command, attributes)?;
    // SAFETY: these commands answer a new descriptor of this process, close-on-exec (bpf(2)).
    Ok(unsafe { OwnedFd::from_raw_fd(libc::c_int::try_from(number).map_err(io::Error::other)?) })
}

fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>() as u64
}

fn number(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn create_map(
    kind: MapKind,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    descriptor(MAP_CREATE, &MapAttributes { kind: kind as u32, key_size, value_size, max_entries, flags })
}

/// Puts `value` at `key`; both of the sizes that the map was made with.
fn update<K, V>(map: &OwnedFd, key: &K, value: &V) -> io::Result<()> {
    let attributes = ElementAttributes {
        map: number(map),
        padding: 0,
        key: address(key),
        value: address(value),
        flags: 0,
    };
    call(MAP_UPDATE, &attributes).map(drop)
}

/// Bytes of the verifier's words, the last of which say what it refuses.
const LOG_SIZE: usize = 64 << 10;

/// Has the kernel check and take a program. Where it refuses, the error says why.
fn load(kind: Kind, code: &[u64]) -> io::Result<OwnedFd> {
    // None of the functions that are called asks for the GPL.
    let license = c"MIT OR Apache-2.0";
    let mut attributes = ProgramAttributes {
        kind: kind.program(),
        instruction_count: u32::try_from(code.len()).unwrap_or(u32::MAX),
        instructions: address(code),
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"snug\0\0\0\0\0\0\0\0\0\0\0\0",
        interface: 0,
        expected_attach_type: kind.place(),
    };
    let refused = match descriptor(PROGRAM_LOAD, &attributes) {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    let log = vec![0u8; LOG_SIZE];
    attributes.log_level = 1;
    attributes.log_size = LOG_SIZE as u32;
    attributes.log = address(log.as_slice());
    if descriptor(PROGRAM_LOAD, &attributes).is_ok() {
        return Err(refused);
    }
    let text = CStr::from_bytes_until_nul(&log).map(CStr::to_string_lossy).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    Err(io::Error::new(refused.kind(), format!("{refused}: {kind:?}: {}", last.join(" < "))))
}

/// Has the program run at `target`, a cgroup or a network namespace, as long as the answer is open.
fn attach(kind: Kind, program: &OwnedFd, target: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attributes = LinkAttributes {
        program: number(program),
        target: number(&target),
        attach_type: kind.place(),
        flags: 0,
    };
    descriptor(LINK_CREATE, &attributes)
}

/// Has the program run at the tracepoint as long as the answer is open.
fn attach_to_tracepoint(name: &CStr, program: &OwnedFd) -> io::Result<OwnedFd> {
    let attributes =
        TracepointAttributes { name: name.as_ptr() as u64, program: number(program), padding: 0 };
    descriptor(RAW_TRACEPOINT_OPEN, &attributes)
}
