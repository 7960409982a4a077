//! Practices, vendors, keys and administrators as a node knows them.
//!
//! All of it lives in memory: [`Records`] for the administration, a [`View`] compiled of them for the workers. The store
//! is its durable form, and tells of the changes of other nodes. A decision is an [`Operation`], planned against the
//! records, written to the store, then in effect here, then answered: so what was answered holds for every later
//! request of this node. When the store is out of reach, the node serves by what it knows and says how old that is.
//!
//! - [`records`], [`index`], [`view`]: what is known, what finds keys, what workers read
//! - `state`: these behind one lock, changed in order
//! - `gathered`: all that a store has, while it is loaded
//! - `execute`, `receipt`, `kill`: decisions of this node
//! - `follow`, `restore`: what other nodes did; a store that lost what it had
//! - `chain`: the audit

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::config::Config;
use crate::model::{AuditHead, Catalogue, KeyId, Lifetimes, NodeName, Timestamp};
use crate::registry::contact::Contact;
use crate::registry::follow::Duties;
use crate::registry::gathered::Gathered;
use crate::registry::state::State;
use crate::store::{Applied, Position, RegistryStore, Replicas, StoreError};
use crate::telemetry::clock::Clock;
use crate::vault::{Cost, Vault};

mod chain;
mod contact;
mod execute;
mod follow;
mod gathered;
pub mod index;
mod kill;
pub mod operation;
mod receipt;
pub mod records;
mod restore;
mod state;
mod uses;
mod verify;
pub mod view;

pub use operation::{Operation, Rejection};
pub use records::Records;
pub use view::View;

/// What of the configuration the registry is judged and compiled by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// By position: `ApiId`.
    pub apis: Vec<Arc<str>>,
    pub catalogue: Catalogue,
    /// Names of regions; empty where there are none.
    pub regions: Vec<String>,
    pub lifetimes: Lifetimes,
    /// `keys.default_access: read`.
    pub grants_read_by_default: bool,
    /// `keys.reveal: always`.
    pub reveal: bool,
    pub cost: Cost,
}

impl Terms {
    pub fn of(config: &Config) -> Self {
        let keys = &config.keys;
        Self {
            apis: config.apis.iter().map(|api| api.name.as_str().into()).collect(),
            catalogue: config.policy.catalogue.clone(),
            regions: config.regions.iter().map(|region| region.name.clone()).collect(),
            lifetimes: keys.lifetimes,
            grants_read_by_default: keys.read_by_default,
            reveal: keys.reveal,
            cost: Cost { memory_kib: keys.hash_memory_kib, passes: keys.hash_passes },
        }
    }
}

/// The registry of this node. Shared by the control thread, the admin listener and (its verifier and view) the workers.
pub struct Registry {
    store: Arc<dyn RegistryStore>,
    vault: Arc<Vault>,
    node: NodeName,
    clock: Clock,
    index: Arc<index::Index>,
    /// One decision at a time: held from planning until it is in effect, across awaits.
    writer: tokio::sync::Mutex<()>,
    /// Held for looking or for changing memory, and never across an await.
    state: RwLock<State>,
    contact: Contact,
    duties: Duties,
    /// Of those who give access tokens back.
    kills: Arc<Semaphore>,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store was made with another pepper; says what is lost and what to do.
    #[error("{0}")]
    OtherVault(String),
    /// Nothing was done.
    #[error("too much of this is asked for at once")]
    Busy,
}

/// An operation that is kept and in effect on this node.
#[derive(Debug)]
pub struct Done<T> {
    pub output: T,
    pub position: Position,
    pub replicas: Option<Replicas>,
    /// False where everything was as it should be already.
    pub is_change: bool,
}

/// What a revocation answers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Receipt {
    pub revoked_at: Timestamp,
    pub nodes: Vec<Applied>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
}

/// Hands a new view to whoever serves by it. Called under the registry's lock, so views come in order.
pub type Publish = Box<dyn Fn(View) + Send + Sync>;

/// Whether the chain of the audit is whole.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditVerdict {
    pub ok: bool,
    /// How many entries there are up to the first that is wrong.
    pub entries: u64,
    /// The number of the first entry that is missing or is not what was written.
    pub broken_at: Option<u64>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("node", &self.node)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Loads everything; adopts a new store.
    pub async fn open(
        store: Arc<dyn RegistryStore>,
        vault: Arc<Vault>,
        node: NodeName,
        terms: Terms,
    ) -> Result<Self, RegistryError> {
        let gathered = load(&*store, &vault).await?;
        let state = State::new(gathered, Arc::new(terms));
        Ok(Self {
            store,
            vault,
            node,
            clock: Clock::default(),
            writer: tokio::sync::Mutex::default(),
            index: Arc::clone(state.records.index()),
            state: RwLock::new(state),
            contact: Contact::now(),
            duties: Duties::default(),
            kills: Arc::new(Semaphore::new(kill::AT_ONCE)),
        })
    }

    /// The view of now.
    pub fn view(&self) -> View {
        self.state().view().clone()
    }

    /// From now on each new view goes to `publish`, beginning with the view of now.
    pub fn publish_to(&self, publish: Publish) {
        self.state_mut().publish_to(publish);
    }

    /// Compiles for another configuration; `take` gets the view under the lock, before any further change. It is not
    /// given to the publisher: whoever takes a configuration takes its view with it.
    pub fn recompile<T>(&self, terms: Terms, take: impl FnOnce(View) -> T) -> T {
        let mut state = self.state_mut();
        state.recompile(Arc::new(terms));
        take(state.view().clone())
    }

    /// Reads under a shared lock: be quick.
    pub fn read<T>(&self, look: impl FnOnce(&Records) -> T) -> T {
        look(&self.state().records)
    }

    pub fn terms(&self) -> Arc<Terms> {
        Arc::clone(self.state().terms())
    }

    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    pub fn node(&self) -> &NodeName {
        &self.node
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn last_used(&self, key: KeyId) -> Option<Timestamp> {
        let state = self.state();
        state.uses().last(state.records.index().key_by_id(key)?)
    }

    pub fn head(&self) -> AuditHead {
        self.state().records.head()
    }

    pub fn store(&self) -> &Arc<dyn RegistryStore> {
        &self.store
    }

    /// How long ago the store was last in reach. Zero for one that is this node's own: nobody else can change it.
    pub fn staleness(&self) -> Duration {
        if self.store.is_shared() { self.contact.age() } else { Duration::ZERO }
    }

    /// What finds keys, for `auth::Verifier`.
    pub fn index(&self) -> &Arc<index::Index> {
        &self.index
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that is kept, by the vault that made it.
async fn load(store: &dyn RegistryStore, vault: &Vault) -> Result<Gathered, RegistryError> {
    let ours = vault.fingerprint();
    let mut gathered = Gathered::default();
    let mut made_by = gathered.load(store).await?;
    if made_by.is_none() {
        // Another node may adopt it in the same moment: what is there then decides.
        let adopted = store.adopt(ours.clone()).await;
        made_by = gathered.load(store).await?;
        if made_by.is_none() {
            adopted?;
        }
    }
    if made_by.is_none_or(|made_by| made_by == ours) {
        return Ok(gathered);
    }
    let keys = gathered.records.key_count();
    Err(RegistryError::OtherVault(format!(
        "the store was made with another pepper than the one in `keys.secrets`: none of its {keys} keys, admin tokens \
         and sessions can be recognised with this one, and its audit cannot be continued. Put back the files `pepper` \
         and `sealing.key` that belong to it, from a backup or from another node that shares the store. If they are \
         lost, every key has to be issued again: keep the old store aside, name a new one in `store`, and create or \
         import what is to be there"
    )))
}

#[cfg(test)]
mod tests;
