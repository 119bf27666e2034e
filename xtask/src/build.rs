//! Building what is installed.

use std::path::PathBuf;

use clap::Args;

use crate::elf;
use crate::error::{Doing, Error, Result};
use crate::layout::Place;
use crate::program::{cargo, metadata, say, target_dir};

/// How to build.
#[derive(Debug, Args)]
pub struct Options {
    /// The cargo profile of the host programs
    #[arg(long, default_value = "release")]
    pub profile: String,
    /// Build with failpoints, for tests only
    #[arg(long)]
    pub failpoints: bool,
}

impl Options {
    /// Where cargo puts the programs of this profile.
    pub fn directory(&self) -> PathBuf {
        target_dir().join(if self.profile == "dev" { "debug" } else { &self.profile })
    }
}

/// The programs of the host that are built with the chosen profile.
pub const HOST_PROGRAMS: [&str; 4] = ["snug", "snugd", "snug-hook", "snug-shim"];

/// The command line is on the hot path, and so is what exported commands are: without the dynamic loader it starts in 0.9 ms instead of 1.4 (`true` takes 0.9;
/// medians of 300 in one run). What a container's network hangs on stays in memory as long as it runs, and is small so. Neither
/// looks up names of users or hosts, so they need no NSS; `snugd`, which does, is linked dynamically.
const STATIC_PROGRAMS: [&str; 3] = ["snug", "snug-hook", "snug-shim"];

/// Flags of the last crate only, so that proc macros are built as ever. On this target it gives a static PIE.
const STATIC_LINK: [&str; 3] = ["--", "-C", "target-feature=+crt-static"];

/// The programs that guests see, static. Larger than its limit, in bytes, something got into one that does not belong: the
/// agent is mapped into every guest.
pub const GUEST_PROGRAMS: [(&str, usize); 2] = [("snug-agent", 3 << 20), ("snug-guest", 3 << 20)];

/// The file of one of them.
pub fn guest_program(name: &str) -> PathBuf {
    target_dir().join("agent").join(name)
}

/// What must not be in them: they link no NSS, no resolver (they would load the guest's libraries).
const FORBIDDEN: [&str; 3] = ["nsswitch", "libnss_", "/etc/gai.conf"];

/// Builds the host programs and those of guests.
pub fn everything(options: &Options, place: &Place) -> Result<()> {
    let features = if options.failpoints { failpoint_features()? } else { Vec::new() };
    for program in HOST_PROGRAMS {
        let mut args = vec!["rustc", "--locked", "--profile", &options.profile];
        args.extend(["--package", program, "--bin", program]);
        let features: Vec<&str> = features
            .iter()
            .map(String::as_str)
            .filter(|feature| feature.starts_with(&format!("{program}/")))
            .collect();
        let features = features.join(",");
        if !features.is_empty() {
            args.extend(["--features", &features]);
        }
        if STATIC_PROGRAMS.contains(&program) {
            args.extend(STATIC_LINK);
        }
        cargo(&args, &place.build_environment())?;
    }
    GUEST_PROGRAMS.into_iter().try_for_each(|(name, limit)| for_guests(place, name, limit))
}

/// Builds the agent alone.
pub fn agent(place: &Place) -> Result<PathBuf> {
    let [(name, limit), _] = GUEST_PROGRAMS;
    for_guests(place, name, limit)?;
    Ok(guest_program(name))
}

/// Builds a program of guests, static, and checks that it needs nothing of one.
fn for_guests(place: &Place, name: &str, limit: usize) -> Result<()> {
    let args = ["rustc", "--locked", "--profile", "agent", "--package", name, "--bin", name];
    cargo(&[&args[..], &STATIC_LINK].concat(), &place.build_environment())?;
    let path = guest_program(name);
    let file = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
    check(name, &file, limit)?;
    say(format_args!("{name}: static-pie, {} KiB", file.len() >> 10));
    Ok(())
}

fn check(name: &str, file: &[u8], limit: usize) -> Result<()> {
    let linkage = elf::linkage(file).ok_or_else(|| Error::Check(format!("{name} is no 64-bit ELF file")))?;
    if linkage.interpreter || !linkage.position_independent {
        return Err(Error::Check(format!(
            "{name} must be static and position independent, it is {linkage:?}"
        )));
    }
    if let Some(text) = FORBIDDEN.into_iter().find(|text| elf::contains(file, text)) {
        return Err(Error::Check(format!(
            "{text:?} is in {name}: it must not link the name service or the resolver"
        )));
    }
    if file.len() > limit {
        return Err(Error::Check(format!("{name} has {} bytes, at most {limit} are good", file.len())));
    }
    Ok(())
}

/// `package/failpoints` for each package that has the feature.
fn failpoint_features() -> Result<Vec<String>> {
    let metadata = metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let with = packages.iter().filter(|package| package["features"]["failpoints"].is_array());
    let names = with.filter_map(|package| package["name"].as_str());
    Ok(names.filter(|name| HOST_PROGRAMS.contains(name)).map(|name| format!("{name}/failpoints")).collect())
}
