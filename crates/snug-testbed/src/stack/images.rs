//! Guest images: built once into a cache, imported into Incus when they are not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::image_recipes::{RECIPES, Recipe};
use super::{incus, sources};
use crate::error::{Doing, Error, Result};
use crate::host;
use crate::process;
use crate::state::LASTING_DIR;
use crate::tool::Tool;

/// The image property that holds the recipe's key; an image without it is not the bed's and is left alone.
const KEY_PROPERTY: &str = "snug.testbed";

/// The state of one alias in Incus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// No such alias.
    No,
    /// An image of the bed with this recipe key.
    Own(String),
    /// Somebody else's.
    Foreign,
}

/// Where built images are kept, across `down`.
pub fn cache_dir() -> PathBuf {
    Path::new(LASTING_DIR).join("images")
}

/// Has these images in Incus' default project under their aliases. Only under the bed's lock.
pub fn provide(recipes: &[Recipe]) -> Result<()> {
    let (archive, _) = sources::own_archive()?;
    let wanted: Vec<(Recipe, String)> =
        recipes.iter().map(|recipe| (*recipe, recipe.key(&archive))).collect();
    let missing: Vec<(Recipe, String)> = wanted
        .into_iter()
        .filter(|(recipe, key)| !matches!(present(&recipe.alias()), Present::Own(have) if have == *key))
        .collect();
    // Side by side: most of the time goes into waiting for the mirror and into single-threaded unpacking.
    let built: Vec<Result<PathBuf>> = thread::scope(|scope| {
        let builds: Vec<_> =
            missing.iter().map(|(recipe, key)| scope.spawn(|| build(*recipe, key))).collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    for ((recipe, key), dir) in missing.iter().zip(built) {
        import(*recipe, key, &dir?)?;
    }
    Ok(())
}

/// What Incus has under an alias of the default project.
pub fn present(alias: &str) -> Present {
    let Ok(output) = incus::client().args(["image", "show", alias]).run() else { return Present::No };
    if !output.status.success() {
        return Present::No;
    }
    let text = output.text();
    let key = text.lines().find_map(|line| line.trim().strip_prefix(KEY_PROPERTY)?.strip_prefix(": "));
    key.map_or(Present::Foreign, |key| Present::Own(key.trim_matches(['"', '\'']).to_owned()))
}

/// Removes the images that the bed imported. Returns what is left.
pub fn remove() -> Vec<String> {
    let mut left = Vec::new();
    for recipe in RECIPES.into_iter().chain([Recipe::SystemdHost]) {
        let alias = recipe.alias();
        if matches!(present(&alias), Present::Own(_))
            && let Err(error) = incus::client().args(["image", "delete", &alias]).ok()
        {
            left.push(format!("image {alias}: {error}"));
        }
    }
    left
}

/// The directory of a built image, made if need be. It appears whole or not at all.
fn build(recipe: Recipe, key: &str) -> Result<PathBuf> {
    let cache = cache_dir();
    let done = cache.join(format!("{}-{key}", recipe.alias().replace('/', "-")));
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(&cache).doing(|| format!("making {}", cache.display()))?;
    host::say(format_args!("building the image {}", recipe.alias()));
    let started = Instant::now();
    let work = tempfile::Builder::new()
        .prefix(BUILDING)
        .tempdir_in(&cache)
        .doing(|| format!("making a directory in {}", cache.display()))?;
    let rootfs = work.path().join("rootfs");
    let image = work.path().join("image");
    for dir in [&rootfs, &image] {
        fs::create_dir(dir).doing(|| format!("making {}", dir.display()))?;
    }
    // A root filesystem with the temporary directory's 0700 could not be entered by the guest's users.
    fs::set_permissions(&rootfs, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .doing(|| format!("opening {}", rootfs.display()))?;
    recipe.make(&rootfs)?;
    Tool::new("mksquashfs")
        .arg(&rootfs)
        .arg(image.join("rootfs.squashfs"))
        .args(["-comp", "zstd", "-Xcompression-level", "3", "-noappend", "-quiet", "-no-progress"])
        .deadline(Duration::from_secs(300))
        .ok()?;
    write_metadata(recipe, key, work.path(), &image)?;
    fs::rename(&image, &done).doing(|| format!("keeping {}", done.display()))?;
    host::say(format_args!("built {} in {:.0?}", recipe.alias(), started.elapsed()));
    Ok(done)
}

/// The directory of a built image, by its alias; built now if it was not.
///
/// # Errors
/// The bed has no such image, or it cannot be built.
pub fn built(alias: &str) -> Result<PathBuf> {
    let (archive, _) = sources::own_archive()?;
    let recipe = RECIPES.iter().find(|recipe| recipe.alias() == alias);
    let recipe = recipe.ok_or_else(|| Error::Unfit(format!("the bed has no image {alias}")))?;
    build(*recipe, &recipe.key(&archive))
}

const BUILDING: &str = ".building-";

/// Removes what a killed build left. Only under the bed's lock: no other build is at work then.
pub fn clear_unfinished() {
    let builds: Vec<_> = process::marked()
        .into_iter()
        .filter(|process| process.has_variable(process::MARK, Some("build")))
        .collect();
    process::end(&builds, Duration::from_secs(1));
    let Ok(entries) = fs::read_dir(cache_dir()) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(BUILDING)) {
        // mmdebstrap mounts /proc and /sys in there, in a namespace of its own that died with it.
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn write_metadata(recipe: Recipe, key: &str, work: &Path, image: &Path) -> Result<()> {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut properties = recipe.properties();
    properties[KEY_PROPERTY] = key.into();
    let metadata = serde_json::json!({
        "architecture": std::env::consts::ARCH, "creation_date": created, "properties": properties,
    });
    // JSON is YAML.
    let path = work.join("metadata.yaml");
    fs::write(&path, format!("{metadata:#}\n")).doing(|| format!("writing {}", path.display()))?;
    Tool::new("tar")
        .arg("-C")
        .arg(work)
        .arg("-cJf")
        .arg(image.join("metadata.tar.xz"))
        .arg("metadata.yaml")
        .ok()?;
    Ok(())
}

fn import(recipe: Recipe, key: &str, dir: &Path) -> Result<()> {
    let alias = recipe.alias();
    match present(&alias) {
        Present::Own(have) if have == key => return Ok(()),
        Present::Own(_) => {
            incus::client().args(["image", "delete", &alias]).ok()?;
        }
        Present::Foreign => {
            host::say(format_args!("{alias} in Incus is not the bed's own image: using it as it is"));
            return Ok(());
        }
        Present::No => {}
    }
    host::say(format_args!("importing {alias}"));
    let outcome = incus::client()
        .args(["image", "import"])
        .arg(dir.join("metadata.tar.xz"))
        .arg(dir.join("rootfs.squashfs"))
        .args(["--alias", &alias])
        .deadline(Duration::from_secs(120))
        .ok();
    let Err(error) = outcome else { return Ok(()) };
    // An `up` that was killed between import and alias left the image without one.
    let list =
        incus::client().args(["image", "list", "--format=json", &format!("{KEY_PROPERTY}={key}")]).ok()?;
    let images: Vec<serde_json::Value> = serde_json::from_slice(&list.stdout).unwrap_or_default();
    match images.first().and_then(|image| image["fingerprint"].as_str()) {
        Some(fingerprint) => {
            incus::client().args(["image", "alias", "create", &alias, fingerprint]).ok().map(drop)
        }
        None => Err(error),
    }
}

/// Fails when an image that suites count on is missing.
pub fn require() -> Result<()> {
    let missing: Vec<String> =
        RECIPES.iter().map(|recipe| recipe.alias()).filter(|alias| present(alias) == Present::No).collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Unfit(format!("no image {}", missing.join(", ")))) }
}
