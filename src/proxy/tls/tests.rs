//! Certificates that can be used, and what is said of those that cannot.

use std::path::PathBuf;

use crate::config::PemFile;
use crate::model::Place;

use super::*;

fn pem(name: &str, line: usize, bytes: impl Into<Vec<u8>>) -> PemFile {
    let place = Place { file: "postern.yaml".into(), line, column: 5 };
    PemFile { path: PathBuf::from(name), bytes: bytes.into(), place }
}

fn made(year_of_end: i32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["gw.test".into()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year_of_end, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn fault(certificate: &str, private_key: &str) -> Option<(usize, String)> {
    let certificate = pem("gw.crt", 3, certificate);
    let private_key = pem("gw.key", 4, private_key);
    let outcome = server_config(&Identity { certificate, private_key });
    outcome.err().map(|fault| (fault.place.line, fault.message))
}

#[test]
fn a_certificate_with_its_key_serves_http2_and_http1_without_early_data() {
    let (certificate, key) = made(2100);
    let identity =
        Identity { certificate: pem("gw.crt", 3, certificate), private_key: pem("gw.key", 4, key) };
    let config = server_config(&identity).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(config.max_early_data_size, 0);
}

#[test]
fn what_cannot_be_used_is_a_fault_where_it_is_named() {
    let (certificate, key) = made(2100);
    let (other, _) = made(2100);
    let (old, old_key) = made(2001);
    let (half, _) = certificate.split_at(certificate.len() / 2);
    for (certificate, key, line, said) in [
        (&*other, &*key, 4, "is not the private key of the certificate"),
        (&*old, &*old_key, 3, "has expired"),
        ("", &*key, 3, "has no certificate in it"),
        (half, &*key, 3, "gw.crt"),
        (&*certificate, "", 4, "has no usable private key"),
        (&*certificate, &*certificate, 4, "has no usable private key"),
    ] {
        let (found, message) = fault(certificate, key).unwrap();
        assert_eq!(found, line, "{message}");
        assert!(message.contains(said), "{message}");
        assert!(!message.contains("BEGIN"), "{message}");
    }
}
