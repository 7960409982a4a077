//! Upstreams: what all workers share of one, and the connections each worker keeps to it.
//!
//! [`Shared`] is an upstream of the configuration with the health of its endpoints; [`Pools`] belongs to one worker and
//! is never locked. A connection goes to a configured endpoint and nowhere else; it is used again only when it is
//! provably idle; over https, a certificate that cannot be verified means that the endpoint was not reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use http::uri::Authority;
use rustls_pki_types::ServerName;

use crate::config::{Endpoint, Fault, Upstream, UpstreamTls};

pub(crate) mod awaited;
pub(crate) mod berth;
pub(crate) mod connect;
pub(crate) mod deadline;
pub(crate) mod health;
pub(crate) mod http1;
pub(crate) mod multiplex;
pub(crate) mod outgoing;
pub(crate) mod pool;
mod probe;
pub(crate) mod tls;
pub(crate) mod upgrade;

pub use http1::whole::{Read, read};
pub use pool::Pools;
pub use probe::probe;

use health::Health;
use tls::ClientTls;

/// One upstream of the configuration: its specification, client TLS, and the health of its endpoints.
#[derive(Debug)]
pub struct Shared {
    pub spec: Upstream,
    pub(crate) peers: Box<[Peer]>,
    pub(crate) tls: Option<ClientTls>,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) url: String,
    pub(crate) authority: Authority,
    /// Where the host is written as an address.
    pub(crate) address: Option<SocketAddr>,
    /// The name its certificate must have; only for https.
    pub(crate) server_name: Option<ServerName<'static>>,
    pub(crate) health: Health,
}

impl Shared {
    /// A CA or client certificate that cannot be used is a fault at its place.
    pub fn build(spec: Upstream) -> Result<Arc<Self>, Vec<Fault>> {
        let (mut peers, mut faults) = (Vec::with_capacity(spec.endpoints.len()), Vec::new());
        for endpoint in &spec.endpoints {
            match Peer::new(&spec, endpoint) {
                Ok(peer) => peers.push(peer),
                Err(fault) => faults.push(fault),
            }
        }
        let secured = spec.endpoints.iter().any(|endpoint| endpoint.https);
        match secured.then(|| ClientTls::build(&spec)).transpose() {
            Ok(tls) if faults.is_empty() => Ok(Arc::new(Self { spec, peers: peers.into(), tls })),
            tls => {
                faults.extend(tls.err().into_iter().flatten());
                Err(faults)
            }
        }
    }

    /// Whether a new specification means the same, so that pools and health are kept over a reload.
    pub fn serves(&self, spec: &Upstream) -> bool {
        let old = &self.spec;
        old.name == spec.name
            && old.endpoints == spec.endpoints
            && old.connect_timeout == spec.connect_timeout
            && old.response_timeout == spec.response_timeout
            && old.health == spec.health
            && old.headers == spec.headers
            && old.preserve_host == spec.preserve_host
            && same_tls(&old.tls, &spec.tls)
    }

    /// (endpoint url, healthy) for `/metrics` and `/readyz`.
    pub fn health(&self) -> Vec<(String, bool)> {
        self.peers.iter().map(|peer| (peer.url.clone(), peer.health.is_good())).collect()
    }
}

impl Peer {
    fn new(spec: &Upstream, endpoint: &Endpoint) -> Result<Self, Fault> {
        let written = endpoint.authority();
        let unusable = |what: &str| {
            let message = format!("upstream `{}`: `{what}` is no host name", spec.name);
            Fault::new(spec.place.clone(), message).hint("write the host as DNS or as an address")
        };
        let authority = Authority::try_from(written.as_str()).map_err(|_| unusable(&written))?;
        let name = spec.tls.server_name.as_deref().unwrap_or(&endpoint.host);
        let server_name = endpoint
            .https
            .then(|| ServerName::try_from(name.to_owned()).map_err(|_| unusable(name)))
            .transpose()?;
        let scheme = if endpoint.https { "https" } else { "http" };
        let address = endpoint.host.parse::<IpAddr>().ok();
        Ok(Self {
            url: format!("{scheme}://{written}"),
            authority,
            address: address.map(|ip| SocketAddr::new(ip, endpoint.port)),
            server_name,
            health: Health::new(),
            endpoint: endpoint.clone(),
        })
    }

    /// Counts a failure against it; the one that ejects it is told.
    pub(crate) fn failed(&self) {
        if self.health.failed() {
            tracing::warn!(upstream.url = %self.url, "upstream endpoint is left alone for a while");
        }
    }

    pub(crate) fn fared_well(&self) {
        if self.health.fared_well() {
            tracing::info!(upstream.url = %self.url, "upstream endpoint answers again");
        }
    }

    /// A copy that one worker has to itself, so that using it touches no counter of another's.
    pub(crate) fn host(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.authority.as_str()).ok()
    }
}

fn same_tls(old: &UpstreamTls, new: &UpstreamTls) -> bool {
    let files = |tls: &UpstreamTls| {
        let identity = tls.identity.as_ref();
        let pair =
            identity.map(|own| (own.certificate.bytes.clone(), own.private_key.bytes.clone()));
        (tls.ca.as_ref().map(|file| file.bytes.clone()), pair)
    };
    old.server_name == new.server_name && files(old) == files(new)
}

#[cfg(test)]
mod tests;
