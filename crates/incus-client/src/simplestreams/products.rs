//! The two kinds of files of a simplestreams server, and which images incusd sees in them
//! (`shared/simplestreams/products.go`, 6.0.4).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Timestamp;
use crate::json::null_as_default;

/// An image of a container that a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamImage {
    /// What a source may name as its alias; those of another architecture than the host's need it behind: `debian/13/arm64`.
    pub aliases: Vec<String>,
    /// What Incus calls it once it is fetched: SHA-256 in hexadecimal.
    pub fingerprint: String,
    /// Architecture, as the kernel names it.
    pub architecture: String,
    /// System, release, version.
    pub description: String,
    /// Bytes, as packed.
    pub size: u64,
    /// When it was built: the day, or the minute, that its version's name tells.
    pub created_at: Timestamp,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default, deserialize_with = "null_as_default")]
    index: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    #[serde(default)]
    datatype: String,
    #[serde(default)]
    path: String,
    #[serde(default, deserialize_with = "null_as_default")]
    products: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Products {
    #[serde(default, deserialize_with = "null_as_default")]
    products: BTreeMap<String, Product>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Product {
    aliases: String,
    arch: String,
    os: String,
    release_title: String,
    variant: String,
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default, deserialize_with = "null_as_default")]
    items: BTreeMap<String, Item>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Item {
    ftype: String,
    size: u64,
    sha256: String,
    combined_sha256: String,
    combined_rootxz_sha256: String,
    combined_squashfs_sha256: String,
}

/// Paths of the files that list images.
pub(super) fn read_index(file: &[u8]) -> serde_json::Result<Vec<String>> {
    let index: Index = serde_json::from_slice(file)?;
    let images = index.index.into_values().filter(|it| it.datatype == "image-downloads");
    Ok(images.filter(|it| !it.products.is_empty()).map(|it| it.path).collect())
}

/// The images of containers in a file of products: of each the newest version that is whole.
pub(super) fn read_products(file: &[u8]) -> serde_json::Result<Vec<StreamImage>> {
    let products: Products = serde_json::from_slice(file)?;
    Ok(products.products.into_values().filter_map(newest).collect())
}

fn newest(product: Product) -> Option<StreamImage> {
    let architecture = kernel_name(&product.arch)?;
    let (version, created_at, (fingerprint, size)) = product
        .versions
        .iter()
        .rev()
        .find_map(|(name, version)| Some((name, built(name)?, container(version)?)))?;
    let words = [&product.os, &product.release_title, &product.variant];
    let words = words.into_iter().filter(|word| !word.is_empty() && *word != "default");
    let words: Vec<&str> = words.map(String::as_str).collect();
    let aliases = product.aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty());
    Some(StreamImage {
        aliases: aliases.map(str::to_owned).collect(),
        fingerprint,
        architecture: architecture.to_owned(),
        description: format!("{} ({version})", words.join(" ")),
        size,
        created_at,
    })
}

/// Fingerprint and size, when the version is one of a container.
fn container(version: &Version) -> Option<(String, u64)> {
    let of = |kind: &str| version.items.values().find(|item| item.ftype == kind);
    if let Some(meta) = of("incus.tar.xz") {
        let rootxz = [&meta.combined_rootxz_sha256, &meta.combined_sha256];
        let rootxz = rootxz.into_iter().find(|sum| !sum.is_empty()).cloned().unwrap_or_default();
        let kinds = [("squashfs", meta.combined_squashfs_sha256.clone()), ("root.tar.xz", rootxz)];
        for (kind, fingerprint) in kinds {
            if let Some(root) = of(kind).filter(|_| !fingerprint.is_empty()) {
                return Some((fingerprint, meta.size.saturating_add(root.size)));
            }
        }
    }
    let unified = of("incus_combined.tar.gz").filter(|item| !item.sha256.is_empty())?;
    Some((unified.sha256.clone(), unified.size))
}

/// `20260131_05:24` or `20260131`, as a time; incusd leaves out versions that are called otherwise.
fn built(version: &str) -> Option<Timestamp> {
    let digits = |from: usize, to: usize| {
        version.get(from..to).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let time = digits(9, 11).zip(digits(12, 14)).filter(|_| version.get(11..12) == Some(":"));
    let (hour, minute) = time.unwrap_or(("00", "00"));
    Some(Timestamp::new(format!("{year}-{month}-{day}T{hour}:{minute}:00Z")))
}

/// The kernel's name for an architecture that image servers call as Debian does (`shared/osarch`, 6.0.4).
fn kernel_name(arch: &str) -> Option<&'static str> {
    Some(match arch {
        "amd64" | "x86_64" | "generic_64" => "x86_64",
        "i386" | "i686" | "i586" | "386" | "x86" | "generic_32" => "i686",
        "arm64" | "aarch64" | "arm64_generic" => "aarch64",
        "armhf"
        | "armv7l"
        | "armel"
        | "arm"
        | "armhfp"
        | "armv7a_hardfp"
        | "armv7"
        | "armv7a_vfpv3_hardfp" => "armv7l",
        "ppc64el" | "ppc64le" => "ppc64le",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        "loong64" | "loongarch64" => "loongarch64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCTS: &str = r#"{"content_id":"images","products":{
        "debian:13:amd64:default":{"aliases":"debian/13, debian/trixie","arch":"amd64","os":"Debian",
          "release_title":"13","variant":"default","versions":{
            "20260101_05:24":{"items":{
              "incus.tar.xz":{"ftype":"incus.tar.xz","size":10,"combined_squashfs_sha256":"old"},
              "rootfs.squashfs":{"ftype":"squashfs","size":100}}},
            "20260201_05:24":{"items":{
              "disk.qcow2":{"ftype":"disk-kvm.img","size":7},
              "incus.tar.xz":{"ftype":"incus.tar.xz","size":10,"combined_squashfs_sha256":"new"},
              "rootfs.squashfs":{"ftype":"squashfs","size":200}}},
            "20260301_05:24":{"items":{"disk.qcow2":{"ftype":"disk-kvm.img","size":7}}}}},
        "machine":{"aliases":"machine","arch":"amd64","versions":{"20260301":{"items":{
              "incus.tar.xz":{"ftype":"incus.tar.xz","size":10},"d":{"ftype":"disk-kvm.img","size":7}}}}},
        "odd":{"aliases":"odd","arch":"pdp11","versions":{}},
        "unified":{"aliases":"old/one","arch":"arm64","os":"Old","versions":{"20260301":{"items":{
              "x":{"ftype":"incus_combined.tar.gz","size":5,"sha256":"whole"}}}}}}}"#;

    #[test]
    fn of_each_product_the_newest_image_of_a_container_counts() {
        let images = read_products(PRODUCTS.as_bytes()).unwrap();
        let [debian, old] = &images[..] else { panic!("{images:?}") };
        assert_eq!(debian.aliases, ["debian/13", "debian/trixie"]);
        assert_eq!((debian.fingerprint.as_str(), debian.size), ("new", 210));
        assert_eq!(debian.architecture, "x86_64");
        assert_eq!(debian.description, "Debian 13 (20260201_05:24)");
        assert_eq!(debian.created_at.as_str(), "2026-02-01T05:24:00Z");
        assert_eq!((old.fingerprint.as_str(), old.architecture.as_str()), ("whole", "aarch64"));
        assert_eq!(old.created_at.as_str(), "2026-03-01T00:00:00Z");
    }

    #[test]
    fn the_index_names_the_files_of_images_alone() {
        let index = r#"{"index":{"images":{"datatype":"image-downloads","path":"streams/v1/images.json","products":["a"]},
            "empty":{"datatype":"image-downloads","path":"e","products":[]},
            "ids":{"datatype":"image-ids","path":"i","products":["a"]}},"format":"index:1.0"}"#;
        assert_eq!(read_index(index.as_bytes()).unwrap(), ["streams/v1/images.json"]);
        assert!(read_index(b"<html>").is_err());
    }

    #[test]
    fn a_version_that_is_no_date_hides_no_other() {
        let odd = PRODUCTS
            .replace(r#""20260301_05:24":{"items":{"disk.qcow2""#, r#""latest":{"items":{"disk.qcow2""#);
        let odd = odd.replace(
            r#""disk.qcow2":{"ftype":"disk-kvm.img","size":7}}}}},"#,
            r#""x":{"ftype":"incus_combined.tar.gz","size":5,"sha256":"odd"}}}}},"#,
        );
        assert!(odd.contains("latest") && odd.contains("odd\"}}"), "{odd}");
        assert_eq!(read_products(odd.as_bytes()).unwrap()[0].fingerprint, "new");
    }

    #[test]
    fn versions_that_are_no_dates_do_not_count() {
        for name in ["", "latest", "2026", "2026x101", "२०२६"] {
            assert_eq!(built(name), None, "{name}");
        }
    }
}
