//! What is left of limits in words, for people and programs: `whoami` and the admin API say the same of the same.

use serde::Serialize;

use crate::limits::plan::Plan;
use crate::limits::standing::Standing;
use crate::model::{LimitKind, RateLimit};

/// All limits that could hold for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// `enforce`, or `observe` where nothing is refused.
    pub mode: &'static str,
    /// The tightest first.
    pub items: Vec<Item>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `key`, `category:files`.
    pub limit: String,
    /// As the configuration has it: `600/min`, `30000/d`, `64 at once`.
    pub allowed: String,
    /// The most at once, of a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    pub remaining: u64,
    /// Of a rate: after so many seconds without a request all of it is there again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_in_s: Option<u64>,
    /// Of a quota: after so many seconds its day is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_in_s: Option<u64>,
}

impl Overview {
    /// `own` is the limit of the key itself, where it has one. The order is that of the standings.
    pub fn of(plan: &Plan, own: Option<RateLimit>, standings: &[Standing]) -> Self {
        let mode = if plan.observes() { "observe" } else { "enforce" };
        let items = standings.iter().map(|standing| Item::of(plan, own, standing));
        Self { mode, items: items.collect() }
    }
}

impl Item {
    fn of(plan: &Plan, own: Option<RateLimit>, standing: &Standing) -> Self {
        let Standing { kind, quota, window: _, left, next: _, reset } = *standing;
        let is_rate = plan.rate(kind, own).is_some();
        let is_day = matches!(kind, LimitKind::DailyRequests | LimitKind::DailyBytes);
        Self {
            limit: plan.name(kind),
            allowed: plan.allowed(kind, own),
            burst: is_rate.then_some(quota),
            remaining: left,
            full_in_s: reset.filter(|_| is_rate),
            resets_in_s: reset.filter(|_| is_day),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::config::{Config, Sources};
    use crate::limits::bucket::Moment;
    use crate::limits::limiter::{Charge, Clock, Group, Limiter};
    use crate::limits::shared::{self, Shared};
    use crate::registry::view::Counted;
    use crate::store::Task;
    use crate::store::limits::{Answer, Question, Settlement, SharedLimits};

    struct OneFile(&'static str);

    impl Sources for OneFile {
        fn read(&self, path: &std::path::Path) -> std::io::Result<Vec<u8>> {
            let is_map = path.ends_with("routes.yaml");
            let map = "{ version: 1, routes: [{ path: /v1/x, category: files }] }";
            Ok(if is_map { map.into() } else { format!("{MAIN}{}", self.0).into_bytes() })
        }

        fn env(&self, _: &str) -> Option<String> {
            None
        }
    }

    const MAIN: &str = "listen: { gateway: 127.0.0.1:1, admin: 127.0.0.1:2 }\n\
        upstreams: { a: { url: 'http://127.0.0.1:3' } }\n\
        apis: { a: { mount: /v1, upstream: a, routes: routes.yaml } }\n";

    fn plan(limits: &'static str) -> Plan {
        let config = Config::load("postern.yaml".as_ref(), &OneFile(limits)).unwrap();
        Plan::of(&config, None)
    }

    #[test]
    fn every_limit_is_told_and_the_tightest_first() {
        let plan = plan(
            "limits:\n  key: { rate: 600/min, burst: 100 }\n  vendor: { rate: 5/10s }\n  \
             practice: { rate: 50/s }\n  category: { files: { rate: 60/min } }\n  \
             daily_quota: { requests: 30000, bytes: 3GiB }\n  max_concurrent_per_key: 64\n",
        );
        let limiter = Limiter::default();
        let who = Counted { key: 1, practice: 2, vendor: Some(3), own: None };
        let clock = Clock { day: 7, left: 3_599_500_000_000 };
        let cost = std::num::NonZeroU32::new(5).unwrap();
        let categories = plan.touched(&[]);
        let charge = Charge { plan: &plan, who, categories, cost, at: Moment(0), clock };
        assert!(limiter.take(&charge).outcome.is_ok());
        let look = Charge { categories: plan.all_categories(), ..charge };
        let told = Overview::of(&plan, None, &limiter.look(&look));
        assert_eq!(
            serde_json::to_value(&told).unwrap(),
            json!({ "mode": "enforce", "items": [
                { "limit": "vendor", "allowed": "5/10s", "burst": 5, "remaining": 0, "full_in_s": 10 },
                { "limit": "practice", "allowed": "50/s", "burst": 50, "remaining": 45, "full_in_s": 1 },
                { "limit": "key", "allowed": "600/min", "burst": 100, "remaining": 95, "full_in_s": 1 },
                { "limit": "daily_requests", "allowed": "30000/d", "remaining": 29999, "resets_in_s": 3600 },
                { "limit": "category:files", "allowed": "60/min", "burst": 60, "remaining": 60, "full_in_s": 0 },
                { "limit": "daily_bytes", "allowed": "3221225472 bytes/d", "remaining": 3_221_225_472_u64,
                  "resets_in_s": 3600 },
                { "limit": "concurrent", "allowed": "64 at once", "remaining": 63 },
            ] })
        );
        assert_eq!(limiter.look(&look), limiter.look(&look), "looking takes nothing");
    }

    #[test]
    fn the_own_limit_of_a_key_is_told_in_place_of_the_usual_one_and_no_limit_is_an_empty_list() {
        let observing = plan("limits: { mode: observe }\n");
        let own = RateLimit::new(7, Duration::from_secs(60), None).ok();
        let standing = Standing::of_rate(LimitKind::Key, &own.unwrap(), 0);
        let told = Overview::of(&observing, own, &[standing]);
        assert_eq!((told.mode, told.items[0].allowed.as_str()), ("observe", "7/min"));
        let none = Overview::of(&plan(""), None, &[]);
        assert_eq!(none, Overview { mode: "enforce", items: Vec::new() });
    }

    /// Answers whatever is looked for with one debt, and takes nothing.
    #[derive(Debug, Default)]
    struct Elsewhere(std::sync::Mutex<Vec<String>>);

    impl SharedLimits for Elsewhere {
        fn decide<'a>(&'a self, question: &'a Question) -> Task<'a, Answer> {
            assert!(question.only_look, "{question:?}");
            let names = question.rates.iter().map(|rate| rate.name.clone());
            self.0.lock().unwrap().extend(names);
            let debts = question.rates.iter().map(|_| 30_000_000_000).collect();
            Box::pin(async move { Ok(Answer { debts, ..Answer::default() }) })
        }

        fn settle<'a>(&'a self, _: &'a [Settlement]) -> Task<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn renew<'a>(&'a self, _: &'a [(String, String)], _: Duration) -> Task<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn greet(&self) -> Task<'_, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[derive(Debug)]
    struct Nobody;

    impl shared::Told for Nobody {
        fn shared(&self, _: bool) {}
        fn alone(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_group_has_left_is_asked_of_the_shared_store_and_of_this_node_without_it() {
        let plan = plan("limits: { vendor: { rate: 60/min }, store_down: deny }\n");
        let store = Arc::new(Elsewhere::default());
        let limiter = Arc::new(Limiter::default());
        let shared =
            Rc::new(Shared::new(Arc::clone(&store) as _, Arc::clone(&limiter), Box::new(Nobody)));
        let left = async |group| {
            let standing = shared.look_at(&plan, group, "acme").await;
            standing.map(|standing: Standing| standing.left)
        };
        assert_eq!(left(Group::Vendor(1)).await, Some(60), "nobody was asked yet");
        assert_eq!(limiter.look_at(&plan, Group::Vendor(1)).unwrap().left, 60);
        tokio::select! {
            () = Rc::clone(&shared).run() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        assert_eq!(left(Group::Vendor(1)).await, Some(30), "half of it is owed elsewhere");
        assert_eq!(left(Group::Practice(1)).await, None, "there is no such limit");
        assert_eq!(*store.0.lock().unwrap(), ["vendor:acme"]);
    }
}
