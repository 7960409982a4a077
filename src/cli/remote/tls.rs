//! TLS to an admin listener that is asked with a token: its certificate is checked, by the system's roots or by a CA of
//! one's own. There is no way to skip that.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub(super) fn connector(ca: Option<&str>) -> anyhow::Result<TlsConnector> {
    let roots = match ca {
        Some(path) => private(path)?,
        None => of_the_system()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn private(path: &str) -> anyhow::Result<RootCertStore> {
    let unusable = || format!("POSTERN_ADMIN_CA cannot be used: {path}");
    let bytes = fs::read(path).with_context(unusable)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
    }
    if roots.is_empty() {
        bail!("{}: there is no PEM certificate in it", unusable());
    }
    Ok(roots)
}

fn of_the_system() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("this machine trusts no CA; name the one of the admin listener in POSTERN_ADMIN_CA");
    }
    Ok(roots)
}
