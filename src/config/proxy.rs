//! `proxy`: the limits and timers of the gateway listener. Each has a default that holds on the open internet.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Proxy;
use crate::config::format;
use crate::config::read::View;
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value::{self, Wrong};
use crate::config::yaml::Node;

pub(super) static PROXY: Record = Record {
    name: "`proxy`",
    fields: &[
        Field::new(
            "workers",
            Shape::WordOr(&["auto"], &Shape::Count { least: 1, most: 1024 }),
            "Threads that serve requests; auto is one a core.",
        )
        .default("auto"),
        // At 32 KiB a connection, this is what 1 GiB of memory holds.
        Field::new(
            "max_connections",
            Shape::Count { least: 1, most: 10_000_000 },
            "Connections that are open at once; one more is refused.",
        )
        .default("20000"),
        // A scan or a video of a treatment passes; an endless body does not.
        Field::new(
            "max_body",
            Shape::Size { least: "1B", most: "1TiB" },
            "The largest request body; a route may set its own.",
        )
        .default("100MiB"),
        // Four times what browsers and integrations send with long tokens.
        Field::new(
            "max_header_bytes",
            Shape::Size { least: "1KiB", most: "1MiB" },
            "The largest request head.",
        )
        .default("32KiB"),
        // The usual limit of servers behind us, so that nothing passes here and fails there.
        Field::new(
            "max_headers",
            Shape::Count { least: 1, most: 10_000 },
            "The most header fields of a request.",
        )
        .default("100"),
        // What most servers take as a request line.
        Field::new(
            "max_target",
            Shape::Size { least: "64B", most: "1MiB" },
            "The longest path with its query.",
        )
        .default("8KiB"),
        // A TLS handshake over a bad mobile line takes three seconds.
        Field::new("handshake_timeout", TIMER, "How long a TLS handshake may take.").default("10s"),
        // A head is one packet or two; slower is an attack or a broken line.
        Field::new("header_timeout", TIMER, "How long the whole head of a request may take.")
            .default("10s"),
        // Longer than a mobile line's pause between two cells.
        Field::new("body_timeout", TIMER, "How long a body may rest without a byte.")
            .default("30s"),
        // Slower than any modem; what is below it only holds a connection open.
        Field::new(
            "min_body_rate",
            Shape::Format(&BYTE_RATE),
            "The slowest body, averaged over 10 s.",
        )
        .default("1KiB/s"),
        // As long as a body may rest on its way in.
        Field::new("write_timeout", TIMER, "How long a caller may not read its answer.")
            .default("30s"),
        // What load balancers in front of us use, so that they close first.
        Field::new("idle_timeout", TIMER, "How long a connection is kept without a request.")
            .default("60s"),
        Field::new("http2", Shape::Record(&HTTP2), "HTTP/2 alone."),
        // As long as an upstream may take to answer by default: what is in flight gets through.
        Field::new(
            "drain",
            Shape::Duration { least: "0s", most: "1h" },
            "How long requests in flight may take after a stop was asked for.",
        )
        .default("30s"),
        // Nobody: an address that a caller can write is no address.
        Field::new(
            "trusted_proxies",
            Shape::List { of: &Shape::Format(&NETWORK), may_be_empty: true },
            "Addresses and networks whose X-Forwarded-For is believed.",
        )
        .default("[]"),
        Field::new(
            "cors",
            Shape::Record(&CORS),
            "Browsers that may call the gateway from another origin.",
        ),
        // A failover of the store takes seconds; longer than a minute, a revoked key would be served on.
        Field::new(
            "max_staleness",
            Shape::Duration { least: "1s", most: "1d" },
            "How long a shared store may be out of reach before requests are refused.",
        )
        .default("60s"),
    ],
};

const TIMER: Shape = Shape::Duration { least: "10ms", most: "1d" };

static HTTP2: Record = Record {
    name: "`http2`",
    // What RFC 9113 asks for as the least, and what bounds a rapid reset.
    fields: &[Field::new(
        "max_streams",
        Shape::Count { least: 1, most: 10_000 },
        "Requests at once on one connection.",
    )
    .default("100")],
};

static CORS: Record = Record {
    name: "`cors`",
    // None: an integration's keys have no place in a browser.
    fields: &[Field::new(
        "origins",
        Shape::List { of: &Shape::Format(&ORIGIN), may_be_empty: true },
        "Origins such as https://app.example.com.",
    )
    .default("[]")],
};

static BYTE_RATE: Format = Format {
    expected: "a rate such as 1KiB/s",
    check: |text| match value::byte_rate(text)? {
        0 => {
            Err(Wrong::because("a body of no bytes would pass for ever").hint("take one from 1B/s"))
        }
        _ => Ok(()),
    },
    pattern: Some("^[0-9]+([KMGT]i)?B?/s$"),
};

static NETWORK: Format = Format {
    expected: "an address or a network such as 10.0.0.0/8",
    check: |text| network(text).map(drop),
    pattern: Some("^[0-9A-Fa-f:.]+(/\\d{1,3})?$"),
};

static ORIGIN: Format = Format {
    expected: "an origin such as https://app.example.com",
    check: origin,
    pattern: Some("^https?://[^/?#@*A-Z]+$"),
};

fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| Wrong::default())?;
    if network.trunc() != network {
        return Err(Wrong::because("the address has bits behind the prefix")
            .hint(format!("did you mean {}?", network.trunc())));
    }
    Ok(network)
}

/// As a browser writes it in `Origin`, so that it can be compared byte for byte.
fn origin(text: &str) -> Result<(), Wrong> {
    if text == "*" {
        return Err(Wrong::because("every website would be let in").hint("name each origin"));
    }
    let lower = text.to_ascii_lowercase();
    if lower != text {
        return Err(Wrong::because("browsers write it in lower case")
            .hint(format!("did you mean {lower}?")));
    }
    let (https, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return Err(Wrong::because("it has no scheme").hint("take http or https")),
    };
    if let Some((host, _)) = rest.split_once(['/', '?', '#']) {
        let scheme = if https { "https" } else { "http" };
        return Err(Wrong::because("an origin has no path")
            .hint(format!("did you mean {scheme}://{host}?")));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let usual = if https { "443" } else { "80" };
    match port {
        Some(port) if port == usual => {
            return Err(Wrong::because("browsers leave the usual port out")
                .hint(format!("leave out :{port}")));
        }
        Some(port)
            if port.starts_with('0') || port.starts_with('+') || port.parse::<u16>().is_err() =>
        {
            return Err(Wrong::because("its port is not a number from 1 to 65535"));
        }
        Some(_) | None => {}
    }
    format::host(host.trim_start_matches('[').trim_end_matches(']')).map(drop)
}

pub(super) fn read(view: View<'_>) -> Proxy {
    let http2 = View::of(view.get("http2"), &HTTP2);
    let cors = View::of(view.get("cors"), &CORS);
    let texts = |items: &[Node]| {
        items
            .iter()
            .filter_map(|item| item.scalar().map(|scalar| scalar.text.clone()))
            .collect::<Vec<_>>()
    };
    Proxy {
        workers: view.text("workers").and_then(|text| text.parse().ok()),
        max_connections: view.count("max_connections"),
        max_body: view.size("max_body"),
        max_header_bytes: usize::try_from(view.size("max_header_bytes")).unwrap_or(usize::MAX),
        max_headers: view.count("max_headers"),
        max_target: usize::try_from(view.size("max_target")).unwrap_or(usize::MAX),
        handshake_timeout: view.duration("handshake_timeout"),
        header_timeout: view.duration("header_timeout"),
        body_timeout: view.duration("body_timeout"),
        min_body_rate: view.byte_rate("min_body_rate"),
        write_timeout: view.duration("write_timeout"),
        idle_timeout: view.duration("idle_timeout"),
        max_streams: http2.count("max_streams"),
        drain: view.duration("drain"),
        trusted_proxies: texts(view.items("trusted_proxies"))
            .iter()
            .filter_map(|text| network(text).ok())
            .collect(),
        cors_origins: texts(cors.items("origins")),
        max_staleness: view.duration("max_staleness"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for text in ["https://app.example.com", "http://localhost:3000", "https://[::1]:8443"] {
            assert_eq!(origin(text), Ok(()), "{text}");
        }
        for text in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://App.example.com",
            "https://a:443",
            "https://*.a.com",
            "https://u@a",
            "ftp://a",
            "https://a:0x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_addresses_or_clean_prefixes() {
        for text in ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"] {
            assert!(network(text).is_ok(), "{text}");
        }
        for text in ["10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0", ""] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
