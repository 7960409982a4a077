//! The configuration as a whole: its sections, and the order in which they are read.

use std::path::Path;

use crate::config::api::{API, Mounted};
use crate::config::credentials::CREDENTIALS;
use crate::config::error_template::{ErrorTemplate, Flaw};
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::keys::KEYS;
use crate::config::limits::{self, LIMITS};
use crate::config::listen::LISTEN;
use crate::config::log::LOG;
use crate::config::proxy::PROXY;
use crate::config::read::{Reader, View};
use crate::config::region::REGION;
use crate::config::route_map::ROUTE_MAP;
use crate::config::shape::{Field, Record, Shape, nearest};
use crate::config::upstream::UPSTREAM;
use crate::config::yaml::Node;
use crate::config::{
    Config, ErrorShape, Further, Sources, StartPlaces, api, credentials, keys, listen, log, proxy,
    region, route_map, store, upstream,
};
use crate::model::Place;

pub(super) static ROOT: Record = Record {
    name: "the configuration",
    fields: &[
        Field::new(
            "listen",
            Shape::Record(&LISTEN),
            "Where the gateway and its admin listener answer.",
        )
        .required("listen: { gateway: 127.0.0.1:8080 }"),
        // One node, and nothing else to run.
        Field::new("store", Shape::Format(&store::STORE), "Where keys and records are kept.")
            .default(store::DEFAULT),
        Field::new(
            "upstreams",
            Shape::FilledMap(&format::NAME, &Shape::Record(&UPSTREAM)),
            "The practice systems behind the gateway, by name.",
        )
        .required("upstreams: { practice: { url: http://127.0.0.1:9000 } }"),
        Field::new(
            "apis",
            Shape::FilledMap(&format::NAME, &Shape::Record(&API)),
            "The mounted surfaces, by name; a key is for exactly one.",
        )
        .required("apis: { standard: { mount: /v1, upstream: practice, routes: routes.yaml } }"),
        Field::new(
            "regions",
            Shape::FilledMap(&format::NAME, &Shape::Record(&REGION)),
            "Regions with their own host names and upstream.",
        )
        .sample("regions: { au: { hosts: [api.au.example.com], upstream: practice } }"),
        // RFC 9457 is what clients know; a template is for those that know the practice system's shape.
        Field::new(
            "errors",
            Shape::Format(&format::FILE),
            "`problem`, or a template file that renders the practice system's own error shape.",
        )
        .default("problem"),
        Field::new("credentials", Shape::Record(&CREDENTIALS), "Where keys sit in a request."),
        Field::new("keys", Shape::Record(&KEYS), "How keys are issued, and how long they live."),
        Field::new("limits", Shape::Record(&LIMITS), "Rate limits and quotas."),
        Field::new("log", Shape::Record(&LOG), "How access records are kept."),
        Field::new(
            "proxy",
            Shape::Record(&PROXY),
            "The limits and timers of the gateway listener.",
        ),
    ],
};

pub(super) fn load(
    path: &Path,
    sources: &dyn Sources,
    further: Further<'_>,
) -> Result<Config, Vec<Fault>> {
    let mut reader = Reader::new(path, sources);
    let start = Place { file: path.display().to_string().into(), line: 1, column: 1 };
    let Some(tree) = reader.tree(path, &start) else {
        return Err(reader.finish().err().unwrap_or_default());
    };
    if is_route_map(&tree) {
        reader.fault(
            Fault::new(start, "this is a route map, not a configuration")
                .hint("give the file whose `apis` name it"),
        );
        return Err(reader.finish().err().unwrap_or_default());
    }
    let root = reader.check(&tree, &ROOT);
    let part = |name, record| View::of(root.get(name), record);
    let listen = listen::read(&mut reader, part("listen", &LISTEN));
    let upstreams = upstream::read(&mut reader, root.get("upstreams"));
    let mounted = api::read(&mut reader, root.get("apis"), &upstreams);
    let errors = errors(&mut reader, root);
    let credentials = credentials::read(&mut reader, part("credentials", &CREDENTIALS));
    let proxy = proxy::read(part("proxy", &PROXY));
    let store = store::read(&mut reader, root.get("store"));
    let keys = keys::read(&mut reader, part("keys", &KEYS));
    let limits = limits::read(&mut reader, part("limits", &LIMITS));
    let log = log::read(&reader, part("log", &LOG));
    let regions = region::read(&mut reader, root.get("regions"), &upstreams);
    let (catalogue, rules) = route_map::read(&mut reader, &mounted, &credentials);
    let names = ["upstreams", "apis"].iter().filter_map(|field| root.get(field));
    reader.know(names.flat_map(Node::entries).map(|(name, _)| name.text.as_str()));
    reader.know(catalogue.names());
    limits::check_names(&mut reader, part("limits", &LIMITS), &catalogue);
    reader.know(ROOT.names().into_iter().chain(ROUTE_MAP.names()));
    let policy = route_map::compile(&mut reader, catalogue, rules);
    let apis = mounted.into_iter().map(|Mounted { api, .. }| api).collect();
    if reader.has_faults() {
        further(&listen, &upstreams).into_iter().for_each(|fault| reader.fault(fault));
    }
    let place = |section: &str, field: &str| {
        let section = root.get(section);
        let value = section.and_then(|section| section.entry(field)).map(|(_, value)| value);
        value.or(section).map_or_else(|| start.clone(), |node| node.place.clone())
    };
    let places = StartPlaces {
        gateway: place("listen", "gateway"),
        admin: place("listen", "admin"),
        workers: place("proxy", "workers"),
        store: root.get("store").map_or_else(|| start.clone(), |node| node.place.clone()),
        secrets: place("keys", "secrets"),
        log_dir: place("log", "dir"),
    };
    let files = reader.finish()?;
    // Without a fault there is a policy.
    let policy = policy.ok_or_else(Vec::new)?;
    Ok(Config {
        listen,
        upstreams,
        apis,
        errors,
        credentials,
        proxy,
        store,
        keys,
        limits,
        log,
        regions,
        policy,
        places,
        files,
    })
}

/// A file that is easily given in place of the one that names it.
fn is_route_map(tree: &Node) -> bool {
    tree.entry("routes").is_some()
        && ROOT.fields.iter().all(|field| tree.entry(field.name).is_none())
}

fn errors(reader: &mut Reader<'_>, root: View<'_>) -> ErrorShape {
    let written = root.get("errors").and_then(|node| Some((node, node.scalar()?.text.as_str())));
    let Some((node, path)) = written.filter(|(_, text)| !matches!(*text, "problem" | "")) else {
        return ErrorShape::Problem;
    };
    match template(reader, node, path) {
        Ok(template) => ErrorShape::Template(template),
        Err(faults) => {
            faults.into_iter().for_each(|fault| reader.fault(fault));
            ErrorShape::Problem
        }
    }
}

fn template(reader: &mut Reader<'_>, node: &Node, path: &str) -> Result<ErrorTemplate, Vec<Fault>> {
    let (name, bytes) = reader.file(path, &node.place).map_err(|fault| {
        let near = nearest(path, ["problem"]);
        vec![if let Some(near) = near { fault.hint(near) } else { fault }]
    })?;
    let place = |line, column| Place { file: name.as_str().into(), line, column };
    let text = String::from_utf8(bytes)
        .map_err(|_| vec![Fault::new(place(1, 1), "the template is not UTF-8 text")])?;
    ErrorTemplate::compile(&text).map_err(|flaws| {
        let fault = |flaw: Flaw| {
            let fault = Fault::new(place(flaw.line, flaw.column), flaw.message);
            if let Some(hint) = flaw.hint { fault.hint(hint) } else { fault }
        };
        flaws.into_iter().map(fault).collect()
    })
}
