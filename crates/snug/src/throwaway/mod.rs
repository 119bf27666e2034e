//! Containers of `snug x`: one a package, kept for the next time, and gone when nobody has asked for it in a while.
//!
//! | module | what |
//! |---|---|
//! | [`store`] | which there are, who uses them now, when they were used last |
//! | [`making`] | a new one, with its package |
//! | [`collecting`] | those that nobody uses are stopped, and removed after two weeks |

pub mod collecting;
pub mod making;
pub mod store;

use snug_core::name::{ContainerName, LONGEST_NAME};

use crate::error::CommandError;

/// What all their names begin with.
const PREFIX: &str = "x-";

/// The container of a package: `x-ripgrep`. Where its name is not spelt as a container's may be, or the image is another than the
/// default one, a number that comes from both stands behind it.
///
/// # Errors
/// There is nothing in the word that a name could have.
pub fn container_of(package: &str, image: Option<&str>) -> Result<ContainerName, CommandError> {
    let near = ContainerName::suggest(&format!("{PREFIX}{package}"));
    let near = near.filter(|near| near.as_str().len() > PREFIX.len());
    let near = near.ok_or_else(|| {
        CommandError::usage(format!("'{}' is no name of a package", snug_core::text::escape(package)))
    })?;
    if image.is_none() && near.as_str().strip_prefix(PREFIX) == Some(package) {
        return Ok(near);
    }
    let number = format!("-{:08x}", fnv([package, "\0", image.unwrap_or_default()]));
    let kept = near.as_str().len().min(LONGEST_NAME - number.len());
    let name = format!("{}{number}", near.as_str()[..kept].trim_end_matches('-'));
    Ok(name.parse()?)
}

/// FNV-1a, folded to 32 bits: the same in every version of this program, and no secret.
fn fnv<'a>(words: impl IntoIterator<Item = &'a str>) -> u32 {
    let hash = words.into_iter().flat_map(str::bytes).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    u32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_one_container_and_no_other_packages() {
        let name = |package: &str, image| container_of(package, image).map(|name| name.to_string()).unwrap();
        assert_eq!(name("ripgrep", None), "x-ripgrep");
        assert_eq!(name("7zip", None), "x-7zip");
        for (package, image) in [
            ("g++", None),
            ("Foo", None),
            ("a.b", None),
            ("a-b", Some("images:fedora/41")),
            ("a-b", Some("images:debian/12")),
            ("hello=2.10-3", None),
        ] {
            let one = name(package, image);
            assert!(one.starts_with("x-") && one.len() > 10, "{one}");
            assert_eq!(one, name(package, image));
        }
        assert_ne!(name("a.b", None), name("a+b", None));
        assert_ne!(name("a-b", Some("x")), name("a-b", Some("y")));
        assert_eq!(name(&"p".repeat(80), None).len(), LONGEST_NAME);
        for none in ["", "...", "-", "é"] {
            assert!(container_of(none, None).is_err(), "{none:?}");
        }
    }
}
