//! All that a request reads, whole and unchanging; replaced at a reload, and at every change of the registry.

use std::ops::Deref;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use crate::config::{Config, Fault, Listen, Upstream};
use crate::limits::Plan;
use crate::proxy::respond::Answers;
use crate::proxy::tls;
use crate::proxy::upstream::Shared;
use crate::registry::View;

/// One configuration with everything that serving by it needs, but the keys; what of it is replaced, is replaced with
/// the whole.
#[derive(Debug)]
pub struct Setup {
    /// Counts the configurations taken since the start, from 1.
    pub generation: u64,
    /// As it was read.
    pub config: Config,
    /// By `UpstreamId`.
    pub upstreams: Vec<Arc<Shared>>,
    /// By position in `config.listen.gateway`.
    pub tls: Vec<Option<Arc<ServerConfig>>>,
    /// What requests are held against.
    pub limits: Plan,
    /// To refusals that say the same to everybody.
    pub answers: Answers,
    /// Of `config.listen.admin`: nothing here uses it, but it changes with the rest.
    pub admin_tls: Option<Arc<ServerConfig>>,
}

/// A setup with the keys as they are compiled for it. It reads as its [`Setup`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub setup: Arc<Setup>,
    pub view: View,
}

impl Snapshot {
    /// The same configuration with other keys.
    #[must_use]
    pub fn with_view(&self, view: View) -> Self {
        Self { setup: Arc::clone(&self.setup), view }
    }
}

impl Deref for Snapshot {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Setup {
    /// Certificates that cannot be used are faults, at the place where the configuration names them.
    /// Upstreams that did not change keep their `Shared` (and so their pools and health).
    pub fn build(config: Config, previous: Option<&Self>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut tls = Vec::with_capacity(config.listen.gateway.len());
        for listener in &config.listen.gateway {
            match listener.tls.as_ref().map(tls::server_config).transpose() {
                Ok(server) => tls.push(server),
                Err(fault) => faults.push(fault),
            }
        }
        let identity = config.listen.admin_tls.as_ref();
        let admin_tls = identity.map(tls::admin_config).transpose().unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let kept = previous.map_or(&[][..], |previous| &previous.upstreams);
        let mut upstreams = Vec::with_capacity(config.upstreams.len());
        for spec in &config.upstreams {
            match kept.iter().find(|shared| shared.serves(spec)) {
                Some(shared) => upstreams.push(Arc::clone(shared)),
                None => match Shared::build(spec.clone()) {
                    Ok(shared) => upstreams.push(shared),
                    Err(found) => faults.extend(found),
                },
            }
        }
        if !faults.is_empty() {
            faults.sort();
            faults.dedup();
            return Err(faults);
        }
        let generation = previous.map_or(1, |previous| previous.generation + 1);
        let limits = Plan::of(&config, previous.map(|previous| &previous.limits));
        let answers = Answers::of(&config);
        Ok(Self { generation, config, upstreams, tls, limits, answers, admin_tls })
    }
}

/// What is wrong with certificates and keys, where there is no building because of other faults.
pub fn tls_faults(listen: &Listen, upstreams: &[Upstream]) -> Vec<Fault> {
    let gateway = listen.gateway.iter().filter_map(|listener| listener.tls.as_ref());
    let gateway = gateway.filter_map(|identity| tls::server_config(identity).err());
    let admin = listen.admin_tls.as_ref().and_then(|identity| tls::admin_config(identity).err());
    let upstreams = upstreams.iter().filter_map(|spec| Shared::build(spec.clone()).err());
    gateway.chain(admin).chain(upstreams.flatten()).collect()
}
