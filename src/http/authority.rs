//! `host[:port]`, as in `Host`, in targets of absolute form and in origins. Knows nothing of
//! requests.

use std::net::Ipv6Addr;

use nudged_base::word;

/// A host with the port that was given for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    host: &'b [u8],
    /// None where none is given, or an empty one.
    pub port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Reads an authority: a name of RFC 3986 without commas, percent-encoded bytes included, an
    /// IPv4 address, or in brackets an IPv6 address or one of a version to come; then, at will, a
    /// colon and a port, which may be empty. None where it is empty or anything else stands in it,
    /// such as userinfo, a path or the zone of an address.
    pub fn parse(bytes: &'b [u8]) -> Option<Authority<'b>> {
        let host_length = match bytes.first()? {
            b'[' => bracketed_length(bytes)?,
            _ => name_length(bytes)?,
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

    /// The name or address, which is ASCII: without brackets, and without the dot of a whole name.
    pub fn name(&self) -> &'b [u8] {
        let bare = self.host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        bare.unwrap_or_else(|| self.host.strip_suffix(b".").unwrap_or(self.host))
    }

    /// Whether two authorities name the same place, where a port that is absent is
    /// `default_port`.
    pub fn agrees(&self, other: &Authority<'_>, default_port: u16) -> bool {
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

fn is_name_byte(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

/// How many bytes of a name `bytes` start with, which is most likely of letters, digits, hyphens
/// and dots.
fn name_bytes(bytes: &[u8]) -> usize {
    let plain = word::position(bytes, |word| word.not_in_name() & word.not_digit_or_dot());
    plain + bytes[plain..].iter().take_while(|byte| is_name_byte(**byte)).count()
}

/// Length of the name that `bytes` start with; none where a percent sign in it encodes nothing.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += name_bytes(&bytes[at..]);
        match bytes.get(at..) {
            Some([b'%', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                at += 3;
            }
            Some([b'%', ..]) => return None,
            _ => return Some(at),
        }
    }
}

fn bracketed_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b']')?;
    let address = &bytes[1..end];
    let is_address = match address {
        [b'v' | b'V', future @ ..] => is_future(future),
        _ => std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().is_ok(),
    };
    is_address.then_some(end + 1)
}

/// Whether this follows the `v` of an address of a version to come: digits, a dot and an address
/// (RFC 3986, 3.2.2, "IPvFuture").
fn is_future(bytes: &[u8]) -> bool {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let [b'.', address @ ..] = &bytes[digits..] else { return false };
    let is_address = |byte: &u8| *byte == b':' || is_name_byte(*byte);
    digits > 0 && !address.is_empty() && address.iter().all(is_address)
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
            "a%41",
            "%e2%82%AC.a:80",
            "[v1.a]",
            "[VfF.a:b-c]:80",
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
            "[v1.]",
            "[v.a]",
            "[v1]",
            "[vg.a]",
            "[v1.a,b]",
            "[v1.a%41]",
            "[::1%25eth0]",
            "::1",
            "a\\b",
            "a%",
            "a%4",
            "a%4g",
            "%,a",
            "a%41,b",
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
    fn names_have_neither_brackets_nor_the_last_dot() {
        for (text, name, port) in [
            ("[::1]:80", "::1", Some(80)),
            ("a.b.", "a.b", None),
            ("127.0.0.1:", "127.0.0.1", None),
        ] {
            let authority = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!((authority.name(), authority.port), (name.as_bytes(), port), "{text}");
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
