//! What the admin listener is told of limits: a task of the control thread looks for it, with the running plan and, where
//! nodes count together, a way to their store of its own.
//!
//! A way to the store belongs to one thread and handlers may run on any, so they ask through a channel.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::admin::state::{Limited, LimitsSource};
use crate::limits::limiter::{Charge, Clock, Group, Limiter};
use crate::limits::shared::{Names, Shared, Told};
use crate::limits::{Overview, Plan, Standing};
use crate::model::KeyId;
use crate::proxy::{LimitsOfNode, Snapshot};
use crate::registry::Registry;

/// Questions that wait; more wait outside.
const WAITING: usize = 64;

type Question = (Limited, oneshot::Sender<Overview>);

struct Looker {
    snapshot: Arc<ArcSwap<Snapshot>>,
    registry: Arc<Registry>,
    limiter: Arc<Limiter>,
    shared: Option<Rc<Shared>>,
}

/// Looking is no request: nobody counts it.
#[derive(Debug)]
struct Nobody;

impl Told for Nobody {
    fn shared(&self, _is_up: bool) {}
    fn alone(&self) {}
    fn is_quiet(&self) -> bool {
        true
    }
}

/// Begins the task that looks.
pub(in crate::app) fn begin(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    registry: &Arc<Registry>,
    of_node: LimitsOfNode,
    tasks: &mut JoinSet<()>,
) -> LimitsSource {
    let LimitsOfNode { limiter, shared } = of_node;
    let shared =
        shared.map(|store| Rc::new(Shared::new(store, Arc::clone(&limiter), Box::new(Nobody))));
    let looker =
        Looker { snapshot: Arc::clone(snapshot), registry: Arc::clone(registry), limiter, shared };
    let (ask, asked) = mpsc::channel(WAITING);
    tasks.spawn_local(looker.run(asked));
    Arc::new(move |limited| {
        let ask = ask.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            ask.send((limited, answer)).await.ok()?;
            answered.await.ok()
        })
    })
}

impl Looker {
    /// For as long as anybody may ask.
    async fn run(self, asked: mpsc::Receiver<Question>) {
        match self.shared.clone() {
            None => self.answer(asked).await,
            Some(shared) => tokio::select! {
                () = shared.run() => {}
                () = self.answer(asked) => {}
            },
        }
    }

    async fn answer(&self, mut asked: mpsc::Receiver<Question>) {
        while let Some((limited, answer)) = asked.recv().await {
            let overview = match limited {
                Limited::Key(id) => self.of_key(id).await,
                Limited::Vendor(id) => {
                    let number = self.registry.read(|records| records.number_of_vendor(&id));
                    self.of_group(number.map(Group::Vendor), id.as_str()).await
                }
                Limited::Practice(id) => {
                    let number = self.registry.read(|records| records.number_of_practice(&id));
                    self.of_group(number.map(Group::Practice), id.as_str()).await
                }
            };
            // Whoever asked may have gone.
            let _unheard = answer.send(overview);
        }
    }

    async fn of_key(&self, id: KeyId) -> Overview {
        let snapshot = self.snapshot.load_full();
        let plan = &snapshot.limits;
        let kept = self.registry.read(|records| records.key(id));
        let (Some(who), Some(key)) = (snapshot.view.counted_by_id(id), kept) else {
            return Overview::of(plan, None, &[]);
        };
        let (at, clock) = (self.limiter.moment(Instant::now()), Clock::at(self.registry.now()));
        let Some(charge) = Charge::of_a_look(plan, who, at, clock) else {
            return Overview::of(plan, None, &[]);
        };
        let names = Names {
            key: id.as_str(),
            practice: key.value.practice.as_str(),
            vendor: key.value.vendor.as_ref().map(|vendor| vendor.as_str()),
        };
        let standings = match &self.shared {
            None => self.limiter.look(&charge),
            Some(shared) => shared.look(&charge, names).await,
        };
        Overview::of(plan, who.own, &standings)
    }

    /// One that has no number yet was never counted, and has no limit to tell of.
    async fn of_group(&self, group: Option<Group>, name: &str) -> Overview {
        let snapshot = self.snapshot.load_full();
        let plan: &Plan = &snapshot.limits;
        let Some(group) = group else { return Overview::of(plan, None, &[]) };
        let standing: Option<Standing> = match &self.shared {
            None => self.limiter.look_at(plan, group),
            Some(shared) => shared.look_at(plan, group, name).await,
        };
        Overview::of(plan, None, standing.as_slice())
    }
}
