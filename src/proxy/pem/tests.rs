//! Certificates that can be used, and what is said of those that cannot.

use std::path::PathBuf;

use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::model::Place;

use super::*;

/// As if `postern.yaml` named it on that line.
pub(crate) fn pem(name: &str, line: usize, bytes: impl Into<Vec<u8>>) -> PemFile {
    let place = Place { file: "postern.yaml".into(), line, column: 5 };
    PemFile { path: PathBuf::from(name), bytes: bytes.into(), place }
}

/// A certificate that signed itself, and its key.
pub(crate) fn made(year_of_end: i32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["gw.test".into()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year_of_end, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Both files, named on lines 3 and 4.
pub(crate) fn identity(certificate: &str, private_key: &str) -> Identity {
    Identity {
        certificate: pem("gw.crt", 3, certificate),
        private_key: pem("gw.key", 4, private_key),
    }
}

#[test]
fn what_cannot_be_used_is_a_fault_where_it_is_named() {
    let (certificate, key) = made(2100);
    let (other, _) = made(2100);
    let (old, old_key) = made(2001);
    let (half, _) = certificate.split_at(certificate.len() / 2);
    for (certificate, key, line, said) in [
        (&*other, &*key, 4, "is not the private key of the certificate"),
        (&*old, &*old_key, 3, "`gw.crt` has expired"),
        ("", &*key, 3, "has no certificate in it"),
        (half, &*key, 3, "gw.crt"),
        (&*certificate, "", 4, "has no usable private key"),
        (&*certificate, &*certificate, 4, "has no usable private key"),
    ] {
        let identity = identity(certificate, key);
        let fault = certified_key(&identity, &aws_lc_rs::default_provider()).unwrap_err();
        assert_eq!(fault.place.line, line, "{fault}");
        assert!(fault.message.contains(said), "{fault}");
        assert!(!fault.to_string().contains("BEGIN"), "{fault}");
    }
}
