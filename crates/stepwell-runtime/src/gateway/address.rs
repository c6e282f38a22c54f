//! Which addresses are public.
//!
//! From the registries of special-purpose addresses at IANA (RFC 6890 and what has been added since). IPv6 addresses that
//! stand for an IPv4 address are what that address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address, length of the prefix, what it is.
const V4: [(u32, u32, &str); 16] = [
    (0x0000_0000, 8, "an unspecified address"),
    (0x0a00_0000, 8, "a private address"),
    (0x6440_0000, 10, "an address behind a carrier's NAT"),
    (0x7f00_0000, 8, "a loopback address"),
    (0xa9fe_0000, 16, "a link-local address"),
    (0xac10_0000, 12, "a private address"),
    (0xc000_0000, 24, "a reserved address"),
    (0xc000_0200, 24, "a documentation address"),
    (0xc058_6300, 24, "a reserved address"),
    (0xc0a8_0000, 16, "a private address"),
    (0xc612_0000, 15, "an address for benchmarks"),
    (0xc633_6400, 24, "a documentation address"),
    (0xcb00_7100, 24, "a documentation address"),
    (0xe000_0000, 4, "a multicast address"),
    (0xffff_ffff, 32, "the broadcast address"),
    (0xf000_0000, 4, "a reserved address"),
];

/// Addresses within the public 2000::/3 that are not, and those outside of it that have a name of their own.
const V6: [(Ipv6Addr, u32, &str); 10] = [
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (prefix(0xfc00, 0), 7, "a unique-local address"),
    (prefix(0xfe80, 0), 10, "a link-local address"),
    (prefix(0xfec0, 0), 10, "a site-local address"),
    (prefix(0xff00, 0), 8, "a multicast address"),
    // Teredo, ORCHID, benchmarks and the like.
    (prefix(0x2001, 0), 23, "a reserved address"),
    (prefix(0x2001, 0x0db8), 32, "a documentation address"),
    (prefix(0x3fff, 0), 20, "a documentation address"),
    (prefix(0x5f00, 0), 16, "an address of segment routing"),
];

const fn prefix(first: u16, second: u16) -> Ipv6Addr {
    Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)
}

/// What kind of address this is, if it is not public.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => not_public_v4(address),
            None => not_public_v6(address),
        },
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |first: u32, length: u32| (address.to_bits() ^ first) >> (32 - length) == 0;
    V4.iter()
        .find(|(first, length, _)| within(*first, *length))
        .map(|(_, _, kind)| *kind)
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within =
        |first: Ipv6Addr, length: u32| (address.to_bits() ^ first.to_bits()) >> (128 - length) == 0;
    V6.iter()
        .find(|(first, length, _)| within(*first, *length))
        .map(|(_, _, kind)| *kind)
        .or_else(|| (!within(prefix(0x2000, 0), 3)).then_some("a reserved address"))
}

/// The IPv4 address that packets to this address end at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::not_public;

    #[test]
    fn what_is_not_public_is_named() {
        for (address, expected) in [
            ("0.0.0.0", "an unspecified address"),
            ("0.1.2.3", "an unspecified address"),
            ("10.0.0.0", "a private address"),
            ("10.255.255.255", "a private address"),
            ("100.64.0.0", "an address behind a carrier's NAT"),
            ("100.127.255.255", "an address behind a carrier's NAT"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.255.255", "a loopback address"),
            ("169.254.169.254", "a link-local address"),
            ("172.16.0.0", "a private address"),
            ("172.31.255.255", "a private address"),
            ("192.0.0.170", "a reserved address"),
            ("192.0.2.1", "a documentation address"),
            ("192.88.99.1", "a reserved address"),
            ("192.168.0.0", "a private address"),
            ("192.168.255.255", "a private address"),
            ("198.18.0.1", "an address for benchmarks"),
            ("198.19.255.255", "an address for benchmarks"),
            ("198.51.100.7", "a documentation address"),
            ("203.0.113.7", "a documentation address"),
            ("224.0.0.1", "a multicast address"),
            ("239.255.255.255", "a multicast address"),
            ("240.0.0.1", "a reserved address"),
            ("255.255.255.255", "the broadcast address"),
            ("::", "an unspecified address"),
            ("::1", "a loopback address"),
            ("::127.0.0.1", "a reserved address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("::ffff:10.1.2.3", "a private address"),
            ("::ffff:169.254.169.254", "a link-local address"),
            ("::ffff:0:10.1.2.3", "a private address"),
            ("64:ff9b::192.168.1.1", "a private address"),
            ("64:ff9b::127.0.0.1", "a loopback address"),
            ("64:ff9b:1::8.8.8.8", "a reserved address"),
            ("2002:7f00:1::", "a loopback address"),
            ("2002:a9fe:a9fe::1", "a link-local address"),
            ("100::1", "a reserved address"),
            ("2001::1", "a reserved address"),
            ("2001:db8::1", "a documentation address"),
            ("3fff:fff::1", "a documentation address"),
            ("5f00::1", "an address of segment routing"),
            ("fc00::1", "a unique-local address"),
            ("fdff::1", "a unique-local address"),
            ("fe80::1", "a link-local address"),
            ("febf::1", "a link-local address"),
            ("fec0::1", "a site-local address"),
            ("ff02::1", "a multicast address"),
            ("4000::1", "a reserved address"),
        ] {
            let found = not_public(address.parse().unwrap());
            assert_eq!(found, Some(expected), "{address}");
        }
    }

    #[test]
    fn the_neighbours_of_what_is_not_public_are() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2606:4700::1111",
            "3ffe::1",
        ] {
            assert_eq!(not_public(address.parse().unwrap()), None, "{address}");
        }
    }
}
