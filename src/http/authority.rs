//! `host[:port]`, as in `Host` and in targets of absolute form. Knows nothing of requests.

use std::net::Ipv6Addr;

/// A host with the port that was given for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'b> {
    host: &'b [u8],
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Reads an authority: a name or IPv4 address of RFC 3986 without commas and percent signs, or
    /// an IPv6 address in brackets; then, at will, a colon and a port, which may be empty. None
    /// where it is empty or anything else stands in it, such as userinfo or a path.
    pub(super) fn parse(bytes: &'b [u8]) -> Option<Authority<'b>> {
        let host_length = match bytes.first()? {
            b'[' => ipv6_length(bytes)?,
            _ => name_length(bytes),
        };
        let (host, rest) = bytes.split_at(host_length);
        let port = match rest {
            _ if host.is_empty() => return None,
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        Some(Authority { host, port })
    }

    /// Whether two authorities name the same place, where a port that is absent is
    /// `default_port`.
    pub(super) fn agrees(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Bytes of a name: unreserved ones and delimiters of RFC 3986, but for the comma.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
            || matches!(byte, b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    table
};

fn name_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !NAME[usize::from(*byte)]).unwrap_or(bytes.len())
}

fn ipv6_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b']')?;
    let address = std::str::from_utf8(&bytes[1..end]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(end + 1)
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum: u32, digit| sum * 10 + u32::from(digit - b'0'));
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_with_ports_are_authorities() {
        let good = [
            "a",
            "a.b",
            "127.0.0.1:8080",
            "a:",
            "a:0",
            "a:65535",
            "[::1]",
            "[::1]:80",
            "x_y",
            "a!b",
            "[2001:db8::7]:",
            "EXAMPLE.com",
        ];
        let bad = [
            "",
            ":",
            ":80",
            "a:b",
            "a:65536",
            "a:123456",
            "a:+1",
            "a@b",
            "a/b",
            "a,b",
            "a b",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[]",
            "[v1.a]",
            "[::1%25eth0]",
            "::1",
            "a\\b",
            "a%41",
            "http://a",
            "a?b",
            "a#b",
            "é",
        ];
        for text in good {
            assert!(Authority::parse(text.as_bytes()).is_some(), "{text}");
        }
        for text in bad {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn agreement_ignores_case_and_knows_the_default_port() {
        let cases = [
            ("a.com", "A.COM", 80, true),
            ("a.com:80", "a.com", 80, true),
            ("a.com:", "a.com", 80, true),
            ("a.com:80", "a.com", 443, false),
            ("a.com", "b.com", 80, false),
            ("a.com:81", "a.com:82", 80, false),
        ];
        for (left, right, default_port, want) in cases {
            let parse = |text: &'static str| Authority::parse(text.as_bytes()).unwrap();
            assert_eq!(parse(left).agrees(&parse(right), default_port), want, "{left} {right}");
        }
    }
}
