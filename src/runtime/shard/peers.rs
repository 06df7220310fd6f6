//! Room for the addresses of those who connect: one place for each accept that is under way, which
//! the kernel writes when it completes. A direct descriptor has no number by which its peer could
//! be asked for later.

use std::net::IpAddr;

/// Bytes of the largest address.
const ADDRESS_BYTES: usize = 128;

/// One place, as the kernel knows it: `sockaddr_storage`, and its length.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
struct PeerAddress {
    bytes: [u8; ADDRESS_BYTES],
    length: libc::socklen_t,
}

/// The places of one listener.
#[derive(Debug)]
pub struct PeerAddresses {
    /// Never grows, so that none of them moves.
    places: Box<[PeerAddress]>,
    free: Vec<u32>,
}

impl PeerAddresses {
    /// Room for so many accepts at once.
    pub fn new(accepts: u32) -> PeerAddresses {
        let empty = PeerAddress { bytes: [0; ADDRESS_BYTES], length: 0 };
        let places = vec![empty; accepts as usize].into_boxed_slice();
        PeerAddresses { places, free: (0..accepts).collect() }
    }

    /// Takes a free place, for the kernel to write; gives its number, and where address and length
    /// lie. They are the kernel's until [`PeerAddresses::give_back`].
    ///
    /// # Panics
    /// Where there is none: the caller bounds its accepts by their number.
    pub(super) fn take(&mut self) -> (u32, *mut libc::sockaddr, *mut libc::socklen_t) {
        let number = self.free.pop().expect("a place for each accept");
        let place = &mut self.places[number as usize];
        place.bytes = [0; ADDRESS_BYTES];
        place.length = u32::try_from(ADDRESS_BYTES).expect("128 bytes");
        (number, (&raw mut place.bytes).cast(), &raw mut place.length)
    }

    /// Takes a place back once its accept has completed; gives the address that the kernel wrote.
    pub(super) fn give_back(&mut self, number: u32) -> Option<IpAddr> {
        debug_assert!(!self.free.contains(&number), "an accept completes once");
        self.free.push(number);
        address_of(&self.places[number as usize].bytes)
    }
}

/// The address in a `sockaddr` of the internet.
fn address_of(bytes: &[u8; ADDRESS_BYTES]) -> Option<IpAddr> {
    match i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])) {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(&bytes[4..8]).ok()?)),
        libc::AF_INET6 => {
            Some(IpAddr::from(<[u8; 16]>::try_from(&bytes[8..24]).ok()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back_with_what_was_written() {
        let mut peers = PeerAddresses::new(2);
        let (first, address, _) = peers.take();
        let (second, _, _) = peers.take();
        assert_ne!(first, second);
        assert!(!address.is_null());
        assert_eq!(peers.give_back(second), None, "the kernel wrote nothing");
        let place = &mut peers.places[first as usize];
        place.bytes[..2].copy_from_slice(&u16::try_from(libc::AF_INET).unwrap().to_ne_bytes());
        place.bytes[4..8].copy_from_slice(&[10, 0, 0, 7]);
        assert_eq!(peers.give_back(first), Some("10.0.0.7".parse().unwrap()));
        let mut mapped = [0; ADDRESS_BYTES];
        mapped[..2].copy_from_slice(&u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes());
        mapped[18..24].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 7]);
        assert_eq!(address_of(&mapped), Some("10.0.0.7".parse().unwrap()));
    }
}
