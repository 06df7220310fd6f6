//! What each key takes, in words, with its range: the second half of every error about a value.

use std::fmt;

use nudged_base::limits;
use nudged_base::time::DurationMs;

/// What a key takes: the words of every error about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// true or false.
    Boolean,
    /// A whole number, with its range.
    Whole(u64, u64),
    /// "auto" or a whole number, with its range.
    AutoOrWhole(u64, u64),
    /// A duration, with its range.
    Duration(DurationMs, DurationMs),
    /// An age at which something goes, with the least, or never.
    Age(DurationMs),
    /// A size in bytes, with its range.
    Size(u64, u64),
    /// A rate, or none.
    Rate,
    /// None or a whole number, with its range.
    NoneOrWhole(u64, u64),
    /// None or a duration, with its range.
    NoneOrDuration(DurationMs, DurationMs),
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A list of addresses, with its greatest length.
    Addresses(usize),
    /// One address of a list.
    Address,
    /// A TCP address or a unix socket.
    AdminAddress,
    /// Networks.
    Networks,
    /// One network.
    Network,
    /// A path.
    Path,
    /// A path, or nothing.
    OptionalPath,
    /// A list of CPUs.
    Cpus,
    /// A name of the tz database.
    Zone,
    /// API keys.
    Keys,
    /// One API key.
    Key,
    /// Secrets that users are signed with.
    Secrets,
    /// CORS origins.
    Origins,
    /// One CORS origin.
    Origin,
    /// Names of this server.
    Hosts,
    /// One name of this server.
    Host,
    /// User ids, with their greatest number.
    Users(usize),
    /// One user id.
    User,
    /// A URL, by its schemes.
    Url(&'static [&'static str]),
    /// A section, not a value.
    Section,
}

impl fmt::Display for Expectation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Expectation::Boolean => out.write_str("true or false"),
            Expectation::Whole(min, max) => write!(out, "a whole number from {min} to {max}"),
            Expectation::AutoOrWhole(min, max) => {
                write!(out, "\"auto\" or a whole number from {min} to {max}")
            }
            Expectation::Duration(min, max) => {
                write!(out, "a duration from {min} to {max}, ")?;
                out.write_str("such as \"500ms\" or \"1h30m\" (units ms s m h d w)")
            }
            Expectation::Age(min) => write_age(out, min),
            Expectation::Size(min, max) => {
                write!(out, "a size from {} to {}, ", Size(min), Size(max))?;
                out.write_str("such as \"256MiB\" (units B KiB MiB GiB TiB)")
            }
            Expectation::Rate => write_rate(out),
            Expectation::NoneOrWhole(min, max) => {
                write!(out, "\"none\" or {}", Expectation::Whole(min, max))
            }
            Expectation::NoneOrDuration(min, max) => {
                write!(out, "\"none\" or {}", Expectation::Duration(min, max))
            }
            Expectation::OneOf(words) => {
                out.write_str("one of ")?;
                write_quoted(out, words, "")
            }
            Expectation::Address => {
                out.write_str("an address such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
            }
            Expectation::AdminAddress => {
                out.write_str("an address such as \"127.0.0.1:8081\", or \"unix:/path\"")
            }
            Expectation::Network => {
                out.write_str("a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"")
            }
            Expectation::Path => out.write_str("a path"),
            Expectation::OptionalPath => out.write_str("a path, or \"\" for none"),
            Expectation::Cpus => write_cpus(out),
            Expectation::Zone => {
                out.write_str("a zone of the tz database, such as \"UTC\" or \"Europe/Berlin\"")
            }
            Expectation::Key => {
                let (min, max) = (limits::KEY_BYTES_MIN, limits::KEY_BYTES_MAX);
                write!(out, "{min} to {max} visible ASCII characters without commas")
            }
            Expectation::Origin => {
                out.write_str("an origin as browsers send it, such as \"https://shop.example\": ")?;
                out.write_str("lower case, a port of 1 to 65535 if any, no path, pattern or ")?;
                out.write_str("slash at its end")
            }
            Expectation::Host => out.write_str("a name or an address, without port and scheme"),
            Expectation::User => {
                let bytes = limits::USER_BYTES_MAX;
                write!(out, "a user id of 1 to {bytes} bytes without control characters")
            }
            Expectation::Url(schemes) => {
                out.write_str("a URL that starts with ")?;
                write_quoted(out, schemes, "://")?;
                out.write_str(" and names a host, or \"\" for none")
            }
            Expectation::Section => out.write_str("a section"),
            Expectation::Addresses(_)
            | Expectation::Networks
            | Expectation::Keys
            | Expectation::Secrets
            | Expectation::Origins
            | Expectation::Hosts
            | Expectation::Users(_) => self.write_list(out),
        }
    }
}

impl Expectation {
    /// What a list takes, with its greatest length.
    fn write_list(self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Addresses(max) => {
                write!(out, "1 to {max} different addresses such as \"127.0.0.1:8080\" or ")?;
                out.write_str("\"[::1]:8080\"")
            }
            Expectation::Networks => {
                let max = limits::PROXY_NETWORKS_MAX;
                write!(out, "a list of up to {max} networks such as \"10.0.0.0/8\"")
            }
            Expectation::Keys => {
                let max = limits::KEYS_MAX;
                write!(out, "a list of up to {max} different keys, each of {}", Expectation::Key)
            }
            Expectation::Secrets => {
                let (max, one) = (limits::IDENTITY_SECRETS_MAX, Expectation::Key);
                write!(out, "a list of up to {max} different secrets, each of {one}")
            }
            Expectation::Origins => {
                write!(out, "a list of up to {} origins such as ", limits::ORIGINS_MAX)?;
                out.write_str("\"https://shop.example\" (no path), or \"*\" alone for any")
            }
            Expectation::Hosts => {
                let max = limits::ADMIN_HOSTS_MAX;
                write!(out, "a list of up to {max} names or addresses such as \"nudged-1.example\"")
            }
            Expectation::Users(count) => {
                let bytes = limits::USER_BYTES_MAX;
                write!(out, "a list of up to {count} user ids, each of 1 to {bytes} bytes ")?;
                out.write_str("without control characters")
            }
            one => write!(out, "{one}"),
        }
    }
}

fn write_cpus(out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let last = limits::CPUS_MAX - 1;
    write!(out, "\"auto\" or different CPUs from 0 to {last} such as \"2-5,8\"")
}

fn write_rate(out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let max = limits::RATE_EVENTS_MAX;
    write!(out, "a rate of 1 to {max} such as \"100/s\", \"30/m\" or \"1000/h\", ")?;
    out.write_str("or \"none\"")
}

fn write_age(out: &mut fmt::Formatter<'_>, min: DurationMs) -> fmt::Result {
    write!(out, "\"never\", or a duration of at least {min} such as \"400d\" (")?;
    out.write_str("events may come for a week, and are told from repeats by these rows)")
}

fn write_quoted(out: &mut fmt::Formatter<'_>, words: &[&str], tail: &str) -> fmt::Result {
    for (index, word) in words.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(out, "{comma}\"{word}{tail}\"")?;
    }
    Ok(())
}

/// Names of sizes and the power of two that each is.
pub(super) const SIZE_UNITS: [(&str, u32); 5] =
    [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// A size in its largest whole unit.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |power: &u32| self.0 != 0 && self.0.is_multiple_of(1 << power);
        let (name, power) =
            SIZE_UNITS.iter().find(|(_, power)| fits(power)).unwrap_or(&SIZE_UNITS[4]);
        write!(out, "{}{name}", self.0 >> power)
    }
}
