//! The readers that turn what was written into the value of a key. A reader's refusal is the range
//! that it allows, in the words of `expected`.

use std::net::IpAddr;
use std::path::PathBuf;

use super::expected::{Expectation, SIZE_UNITS};
use super::network::{Network, NetworkRefusal};
use super::schema::{AdminAddress, Count, SecretText};
use super::tree::TreeValue;
use super::url::UrlProblem;
use super::word::WordProblem;
use nudged_base::limits;
use nudged_base::rate::Rate;
use nudged_base::time::{DURATION_MAX, DurationMs, Gap, parse_duration};

/// Why a key does not take a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueRefusal {
    /// It is not what the key takes.
    Value(Expectation),
    /// Elements of its list are not, each with its index, in their order.
    Elements(Vec<(usize, ElementProblem)>),
    /// It is a URL with something wrong in it.
    Url(UrlProblem),
    /// It is an address with a wrong word behind it.
    Word(WordProblem),
}

/// What is wrong with one element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementProblem {
    /// It is not what the list takes.
    Refused(Expectation),
    /// It is the same as the element of this index.
    Repeats(usize),
    /// An origin that browsers spell like this.
    Misspelled(String),
    /// It is all that the list may hold, so no other may be beside it.
    NotAlone,
    /// It is an address with a wrong word behind it.
    Word(WordProblem),
    /// It is an address within this network, which is not the network itself.
    Inside(Network),
}

impl From<Expectation> for ValueRefusal {
    fn from(expected: Expectation) -> ValueRefusal {
        ValueRefusal::Value(expected)
    }
}

type Read<T> = Result<T, Expectation>;

/// The elements of a list, `None` for one that is no text; one loose text is split at its commas.
pub(super) fn elements(value: &TreeValue) -> Option<Vec<Option<&str>>> {
    match value {
        TreeValue::List(nodes) => Some(nodes.iter().map(|node| node.value.text()).collect()),
        TreeValue::Loose(text) if text.trim().is_empty() => Some(Vec::new()),
        TreeValue::Loose(text) => Some(text.split(',').map(|part| Some(part.trim())).collect()),
        _ => None,
    }
}

/// Reads a list of at most `max` elements; every element that `read` refuses is named.
fn list<T>(
    value: &TreeValue,
    (expected, max): (Expectation, usize),
    of_one: Expectation,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ValueRefusal> {
    let elements = elements(value).filter(|elements| elements.len() <= max).ok_or(expected)?;
    each(elements, |element| element.and_then(&read).ok_or(ElementProblem::Refused(of_one)))
}

/// Reads elements; every one that `read` refuses is named.
pub(super) fn each<T>(
    elements: Vec<Option<&str>>,
    read: impl Fn(Option<&str>) -> Result<T, ElementProblem>,
) -> Result<Vec<T>, ValueRefusal> {
    let (mut found, mut problems) = (Vec::with_capacity(elements.len()), Vec::new());
    for (index, element) in elements.into_iter().enumerate() {
        match read(element) {
            Ok(one) => found.push(one),
            Err(problem) => problems.push((index, problem)),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(ValueRefusal::Elements(problems)) }
}

/// Refuses elements that are the same as one before them.
pub(super) fn all_differ<T>(
    elements: &[T],
    is_same: impl Fn(&T, &T) -> bool,
) -> Result<(), ValueRefusal> {
    let before =
        |index: usize| elements[..index].iter().position(|one| is_same(one, &elements[index]));
    let repeats = (0..elements.len())
        .filter_map(|index| Some((index, ElementProblem::Repeats(before(index)?))));
    let repeats: Vec<_> = repeats.collect();
    if repeats.is_empty() { Ok(()) } else { Err(ValueRefusal::Elements(repeats)) }
}

pub(super) fn boolean(value: &TreeValue) -> Read<bool> {
    value.boolean().ok_or(Expectation::Boolean)
}

pub(super) fn whole(value: &TreeValue, min: u32, max: u32) -> Read<u32> {
    value
        .whole()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (min..=max).contains(number))
        .ok_or(Expectation::Whole(min.into(), max.into()))
}

pub(super) fn count(value: &TreeValue, min: u32, max: u32) -> Read<Count> {
    if value.text() == Some("auto") {
        return Ok(Count::Auto);
    }
    whole(value, min, max)
        .map(Count::Exactly)
        .map_err(|_| Expectation::AutoOrWhole(min.into(), max.into()))
}

pub(super) fn cpu(value: &TreeValue) -> Read<Option<u16>> {
    let last = u32::from(limits::CPUS_MAX) - 1;
    match count(value, 0, last)? {
        Count::Auto => Ok(None),
        Count::Exactly(cpu) => Ok(Some(u16::try_from(cpu).expect("at most CPUS_MAX"))),
    }
}

/// A list such as `2-5,8`, in the order given; a single number is a list of one.
pub(super) fn cpus(value: &TreeValue) -> Read<Option<Vec<u16>>> {
    let (TreeValue::Number(text) | TreeValue::Text(text) | TreeValue::Loose(text)) = value else {
        return Err(Expectation::Cpus);
    };
    if &**text == "auto" {
        return Ok(None);
    }
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (cpu_number(first)?, cpu_number(last)?);
        if first > last {
            return Err(Expectation::Cpus);
        }
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return Err(Expectation::Cpus);
            }
            cpus.push(cpu);
        }
    }
    Ok(Some(cpus))
}

fn cpu_number(text: &str) -> Read<u16> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|cpu| *cpu < limits::CPUS_MAX).ok_or(Expectation::Cpus)
}

pub(super) fn duration(value: &TreeValue, min_ms: u64, max_ms: u64) -> Read<DurationMs> {
    debug_assert!(min_ms <= max_ms && max_ms <= DURATION_MAX.0);
    value
        .text()
        .and_then(|text| parse_duration(text).ok())
        .filter(|duration| (min_ms..=max_ms).contains(&duration.0))
        .ok_or(Expectation::Duration(DurationMs(min_ms), DurationMs(max_ms)))
}

/// A rate such as `100/s`, `30/m` or `1000/h`; `None` for `none`.
pub(super) fn rate(value: &TreeValue) -> Read<Option<Rate>> {
    let text = value.text().ok_or(Expectation::Rate)?;
    if text == "none" {
        return Ok(None);
    }
    let (events, unit) = text.split_once('/').ok_or(Expectation::Rate)?;
    let per_s = match unit.trim_start() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(Expectation::Rate),
    };
    let events = whole(&TreeValue::Loose(events.trim_end().into()), 1, limits::RATE_EVENTS_MAX);
    events.map(|events| Some(Rate { events, per_s })).map_err(|_| Expectation::Rate)
}

/// A bound that is a whole number; `None` for `none`.
pub(super) fn bound(value: &TreeValue, min: u32, max: u32) -> Read<Option<u32>> {
    if value.text() == Some("none") {
        return Ok(None);
    }
    let bound = whole(value, min, max);
    bound.map(Some).map_err(|_| Expectation::NoneOrWhole(min.into(), max.into()))
}

/// A bound that is a duration; `None` for `none`.
pub(super) fn wait(value: &TreeValue, min_ms: u64, max_ms: u64) -> Read<Option<DurationMs>> {
    if value.text() == Some("none") {
        return Ok(None);
    }
    let wait = duration(value, min_ms, max_ms);
    let expected = Expectation::NoneOrDuration(DurationMs(min_ms), DurationMs(max_ms));
    wait.map(Some).map_err(|_| expected)
}

/// An age at which something goes, or `never`.
pub(super) fn age(value: &TreeValue, min_ms: u64) -> Read<Gap> {
    if value.text() == Some("never") {
        return Ok(Gap::Never);
    }
    let age = duration(value, min_ms, DURATION_MAX.0);
    age.map(Gap::After).map_err(|_| Expectation::Age(DurationMs(min_ms)))
}

/// A size such as `256MiB`; a bare number is bytes.
pub(super) fn size(value: &TreeValue, min: u64, max: u64) -> Read<u64> {
    let bytes = value.whole().or_else(|| {
        let text = value.text()?;
        let (digits, power) = SIZE_UNITS
            .iter()
            .find_map(|(name, power)| Some((text.strip_suffix(name)?.trim_end(), *power)))?;
        TreeValue::Loose(digits.into()).whole()?.checked_mul(1 << power)
    });
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.filter(|bytes| (min..=max).contains(bytes)).ok_or(Expectation::Size(min, max))
}

/// The value that stands at the word's place in the list.
pub(super) fn one_of<T: Copy>(
    value: &TreeValue,
    words: &'static [&'static str],
    values: &[T],
) -> Read<T> {
    assert_eq!(words.len(), values.len(), "each word has its value");
    value
        .text()
        .and_then(|text| words.iter().position(|word| *word == text))
        .map(|index| values[index])
        .ok_or(Expectation::OneOf(words))
}

/// Where the admin listener is, without words behind it.
pub(super) fn admin_address(text: &str) -> Read<AdminAddress> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') && path.len() > 1 && !path.contains('\0') => {
            Ok(AdminAddress::Unix(PathBuf::from(path)))
        }
        Some(_) => Err(Expectation::AdminAddress),
        None => text.parse().map(AdminAddress::Tcp).map_err(|_| Expectation::AdminAddress),
    }
}

pub(super) fn networks(value: &TreeValue) -> Result<Vec<Network>, ValueRefusal> {
    let elements = elements(value).filter(|elements| elements.len() <= limits::PROXY_NETWORKS_MAX);
    let found = each(elements.ok_or(Expectation::Networks)?, |element| {
        element.unwrap_or("").parse().map_err(|refusal| match refusal {
            NetworkRefusal::Inside(network) => ElementProblem::Inside(network),
            NetworkRefusal::Malformed => ElementProblem::Refused(Expectation::Network),
        })
    })?;
    all_differ(&found, |a, b| a == b)?;
    Ok(found)
}

pub(super) fn path(value: &TreeValue) -> Read<PathBuf> {
    let text = value.text().filter(|text| !text.is_empty() && !text.contains('\0'));
    text.map(PathBuf::from).ok_or(Expectation::Path)
}

pub(super) fn optional_path(value: &TreeValue) -> Read<Option<PathBuf>> {
    if value.text() == Some("") {
        return Ok(None);
    }
    path(value).map(Some).map_err(|_| Expectation::OptionalPath)
}

pub(super) fn zone(value: &TreeValue) -> Read<String> {
    // The bundled database alone: what a name means must not differ between hosts.
    let known = |text: &&str| jiff::tz::TimeZoneDatabase::bundled().get(text).is_ok();
    value.text().filter(known).map(str::to_owned).ok_or(Expectation::Zone)
}

pub(super) fn keys(value: &TreeValue) -> Result<Vec<SecretText>, ValueRefusal> {
    secret_texts(value, (Expectation::Keys, limits::KEYS_MAX))
}

pub(super) fn secrets(value: &TreeValue) -> Result<Vec<SecretText>, ValueRefusal> {
    secret_texts(value, (Expectation::Secrets, limits::IDENTITY_SECRETS_MAX))
}

fn secret_texts(
    value: &TreeValue,
    of_list: (Expectation, usize),
) -> Result<Vec<SecretText>, ValueRefusal> {
    let keys = list(value, of_list, Expectation::Key, |text| {
        let length = (limits::KEY_BYTES_MIN..=limits::KEY_BYTES_MAX).contains(&text.len());
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        (length && visible).then(|| SecretText::new(text.to_owned()))
    })?;
    all_differ(&keys, |a, b| a == b)?;
    Ok(keys)
}

pub(super) fn hosts(value: &TreeValue) -> Result<Vec<String>, ValueRefusal> {
    let expected = (Expectation::Hosts, limits::ADMIN_HOSTS_MAX);
    list(value, expected, Expectation::Host, |host| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_named = (1..=253).contains(&host.len()) && host.bytes().all(is_name);
        (is_named || host.parse::<IpAddr>().is_ok()).then(|| host.to_ascii_lowercase())
    })
}

pub(super) fn users(value: &TreeValue) -> Result<Vec<String>, ValueRefusal> {
    user_ids(value, limits::LOG_USERS_MAX)
}

pub(super) fn preview_users(value: &TreeValue) -> Result<Vec<String>, ValueRefusal> {
    user_ids(value, limits::PREVIEW_USERS_MAX)
}

fn user_ids(value: &TreeValue, max: usize) -> Result<Vec<String>, ValueRefusal> {
    list(value, (Expectation::Users(max), max), Expectation::User, |user| {
        let length = (1..=limits::USER_BYTES_MAX).contains(&user.len());
        (length && !user.contains(char::is_control)).then(|| user.to_owned())
    })
}
