//! Rows as CSV (RFC 4180), for spreadsheets. Must not know what rows are of.

/// What spreadsheets take for the begin of a formula.
const FORMULA_BEGINS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A text as a field: in quotes where it has to be, and behind an apostrophe where a spreadsheet
/// would run it. Numbers here have no sign.
fn push_field(line: &mut String, text: &str) {
    let guard = if text.starts_with(FORMULA_BEGINS) { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        line.push('"');
        line.push_str(guard);
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(guard);
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

    #[test]
    fn no_field_is_a_formula() {
        let mut out = String::new();
        push_line(&mut out, ["=1+1", "+a", "-promo", "@a", "\ta", "12", "a-b", "=\"x\",y", "\rz"]);
        let want = "'=1+1,'+a,'-promo,'@a,'\ta,12,a-b,\"'=\"\"x\"\",y\",\"'\rz\"\r\n";
        assert_eq!(out, want);
    }
}
