//! A configuration turned into all that serving needs, so that nothing can fail after the swap.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use crate::app::Faults;
use crate::config::{Config, Fault, Identity};
use crate::proxy::{Snapshot, tls};

#[derive(Debug)]
pub(super) struct Built {
    pub(super) snapshot: Snapshot,
    pub(super) admin_tls: Option<Arc<ServerConfig>>,
}

impl Built {
    /// `running` lends what did not change: the upstreams with their health and connections.
    pub(super) fn from(config: Config, running: Option<&Snapshot>) -> Result<Self, Faults> {
        let snapshot = Snapshot::build(config, running).map_err(Faults)?;
        let identity = snapshot.config.listen.admin_tls.as_ref();
        let admin_tls = identity.map(admin_tls).transpose();
        let admin_tls = admin_tls.map_err(|fault| Faults(vec![fault]))?;
        Ok(Self { snapshot, admin_tls })
    }
}

/// As for the gateway, but the admin listener speaks HTTP/1.1 alone.
fn admin_tls(identity: &Identity) -> Result<Arc<ServerConfig>, Fault> {
    let mut config = tls::server_config(identity)?;
    Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
