//! Networks of the internet, as operators write them: `10.0.0.0/8`, `2001:db8::/32`, or one
//! address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first of them.
    address: IpAddr,
    /// How many bits they share: 0 to 32, or 128.
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkRefusal {
    /// It is not written like one.
    Malformed,
    /// Its address lies within the network and is not its first: this would be the network.
    Inside(Network),
}

impl Network {
    /// Whether an address is one of them. One of IPv4 is that in whichever way a socket tells it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && begin(address, self.prefix) == begin(self.address, self.prefix)
    }
}

/// The bits of an address that networks of this prefix share, the others zero.
fn begin(address: IpAddr, prefix: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let rest = width - u32::from(prefix);
    bits.checked_shr(rest).unwrap_or(0).checked_shl(rest).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkRefusal;

    fn from_str(text: &str) -> Result<Network, NetworkRefusal> {
        let malformed = NetworkRefusal::Malformed;
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            Some(prefix) => Some(prefix).filter(is_number).and_then(|prefix| prefix.parse().ok()),
            None => Some(width),
        };
        let prefix = prefix.filter(|prefix| *prefix <= width).ok_or(malformed)?;
        let first = begin(address, prefix);
        let network = match address {
            IpAddr::V4(_) => {
                let bits = u32::try_from(first).expect("32 bits");
                Network { address: IpAddr::V4(bits.into()), prefix }
            }
            IpAddr::V6(_) => Network { address: IpAddr::V6(first.into()), prefix },
        };
        match network.address == address {
            true => Ok(network),
            false => Err(NetworkRefusal::Inside(network)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_begins_like_them() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("0.0.0.0/0", "255.1.1.1", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
        ];
        for (network, inside, outside) in table {
            let read: Network = network.parse().unwrap();
            assert!(read.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!read.contains(outside.parse().unwrap()), "{network} {outside}");
            let again: Network = read.to_string().parse().unwrap();
            assert_eq!(again, read);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let malformed =
            ["", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/+8"];
        for text in malformed {
            assert_eq!(text.parse::<Network>(), Err(NetworkRefusal::Malformed), "{text}");
        }
        for (text, first) in [("10.0.0.5/8", "10.0.0.0/8"), ("2001:db8::5/32", "2001:db8::/32")] {
            let network = first.parse().unwrap();
            assert_eq!(text.parse::<Network>(), Err(NetworkRefusal::Inside(network)), "{text}");
        }
    }
}
