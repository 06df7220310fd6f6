//! The PROXY protocol, versions 1 and 2: the header in which a balancer says, before the first
//! byte of a connection, whose it is. Where it is expected it is mandatory; whether the peer may
//! send one is for those who know its address.
//!
//! ```text
//!   "PROXY TCP4 192.0.2.7 192.0.2.1 51000 443\r\n"                          version 1, a line
//!   signature (12) · version, command · family · length (2) · addresses · TLVs      version 2
//! ```
//!
//! A header is judged as it comes: what can't become one is refused at once. `LOCAL`, `UNKNOWN` and
//! families without an address of the internet keep the peer's own address. Nothing is believed but
//! what the header's own length covers: addresses and every TLV have to fit it exactly, and a
//! checksum has to be right.
//!
//! Must not know sockets. Limits: those of the PROXY protocol in `base::limits`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

use nudged_base::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};

/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before its addresses.
const FIXED_BYTES: usize = 16;
/// The kind of a TLV that has a CRC32C of the whole header.
const CHECKSUM: u8 = 3;

/// Why a connection has no usable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyRefusal {
    /// It begins with something else.
    Missing,
    /// It breaks a rule of the protocol.
    Malformed,
    /// It is longer than any header may be.
    TooLong,
    /// Its checksum is wrong.
    Checksum,
}

impl ProxyRefusal {
    /// Its name in metrics.
    pub fn code(self) -> &'static str {
        match self {
            ProxyRefusal::Missing => "missing",
            ProxyRefusal::Malformed => "malformed",
            ProxyRefusal::TooLong => "too_long",
            ProxyRefusal::Checksum => "checksum",
        }
    }
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Whose connection it is; `None` where that is the peer itself.
    pub source: Option<SocketAddr>,
    /// How many of the bytes it was read from are its own.
    pub bytes: usize,
}

/// Reads the header at the start of a connection, however its bytes arrive. Allocates only where
/// they come in more than one piece.
#[derive(Debug, Default)]
pub struct ProxyReader {
    /// The begin of a header whose rest is still to come.
    kept: Vec<u8>,
}

impl ProxyReader {
    /// Takes bytes that have arrived; `None` while more of the header must come. The header's
    /// `bytes` are those of the present ones that belong to it: what the connection says itself
    /// comes behind them.
    ///
    /// # Errors
    /// What has come can't become a header.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyRefusal> {
        if self.kept.is_empty() {
            let found = parse(bytes)?;
            if found.is_none() {
                self.kept.extend_from_slice(bytes);
            }
            return Ok(found);
        }
        let before = self.kept.len();
        let room = PROXY_HEADER_BYTES_MAX.saturating_sub(before);
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let found = parse(&self.kept)?;
        let of_these = |header: ProxyHeader| {
            debug_assert!(header.bytes > before, "it was not whole before");
            ProxyHeader { bytes: header.bytes - before, ..header }
        };
        Ok(found.map(of_these))
    }

    /// Whether a header has begun and not ended.
    pub fn has_begun(&self) -> bool {
        !self.kept.is_empty()
    }
}

/// Reads the header that `bytes` begin with; `None` while more must come.
fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyRefusal> {
    let agrees = |with: &[u8]| bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted);
    if agrees(SIGNATURE) {
        parse_binary(bytes)
    } else if agrees(WORD) {
        parse_line(bytes)
    } else {
        Err(ProxyRefusal::Missing)
    }
}

/// Version 1. Its line is ASCII, with single spaces, and ends in CR LF.
fn parse_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyRefusal> {
    let seen = &bytes[..bytes.len().min(PROXY_LINE_BYTES_MAX)];
    let text = seen.iter().take_while(|byte| matches!(byte, b' '..=b'~')).count();
    match seen[text..] {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] if seen.len() < PROXY_LINE_BYTES_MAX => return Ok(None),
        [] | [b'\r'] => return Err(ProxyRefusal::TooLong),
        _ => return Err(ProxyRefusal::Malformed),
    }
    let line = str::from_utf8(&seen[WORD.len()..text]).map_err(|_| ProxyRefusal::Malformed)?;
    let source = source_of_line(line).ok_or(ProxyRefusal::Malformed)?;
    Ok(Some(ProxyHeader { source, bytes: text + 2 }))
}

/// What stands behind the first word: `None` where it is malformed.
fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    if family == "UNKNOWN" {
        return Some(None);
    }
    let mut words = rest.split(' ');
    let mut next = || words.next();
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    let _ = destination_port;
    if words.next().is_some() {
        return None;
    }
    let source = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination)?,
        "TCP6" => both::<Ipv6Addr>(source, destination)?,
        _ => return None,
    };
    Some(Some(SocketAddr::new(source, source_port)))
}

/// The first of two addresses of one family.
fn both<A: FromStr + Into<IpAddr>>(source: &str, destination: &str) -> Option<IpAddr> {
    destination.parse::<A>().ok()?;
    source.parse::<A>().ok().map(Into::into)
}

/// A port without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain && is_short)
}

/// What the address block of version 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressFamily {
    /// It is to be ignored, and all behind it.
    Unspecified,
    V4,
    V6,
    /// Paths of unix sockets: the peer's own address says more.
    Unix,
}

impl AddressFamily {
    /// The family of a stream's addresses. Datagrams don't come here.
    fn of(byte: u8) -> Option<AddressFamily> {
        match byte {
            0x00 => Some(AddressFamily::Unspecified),
            0x11 => Some(AddressFamily::V4),
            0x21 => Some(AddressFamily::V6),
            0x31 => Some(AddressFamily::Unix),
            _ => None,
        }
    }

    fn address_bytes(self) -> usize {
        match self {
            AddressFamily::Unspecified => 0,
            AddressFamily::V4 => 12,
            AddressFamily::V6 => 36,
            AddressFamily::Unix => 216,
        }
    }
}

/// Version 2. `bytes` agree with its signature as far as they go.
fn parse_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyRefusal> {
    let malformed = ProxyRefusal::Malformed;
    let at = |index: usize| bytes.get(index).copied();
    let is_local = match at(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(malformed),
    };
    let Some(family) = at(13) else { return Ok(None) };
    // What stands behind a LOCAL is to be skipped, its family too.
    let family = match is_local {
        true => AddressFamily::Unspecified,
        false => AddressFamily::of(family).ok_or(malformed)?,
    };
    let (Some(high), Some(low)) = (at(14), at(15)) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < family.address_bytes() {
        return Err(malformed);
    }
    let whole = FIXED_BYTES + length;
    if whole > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyRefusal::TooLong);
    }
    let Some(header) = bytes.get(..whole) else { return Ok(None) };
    if family != AddressFamily::Unspecified {
        check_values(header, FIXED_BYTES + family.address_bytes())?;
    }
    let source = source_of_block(family, &header[FIXED_BYTES..]);
    Ok(Some(ProxyHeader { source, bytes: whole }))
}

fn source_of_block(family: AddressFamily, block: &[u8]) -> Option<SocketAddr> {
    let port_at = |index: usize| u16::from_be_bytes([block[index], block[index + 1]]);
    match family {
        AddressFamily::Unspecified | AddressFamily::Unix => None,
        AddressFamily::V4 => {
            let address: [u8; 4] = block[..4].try_into().expect("4 bytes");
            Some(SocketAddr::new(address.into(), port_at(8)))
        }
        AddressFamily::V6 => {
            let address: [u8; 16] = block[..16].try_into().expect("16 bytes");
            Some(SocketAddr::new(IpAddr::from(address).to_canonical(), port_at(32)))
        }
    }
}

/// Walks over the TLVs that fill a header from `from` on.
fn check_values(header: &[u8], from: usize) -> Result<(), ProxyRefusal> {
    let (mut at, mut is_checked) = (from, false);
    while at < header.len() {
        let [kind, high, low] = header
            .get(at..at + 3)
            .and_then(|head| head.try_into().ok())
            .ok_or(ProxyRefusal::Malformed)?;
        let begin = at + 3;
        at = begin + usize::from(u16::from_be_bytes([high, low]));
        let value = header.get(begin..at).ok_or(ProxyRefusal::Malformed)?;
        if kind == CHECKSUM {
            let told: [u8; 4] = value.try_into().map_err(|_| ProxyRefusal::Malformed)?;
            if std::mem::replace(&mut is_checked, true) {
                return Err(ProxyRefusal::Malformed);
            }
            // As if the sum itself were zero.
            let sum = crc32c::crc32c(&header[..begin]);
            let sum = crc32c::crc32c_append(sum, &[0; 4]);
            let sum = crc32c::crc32c_append(sum, &header[at..]);
            if sum != u32::from_be_bytes(told) {
                return Err(ProxyRefusal::Checksum);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
