//! JSON (RFC 8259) into a tree that keeps lines, the order of keys and numbers as written, which
//! general readers drop. Strict: no duplicate keys, no lone surrogates, nothing after the value.
//!
//! Knows nothing of popups. Limits: [`SOURCE_DEPTH_MAX`] levels.

use super::SourceError;
use nudged_base::limits::SOURCE_DEPTH_MAX;
use nudged_config::tree::{Member, TreeNode, TreeValue};

/// Why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum JsonError {
    #[error("the text ends in the middle of a value")]
    Truncated,
    #[error("expected a value")]
    ExpectedValue,
    #[error("expected a key in quotes")]
    ExpectedKey,
    #[error("expected ':' after the key")]
    ExpectedColon,
    #[error("expected ',' or the end of the list or object")]
    ExpectedComma,
    #[error("not a valid JSON number")]
    Number,
    #[error("a control character in a string must be escaped")]
    Control,
    #[error("not a valid JSON escape, or half of a surrogate pair")]
    Escape,
    #[error("the key appears twice")]
    DuplicateKey,
    #[error("nested deeper than {SOURCE_DEPTH_MAX} levels")]
    TooDeep,
    #[error("unexpected text after the value")]
    Trailing,
}

/// Reads one JSON value, white space around it allowed.
///
/// # Errors
/// The first syntax error, with its line.
pub(crate) fn from_json(text: &str) -> Result<TreeNode, SourceError> {
    let mut reader = JsonReader { text, at: 0, line: 1 };
    let read = reader.document();
    read.map_err(|error| SourceError::of_text(reader.line, &format!("not JSON: {error}")))
}

struct JsonReader<'t> {
    text: &'t str,
    /// Next byte to read; always at a character's start.
    at: usize,
    /// Line of `at`, from 1.
    line: u32,
}

impl JsonReader<'_> {
    fn document(&mut self) -> Result<TreeNode, JsonError> {
        let node = self.node(0)?;
        match self.peek_token() {
            None => Ok(node),
            Some(_) => Err(JsonError::Trailing),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    fn peek_token(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => self.line = self.line.saturating_add(1),
                b' ' | b'\t' | b'\r' => {}
                _ => return Some(byte),
            }
            self.at += 1;
        }
        None
    }

    fn node(&mut self, depth: usize) -> Result<TreeNode, JsonError> {
        if depth == SOURCE_DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        let first = self.peek_token().ok_or(JsonError::Truncated)?;
        let line = self.line;
        let value = match first {
            b'{' => self.object(depth)?,
            b'[' => self.list(depth)?,
            b'"' => TreeValue::Text(self.string()?.into()),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word("true", TreeValue::Boolean(true))?,
            b'f' => self.word("false", TreeValue::Boolean(false))?,
            b'n' => self.word("null", TreeValue::Null)?,
            _ => return Err(JsonError::ExpectedValue),
        };
        Ok(TreeNode { line, column: 0, value })
    }

    fn object(&mut self, depth: usize) -> Result<TreeValue, JsonError> {
        let mut members: Vec<Member> = Vec::new();
        let mut keys = std::collections::BTreeSet::new();
        self.at += 1;
        if self.peek_token() == Some(b'}') {
            self.at += 1;
            return Ok(TreeValue::Table(members));
        }
        loop {
            match self.peek_token() {
                Some(b'"') => {}
                Some(_) => return Err(JsonError::ExpectedKey),
                None => return Err(JsonError::Truncated),
            }
            let line = self.line;
            let key: Box<str> = self.string()?.into();
            if !keys.insert(key.clone()) {
                return Err(JsonError::DuplicateKey);
            }
            match self.peek_token() {
                Some(b':') => self.at += 1,
                Some(_) => return Err(JsonError::ExpectedColon),
                None => return Err(JsonError::Truncated),
            }
            let node = self.node(depth + 1)?;
            members.push(Member { key, line, column: 0, node });
            if self.ends_with(b'}')? {
                return Ok(TreeValue::Table(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<TreeValue, JsonError> {
        let mut nodes = Vec::new();
        self.at += 1;
        if self.peek_token() == Some(b']') {
            self.at += 1;
            return Ok(TreeValue::List(nodes));
        }
        loop {
            nodes.push(self.node(depth + 1)?);
            if self.ends_with(b']')? {
                return Ok(TreeValue::List(nodes));
            }
        }
    }

    /// Reads a comma, or the bracket that ends the list or object.
    fn ends_with(&mut self, end: u8) -> Result<bool, JsonError> {
        let byte = self.peek_token().ok_or(JsonError::Truncated)?;
        if byte != b',' && byte != end {
            return Err(JsonError::ExpectedComma);
        }
        self.at += 1;
        Ok(byte == end)
    }

    fn word(&mut self, word: &str, value: TreeValue) -> Result<TreeValue, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(JsonError::ExpectedValue);
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<TreeValue, JsonError> {
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let rest = &self.text[self.at..];
        let number = &rest[..rest.bytes().take_while(is_part).count()];
        if crate::catalog::target::parse_number(number).is_none() {
            return Err(JsonError::Number);
        }
        self.at += number.len();
        // A number that no double holds is told apart, since most readers refuse or bend it.
        let is_finite = number.parse::<f64>().is_ok_and(f64::is_finite);
        let text = number.into();
        Ok(if is_finite { TreeValue::Number(text) } else { TreeValue::Unreal(text) })
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let plain =
                rest.bytes().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(JsonError::Control),
                None => return Err(JsonError::Truncated),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let kind = *self.text.as_bytes().get(self.at + 1).ok_or(JsonError::Truncated)?;
        if kind == b'u' {
            return self.unicode_escape();
        }
        self.at += 2;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            _ => {
                self.at -= 2;
                return Err(JsonError::Escape);
            }
        })
    }

    /// `\uXXXX`, or two of them for a character beyond the basic plane.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let high = self.unit(self.at)?;
        if !(0xd800..0xdc00).contains(&high) {
            self.at += 6;
            return char::from_u32(high).ok_or(JsonError::Escape);
        }
        let low = self.unit(self.at + 6)?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(JsonError::Escape);
        }
        self.at += 12;
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(JsonError::Escape)
    }

    /// The UTF-16 unit of the `\uXXXX` at a place.
    fn unit(&self, at: usize) -> Result<u32, JsonError> {
        let escape = self.text.as_bytes().get(at..at + 6).ok_or(JsonError::Escape)?;
        if &escape[..2] != b"\\u" {
            return Err(JsonError::Escape);
        }
        escape[2..].iter().try_fold(0, |unit, byte| {
            let digit = char::from(*byte).to_digit(16).ok_or(JsonError::Escape)?;
            Ok(unit << 4 | digit)
        })
    }
}
