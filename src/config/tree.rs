//! A text as a tree of values with their places: what TOML and JSON have in common, so that one
//! reader checks both. Order of keys, and numbers as they are written, are kept.
//!
//! Knows nothing of settings and popups. Limits: the nesting that the readers take, here for TOML
//! the library's 80 levels.

use std::fmt::Write;

use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeNode {
    /// Its line from 1; 0 where it came without a text.
    pub line: u32,
    /// The column of its first byte, from 1; 0 where that is not known.
    pub column: u32,
    /// The value.
    pub value: TreeValue,
}

/// A value of TOML or JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum TreeValue {
    /// JSON's null.
    Null,
    /// true or false.
    Boolean(bool),
    /// A number in JSON's grammar, as it is written.
    Number(Box<str>),
    /// A number that JSON lacks: TOML's `inf` and `nan`.
    Unreal(Box<str>),
    /// A text.
    Text(Box<str>),
    /// Text of the environment or of a flag: read as whatever is wanted there.
    Loose(Box<str>),
    /// TOML's dates and times, as RFC 3339 writes them.
    Time(Box<str>),
    /// A list.
    List(Vec<TreeNode>),
    /// A table of TOML, an object of JSON; its keys are unique and in the order given.
    Table(Vec<Member>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The key.
    pub key: Box<str>,
    /// The key's line, as [`TreeNode::line`].
    pub line: u32,
    /// The key's column, as [`TreeNode::column`].
    pub column: u32,
    /// The value.
    pub node: TreeNode,
}

impl TreeValue {
    /// What it is, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            TreeValue::Null => "null",
            TreeValue::Boolean(_) => "a boolean",
            TreeValue::Number(_) => "a number",
            TreeValue::Unreal(_) => "not a finite number",
            TreeValue::Text(_) | TreeValue::Loose(_) => "a text",
            TreeValue::Time(_) => "a date or time",
            TreeValue::List(_) => "a list",
            TreeValue::Table(_) => "a table",
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            TreeValue::Text(text) | TreeValue::Loose(text) => Some(text),
            _ => None,
        }
    }

    /// true or false, where it is one of them.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            TreeValue::Boolean(value) => Some(*value),
            TreeValue::Loose(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The whole number, where it is one.
    pub fn whole(&self) -> Option<i128> {
        match self {
            TreeValue::Number(text) => text.parse().ok(),
            TreeValue::Loose(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => None,
        }
    }

    /// The value of a key, where it is a table that has it.
    pub fn get(&self, key: &str) -> Option<&TreeNode> {
        match self {
            TreeValue::Table(members) => member(members, key).map(|member| &member.node),
            _ => None,
        }
    }
}

/// The member of a key, if it is there.
pub fn member<'m>(members: &'m [Member], key: &str) -> Option<&'m Member> {
    members.iter().find(|member| &*member.key == key)
}

impl From<TreeValue> for TreeNode {
    /// A value that came without a text.
    fn from(value: TreeValue) -> TreeNode {
        TreeNode { line: 0, column: 0, value }
    }
}

/// What is no TOML, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Its line, from 1.
    pub line: u32,
    /// Its column, from 1, in bytes.
    pub column: u32,
    /// What the library says of it. Not its own rendering: that repeats the line, which may hold a
    /// secret.
    pub message: String,
}

/// Reads a TOML document.
///
/// # Errors
/// All syntax errors that the library finds, with their places.
pub fn from_toml(text: &str) -> Result<Vec<Member>, Vec<SyntaxError>> {
    let lines = LineStarts::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(lines.members(table.get_ref()));
    }
    let located = errors.iter().map(|error| {
        let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
        SyntaxError { line, column, message: error.message().to_owned() }
    });
    Err(located.collect())
}

/// Where the lines of a text begin.
struct LineStarts {
    starts: Vec<usize>,
}

impl LineStarts {
    fn of(text: &str) -> LineStarts {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        LineStarts { starts: std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect() }
    }

    /// Line and column of a byte, from 1.
    fn place(&self, at: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= at);
        let column = at - self.starts[line - 1] + 1;
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (number(line), number(column))
    }

    fn members(&self, table: &DeTable<'_>) -> Vec<Member> {
        // The library sorts its tables by key; the places of the keys give the order back.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let member = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let (line, column) = self.place(key.span().start);
            // A table that is built up by dotted keys or headers has no place of its own.
            let start = match value.get_ref() {
                DeValue::Table(_) => key.span().start,
                _ => value.span().start,
            };
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            Member {
                key: key.as_ref().into(),
                line,
                column,
                node: self.node(start, value.get_ref()),
            }
        };
        entries.into_iter().map(member).collect()
    }

    fn node(&self, start: usize, value: &DeValue<'_>) -> TreeNode {
        let (line, column) = self.place(start);
        TreeNode { line, column, value: self.value(value) }
    }

    fn value(&self, value: &DeValue<'_>) -> TreeValue {
        match value {
            DeValue::String(text) => TreeValue::Text(text.as_ref().into()),
            DeValue::Integer(number) => integer(number),
            DeValue::Float(number) => float(number),
            DeValue::Boolean(value) => TreeValue::Boolean(*value),
            DeValue::Datetime(time) => TreeValue::Time(time.to_string().into()),
            DeValue::Array(values) => {
                let node =
                    |value: &toml::Spanned<_>| self.node(value.span().start, value.get_ref());
                TreeValue::List(values.iter().map(node).collect())
            }
            DeValue::Table(table) => TreeValue::Table(self.members(table)),
        }
    }
}

fn integer(number: &DeInteger<'_>) -> TreeValue {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => TreeValue::Number(number.to_string().into()),
        Err(_) => TreeValue::Unreal(number.as_str().into()),
    }
}

fn float(number: &DeFloat<'_>) -> TreeValue {
    let text = number.as_str().trim_start_matches('+');
    match text.parse::<f64>() {
        // What is left of TOML's grammar without underscores and a plus sign is JSON's.
        Ok(real) if real.is_finite() => TreeValue::Number(text.into()),
        _ => TreeValue::Unreal(text.into()),
    }
}

/// Appends a value as JSON without white space. `Unreal` is written as null: readers refuse it
/// before.
pub fn write_json(value: &TreeValue, out: &mut String) {
    match value {
        TreeValue::Null | TreeValue::Unreal(_) => out.push_str("null"),
        TreeValue::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        TreeValue::Number(text) => out.push_str(text),
        TreeValue::Text(text) | TreeValue::Loose(text) | TreeValue::Time(text) => {
            write_text(text, out);
        }
        TreeValue::List(nodes) => {
            out.push('[');
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(&node.value, out);
            }
            out.push(']');
        }
        TreeValue::Table(members) => {
            out.push('{');
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(&member.key, out);
                out.push(':');
                write_json(&member.node.value, out);
            }
            out.push('}');
        }
    }
}

/// Appends a text as JSON.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a String takes all text");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
