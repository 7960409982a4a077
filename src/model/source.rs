//! Where somebody calls from, as it is counted.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, however it is written, or the /64 of an IPv6 one, which is what one customer has.
pub fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}
