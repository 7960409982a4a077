//! The TLS of a gateway listener: TLS 1.2 and 1.3, no early data, HTTP/2 and HTTP/1.1 by ALPN.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};

use crate::config::{Fault, Identity};
use crate::proxy::certificate;

/// A certificate or key that cannot be used is a fault where the configuration names it.
pub(crate) fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = certified_key(identity, &provider)?;
    let fault = |error: Error| {
        Fault::new(identity.certificate.place.clone(), format!("TLS cannot be set up: {error}"))
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn certified_key(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, Fault> {
    let Identity { certificate, private_key } = identity;
    let shown = certificate.path.display();
    let unusable = |what: String| Fault::new(certificate.place.clone(), what);
    let chain =
        CertificateDer::pem_slice_iter(&certificate.bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(format!("`{shown}` is not a PEM certificate: {error}")))?;
    let Some(leaf) = chain.first() else {
        return Err(unusable(format!("`{shown}` has no certificate in it"))
            .hint("put the certificate first and those that signed it after it, all in PEM form"));
    };
    let validity = certificate::validity(leaf)
        .ok_or_else(|| unusable(format!("`{shown}` is not an X.509 certificate")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    if validity.not_after < now {
        return Err(unusable(format!("the certificate in `{shown}` has expired"))
            .hint("renew it; the gateway takes the new file without a restart"));
    }
    let shown = private_key.path.display();
    let unusable = |what: String| Fault::new(private_key.place.clone(), what);
    let key = PrivateKeyDer::from_pem_slice(&private_key.bytes)
        .map_err(|error| unusable(format!("`{shown}` has no usable private key: {error}")))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unusable(format!("`{shown}` is not the private key of the certificate"))
                .hint("the two files belong together; one of them may be from before a renewal")
        }
        other => unusable(format!("`{shown}` cannot be used: {other}")),
    })
}

#[cfg(test)]
mod tests;
