//! Origins of `[cors]`, as browsers send them: who lists another spelling would wait for a page
//! that never comes, so that it is refused with the right one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::expected::Expectation;
use super::tree::TreeValue;
use super::value::{ElementProblem, ValueRefusal, all_differ, each, elements};
use nudged_base::limits;

pub(super) fn origins(value: &TreeValue) -> Result<Vec<String>, ValueRefusal> {
    let elements = elements(value).filter(|elements| elements.len() <= limits::ORIGINS_MAX);
    let elements = elements.ok_or(Expectation::Origins)?;
    // Any origin is all of them, so it stands alone.
    if elements == [Some("*")] {
        return Ok(vec!["*".to_owned()]);
    }
    let found = each(elements, read)?;
    all_differ(&found, |one, other| one == other)?;
    Ok(found)
}

fn read(element: Option<&str>) -> Result<String, ElementProblem> {
    let text = element.ok_or(ElementProblem::Refused(Expectation::Origin))?;
    if text == "*" {
        return Err(ElementProblem::NotAlone);
    }
    match as_sent(text) {
        Some(sent) if sent == text => Ok(sent),
        Some(sent) => Err(ElementProblem::Misspelled(sent)),
        None => Err(ElementProblem::Refused(Expectation::Origin)),
    }
}

/// The origin that a browser sends for a page of this address: `scheme://host[:port]` in lower
/// case, without the scheme's own port. `None` where it is no address, or one that it can't tell:
/// names that are not ASCII, and IPv4 addresses in parts.
fn as_sent(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(of_scheme)
    {
        return None;
    }
    let own_port = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = split_port(&rest[..end])?;
    let host = host_as_sent(host, own_port.is_some())?;
    let sent = match port {
        Some(port) if own_port != Some(port) => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    };
    (sent.len() <= limits::ORIGIN_BYTES_MAX).then_some(sent)
}

/// Splits off the port, 1 to 65535, if there is one.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let after_address = host.find(']').map_or(0, |bracket| bracket + 1);
    let Some((_, port)) = host[after_address..].split_once(':') else { return Some((host, None)) };
    let host = &host[..host.len() - port.len() - 1];
    if port.is_empty() {
        return Some((host, None));
    }
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse::<u16>().ok().filter(|port| is_number && *port > 0)?;
    Some((host, Some(number)))
}

/// A host as it is sent. Only pages of the web's own schemes are at addresses.
fn host_as_sent(host: &str, is_web: bool) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        return ipv6_as_sent(address.strip_suffix(']')?);
    }
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || !host.bytes().all(of_name) {
        return None;
    }
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next()?;
    if is_web && last.starts_with(|first: char| first.is_ascii_digit()) && is_ipv4_part(last) {
        return host.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    Some(host.to_ascii_lowercase())
}

/// Whether browsers read a host with this last part as an IPv4 address.
fn is_ipv4_part(last: &str) -> bool {
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn ipv6_as_sent(text: &str) -> Option<String> {
    let address: Ipv6Addr = text.parse().ok()?;
    Some(match address.to_ipv4_mapped() {
        // Browsers write these in hex like all others.
        Some(_) => {
            let [.., high, low] = address.segments();
            format!("[::ffff:{high:x}:{low:x}]")
        }
        None => format!("[{address}]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelled_as_browsers_send_it() {
        let right = [
            "https://a",
            "http://a:443",
            "https://a:80",
            "https://shop.example:8443",
            "http://localhost:3000",
            "http://127.0.0.1:65535",
            "http://[::1]:8080",
            "http://[2001:db8::1]",
            "https://xn--bcher-kva.example",
            "https://a_b.example.",
            "https://a.0x7g",
            "capacitor://localhost",
            "chrome-extension://abcdef:80",
        ];
        for text in right {
            assert_eq!(read(Some(text)), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_misspelled_origin_is_told_with_its_spelling() {
        let wrong = [
            ("https://a:443", "https://a"),
            ("http://a:80", "http://a"),
            ("https://a:0443", "https://a"),
            ("https://a:08443", "https://a:8443"),
            ("https://a:", "https://a"),
            ("HTTPS://A.example/", "https://a.example"),
            ("https://a.example/shop?x#y", "https://a.example"),
            (" https://a", "https://a"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("http://[::FFFF:1.2.3.4]", "http://[::ffff:102:304]"),
        ];
        for (text, sent) in wrong {
            let problem = ElementProblem::Misspelled(sent.to_owned());
            assert_eq!(read(Some(text)), Err(problem), "{text}");
            assert_eq!(read(Some(sent)), Ok(sent.to_owned()));
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        let long = format!("https://{}", "a".repeat(limits::ORIGIN_BYTES_MAX));
        let none = [
            "",
            "null",
            "a.example",
            "https://",
            "https:a",
            "://a",
            "1https://a",
            "https://:80",
            "https://a:99999",
            "https://a:65536",
            "https://a:0",
            "https://a:+80",
            "https://a:b",
            "https://a:1:2",
            "https://u:p@a",
            "https://*.a.example",
            "https://a b",
            "https://b\u{fc}cher.example",
            "http://127.1",
            "http://127.0.0.01",
            "http://0x7f.1",
            "http://1.2.3.4.",
            "http://a.0x7f",
            "http://[::1",
            "http://[::1]a",
            "http://[a]",
            "http://::1",
            &long,
        ];
        for text in none {
            let problem = ElementProblem::Refused(Expectation::Origin);
            assert_eq!(read(Some(text)), Err(problem), "{text}");
        }
        assert_eq!(read(Some("*")), Err(ElementProblem::NotAlone));
    }
}
