//! One process serves a store.

use crate::exclusive::{Denied, Exclusive};
use crate::store::StoreError;
use crate::store::embedded::Home;

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _held: Exclusive,
}

impl Lock {
    pub(super) fn take(home: &Home) -> Result<Self, StoreError> {
        let path = home.lock();
        let unavailable = |error: std::io::Error| {
            let path = path.display();
            StoreError::Unavailable(format!("the lock {path} cannot be taken: {error}"))
        };
        let mut held = Exclusive::take(&path).map_err(|denied| match denied {
            Denied::InUse(holder) => StoreError::InUse(format!(
                "the store {} is in use by {holder}: stop it first, or ask the gateway that serves it through its admin API",
                home.0.display()
            )),
            Denied::Failed(error) => unavailable(error),
        })?;
        held.sign().map_err(unavailable)?;
        Ok(Self { _held: held })
    }
}
