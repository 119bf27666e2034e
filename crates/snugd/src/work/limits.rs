//! Settings held against what the host has and what the container uses. Incus takes such values, and the container would not
//! start, or fail with every write.

use std::path::Path;

use snug_core::setting::{Cpu, Memory, Setting, Size};

use super::Work;
use crate::error::{Result, invalid};
use crate::host::cgroups::Hierarchy;
use crate::host::file;

/// Processors that the kernel schedules on now, as ranges: `0-3,5` (Documentation/admin-guide/cputopology.rst).
const ONLINE: &str = "/sys/devices/system/cpu/online";

impl Work {
    /// Checks new settings; `exists` when the container does.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidArgument`] for what cannot be; what Incus says.
    pub async fn check_settings(&self, settings: &[Setting], exists: bool) -> Result<()> {
        for setting in settings {
            match setting {
                Setting::Cpu(cpu) => {
                    let online = self.blocking(|| file::read_or_empty(Path::new(ONLINE))).await?;
                    check_processors(cpu, online.trim())?;
                }
                Setting::Memory(Memory::Bytes(wanted)) => {
                    let text = self.blocking(|| file::read_or_empty(Path::new("/proc/meminfo"))).await?;
                    if let Some(there) = total_memory(&text).filter(|there| there < wanted) {
                        self.notice(format!("memory={wanted}: this host has {} MiB in all", there.0 >> 20));
                    }
                }
                Setting::Disk(wanted) if exists => self.check_disk(*wanted).await?,
                _ => {}
            }
        }
        self.tell_what_has_no_effect(settings).await
    }

    /// They are kept all the same: after its next boot the host may have what they need.
    async fn tell_what_has_no_effect(&self, settings: &[Setting]) -> Result<()> {
        if settings.iter().all(|setting| setting.key().controller().is_none()) {
            return Ok(());
        }
        let server = self.daemon.incus().refresh_server().await?;
        let hierarchy = match self.blocking(move || Ok(Hierarchy::of(server.environment.server_pid))).await? {
            Ok(hierarchy) => hierarchy,
            Err(error) => {
                tracing::warn!("cannot see Incus' cgroups: {error}");
                return Ok(());
            }
        };
        for setting in settings {
            if let Some(controller) = setting.key().controller().filter(|it| hierarchy.lacks(it)) {
                self.notice(format!(
                    "{setting} has no effect now: this host gives Incus no cgroup controller '{controller}' (`snug doctor` \
                     tells more)"
                ));
            }
        }
        Ok(())
    }

    async fn check_disk(&self, wanted: Size) -> Result<()> {
        let state = self.incus().instances().state(self.name.as_str()).await?;
        // A pool that does not tell is no reason to refuse.
        let Some(used) = state.root_usage().filter(|used| *used > wanted.0) else { return Ok(()) };
        let mib = used.div_ceil(1 << 20);
        Err(invalid(format!("disk={wanted}: '{}' uses {mib} MiB of its disk", self.name))
            .hint(format!("give it more, or remove something in it: snug enter {}", self.name)))
    }
}

fn check_processors(cpu: &Cpu, online: &str) -> Result<()> {
    let there = ranges(online);
    let count: u32 = there.iter().map(|(first, last)| last - first + 1).sum();
    let is_there = |number: &u32| there.iter().any(|(first, last)| (first..=last).contains(&number));
    let possible = match cpu {
        Cpu::Count(wanted) => *wanted <= count,
        Cpu::Set(wanted) => {
            wanted.iter().all(|(first, last)| (*first..=*last).all(|number| is_there(&number)))
        }
    };
    // A host that does not tell is no reason to refuse.
    if possible || there.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("cpu={cpu}: this host has {count} processors"))
        .hint(format!("their numbers are {online}; a count moves about, numbers stay: cpu=2, cpu=0-1")))
}

fn ranges(text: &str) -> Vec<(u32, u32)> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    text.split(',').filter_map(range).filter(|(first, last)| first <= last).collect()
}

/// `MemTotal` of `/proc/meminfo` (proc(5)), which is in KiB.
fn total_memory(meminfo: &str) -> Option<Size> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Size(kib << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_that_the_host_does_not_have_are_refused() {
        let cpu = |text: &str| match Setting::from_pair("cpu", text).unwrap() {
            Setting::Cpu(cpu) => cpu,
            other => panic!("{other}"),
        };
        for (wanted, online, possible) in [
            ("2", "0-1", true),
            ("3", "0-1", false),
            ("0-1", "0-1", true),
            ("1-2", "0-1", false),
            ("3", "0,2-3", true),
            ("1-1", "0,2-3", false),
            ("0-8191", "0-1", false),
            ("64", "", true),
        ] {
            assert_eq!(check_processors(&cpu(wanted), online).is_ok(), possible, "{wanted} of {online}");
        }
    }

    #[test]
    fn the_hosts_memory_is_read() {
        assert_eq!(total_memory("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(Size(24 << 20)));
        assert_eq!(total_memory(""), None);
    }
}
