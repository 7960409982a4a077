//! A route map of any size, targets spread over it, and a caller who may read what they ask for.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use postern::model::{
    Access, ApiId, Caller, Catalogue, Method, MethodSet, Need, Place, Subscriber,
};
use postern::policy::{Condition, Effect, Pattern, Policy, RouteTable, Rule, Subject};

/// Four patterns a resource, so that each lookup has literals, types and a rest to choose between.
pub(crate) fn policy(routes: usize) -> Policy {
    let catalogue = Catalogue::default();
    let patterns = ["", "/{id:int}", "/{id}/notes", "/**"];
    let rules = (0..routes)
        .map(|n| rule(&catalogue, &format!("/v1/resource-{}{}", n / 4, patterns[n % 4])));
    let table = RouteTable::build(rules.collect()).unwrap();
    Policy { catalogue, table }
}

fn rule(catalogue: &Catalogue, pattern: &str) -> Rule {
    let need = |scope, access| Need { scope: catalogue.id(scope).unwrap(), access };
    let when = Condition {
        subject: Subject::Query("include".into()),
        contains: Some("notes".into()),
        requires: [need("clinical", Access::READ)].into(),
    };
    Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        place: Place { file: "routes.yaml".into(), line: 1, column: 1 },
        api: ApiId(0),
        methods: MethodSet::ALL,
        effect: Effect::Guarded {
            needs: Method::ALL.map(|method| [need("patient", method.usual_access())].into()),
            when: [when].into(),
        },
        websocket: false,
        max_body: None,
        cost: std::num::NonZeroU32::MIN,
        slash_optional: false,
    }
}

/// Targets spread over the whole map, so that neither caches nor branch predictors learn one of them.
pub(crate) fn targets(routes: usize) -> Vec<String> {
    let resources = routes / 4;
    (0..256)
        .map(|n| (n, n * 7919 % resources))
        .map(|(n, resource)| match n % 4 {
            0 => format!("/v1/resource-{resource}?page=2&include=notes"),
            1 => format!("/v1/resource-{resource}/{n}"),
            2 => format!("/v1/resource-{resource}/{n}/notes?include=tags"),
            _ => format!("/v1/resource-{resource}/{n}/letters/7"),
        })
        .collect()
}

pub(crate) fn headers() -> HeaderMap {
    ["host", "accept", "user-agent", "x-subscriber-key", "x-vendor-key", "accept-encoding"]
        .into_iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("some value")))
        .collect()
}

pub(crate) fn caller(policy: &Policy) -> Caller {
    let permissions = [("patient", Access::READ_WRITE), ("clinical", Access::READ)];
    let subscriber = Arc::new(Subscriber {
        limit: None,
        practice: "harbour".into(),
        key_id: "k1".into(),
        owner: "amy".into(),
        api: ApiId(0),
        grants: policy.catalogue.grants(permissions).unwrap(),
    });
    Caller::new(subscriber, Some("acme".into()))
}
