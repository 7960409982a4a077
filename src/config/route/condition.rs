//! The `when` of a route: conditions on a query parameter or a header, each of which asks for more.

use http::HeaderName;

use crate::config::Credentials;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::route::{Context, REQUIRES, needs, note};
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value::Wrong;
use crate::config::yaml::{Kind, Node};
use crate::model::{Method, MethodSet, Need};
use crate::policy::{Condition, Subject, query};

pub(in crate::config) static WHEN: Record = Record {
    name: "a condition",
    fields: &[
        Field::new("query", Shape::Format(&PARAMETER), "The name of a query parameter."),
        Field::new("header", Shape::Format(&format::HEADER_NAME), "The name of a header."),
        Field::new(
            "contains",
            Shape::Format(&VALUE),
            "One value of a comma list or of repeats; without it, presence alone counts.",
        ),
        Field::new("requires", REQUIRES, "What is needed then.")
            .required("requires: { patient: read }"),
    ],
};

static PARAMETER: Format = Format {
    expected: "the name of a query parameter",
    check: |text| if text.is_empty() { Err(Wrong::default()) } else { Ok(()) },
    pattern: None,
};

static VALUE: Format = Format {
    expected: "one value",
    check: |text| {
        if text.contains(',') {
            return Err(Wrong::because("values are compared one by one, so a comma is in none")
                .hint("write one condition for each"));
        }
        if text.is_empty() || text.trim() != text { Err(Wrong::default()) } else { Ok(()) }
    },
    pattern: Some("^[^,]+$"),
};

pub(super) fn read(
    reader: &mut Reader<'_>,
    view: View<'_>,
    context: &Context<'_>,
) -> Vec<Condition> {
    view.items("when").iter().filter_map(|node| condition(reader, node, context)).collect()
}

/// Refuses a condition on what makes the gateway refuse the request before any route is looked at.
fn refuse_unmet(reader: &mut Reader<'_>, view: View<'_>, credentials: &Credentials) {
    const REMEDY: &str = "remove this condition";
    let overrides = "requests with it are always refused: it changes the method for some upstreams";
    for field in ["query", "header"] {
        if view.text(field).is_some_and(query::has_method_override) {
            note(reader, view, field, overrides, REMEDY);
        }
    }
    let Credentials { subscriber_header, vendor_header, username_header, .. } = credentials;
    let headers = [subscriber_header, vendor_header, username_header].map(HeaderName::as_str);
    let is_key = |name: &str| {
        query::is_one_of(name, &query::KEY_PARAMETERS) || query::is_one_of(name, &headers)
    };
    if view.text("query").is_some_and(is_key) {
        let message = "requests with it are always refused: no key may stand in a query";
        note(reader, view, "query", message, REMEDY);
    }
}

fn condition(reader: &mut Reader<'_>, node: &Node, context: &Context<'_>) -> Option<Condition> {
    let Kind::Mapping(_) = node.kind else { return None };
    let view = View::of(Some(node), &WHEN);
    let requires = needs(reader, view, context.catalogue).into();
    refuse_unmet(reader, view, context.credentials);
    let subject = match (view.text("query"), view.text("header")) {
        (Some(name), None) => Subject::Query(name.into()),
        (None, Some(name)) => Subject::Header(format::header_name(name).ok()?),
        (Some(_), Some(_)) => {
            note(
                reader,
                view,
                "header",
                "a condition looks at a query parameter or at a header, not at both",
                "write two conditions",
            );
            return None;
        }
        (None, None) => {
            reader.fault(
                Fault::new(node.place.clone(), "this condition looks at nothing")
                    .hint("say `query` or `header`"),
            );
            return None;
        }
    };
    Some(Condition { subject, contains: view.text("contains").map(Into::into), requires })
}

/// Refuses conditions that ask for nothing new, or that no request can meet.
pub(super) fn refuse_idle(
    reader: &mut Reader<'_>,
    view: View<'_>,
    needs: &[Box<[Need]>; 6],
    when: &[Condition],
    takes: MethodSet,
) {
    let nodes = view.items("when");
    // A faulty condition is not among them, and then they cannot be told apart.
    if nodes.len() != when.len() {
        return;
    }
    for (index, (node, condition)) in nodes.iter().zip(when).enumerate() {
        let is_needed = |method: Method, need: &Need| {
            let of_method = needs.get(method.index()).into_iter().flatten();
            of_method.clone().any(|known| {
                known.scope == need.scope && known.access.union(need.access) == known.access
            })
        };
        let idle = takes
            .iter()
            .all(|method| condition.requires.iter().all(|need| is_needed(method, need)));
        let fault = |message: &str| Fault::new(node.place.clone(), message);
        if when.iter().take(index).any(|before| before == condition) {
            reader.fault(fault("this condition is here already").hint("remove one of the two"));
        } else if idle && !condition.requires.is_empty() {
            let message = "this condition has no effect: the route needs that anyway";
            reader.fault(fault(message).hint("remove it, or ask for more"));
        }
    }
}
