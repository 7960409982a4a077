//! Client TLS: rustls with its provider named, the system's roots or a private CA, and no way to skip verification.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ConfigBuilder, RootCertStore, WantsVerifier};

use crate::config::{Fault, Identity, PemFile, Upstream};
use crate::model::Place;
use crate::proxy::upstream::connect::Offer;

/// How the endpoints of one upstream are verified and what is shown to them.
#[derive(Clone)]
pub(crate) struct ClientTls {
    http1: TlsConnector,
    both: TlsConnector,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls(…)")
    }
}

impl ClientTls {
    pub(crate) fn build(spec: &Upstream) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let roots = match &spec.tls.ca {
            Some(file) => private_roots(file),
            None => system_roots(spec),
        };
        let roots = roots.map_err(|fault| faults.push(fault)).ok();
        let identity = spec.tls.identity.as_ref().map(read_identity).transpose();
        let identity = identity.map_err(|fault| faults.push(fault)).ok().flatten();
        let Some(roots) = roots.filter(|_| faults.is_empty()) else { return Err(faults) };
        let trusting = builder(spec).map_err(|fault| vec![fault])?.with_root_certificates(roots);
        let config = match (identity, &spec.tls.identity) {
            (Some((chain, key)), Some(named)) => {
                trusting.with_client_auth_cert(chain, key).map_err(|error| {
                    let message = format!("the private key does not fit the certificate: {error}");
                    vec![Fault::new(named.private_key.place.clone(), message)]
                })?
            }
            _ => trusting.with_no_client_auth(),
        };
        Ok(Self {
            http1: offering(&config, &[b"http/1.1"]),
            both: offering(&config, &[b"h2", b"http/1.1"]),
        })
    }

    pub(crate) fn connector(&self, offer: Offer) -> &TlsConnector {
        match offer {
            Offer::Http1Only => &self.http1,
            Offer::Http2Too => &self.both,
        }
    }
}

fn offering(config: &ClientConfig, protocols: &[&[u8]]) -> TlsConnector {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

fn builder(spec: &Upstream) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Fault> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::new(nowhere(spec), format!("TLS cannot be set up: {error}")))
}

fn private_roots(file: &PemFile) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            let message = format!("`{}` cannot be trusted as a CA: {error}", file.path.display());
            Fault::new(file.place.clone(), message)
        })?;
    }
    Ok(roots)
}

fn system_roots(spec: &Upstream) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message = format!(
            "this machine trusts no CA, so upstream `{}` could never be verified",
            spec.name
        );
        return Err(Fault::new(nowhere(spec), message).hint(
            "install the CA certificates of the system, or name one: `tls: { ca: ca.pem }`",
        ));
    }
    Ok(roots)
}

fn read_identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Fault> {
    let chain = certificates(&identity.certificate)?;
    let file = &identity.private_key;
    let key = PrivateKeyDer::from_pem_slice(&file.bytes).map_err(|error| {
        let message =
            format!("`{}` holds no private key that can be read: {error}", file.path.display());
        Fault::new(file.place.clone(), message)
            .hint("give a PEM file with one unencrypted private key")
    })?;
    Ok((chain, key))
}

fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let unusable = |why: String| {
        Fault::new(file.place.clone(), format!("`{}` {why}", file.path.display()))
            .hint("give a PEM file with one certificate or a chain of them")
    };
    let found = CertificateDer::pem_slice_iter(&file.bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(format!("is not PEM: {error}")))?;
    if found.is_empty() { Err(unusable("holds no certificate".into())) } else { Ok(found) }
}

/// A fault that no line of the configuration stands for; the message names the upstream.
pub(crate) fn nowhere(spec: &Upstream) -> Place {
    let named = spec.tls.ca.as_ref().or(spec.tls.identity.as_ref().map(|own| &own.certificate));
    match named {
        Some(file) => file.place.clone(),
        None => Place { file: Arc::from("upstreams"), line: 1, column: 1 },
    }
}
