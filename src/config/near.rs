//! The name that was probably meant by one that does not exist.

/// No name of ours is longer, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The known name that differs from `unknown` in the fewest letters, a third of them at most; two
/// neighbours that are swapped count as one. Compares in bounded time, however long `unknown` is.
pub fn nearest<'n>(unknown: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distance_max = (unknown.len() / 3).clamp(1, 3);
    // A name of which nothing is left was not meant.
    let is_near =
        |(distance, name): &(usize, &str)| *distance <= distance_max && *distance < name.len();
    known.map(|name| (distance(unknown, name), name)).filter(is_near).min().map(|(_, name)| name)
}

/// How many letters must be put in, taken out, changed or swapped to make one name of the other.
pub(crate) fn distance(unknown: &str, known: &str) -> usize {
    // What follows in a name that is longer than every name of ours makes no difference.
    strsim::osa_distance(&unknown[..unknown.floor_char_boundary(NAME_BYTES_MAX)], known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["priority", "placement", "per", "tz", "n"];
        let long = "priority".repeat(1_000);
        for (unknown, want) in [
            ("prioriti", Some("priority")),
            ("piroritt", Some("priority")),
            ("pririty", Some("priority")),
            ("pre", Some("per")),
            ("tzz", Some("tz")),
            ("colour", None),
            ("x", None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(nearest(unknown, known.into_iter()), want, "{unknown}");
        }
        assert_eq!(distance(&"é".repeat(100), ""), 32);
    }
}
