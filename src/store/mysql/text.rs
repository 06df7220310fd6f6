//! Statements as text: literals, and inserts of many rows cut to what a server takes. Knows the
//! grammar; must not know tables.
//!
//! Text and not placeholders, because a text of any number of rows is one round trip without a
//! prepare before it. Literals are safe under the session's own `sql_mode`: backslashes escape,
//! double quotes are no identifiers, and the character set is utf8mb4, in which neither a quote nor
//! a backslash is part of another letter.

use std::borrow::Cow;

use crate::value::SqlValue;
use nudged_base::hex;
use nudged_base::limits::MYSQL_LIST_MAX;

/// Appends a text literal.
fn push_text(out: &mut String, text: &str) {
    out.push('\'');
    let mut rest = text;
    // None of the three is part of another letter in UTF-8.
    while let Some(at) = memchr::memchr3(b'\'', b'\\', b'\0', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\'' => "''",
            b'\\' => "\\\\",
            _ => "\\0",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('\'');
}

/// Appends a literal of bytes.
fn push_bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("x'");
    hex::push(out, bytes);
    out.push('\'');
}

/// Appends a value as a literal.
fn push_value(out: &mut String, value: SqlValue<'_>) {
    match value {
        SqlValue::Null => out.push_str("NULL"),
        SqlValue::Number(number) => out.push_str(itoa::Buffer::new().format(number)),
        SqlValue::Text(text) => push_text(out, text),
        SqlValue::Bytes(bytes) => push_bytes(out, bytes),
    }
}

/// A statement with a literal in the place of each `?`. Allocates where there is one.
///
/// # Panics
/// Where their numbers differ: statements are ours.
pub(super) fn bound<'t>(text: &'t str, values: &[SqlValue<'_>]) -> Cow<'t, str> {
    if values.is_empty() {
        return text.into();
    }
    let mut parts = text.split('?');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        push_value(&mut out, *values.next().expect("a value for each `?`"));
        out.push_str(part);
    }
    assert!(values.next().is_none(), "a `?` for each value");
    out.into()
}

/// A statement with one `?`, in `IN (?)`, as statements with lists of these keys: each of at most
/// `MYSQL_LIST_MAX` keys and `bytes_max` bytes, and of one key at least. Allocates.
pub(super) fn lists(text: &str, keys: &[SqlValue<'_>], bytes_max: usize) -> Vec<String> {
    let (head, tail) = text.split_once('?').expect("a list has its place");
    let mut lists =
        RowStatements { rows_max: MYSQL_LIST_MAX, ..RowStatements::new(head, tail, bytes_max) };
    keys.iter().for_each(|key| lists.push_piece(|out| push_value(out, *key)));
    lists.finish()
}

/// Appends values in parentheses, separated by commas.
fn push_row(out: &mut String, row: &[SqlValue<'_>]) {
    out.push('(');
    for (index, value) in row.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_value(out, *value);
    }
    out.push(')');
}

/// Statements `head row,row,... tail` of at most `bytes_max` bytes each; a row that is larger alone
/// has a statement of its own, which the server then refuses.
pub(super) struct RowStatements<'a> {
    head: &'a str,
    tail: &'a str,
    bytes_max: usize,
    rows_max: usize,
    done: Vec<String>,
    open: String,
    count: usize,
}

impl<'a> RowStatements<'a> {
    /// No rows yet. Does not allocate.
    pub(super) fn new(head: &'a str, tail: &'a str, bytes_max: usize) -> RowStatements<'a> {
        let (done, open) = (Vec::new(), String::new());
        RowStatements { head, tail, bytes_max, rows_max: usize::MAX, done, open, count: 0 }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &[SqlValue<'_>]) {
        self.push_piece(|out| push_row(out, row));
    }

    fn push_piece(&mut self, push: impl FnOnce(&mut String)) {
        let before = self.open.len();
        self.open.push_str(if before > 0 { "," } else { self.head });
        let from = self.open.len();
        push(&mut self.open);
        let is_full =
            self.count == self.rows_max || self.open.len() + self.tail.len() > self.bytes_max;
        if before > 0 && is_full {
            let piece = self.open.split_off(from);
            self.open.truncate(before);
            self.close();
            self.open.push_str(self.head);
            self.open.push_str(&piece);
        }
        self.count += 1;
    }

    fn close(&mut self) {
        self.open.push_str(self.tail);
        self.done.push(std::mem::take(&mut self.open));
        self.count = 0;
    }

    /// The statements; none where there is no row.
    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.close();
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_any_text() {
        let mut out = String::new();
        push_row(
            &mut out,
            &[
                SqlValue::Text("a'b\\c\0\u{e9} "),
                SqlValue::Number(-1),
                SqlValue::Null,
                SqlValue::Bytes(&[0, 255]),
            ],
        );
        assert_eq!(out, "('a''b\\\\c\\0\u{e9} ',-1,NULL,x'00ff')");
    }

    #[test]
    fn each_value_has_its_place() {
        let values = [SqlValue::Text("what?"), SqlValue::Number(7)];
        assert_eq!(bound("a = ? AND b = ?", &values), "a = 'what?' AND b = 7");
        assert_eq!(bound("a = '?'", &[]), "a = '?'");
    }

    #[test]
    fn lists_are_cut_at_their_bounds_and_lose_no_key() {
        let keys: Vec<_> = (0..9).map(SqlValue::Number).collect();
        for bytes_max in 0..40 {
            let texts = lists("a IN (?) b", &keys, bytes_max);
            let inner = |text: &String| {
                let keys = text.strip_prefix("a IN (").unwrap().strip_suffix(") b").unwrap();
                assert!(keys.len() == 1 || text.len() <= bytes_max, "{text}");
                keys.to_owned()
            };
            let found: Vec<_> = texts.iter().map(inner).collect();
            assert_eq!(found.join(","), "0,1,2,3,4,5,6,7,8", "{bytes_max}");
        }
        assert!(lists("a IN (?)", &[], 10).is_empty());
        let many = vec![SqlValue::Number(1); 2 * MYSQL_LIST_MAX + 1];
        let texts = lists("(?)", &many, usize::MAX);
        let counts = texts.iter().map(|text| text.split(',').count());
        assert_eq!(counts.collect::<Vec<_>>(), [MYSQL_LIST_MAX, MYSQL_LIST_MAX, 1]);
    }

    #[test]
    fn statements_are_cut_at_their_bound_and_lose_no_row() {
        for bytes_max in 0..40 {
            let mut rows = RowStatements::new("I ", " T", bytes_max);
            (0..9).for_each(|number| rows.push(&[SqlValue::Number(number)]));
            let statements = rows.finish();
            let mut numbers = Vec::new();
            for statement in &statements {
                let inner = statement.strip_prefix("I ").unwrap().strip_suffix(" T").unwrap();
                let row_count = inner.split(',').count();
                assert!(row_count == 1 || statement.len() <= bytes_max, "{statement}");
                numbers.extend(inner.split(',').map(str::to_owned));
            }
            let expected: Vec<_> = (0..9).map(|number| format!("({number})")).collect();
            assert_eq!(numbers, expected, "{bytes_max}");
        }
        assert!(RowStatements::new("I ", " T", 10).finish().is_empty());
    }
}
