//! Where a Redis server is, read from `[redis] url`. Errors never repeat the text: it may hold a
//! password.

use std::path::PathBuf;

use super::link::LinkSettings;
use nudged_base::hex;
use nudged_config::SecretText;

/// The port of a URL without one.
const PORT_DEFAULT: u16 = 6_379;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAddress {
    /// A host name or an address, without brackets, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port, from 1.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is not the URL of a Redis server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `redis://` nor `redis+unix://`.
    #[error("the Redis URL does not start with redis:// or redis+unix://")]
    Scheme,
    /// No host, or one that can't be one.
    #[error("the Redis URL has no valid host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port in the Redis URL is not between 1 and 65535")]
    Port,
    /// Not a number, or there is more behind it.
    #[error("the database in the Redis URL is not a number")]
    Database,
    /// A socket's path is absolute.
    #[error("the socket path in the Redis URL is not absolute")]
    Path,
    /// A percent sign without two hex digits, or bytes that are no text.
    #[error("the Redis URL has a % that does not encode a character")]
    Encoding,
    /// A parameter other than `db`, or a fragment.
    #[error("the Redis URL has an unknown parameter")]
    Parameter,
}

impl LinkSettings {
    /// Reads `redis://[[user]:password@]host[:port][/database]` or
    /// `redis+unix:///path[?db=database]`: the place, and settings with its user, password and
    /// database. Allocates.
    ///
    /// # Errors
    /// [`UrlError`], which never holds a piece of the text.
    pub fn of_url(url: &str) -> Result<(LinkAddress, LinkSettings), UrlError> {
        if let Some(rest) = url.strip_prefix("redis://") {
            of_tcp(rest)
        } else if let Some(rest) = url.strip_prefix("redis+unix://") {
            of_unix(rest)
        } else {
            Err(UrlError::Scheme)
        }
    }
}

fn of_tcp(rest: &str) -> Result<(LinkAddress, LinkSettings), UrlError> {
    if rest.contains(['?', '#']) {
        return Err(UrlError::Parameter);
    }
    let mut settings = LinkSettings::default();
    // A password may hold a slash that nobody encoded; the host can't.
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    if let Some(credentials) = credentials {
        read_credentials(credentials, &mut settings)?;
    }
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if !path.is_empty() {
        settings.database = number(path)?;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (host, port) = inner.split_once(']').ok_or(UrlError::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            (host, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            authority.split_at(end)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(text) => text.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Port)?,
        None if port.is_empty() => PORT_DEFAULT,
        None => return Err(UrlError::Port),
    };
    let host = decode(host)?;
    if host.is_empty() || host.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err(UrlError::Host);
    }
    Ok((LinkAddress::Tcp { host, port }, settings))
}

fn of_unix(rest: &str) -> Result<(LinkAddress, LinkSettings), UrlError> {
    let mut settings = LinkSettings::default();
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (credentials, path) = place.split_at(place.find('/').ok_or(UrlError::Path)?);
    if let Some(credentials) = credentials.strip_suffix('@') {
        read_credentials(credentials, &mut settings)?;
    } else if !credentials.is_empty() {
        return Err(UrlError::Path);
    }
    if !query.is_empty() {
        let text = query.strip_prefix("db=").ok_or(UrlError::Parameter)?;
        settings.database = number(text)?;
    }
    let path = decode(path)?;
    if path.len() < 2 || path.contains('\0') {
        return Err(UrlError::Path);
    }
    Ok((LinkAddress::Unix(PathBuf::from(path)), settings))
}

/// Reads `user:password`, `:password`, or `user` alone, which has no password.
fn read_credentials(text: &str, settings: &mut LinkSettings) -> Result<(), UrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    settings.user = Some(decode(user)?).filter(|user| !user.is_empty());
    settings.password =
        Some(decode(password)?).filter(|text| !text.is_empty()).map(SecretText::new);
    Ok(())
}

fn number(text: &str) -> Result<u32, UrlError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().map_err(|_| UrlError::Database) } else { Err(UrlError::Database) }
}

fn decode(text: &str) -> Result<String, UrlError> {
    let bytes: Option<Vec<u8>> = hex::percent_decoded(text.bytes()).collect();
    String::from_utf8(bytes.ok_or(UrlError::Encoding)?).map_err(|_| UrlError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (LinkAddress, Option<String>, Option<String>, u32) {
        let (address, settings) = LinkSettings::of_url(url).unwrap();
        let password = settings.password.map(|secret| secret.expose().to_owned());
        (address, settings.user, password, settings.database)
    }

    fn tcp(host: &str, port: u16) -> LinkAddress {
        LinkAddress::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn urls_are_read() {
        let some = |text: &str| Some(text.to_owned());
        let unix = |path: &str| LinkAddress::Unix(PathBuf::from(path));
        for (url, want) in [
            ("redis://h", (tcp("h", 6_379), None, None, 0)),
            ("redis://h/", (tcp("h", 6_379), None, None, 0)),
            ("redis://10.0.0.1:7000/3", (tcp("10.0.0.1", 7_000), None, None, 3)),
            ("redis://:p@h", (tcp("h", 6_379), None, some("p"), 0)),
            ("redis://u:p@h:1/2", (tcp("h", 1), some("u"), some("p"), 2)),
            ("redis://u:a%40b%2Fc:@h", (tcp("h", 6_379), some("u"), some("a@b/c:"), 0)),
            ("redis://u:a@b/c@h", (tcp("h", 6_379), some("u"), some("a@b/c"), 0)),
            ("redis://[::1]:7000", (tcp("::1", 7_000), None, None, 0)),
            ("redis+unix:///run/r.sock", (unix("/run/r.sock"), None, None, 0)),
            ("redis+unix:///run/r%20s?db=4", (unix("/run/r s"), None, None, 4)),
            ("redis+unix://u:p@/r.sock", (unix("/r.sock"), some("u"), some("p"), 0)),
        ] {
            assert_eq!(read(url), want, "{url}");
        }
    }

    #[test]
    fn other_texts_are_refused_without_a_piece_of_them() {
        for (url, want) in [
            ("rediss://canary@h", UrlError::Scheme),
            ("canary", UrlError::Scheme),
            ("redis://:canary@", UrlError::Host),
            ("redis://:canary@h:0", UrlError::Port),
            ("redis://:canary@h:65536", UrlError::Port),
            ("redis://:canary@h:x", UrlError::Port),
            ("redis://:canary@h/x", UrlError::Database),
            ("redis://:canary@h/-1", UrlError::Database),
            ("redis://:canary@h/1/2", UrlError::Database),
            ("redis://:canary@[::1", UrlError::Host),
            ("redis://:canary@[x]", UrlError::Host),
            ("redis://:canary%4@h", UrlError::Encoding),
            ("redis://:canary%zz@h", UrlError::Encoding),
            ("redis://:canary%ff@h", UrlError::Encoding),
            ("redis://:canary@h?db=1", UrlError::Parameter),
            ("redis+unix://canary", UrlError::Path),
            ("redis+unix://canary/x", UrlError::Path),
            ("redis+unix:///", UrlError::Path),
            ("redis+unix:///x?canary=1", UrlError::Parameter),
            ("redis+unix:///x?db=", UrlError::Database),
        ] {
            let error = LinkSettings::of_url(url).unwrap_err();
            assert_eq!(error, want, "{url}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{url}");
        }
    }
}
