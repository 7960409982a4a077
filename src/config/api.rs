//! `apis`: the mounted surfaces, each with its upstream and its route maps.

use crate::config::Api;
use crate::config::Upstream;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Format, Record, Shape, nearest};
use crate::config::value::Wrong;
use crate::config::yaml::Node;
use crate::model::UpstreamId;
use crate::policy::pattern::{Pattern, Segment};

pub(super) static API: Record = Record {
    name: "an API",
    fields: &[
        Field::new("mount", Shape::Format(&MOUNT), "The prefix that the API answers under.")
            .required("mount: /v1"),
        Field::new("upstream", Shape::Format(&format::NAME), "The name of an upstream.")
            .required("upstream: practice"),
        Field::new("routes", ROUTES, "A route map, or a list of them.")
            .required("routes: routes.yaml"),
        Field::new(
            "strip_mount",
            Shape::Truth,
            "Whether the upstream sees paths without the mount.",
        )
        .default("false"),
    ],
};

const ROUTES: Shape = Shape::ByKind {
    scalar: Some(&Shape::Format(&format::FILE)),
    list: Some(&Shape::List { of: &Shape::Format(&format::FILE), may_be_empty: false }),
    mapping: None,
};

static MOUNT: Format = Format {
    expected: "a path such as /v1",
    check: mount,
    pattern: Some("^/([A-Za-z0-9._~%!$&'()*+,=:@/-]*[^/])?$"),
};

fn mount(text: &str) -> Result<(), Wrong> {
    if text == "/" {
        return Ok(());
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(Wrong::default().hint(format!("did you mean /{text}?")));
    };
    if text.ends_with('/') {
        return Err(Wrong::because("it ends in a slash")
            .hint(format!("did you mean /{}?", rest.trim_end_matches('/'))));
    }
    let pattern = Pattern::parse(text).map_err(Wrong::because)?;
    let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    if pattern.rest || !pattern.segments.iter().all(literal) {
        return Err(Wrong::because("a mount has plain segments alone, without patterns"));
    }
    Ok(())
}

/// An API with the files of its route maps.
pub(super) struct Mounted<'n> {
    pub api: Api,
    pub maps: &'n [Node],
}

pub(super) fn read<'n>(
    reader: &mut Reader<'_>,
    node: Option<&'n Node>,
    upstreams: &[Upstream],
) -> Vec<Mounted<'n>> {
    let mut apis: Vec<Mounted<'n>> = Vec::new();
    let mut mounts: Vec<(&str, &Node)> = Vec::new();
    for (name, node) in node.map(Node::entries).unwrap_or_default() {
        let view = View::of(Some(node), &API);
        let prefix = view.text("mount").filter(|text| mount(text).is_ok());
        if let (Some(prefix), Some(node)) = (prefix, view.get("mount")) {
            refuse_overlap(reader, &mounts, prefix, node);
            mounts.push((prefix, node));
        }
        let api = Api {
            name: name.text.clone(),
            mount: prefix.unwrap_or("/").to_owned(),
            upstream: upstream(reader, view.get("upstream"), upstreams),
            strip_mount: view.flag("strip_mount"),
        };
        apis.push(Mounted { api, maps: view.items("routes") });
    }
    apis
}

fn refuse_overlap(reader: &mut Reader<'_>, mounts: &[(&str, &Node)], mount: &str, node: &Node) {
    let under = |path: &str, mount: &str| {
        let mount = mount.trim_end_matches('/');
        path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some((other, at)) =
        mounts.iter().find(|(other, _)| under(mount, other) || under(other, mount))
    {
        let message = format!("the mounts {mount} and {other} (line {}) overlap", at.place.line);
        reader.fault(
            Fault::new(node.place.clone(), message)
                .hint("every path belongs to one API: give one of them another prefix"),
        );
    }
}

/// The upstream that a field names.
pub(super) fn upstream(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    upstreams: &[Upstream],
) -> UpstreamId {
    let Some((node, scalar)) = node.and_then(|node| Some((node, node.scalar()?))) else {
        return UpstreamId(0);
    };
    let position = upstreams.iter().position(|upstream| upstream.name == scalar.text);
    if position.is_none() && (format::NAME.check)(&scalar.text).is_ok() {
        let fault =
            Fault::new(node.place.clone(), format!("there is no upstream {}", scalar.shown()));
        let names = upstreams.iter().map(|upstream| upstream.name.as_str());
        let hint =
            nearest(&scalar.text, names).unwrap_or_else(|| "name one of `upstreams`".to_owned());
        reader.fault(fault.hint(hint));
    }
    UpstreamId(position.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_plain_segments_without_a_trailing_slash() {
        for text in ["/", "/v1", "/api/v1.2", "/a:b"] {
            assert!(mount(text).is_ok(), "{text}");
        }
        for text in [
            "", "v1", "/v1/", "//", "/v1//x", "/v1/..", "/{id}", "/v1/**", "/a b", "/%41", "/v1?x",
            "/a;b",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
        assert_eq!(mount("v1").unwrap_err().hint.unwrap(), "did you mean /v1?");
    }
}
