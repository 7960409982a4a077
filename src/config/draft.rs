//! A route map drafted from an OpenAPI document, for people to finish.
//!
//! The draft is a route map that loads as it is. A category is proposed only where the words of a path speak for one and
//! its tags do not speak against it; every other route is drafted `deny: true`, with a comment that asks for a choice.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::config::openapi::{Document, Operation, ParameterKind, Part};
use crate::model::MethodSet;
use crate::policy::pattern::Pattern;

mod words;

/// A drafted route map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// YAML. Where nothing can be routed it has no routes, and so does not load.
    pub text: String,
    /// What was passed over, in reading and in drafting.
    pub notes: Vec<String>,
    pub routes: usize,
    /// How many of the routes are refused until somebody chooses a category.
    pub unsure: usize,
}

/// Drafts one route for every path shape of the document, in its order.
pub fn draft(document: &Document) -> Draft {
    let mut routes = routes(document);
    let mut notes = document.notes.clone();
    routes.retain(|route| match Pattern::parse(&route.pattern) {
        Ok(_) => true,
        Err(reason) => {
            notes.push(format!("{} is left out: {reason}", route.pattern));
            false
        }
    });
    let unsure = routes.iter().filter(|route| !matches!(route.guess, Guess::Sure(_))).count();
    let many = match routes.len() {
        1 => "1 route".to_owned(),
        many => format!("{many} routes"),
    };
    let mut text = format!(
        "# Drafted from \"{}\": {many}, {unsure} of them refused until somebody chooses.\n\
         # Every category here is a guess from words. Read each one before you serve it.\n",
        one_line(&document.title),
    );
    for note in &notes {
        let _infallible = writeln!(text, "# Note: {}", one_line(note));
    }
    text.push_str("version: 1\n");
    text.push_str(if routes.is_empty() { "routes: []\n" } else { "routes:\n" });
    for route in &routes {
        route.write(&mut text);
    }
    Draft { text, notes, routes: routes.len(), unsure }
}

/// All operations whose paths are the same, names apart.
struct Route<'d> {
    shape: Vec<Shape<'d>>,
    pattern: String,
    methods: MethodSet,
    summaries: Vec<&'d str>,
    /// The pattern is wider than the document, because a segment mixes a parameter with other text.
    is_widened: bool,
    guess: Guess,
}

#[derive(PartialEq, Eq)]
enum Shape<'d> {
    Literal(&'d str),
    Integer,
    Uuid,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    Sure(words::Category),
    /// Two voices for different categories: the path's and the tags'.
    Torn(words::Category, words::Category),
    Silent,
}

fn routes(document: &Document) -> Vec<Route<'_>> {
    let mut routes: Vec<Route<'_>> = Vec::new();
    for operation in &document.operations {
        let shape: Vec<_> = operation.segments.iter().map(shape).collect();
        let known = routes.iter_mut().find(|route| route.shape == shape);
        if let Some(route) = known {
            route.methods = route.methods.with(operation.method);
            route.summaries.push(&operation.summary);
            if route.guess != guess(operation) {
                route.guess = merged(route.guess, guess(operation));
            }
        } else {
            routes.push(Route {
                is_widened: operation.segments.iter().any(|part| matches!(part, Part::Mixed(_))),
                pattern: pattern(operation),
                methods: MethodSet::EMPTY.with(operation.method),
                summaries: vec![&operation.summary],
                guess: guess(operation),
                shape,
            });
        }
    }
    routes
}

fn shape(part: &Part) -> Shape<'_> {
    match part {
        Part::Literal(text) => Shape::Literal(text),
        Part::Parameter { kind: ParameterKind::Integer, .. } => Shape::Integer,
        Part::Parameter { kind: ParameterKind::Uuid, .. } => Shape::Uuid,
        Part::Parameter { kind: ParameterKind::Other, .. } | Part::Mixed(_) => Shape::Any,
    }
}

/// The path in the language of route maps.
fn pattern(operation: &Operation) -> String {
    let mut taken = HashSet::new();
    let mut text = String::new();
    for part in &operation.segments {
        text.push('/');
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Mixed(mixed) => {
                let inner = mixed.split('{').nth(1).and_then(|rest| rest.split('}').next());
                let name = free_name(inner.unwrap_or_default(), &mut taken);
                let _infallible = write!(text, "{{{name}}}");
            }
            Part::Parameter { name, kind } => {
                let suffix = match kind {
                    ParameterKind::Integer => ":int",
                    ParameterKind::Uuid => ":uuid",
                    ParameterKind::Other => "",
                };
                let name = free_name(name, &mut taken);
                let _infallible = write!(text, "{{{name}{suffix}}}");
            }
        }
    }
    text
}

/// A parameter name of letters, digits and `_` that the pattern does not have yet.
fn free_name(name: &str, taken: &mut HashSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = name.chars().map(plain).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "p_");
    }
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

fn guess(operation: &Operation) -> Guess {
    let literals = operation.segments.iter().rev().filter_map(|part| match part {
        Part::Literal(text) | Part::Mixed(text) => Some(text.as_str()),
        Part::Parameter { .. } => None,
    });
    // The last noun of a path is what it serves: /patients/{id}/invoices is about invoices.
    let by_path = literals.into_iter().find_map(words::category_of);
    let by_tags: Vec<_> = operation.tags.iter().filter_map(|tag| words::category_of(tag)).collect();
    match (by_path, by_tags.as_slice()) {
        (Some(path), []) => Guess::Sure(path),
        (Some(path), tags) if tags.contains(&path) => Guess::Sure(path),
        (Some(path), [tag, ..]) => Guess::Torn(path, tag),
        (None, [tag, others @ ..]) => match others.iter().find(|other| *other != tag) {
            Some(other) => Guess::Torn(tag, other),
            None => Guess::Sure(tag),
        },
        (None, []) => Guess::Silent,
    }
}

fn merged(first: Guess, second: Guess) -> Guess {
    match (first, second) {
        (Guess::Sure(one), Guess::Sure(other)) => Guess::Torn(one, other),
        (torn @ Guess::Torn(..), _) | (_, torn @ Guess::Torn(..)) => torn,
        (Guess::Silent, _) | (_, Guess::Silent) => Guess::Silent,
    }
}

impl Route<'_> {
    fn write(&self, text: &mut String) {
        let summary = self.summaries.iter().find(|summary| !summary.is_empty());
        if let Some(summary) = summary {
            let _infallible = writeln!(text, "  # {}", one_line(summary));
        }
        if self.is_widened {
            text.push_str("  # wider than documented: a parameter takes a whole segment here\n");
        }
        if let Some(question) = self.question() {
            let _infallible = writeln!(text, "  # {question}");
        }
        let _infallible = writeln!(text, "  - path: {}", quoted(&self.pattern));
        match self.guess {
            Guess::Sure(category) => {
                let names: Vec<_> = self.methods.iter().map(|method| method.name()).collect();
                let names = names.join(", ");
                let _infallible =
                    write!(text, "    category: {category}\n    methods: [{names}]\n");
            }
            Guess::Torn(..) | Guess::Silent => text.push_str("    deny: true\n"),
        }
    }

    /// What a person has to decide.
    fn question(&self) -> Option<String> {
        let is_search = self.pattern.rsplit('/').next().is_some_and(words::is_search);
        let posts_only = self.methods.iter().all(|method| method.name() == "POST");
        match self.guess {
            Guess::Torn(one, other) => Some(format!("choose a category: {one} or {other}?")),
            Guess::Silent => Some("choose a category".into()),
            Guess::Sure(_) if is_search && posts_only => {
                Some("a search that only reads? then say methods: { POST: read }".into())
            }
            Guess::Sure(_) => None,
        }
    }
}

/// A scalar that YAML reads back as the same text.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.{}~:*".contains(c);
    if text.chars().all(is_plain) && !text.ends_with(':') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Text that can stand in a comment, however it came.
fn one_line(text: &str) -> String {
    let visible =
        text.split(|c: char| c.is_control() || "\u{2028}\u{2029}\u{85}\u{feff}".contains(c));
    visible.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
