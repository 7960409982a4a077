//! What a decision costs: reading a target, finding its rule among few and many, and the whole of it.
//!
//! `cargo bench --bench policy`. Everything but the number of routes is the same from column to column, so a lookup that
//! grew with the map would show. Samples are long, so that the caches hold what they hold in a busy gateway.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on shall stop")]

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use postern::model::{
    Access, ApiId, Caller, Catalogue, Method, MethodSet, Need, Place, Subscriber,
};
use postern::policy::{Condition, Effect, Pattern, Policy, RouteTable, Rule, Subject, Target};

/// Shows allocations beside the times: an allowed request to a canonical target makes none.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const ROUTES: [usize; 3] = [10, 1_000, 10_000];

const TARGETS: [&str; 4] = [
    "/v1/appointments",
    "/v1/patients/123456/appointments/history",
    "/v1/patients/caf%C3%A9%20noir/notes?page=2",
    "/v1/patients/caf%c3%a9%20noir/notes?page=2",
];

#[divan::bench(args = TARGETS)]
fn parse(raw: &str) -> usize {
    black_box(Target::parse(black_box(raw)).map_or(0, |target| target.path().len()))
}

#[divan::bench(args = ROUTES, sample_size = 2_000)]
fn find(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = policy(routes);
    let raw = targets(routes);
    let targets: Vec<_> = raw.iter().map(|raw| Target::parse(raw).unwrap()).collect();
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 1) % targets.len());
        policy.table.find(black_box(&targets[turn.get()])).len()
    });
}

#[divan::bench(args = ROUTES, sample_size = 2_000)]
fn decide(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = policy(routes);
    let caller = caller(&policy);
    let headers = headers();
    let targets = targets(routes);
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 1) % targets.len());
        let target = Target::parse(black_box(&targets[turn.get()])).unwrap();
        target.screen_query().unwrap();
        let found = policy.find(&target, Method::Get);
        let admission = policy.judge(found, Method::Get, &target, &headers, Some(&caller));
        admission.unwrap().needs.len()
    });
}

/// Four patterns a resource, so that each lookup has literals, types and a rest to choose between.
fn policy(routes: usize) -> Policy {
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
fn targets(routes: usize) -> Vec<String> {
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

fn headers() -> HeaderMap {
    ["host", "accept", "user-agent", "x-subscriber-key", "x-vendor-key", "accept-encoding"]
        .into_iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("some value")))
        .collect()
}

fn caller(policy: &Policy) -> Caller {
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
