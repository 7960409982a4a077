//! One `- path:` entry of a route map: what it means, and the rules it must keep.

use std::num::NonZeroU32;

use crate::config::Credentials;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::route::condition::WHEN;
use crate::config::shape::{Field, Format, Record, Shape, nearest};
use crate::config::value::{self, Wrong};
use crate::config::yaml::{Key, Kind, Meaning, Node};
use crate::model::{Access, ApiId, Catalogue, Method, MethodSet, Need, ScopeId};
use crate::policy::pattern::Pattern;
use crate::policy::{Effect, Rule};

pub(super) mod condition;

/// What the gateway says of itself; no request for it comes to a route.
pub(crate) const GATEWAYS_OWN: &str = "/.well-known/postern";

const NO_FHIR: &str = "leave it out: FHIR bases are not part of this version";

pub(super) static ROUTE: Record = Record {
    name: "a route",
    fields: &[
        Field::new(
            "path",
            Shape::Format(&PATH),
            "A pattern: literal segments, {name}, {name:int}, {name:uuid}, and ** for any rest.",
        )
        .required("path: /v1/patients/**"),
        Field::new(
            "category",
            Shape::Format(&format::SCOPE),
            "The category or scope that is needed: read for GET and HEAD, write for other methods.",
        ),
        Field::new("methods", METHODS, "As a list, only these; as a map, what these need."),
        Field::new(
            "requires",
            REQUIRES,
            "What every method needs, all of it; such a route takes GET and HEAD alone unless `methods` names others.",
        )
        .sample("requires: { patient: read }"),
        Field::new(
            "when",
            Shape::List { of: &Shape::Record(&WHEN), may_be_empty: false },
            "More is needed if the query or a header asks for more.",
        ),
        Field::new("public", Shape::Truth, "No keys are asked.").default("false"),
        Field::new("deny", Shape::Truth, "Always refused.").default("false"),
        Field::new("websocket", Shape::Truth, "Whether an upgrade is passed on.").default("false"),
        Field::new(
            "max_body",
            Shape::Size { least: "1B", most: "1TiB" },
            "The largest request body, instead of `proxy.max_body`.",
        ),
        Field::new(
            "cost",
            Shape::Count { least: 1, most: 1_000_000 },
            "What a request takes from the limits of rates.",
        )
        .default("1"),
        Field::new("fhir", Shape::Format(&PATH), "A FHIR R4 base.").later(NO_FHIR),
        Field::new(
            "resources",
            Shape::FilledMap(&format::NAME, &Shape::Format(&format::SCOPE)),
            "Categories of FHIR resource types.",
        )
        .later(NO_FHIR),
    ],
};

const REQUIRES: Shape = Shape::FilledMap(&format::SCOPE, &NEED);
const NEED: Shape = Shape::Choice { ready: &["read", "write"], later: &[] };
const METHODS: Shape = Shape::ByKind {
    scalar: None,
    list: Some(&Shape::List { of: &Shape::Format(&METHOD), may_be_empty: false }),
    mapping: Some(&Shape::FilledMap(&METHOD, &NEED)),
};

static PATH: Format = Format {
    expected: "a path such as /v1/patients/{id}",
    check: |text| {
        if text.starts_with('/') {
            Ok(())
        } else {
            Err(Wrong::default().hint(format!("did you mean /{text}?")))
        }
    },
    pattern: Some(r"^(/([^/*{}?#]+|\{[A-Za-z0-9_-]+(:(int|uuid))?\}))*(/|/\*\*)?$"),
};

static METHOD: Format = Format {
    expected: "a method",
    check: |text| method(text).map(drop),
    pattern: Some("^(GET|HEAD|POST|PUT|PATCH|DELETE)$"),
};

fn method(text: &str) -> Result<Method, Wrong> {
    if let Some(method) = Method::parse(text) {
        return Ok(method);
    }
    if text.eq_ignore_ascii_case("OPTIONS") {
        return Err(Wrong::because("OPTIONS is answered by the gateway itself")
            .hint("leave it out; see `proxy.cors`"));
    }
    let names = Method::ALL.map(Method::name);
    let hint = nearest(text, names).unwrap_or_else(|| format!("take one of {}", names.join(", ")));
    Err(Wrong::default().hint(hint))
}

/// What a route is read against.
pub(super) struct Context<'c> {
    pub api: ApiId,
    pub mount: &'c str,
    pub slash_optional: bool,
    pub catalogue: &'c Catalogue,
    pub credentials: &'c Credentials,
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, context: &Context<'_>) -> Option<Rule> {
    let view = View::of(Some(node), &ROUTE);
    // Refused as a whole; what else it lacks follows from that.
    let is_fhir = ["fhir", "resources"].iter().any(|field| node.entry(field).is_some());
    if is_fhir || !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let pattern = pattern(reader, view, context);
    let methods = Methods::read(reader, view);
    let effect = effect(reader, node, view, &methods, context);
    let takes = methods.taken(view);
    let websocket = view.flag("websocket");
    if websocket && !takes.contains(Method::Get) {
        note(
            reader,
            view,
            "websocket",
            "an upgrade is a GET, which this route does not take",
            "add GET to `methods`",
        );
    }
    if view.flag("deny") {
        let one = "leave one of the two out";
        if websocket {
            note(reader, view, "websocket", "a denied route upgrades nothing", one);
        }
        note(reader, view, "max_body", "a denied route takes no body", one);
        note(reader, view, "cost", "a denied route takes nothing from the limits", one);
    }
    if let Some(Effect::Guarded { needs, when }) = &effect {
        refuse_idle_requires(reader, view, &methods, takes, context);
        condition::refuse_idle(reader, view, needs, when, takes);
    }
    Some(Rule {
        pattern: pattern?,
        place: node.place.clone(),
        api: context.api,
        methods: takes,
        effect: effect?,
        websocket,
        max_body: view
            .get("max_body")
            .and_then(Node::scalar)
            .and_then(|scalar| value::size(&scalar.text).ok()),
        slash_optional: context.slash_optional,
        cost: NonZeroU32::new(view.count("cost")).unwrap_or(NonZeroU32::MIN),
    })
}

fn note(
    reader: &mut Reader<'_>,
    view: View<'_>,
    field: &str,
    message: impl Into<String>,
    hint: &str,
) {
    if let Some(node) = view.get(field) {
        reader.fault(Fault::new(node.place.clone(), message).hint(hint));
    }
}

fn pattern(reader: &mut Reader<'_>, view: View<'_>, context: &Context<'_>) -> Option<Pattern> {
    let (node, text) =
        view.get("path").and_then(|node| Some((node, node.scalar()?.text.as_str())))?;
    if !text.starts_with('/') {
        return None;
    }
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(sentence) => {
            reader.fault(Fault::new(node.place.clone(), sentence));
            return None;
        }
    };
    if text.starts_with(GATEWAYS_OWN) {
        let message = format!("`{text}` is never reached: the gateway itself answers there");
        reader.fault(Fault::new(node.place.clone(), message).hint("remove this route"));
    }
    let credentials = context.credentials;
    let is_tokens = text == credentials.token_path || text == credentials.revocation_path();
    if credentials.schemes.oauth2 && is_tokens {
        let message = format!("`{text}` is never reached: tokens are issued and given back there");
        reader.fault(
            Fault::new(node.place.clone(), message)
                .hint("remove this route, or give `credentials.token_path` another path"),
        );
    }
    if !pattern.is_under(context.mount) {
        let message =
            format!("`{text}` lies outside its API, which is mounted at {}", context.mount);
        reader.fault(
            Fault::new(node.place.clone(), message)
                .hint("patterns speak of the path as called, with the mount"),
        );
    }
    Some(pattern)
}

/// The `methods` of a route, as written.
enum Methods {
    Absent,
    Only(MethodSet),
    /// What some need; the others as usual.
    Needs(Vec<(Method, Access)>),
}

impl Methods {
    fn read(reader: &mut Reader<'_>, view: View<'_>) -> Self {
        match view.get("methods").map(|node| &node.kind) {
            Some(Kind::Sequence(items)) => {
                let mut set = MethodSet::EMPTY;
                for item in items {
                    let Some(method) = item.scalar().and_then(|scalar| Method::parse(&scalar.text))
                    else {
                        continue;
                    };
                    if set.contains(method) {
                        reader.fault(
                            Fault::new(
                                item.place.clone(),
                                format!("{method} stands in this list twice"),
                            )
                            .hint("remove one of the two"),
                        );
                    }
                    set = set.with(method);
                }
                Self::Only(set)
            }
            Some(Kind::Mapping(entries)) => Self::Needs(
                entries
                    .iter()
                    .filter_map(|(name, need)| {
                        Some((Method::parse(&name.text)?, Access::from_need(&need.scalar()?.text)?))
                    })
                    .collect(),
            ),
            Some(Kind::Scalar(_)) | None => Self::Absent,
        }
    }

    /// The methods that the route takes.
    fn taken(&self, view: View<'_>) -> MethodSet {
        let usual = if view.get("requires").is_some() {
            [Method::Get, Method::Head].into_iter().collect()
        } else {
            MethodSet::ALL
        };
        match self {
            Self::Absent => usual,
            Self::Only(set) => *set,
            Self::Needs(needs) => needs.iter().fold(usual, |set, (method, _)| set.with(*method)),
        }
    }

    fn need(&self, method: Method) -> Access {
        let said = match self {
            Self::Needs(needs) => {
                needs.iter().find(|(known, _)| *known == method).map(|(_, access)| *access)
            }
            Self::Absent | Self::Only(_) => None,
        };
        said.unwrap_or_else(|| method.usual_access())
    }
}

fn effect(
    reader: &mut Reader<'_>,
    node: &Node,
    view: View<'_>,
    methods: &Methods,
    context: &Context<'_>,
) -> Option<Effect> {
    let category = view.get("category").and_then(|node| scope(reader, node, context.catalogue));
    let requires = needs(reader, view, context.catalogue);
    let when = condition::read(reader, view, context);
    let (public, deny) = (view.flag("public"), view.flag("deny"));
    let guarded = view.get("category").is_some() || view.get("requires").is_some();
    refuse_contradictions(reader, node, view, methods);
    match (public, deny) {
        (true, _) => return Some(Effect::Public),
        (_, true) => return Some(Effect::Deny),
        _ => {}
    }
    let needs = Method::ALL.map(|method| {
        let own = category.map(|scope| Need { scope, access: methods.need(method) });
        let mut all: Vec<Need> = Vec::with_capacity(requires.len() + 1);
        for need in own.into_iter().chain(requires.iter().copied()) {
            match all.iter_mut().find(|known| known.scope == need.scope) {
                Some(known) => known.access = known.access.union(need.access),
                None => all.push(need),
            }
        }
        all.into_boxed_slice()
    });
    let whole = view.get("category").is_none() || category.is_some();
    (guarded && whole).then_some(Effect::Guarded { needs, when: when.into() })
}

/// Whether a field is misspelt, or has no value that decides: that is said already, and may be all that is wrong.
fn may_be_meant_to_decide(node: &Node) -> bool {
    node.entries().iter().any(|(key, value)| match key.text.as_str() {
        "category" | "requires" => true,
        "public" | "deny" => {
            !value.scalar().is_some_and(|scalar| matches!(scalar.meaning(), Meaning::Truth(_)))
        }
        name => ROUTE.field(name).is_none(),
    })
}

/// A route is public, denied or guarded, and says only what has an effect then.
fn refuse_contradictions(reader: &mut Reader<'_>, node: &Node, view: View<'_>, methods: &Methods) {
    let (public, deny) = (view.flag("public"), view.flag("deny"));
    let guarded = view.get("category").is_some() || view.get("requires").is_some();
    match (public, deny, guarded) {
        (true, true, _) => note(
            reader,
            view,
            "deny",
            "a route cannot be both public and denied",
            "leave one of the two out",
        ),
        (true, false, true) => note(
            reader,
            view,
            "public",
            "a route cannot be both public and guarded by a category",
            "leave one of the two out",
        ),
        (false, true, true) => note(
            reader,
            view,
            "deny",
            "a denied route needs no category",
            "leave one of the two out",
        ),
        (false, false, false) if may_be_meant_to_decide(node) => {}
        (false, false, false) => reader.fault(
            Fault::new(node.place.clone(), "this route decides nothing")
                .hint("say `category`, `requires`, `public: true` or `deny: true`"),
        ),
        _ => {}
    }
    if (public || deny) && !guarded {
        note(
            reader,
            view,
            "when",
            "conditions have no effect where nothing is judged",
            "leave them out",
        );
    }
    if matches!(methods, Methods::Needs(_)) && view.get("category").is_none() {
        note(
            reader,
            view,
            "methods",
            "a map of methods says how they need the `category`, and there is none",
            "write the methods as a list",
        );
    }
}

/// Refuses a `requires` that asks for nothing beside the `category`: its one effect would be to take methods away.
fn refuse_idle_requires(
    reader: &mut Reader<'_>,
    view: View<'_>,
    methods: &Methods,
    takes: MethodSet,
    context: &Context<'_>,
) {
    let category = view.text("category").and_then(|text| context.catalogue.id(text));
    let entries = view.get("requires").map(Node::entries).unwrap_or_default();
    let adds = |(name, node): &(Key, Node)| {
        let access = node.scalar().and_then(|scalar| Access::from_need(&scalar.text));
        let is_needed = |access| {
            takes.iter().all(|method| methods.need(method).union(access) == methods.need(method))
        };
        context.catalogue.id(&name.text) != category || !access.is_some_and(is_needed)
    };
    for (name, _) in entries.iter().filter(|entry| category.is_some() && !adds(entry)) {
        let message = format!("`{}` is needed already, by `category`", name.text.escape_debug());
        let hint = "leave it out; say with `methods` which methods the route takes";
        reader.fault(Fault::new(name.place.clone(), message).hint(hint));
    }
}

fn scope(reader: &mut Reader<'_>, node: &Node, catalogue: &Catalogue) -> Option<ScopeId> {
    let text = node.scalar().map(|scalar| scalar.text.as_str()).filter(|text| !text.is_empty())?;
    let id = catalogue.id(text);
    if id.is_none() {
        reader.unknown(&node.place, "category or scope", text, catalogue.names());
    }
    id
}

/// The `requires` of a route or of a condition.
fn needs(reader: &mut Reader<'_>, view: View<'_>, catalogue: &Catalogue) -> Vec<Need> {
    let entries: &[(Key, Node)] = view.get("requires").map(Node::entries).unwrap_or_default();
    let mut needs = Vec::with_capacity(entries.len());
    for (name, node) in entries.iter().filter(|(name, _)| !name.text.is_empty()) {
        let Some(scope) = catalogue.id(&name.text) else {
            reader.unknown(&name.place, "category or scope", &name.text, catalogue.names());
            continue;
        };
        if let Some(access) = node.scalar().and_then(|scalar| Access::from_need(&scalar.text)) {
            needs.push(Need { scope, access });
        }
    }
    needs
}
