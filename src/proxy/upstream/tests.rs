//! TLS endpoints: who is believed, and what is spoken with them.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::config::{HealthProbe, PemFile};
use crate::model::{Method, Place, Refusal};
use crate::proxy::forward::deliver;
use crate::proxy::forward::order::tests::{order, parts};
use crate::proxy::forward::tests::{listen, on_one_thread, upstream};
use crate::proxy::upstream::multiplex::OnThisThread;
use crate::proxy::upstream::outgoing::Outgoing;

use super::*;

/// A certificate for `localhost` with its key, both PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn pem(text: &str) -> PemFile {
    let place = Place { file: "postern.yaml".into(), line: 3, column: 5 };
    PemFile { path: PathBuf::from("some.pem"), bytes: text.as_bytes().to_vec(), place }
}

fn acceptor((certificate, key): &(String, String), protocols: &[&[u8]]) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let said =
        format!("{:?} {} {:?}", request.version(), request.uri(), request.headers().get("host"));
    drop(request.into_body().collect().await);
    Ok(Response::new(Full::from(said)))
}

/// Counts the connections it takes.
fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> Rc<Cell<usize>> {
    let taken = Rc::new(Cell::new(0));
    let counted = Rc::clone(&taken);
    spawn_local(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            counted.set(counted.get() + 1);
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = TokioIo::new(stream);
            spawn_local(async move {
                let service = service_fn(echo);
                if http2 {
                    let server = hyper::server::conn::http2::Builder::new(OnThisThread);
                    drop(server.serve_connection(stream, service).await);
                } else {
                    let server = hyper::server::conn::http1::Builder::new();
                    drop(server.serve_connection(stream, service).await);
                }
            });
        }
    });
    taken
}

struct Trust<'a> {
    ca: &'a str,
    name: Option<&'a str>,
}

fn secured(mut endpoint: Endpoint, trust: &Trust<'_>) -> Arc<Shared> {
    endpoint.https = true;
    let mut spec = upstream(vec![endpoint]);
    spec.tls.ca = Some(pem(trust.ca));
    spec.tls.server_name = trust.name.map(str::to_owned);
    Shared::build(spec).unwrap()
}

async fn ask(pools: &Pools, shared: &Arc<Shared>) -> Result<String, Refusal> {
    let order = order(Method::Get, "/v1/patients", None);
    let response = deliver(pools, shared, &order, &parts(&[]), Outgoing::empty()).await?;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn requests_to_an_http2_endpoint_share_one_connection() {
    on_one_thread(async {
        let own = certificate();
        let (listener, endpoint) = listen().await;
        let authority = endpoint.authority();
        let taken = serve(listener, acceptor(&own, &[b"h2", b"http/1.1"]));
        let shared = secured(endpoint, &Trust { ca: &own.0, name: Some("localhost") });
        let pools = Pools::default();
        let (a, b) = (ask(&pools, &shared), ask(&pools, &shared));
        let answers = tokio::join!(a, b, ask(&pools, &shared));
        let expected = format!("{:?} https://{authority}/v1/patients None", Version::HTTP_2);
        for answer in [answers.0, answers.1, answers.2, ask(&pools, &shared).await] {
            assert_eq!(answer.unwrap(), expected);
        }
        assert_eq!(taken.get(), 1);
    });
}

#[test]
fn an_https_endpoint_without_http2_keeps_its_connection_too() {
    on_one_thread(async {
        let own = certificate();
        let (listener, endpoint) = listen().await;
        let taken = serve(listener, acceptor(&own, &[b"http/1.1"]));
        let shared = secured(endpoint, &Trust { ca: &own.0, name: Some("localhost") });
        let pools = Pools::default();
        for _ in 0..3 {
            assert!(ask(&pools, &shared).await.unwrap().starts_with("HTTP/1.1 /v1/patients"));
        }
        assert_eq!(taken.get(), 1);
    });
}

#[test]
fn a_certificate_that_cannot_be_verified_is_an_endpoint_that_was_not_reached() {
    on_one_thread(async {
        let (own, other) = (certificate(), certificate());
        for trust in [
            Trust { ca: &own.0, name: None },
            Trust { ca: &own.0, name: Some("elsewhere.test") },
            Trust { ca: &other.0, name: Some("localhost") },
        ] {
            let (listener, endpoint) = listen().await;
            serve(listener, acceptor(&own, &[b"h2", b"http/1.1"]));
            let shared = secured(endpoint, &trust);
            let outcome = ask(&Pools::default(), &shared).await;
            assert_eq!(outcome.unwrap_err(), Refusal::UpstreamUnreachable);
        }
    });
}

#[test]
fn files_that_cannot_be_used_are_faults_at_their_place() {
    let (good, key) = certificate();
    let (other, _) = certificate();
    let endpoint = Endpoint { https: true, host: "localhost".into(), port: 443 };
    let faults = |ca: &str, certificate: &str, key: &str| {
        let mut spec = upstream(vec![endpoint.clone()]);
        spec.tls.ca = Some(pem(ca));
        let pair = crate::config::Identity { certificate: pem(certificate), private_key: pem(key) };
        spec.tls.identity = Some(pair);
        Shared::build(spec).map_or_else(|faults| faults.len(), |_| 0)
    };
    assert_eq!(faults(&good, &good, &key), 0);
    assert_eq!(faults("", &good, &key), 1);
    assert_eq!(faults("", "no PEM", &key), 2);
    assert_eq!(faults(&good, &good, ""), 1);
    assert_eq!(faults(&good, &other, &key), 1);
}

#[test]
fn a_reload_keeps_what_means_the_same() {
    let (listener, other) = ("127.0.0.1", "127.0.0.2");
    let at =
        |host: &str| upstream(vec![Endpoint { https: false, host: host.to_owned(), port: 9000 }]);
    let shared = Shared::build(at(listener)).unwrap();
    assert!(shared.serves(&at(listener)));
    assert!(!shared.serves(&at(other)));
    let mut slower = at(listener);
    slower.response_timeout *= 2;
    assert!(!shared.serves(&slower));
    assert_eq!(shared.health(), [("http://127.0.0.1:9000".to_owned(), true)]);
}

#[test]
fn probes_take_an_endpoint_out() {
    on_one_thread(async {
        let (gone, endpoint) = listen().await;
        drop(gone);
        let mut spec = upstream(vec![endpoint]);
        spec.health = Some(HealthProbe {
            path: "/health".into(),
            interval: std::time::Duration::from_secs(5),
        });
        let shared = Shared::build(spec).unwrap();
        for expected in [true, true, false] {
            probe::probe_one(&shared, 0).await;
            assert_eq!(shared.health()[0].1, expected);
        }
    });
}

#[test]
fn probing_can_run_on_any_runtime() {
    fn is_send(_: impl Send) {}
    let _: fn(Arc<arc_swap::ArcSwap<crate::proxy::Snapshot>>) = |snapshot| is_send(probe(snapshot));
}
