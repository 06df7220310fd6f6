//! When a certificate holds: two times in the DER of its first fields, which rustls knows and does
//! not tell. Reads nothing else of it, and believes nothing: rustls has the last word.

/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Tags of DER.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when to when a certificate holds, in seconds since 1970; `None` where it is no X.509.
pub(crate) fn validity_of(certificate: &[u8]) -> Option<(i64, i64)> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (mut rest, _) = value(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest, VERSION)?.1;
    }
    let (_serial, rest) = value(rest, INTEGER)?;
    let (_algorithm, rest) = value(rest, SEQUENCE)?;
    let (_issuer, rest) = value(rest, SEQUENCE)?;
    let (validity, _) = value(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some((not_before, not_after))
}

/// The value at the begin of `bytes`, which must have this tag, and what stands behind it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = bytes.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (&[length], rest) = rest.split_first_chunk::<1>()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        // No certificate has as much.
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time of either kind: `YYMMDDHHMMSSZ`, or the same with four digits of the year.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let is_short = match *bytes.first()? {
        UTC_TIME => true,
        GENERALIZED_TIME => false,
        _ => return None,
    };
    let tag = if is_short { UTC_TIME } else { GENERALIZED_TIME };
    let (text, rest) = value(bytes, tag)?;
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, fields) = if is_short {
        let year = number(digits.get(..2)?);
        // RFC 5280, 4.1.2.5.1.
        (if year < 50 { 2_000 + year } else { 1_900 + year }, digits.get(2..)?)
    } else {
        (number(digits.get(..4)?), digits.get(4..)?)
    };
    if fields.len() != 10 {
        return None;
    }
    let field = |index: usize| number(&fields[index * 2..index * 2 + 2]);
    let (month, day) = (field(0), field(1));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = field(2) * 3_600 + field(3) * 60 + field(4);
    Some((days(year, month, day) * DAY_S + seconds, rest))
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, years beginning in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (date, want) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 30), 20_787),
            ((2100, 3, 1), 47_541),
        ] {
            let (year, month, day) = date;
            assert_eq!(days(year, month, day), want, "{date:?}");
        }
    }

    #[test]
    fn times_are_read_in_both_kinds() {
        let utc = |text: &str| [&[UTC_TIME, 13][..], text.as_bytes()].concat();
        assert_eq!(time(&utc("700101000001Z")).unwrap().0, 1);
        assert_eq!(time(&utc("491231235959Z")).unwrap().0, 2_524_607_999);
        assert_eq!(time(&utc("500101000000Z")).unwrap().0, -631_152_000);
        let long = [&[GENERALIZED_TIME, 15][..], b"20500101000000Z"].concat();
        assert_eq!(time(&long).unwrap().0, 2_524_608_000);
        for wrong in ["7001010000010", "701301000001Z", "7a0101000001Z"] {
            assert_eq!(time(&utc(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let short: [&[u8]; 4] = [&[], &[0x30], &[0x30, 0x82, 1], &[0x30, 3, 0x30, 1, 0]];
        for bytes in short {
            assert_eq!(validity_of(bytes), None);
        }
    }
}
