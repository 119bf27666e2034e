//! What Incus and its host must be able to do.

use incus_client::{Client, Extension, Server};

use crate::error::{Error, ErrorKind, Result};

/// Extensions that Snug's containers need, and what for. All are in 6.0.4 and later, none is compared by version.
const EXTENSIONS: &[(&str, &str)] = &[
    ("projects", "containers of several users"),
    ("id_map", "the owner's own uid in the container"),
    ("id_map_base", "ids of each container's own"),
    ("instance_create_start", "containers"),
    ("image_types", "images"),
    ("api_filtering_extended", "an Incus of 6.0.4 or newer"),
];

/// What is missing, in words; empty when nothing is.
#[must_use]
pub fn missing(server: &Server) -> Vec<String> {
    EXTENSIONS
        .iter()
        .filter(|(extension, _)| !server.has_extension(Extension::named(extension)))
        .map(|(extension, purpose)| format!("{extension} ({purpose})"))
        .collect()
}

/// Refuses an Incus that Snug cannot use.
///
/// # Errors
/// [`ErrorKind::NoIncus`], [`ErrorKind::IncusTooOld`].
pub async fn check(client: &Client) -> Result<()> {
    let server = client.server().await?;
    if !server.is_trusted() {
        return Err(
            Error::new(ErrorKind::NoIncus, "Incus does not trust snugd").hint("snugd must run as root")
        );
    }
    let missing = missing(&server);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::IncusTooOld,
        format!("Incus {} lacks {}", server.environment.server_version, missing.join(", ")),
    )
    .hint("update the package 'incus' to 6.0.4 or newer"))
}
