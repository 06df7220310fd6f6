//! Readers of single fields: type, range and form, each refusal with its line, its path and what
//! is allowed. They report and go on, so that one pass finds every error of a text.
//!
//! Knows nothing of which fields a popup has.

use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::value::Datetime;

use super::SourceError;
use nudged_base::limits::NAME_BYTES_MAX;
use nudged_base::time::{DurationError, DurationMs, Gap, WallMs, parse_duration};
use nudged_config::near::nearest;
use nudged_config::tree::{Member, TreeNode, TreeValue, member};

/// What is wrong with a text so far.
#[derive(Debug, Default)]
pub struct Errors {
    /// The popup that is being read.
    pub popup: Option<String>,
    /// In the order in which they were found.
    pub list: Vec<SourceError>,
}

impl Errors {
    /// Adds an error; line 0 stands for none. Always `None`, so that a reader can end with it.
    pub fn add<T>(&mut self, line: u32, field: &str, message: impl Into<String>) -> Option<T> {
        self.list.push(SourceError {
            line: (line > 0).then_some(line),
            popup: self.popup.clone(),
            field: field.to_owned(),
            message: message.into(),
        });
        None
    }

    /// The errors in the order of their lines.
    pub fn finish(mut self) -> Vec<SourceError> {
        self.list.sort_by_key(|error| error.line);
        self.list
    }
}

/// A value with its path, such as `caps[0].n`.
#[derive(Clone, Debug)]
pub struct SourceField<'t> {
    /// Its path within the popup.
    pub path: String,
    /// Its line, 0 for none.
    pub line: u32,
    /// Its value.
    pub value: &'t TreeValue,
}

impl<'t> SourceField<'t> {
    /// The member of a path with its own name added.
    fn below(path: &str, member: &'t Member) -> SourceField<'t> {
        let name = &*member.key;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        SourceField { path, line: member.node.line, value: &member.node.value }
    }

    /// Reports that something else was expected here.
    pub fn expected<T>(&self, what: impl Display, errors: &mut Errors) -> Option<T> {
        self.refuse(format!("expected {what}, found {}", self.value.kind()), errors)
    }

    /// Reports an error here.
    pub fn refuse<T>(&self, message: impl Into<String>, errors: &mut Errors) -> Option<T> {
        errors.add(self.line, &self.path, message)
    }

    /// A boolean.
    pub fn boolean(&self, errors: &mut Errors) -> Option<bool> {
        self.value.boolean().or_else(|| self.expected("true or false", errors))
    }

    /// A whole number within a range.
    pub fn whole<N>(&self, range: RangeInclusive<N>, errors: &mut Errors) -> Option<N>
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        let (min, max) = (range.start(), range.end());
        let TreeValue::Number(text) = self.value else {
            return self.expected(format_args!("a whole number, {min} to {max}"), errors);
        };
        match self.value.whole().and_then(|number| N::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Some(number),
            _ if text.contains(['.', 'e', 'E']) => {
                self.refuse(format!("{text} is not a whole number, {min} to {max}"), errors)
            }
            _ => self.refuse(format!("{text} is out of range: expected {min} to {max}"), errors),
        }
    }

    /// A text.
    pub fn text(&self, errors: &mut Errors) -> Option<&'t str> {
        self.value.text().or_else(|| self.expected("a text", errors))
    }

    /// A text of 1 to `bytes_max` bytes without control characters.
    pub fn name(&self, bytes_max: usize, errors: &mut Errors) -> Option<&'t str> {
        let text = self.text(errors)?;
        if text.is_empty() || text.len() > bytes_max {
            let message = format!("has {} bytes; expected 1 to {bytes_max}", text.len());
            return self.refuse(message, errors);
        }
        if text.chars().any(char::is_control) {
            return self.refuse("control characters are not allowed", errors);
        }
        Some(text)
    }

    /// One of a list of words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)], errors: &mut Errors) -> Option<T> {
        let text = self.text(errors)?;
        let found = words.iter().find(|(word, _)| *word == text);
        match found {
            Some((_, value)) => Some(*value),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                let message = format!("{} is not one of {}", quoted(text), words.join(", "));
                self.refuse(message, errors)
            }
        }
    }

    /// A duration such as `24h`.
    pub fn duration(&self, errors: &mut Errors) -> Option<DurationMs> {
        let text = self.text(errors)?;
        let (error, text) = match parse_duration(text) {
            Ok(duration) => return Some(duration),
            Err(error) => (error, quoted(text)),
        };
        let message = match error {
            DurationError::Malformed => {
                format!("{text} is not a duration such as \"24h\" or \"1h30m\" (ms s m h d w)")
            }
            DurationError::TooLong => format!("{text} is longer than 100 years"),
        };
        self.refuse(message, errors)
    }

    /// A duration, or `never`.
    pub fn gap(&self, errors: &mut Errors) -> Option<Gap> {
        match self.value {
            TreeValue::Text(text) if &**text == "never" => Some(Gap::Never),
            _ => self.duration(errors).map(Gap::After),
        }
    }

    /// A moment: TOML's offset date-time, or the same as a text. Parts of a millisecond count as a
    /// whole one, so that comparing it with a time in milliseconds stays exact.
    pub fn moment(&self, errors: &mut Errors) -> Option<WallMs> {
        let (TreeValue::Text(text) | TreeValue::Time(text)) = self.value else {
            return self.expected("a date and time with an offset", errors);
        };
        let moment = text.parse::<Datetime>().ok().and_then(moment_of);
        let Some(moment) = moment else {
            let example = "2026-03-01T00:00:00+01:00";
            let text = quoted(text);
            let what = "a date and time with an offset, in the years 1 to 9998";
            let message = format!("{text} is not {what}, such as {example}");
            return self.refuse(message, errors);
        };
        Some(moment)
    }

    /// A list of `counts` values.
    pub fn list(
        &self,
        counts: RangeInclusive<usize>,
        errors: &mut Errors,
    ) -> Option<impl Iterator<Item = SourceField<'t>> + use<'t>> {
        let (min, max) = (counts.start(), counts.end());
        let TreeValue::List(nodes) = self.value else {
            return self.expected(format_args!("a list of {min} to {max}"), errors);
        };
        if !counts.contains(&nodes.len()) {
            let message = format!("has {} values; expected {min} to {max}", nodes.len());
            return self.refuse(message, errors);
        }
        let path = self.path.clone();
        Some(nodes.iter().enumerate().map(move |(index, TreeNode { line, value, .. })| {
            SourceField { path: format!("{path}[{index}]"), line: *line, value }
        }))
    }

    /// A table whose keys are all `known`.
    pub fn table(&self, known: &[&str], errors: &mut Errors) -> Option<Table<'t>> {
        let TreeValue::Table(members) = self.value else {
            return self.expected("a table", errors);
        };
        let table = Table { path: self.path.clone(), line: self.line, members };
        table.refuse_unknown(known, errors);
        Some(table)
    }
}

/// A table with its path.
#[derive(Clone, Debug)]
pub struct Table<'t> {
    /// Its path within the popup; empty for the popup itself.
    pub path: String,
    /// Its line, 0 for none.
    pub line: u32,
    /// Its members in the order given.
    pub members: &'t [Member],
}

impl<'t> Table<'t> {
    /// The field of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<SourceField<'t>> {
        Some(SourceField::below(&self.path, member(self.members, key)?))
    }

    /// The field of a key that must be there.
    pub(crate) fn require(&self, key: &str, errors: &mut Errors) -> Option<SourceField<'t>> {
        self.get(key).or_else(|| {
            let path = if self.path.is_empty() { key } else { &format!("{}.{key}", self.path) };
            errors.add(self.line, path, "is missing")
        })
    }

    /// All members as fields.
    pub fn fields(&self) -> impl Iterator<Item = SourceField<'t>> {
        self.members.iter().map(|member| SourceField::below(&self.path, member))
    }

    fn refuse_unknown(&self, known: &[&str], errors: &mut Errors) {
        for member in self.members.iter().filter(|member| !known.contains(&&*member.key)) {
            let path = SourceField::below(&self.path, member).path;
            let message = match nearest(&member.key, known.iter().copied()) {
                Some(near) => format!("unknown key; did you mean {near}?"),
                None => format!("unknown key; expected one of {}", known.join(", ")),
            };
            errors.add::<()>(member.line, &path, message);
        }
    }
}

/// A text in quotes for an error message, cut to a readable length.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(NAME_BYTES_MAX) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// `None` where a part is missing or out of range.
fn moment_of(time: Datetime) -> Option<WallMs> {
    // Read as a moment, a leap second would be the second before it.
    if time.time?.second == Some(60) {
        return None;
    }
    let moment: jiff::Timestamp = time.to_string().parse().ok()?;
    // Rounded up.
    let moment_ms = i64::try_from(-(-moment.as_nanosecond()).div_euclid(1_000_000)).ok()?;
    // Years of four digits, so that the moment can be written down again.
    let moment = jiff::Timestamp::from_millisecond(moment_ms).ok()?;
    let year = jiff::tz::Offset::UTC.to_datetime(moment).year();
    (1..=9_998).contains(&year).then_some(WallMs(moment_ms))
}
