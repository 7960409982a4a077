//! Client TLS: rustls with its provider named, the system's roots or a private CA, and no way to skip verification.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use crate::config::{Fault, PemFile, Upstream};
use crate::proxy::pem;
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
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identity = spec.tls.identity.as_ref();
        let identity = identity.map(|identity| pem::certified_key(identity, &provider)).transpose();
        let identity = identity.map_err(|fault| faults.push(fault)).ok().flatten();
        let Some(roots) = roots.filter(|_| faults.is_empty()) else { return Err(faults) };
        let trusting = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                vec![Fault::new(spec.place.clone(), format!("TLS cannot be set up: {error}"))]
            })?
            .with_root_certificates(roots);
        let config = match identity {
            Some(certified) => {
                trusting.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => trusting.with_no_client_auth(),
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

fn private_roots(file: &PemFile) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(file)? {
        roots.add(certificate).map_err(|error| {
            let message = format!("`{}` cannot be trusted as a CA: {error}", file.path.display());
            Fault::new(file.place.clone(), message)
        })?;
    }
    Ok(roots)
}

fn system_roots(spec: &Upstream) -> Result<RootCertStore, Fault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    let mut troubles: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    if unusable > 0 {
        troubles.push(format!("{unusable} of the certificates cannot be used"));
    }
    if roots.is_empty() {
        return Err(no_roots(spec, &troubles));
    }
    for trouble in troubles {
        tracing::warn!(trouble, upstream = spec.name, "not every CA of the system could be read");
    }
    Ok(roots)
}

fn no_roots(spec: &Upstream, troubles: &[String]) -> Fault {
    let why =
        if troubles.is_empty() { String::new() } else { format!(" ({})", troubles.join("; ")) };
    let message = format!(
        "this machine trusts no CA{why}, so upstream `{}` could never be verified",
        spec.name
    );
    Fault::new(spec.place.clone(), message)
        .hint("install the CA certificates of the system, or name one: `tls: { ca: ca.pem }`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::forward::tests::upstream;
    use crate::proxy::pem::tests::{identity, made, pem};

    fn fault(change: impl FnOnce(&mut Upstream)) -> String {
        let mut spec = upstream(Vec::new());
        change(&mut spec);
        let faults = ClientTls::build(&spec).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_client_certificate_is_held_to_what_a_listeners_is() {
        let (ca, _) = made(2100);
        let with = |certificate: &str, key: &str| {
            fault(|spec| {
                spec.tls.ca = Some(pem("ca.pem", 2, ca.as_str()));
                spec.tls.identity = Some(identity(certificate, key));
            })
        };
        let (certificate, key) = made(2100);
        let (old, old_key) = made(2001);
        assert_eq!(with(&certificate, &key), "");
        assert!(with(&old, &old_key).starts_with("postern.yaml:3:5: `gw.crt` has expired"));
        assert!(with(&certificate, &old_key).starts_with("postern.yaml:4:5: `gw.key` is not"));
    }

    #[test]
    fn every_file_that_cannot_be_used_is_said_at_once() {
        let said = fault(|spec| {
            spec.tls.ca = Some(pem("ca.pem", 2, ""));
            spec.tls.identity = Some(identity("", ""));
        });
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn a_machine_without_roots_is_a_fault_of_the_upstream_that_says_why() {
        let spec = upstream(Vec::new());
        let said = no_roots(&spec, &["permission denied at /etc/ssl".to_owned()]);
        assert_eq!(said.place, spec.place);
        assert!(said.message.contains("trusts no CA (permission denied at /etc/ssl)"), "{said}");
        assert!(no_roots(&spec, &[]).message.contains("trusts no CA, so upstream `practice`"));
    }
}
