//! Revocations, and who has taken them into effect.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::model::{Actor, KeyId, NodeName, SubscriberKey, Timestamp};
use crate::registry::{Operation, Receipt, Registry, RegistryError};
use crate::store::{Applied, StoreError};

/// How long the other nodes are waited for. They have a second in all.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(15);
/// A node that was not heard of for so long is not waited for: it beats every three seconds.
const SILENCE: Duration = Duration::from_secs(10);

impl Registry {
    /// Revokes a subscriber key by an operation that does that, and waits shortly for the other nodes. Again: the same receipt, with what came since.
    pub async fn revoke_key(
        &self,
        actor: &Actor,
        revoke: impl Operation<Output = SubscriberKey>,
    ) -> Result<Receipt, RegistryError> {
        let done = self.execute(actor, revoke).await?;
        let key = done.output.id;
        let applied_at = self.now();
        let revoked_at = done.output.revoked_at.unwrap_or(applied_at);
        if let Some(replicas) = done.replicas {
            self.duties.remember(key, replicas);
        }
        let nodes = match self.gather(key, applied_at, done.is_change).await {
            Ok(nodes) => nodes,
            Err(error) => {
                // It is kept and in effect here; who else has it will be in the receipt when somebody asks again.
                tracing::warn!(key = %key, %error, "the receipt of a revocation could not be read");
                vec![Applied { node: self.node.clone(), applied_at: Some(applied_at) }]
            }
        };
        Ok(Receipt { revoked_at, nodes, replicas: self.duties.replicas_of(key) })
    }

    async fn gather(
        &self,
        key: KeyId,
        at: Timestamp,
        is_own: bool,
    ) -> Result<Vec<Applied>, StoreError> {
        self.store.open_receipt(key, &self.live_nodes().await?).await?;
        let is_waited_for = |line: &Applied| line.node == self.node && line.applied_at.is_none();
        // A node that was not there at the time has no line, and must not add one each time that somebody looks.
        if is_own || self.store.receipt(key).await?.iter().any(is_waited_for) {
            self.store.acknowledge(&[key], &self.node, at).await?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let receipt = self.store.receipt(key).await?;
            let is_whole = receipt.iter().all(|line| line.applied_at.is_some());
            if is_whole || Instant::now() >= deadline {
                return Ok(receipt);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Those that share the store now, this one first.
    async fn live_nodes(&self) -> Result<Vec<NodeName>, StoreError> {
        let now = self.now();
        let known = self.store.nodes().await?;
        let live = known.into_iter().filter(|node| now.since(node.seen_at) < SILENCE);
        let others = live.map(|node| node.name).filter(|name| *name != self.node);
        Ok(std::iter::once(self.node.clone()).chain(others).collect())
    }
}
