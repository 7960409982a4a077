//! What one admin listener holds beside what `app` gave it: its counts of failed sign-ins and its places for passwords.

use std::sync::Arc;

use crate::admin::passwords::Passwords;
use crate::admin::state::AdminState;
use crate::admin::throttle::Throttle;
use crate::registry::Registry;
use crate::store::access::AccessStore;

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) state: AdminState,
    pub(super) throttle: Throttle,
    pub(super) passwords: Passwords,
}

impl Desk {
    pub(super) fn new(state: AdminState) -> Self {
        Self { state, throttle: Throttle::default(), passwords: Passwords::default() }
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.state.registry
    }

    /// Records and what they add up to.
    pub(super) fn past(&self) -> &dyn AccessStore {
        &*self.state.history.store
    }
}
