//! The source of a datagram, at two levels: host and network.

use std::net::{IpAddr, Ipv4Addr};

/// The host of an address: an IPv4 address, or the /64 of an IPv6 address, which one host
/// may use.
pub fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => prefix(address.into(), 64),
    }
}

/// The network of an address: an IPv4 /16, or the IPv6 /48 that one site is assigned (RFC 6177).
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, _, _] = address.octets();
            Ipv4Addr::new(a, b, 0, 0).into()
        }
        IpAddr::V6(address) => prefix(address.into(), 48),
    }
}

fn prefix(address: u128, bits: u32) -> IpAddr {
    IpAddr::V6((address & !(u128::MAX >> bits)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(level: fn(IpAddr) -> IpAddr, text: &str) -> String {
        level(text.parse().unwrap()).to_string()
    }

    #[test]
    fn an_ipv6_host_is_its_64_bit_prefix_and_a_mapped_ipv4_address_itself() {
        assert_eq!(of(host, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of(host, "::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of(host, "192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn a_network_is_a_48_or_a_16_bit_prefix() {
        assert_eq!(of(network, "2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
        assert_eq!(of(network, "::ffff:192.0.2.1"), "192.0.0.0");
        assert_eq!(of(network, "192.0.2.1"), "192.0.0.0");
    }
}
