//! Listeners as nginx writes them: an address, and words behind it that say what is spoken there.

use super::expected::Expectation;
use super::schema::{AdminAddress, DataListener};
use super::tree::TreeValue;
use super::value::{ElementProblem, ValueRefusal, admin_address, all_differ, each, elements};
use super::word::{PROXY, TLS, WordProblem, words};
use nudged_base::limits::LISTENERS_MAX;

fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// Reads one data listener.
fn listener(text: &str) -> Result<DataListener, ElementProblem> {
    let (address, rest) = split(text.trim());
    let refused = ElementProblem::Refused(Expectation::Address);
    let address = address.parse().map_err(|_| refused)?;
    let words = words(rest).map_err(ElementProblem::Word)?;
    let (is_tls, is_proxied) = (words.contains(&TLS), words.contains(&PROXY));
    Ok(DataListener { address, is_tls, is_proxied })
}

/// Reads the data listeners.
pub(super) fn listeners(value: &TreeValue) -> Result<Vec<DataListener>, ValueRefusal> {
    let expected = Expectation::Addresses(LISTENERS_MAX);
    // One address of a file needs no list around it.
    let one = match value {
        TreeValue::Text(text) => Some(TreeValue::Loose(text.clone())),
        _ => None,
    };
    let elements = elements(one.as_ref().unwrap_or(value))
        .filter(|elements| (1..=LISTENERS_MAX).contains(&elements.len()))
        .ok_or(expected)?;
    let found = each(elements, |element| {
        listener(element.ok_or(ElementProblem::Refused(Expectation::Address))?)
    })?;
    // Port 0 picks a free port each time, so it may be named more than once.
    all_differ(&found, |a: &DataListener, b| a.address == b.address && a.address.port() != 0)?;
    Ok(found)
}

/// Reads the admin listener.
pub(super) fn admin(value: &TreeValue) -> Result<AdminAddress, ValueRefusal> {
    let text = value.text().ok_or(Expectation::AdminAddress)?.trim();
    // The path of a socket may have spaces in it.
    if text.starts_with("unix:") {
        return match text.strip_suffix(TLS).is_some_and(|rest| rest.ends_with(' ')) {
            true => Err(ValueRefusal::Word(WordProblem::NotForUnix(TLS))),
            false => Ok(admin_address(text)?),
        };
    }
    let (address, rest) = split(text);
    let address = admin_address(address)?;
    let words = words(rest).map_err(ValueRefusal::Word)?;
    if words.contains(&PROXY) {
        return Err(ValueRefusal::Word(WordProblem::NotForAdmin(PROXY)));
    }
    match address {
        AdminAddress::Tcp(address) if words.contains(&TLS) => Ok(AdminAddress::Tls(address)),
        address => Ok(address),
    }
}
