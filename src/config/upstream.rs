//! `upstreams`: the practice systems behind the gateway.

use std::collections::HashMap;

use http::HeaderName;

use crate::config::fault::Fault;
use crate::config::format;
use crate::config::listen::{IDENTITY, identity, pem};
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value::Wrong;
use crate::config::yaml::{Key, Node};
use crate::config::{Endpoint, HealthProbe, Identity, Upstream, UpstreamTls};
use crate::policy::header_name;

pub(super) static UPSTREAM: Record = Record {
    name: "an upstream",
    fields: &[
        Field::new("url", URLS, "http or https, host and port; a list of urls is balanced.")
            .required("url: http://127.0.0.1:9000"),
        // A practice system in the same network answers in milliseconds; two seconds is a lost packet and its repeat.
        Field::new("connect_timeout", TIMEOUT, "How long a connection may take to come up.")
            .default("2s"),
        // Reports of practice systems take seconds; longer than this and callers have gone.
        Field::new(
            "response_timeout",
            TIMEOUT,
            "How long the upstream may take to begin its answer, and how long an answer may then be silent.",
        )
        .default("30s"),
        Field::new(
            "health",
            Shape::Record(&HEALTH),
            "Asks each url regularly and leaves out those that do not answer.",
        ),
        Field::new(
            "headers",
            Shape::FilledMap(&format::HEADER_NAME, &Shape::Private(&format::HEADER_VALUE)),
            "What the gateway itself presents with every request.",
        ),
        Field::new(
            "tls",
            Shape::Record(&TLS),
            "A private CA, a client certificate or another name, for https urls.",
        ),
        Field::new(
            "preserve_host",
            Shape::Truth,
            "Whether the upstream sees the caller's Host instead of its own.",
        )
        .default("false"),
    ],
};

const TIMEOUT: Shape = Shape::Duration { least: "10ms", most: "1h" };

const URLS: Shape = Shape::ByKind {
    scalar: Some(&Shape::Format(&URL)),
    list: Some(&Shape::List { of: &Shape::Format(&URL), may_be_empty: false }),
    mapping: None,
};

static HEALTH: Record = Record {
    name: "`health`",
    fields: &[
        Field::new(
            "path",
            Shape::Format(&PATH),
            "The path that is asked with GET; 2xx is healthy.",
        )
        .required("path: /health"),
        // Two missed answers are noticed within ten seconds, at a cost nobody sees.
        Field::new("interval", Shape::Duration { least: "100ms", most: "1h" }, "How often.")
            .default("5s"),
    ],
};

static TLS: Record = Record {
    name: "`tls`",
    fields: &[
        Field::new(
            "ca",
            Shape::Format(&format::FILE),
            "A PEM file with the certificate authorities to trust instead of the system's.",
        ),
        Field::new(
            "certificate",
            Shape::Format(&format::FILE),
            "The gateway's client certificate.",
        ),
        Field::new(
            "private_key",
            Shape::Format(&format::FILE),
            "The private key of the client certificate.",
        ),
        Field::new(
            "server_name",
            Shape::Format(&format::HOST),
            "The name to verify, where it is not the url's host.",
        ),
    ],
};

static PATH: Format = Format {
    expected: "a path such as /health",
    check: |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if text.starts_with('/') && plain { Ok(()) } else { Err(Wrong::default()) }
    },
    pattern: Some("^/"),
};

static URL: Format = Format {
    expected: "a url such as http://127.0.0.1:9000",
    check: |text| endpoint(text).map(drop),
    pattern: Some("^https?://[^/?#@]+$"),
};

fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    let (https, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some((scheme, _)) => {
            return Err(Wrong::because(format!(
                "the scheme `{}` is unknown",
                scheme.escape_debug()
            ))
            .hint("take http or https"));
        }
        None => {
            return Err(
                Wrong::because("it has no scheme").hint(format!("did you mean http://{text}?"))
            );
        }
    };
    if rest.contains('@') {
        return Err(
            Wrong::because("it holds user information").hint("put credentials into `headers`")
        );
    }
    if let Some((authority, _)) = rest.split_once(['/', '?', '#']) {
        let scheme = if https { "https" } else { "http" };
        return Err(Wrong::because("it has a path or a query")
            .hint(format!("requests keep their own path: write {scheme}://{authority}")));
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, port)) => match inner.parse::<std::net::Ipv6Addr>() {
            Ok(address) => (
                address.to_string(),
                if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("?")) },
            ),
            Err(_) => return Err(Wrong::because("what stands in the brackets is no IPv6 address")),
        },
        None => match rest.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(Wrong::because("an IPv6 address stands in brackets"));
            }
            Some((host, port)) => (format::host(host)?, Some(port)),
            None => (format::host(rest)?, None),
        },
    };
    let port = match port {
        None => {
            if https {
                443
            } else {
                80
            }
        }
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => number,
            _ => return Err(Wrong::because("its port is not a number from 1 to 65535")),
        },
    };
    Ok(Endpoint { https, host, port })
}

pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>) -> Vec<Upstream> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.iter().map(|(name, node)| read_one(reader, name, node)).collect()
}

fn read_one(reader: &mut Reader<'_>, name: &Key, node: &Node) -> Upstream {
    let view = View::of(Some(node), &UPSTREAM);
    let endpoints = endpoints(reader, view.items("url"));
    if let (Some(tls), true) = (view.get("tls"), endpoints.iter().any(|endpoint| !endpoint.https)) {
        let message = "`tls` has no effect for http urls";
        reader
            .fault(Fault::new(tls.place.clone(), message).hint("write https, or leave `tls` out"));
    }
    let health = view.get("health").map(|node| {
        let view = View::of(Some(node), &HEALTH);
        HealthProbe {
            path: view.text("path").unwrap_or("/").to_owned(),
            interval: view.duration("interval"),
        }
    });
    Upstream {
        name: name.text.clone(),
        place: name.place.clone(),
        endpoints,
        connect_timeout: view.duration("connect_timeout"),
        response_timeout: view.duration("response_timeout"),
        health,
        headers: headers(reader, view.get("headers")),
        tls: tls(reader, view.get("tls")),
        preserve_host: view.flag("preserve_host"),
    }
}

fn endpoints(reader: &mut Reader<'_>, items: &[Node]) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for item in items {
        let Some(next) = item.scalar().and_then(|scalar| endpoint(&scalar.text).ok()) else {
            continue;
        };
        if endpoints.contains(&next) {
            reader.fault(
                Fault::new(item.place.clone(), "the same url stands in this list twice")
                    .hint("remove one of the two"),
            );
        } else if endpoints.first().is_some_and(|first| first.https != next.https) {
            reader.fault(
                Fault::new(item.place.clone(), "http and https are mixed in one upstream")
                    .hint("make two upstreams of it"),
            );
        }
        endpoints.push(next);
    }
    endpoints
}

fn headers(reader: &mut Reader<'_>, node: Option<&Node>) -> Vec<(HeaderName, http::HeaderValue)> {
    let mut headers = Vec::new();
    let mut seen: HashMap<HeaderName, &String> = HashMap::new();
    for (key, node) in node.map(Node::entries).unwrap_or_default() {
        let Ok(name) = format::header_name(&key.text) else { continue };
        if header_name::is_gateways_own(name.as_str()) {
            let message = format!("`{}` is for the gateway itself to say", key.text);
            reader.fault(Fault::new(key.place.clone(), message).hint("leave it out"));
        } else if let Some(before) = seen.insert(name.clone(), &key.text)
            && *before != key.text
        {
            let message = format!("`{}` is already set, in another spelling", key.text);
            reader.fault(Fault::new(key.place.clone(), message).hint("keep one of the two"));
        }
        if let Some(Ok(mut value)) = node.scalar().map(|scalar| format::header_value(&scalar.text))
        {
            value.set_sensitive(true);
            headers.push((name, value));
        }
    }
    headers
}

fn tls(reader: &mut Reader<'_>, node: Option<&Node>) -> UpstreamTls {
    let Some(node) = node else { return UpstreamTls::default() };
    let view = View::of(Some(node), &TLS);
    let identity = match (view.get("certificate"), view.get("private_key")) {
        (None, None) => None,
        (Some(_), Some(_)) => client_identity(reader, node),
        (Some(half), None) | (None, Some(half)) => {
            let message = "a client certificate needs both `certificate` and `private_key`";
            reader.fault(Fault::new(half.place.clone(), message).hint("add the other one"));
            None
        }
    };
    let server_name = view.text("server_name").and_then(|name| format::host(name).ok());
    UpstreamTls { ca: pem(reader, view.get("ca")), identity, server_name }
}

/// The two fields have the same names here as in `listen.tls`.
fn client_identity(reader: &mut Reader<'_>, node: &Node) -> Option<Identity> {
    debug_assert!(IDENTITY.fields.iter().all(|field| TLS.field(field.name).is_some()));
    identity(reader, Some(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_scheme_host_and_port() {
        for (text, authority, port) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", 9000),
            ("https://api.Example.com", "api.example.com", 443),
            ("http://practice_system", "practice_system", 80),
            ("http://[::1]:81", "[::1]:81", 81),
            ("https://[2001:DB8::1]", "[2001:db8::1]", 443),
        ] {
            let endpoint = endpoint(text).unwrap();
            assert_eq!((endpoint.authority().as_str(), endpoint.port), (authority, port), "{text}");
        }
    }

    #[test]
    fn anything_more_in_a_url_is_refused() {
        for text in [
            "",
            "127.0.0.1:9000",
            "ftp://a",
            "http://",
            "http://a/",
            "http://a/v1",
            "http://a?b",
            "http://u:p@a",
            "http://a:0",
            "http://a:99999",
            "http://a:+80",
            "http://a b",
            "http://-a",
            "http://999.1.1.1",
            "http://::1",
            "http://[::1",
            "http://[::1]x",
            "http://a..b",
            "HTTP://a",
            "http://a#",
            "http://a:",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
