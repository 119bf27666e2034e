//! Files of the caller's that images are made from.

use std::fs::{File, Metadata};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use snug_core::image::ImageRef;

use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::CommandError;

/// The image as the daemon takes it: short names of the user's own configuration are known here alone. A file is
/// taken in first.
pub fn reference_of(context: &Context, bus: &Bus, image: &str) -> Result<String, CommandError> {
    let path = match context.config()?.images.parse(image)? {
        ImageRef::File(path) => path,
        image => return Ok(image.to_string()),
    };
    context.require_host_paths()?;
    let file = ImageFile::open(&path)?.image()?;
    if !file.is_known(bus)? {
        file.take_in(bus)?;
    }
    Ok(file.reference())
}

/// The alias of a file that was given none: `my-root.tar.gz` → `my-root`.
pub fn default_alias(path: &Path) -> Result<String, CommandError> {
    let name = ImageRef::File(path.to_owned()).container_name();
    name.map(|name| name.to_string()).ok_or_else(|| {
        CommandError::user(format!("no name can be made from '{}'", path.display()))
            .hint("`snug image import FILE ALIAS` takes it in under a name of yours")
    })
}

/// A file that an image is made from.
pub struct ImageFile {
    /// Its absolute path without links, by which the daemon finds it, whose current directory is another.
    pub path: String,
    /// As it was named, and what it was then.
    named: PathBuf,
    status: Metadata,
}

impl ImageFile {
    /// Opens it: what is wrong with it is found here, where it was named.
    pub fn open(path: &Path) -> Result<Self, CommandError> {
        let cannot = |error| CommandError::user(format!("{} cannot be read: {error}", path.display()));
        let status = File::open(path).and_then(|file| file.metadata()).map_err(cannot)?;
        let real = std::fs::canonicalize(path).map_err(cannot)?;
        let named = path.to_owned();
        let path = real.into_os_string().into_string().map_err(|path| {
            CommandError::user(format!("the path {} is not UTF-8", path.display()))
                .hint("the daemon is told the file's path, and the bus carries text alone: rename it or its directory")
        })?;
        Ok(Self { path, named, status })
    }

    /// The image that is made of it where nobody names one: called after the file, and after what tells it from others of
    /// its name and from itself after a change.
    pub fn image(&self) -> Result<FileImage, CommandError> {
        let status = &self.status;
        let mut hasher = std::hash::DefaultHasher::new();
        (status.dev(), status.ino(), status.len(), status.mtime(), status.mtime_nsec()).hash(&mut hasher);
        let alias = format!("{}-{:016x}", default_alias(&self.named)?, hasher.finish());
        Ok(FileImage { path: self.path.clone(), alias })
    }
}

/// The image that a file is or becomes.
pub struct FileImage {
    /// The file's absolute path.
    pub path: String,
    /// The image's name.
    pub alias: String,
}

impl FileImage {
    /// How the daemon and users name it.
    pub fn reference(&self) -> String {
        ImageRef::Local(self.alias.clone()).to_string()
    }

    /// Whether the same file, unchanged, has been taken in before.
    pub fn is_known(&self, bus: &Bus) -> Result<bool, CommandError> {
        let reference = self.reference();
        Ok(bus.images(&Options::new())?.iter().any(|known| known.reference == reference))
    }

    /// Has the daemon make the image.
    pub fn take_in(&self, bus: &Bus) -> Result<(), CommandError> {
        let options = Options::new().text("rootfs", Some(&self.path));
        bus.change(&Change::import_image(&self.alias, options)).map(drop)
    }
}
