//! The store against real servers: the conformance suite on each layout, and what only Redis can do to it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::RootCertStore;

use crate::config::{RedisAddress, RedisLayout};
use crate::model::PlainKey;
use crate::store::conformance::Subject;
use crate::store::redis::RedisStore;
use crate::store::{Mode, RegistryStore};

mod faults;
mod histories;
mod size;

#[expect(dead_code, reason = "the behaviour suites use the rest of it")]
#[path = "../../../tests/it/support/redis.rs"]
pub(in crate::store::redis) mod server;

use server::{Cluster, Redis, Watched};

fn address(layout: RedisLayout, ports: &[u16]) -> RedisAddress {
    RedisAddress {
        layout,
        servers: ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect(),
        tls: false,
        username: None,
        password: None,
        database: 0,
    }
}

pub(super) fn single(server: &Redis) -> RedisAddress {
    address(RedisLayout::Single, &[server.port])
}

async fn open(address: &RedisAddress, mode: Mode) -> Arc<dyn RegistryStore> {
    Arc::new(RedisStore::open(address, mode, None).await.unwrap())
}

/// One server, with a username, a password and a database of its own.
pub(super) struct Single(Redis, pub(super) RedisAddress);

impl Subject for Single {
    async fn start() -> Self {
        let server = Redis::start(&["--requirepass", "sesame"]);
        let address = RedisAddress {
            username: Some("default".to_owned()),
            password: Some(PlainKey::new("sesame".to_owned())),
            database: 3,
            ..single(&server)
        };
        Self(server, address)
    }

    async fn node(&self) -> Arc<dyn RegistryStore> {
        open(&self.1, Mode::Sole).await
    }

    async fn reader(&self) -> Arc<dyn RegistryStore> {
        open(&self.1, Mode::Reader).await
    }
}

mod one_server {
    use super::Single;
    crate::store::conformance::suite!(Single);
}

pub(super) struct Sentinels(Watched);

impl Sentinels {
    pub(super) fn address(&self) -> RedisAddress {
        let ports: Vec<_> = self.0.sentinels.iter().map(|sentinel| sentinel.port).collect();
        address(RedisLayout::Sentinel("postern".to_owned()), &ports)
    }
}

impl Subject for Sentinels {
    async fn start() -> Self {
        Self(Watched::start())
    }

    async fn node(&self) -> Arc<dyn RegistryStore> {
        open(&self.address(), Mode::Sole).await
    }

    async fn reader(&self) -> Arc<dyn RegistryStore> {
        open(&self.address(), Mode::Reader).await
    }
}

mod sentinels {
    use super::Sentinels;
    crate::store::conformance::suite!(Sentinels);
}

pub(super) struct Clustered(Cluster);

impl Clustered {
    /// Of a node that has to point to another one.
    pub(super) fn address(&self) -> RedisAddress {
        address(RedisLayout::Cluster, &[self.0.other().port])
    }
}

impl Subject for Clustered {
    async fn start() -> Self {
        Self(Cluster::start())
    }

    async fn node(&self) -> Arc<dyn RegistryStore> {
        open(&self.address(), Mode::Sole).await
    }

    async fn reader(&self) -> Arc<dyn RegistryStore> {
        open(&self.address(), Mode::Reader).await
    }
}

mod cluster {
    use super::Clustered;
    crate::store::conformance::suite!(Clustered);
}

struct Secured {
    server: Redis,
    roots: RootCertStore,
}

impl Secured {
    async fn open(&self, mode: Mode) -> Arc<dyn RegistryStore> {
        let address = self.address("localhost");
        Arc::new(RedisStore::open(&address, mode, Some(self.roots.clone())).await.unwrap())
    }

    fn address(&self, host: &str) -> RedisAddress {
        let servers = vec![(host.to_owned(), self.server.tls_port)];
        RedisAddress { servers, tls: true, ..single(&self.server) }
    }
}

impl Subject for Secured {
    async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        Self { server: Redis::start_tls(&certificate.pem(), &key.serialize_pem()), roots }
    }

    async fn node(&self) -> Arc<dyn RegistryStore> {
        self.open(Mode::Sole).await
    }

    async fn reader(&self) -> Arc<dyn RegistryStore> {
        self.open(Mode::Reader).await
    }
}

mod secured {
    use super::Secured;
    crate::store::conformance::suite!(Secured);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_nobody_known_is_refused() {
    let secured = Secured::start().await;
    let trusting = Some(secured.roots.clone());
    let elsewhere = secured.address("127.0.0.1");
    let error = RedisStore::open(&elsewhere, Mode::Sole, trusting).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let none = Some(RootCertStore::empty());
    let error = RedisStore::open(&secured.address("localhost"), Mode::Sole, none).await;
    assert!(error.unwrap_err().to_string().contains("certificate"));
}
