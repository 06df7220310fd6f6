//! Fields of a request that this server does not know: served all the same, named in the answer
//! and counted, so that a `placment` is found before its popups are missed. Owns which names may be
//! repeated to the client; knows no route.
//!
//! Limits: [`IGNORED_NAMES_MAX`] names of [`IGNORED_NAME_BYTES_MAX`] plain bytes are named;
//! [`IGNORED_FIELDS_MAX`] fields are looked at.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::query;
use nudged_base::limits::{IGNORED_FIELDS_MAX, IGNORED_NAME_BYTES_MAX, IGNORED_NAMES_MAX};
use nudged_http::reply;

/// What a request said that nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored<'a> {
    /// The names that may be told, each once, in the order given.
    pub names: &'a [&'a str],
    /// How many different names there were, told or not.
    pub count: u32,
}

/// Longest value of `Nudge-Ignored`, in bytes: the names, and a comma and a space between them.
const VALUE_BYTES_MAX: usize = IGNORED_NAMES_MAX * (IGNORED_NAME_BYTES_MAX + 2);

impl<'a> Ignored<'a> {
    /// Appends `Nudge-Ignored`, where there is a name to tell.
    pub(super) fn write_field(&self, out: &mut Vec<u8>) {
        if self.names.is_empty() {
            return;
        }
        let mut value = [0; VALUE_BYTES_MAX];
        let mut used = 0;
        for name in self.names {
            for part in [if used == 0 { "" } else { ", " }, *name] {
                value[used..used + part.len()].copy_from_slice(part.as_bytes());
                used += part.len();
            }
        }
        reply::field(out, "Nudge-Ignored", &value[..used]);
    }
}

/// Gathers them while a request is read. Takes no scratch before the first.
#[derive(Debug)]
pub struct Unknown<'a> {
    names: BumpVec<'a, &'a str>,
}

impl<'a> Unknown<'a> {
    /// None so far.
    pub fn new(bump: &'a Bump) -> Unknown<'a> {
        Unknown { names: BumpVec::new_in(bump) }
    }

    /// The fields of the query of a request whose fields are in its body: all but the key.
    pub(crate) fn of_query(query: &'a str, bump: &'a Bump) -> Unknown<'a> {
        let mut unknown = Unknown::new(bump);
        if !query.is_empty() {
            // One that can't be read is no reason to refuse what does not need it.
            query::pairs(query, bump).for_each(|pair| unknown.add(pair.map_or("", |pair| pair.0)));
        }
        unknown
    }

    /// Adds a field. A key or a signature is known wherever it stands: its name would be no news,
    /// and no answer is to look as if it were not read. What is called `attr.NAME` says something
    /// of the user, and its name with it, so that it is not repeated where it has no effect either.
    pub fn add(&mut self, name: &'a str) {
        let is_told = !matches!(name, "key" | "sig") && !name.starts_with("attr.");
        if is_told && self.names.len() < IGNORED_FIELDS_MAX {
            self.names.push(name);
        }
    }

    /// What they come to. Allocates in scratch, where there were any.
    pub fn finish(self) -> Ignored<'a> {
        if self.names.is_empty() {
            return Ignored::default();
        }
        let mut told = BumpVec::new_in(self.names.bump());
        for name in &self.names {
            if told.len() < IGNORED_NAMES_MAX && may_be_told(name) && !told.contains(name) {
                told.push(*name);
            }
        }
        let mut all = self.names;
        all.sort_unstable();
        all.dedup();
        let count = u32::try_from(all.len()).expect("their number is bounded");
        Ignored { names: told.into_bump_slice(), count }
    }
}

/// No answer echoes a request, except for short plain names.
fn may_be_told(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=IGNORED_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(names: &[&'a str], bump: &'a Bump) -> Ignored<'a> {
        let mut unknown = Unknown::new(bump);
        names.iter().for_each(|name| unknown.add(name));
        unknown.finish()
    }

    #[test]
    fn names_are_told_once_and_four_at_most() {
        let bump = Bump::new();
        let long = "x".repeat(64);
        let longer = "x".repeat(65);
        let table: [(&[&str], &[&str], u32); 9] = [
            (&[], &[], 0),
            (&["placment"], &["placment"], 1),
            (&["b", "a", "b", "a"], &["b", "a"], 2),
            (&["key", "sig", "a"], &["a"], 1),
            (&["a", "b", "c", "d", "e", "e"], &["a", "b", "c", "d"], 5),
            (&["", "a b", "é", "a\r\nb: c", "a,b", "A_b.c-9"], &["A_b.c-9"], 6),
            (&[&longer, &long], &[&long], 2),
            (&["Key", "SIG"], &["Key", "SIG"], 2),
            (&["attr.x", "attr.", "attr", "attrs", "Attr.x"], &["attr", "attrs", "Attr.x"], 3),
        ];
        for (names, told, count) in table {
            assert_eq!(of(names, &bump), Ignored { names: told, count }, "{names:?}");
        }
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let bump = Bump::new();
        let names: Vec<String> = (0..2 * IGNORED_FIELDS_MAX).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(of(&names, &bump).count as usize, IGNORED_FIELDS_MAX);
        let bump = Bump::new();
        assert_eq!(of(&[], &bump), Ignored::default());
        assert_eq!(bump.allocated_bytes(), 0);
    }

    #[test]
    fn the_longest_field_fits() {
        let bump = Bump::new();
        let names: Vec<String> = ["a", "b", "c", "d"].iter().map(|name| name.repeat(64)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for names in [&names[..], &names[..1], &[]] {
            let ignored = of(names, &bump);
            let mut field = Vec::new();
            ignored.write_field(&mut field);
            let want = format!("Nudge-Ignored: {}\r\n", names.join(", "));
            let want = if names.is_empty() { "" } else { &want };
            assert_eq!(String::from_utf8(field).unwrap(), want);
        }
    }

    #[test]
    fn a_query_beside_a_body() {
        let bump = Bump::new();
        let table: [(&str, &[&str], u32); 6] = [
            ("", &[], 0),
            ("key=k&sig=s", &[], 0),
            ("user=u&key=k&utm=1", &["user", "utm"], 2),
            ("attr.x=1&%61ttr.y=2", &[], 0),
            ("%zz=1&a=%", &[], 1),
            ("%75ser=u", &["user"], 1),
        ];
        for (query, names, count) in table {
            let ignored = Unknown::of_query(query, &bump).finish();
            assert_eq!(ignored, Ignored { names, count }, "{query}");
        }
    }
}
