//! The files of a simplestreams server, made from the bed's built images.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::error::{Doing, Error, Result};
use crate::stack::images;
use crate::tool::Tool;

const METADATA: &str = "incus.tar.xz";
const ROOTFS: &str = "rootfs.squashfs";
/// The version of every image here: a date, as Incus wants it.
const VERSION: &str = "20260101_00:00";

/// One image of the server.
#[derive(Debug)]
pub(super) struct Offer {
    image: String,
    alias: String,
    dir: String,
    combined: String,
    files: [(u64, String); 2],
}

impl Offer {
    /// Puts an image of the bed into the tree. `port` and `number` make its metadata, and so its fingerprint, unique.
    pub(super) fn make(tree: &Path, image: &str, alias: &str, port: u16, number: usize) -> Result<Offer> {
        let built = images::built(image)?;
        let dir = format!("images/{number}");
        let place = tree.join(&dir);
        fs::create_dir_all(&place).doing(|| format!("making {}", place.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let metadata = json!({
            "architecture": std::env::consts::ARCH,
            "creation_date": 1_767_225_600,
            "properties": {
                "description": format!("{image} of the bed's server"),
                "serial": format!("{now}-{port}-{number}"),
            },
        });
        let yaml = place.join("metadata.yaml");
        fs::write(&yaml, format!("{metadata:#}\n")).doing(|| format!("writing {}", yaml.display()))?;
        let archive = place.join(METADATA);
        Tool::new("tar").arg("-C").arg(&place).arg("-cJf").arg(&archive).arg("metadata.yaml").ok()?;
        symlink(built.join(ROOTFS), place.join(ROOTFS))
            .doing(|| format!("linking into {}", place.display()))?;
        let files = [METADATA, ROOTFS].map(|name| place.join(name));
        let size = |path: &Path| fs::metadata(path).doing(|| format!("reading {}", path.display()));
        let described = |path: &Path| Ok::<_, Error>((size(path)?.len(), sha256(&[path])?));
        Ok(Offer {
            image: image.to_owned(),
            alias: alias.to_owned(),
            dir,
            combined: sha256(&[&files[0], &files[1]])?,
            files: [described(&files[0])?, described(&files[1])?],
        })
    }

    pub(super) fn alias(&self) -> &str {
        &self.alias
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.combined
    }

    /// Other bytes of the same length in place of the root file system.
    pub(super) fn spoil(&self, tree: &Path) -> Result<()> {
        let path = tree.join(&self.dir).join(ROOTFS);
        let mut bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        // The link, not what it leads to.
        fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        fs::write(&path, bytes).doing(|| format!("writing {}", path.display()))
    }

    fn product(&self) -> Value {
        let item = |kind: &str, name: &str, (size, sum): &(u64, String)| json!({"ftype": kind, "path": format!("{}/{name}", self.dir), "size": size, "sha256": sum});
        let mut metadata = item(METADATA, METADATA, &self.files[0]);
        metadata["combined_squashfs_sha256"] = self.combined.clone().into();
        let rootfs = item("squashfs", ROOTFS, &self.files[1]);
        json!({
            "aliases": self.alias, "arch": std::env::consts::ARCH, "os": "Bed", "release": "1",
            "release_title": self.image, "variant": "default",
            "versions": {VERSION: {"items": {METADATA: metadata, ROOTFS: rootfs}}},
        })
    }
}

/// Writes the two lists.
pub(super) fn write_lists(tree: &Path, offers: &[Offer]) -> Result<()> {
    let products: serde_json::Map<String, Value> =
        offers.iter().map(|offer| (offer.dir.clone(), offer.product())).collect();
    // Incus passes over a list of nothing: it says that it has one.
    let mut names: Vec<&String> = products.keys().collect();
    let none = "none".to_owned();
    if names.is_empty() {
        names.push(&none);
    }
    let index = json!({"format": "index:1.0", "index": {"images": {
        "datatype": "image-downloads", "format": "products:1.0", "path": "streams/v1/images.json", "products": names,
    }}});
    let list = json!({
        "content_id": "images", "datatype": "image-downloads", "format": "products:1.0", "products": products,
    });
    let dir = tree.join("streams/v1");
    fs::create_dir_all(&dir).doing(|| format!("making {}", dir.display()))?;
    for (name, content) in [("index.json", index), ("images.json", list)] {
        let path = dir.join(name);
        fs::write(&path, content.to_string()).doing(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// SHA-256 of files one after another.
fn sha256(files: &[&Path]) -> Result<String> {
    let sum = Tool::new("sh")
        .args(["-c", "cat -- \"$@\" | sha256sum", "sh"])
        .args(files)
        .deadline(Duration::from_secs(120))
        .ok()?
        .text();
    sum.split(' ')
        .next()
        .filter(|sum| sum.len() == 64)
        .map(str::to_owned)
        .ok_or_else(|| Error::Unfit("sha256sum gave no sum".into()))
}
