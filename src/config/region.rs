//! `regions`: host names with an upstream of their own, for practices whose data must stay where it is.

use std::collections::HashMap;

use crate::config::api;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Record, Shape};
use crate::config::yaml::Node;
use crate::config::{Region, Upstream};
use crate::model::Place;

pub(super) static REGION: Record = Record {
    name: "a region",
    fields: &[
        Field::new(
            "hosts",
            Shape::List { of: &Shape::Format(&format::HOST), may_be_empty: false },
            "The host names of the region, without a port; the first is told to those who call another.",
        )
        .required("hosts: [api.au.example.com]"),
        Field::new("upstream", Shape::Format(&format::NAME), "The name of an upstream.")
            .required("upstream: practice"),
    ],
};

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    upstreams: &[Upstream],
) -> Vec<Region> {
    let mut taken: HashMap<String, &Place> = HashMap::new();
    let mut regions = Vec::new();
    for (name, node) in node.map(Node::entries).unwrap_or_default() {
        let view = View::of(Some(node), &REGION);
        let mut hosts = Vec::new();
        for item in view.items("hosts") {
            let Some(host) = item.scalar().and_then(|scalar| format::host(&scalar.text).ok())
            else {
                continue;
            };
            if let Some(first) = taken.get(&host) {
                let message = format!("this host stands on line {} already", first.line);
                reader.fault(
                    Fault::new(item.place.clone(), message).hint("a host belongs to one region"),
                );
                continue;
            }
            taken.insert(host.clone(), &item.place);
            hosts.push(host);
        }
        let upstream = api::upstream(reader, view.get("upstream"), upstreams);
        regions.push(Region { name: name.text.clone(), hosts, upstream });
    }
    regions
}
