//! The way of a request through the policy, as far as a target, a method and a key decide it.
//!
//! The functions are those that serve requests. What only a real head can be refused for (its framing, its host, its
//! headers) is not looked at here; `postern explain` takes headers.

use std::num::NonZeroU32;

use http::HeaderMap;

use crate::auth::Presented;
use crate::config::Config;
use crate::config::route::GATEWAYS_OWN;
use crate::model::{Caller, Method, Need, Refusal};
use crate::policy::diff::{NamedNeed, named_needs};
use crate::policy::{Found, Target};

#[derive(Debug, Default)]
pub(super) struct Explanation {
    /// None for a request that passes.
    pub(super) code: Option<&'static str>,
    pub(super) rule: Option<RuleSeen>,
    pub(super) needs: Vec<NamedNeed>,
    pub(super) upstream: Option<String>,
}

#[derive(Debug)]
pub(super) struct RuleSeen {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) pattern: String,
    pub(super) cost: Option<NonZeroU32>,
}

impl Explanation {
    /// `caller` is None for a request without keys, and a refusal for a key that has none of its rights now.
    pub(super) fn of(
        config: &Config,
        method: &str,
        target: &str,
        caller: Option<Result<Caller, Refusal>>,
    ) -> Self {
        let mut seen = Self::default();
        let outcome = seen.walk(config, method, target, caller);
        seen.code = outcome.err().map(|refusal| refusal.code());
        seen
    }

    fn walk(
        &mut self,
        config: &Config,
        method: &str,
        target: &str,
        caller: Option<Result<Caller, Refusal>>,
    ) -> Result<(), Refusal> {
        let limit = config.proxy.max_target;
        if target.len() > limit {
            return Err(Refusal::TargetTooLong { limit });
        }
        if method == "OPTIONS" {
            return Err(Refusal::RouteDenied);
        }
        let known = Method::parse(method);
        let method = known.ok_or(Refusal::MalformedRequest("the method is none of those known"))?;
        let target = Target::parse(target)?;
        target.screen_query()?;
        let is_read = matches!(method, Method::Get | Method::Head);
        if is_read && target.path() == GATEWAYS_OWN {
            return Ok(());
        }
        let headers = HeaderMap::new();
        Presented::read(&config.credentials, &headers, &target)?;
        let judged = caller.as_ref().and_then(|caller| caller.as_ref().ok());
        let explained = config.policy.explain(method, &target, &headers, judged);
        self.see(config, explained.found, judged);
        let needs: Vec<Need> = explained.needs.iter().map(|(need, _)| *need).collect();
        self.needs = named_needs(&needs, &config.policy.catalogue);
        if !explained.found.is_public() {
            // A stranger, and a key that is over, learn nothing of the map: the gateway looks at keys first.
            caller.ok_or(Refusal::SubscriberKeyMissing)??;
        }
        explained.outcome.map(|_| ())
    }

    fn see(&mut self, config: &Config, found: Found<'_>, caller: Option<&Caller>) {
        let (Found::Rule(rule) | Found::NoMethod(rule)) = found else { return };
        self.rule = Some(RuleSeen {
            file: rule.place.file.to_string(),
            line: rule.place.line,
            pattern: rule.pattern.text.to_string(),
            cost: rule.own_cost(),
        });
        let of_region = caller.and_then(|caller| caller.upstream);
        let of_api = || config.apis.get(rule.api.0).map(|api| api.upstream);
        let upstream = of_region.or_else(of_api).and_then(|id| config.upstreams.get(id.0));
        self.upstream = upstream.map(|upstream| upstream.name.clone());
    }
}
