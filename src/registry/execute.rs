//! Decisions of this node: planned against what is known, written, in effect, answered. In that order.
//!
//! One at a time on a node, and one order among all nodes, because the store takes a change only right after the one
//! that it was planned against. Where another node was first, its change is taken over and the operation is asked
//! again. Where the store did not answer, the same change is written again: it is taken once or not at all, since both
//! writes ask for the same place.
//!
//! An `execute` that is dropped half way leaves either nothing, or a change that the feed brings in a moment.

use std::time::Duration;

use tokio::time::sleep;

use crate::model::{Actor, KeyId, Timestamp};
use crate::registry::operation::{Ground, LastUsed, Plan};
use crate::registry::restore::Kinship;
use crate::registry::state::{State, Taken};
use crate::registry::{Done, Operation, Registry, RegistryError, chain};
use crate::store::{Change, Committed, Document, News, Position, Safety, StoreError};

/// More than so many changes of other nodes in a row, each a hair earlier, is no accident.
const TRIES: u64 = 16;
/// Writing one change again, where the store does not answer.
const REPEATS: u32 = 3;

impl LastUsed for State {
    fn of(&self, key: KeyId) -> Option<Timestamp> {
        self.uses().last(self.records.index().key_by_id(key)?)
    }
}

/// How catching up with the store went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caught {
    Followed,
    /// All was loaded anew: which changes came is not known.
    Reloaded,
}

impl Registry {
    /// Plans against what is known, writes, applies, publishes; decides again where another node was first.
    /// When it returns, every later request of this node is judged by it.
    pub async fn execute<O: Operation>(
        &self,
        actor: &Actor,
        operation: O,
    ) -> Result<Done<O::Output>, RegistryError> {
        let _one_at_a_time = self.writer.lock().await;
        for attempt in 1..=TRIES {
            let (after, planned, output) = self.plan(actor, &operation)?;
            let Some(change) = planned else {
                return Ok(Done { output, position: after, replicas: None, is_change: false });
            };
            if let Some(Committed { position, replicas }) = self.write(after, &change).await? {
                return Ok(Done { output, position, replicas, is_change: true });
            }
            sleep(Duration::from_millis(attempt).mul_f64(fastrand::f64())).await;
        }
        Err(StoreError::Conflict.into())
    }

    /// What is to be written, and after which position; no change where the operation changes nothing.
    fn plan<O: Operation>(
        &self,
        actor: &Actor,
        operation: &O,
    ) -> Result<(Position, Option<Change>, O::Output), RegistryError> {
        let now = self.now();
        let state = self.state();
        let (records, terms) = (&state.records, &**state.terms());
        let ground = Ground { records, terms, now, actor, last_used: &*state };
        let Plan { puts, removes, deeds, output } = operation.plan(&ground)?;
        let after = records.position();
        if puts.is_empty() && removes.is_empty() && deeds.is_empty() {
            return Ok((after, None, output));
        }
        let audit = chain::link(&self.vault, records.head(), now, actor, deeds);
        let change = Change { id: change_id()?, at: now, puts, removes, audit };
        Ok((after, Some(change), output))
    }

    /// Writes a change and takes it into effect. None: another change has its place, and this one was not taken.
    async fn write(
        &self,
        after: Position,
        change: &Change,
    ) -> Result<Option<Committed>, RegistryError> {
        let safety = safety(change);
        let mut may_be_taken = false;
        for _ in 0..REPEATS {
            match self.store.commit(after, change, safety).await {
                Ok(committed) => {
                    self.contact.made();
                    let revoked = self.state_mut().take_own(committed.position, change);
                    self.duties.acknowledge(revoked, self.now());
                    return Ok(Some(committed));
                }
                Err(StoreError::Conflict) => {}
                Err(StoreError::Unknown(_)) => may_be_taken = true,
                Err(error) if !may_be_taken => return Err(error.into()),
                Err(error) => return Err(untold(&error).into()),
            }
            let caught = match self.catch_up().await {
                Err(RegistryError::Store(error)) if may_be_taken => {
                    return Err(untold(&error).into());
                }
                caught => caught?,
            };
            if let Some(position) = self.state().position_of(&change.id) {
                return Ok(Some(Committed { position, replicas: None }));
            }
            if caught == Caught::Reloaded && may_be_taken {
                let why = StoreError::Unknown("the registry was loaded anew meanwhile".to_owned());
                return Err(untold(&why).into());
            }
            if self.state().records.position() != after {
                return Ok(None);
            }
            // Still at its place: the change may be on its way yet, or the store's news are late.
        }
        if may_be_taken {
            return Err(untold(&StoreError::Unknown("again and again".to_owned())).into());
        }
        Ok(None)
    }

    /// Takes over what came to the store since. Only by who holds the writer's lock.
    async fn catch_up(&self) -> Result<Caught, RegistryError> {
        let after = self.state().records.position();
        let news = self.store.news(after, Duration::ZERO).await?;
        self.contact.made();
        let kinship = match news {
            News::Changes(changes) if self.take(&changes) => return Ok(Caught::Followed),
            News::Changes(_) => Kinship::Another,
            News::Reload => Kinship::Later,
        };
        self.reload(kinship).await?;
        Ok(Caught::Reloaded)
    }

    /// Takes changes of the feed into effect; false where they do not follow on what is known.
    pub(in crate::registry) fn take(&self, changes: &[(Position, Change)]) -> bool {
        if changes.is_empty() {
            return true;
        }
        let taken = self.state_mut().follow(changes, &self.vault);
        match taken {
            Taken::All { revoked } => {
                self.duties.acknowledge(revoked, self.now());
                true
            }
            Taken::Apart => false,
        }
    }
}

/// The caller must look before trying again: what it asked for may be there.
fn untold(error: &StoreError) -> StoreError {
    let why = match error {
        StoreError::Unknown(why) | StoreError::Unavailable(why) => why.clone(),
        other => other.to_string(),
    };
    StoreError::Unknown(format!("{why}; whether the change was kept is not known"))
}

/// A decision must not be lost with one server: it may take something away from somebody, and an edit does not show
/// whether it does. Signing in is no decision, nor is giving an access token back or clearing away what is over, which the
/// audit does not have.
pub(in crate::registry) fn safety(change: &Change) -> Safety {
    let is_small =
        |document: &Document| matches!(document, Document::Session(_) | Document::DeadToken(_));
    let puts_little = !change.puts.is_empty() && change.puts.iter().all(is_small);
    let clears = change.puts.is_empty() && change.audit.is_empty();
    if puts_little || clears { Safety::Usual } else { Safety::Replicated }
}

pub(in crate::registry) fn change_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| {
        StoreError::Unavailable("the operating system gives no randomness".to_owned())
    })?;
    Ok(crate::model::hex::encode(&bytes))
}
