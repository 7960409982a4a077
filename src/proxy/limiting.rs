//! Limits as a worker has them: who is asked, what is owed at the end of a request, and how callers are told.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::limiter::{Charge, Limiter, Spent, Verdict};
use crate::limits::shared::{Names, Shared, Told};
use crate::limits::{Plan, Standing, Standings};
use crate::model::{Caller, LimitKind, RequestId, Subscriber};
use crate::store::limits::SharedLimits;
use crate::telemetry::metrics::WorkerCells;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The largest integer of a structured field (RFC 9651).
const LARGEST: u64 = 999_999_999_999_999;

/// What a worker gets of the limits of its node.
#[derive(Debug)]
pub struct LimitsOfNode {
    pub limiter: Arc<Limiter>,
    /// A way of the worker's own, where nodes count together.
    pub shared: Option<Arc<dyn SharedLimits>>,
}

/// How a worker counts.
#[derive(Debug)]
pub(crate) struct Limiting {
    pub(crate) limiter: Arc<Limiter>,
    shared: Option<Rc<Shared>>,
}

/// What must be told when a request is over.
#[derive(Debug)]
pub(crate) struct Account {
    spent: Spent,
    /// Where others must hear of it, too.
    shared: Option<(Arc<Subscriber>, RequestId)>,
}

#[derive(Debug)]
struct ToCells(Arc<WorkerCells>);

impl Told for ToCells {
    fn shared(&self, is_up: bool) {
        self.0.limits_shared(is_up);
    }

    fn alone(&self) {
        self.0.limits_alone();
    }
}

impl Limiting {
    pub(crate) fn new(of_node: LimitsOfNode, cells: Arc<WorkerCells>) -> Self {
        let LimitsOfNode { limiter, shared } = of_node;
        let told = Box::new(ToCells(cells));
        let shared = shared.map(|store| Rc::new(Shared::new(store, Arc::clone(&limiter), told)));
        Self { limiter, shared }
    }

    /// What is to be run beside the requests.
    pub(crate) fn sharing(&self) -> Option<Rc<Shared>> {
        self.shared.clone()
    }

    pub(crate) async fn take(
        &self,
        charge: &Charge<'_>,
        caller: &Caller,
        request: RequestId,
    ) -> Verdict {
        match &self.shared {
            None => self.limiter.take(charge),
            Some(shared) => shared.take(charge, names(caller), request).await,
        }
    }

    /// What is left, without taking anything.
    pub(crate) async fn look(&self, charge: &Charge<'_>, caller: &Caller) -> Standings {
        match &self.shared {
            None => self.limiter.look(charge),
            Some(shared) => shared.look(charge, names(caller)).await,
        }
    }

    pub(crate) fn give_back(
        &self,
        charge: &Charge<'_>,
        caller: &Caller,
        spent: Spent,
        request: RequestId,
    ) {
        match &self.shared {
            None => self.limiter.give_back(charge, spent),
            Some(shared) => shared.give_back(charge, names(caller), spent, request),
        }
    }

    /// None where nothing is to be told at the end.
    pub(crate) fn account(
        &self,
        plan: &Plan,
        caller: &Caller,
        spent: Spent,
        request: RequestId,
    ) -> Option<Account> {
        if plan.is_over_at_the_head() {
            return None;
        }
        let shared = self.shared.as_ref().map(|_| (Arc::clone(&caller.subscriber), request));
        Some(Account { spent, shared })
    }

    pub(crate) fn end(&self, account: &Account, bytes: u64) {
        match (&self.shared, &account.shared) {
            (Some(shared), Some((subscriber, request))) => {
                shared.end(account.spent, &subscriber.key_id, *request, bytes);
            }
            _ => self.limiter.end(account.spent, bytes),
        }
    }
}

fn names(caller: &Caller) -> Names<'_> {
    let vendor = caller.vendor.as_deref();
    Names { key: &caller.key_id, practice: &caller.practice, vendor }
}

/// `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-11 has them, the tightest limit first: within
/// `t` seconds no more than `r` can be taken, and then there is more.
pub(crate) fn tell(plan: &Plan, standings: &Standings, headers: &mut HeaderMap) {
    // The longest item has so much; a field that grows as it is written is moved six times.
    let mut policy = Field(Vec::with_capacity(64 * standings.len()));
    let mut limit = Field(Vec::with_capacity(48 * standings.len()));
    for standing in standings {
        let Standing { kind, quota, window, left, next, reset: _ } = *standing;
        policy.item(plan, kind).number(";q=", quota);
        if let Some(unit) = unit(kind) {
            policy.text(unit);
        }
        if let Some(window) = window {
            policy.number(";w=", window);
        }
        limit.item(plan, kind).number(";r=", left);
        if let Some(next) = next {
            limit.number(";t=", next);
        }
    }
    for (name, field) in [(POLICY, policy), (LIMIT, limit)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(field.0)) {
            headers.insert(name, value);
        }
    }
}

/// Requests, where nothing else is said.
fn unit(kind: LimitKind) -> Option<&'static str> {
    match kind {
        LimitKind::DailyBytes => Some(";qu=\"content-bytes\""),
        LimitKind::Concurrent => Some(";qu=\"concurrent-requests\""),
        _ => None,
    }
}

/// A list of a structured field, as it is written.
struct Field(Vec<u8>);

impl Field {
    fn item(&mut self, plan: &Plan, kind: LimitKind) -> &mut Self {
        self.text(if self.0.is_empty() { "\"" } else { ", \"" }).text(kind.name());
        if let LimitKind::Category(place) = kind {
            self.text(":").text(plan.category_name(place));
        }
        self.text("\"")
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.text(name).text(itoa::Buffer::new().format(number.min(LARGEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(standings: &[Standing]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        let standings: Standings = standings.iter().copied().collect();
        headers.insert(LIMIT, HeaderValue::from_static("\"theirs\";r=1"));
        tell(&Plan::default(), &standings, &mut headers);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
    }

    #[test]
    fn fields_are_written_as_the_draft_has_them() {
        let standing = |kind, quota, window, left, next| Standing {
            kind,
            quota,
            window,
            left,
            next,
            reset: next,
        };
        let found = told(&[
            standing(LimitKind::Key, 100, Some(10), 0, Some(10)),
            standing(LimitKind::DailyBytes, u64::MAX, Some(86_400), u64::MAX, Some(1)),
            standing(LimitKind::DailyRequests, 30_000, Some(86_400), 29_999, Some(0)),
            standing(LimitKind::Concurrent, 64, None, 63, None),
        ]);
        let expected = [
            (
                "ratelimit",
                "\"key\";r=0;t=10, \"daily_bytes\";r=999999999999999;t=1, \"daily_requests\";r=29999;t=0, \
                 \"concurrent\";r=63",
            ),
            (
                "ratelimit-policy",
                "\"key\";q=100;w=10, \"daily_bytes\";q=999999999999999;qu=\"content-bytes\";w=86400, \
                 \"daily_requests\";q=30000;w=86400, \"concurrent\";q=64;qu=\"concurrent-requests\"",
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut found = found;
        found.sort();
        assert_eq!(found, expected);
    }
}
