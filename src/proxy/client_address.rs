//! Whose request it is: the peer of the connection, or the address that trusted proxies hand on.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// Follows `X-Forwarded-For` from its end while those who wrote it are trusted. An entry that is no address ends the
/// walk: what stands before it was written by nobody we know.
pub(crate) fn client_address(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.is_empty() {
        return client;
    }
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let lines = headers.get_all("x-forwarded-for").into_iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries {
        if !is_trusted(&client) {
            return client;
        }
        let Some(address) = std::str::from_utf8(entry).ok().and_then(|text| address(text.trim()))
        else {
            return client;
        };
        client = address;
    }
    client
}

/// An address, bracketed or not, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, trusted: &[&str], forwarded: &[&str], expected: &str) {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let found = client_address(peer.parse().unwrap(), &trusted, &headers);
        assert_eq!(found.to_string(), expected, "{peer} {trusted:?} {forwarded:?}");
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
        check("203.0.113.9", &[], &["198.51.100.1"], "203.0.113.9");
        check("203.0.113.9", &["10.0.0.0/8"], &["198.51.100.1"], "203.0.113.9");
    }

    #[test]
    fn trusted_proxies_are_walked_past_from_the_right() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        check("10.0.0.1", &trusted, &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &trusted, &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &trusted, &["1.1.1.1", "198.51.100.1", "10.2.2.2"], "198.51.100.1");
        check("2001:db8::1", &trusted, &["2001:db8::2, 10.0.0.9"], "2001:db8::2");
        check("10.0.0.1", &trusted, &[], "10.0.0.1");
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_walk() {
        let trusted = ["10.0.0.0/8"];
        for bad in ["unknown", "", "10.0.0.256", "_hidden", "<script>"] {
            check("10.0.0.1", &trusted, &[&format!("198.51.100.1, {bad}")], "10.0.0.1");
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_folded() {
        let trusted = ["10.0.0.0/8"];
        check("::ffff:10.0.0.1", &trusted, &["198.51.100.1:4711"], "198.51.100.1");
        check("10.0.0.1", &trusted, &["[2001:db8::7]:443"], "2001:db8::7");
        check("10.0.0.1", &trusted, &["[2001:db8::7]"], "2001:db8::7");
        check("10.0.0.1", &trusted, &["::ffff:198.51.100.7"], "198.51.100.7");
    }
}
