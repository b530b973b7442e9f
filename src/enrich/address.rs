//! Address of the client: `rs_info.ip`, masked so that it no longer names one household.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::ControlFlow,
};

use serde::{Deserialize, Serialize};

use super::{Enricher, Origins};
use crate::{
    collect::{DropReason, Hit},
    schema::Event,
};

/// What is kept of the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpMask {
    /// The network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 one.
    #[default]
    Masked,
    /// Nothing.
    None,
    /// The whole address.
    Full,
}

impl IpMask {
    /// What is kept of `ip`. An IPv4 address inside an IPv6 one counts as what it is.
    pub fn apply(self, ip: IpAddr) -> Option<IpAddr> {
        match (self, ip.to_canonical()) {
            (IpMask::None, _) => None,
            (IpMask::Full, ip) => Some(ip),
            (IpMask::Masked, IpAddr::V4(v4)) => Some(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into()),
            (IpMask::Masked, IpAddr::V6(v6)) => Some(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into()),
        }
    }
}

/// The step.
pub struct Address {
    mask: IpMask,
}

impl Address {
    /// A step that keeps what `mask` says.
    pub fn new(mask: IpMask) -> Address {
        Address { mask }
    }
}

impl Enricher for Address {
    fn name(&self) -> &'static str {
        "address"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        if let Some(kept) = self.mask.apply(hit.client_ip) {
            event.info_mut().ip = Some(text(kept).into());
        }
        ControlFlow::Continue(())
    }

    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        let kept = if self.mask == IpMask::Masked { ", its network only" } else { "" };
        let origin = match hit.client_named_in {
            Some(header) => format!("header {header}{kept}"),
            None => format!("address of the peer of the connection{kept}"),
        };
        origins.note_new(before, after, |_| Some(origin.clone()));
    }
}

/// As the standard library writes it, whose formatting takes ten times as long for the four numbers of IPv4.
fn text(ip: IpAddr) -> String {
    let IpAddr::V4(v4) = ip else { return ip.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (index, octet) in v4.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        let digit = |unit: u8| char::from(b'0' + octet / unit % 10);
        if octet >= 100 {
            text.push(digit(100));
        }
        if octet >= 10 {
            text.push(digit(10));
        }
        text.push(digit(1));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_written_like_everywhere() {
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 0, 255 - octet, 9]);
            assert_eq!(text(ip), ip.to_string());
        }
        let ip: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(text(ip), ip.to_string());
    }

    #[test]
    fn a_masked_address_keeps_the_network_only() {
        for (ip, kept) in [
            ("203.0.113.77", "203.0.113.0"),
            ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
        ] {
            assert_eq!(IpMask::Masked.apply(ip.parse().unwrap()), Some(kept.parse().unwrap()));
        }
        let ip: IpAddr = "203.0.113.77".parse().unwrap();
        assert_eq!(IpMask::Full.apply(ip), Some(ip));
        assert_eq!(IpMask::None.apply(ip), None);
    }
}
