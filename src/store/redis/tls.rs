//! TLS to Redis: the system's roots (`SSL_CERT_FILE` names others), and no way to skip verification.

use std::io;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::store::redis::fault::{Kind, Trouble};

pub(super) fn connector(roots: Option<RootCertStore>) -> Result<TlsConnector, Trouble> {
    let roots = roots.map_or_else(system_roots, Ok)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::new(Kind::Settings, format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(super) async fn handshake(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no host name"))?;
    connector.connect(name, stream).await
}

fn system_roots() -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!(
            "this system has no certificate authorities, so Redis cannot be verified{why}: \
             install ca-certificates, or name a file of them in SSL_CERT_FILE"
        );
        return Err(Trouble::new(Kind::Settings, text));
    }
    Ok(roots)
}
