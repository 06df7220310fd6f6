//! Rows as CSV (RFC 4180), for spreadsheets. Must not know what rows are of.

/// A text as a field: in quotes where it has to be.
fn push_field(line: &mut String, text: &str) {
    if text.contains([',', '"', '\r', '\n']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

/// Adds a line.
pub(super) fn push_line<'a>(out: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_field(out, field);
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_have_to_be() {
        let mut out = String::new();
        push_line(&mut out, ["a", "", "b c"]);
        push_line(&mut out, ["x,y", "say \"no\"", "two\nlines"]);
        assert_eq!(out, "a,,b c\r\n\"x,y\",\"say \"\"no\"\"\",\"two\nlines\"\r\n");
    }
}
