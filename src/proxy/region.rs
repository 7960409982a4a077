//! Where a practice's requests may come in and go to: its region's host names, and its region's upstream.

use std::net::Ipv6Addr;

use crate::config;
use crate::model::{Caller, Refusal};
use crate::registry::view::Region;

/// Gives a caller the upstream of its practice's region, or the objection that it asked at another region's door. A
/// practice without a region is served anywhere.
pub(crate) fn place(caller: &mut Caller, home: Region, regions: &[config::Region], host: &str) {
    let Region::Here(position) = home else { return };
    // The view was compiled for the same configuration; were it not, no region's upstream is the practice's.
    let Some(region) = regions.get(position) else {
        caller.objection.get_or_insert(Refusal::WrongRegion { host: None });
        return;
    };
    caller.upstream = Some(region.upstream);
    if caller.objection.is_none() && !region.hosts.iter().any(|known| is_host(known, host)) {
        let host = region.hosts.first().map(|host| host.as_str().into());
        caller.objection = Some(Refusal::WrongRegion { host });
    }
}

/// Whether the `Host` of a request, which may have a port, is this one. A dot at the end of a name makes it no other
/// (RFC 1034, 3.1): resolvers drop it, and clients send it as it was typed.
fn is_host(known: &str, host: &str) -> bool {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        let same = |address: Ipv6Addr| known.parse() == Ok(address);
        return address.parse().is_ok_and(same);
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let [known, name] = [known, name].map(|name| name.strip_suffix('.').unwrap_or(name));
    known.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_case_brackets_and_the_root_make_no_other_host() {
        for host in [
            "api.au.example.com",
            "API.au.example.com",
            "api.au.example.com:8443",
            "api.au.example.com.",
            "api.au.example.com.:8443",
        ] {
            assert!(is_host("api.au.example.com", host), "{host}");
            assert!(is_host("api.au.example.com.", host), "{host}");
        }
        assert!(!is_host("api.au.example.com", "api.au.example.com.."));
        for host in ["[::1]", "[::1]:8080", "[0:0::1]:1"] {
            assert!(is_host("::1", host), "{host}");
        }
        for host in ["example.com", "api.au.example.com.evil", "xapi.au.example.com", "[::1]", ""] {
            assert!(!is_host("api.au.example.com", host), "{host}");
        }
    }
}
