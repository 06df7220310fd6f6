//! Statements as text: literals, and inserts of many rows cut to what a server takes. Knows the
//! grammar; must not know tables.
//!
//! Text and not placeholders, because a text of any number of rows is one round trip without a
//! prepare before it. Literals are safe under the session's own `sql_mode`: backslashes escape,
//! double quotes are no identifiers, and the character set is utf8mb4, in which neither a quote nor
//! a backslash is part of another letter.

use nudged_base::hex;

/// Appends a text literal.
pub(super) fn push_text(out: &mut String, text: &str) {
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
pub(super) fn push_bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("x'");
    hex::push(out, bytes);
    out.push('\'');
}

/// A value as a literal.
pub(super) enum Literal<'a> {
    /// A number.
    Number(i64),
    /// A number, or NULL.
    Maybe(Option<i64>),
    /// A text.
    Text(&'a str),
    /// A text, or NULL.
    MaybeText(Option<&'a str>),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Appends literals in parentheses, separated by commas.
pub(super) fn push_row(out: &mut String, row: &[Literal<'_>]) {
    out.push('(');
    for (index, literal) in row.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match literal {
            Literal::Number(number) | Literal::Maybe(Some(number)) => push_number(out, *number),
            Literal::Text(text) | Literal::MaybeText(Some(text)) => push_text(out, text),
            Literal::Bytes(bytes) => push_bytes(out, bytes),
            Literal::Maybe(None) | Literal::MaybeText(None) => out.push_str("NULL"),
        }
    }
    out.push(')');
}

/// Appends a number.
pub(super) fn push_number(out: &mut String, number: i64) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// A list of literals in parentheses. Allocates.
pub(super) fn list<'a>(literals: impl Iterator<Item = Literal<'a>>) -> String {
    let mut out = String::new();
    push_row(&mut out, &literals.collect::<Vec<_>>());
    out
}

/// Statements `head row,row,... tail` of at most `bytes_max` bytes each; a row that is larger alone
/// has a statement of its own, which the server then refuses.
pub(super) struct Rows<'a> {
    head: &'a str,
    tail: &'a str,
    bytes_max: usize,
    done: Vec<String>,
    open: String,
}

impl<'a> Rows<'a> {
    /// No rows yet. Does not allocate.
    pub(super) fn new(head: &'a str, tail: &'a str, bytes_max: usize) -> Rows<'a> {
        Rows { head, tail, bytes_max, done: Vec::new(), open: String::new() }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &[Literal<'_>]) {
        let before = self.open.len();
        if before > 0 {
            self.open.push(',');
        } else {
            self.open.push_str(self.head);
        }
        let from = self.open.len();
        push_row(&mut self.open, row);
        if before > 0 && self.open.len() + self.tail.len() > self.bytes_max {
            let row = self.open.split_off(from);
            self.open.truncate(before);
            self.close();
            self.open.push_str(self.head);
            self.open.push_str(&row);
        }
    }

    fn close(&mut self) {
        self.open.push_str(self.tail);
        self.done.push(std::mem::take(&mut self.open));
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
                Literal::Text("a'b\\c\0\u{e9} "),
                Literal::Number(-1),
                Literal::Maybe(None),
                Literal::MaybeText(None),
                Literal::Bytes(&[0, 255]),
            ],
        );
        assert_eq!(out, "('a''b\\\\c\\0\u{e9} ',-1,NULL,NULL,x'00ff')");
    }

    #[test]
    fn statements_are_cut_at_their_bound_and_lose_no_row() {
        for bytes_max in 0..40 {
            let mut rows = Rows::new("I ", " T", bytes_max);
            (0..9).for_each(|number| rows.push(&[Literal::Number(number)]));
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
        assert!(Rows::new("I ", " T", 10).finish().is_empty());
    }
}
