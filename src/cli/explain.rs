//! `postern explain`: which rule decides a request, what it needs, and what a key would get.
//!
//! The request goes the way it would go in the gateway, through the same functions: target, head, credentials in the
//! wrong place, rule, caller, judgement.

use std::num::NonZeroU32;

use clap::Args;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use serde_json::{Value, json};

use crate::auth::Presented;
use crate::cli::callers::Callers;
use crate::cli::output::Answer;
use crate::cli::{ConfigArg, Format, load};
use crate::config::listing::needs_json;
use crate::config::{Config, Proxy};
use crate::model::{Caller, Method, Need, Refusal, Subscriber};
use crate::policy::diff::{NamedNeed, label, named_needs};
use crate::policy::explain::{Lost, Other};
use crate::policy::{self, Effect, Found, Rule, Target};
use crate::proxy::forward::order::forwarded_target;
use crate::proxy::head::{Head, Verb};
use crate::proxy::{cors, well_known};
use crate::telemetry::paint::Paint;

/// Explain which rule decides a request, what it needs and what a key would get
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern explain --config postern.yaml GET /v1/patients/7
  postern explain --config postern.yaml POST /v1/invoices --key 4fJ2aB9xQ7Lm --json
  postern explain --config postern.yaml GET /v1/notes --header 'X-Fields: all'")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The method, in capitals
    method: String,
    /// The path, with its query if there is one, as a caller would send it
    #[arg(value_parser = target_text)]
    target: String,
    /// The id of a key; without it, a caller without keys is judged
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// A header of the request; may be given again
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    pub(super) format: Format,
}

fn target_text(text: &str) -> Result<String, String> {
    if text.contains("://") && !text.starts_with('/') {
        return Err("give the path alone, without scheme and host".into());
    }
    Ok(text.to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("must be of the form 'Name: value'")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is no header name"))?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is no header value"))?;
    Ok((name, value))
}

pub(super) fn explain(args: &ExplainArgs, paint: Paint) -> anyhow::Result<Answer> {
    let config = load(&args.config.config)?;
    let caller = args.key.as_deref().map(|id| Callers::of(&config)?.by_id(id)).transpose()?;
    let explanation = Explanation::of(&config, args, caller.as_ref());
    Ok(Answer::done(explanation.text(paint), explanation.json()))
}

/// Whose key was asked about, or why the key makes nobody a caller now.
type Asked = Result<Caller, Refusal>;

/// The decision, and each step that led to it.
#[derive(Debug, Default)]
struct Explanation {
    /// None for a request that passes.
    code: Option<&'static str>,
    rule: Option<RuleSeen>,
    needs: Vec<NamedNeed>,
    upstream: Option<String>,
    key: Option<String>,
    /// A label and what was found.
    steps: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct RuleSeen {
    file: String,
    line: usize,
    pattern: String,
    /// Where it is not what every request costs.
    cost: Option<NonZeroU32>,
}

impl Explanation {
    fn of(config: &Config, args: &ExplainArgs, asked: Option<&Asked>) -> Self {
        let mut seen = Self { key: args.key.clone(), ..Self::default() };
        let outcome = seen.walk(config, args, asked);
        seen.code = outcome.err().map(|refusal| {
            seen.step("refused", seen.reason(&refusal));
            refusal.code()
        });
        seen
    }

    /// The way of a request, each step told as it is taken.
    fn walk(
        &mut self,
        config: &Config,
        args: &ExplainArgs,
        asked: Option<&Asked>,
    ) -> Result<(), Refusal> {
        let Proxy { max_target, max_headers, .. } = config.proxy;
        let parts = request_head(args, max_target)?;
        let head = Head::screen(&parts, false, max_target, max_headers)
            .inspect_err(|_| self.see_method(&args.method))?;
        let target = Target::parse(head.target)?;
        self.step("target", format!("{} has one reading only", target.as_str()));
        target.screen_query()?;
        let Verb::Forward(method) = head.verb else {
            return self.see_options(config, &parts.headers);
        };
        if well_known::answers(method, &target) {
            self.step("answer", "the gateway's own, for everybody".into());
            return Ok(());
        }
        Presented::read(&config.credentials, &parts.headers, &target)?;
        let caller = asked.and_then(|asked| asked.as_ref().ok());
        let explained = config.policy.explain(method, &target, &parts.headers, caller);
        self.see_rule(explained.found, method);
        self.see_cost();
        self.see_api(config, explained.found, &target, &parts.uri);
        self.see_others(&explained);
        self.see_needs(config, &explained);
        if let Some(Err(refusal)) = asked
            && !explained.found.is_public()
        {
            // As for a stranger: told before the route is looked at.
            self.step("caller", "the key is genuine, and refused whatever it asks for".into());
            return Err(refusal.clone());
        } else if let Some(caller) = caller {
            let Subscriber { key_id, practice, owner, .. } = &*caller.subscriber;
            let vendor = caller.vendor.as_ref();
            let by = vendor.map_or(String::new(), |vendor| format!(", used by vendor {vendor}"));
            self.step("caller", format!("key {key_id} of {owner} in practice {practice}{by}"));
            if let Some(objection) = &caller.objection {
                self.step("standing", self.reason(objection));
            }
        } else if !explained.found.is_public() {
            self.step("caller", "none; --key ID shows what a key would get".into());
            if let Err(refusal) = &explained.outcome
                && *refusal != Refusal::SubscriberKeyMissing
            {
                self.step("any key", format!("{}: {}", refusal.code(), self.reason(refusal)));
            }
            // A stranger learns nothing, mapped or not.
            return Err(Refusal::SubscriberKeyMissing);
        }
        let admission = explained.outcome?;
        if head.websocket && !admission.rule.websocket {
            return Err(Refusal::UpgradeNotAllowed);
        }
        Ok(())
    }

    fn see_method(&mut self, method: &str) {
        let meant = Method::parse(&method.to_ascii_uppercase());
        if let Some(meant) = meant.filter(|meant| meant.name() != method) {
            let text =
                format!("{method} is none: methods are case-sensitive; did you mean {meant}?");
            self.step("method", text);
        }
    }

    fn see_options(&mut self, config: &Config, headers: &HeaderMap) -> Result<(), Refusal> {
        self.step("answer", "OPTIONS is answered by the gateway itself and never forwarded".into());
        if cors::is_allowed_preflight(&config.proxy.cors_origins, headers) {
            return Ok(());
        }
        self.step("cors", "it is no preflight of an origin in `proxy.cors.origins`".into());
        Err(Refusal::RouteDenied)
    }

    fn see_rule(&mut self, found: Found<'_>, method: Method) {
        let (rule, remark) = match found {
            Found::Rule(rule) => (rule, effect(rule).to_owned()),
            Found::NoMethod(rule) => (rule, format!("takes {} alone", methods(rule))),
            Found::Ambiguous => return,
            Found::Nothing => {
                return self.step("rule", format!("none speaks of {method} on this path"));
            }
        };
        let place = &rule.place;
        let text = format!("{}:{}  {}  ({remark})", place.file, place.line, rule.pattern.text);
        self.step("rule", text);
        self.rule = Some(RuleSeen {
            file: place.file.to_string(),
            line: place.line,
            pattern: rule.pattern.text.to_string(),
            cost: rule.own_cost(),
        });
    }

    fn see_cost(&mut self) {
        if let Some(cost) = self.rule.as_ref().and_then(|rule| rule.cost) {
            self.step("cost", format!("{cost} requests' worth, of every limit of a rate"));
        }
    }

    fn see_api(&mut self, config: &Config, found: Found<'_>, target: &Target<'_>, raw: &Uri) {
        let (Found::Rule(rule) | Found::NoMethod(rule)) = found else { return };
        let api = config.apis.get(rule.api.0);
        let upstream = api.and_then(|api| config.upstreams.get(api.upstream.0));
        let (Some(api), Some(upstream)) = (api, upstream) else { return };
        let mut text = format!("{}, served by upstream {}", api.name, upstream.name);
        if api.strip_mount
            && let Ok(sent) = forwarded_target(target.as_str(), raw, Some(&api.mount))
        {
            text += &format!(", which is asked for {sent}");
        }
        self.step("api", text);
        self.upstream = Some(upstream.name.clone());
    }

    fn see_others(&mut self, explained: &policy::Explanation<'_>) {
        for Other { rule, lost } in &explained.others {
            if matches!(explained.found, Found::NoMethod(shown) if std::ptr::eq(shown, *rule)) {
                continue;
            }
            let why = match lost {
                Lost::LessSpecific { segment } => format!("less specific at segment {segment}"),
                Lost::OtherMethods => format!("takes {} alone", methods(rule)),
                Lost::Ambiguous => "matches the path or another spelling of it".to_owned(),
            };
            let Rule { pattern, place, .. } = rule;
            self.step("not", format!("{}:{}  {pattern}  ({why})", place.file, place.line));
        }
    }

    fn see_needs(&mut self, config: &Config, explained: &policy::Explanation<'_>) {
        for (condition, holds) in &explained.conditions {
            let holds = if *holds { "holds" } else { "does not hold" };
            self.step("when", format!("{} {holds}", label(condition).trim()));
        }
        let catalogue = &config.policy.catalogue;
        let needs: Vec<Need> = explained.needs.iter().map(|(need, _)| *need).collect();
        self.needs = named_needs(&needs, catalogue);
        for (need, granted) in &explained.needs {
            let (name, access) = (catalogue.name(need.scope), need.access.need());
            let has =
                granted.map_or(String::new(), |granted| format!(", and the key has {granted}"));
            self.step("needs", format!("{name}:{access}{has}"));
        }
    }

    /// A refusal in a sentence, in the light of what was seen.
    fn reason(&self, refusal: &Refusal) -> String {
        match refusal {
            Refusal::RouteDenied if self.rule.is_none() => "nothing else is answered".into(),
            Refusal::RouteUnmapped if self.rule.is_some() => {
                "the rule does not take this method".into()
            }
            other => reason(other),
        }
    }

    fn step(&mut self, label: &'static str, text: String) {
        self.steps.push((label, text));
    }

    fn decision(&self) -> &'static str {
        if self.code.is_none() { "allow" } else { "deny" }
    }

    fn text(&self, paint: Paint) -> String {
        let verdict = match self.code {
            None => paint.green("allow"),
            Some(code) => format!("{}  {code}", paint.red("deny")),
        };
        let steps = self.steps.iter().map(|(label, text)| format!("  {label:<8} {text}"));
        std::iter::once(verdict).chain(steps).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Value {
        let rule = self
            .rule
            .as_ref()
            .map(|rule| json!({ "file": rule.file, "line": rule.line, "pattern": rule.pattern }));
        let mut explained = json!({
            "decision": self.decision(),
            "code": self.code.unwrap_or_default(),
            "rule": rule,
            "needs": needs_json(&self.needs),
            "upstream": self.upstream,
            "key": self.key,
        });
        if let Some(cost) = self.rule.as_ref().and_then(|rule| rule.cost) {
            explained["cost"] = cost.get().into();
        }
        explained
    }
}

fn effect(rule: &Rule) -> &'static str {
    match rule.effect {
        Effect::Public => "public: no keys asked",
        Effect::Deny => "refuses everybody",
        Effect::Guarded { .. } => "the most specific that matches",
    }
}

fn methods(rule: &Rule) -> String {
    rule.methods.iter().map(Method::name).collect::<Vec<_>>().join(" ")
}

/// The head of the request as the gateway would read it; what it would find on the wire is found here.
fn request_head(args: &ExplainArgs, max_target: usize) -> Result<Parts, Refusal> {
    if args.target.len() > max_target {
        return Err(Refusal::TargetTooLong { limit: max_target });
    }
    let request = Request::builder().method(args.method.as_str()).uri(args.target.as_str());
    let request = request.body(()).ok().filter(|_| !args.target.contains('#'));
    let Some(request) = request else {
        Target::parse(&args.target)?;
        return Err(Refusal::MalformedRequest("the method or the target is none of HTTP's"));
    };
    let (mut parts, ()) = request.into_parts();
    parts.headers.extend(args.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    parts.headers.entry(HOST).or_insert(HeaderValue::from_static("gateway"));
    Ok(parts)
}

/// A refusal in a sentence.
fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::AmbiguousPath(why) | Refusal::MalformedRequest(why) => (*why).to_owned(),
        Refusal::PermissionDenied(lack) => format!(
            "{} is needed on {}, and the key has {}",
            lack.needed.need(),
            lack.category,
            lack.granted.permission()
        ),
        Refusal::RouteUnmapped => "what no rule speaks of is refused".into(),
        Refusal::RouteDenied => "the rule refuses everybody".into(),
        Refusal::WrongApi => "the key is for another API".into(),
        Refusal::KeyRevoked => "the key was revoked, for good".into(),
        Refusal::KeyExpired => {
            "the key is over: expired, unused for too long, or rotated out".into()
        }
        Refusal::KeyDisabled => "the key is disabled".into(),
        Refusal::VendorNotApproved => {
            "its vendor is not approved: pending, suspended, or the agreement has ended".into()
        }
        Refusal::ApiAccessDisabled => "the API switch of its practice is off".into(),
        Refusal::IpNotAllowed => "the key may not be used from this address".into(),
        Refusal::SubscriberKeyMissing => "without a key, whatever is not public answers 401".into(),
        Refusal::CredentialsInQuery => "a credential may not stand in a query".into(),
        Refusal::DuplicateCredentials => "a credential is there twice".into(),
        Refusal::MethodOverride => "the request names another method than its own".into(),
        Refusal::UpgradeNotAllowed => "the rule does not say `websocket: true`".into(),
        Refusal::ExpectationFailed => "`100-continue` is the only expectation that is met".into(),
        Refusal::HeadersTooLarge => "the head of the request is too large".into(),
        Refusal::TargetTooLong { limit } => format!("the target is longer than {limit} bytes"),
        other => other.code().replace('_', " "),
    }
}
