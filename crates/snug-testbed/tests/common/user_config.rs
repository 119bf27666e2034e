//! A configuration of the user's own, for the time of a test.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use snug_testbed::{Bed, UserCommand};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory for `XDG_CONFIG_HOME` with Snug's `config.toml` in it.
pub struct UserConfig {
    dir: PathBuf,
}

impl UserConfig {
    #[track_caller]
    #[must_use]
    pub fn new(bed: &Bed, user: &str, text: &str) -> Self {
        let account = bed.account(user);
        let name = format!(".config-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let config = Self { dir: account.home.join(name) };
        fs::create_dir_all(config.dir.join("snug")).unwrap();
        fs::write(config.dir.join("snug/config.toml"), text).unwrap();
        for path in [config.dir.clone(), config.dir.join("snug"), config.dir.join("snug/config.toml")] {
            chown(path, Some(account.uid), Some(account.gid)).unwrap();
        }
        config
    }

    /// A default container and the image that it is made from.
    #[track_caller]
    #[must_use]
    pub fn default_container(bed: &Bed, user: &str, name: &str, image: &str) -> Self {
        Self::new(bed, user, &format!("default_container = \"{name}\"\ndefault_image = \"{image}\"\n"))
    }

    /// `snug` with this configuration.
    #[track_caller]
    pub fn snug(&self, bed: &Bed, user: &str) -> UserCommand {
        bed.snug(user).env("XDG_CONFIG_HOME", &self.dir)
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for UserConfig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
