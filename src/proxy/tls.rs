//! The TLS of our listeners: TLS 1.2 and 1.3, no early data, HTTP/2 and HTTP/1.1 by ALPN.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{Error, ServerConfig};

use crate::config::{Fault, Identity};
use crate::proxy::pem;

/// A certificate or key that cannot be used is a fault where the configuration names it.
pub(crate) fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = pem::certified_key(identity, &provider)?;
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

/// As for the gateway, but the admin listener speaks HTTP/1.1 alone.
pub(crate) fn admin_config(identity: &Identity) -> Result<Arc<ServerConfig>, Fault> {
    let mut config = server_config(identity)?;
    Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::pem::tests::{identity, made};

    #[test]
    fn a_certificate_with_its_key_serves_http2_and_http1_without_early_data() {
        let (certificate, key) = made(2100);
        let config = server_config(&identity(&certificate, &key)).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(config.max_early_data_size, 0);
    }
}
