//! What is known so far of one request, for its record: filled in as the request is decided about, read once.
//!
//! A refusal can come at any step, so every step leaves here what it found. Nothing secret gets out of here: queries are
//! left out unless the configuration wants them, and keys are cut out of whatever is kept (`discretion`).

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::IpAddr;

use http::request::Parts;

use crate::config::Config;
use crate::limits::Standings;
use crate::model::{Access, Caller, Method, Need, Opening, RequestId, Timestamp};
use crate::policy::Target;
use crate::policy::pattern::Segment;
use crate::policy::rule::{Effect, Rule};
use crate::proxy::discretion::{self, Issued};
use crate::proxy::session::Session;
use crate::registry::view::Identity;

/// Who is calling, and by which keys.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) caller: Caller,
    /// None where an OAuth2 client was told by its id.
    pub(crate) identity: Option<Identity>,
}

/// Filled by the steps of a decision.
#[derive(Debug, Default)]
pub(crate) struct Facts<'r> {
    pub(crate) client: Cell<Option<IpAddr>>,
    pub(crate) method: Cell<Option<Method>>,
    pub(crate) target: OnceCell<Target<'r>>,
    pub(crate) known: OnceCell<Known>,
    /// The rule that speaks of it.
    pub(crate) rule: Cell<Option<&'r Rule>>,
    /// No credentials stand in the query.
    pub(crate) is_screened: Cell<bool>,
    /// A path of the gateway's own.
    pub(crate) own: Cell<Option<&'static str>>,
    /// What was wrong with an answer that is no refusal: the error of an OAuth2 client.
    pub(crate) fault: Cell<&'static str>,
    /// What is left of its limits, where it has any and may know.
    pub(crate) standings: OnceCell<Box<Standings>>,
    /// Why it would have been refused if limits were enforced.
    pub(crate) observed: Cell<&'static str>,
}

/// What the facts are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'r> {
    pub(crate) id: RequestId,
    pub(crate) ts: Timestamp,
    pub(crate) parts: &'r Parts,
    pub(crate) config: &'r Config,
    pub(crate) session: &'r Session,
}

impl<'r> Facts<'r> {
    /// The secrets are genuine, and worth nothing now.
    pub(crate) fn held_by(&self, holder: Option<Caller>) {
        let known = holder.map(|caller| Known { caller, identity: None });
        // Each decision begins with facts of its own.
        let _first = known.map(|known| self.known.set(known));
    }

    /// Whether a valid key was presented.
    pub(crate) fn is_of_a_stranger(&self) -> bool {
        self.known.get().is_none()
    }

    pub(crate) fn ip(&self, subject: &Subject<'_>) -> IpAddr {
        self.client.get().unwrap_or(subject.session.peer).to_canonical()
    }

    /// The first half of the record. `needs` are the needs that were judged; without them, those of the rule.
    pub(crate) fn opening<'a>(
        &'a self,
        subject: &Subject<'a>,
        needs: Wanted<'a>,
        issued: &Issued<'_>,
    ) -> Opening<'a> {
        let config = subject.config;
        let caller = self.known.get().map(|known| &known.caller);
        let text = |of: fn(&'a Caller) -> &'a str| Cow::Borrowed(caller.map_or("", of));
        let rule = self.rule.get();
        let api = rule.and_then(|rule| config.apis.get(rule.api.0));
        let route = rule.map_or(self.own.get().unwrap_or_default(), |rule| &*rule.pattern.text);
        let (category, access) = self.wanted(config, needs);
        Opening {
            ts: subject.ts,
            request_id: subject.id,
            practice: text(|caller| &caller.practice),
            key: text(|caller| &caller.key_id),
            vendor: text(|caller| caller.vendor.as_deref().unwrap_or_default()),
            owner: text(|caller| &caller.owner),
            api: Cow::Borrowed(api.map_or("", |api| api.name.as_str())),
            method: Cow::Borrowed(method(self.method.get(), subject.parts)),
            route: Cow::Borrowed(route),
            path: self.path(config, route, issued),
            category,
            access: Cow::Borrowed(access),
            ip: self.ip(subject),
            user_agent: subject.session.user_agent(subject.parts, issued),
        }
    }

    fn path<'a>(&'a self, config: &Config, route: &'a str, issued: &Issued<'_>) -> Cow<'a, str> {
        if !config.log.full_path {
            return Cow::Borrowed(route);
        }
        let Some(target) = self.target.get() else { return Cow::Borrowed("") };
        // Where it was not screened it may hold a key that only its name gives away.
        let with_query = config.log.query && self.is_screened.get();
        let whole = if with_query { target.as_str() } else { target.path() };
        // What the rule itself says is no key, and is most of a path.
        let segments = self.rule.get().map(|rule| &*rule.pattern.segments).unwrap_or_default();
        let is_literal = |piece: &[u8]| {
            let says = |segment: &Segment| matches!(segment, Segment::Literal(text) if text.as_bytes() == piece);
            segments.iter().any(says)
        };
        let is_key = |piece: &[u8]| !is_literal(piece) && issued.0(piece);
        discretion::without_keys(whole, &Issued(&is_key))
    }

    fn wanted<'a>(&self, config: &'a Config, wanted: Wanted<'a>) -> (Cow<'a, str>, &'static str) {
        let of_rule = match (self.rule.get().map(|rule| &rule.effect), self.method.get()) {
            (Some(Effect::Guarded { needs, .. }), Some(method)) => needs.get(method.index()),
            _ => None,
        };
        let needs = match wanted {
            Wanted::Lacking(category, access) => return (Cow::Borrowed(category), words(access)),
            Wanted::Judged(needs) => needs,
            Wanted::Unjudged => of_rule.map(AsRef::as_ref).unwrap_or_default(),
        };
        let name = |need: &Need| config.policy.catalogue.name(need.scope);
        match needs {
            [] => (Cow::Borrowed(""), ""),
            [only] => (Cow::Borrowed(name(only)), words(only.access)),
            [first, rest @ ..] => {
                let all =
                    rest.iter().fold(first.access, |all: Access, need| all.union(need.access));
                let names: Vec<&str> = needs.iter().map(name).collect();
                (Cow::Owned(names.join(" ")), words(all))
            }
        }
    }
}

/// What a request wanted, as far as it was judged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    Judged(&'a [Need]),
    /// The first need that was not met.
    Lacking(&'a str, Access),
    Unjudged,
}

/// As in the record: one word for each bit.
fn words(access: Access) -> &'static str {
    match (access.covers(Access::READ), access.covers(Access::WRITE_ONLY)) {
        (true, true) => "read write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "",
    }
}

/// A method that nobody knows could be anything, a key too.
fn method(known: Option<Method>, parts: &Parts) -> &'static str {
    let asked = known.or_else(|| Method::parse(parts.method.as_str()));
    asked.map_or_else(
        || if parts.method == http::Method::OPTIONS { "OPTIONS" } else { "OTHER" },
        Method::name,
    )
}
