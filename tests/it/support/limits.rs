//! Limits as callers see them: keys with limits of their own, what a 429 says, and the `RateLimit` fields, read strictly.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::admin::Client;
use super::fixture::{ROUTES, operator, vendor_key};
use super::setup::Setup;
use super::wire::{Answer, Wire};
use super::{Gateway, eventually};

/// The fixture's routes, and some that cost more.
pub(crate) fn routes() -> String {
    let mut routes = ROUTES.to_owned();
    for cost in [2, 3, 5, 7, 1000] {
        routes +=
            &format!("  - path: /v1/cost/{cost}\n    category: appointment\n    cost: {cost}\n");
    }
    routes + "  - path: /v1/open/dear\n    public: true\n    cost: 3\n"
}

/// The path of those.
pub(crate) fn path_of(cost: u32) -> String {
    if cost == 1 { "/v1/appointments/1".to_owned() } else { format!("/v1/cost/{cost}") }
}

pub(crate) fn admin(gateway: &Gateway) -> Client {
    Client::bearer(gateway.admin, operator())
}

/// A key of the gateway's own making.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    secret: String,
}

impl Made {
    /// With limits of its own, or with none.
    pub(crate) fn by(gateway: &Gateway, limits: &Value) -> Self {
        let permissions = json!({ "appointment": "write", "patient": "write", "clinical": "write", "files": "write" });
        let mut wanted = json!({ "name": "made", "owner": "dr-lee", "api": "standard", "permissions": permissions });
        if !limits.is_null() {
            wanted["limits"] = limits.clone();
        }
        let made = admin(gateway).make("/practices/north/keys", &wanted);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { id: text("id"), secret: text("key") }
    }

    /// A GET with this key, from vendor `acme`.
    pub(crate) fn request(&self, target: &str) -> Vec<u8> {
        let (key, vendor) = (&self.secret, vendor_key("acme"));
        format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {key}\r\nX-Vendor-Key: {vendor}\r\n\r\n")
            .into_bytes()
    }
}

/// One request after the other, on a connection that stays.
pub(crate) fn ask(wire: &mut Wire, bytes: &[u8]) -> Answer {
    assert!(wire.send(bytes));
    wire.answer()
}

/// The running gateway has taken the new configuration, of which only the main file may be new.
pub(crate) fn reload(gateway: &Gateway, setup: &Setup) {
    let generation =
        || gateway.admin_get("/readyz").json()["config"]["generation"].as_u64().unwrap();
    let before = generation();
    gateway.rewrite(setup);
    gateway.signal("HUP");
    eventually("the new configuration", || generation() > before);
    assert_ne!(gateway.config_status(), "rejected");
}

/// What is said of one limit in a field: parameters by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) limit: String,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Told {
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.parameters
            .get(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

/// `RateLimit-Policy` and `RateLimit`, which stand in every answer together or not at all.
#[track_caller]
pub(crate) fn told(answer: &Answer) -> Option<(Vec<Told>, Vec<Told>)> {
    let policy = answer.head.one("ratelimit-policy");
    let limit = answer.head.one("ratelimit");
    assert_eq!(policy.is_some(), limit.is_some(), "{}", answer.head.text());
    let (policy, limit) = (list(policy?), list(limit?));
    let names = |items: &[Told]| items.iter().map(|item| item.limit.clone()).collect::<Vec<_>>();
    assert_eq!(names(&policy), names(&limit));
    for (policy, limit) in policy.iter().zip(&limit) {
        assert!(limit.number("r") <= policy.number("q"), "{policy:?} {limit:?}");
        // There is more at some time where time brings something back, and there is not all of it.
        let comes_back = policy.parameters.contains_key("w");
        let is_all = limit.number("r") == policy.number("q");
        assert!(comes_back || !limit.parameters.contains_key("t"), "{limit:?}");
        assert!(!comes_back || is_all || limit.parameters.contains_key("t"), "{limit:?}");
    }
    let share = |at: usize| (u128::from(limit[at].number("r")), u128::from(policy[at].number("q")));
    for next in 1..limit.len() {
        if limit[next].limit == "concurrent" {
            assert_eq!(next + 1, limit.len(), "it comes last: {limit:?}");
            continue;
        }
        let ((left, all), (next_left, next_all)) = (share(next - 1), share(next));
        assert!(
            left * next_all <= next_left * all,
            "not the tightest first: {limit:?} of {policy:?}"
        );
    }
    Some((policy, limit))
}

/// What is left of one limit.
#[track_caller]
pub(crate) fn left(answer: &Answer, limit: &str) -> u64 {
    let (_, limits) = told(answer).unwrap_or_else(|| panic!("no limits: {}", answer.head.text()));
    limits
        .iter()
        .find(|told| told.limit == limit)
        .unwrap_or_else(|| panic!("no {limit}: {limits:?}"))
        .number("r")
}

/// A list of strings with integers and strings as parameters: as much of RFC 9651, section 4.2, as the draft uses.
#[track_caller]
fn list(field: &str) -> Vec<Told> {
    let mut rest = field;
    let mut items = Vec::new();
    loop {
        let limit = string(&mut rest);
        let mut parameters = BTreeMap::new();
        while let Some(after) = rest.strip_prefix(';') {
            let after = after.trim_start_matches(' ');
            let length = after.bytes().take_while(|byte| byte.is_ascii_lowercase()).count();
            let (name, value) = (&after[..length], after[length..].strip_prefix('='));
            assert!(length > 0, "no name of a parameter: {field}");
            rest = value.unwrap_or_else(|| panic!("{name} has no value: {field}"));
            let value = if rest.starts_with('"') { string(&mut rest) } else { integer(&mut rest) };
            assert!(parameters.insert(name.to_owned(), value).is_none(), "{name} twice: {field}");
        }
        items.push(Told { limit, parameters });
        if rest.is_empty() {
            return items;
        }
        let after = rest.trim_start_matches([' ', '\t']).strip_prefix(',');
        rest = after.unwrap_or_else(|| panic!("no comma before {rest:?}: {field}"));
        rest = rest.trim_start_matches([' ', '\t']);
    }
}

#[track_caller]
fn string(rest: &mut &str) -> String {
    let inner = rest.strip_prefix('"').unwrap_or_else(|| panic!("no string: {rest}"));
    let end = inner.find('"').unwrap_or_else(|| panic!("no end of a string: {rest}"));
    let text = &inner[..end];
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\'), "{text:?}");
    *rest = &inner[end + 1..];
    text.to_owned()
}

#[track_caller]
fn integer(rest: &mut &str) -> String {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    assert!((1..=15).contains(&length), "no integer: {rest}");
    let (digits, after) = rest.split_at(length);
    *rest = after;
    digits.to_owned()
}

/// A 429 that says which limit refused, and when it will not; headers and body agree.
#[track_caller]
pub(crate) fn over(answer: &Answer, code: &str, limit: &str) -> Value {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, code),
        "{}{}",
        answer.head.text(),
        answer.text()
    );
    assert_eq!(answer.head.one("content-type"), Some("application/problem+json"));
    assert_eq!(answer.head.one("cache-control"), Some("no-store"));
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:postern:error:{code}"));
    assert_eq!((&problem["limit"], &problem["status"]), (&json!(limit), &json!(429)), "{problem}");
    assert_eq!(problem["violated-policies"], json!([limit]));
    assert_eq!(problem["request_id"].as_str(), answer.head.one("x-request-id"));
    let header = answer.head.one("retry-after").map(|text| text.parse::<u64>().unwrap());
    assert_eq!(problem["retry_after"].as_u64(), header, "{problem}");
    let millis = problem["retry_after_ms"].as_u64();
    assert_eq!(millis.map(|millis| millis.div_ceil(1000).max(1)), header, "{problem}");
    // Nobody knows when a request that runs will end.
    assert_eq!(header.is_none(), code == "too_many_concurrent", "{problem}");
    if let Some((policies, _)) = told(answer) {
        assert!(policies.iter().any(|told| told.limit == limit), "{policies:?}");
    }
    problem
}
