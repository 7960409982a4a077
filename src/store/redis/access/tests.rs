//! The history in Redis against real servers: the conformance suite, and what only Redis can do to it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::RedisAddress;
use crate::store::access::AccessStore;
use crate::store::conformance::Subject;
use crate::store::conformance::access::HistorySubject;
use crate::store::redis::access::RedisHistory;
use crate::store::redis::tests::{Clustered, Single};
use crate::store::{Mode, StoreError};

mod faults;
mod loss;
mod speed;
mod stream;

/// Far above any deadline of the store's, on a machine that is busy: what takes longer hangs.
const HANG: Duration = Duration::from_secs(60);

async fn ends<T>(what: &str, task: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, task).await.unwrap_or_else(|_| panic!("hangs: {what}"))
}

/// Until it is done; panics where it never is.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + HANG;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Of an entry as `XRANGE` tells it, its id first.
fn pairs(told: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = told.split('\n').skip(1).map(str::to_owned).collect();
    let (pairs, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty(), "{told}");
    pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect()
}

async fn open(address: &RedisAddress, mode: Mode) -> Arc<dyn AccessStore> {
    Arc::new(RedisHistory::open(address, mode, None).await.unwrap())
}

/// With a username, a password and a database of its own.
struct OneServer(Single);

impl HistorySubject for OneServer {
    async fn start() -> Self {
        Self(Single::start().await)
    }

    async fn node(&self) -> Arc<dyn AccessStore> {
        open(&self.0.1, Mode::Sole).await
    }

    async fn reader(&self) -> Arc<dyn AccessStore> {
        open(&self.0.1, Mode::Reader).await
    }
}

mod one_server {
    use super::OneServer;
    crate::store::conformance::access::history_suite!(OneServer);
}

struct InCluster(Clustered);

impl HistorySubject for InCluster {
    async fn start() -> Self {
        Self(Clustered::start().await)
    }

    async fn node(&self) -> Arc<dyn AccessStore> {
        open(&self.0.address(), Mode::Sole).await
    }

    async fn reader(&self) -> Arc<dyn AccessStore> {
        open(&self.0.address(), Mode::Reader).await
    }
}

mod cluster {
    use super::InCluster;
    crate::store::conformance::access::history_suite!(InCluster);
}
