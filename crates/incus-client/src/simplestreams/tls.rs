//! Whom a connection to an image server trusts.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::{StreamError, invalid};

/// Trusts `certificate` (PEM) alone, or without it the host's authorities.
pub(super) fn connector(certificate: Option<&str>) -> Result<TlsConnector, StreamError> {
    let mut roots = RootCertStore::empty();
    let certificates = match certificate {
        Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid("certificate", error.to_string()))?,
        None => authorities()?,
    };
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 && certificate.is_some() {
        return Err(invalid("certificate", "no certificate in PEM is in it"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS", error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The host's authorities. Files that cannot be read are left out, as every TLS library does; none at all is an error,
/// since it would refuse every server.
fn authorities() -> Result<Vec<CertificateDer<'static>>, StreamError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(invalid("certificates of this host", format!("there are none: {}", reasons.join("; "))));
    }
    Ok(found.certs)
}

/// The name or address that the server's certificate must hold.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, StreamError> {
    ServerName::try_from(host.to_owned()).map_err(|error| invalid("address", format!("{host}: {error}")))
}
