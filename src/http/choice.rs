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
    for (coding, weight) in weighed(accept_encoding) {
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return weight > 0;
        }
        by_star |= coding == b"*" && weight > 0;
    }
    by_star
}

/// What an `Accept` or `Accept-Encoding` names, in its order, with how welcome it is in thousandths
/// (RFC 9110, 12.4.2). What has a weight that is none is passed over. Does not allocate.
pub fn weighed(field: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    field.split(|byte| *byte == b',').filter_map(|element| {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next()?;
        let is_weight = |part: &&[u8]| part.get(..2).is_some_and(|q| q.eq_ignore_ascii_case(b"q="));
        let weight = parts.find(is_weight).map_or(Some(1_000), |part| thousandths(&part[2..]))?;
        Some((name, weight))
    })
}

/// `0`, `0.5`, `1.000`: at most three digits behind the point, and not above 1.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (one, rest) = text.split_first()?;
    let digits = if rest.is_empty() { rest } else { rest.strip_prefix(b".")? };
    if !matches!(one, b'0' | b'1') || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    let weight = 1_000 * u16::from(one - b'0') + 100 * digit(0) + 10 * digit(1) + digit(2);
    (weight <= 1_000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_strictly() {
        let field =
            b"a, b;q=0.5 ,c;x=1;Q=0.125, d;q=0., e;q=1.000, f;q=1.001, g;q=, h;q=.5, i;q=0.5555";
        let told: Vec<(&[u8], u16)> = weighed(field).collect();
        let want: [(&[u8], u16); 5] =
            [(b"a", 1_000), (b"b", 500), (b"c", 125), (b"d", 0), (b"e", 1_000)];
        assert_eq!(told, want);
    }

    #[test]
    fn gzip_is_taken_by_name_or_by_star_and_not_with_a_weight_of_0() {
        for (field, want) in [
            ("gzip", true),
            ("br, GZIP;q=0.1", true),
            ("x-gzip", true),
            ("*", true),
            ("", false),
            ("br", false),
            ("gzip;q=0, *", false),
            ("gzip;q=0.000", false),
            ("*;q=0", false),
        ] {
            assert_eq!(takes_gzip(field.as_bytes()), want, "{field}");
        }
    }
}
