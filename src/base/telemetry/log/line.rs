//! A line as JSON or as text. Whatever a field holds, the line stays one line: control characters
//! are escaped, and each field is cut at 256 bytes.
//!
//! JSON: `time` (RFC 3339, UTC, milliseconds), `level`, `code` (for machines: it does not change),
//! `message` (for people), then the fields. Text: the same in that order, the code in brackets.

use std::fmt::Write;

use super::{LogField, LogValue, Message};
use crate::hash;
use crate::limits::LOG_FIELD_BYTES_MAX;
use crate::time::WallMs;

/// What every line has; no field may be called so.
const MEMBERS: [&str; 5] = ["time", "level", "code", "message", "suppressed"];

pub(super) struct LogLine<'a> {
    pub(super) at: WallMs,
    pub(super) message: Message,
    pub(super) fields: &'a [LogField<'a>],
    /// Ids are shown in clear.
    pub(super) listed: bool,
    /// Lines of this message that were left out before this one.
    pub(super) suppressed: u64,
}

impl LogLine<'_> {
    /// The line with its line end. Allocates it.
    pub(super) fn render(&self, json: bool) -> String {
        let mut out = String::with_capacity(256);
        // Writing to a String fails only where memory does, which ends the process anyway.
        self.write(json, &mut out).expect("a String takes any text");
        out.push('\n');
        out
    }

    fn write(&self, json: bool, out: &mut String) -> std::fmt::Result {
        let (message, level) = (self.message, self.message.level().name());
        let (code, text) = (message.code(), message.text());
        if json {
            out.push_str("{\"time\":\"");
            write!(out, "{}", self.at.rfc3339())?;
            write!(out, "\",\"level\":\"{level}\",\"code\":\"{code}\",\"message\":\"{text}\"")?;
        } else {
            write!(out, "{}", self.at.rfc3339())?;
            write!(out, " {level:<5} [{code}] {text}")?;
        }
        for (name, value) in self.fields {
            debug_assert!(!MEMBERS.contains(name), "{name} is a member of every line");
            write_name(out, json, name)?;
            match *value {
                LogValue::Number(number) => write!(out, "{number}")?,
                LogValue::Text(text) => write_text(out, text)?,
                LogValue::User(user) if self.listed => write_text(out, user)?,
                LogValue::User(user) => write!(out, "\"#{:016x}\"", hash::user(user.as_bytes()))?,
            }
        }
        if self.suppressed > 0 {
            write_name(out, json, "suppressed")?;
            write!(out, "{}", self.suppressed)?;
        }
        if json {
            out.push('}');
        }
        Ok(())
    }
}

fn write_name(out: &mut String, json: bool, name: &str) -> std::fmt::Result {
    if json { write!(out, ",\"{name}\":") } else { write!(out, " {name}=") }
}

/// A text in quotes, escaped as in JSON, cut at a character's end.
fn write_text(out: &mut String, text: &str) -> std::fmt::Result {
    let cut = text.floor_char_boundary(LOG_FIELD_BYTES_MAX);
    out.push('"');
    for letter in text[..cut].chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Line and paragraph separators end lines for some readers, bidirectional marks
            // reorder them.
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(out, "\\u{:04x}", u32::from(letter))?;
            }
            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.push(other),
        }
    }
    if cut < text.len() {
        out.push('…');
    }
    out.push('"');
    Ok(())
}
