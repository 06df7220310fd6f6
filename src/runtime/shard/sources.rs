//! Connections by their source, all shards of a node together: only where a bound is set for them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// Bits of an IPv6 address that tell one source from another: whoever has one has all of a /64.
const SOURCE_BITS: u32 = 64;

/// How many connections each source has open. One entry a source that has any, so that it is
/// bounded by the connections. A lock, which is held for one look-up at an accept or close.
#[derive(Debug)]
pub(super) struct SourceCounts {
    most: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

impl SourceCounts {
    /// None yet; at most so many of each.
    pub(super) fn new(most: u32) -> SourceCounts {
        SourceCounts { most, open: Mutex::default() }
    }

    /// Counts one more connection of an address's source, where it may have it: gives the source,
    /// for [`SourceCounts::leave`].
    pub(super) fn enter(&self, address: IpAddr) -> Option<IpAddr> {
        let source = source_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_insert(0);
        let is_free = *count < self.most;
        *count += u32::from(is_free);
        is_free.then_some(source)
    }

    /// One of a source's connections is closed.
    pub(super) fn leave(&self, source: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = open.get_mut(&source) else { return };
        *count -= 1;
        if *count == 0 {
            open.remove(&source);
        }
    }
}

fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> SOURCE_BITS << SOURCE_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_bound_and_leaves_nothing_behind() {
        let counts = SourceCounts::new(2);
        let of = |text: &str| counts.enter(text.parse().unwrap());
        let first = of("192.0.2.7").unwrap();
        assert_eq!(of("::ffff:192.0.2.7"), Some(first), "one address, told in two ways");
        assert_eq!(of("192.0.2.7"), None);
        assert!(of("192.0.2.8").is_some());
        let sixth = of("2001:db8::1").unwrap();
        assert_eq!(of("2001:db8::ffff:2"), Some(sixth));
        assert_eq!(of("2001:db8::3"), None);
        assert!(of("2001:db8:0:1::1").is_some());
        counts.leave(first);
        assert_eq!(of("192.0.2.7"), Some(first));
        for source in [first, first, sixth, sixth] {
            counts.leave(source);
        }
        counts.leave("192.0.2.8".parse().unwrap());
        counts.leave("2001:db8:0:1::".parse().unwrap());
        assert!(counts.open.lock().unwrap().is_empty());
    }
}
