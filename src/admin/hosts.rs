//! Which names of this server requests may use. A page whose own name was made to point here
//! afterwards (DNS rebinding) sends that name, and needs no other right than to be looked at by
//! somebody on this host.

use std::net::IpAddr;

use nudged_config::{AdminAddress, Config};
use nudged_http::authority::Authority;

/// The names that `Host` may have.
#[derive(Debug)]
pub(super) struct AdminHosts {
    /// The listener's own address; `None` for a unix socket, which pages reach by tunnels alone.
    own: Option<IpAddr>,
    /// Those of `admin_hosts`, in lower case.
    listed: Vec<String>,
}

impl AdminHosts {
    /// Those of a configuration.
    pub(super) fn new(config: &Config) -> AdminHosts {
        let own = match &config.admin {
            AdminAddress::Tcp(address) | AdminAddress::Tls(address) => Some(address.ip()),
            AdminAddress::Unix(_) => None,
        };
        AdminHosts { own, listed: config.admin_hosts.clone() }
    }

    /// Whether a request may name this server so; `None` where it names none, which no browser
    /// does. The port does not count: tunnels have others.
    pub(super) fn knows(&self, host: Option<&[u8]>) -> bool {
        let Some(host) = host else { return true };
        let Some(authority) = Authority::parse(host) else { return false };
        let name = String::from_utf8_lossy(authority.name()).to_ascii_lowercase();
        let is_own = match (name.parse::<IpAddr>(), self.own) {
            // Nothing resolves an address to another one. Bound to all, each may be its own.
            (Ok(address), Some(own)) => {
                address.is_loopback() || own.is_unspecified() || address == own
            }
            (Ok(address), None) => address.is_loopback(),
            (Err(_), Some(_)) => name == "localhost",
            // Who opens the socket itself calls it anything; a page behind a tunnel to it has a
            // name that the world resolves, and those have dots.
            (Err(_), None) => !name.contains('.'),
        };
        is_own || self.listed.contains(&name)
    }
}

/// The port of a `Host`, where it names one.
pub(super) fn port_of(host: &[u8]) -> Option<u16> {
    Authority::parse(host)?.port
}

/// Whether a page is of the server that it writes to: its origin has the same name and port.
pub(super) fn is_same_origin(origin: &[u8], host: Option<&[u8]>) -> bool {
    let Some((scheme, authority)) = std::str::from_utf8(origin).ok().and_then(|origin| {
        origin.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
    }) else {
        return false;
    };
    let port = if scheme == "http" { 80 } else { 443 };
    let host = host.and_then(Authority::parse);
    host.zip(Authority::parse(authority.as_bytes()))
        .is_some_and(|(host, origin)| host.agrees(&origin, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(own: &str, host: &str) -> bool {
        let listed = vec!["nudged-1.example".to_owned(), "192.0.2.9".to_owned()];
        AdminHosts { own: Some(own.parse().unwrap()), listed }.knows(Some(host.as_bytes()))
    }

    #[test]
    fn own_names_and_listed_ones_are_known_and_no_other() {
        let everywhere = ["localhost", "LOCALHOST:8081", "localhost.", "127.0.0.1:1", "127.9.9.9"];
        let everywhere =
            everywhere.into_iter().chain(["[::1]:8081", "Nudged-1.example:9", "192.0.2.9"]);
        for host in everywhere {
            assert!(knows("127.0.0.1", host) && knows("10.0.0.11", host), "{host}");
        }
        let nowhere =
            ["attacker.example", "localhost.attacker.example", "127.0.0.1.attacker.example"];
        for host in nowhere.into_iter().chain(["", ":8081", "localhostx", "\u{fc}", "[::1"]) {
            assert!(!knows("127.0.0.1", host) && !knows("0.0.0.0", host), "{host}");
        }
        assert!(knows("10.0.0.11", "10.0.0.11:8081") && !knows("10.0.0.11", "10.0.0.12"));
        assert!(knows("0.0.0.0", "10.0.0.12") && knows("::", "[2001:db8::1]:8081"));
        let unix = AdminHosts { own: None, listed: Vec::new() };
        assert!(unix.knows(Some(b"anything:80")) && unix.knows(None));
        assert!(unix.knows(Some(b"localhost")) && unix.knows(Some(b"[::1]:8081")));
        assert!(!unix.knows(Some(b"attacker.example:8081")) && !unix.knows(Some(b"10.0.0.1")));
    }

    #[test]
    fn ports_are_those_behind_names_and_addresses() {
        for (host, port) in [
            ("localhost:9001", Some(9001)),
            ("[::1]:8081", Some(8081)),
            ("[::1]", None),
            ("localhost", None),
            ("localhost:", None),
            ("a:99999", None),
        ] {
            assert_eq!(port_of(host.as_bytes()), port, "{host}");
        }
    }

    #[test]
    fn an_origin_is_that_of_the_host_or_another() {
        let same =
            |origin: &str, host: &str| is_same_origin(origin.as_bytes(), Some(host.as_bytes()));
        assert!(same("http://127.0.0.1:8081", "127.0.0.1:8081"));
        assert!(same("https://Nudged.example", "nudged.example:443"));
        assert!(same("http://localhost:80", "localhost"));
        for origin in ["null", "http://127.0.0.1", "ftp://127.0.0.1:8081", "127.0.0.1:8081", ""] {
            assert!(!same(origin, "127.0.0.1:8081"), "{origin}");
        }
        assert!(!is_same_origin(b"http://localhost", None));
    }
}
