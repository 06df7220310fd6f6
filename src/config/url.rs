//! The URLs of Redis and MySQL, looked at before anything connects: every part in its place, and
//! what an operator meant where a character of a password ends one too early. Must not know how a
//! store reads them; a test of `node::check` holds the two to the same answers.
//!
//! ```text
//! redis://[[user]:password@]host[:port][/number]      redis+unix:///path[?db=number]
//! mysql://[user[:password]@]host[:port][,host[:port]]/database[?options]
//! ```
//!
//! No text of a problem holds a piece of the URL: it may be one of the password.

use super::expected::Expectation;
use super::schema::SecretText;
use super::tree::TreeValue;
use super::value::ValueRefusal;
use nudged_base::hex;

/// Schemes of `redis.url` that this version serves.
const REDIS: &[&str] = &["redis", "redis+unix"];

/// Schemes that a later version serves, with what each is. Taken here, so that they are refused by
/// what they are and not by their parts.
pub(super) const REDIS_LATER: [(&str, &str); 3] = [
    ("rediss", "TLS to Redis"),
    ("redis+cluster", "Redis Cluster"),
    ("redis+sentinel", "Redis Sentinel"),
];

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// White space or a control character.
    #[error("it contains white space or a control character: write a space as %20")]
    Blank,
    /// A character that ends the part before it, with an `@` behind.
    #[error(
        "its user or password contains a `{character}`: write it as {}",
        escaped(*.character)
    )]
    Unescaped {
        /// The character.
        character: char,
    },
    /// A `#`, which has no meaning anywhere in it.
    #[error("it contains a `#`: in the user or password write it as %23")]
    Fragment,
    /// A `?` where a store takes no options.
    #[error(
        "it contains a `?`, but `redis://` takes no options: give the database as /NUMBER after \
         the host, and write a `?` in the user or password as %3F"
    )]
    Options,
    /// An option of `redis+unix://` that is not `db`.
    #[error("the only option is `?db=NUMBER`")]
    SocketOption,
    /// A percent sign that encodes nothing.
    #[error("it contains a `%` that does not encode a character: write the sign itself as %25")]
    Percent,
    /// No host.
    #[error("it names no host")]
    HostMissing,
    /// Several hosts where one is meant.
    #[error(
        "it names several hosts, but `redis://` is one server: lists are for Redis Cluster and \
         Redis Sentinel, which this version of nudged does not support yet; name one host"
    )]
    HostList,
    /// A host without a name among several.
    #[error("a host in its list has no name: expected HOST[:PORT],HOST[:PORT]")]
    HostEmpty,
    /// An address without brackets, or brackets around something else.
    #[error("its host is neither a name nor an address; write IPv6 in brackets, as in [::1]")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// Not the number of a database of Redis.
    #[error("what follows the host is not a database number, such as /0")]
    Number,
    /// No database of MySQL.
    #[error("it names no database: expected mysql://USER:PASSWORD@HOST[:PORT]/DATABASE")]
    DatabaseMissing,
    /// A path behind the database.
    #[error("more than a database name follows the host: write a `/` in the name as %2F")]
    DatabasePath,
    /// A socket's path is absolute.
    #[error("its socket path is not absolute: expected redis+unix:///PATH")]
    SocketPath,
}

fn escaped(character: char) -> String {
    format!("%{:02X}", u32::from(character))
}

/// Reads `redis.url`; the empty text is none.
pub(super) fn redis(value: &TreeValue) -> Result<Option<SecretText>, ValueRefusal> {
    let Some((text, scheme, rest)) = parts(value, REDIS)? else { return Ok(None) };
    let problem = match scheme {
        "redis" => of_redis(rest),
        "redis+unix" => of_socket(rest),
        _ if REDIS_LATER.iter().any(|(later, _)| *later == scheme) => Ok(()),
        _ => return Err(Expectation::Url(REDIS).into()),
    };
    problem.map(|()| Some(SecretText::new(text.to_owned()))).map_err(ValueRefusal::Url)
}

/// Reads `mysql.url` and `mysql.replica`; the empty text is none.
pub(super) fn mysql(value: &TreeValue) -> Result<Option<SecretText>, ValueRefusal> {
    const MYSQL: &[&str] = &["mysql"];
    let Some((text, scheme, rest)) = parts(value, MYSQL)? else { return Ok(None) };
    if scheme != "mysql" {
        return Err(Expectation::Url(MYSQL).into());
    }
    of_mysql(rest).map(|()| Some(SecretText::new(text.to_owned()))).map_err(ValueRefusal::Url)
}

type UrlParts<'v> = (&'v str, &'v str, &'v str);

/// The text, its scheme, and what follows it; `None` for the empty text.
fn parts<'v>(
    value: &'v TreeValue,
    schemes: &'static [&'static str],
) -> Result<Option<UrlParts<'v>>, ValueRefusal> {
    let expected = Expectation::Url(schemes);
    let text = value.text().ok_or(expected)?;
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, rest) = text.split_once("://").ok_or(expected)?;
    if text.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        return Err(ValueRefusal::Url(UrlProblem::Blank));
    }
    Ok(Some((text, scheme, rest)))
}

fn of_redis(rest: &str) -> Result<(), UrlProblem> {
    no_fragment(rest)?;
    if let Some((_, after)) = rest.split_once('?') {
        let is_within = after.contains('@');
        let within = UrlProblem::Unescaped { character: '?' };
        return Err(if is_within { within } else { UrlProblem::Options });
    }
    // The last `@` ends the password, so that one within it, or a slash, is unambiguous.
    let place = match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            percents(credentials)?;
            place
        }
        None => rest,
    };
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    if host.contains(',') {
        return Err(UrlProblem::HostList);
    }
    if percents(host)?.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err(UrlProblem::Host);
    }
    of_host(host)?;
    if path.is_empty() { Ok(()) } else { number(path) }
}

fn of_socket(rest: &str) -> Result<(), UrlProblem> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    if options.contains('@') {
        return Err(UrlProblem::Unescaped { character: '?' });
    }
    let (credentials, path) = place.split_at(place.find('/').ok_or(UrlProblem::SocketPath)?);
    if !credentials.is_empty() && !credentials.ends_with('@') {
        let is_within = path.contains('@');
        let within = UrlProblem::Unescaped { character: '/' };
        return Err(if is_within { within } else { UrlProblem::SocketPath });
    }
    percents(place)?;
    if path.len() < 2 || path.contains("%00") {
        return Err(UrlProblem::SocketPath);
    }
    match options.strip_prefix("db=") {
        Some(text) => number(text),
        None if options.is_empty() => Ok(()),
        None => Err(UrlProblem::SocketOption),
    }
}

fn of_mysql(rest: &str) -> Result<(), UrlProblem> {
    no_fragment(rest)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if let Some(character) = ends_too_early(authority, tail) {
        return Err(UrlProblem::Unescaped { character });
    }
    let names = authority.rsplit_once('@').map_or(authority, |(_, names)| names);
    if names.is_empty() {
        return Err(UrlProblem::HostMissing);
    }
    for name in names.split(',') {
        if name.is_empty() || name.starts_with(':') {
            return Err(UrlProblem::HostEmpty);
        }
        of_host(name)?;
    }
    let path = tail.strip_prefix('/').ok_or(UrlProblem::DatabaseMissing)?;
    let database = path.split('?').next().unwrap_or(path);
    match database {
        "" => Err(UrlProblem::DatabaseMissing),
        _ if database.contains('/') => Err(UrlProblem::DatabasePath),
        _ => Ok(()),
    }
}

/// The character of a password that ended the authority, where it looks as if one did: credentials
/// are ended by an `@`, and it stands behind that character.
fn ends_too_early(authority: &str, tail: &str) -> Option<char> {
    let character = tail.chars().next()?;
    if authority.contains('@') || !tail.contains('@') {
        return None;
    }
    let path = tail.split('?').next().unwrap_or(tail);
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (character == '?' || path.contains('@') || !is_port).then_some(character)
}

fn no_fragment(rest: &str) -> Result<(), UrlProblem> {
    if rest.contains('#') { Err(UrlProblem::Fragment) } else { Ok(()) }
}

/// A name, an address or an address in brackets, with a port or without.
fn of_host(text: &str) -> Result<(), UrlProblem> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, port) = inner.split_once(']').ok_or(UrlProblem::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlProblem::Host)?;
            (host, port)
        }
        None if text.matches(':').count() > 1 => return Err(UrlProblem::Host),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err(UrlProblem::HostMissing);
    }
    if host.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err(UrlProblem::Host);
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        None => Err(UrlProblem::Port),
        Some(digits) => {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = if is_number { digits.parse().ok() } else { None };
            port.filter(|port: &u16| *port > 0).map(|_| ()).ok_or(UrlProblem::Port)
        }
    }
}

fn number(text: &str) -> Result<(), UrlProblem> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && text.parse::<u32>().is_ok() { Ok(()) } else { Err(UrlProblem::Number) }
}

/// The text with what its percent signs stand for, which is UTF-8.
fn percents(text: &str) -> Result<String, UrlProblem> {
    let bytes: Option<Vec<u8>> = hex::percent_decoded(text.bytes()).collect();
    String::from_utf8(bytes.ok_or(UrlProblem::Percent)?).map_err(|_| UrlProblem::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, url: &str) -> Result<Option<SecretText>, ValueRefusal> {
        let value = TreeValue::Text(url.into());
        if key == "redis" { redis(&value) } else { mysql(&value) }
    }

    #[test]
    fn what_is_meant_is_taken_as_it_is() {
        for (key, url) in [
            ("redis", "redis://h"),
            ("redis", "redis://u:a@b/c@h:1/2"),
            ("redis", "redis://u:%23%3F%25@[::1]:7000/0"),
            ("redis", "redis+unix:///run/r%20s?db=4"),
            ("redis", "redis+unix://u:p@/r.sock"),
            ("redis", "redis+cluster://h1,h2"),
            ("redis", "redis+sentinel://h1,h2/service"),
            ("redis", "rediss://anything"),
            ("mysql", "mysql://h/d"),
            ("mysql", "mysql://u:p@db1:3307,db2,[::1]:3306/nudged?require_ssl=true"),
            ("mysql", "mysql://u:a@b%2Fc@h/d"),
            ("mysql", "mysql://u:50%off@h/d"),
        ] {
            assert_eq!(read(key, url).unwrap().unwrap().expose(), url);
        }
        assert_eq!(read("redis", ""), Ok(None));
    }

    #[test]
    fn each_problem_is_named_without_a_piece_of_the_url() {
        let unescaped = |character| UrlProblem::Unescaped { character };
        for (key, url, want) in [
            ("redis", "redis://:can ary@h", UrlProblem::Blank),
            ("redis", "redis://:canary#x@h", UrlProblem::Fragment),
            ("redis", "redis://:canary?x@h", unescaped('?')),
            ("redis", "redis://:canary@h?db=1", UrlProblem::Options),
            ("redis", "redis://:canary%4@h", UrlProblem::Percent),
            ("redis", "redis://:canary%+1@h", UrlProblem::Percent),
            ("redis", "redis://:canary%ff@h", UrlProblem::Percent),
            ("redis", "redis://:canary@", UrlProblem::HostMissing),
            ("redis", "redis://", UrlProblem::HostMissing),
            ("redis", "redis://:canary@h1,h2:6379", UrlProblem::HostList),
            ("redis", "redis://:canary@::1", UrlProblem::Host),
            ("redis", "redis://:canary@[x]", UrlProblem::Host),
            ("redis", "redis://:canary@h:0", UrlProblem::Port),
            ("redis", "redis://:canary@h:65536", UrlProblem::Port),
            ("redis", "redis://:canary@h:", UrlProblem::Port),
            ("redis", "redis://:canary@h/x", UrlProblem::Number),
            ("redis", "redis+unix://canary", UrlProblem::SocketPath),
            ("redis", "redis+unix://u:can/ary@/x", unescaped('/')),
            ("redis", "redis+unix:///x?canary=1", UrlProblem::SocketOption),
            ("redis", "redis+unix:///x?db=canary", UrlProblem::Number),
            ("mysql", "mysql://u:can/ary@h/d", unescaped('/')),
            ("mysql", "mysql://u:can?ary@h/d", unescaped('?')),
            ("mysql", "mysql://u:can/a?ry@h/d", unescaped('/')),
            ("mysql", "mysql://u:can#ary@h/d", UrlProblem::Fragment),
            ("mysql", "mysql://u:canary@/d", UrlProblem::HostMissing),
            ("mysql", "mysql://u:canary@h1,,h2/d", UrlProblem::HostEmpty),
            ("mysql", "mysql://u:canary@h1,:3306/d", UrlProblem::HostEmpty),
            ("mysql", "mysql://u:canary@h1,h2:x/d", UrlProblem::Port),
            ("mysql", "mysql://u:canary@h", UrlProblem::DatabaseMissing),
            ("mysql", "mysql://u:canary@h/?require_ssl=true", UrlProblem::DatabaseMissing),
            ("mysql", "mysql://u:canary@h/d/x", UrlProblem::DatabasePath),
        ] {
            let Err(ValueRefusal::Url(problem)) = read(key, url) else { panic!("{url} was taken") };
            assert_eq!(problem, want, "{url}");
            let said = problem.to_string();
            assert!(!said.contains("canary") && !said.contains("can"), "{said}");
        }
        let said = UrlProblem::HostList.to_string();
        assert!(said.contains("Redis Cluster and Redis Sentinel"), "{said}");
        let said = unescaped('?').to_string();
        assert!(said.ends_with("write it as %3F"), "{said}");
    }

    #[test]
    fn other_schemes_are_refused_by_those_there_are() {
        for (key, url) in [("redis", "http://h"), ("redis", "h"), ("mysql", "mariadb://h/d")] {
            assert!(
                matches!(read(key, url), Err(ValueRefusal::Value(Expectation::Url(_)))),
                "{url}"
            );
        }
    }
}
