//! Certificates and private keys from PEM files. What cannot be used is a fault where the configuration names the file,
//! and no fault repeats anything of a key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use crate::config::{Fault, Identity, PemFile};
use crate::proxy::certificate;

/// A chain with its key, to be shown to clients or to an upstream: they fit together, and the leaf has not expired.
pub(crate) fn certified_key(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Fault> {
    let Identity { certificate, private_key } = identity;
    let chain = certificates(certificate)?;
    chain.first().map_or(Ok(()), |leaf| refuse_expired(leaf, certificate))?;
    let key = PrivateKeyDer::from_pem_slice(&private_key.bytes)
        .map_err(|error| unusable(private_key, format!("has no usable private key: {error}")))
        .map_err(|fault| fault.hint("give a PEM file with one unencrypted private key"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unusable(private_key, "is not the private key of the certificate")
                .hint("the two files belong together; one of them may be from before a renewal")
        }
        other => unusable(private_key, format!("cannot be used: {other}")),
    })
}

/// At least one.
pub(crate) fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = CertificateDer::pem_slice_iter(&file.bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(file, format!("is not a PEM certificate: {error}")))?;
    if found.is_empty() {
        return Err(unusable(file, "has no certificate in it")
            .hint("put the certificate first and those that signed it after it, all in PEM form"));
    }
    Ok(found)
}

fn refuse_expired(leaf: &CertificateDer<'_>, file: &PemFile) -> Result<(), Fault> {
    let validity =
        certificate::validity(leaf).ok_or_else(|| unusable(file, "is not an X.509 certificate"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    if validity.not_after < now {
        return Err(unusable(file, "has expired")
            .hint("renew it; the gateway takes the new file without a restart"));
    }
    Ok(())
}

fn unusable(file: &PemFile, why: impl std::fmt::Display) -> Fault {
    Fault::new(file.place.clone(), format!("`{}` {why}", file.path.display()))
}

#[cfg(test)]
pub(crate) mod tests;
