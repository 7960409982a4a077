//! A route map: the categories it defines, and its routes compiled to [`Rule`]s.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::config::Credentials;
use crate::config::api::Mounted;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::route::{self, ROUTE};
use crate::config::shape::{Field, Record, Shape};
use crate::config::yaml::Node;
use crate::model::catalogue::BUILT_IN;
use crate::model::{ApiId, Catalogue, Place};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::{Conflict, Policy, RouteTable, Rule};

pub(super) static ROUTE_MAP: Record = Record {
    name: "a route map",
    fields: &[
        Field::new(
            "version",
            Shape::Choice { ready: &["1"], later: &[] },
            "The version of this format: 1.",
        )
        .required("version: 1"),
        Field::new(
            "categories",
            Shape::FilledMap(&format::NAME, &Shape::Record(&CATEGORY)),
            "Categories beside the seven that are built in.",
        ),
        Field::new(
            "trailing_slash",
            Shape::Choice { ready: &["strict", "optional"], later: &[] },
            "Whether a trailing slash makes another path.",
        )
        .default("strict"),
        Field::new(
            "routes",
            Shape::List { of: &Shape::Record(&ROUTE), may_be_empty: false },
            "Which scopes a request needs; the most specific pattern wins, whatever the order.",
        )
        .required("routes: [{ path: /v1/patients/**, category: patient }]"),
    ],
};

static CATEGORY: Record = Record {
    name: "a category",
    fields: &[
        Field::new("title", Shape::Format(&format::TITLE), "What people call it.")
            .required("title: Billing"),
        Field::new(
            "scopes",
            Shape::FilledMap(&format::NAME, &Shape::Format(&format::TITLE)),
            "Finer pieces of it, each with a title.",
        ),
    ],
};

/// Reads the route maps of all APIs: first what they define, then what they rule.
pub(super) fn read(
    reader: &mut Reader<'_>,
    apis: &[Mounted<'_>],
    credentials: &Credentials,
) -> (Catalogue, Vec<Rule>) {
    let mut trees = trees(reader, apis);
    let mut categories = Categories::default();
    for (_, tree) in &trees {
        categories.define(reader, View::of(Some(tree), &ROUTE_MAP));
    }
    let catalogue = categories.catalogue;
    let mut rules = Vec::new();
    for (index, mounted) in apis.iter().enumerate() {
        for name in mounted.maps {
            let Some(path) = name.scalar().map(|scalar| reader.resolve(&scalar.text)) else {
                continue;
            };
            // A map that is named twice was refused; its rules count where it was named first.
            let Some(at) = trees.iter().position(|(known, _)| *known == path) else { continue };
            let (_, tree) = trees.swap_remove(at);
            let view = View::of(Some(&tree), &ROUTE_MAP);
            let context = route::Context {
                api: ApiId(index),
                mount: &mounted.api.mount,
                slash_optional: view.text("trailing_slash") == Some("optional"),
                catalogue: &catalogue,
                credentials,
            };
            rules.extend(
                view.items("routes").iter().filter_map(|node| route::read(reader, node, &context)),
            );
        }
    }
    (catalogue, rules)
}

/// Every route map once, in the order they are named.
type Trees = Vec<(PathBuf, Node)>;

fn trees(reader: &mut Reader<'_>, apis: &[Mounted<'_>]) -> Trees {
    let mut trees = Trees::new();
    let mut named: HashMap<PathBuf, Place> = HashMap::new();
    for node in apis.iter().flat_map(|mounted| mounted.maps) {
        let Some(scalar) = node.scalar().filter(|scalar| !scalar.text.is_empty()) else { continue };
        let path = reader.resolve(&scalar.text);
        if let Some(first) = named.get(&path) {
            let message = format!("this route map is already named on line {}", first.line);
            reader.fault(
                Fault::new(node.place.clone(), message)
                    .hint("a map belongs to one API: remove one of the two"),
            );
            continue;
        }
        let tree = reader.tree(&path, &node.place);
        named.insert(path.clone(), node.place.clone());
        if let Some(tree) = tree {
            reader.check(&tree, &ROUTE_MAP);
            trees.push((path, tree));
        }
    }
    trees
}

/// Categories as they are defined by one map after the other.
#[derive(Default)]
struct Categories {
    catalogue: Catalogue,
    /// By name, with what was said of it and where.
    defined: HashMap<String, (Definition, Place)>,
}

#[derive(PartialEq, Eq)]
struct Definition {
    title: String,
    scopes: Vec<(String, String)>,
}

impl Categories {
    fn define(&mut self, reader: &mut Reader<'_>, map: View<'_>) {
        for (name, node) in map.get("categories").map(Node::entries).unwrap_or_default() {
            let view = View::of(Some(node), &CATEGORY);
            let title = view.text("title").unwrap_or_default().to_owned();
            let scopes = view.get("scopes").map(Node::entries).unwrap_or_default();
            let mut scopes: Vec<(String, String)> = scopes
                .iter()
                .filter_map(|(scope, title)| {
                    Some((scope.text.clone(), title.scalar()?.text.clone()))
                })
                .collect();
            scopes.sort();
            if let Some((_, first)) = self
                .defined
                .get(&name.text)
                .filter(|(known, _)| (&known.title, &known.scopes) != (&title, &scopes))
            {
                let message = format!("`{}` is defined otherwise at {first}", name.text);
                reader.fault(
                    Fault::new(name.place.clone(), message)
                        .hint("define it once, or the same in both maps"),
                );
            }
            let built_in = BUILT_IN.iter().find(|(known, _)| *known == name.text);
            if let Some((_, usual)) = built_in.filter(|(_, usual)| *usual != title) {
                let message = format!("`{}` is built in, with the title {usual}", name.text);
                reader.fault(
                    Fault::new(name.place.clone(), message).hint(format!("write `title: {usual}`")),
                );
            }
            let most = Catalogue::MAX_SCOPES;
            if self.catalogue.len() + scopes.len() + 1 > most {
                reader.fault(
                    Fault::new(
                        name.place.clone(),
                        format!("more than {most} categories and scopes"),
                    )
                    .hint("merge some of them"),
                );
                return;
            }
            let category = self.catalogue.add_category(&name.text, &title);
            for (scope, title) in &scopes {
                self.catalogue.add_scope(category, scope, title);
            }
            self.defined
                .entry(name.text.clone())
                .or_insert_with(|| (Definition { title, scopes }, name.place.clone()));
        }
    }
}

/// Compiles rules to a policy. Two rules that speak of the same requests are a fault that names both.
pub(super) fn compile(
    reader: &mut Reader<'_>,
    catalogue: Catalogue,
    rules: Vec<Rule>,
) -> Option<Policy> {
    let places: Vec<(Place, String)> =
        rules.iter().map(|rule| (rule.place.clone(), rule.pattern.text.to_string())).collect();
    match RouteTable::build(rules) {
        Ok(table) => {
            refuse_unreachable(reader, &table);
            Some(Policy { catalogue, table })
        }
        Err(conflicts) => {
            for Conflict { first, second } in conflicts {
                let (Some((one, _)), Some((two, pattern))) =
                    (places.get(first), places.get(second))
                else {
                    continue;
                };
                let (one, two) = if (rank(reader, one), one) < (rank(reader, two), two) {
                    (one, two)
                } else {
                    (two, one)
                };
                let message = format!("`{pattern}` is also ruled at {one}, for a common method");
                reader.fault(
                    Fault::new(two.clone(), message)
                        .hint("remove one of the two, or give them different `methods`"),
                );
            }
            None
        }
    }
}

/// A rule that the others leave no path looks as if it decided something. Each is a fault that names the others.
fn refuse_unreachable(reader: &mut Reader<'_>, table: &RouteTable) {
    const FEW: usize = 4;
    for rule in table.unreachable().into_iter().filter_map(|index| table.rules().get(index)) {
        let takers = table.rules().iter().filter(|other| takes_from(&rule.pattern, &other.pattern));
        let takers: Vec<String> =
            takers.map(|other| format!("`{}` at {}", other.pattern, other.place)).collect();
        let by = match takers.split_last() {
            Some((last, before)) if (1..FEW).contains(&before.len()) => {
                format!("{} and {last} take", before.join(", "))
            }
            _ => "more specific routes take".to_owned(),
        };
        let message = format!("`{}` is never reached: {by} every path of it", rule.pattern);
        reader.fault(Fault::new(rule.place.clone(), message).hint("remove this route"));
    }
}

/// Whether a pattern can be among those that leave another, which ends in `**`, no path.
fn takes_from(rest: &Pattern, other: &Pattern) -> bool {
    let is_open = |segment: &Segment| match segment {
        Segment::Any => true,
        Segment::Literal(text) => text.is_empty(),
        Segment::Int | Segment::Uuid => false,
    };
    (other.rest, &other.segments) != (rest.rest, &rest.segments)
        && other
            .segments
            .strip_prefix(&*rest.segments)
            .is_some_and(|further| further.iter().all(is_open))
}

fn rank(reader: &Reader<'_>, place: &Place) -> usize {
    reader.rank(&place.file)
}
