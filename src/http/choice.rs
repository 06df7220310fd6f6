//! Which form of a file a client is sent, and whether it has it already. Knows no files.

use super::kept::Repeatable;

/// Whether `If-None-Match` has an entity tag (RFC 9110, 13.1.2: weakly compared), in which no comma
/// stands. Does not allocate.
pub fn has_tag(if_none_match: Option<Repeatable<'_>>, tag: &[u8]) -> bool {
    let Some(field) = if_none_match else { return false };
    let mut known = field.values().flat_map(|value| value.split(|byte| *byte == b','));
    known.any(|known| {
        let known = known.trim_ascii();
        known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag
    })
}

/// Whether `Accept-Encoding` takes gzip: named, or by `*` where it is not, and not with a weight of
/// 0 (RFC 9110, 12.5.3). Does not allocate.
pub fn takes_gzip(accept_encoding: &[u8]) -> bool {
    let mut by_star = false;
    for element in accept_encoding.split(|byte| *byte == b',') {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let is_taken = !parts.any(is_weight_of_zero);
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return is_taken;
        }
        by_star |= coding == b"*" && is_taken;
    }
    by_star
}

/// `q=0`, `q=0.`, `q=0.000`
fn is_weight_of_zero(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(2) else { return false };
    let is_zero = |byte: &u8| matches!(byte, b'0' | b'.');
    name.eq_ignore_ascii_case(b"q=") && value.first() == Some(&b'0') && value.iter().all(is_zero)
}
