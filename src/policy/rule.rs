//! One rule of a route map, compiled: names of categories have become numbers, methods a set.

use std::num::NonZeroU32;

use crate::model::{ApiId, Method, MethodSet, Need, Place};
use crate::policy::pattern::Pattern;

/// One `- path:` entry of a route map.
#[derive(Clone, Debug)]
pub struct Rule {
    pub pattern: Pattern,
    /// Where the entry was written.
    pub place: Place,
    pub api: ApiId,
    pub methods: MethodSet,
    pub effect: Effect,
    /// An upgrade to a WebSocket is passed on.
    pub websocket: bool,
    /// Overrides `proxy.max_body`.
    pub max_body: Option<u64>,
    /// What a request takes from the limits of rates.
    pub cost: NonZeroU32,
    /// The map says `trailing_slash: optional`.
    pub slash_optional: bool,
}

impl Rule {
    /// What a request takes from the limits of rates, where it passes and that is not 1.
    pub fn own_cost(&self) -> Option<NonZeroU32> {
        let passes = !matches!(self.effect, Effect::Deny);
        Some(self.cost).filter(|cost| passes && *cost > NonZeroU32::MIN)
    }

    /// Whether both rules let the same requests of a method through.
    pub fn decides_as(&self, other: &Self, method: Method) -> bool {
        let same_effect = match (&self.effect, &other.effect) {
            (Effect::Public, Effect::Public) | (Effect::Deny, Effect::Deny) => true,
            (
                Effect::Guarded { needs, when },
                Effect::Guarded { needs: other_needs, when: other_when },
            ) => needs.get(method.index()) == other_needs.get(method.index()) && when == other_when,
            _ => false,
        };
        let limits = |rule: &Self| (rule.api, rule.websocket, rule.max_body, rule.cost);
        same_effect && limits(self) == limits(other)
    }
}

/// What a rule decides.
#[derive(Clone, Debug)]
pub enum Effect {
    /// No keys are asked.
    Public,
    /// Nobody passes.
    Deny,
    /// What each method needs, by `Method::index`; then what conditions add.
    Guarded { needs: [Box<[Need]>; 6], when: Box<[Condition]> },
}

/// More is needed if the query or a header asks for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub subject: Subject,
    /// One value of a comma list or of repeats, decoded; absent: the presence alone.
    pub contains: Option<Box<str>>,
    pub requires: Box<[Need]>,
}

/// Where a condition looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Query(Box<str>),
    Header(http::HeaderName),
}
