//! Access tokens that clients give back.
//!
//! Whoever has one key may ask for this as often as it likes, and decisions are made one after the other: so only a few
//! of these may wait at a time, and an administrator's decision waits for no more than those.

use std::sync::Arc;

use crate::model::Actor;
use crate::registry::operation::keys::KillToken;
use crate::registry::{Registry, RegistryError};

pub(in crate::registry) const AT_ONCE: usize = 4;

impl Registry {
    /// In a task of its own: a caller that hangs up must not stop a change half-way. `Busy` where too many wait already.
    pub async fn kill_token(
        self: &Arc<Self>,
        actor: Actor,
        kill: KillToken,
    ) -> Result<(), RegistryError> {
        let permit = Arc::clone(&self.kills).try_acquire_owned();
        let permit = permit.map_err(|_| RegistryError::Busy)?;
        let registry = Arc::clone(self);
        let done = tokio::spawn(async move {
            let done = registry.execute(&actor, kill).await;
            drop(permit);
            done.map(drop)
        });
        done.await.unwrap_or(Err(RegistryError::Busy))
    }
}
