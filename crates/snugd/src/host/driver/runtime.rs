//! Names of libraries that each program of a guest is linked with: its C library, and its compilers' runtime. The host's in their place, which
//! may want or give other symbols, keeps all programs from starting, its init first. Pure.

/// The C library (glibc's `Makefile`s, musl's one), up to `.so`.
const C_LIBRARY: [&str; 16] = [
    "libBrokenLocale",
    "libanl",
    "libc",
    "libc_malloc_debug",
    "libcrypt",
    "libdl",
    "libm",
    "libmemusage",
    "libmvec",
    "libnsl",
    "libpcprofile",
    "libpthread",
    "libresolv",
    "librt",
    "libthread_db",
    "libutil",
];
/// Of GCC and LLVM.
const COMPILERS: [&str; 14] = [
    "libasan",
    "libatomic",
    "libc++",
    "libc++abi",
    "libgcc_s",
    "libgfortran",
    "libgomp",
    "libitm",
    "libobjc",
    "libquadmath",
    "libssp",
    "libstdc++",
    "libubsan",
    "libunwind",
];

/// Whether a file or a library of this name is one: `libm.so.6`, `libc-2.31.so`, `libc.musl-x86_64.so.1`, `ld-linux-x86-64.so.2`.
pub fn is_guests_own(name: &str) -> bool {
    let Some((stem, _)) = name.split_once(".so").filter(|(_, rest)| rest.is_empty() || rest.starts_with('.'))
    else {
        return false;
    };
    let is = |own: &&str| {
        stem.strip_prefix(*own).is_some_and(|rest| {
            let version =
                rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            rest.is_empty() || version || rest.starts_with(".musl-")
        })
    };
    let is_linker = stem == "ld" || stem == "ld64" || stem.starts_with("ld-");
    is_linker || stem.starts_with("libnss_") || C_LIBRARY.iter().chain(&COMPILERS).any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_c_library_is_known_by_its_names_and_no_driver_is() {
        for name in [
            "libm.so.6",
            "libc.so.6",
            "libc.so",
            "libc-2.31.so",
            "libc.musl-x86_64.so.1",
            "libpthread-2.31.so",
            "ld-linux-x86-64.so.2",
            "ld-linux.so.2",
            "ld-musl-x86_64.so.1",
            "ld64.so.2",
            "libnss_files.so.2",
            "libBrokenLocale.so.1",
            "libgcc_s.so.1",
            "libstdc++.so.6.0.30",
            "libc++.so.1",
        ] {
            assert!(is_guests_own(name), "{name}");
        }
        for name in [
            "libcuda.so.1",
            "libm",
            "libm.solid",
            "libcrypto.so.3",
            "libnvidia-ml.so.1",
            "libnvidia-rtcore.so.550",
            "librtmp.so.1",
            "libmount.so.1",
            "libc-client.so.2007e",
            "libdlib.so.19",
            "nvidia-smi",
        ] {
            assert!(!is_guests_own(name), "{name}");
        }
    }
}
