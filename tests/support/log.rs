//! Lines of a node's log, read by their codes. Tests name no member of a line themselves.

use serde_json::Value;

/// A line of the log. `fields` are all its members, those that every line has included.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// When it was written: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// Which message it is.
    pub code: String,
    /// What it says to people.
    pub message: String,
    /// The members.
    pub fields: Value,
}

impl LogLine {
    /// The line, where it is one of the log; panics' and others' words are none.
    pub fn parse(line: &str) -> Option<LogLine> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        let (time, level) = (text("time")?, text("level")?);
        let (code, message) = (text("code")?, text("message")?);
        Some(LogLine { time, level, code, message, fields })
    }

    /// Every line of the log in a text.
    pub fn all(text: &str) -> Vec<LogLine> {
        text.lines().filter_map(LogLine::parse).collect()
    }

    /// The lines of this code in a text.
    pub fn of(text: &str, code: &str) -> Vec<LogLine> {
        let mut lines = LogLine::all(text);
        lines.retain(|line| line.code == code);
        lines
    }

    /// A field that is a text; empty where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    /// A field that is a number; `None` where there is none.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields[field].as_u64()
    }
}
