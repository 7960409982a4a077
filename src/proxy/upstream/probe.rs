//! Active health: every endpoint with `health` is asked its path now and then, on the control thread.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use crate::config::HealthProbe;
use crate::proxy::Snapshot;
use crate::proxy::upstream::connect::{Offer, connect};
use crate::proxy::upstream::{Peer, Shared};

/// How often the snapshot is looked at for endpoints that are due.
const TICK: Duration = Duration::from_millis(100);
const LONGEST_PROBE: Duration = Duration::from_secs(5);

/// Probes every endpoint of the current snapshot that has `health`, for ever; runs on the control thread.
pub async fn probe(snapshot: Arc<ArcSwap<Snapshot>>) {
    let mut probes = JoinSet::new();
    loop {
        for shared in &snapshot.load().upstreams {
            probe_due(shared, &mut probes);
        }
        while probes.try_join_next().is_some() {}
        tokio::time::sleep(TICK).await;
    }
}

fn probe_due(shared: &Arc<Shared>, probes: &mut JoinSet<()>) {
    let Some(wanted) = &shared.spec.health else { return };
    for (index, peer) in shared.peers.iter().enumerate() {
        if peer.health.takes_probe(wanted.interval) {
            let shared = Arc::clone(shared);
            probes.spawn(async move { probe_one(&shared, index).await });
        }
    }
}

pub(super) async fn probe_one(shared: &Shared, index: usize) {
    let (Some(wanted), Some(peer)) = (&shared.spec.health, shared.peers.get(index)) else { return };
    let patience = wanted.interval.min(LONGEST_PROBE);
    let well = tokio::time::timeout(patience, answers_well(shared, peer, wanted)).await;
    let well = matches!(well, Ok(Some(true)));
    if peer.health.probed(well) {
        let name = &shared.spec.name;
        if well {
            tracing::info!(upstream.name = %name, upstream.url = %peer.url, "upstream endpoint is healthy again");
        } else {
            tracing::warn!(upstream.name = %name, upstream.url = %peer.url, "upstream endpoint failed its health probes");
        }
    }
}

/// Some(true) if the probe was answered with success.
async fn answers_well(shared: &Shared, peer: &Peer, wanted: &HealthProbe) -> Option<bool> {
    let transport = connect(shared, peer, Offer::Http1Only).await.ok()?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(transport)).await.ok()?;
    let mut request = Request::get(wanted.path.as_str()).body(Empty::<Bytes>::new()).ok()?;
    request.headers_mut().extend(shared.spec.headers.iter().cloned());
    request.headers_mut().insert(header::HOST, peer.host()?);
    let exchange = async {
        let answer = sender.send_request(request).await.ok()?;
        Some(answer.status().is_success())
    };
    // The end of the connection reaches the exchange itself, as an answer or as an error.
    let drive = async {
        if driver.await.is_err() {
            tracing::debug!(upstream.url = %peer.url, "probe connection broke");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        well = exchange => well,
        () = drive => None,
    }
}
