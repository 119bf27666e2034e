//! Where a guest has the parts of its host's graphics driver that are files: NVIDIA's are libraries, which must be of the very
//! version of the kernel's part.
//!
//! [`CURRENT`] is a link to a *generation*: a directory of read-only mounts whose name stands for all that is in it. Another driver
//! is another generation, so that whoever has files of the one before keeps them. In it are [`LIBRARIES`], and below [`FILES`]
//! what belongs at one place of a guest, by its path there.

/// What the grants `gpu` and `devices` mount in a guest.
pub const DIRECTORY: &str = "/.snug/driver";
/// The name of the link in it.
pub const CURRENT: &str = "current";

/// Directories for the linker: libraries of 64 and of 32 bits.
pub const LIBRARIES: [&str; 2] = ["lib", "lib32"];
/// The directory of what is linked into the guest.
pub const FILES: &str = "files";

/// Where programs go.
pub const PROGRAMS: &str = "/usr/local/bin";
/// Directories of a guest that get links: [`PROGRAMS`]; those of Vulkan (loader, `LoaderDriverInterface.md`), glvnd, EGL's external
/// platforms and OpenCL for what an administrator adds; and that of the driver's own data.
pub const PLACES: [&str; 7] = [
    PROGRAMS,
    "/etc/vulkan/icd.d",
    "/etc/vulkan/implicit_layer.d",
    "/etc/glvnd/egl_vendor.d",
    "/etc/egl/egl_external_platform.d",
    "/etc/OpenCL/vendors",
    "/usr/share/nvidia",
];
