//! `listen`: where the gateway and its admin listener answer, and with which certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value::Wrong;
use crate::config::yaml::{Kind, Node};
use crate::config::{GatewayListener, Identity, Listen, PemFile};

pub(super) static LISTEN: Record = Record {
    name: "`listen`",
    fields: &[
        Field::new(
            "gateway",
            GATEWAY,
            "What integrations call: an address, or a list of addresses and of { address, tls }.",
        )
        .required("gateway: 127.0.0.1:8080"),
        // Loopback: whoever opens the admin listener to a network does so knowingly.
        Field::new(
            "admin",
            Shape::Format(&ADDRESS),
            "Console, admin API, /healthz, /readyz and /metrics.",
        )
        .default("127.0.0.1:8081"),
        Field::new(
            "tls",
            Shape::Record(&IDENTITY),
            "The certificate of gateway addresses without their own; reloaded when the files change.",
        ),
        Field::new("admin_tls", Shape::Record(&IDENTITY), "The certificate of the admin listener."),
    ],
};

const GATEWAY: Shape = Shape::ByKind {
    scalar: Some(&Shape::Format(&ADDRESS)),
    list: Some(&Shape::List {
        of: &Shape::ByKind {
            scalar: Some(&Shape::Format(&ADDRESS)),
            list: None,
            mapping: Some(&Shape::Record(&LISTENER)),
        },
        may_be_empty: false,
    }),
    mapping: Some(&Shape::Record(&LISTENER)),
};

static LISTENER: Record = Record {
    name: "a gateway listener",
    fields: &[
        Field::new("address", Shape::Format(&ADDRESS), "An IP address and a port.")
            .required("address: 127.0.0.1:8080"),
        Field::new("tls", Shape::Record(&IDENTITY), "The certificate of this address."),
    ],
};

pub(super) static IDENTITY: Record = Record {
    name: "`tls`",
    fields: &[
        Field::new(
            "certificate",
            Shape::Format(&format::FILE),
            "A PEM file with the certificate and its chain.",
        )
        .required("certificate: gateway.crt"),
        Field::new("private_key", Shape::Format(&format::FILE), "A PEM file with the private key.")
            .required("private_key: gateway.key"),
    ],
};

static ADDRESS: Format = Format {
    expected: "an address such as 127.0.0.1:8080",
    check: |text| address(text).map(drop),
    pattern: Some("^(\\d+\\.\\d+\\.\\d+\\.\\d+|\\[[0-9A-Fa-f:.%]+\\]):\\d{1,5}$"),
};

/// An IP address and a port. Names are not looked up: what is listened on must not depend on a resolver.
fn address(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Err(Wrong::because("it has no port")
            .hint(format!("did you mean {}?", SocketAddr::new(ip, 8080))));
    }
    let bare =
        text.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
    let (host, port) = bare.rsplit_once(':').unwrap_or(("localhost", bare));
    let Ok(port) = port.parse::<u16>() else {
        return Err(Wrong::default());
    };
    let ip = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        host => host
            .trim_matches(['[', ']'])
            .parse()
            .map_err(|_| Wrong::because("a name is not listened on; write the IP address"))?,
    };
    Err(Wrong::default().hint(format!("did you mean {}?", SocketAddr::new(ip, port))))
}

pub(super) fn read(reader: &mut Reader<'_>, view: View<'_>) -> Listen {
    let shared = identity(reader, view.get("tls"));
    let mut taken: Vec<(SocketAddr, usize)> = Vec::new();
    let mut gateway = Vec::new();
    let mut all_have_their_own = true;
    for item in view.items("gateway") {
        let listener = View::of(Some(item), &LISTENER);
        let (node, tls) = match item.kind {
            Kind::Mapping(_) => (listener.get("address"), listener.get("tls")),
            Kind::Scalar(_) | Kind::Sequence(_) => (Some(item), None),
        };
        let Some((node, address)) = node.and_then(located) else { continue };
        refuse_overlap(reader, &taken, node, address);
        taken.push((address, node.place.line));
        all_have_their_own &= tls.is_some();
        let tls = identity(reader, tls).or_else(|| shared.clone());
        gateway.push(GatewayListener { address, tls });
    }
    if let Some(unused) = view.get("tls").filter(|_| all_have_their_own && !gateway.is_empty()) {
        let message = "`tls` has no effect: every gateway address has its own";
        reader.fault(Fault::new(unused.place.clone(), message).hint("leave one of them out"));
    }
    let fallback = view.text("admin").and_then(|text| address(text).ok());
    let admin = fallback.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0));
    // An admin address by default may meet a gateway address too; the fault then stands at the gateway's.
    if let Some(node) = view.get("admin").or_else(|| view.get("gateway")) {
        refuse_overlap(reader, &taken, node, admin);
    }
    let admin_tls = identity(reader, view.get("admin_tls"));
    Listen { gateway, admin, admin_tls }
}

fn located(node: &Node) -> Option<(&Node, SocketAddr)> {
    Some((node, address(&node.scalar()?.text).ok()?))
}

fn refuse_overlap(
    reader: &mut Reader<'_>,
    taken: &[(SocketAddr, usize)],
    node: &Node,
    address: SocketAddr,
) {
    let meets = |other: &SocketAddr| {
        let any = other.ip().is_unspecified() || address.ip().is_unspecified();
        let family = other.is_ipv4() == address.is_ipv4();
        address.port() != 0
            && address.port() == other.port()
            && (other.ip() == address.ip() || any && family)
    };
    if let Some((other, line)) = taken.iter().find(|(other, _)| meets(other)) {
        let message = format!("{address} and {other} on line {line} are the same place to listen");
        reader.fault(Fault::new(node.place.clone(), message).hint("give one of them another port"));
    }
}

/// Reads a certificate and its key, where both are named.
pub(super) fn identity(reader: &mut Reader<'_>, node: Option<&Node>) -> Option<Identity> {
    let view = View::of(Some(node?), &IDENTITY);
    let certificate = pem(reader, view.get("certificate"));
    let private_key = pem(reader, view.get("private_key"));
    Some(Identity { certificate: certificate?, private_key: private_key? })
}

pub(super) fn pem(reader: &mut Reader<'_>, node: Option<&Node>) -> Option<PemFile> {
    let node = node?;
    let path = &node.scalar()?.text;
    if path.is_empty() {
        return None;
    }
    match reader.file(path, &node.place) {
        Ok((_, bytes)) => {
            Some(PemFile { path: reader.resolve(path), bytes, place: node.place.clone() })
        }
        Err(fault) => {
            reader.fault(fault);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_quite_one_come_with_a_remedy() {
        for (text, meant) in [
            ("localhost:8080", "did you mean 127.0.0.1:8080?"),
            (":8080", "did you mean 0.0.0.0:8080?"),
            ("*:8080", "did you mean 0.0.0.0:8080?"),
            ("8080", "did you mean 127.0.0.1:8080?"),
            ("127.0.0.1", "did you mean 127.0.0.1:8080?"),
            ("::1", "did you mean [::1]:8080?"),
            ("::1:8080", "did you mean [::1:8080]:8080?"),
            ("http://127.0.0.1:80/", "did you mean 127.0.0.1:80?"),
        ] {
            assert_eq!(address(text).unwrap_err().hint.as_deref(), Some(meant), "{text}");
        }
        for text in ["gateway.example.com:80", "127.0.0.1:99999", "", "a:b"] {
            assert!(address(text).is_err(), "{text}");
        }
        assert!(address("[::1]:0").is_ok());
    }
}
