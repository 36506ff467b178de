//! Which addresses a name may lead to. A name that the operator granted is somebody else's to resolve: whoever answers for it
//! must not be able to point a plugin at this machine, its network, or the service that hands out the machine's own
//! credentials. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who can be behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anybody on the Internet: a granted name may lead there.
    Public,
    /// This machine or its neighbours, and in which way: only where the operator wrote the address or its network.
    Near(&'static str),
    /// What no service listens at by accident: only where the operator wrote this very address.
    Special(&'static str),
}

/// Services that give a machine's credentials to whoever asks: AWS and most others, AWS over IPv6, Alibaba, Oracle, Azure's
/// host agent.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// AWS hands out the credentials of containers (ECS, EKS) from more than one address of this network.
const METADATA_AWS: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 168, 0), 21);

/// What an address is, by the registries of special-purpose addresses (RFC 6890, IANA).
pub(crate) fn reach(address: IpAddr) -> Reach {
    let address = plain(address);
    if METADATA.contains(&address) || contains(METADATA_AWS.0.into(), METADATA_AWS.1, address) {
        return Reach::Special("a service that hands out this machine's credentials");
    }
    if address.is_unspecified() {
        return Reach::Special("the unspecified address");
    }
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Reach::Special("a multicast or broadcast address");
    }
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Reach::Near("this machine"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Reach::Near("a private address"),
        (169, 254, _) => Reach::Near("a link-local address"),
        (100, 64..=127, _) => Reach::Near("a carrier's shared address"),
        (0 | 240..=255, ..) | (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => {
            Reach::Near("a reserved address")
        }
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Near("this machine"),
        [0xfc00..=0xfdff, ..] => Reach::Near("a private address"),
        [0xfe80..=0xfebf, ..] => Reach::Near("a link-local address"),
        // Global unicast, without what is for documentation (3fff::/20 too), tunnels (Teredo) and protocols.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Near("a reserved address"),
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Near("a reserved address"),
    }
}

/// The address that is meant: IPv4 inside of IPv6 (mapped, compatible, NAT64, 6to4) is that IPv4 address.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            v4(high, low)
        }
        _ => address,
    }
}

/// Whether a network holds an address; those of the two families never hold each other's.
pub(crate) fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let same = |a: u128, b: u128, bits: u8| {
        let shift = u32::from(bits.saturating_sub(prefix));
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        reach(text.parse().unwrap())
    }

    #[test]
    fn what_is_near_is_known_in_every_spelling() {
        for near in [
            "127.0.0.1",
            "127.1.2.3",
            "::1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "0.1.2.3",
            "240.0.0.1",
            "198.18.0.1",
            "203.0.113.9",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "64:ff9b:1::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.1.2.3",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ] {
            assert!(matches!(of(near), Reach::Near(_)), "{near}: {:?}", of(near));
        }
    }

    #[test]
    fn what_hands_out_credentials_is_special_in_every_spelling() {
        for special in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "::ffff:0.0.0.0",
        ] {
            assert!(matches!(of(special), Reach::Special(_)), "{special}: {:?}", of(special));
        }
    }

    #[test]
    fn the_rest_is_public() {
        for public in
            ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.167.1.1", "2606:4700::1111"]
        {
            assert_eq!(of(public), Reach::Public, "{public}");
        }
        assert_eq!(of("64:ff9b::1.1.1.1"), Reach::Public);
    }

    #[test]
    fn a_network_holds_its_own_and_no_other() {
        let holds =
            |network: &str, prefix, address: &str| contains(network.parse().unwrap(), prefix, address.parse().unwrap());
        assert!(holds("10.0.0.0", 8, "10.255.0.1") && !holds("10.0.0.0", 8, "11.0.0.0"));
        assert!(holds("0.0.0.0", 0, "9.9.9.9") && !holds("0.0.0.0", 0, "::1"));
        assert!(holds("fd00::", 8, "fd12::1") && !holds("fd00::", 8, "fc00::1") && holds("::", 0, "fd12::1"));
        assert!(holds("10.0.0.1", 32, "10.0.0.1") && !holds("10.0.0.1", 32, "10.0.0.2"));
    }
}
