//! Popups as people write them: text → [`Definition`]s, strictly. Unknown keys are refused, every
//! error of a text is reported, each with its line, its popup, its field and what is allowed.
//!
//! ```text
//! TOML ─ tree ─┐
//!              ├─ tree of values with lines ─ popup, content, rules ─ Definition ─ canonical JSON
//! JSON ─ json ─┘                                                         └──────── read back ──┘
//! ```
//!
//! Knows nothing of files, versions and operators' overrides. Off the hot path: allocates freely.

use crate::catalog::snapshot::{Popup, Status};
use nudged_config::tree::{self, Member, TreeNode, TreeValue, member};

mod canonical;
mod content;
mod fields;
mod json;
mod merge;
mod popup;
mod rules;
mod schema;

#[cfg(test)]
mod tests;

pub use popup::FIELDS;
pub use schema::{popup_schema, rule_schema};

use fields::{Errors, SourceField};

/// A popup as it is written, checked. Two definitions are equal where their canonical texts are.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Compiled, but for its version and its status after an operator's overrides.
    pub(in crate::catalog) popup: Popup,
    canonical: Box<str>,
}

impl Definition {
    /// The popup's id.
    pub fn id(&self) -> &str {
        &self.popup.id
    }

    /// The status that its text gives it.
    pub fn status(&self) -> Status {
        self.popup.status
    }

    /// Its one text: JSON without white space, what equals its default left out. A changed
    /// canonical text is a new version. Reads back through [`parse_json_popup`] as an equal
    /// definition.
    pub fn canonical_json(&self) -> String {
        self.canonical.as_ref().to_owned()
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Definition) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Definition {}

/// One error of a text of popups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// Line from 1, where the text has lines.
    pub line: Option<u32>,
    /// The popup's id as it is written, where it is known.
    pub popup: Option<String>,
    /// Path within the popup, such as `caps[0].n`; empty for the popup or the text as a whole.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl SourceError {
    /// An error of the text as a whole; line 0 stands for none.
    fn of_text(line: u32, message: &str) -> SourceError {
        let line = (line > 0).then_some(line);
        SourceError { line, popup: None, field: String::new(), message: message.to_owned() }
    }

    /// The error with its file before it, as compilers write it:
    /// `popups.toml:12: popup "x": caps[0].n: 17 is out of range: expected 1 to 16`.
    pub fn in_file(&self, file: &str) -> String {
        match self.line {
            Some(line) => format!("{file}:{line}: {}", self.without_line()),
            None => format!("{file}: {}", self.without_line()),
        }
    }

    fn without_line(&self) -> String {
        let mut text = String::new();
        if let Some(popup) = &self.popup {
            text.push_str(&format!("popup {}: ", fields::quoted(popup)));
        }
        if !self.field.is_empty() {
            text.push_str(&format!("{}: ", self.field));
        }
        text.push_str(&self.message);
        text
    }
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.without_line()),
            None => formatter.write_str(&self.without_line()),
        }
    }
}

impl std::error::Error for SourceError {}

/// What a text of popups says, right or wrong.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The popups without errors, each id once, in their order.
    pub definitions: Vec<Definition>,
    /// Every error, in the order of their lines; only those of the syntax where there are any.
    pub errors: Vec<SourceError>,
}

impl Parsed {
    fn refused(errors: Vec<SourceError>) -> Parsed {
        Parsed { definitions: Vec::new(), errors }
    }

    fn whole(self) -> Result<Vec<Definition>, Vec<SourceError>> {
        if self.errors.is_empty() { Ok(self.definitions) } else { Err(self.errors) }
    }
}

/// Reads a text of popups as far as it can be read; see [`parse_toml`] and [`parse_json`].
pub fn parse(text: &str, format: Format) -> Parsed {
    match format {
        Format::Toml => match from_toml(text) {
            Ok(members) => popup_table(&members),
            Err(errors) => Parsed::refused(errors),
        },
        Format::Json => match json::from_json(text) {
            Ok(node) => popups_of(&node),
            Err(error) => Parsed::refused(vec![error]),
        },
    }
}

/// Reads a TOML text of `[[popup]]` tables; an empty one holds no popups.
///
/// # Errors
/// Every error of the text; only the syntax errors where there are any.
pub fn parse_toml(text: &str) -> Result<Vec<Definition>, Vec<SourceError>> {
    parse(text, Format::Toml).whole()
}

/// Whether a text that parses has a list of popups, were it an empty one.
pub fn says_popups(text: &str, format: Format) -> bool {
    match format {
        Format::Toml => from_toml(text).is_ok_and(|members| member(&members, "popup").is_some()),
        Format::Json => json::from_json(text).is_ok_and(|node| {
            matches!(node.value, TreeValue::List(_)) || node.value.get("popup").is_some()
        }),
    }
}

/// Reads a JSON text: a list of popups, or an object whose `popup` is one.
///
/// # Errors
/// Every error of the text; only the first where it is not JSON.
pub(crate) fn parse_json(text: &str) -> Result<Vec<Definition>, Vec<SourceError>> {
    parse(text, Format::Json).whole()
}

fn from_toml(text: &str) -> Result<Vec<Member>, Vec<SourceError>> {
    tree::from_toml(text).map_err(|errors| {
        let located = errors.iter().map(|error| {
            let message = error.message.lines().next().unwrap_or("not TOML");
            SourceError::of_text(error.line, message)
        });
        located.collect()
    })
}

fn popups_of(node: &TreeNode) -> Parsed {
    match &node.value {
        TreeValue::List(nodes) => definitions(nodes),
        TreeValue::Table(members) => popup_table(members),
        other => {
            let message = format!("expected a list of popups, found {}", other.kind());
            Parsed::refused(vec![SourceError::of_text(node.line, &message)])
        }
    }
}

/// Reads one popup from JSON.
///
/// # Errors
/// Every error of the text; only the first where it is not JSON.
pub fn parse_json_popup(text: &str) -> Result<Definition, Vec<SourceError>> {
    let node = json::from_json(text).map_err(|error| vec![error])?;
    let mut read = definitions(std::slice::from_ref(&node)).whole()?;
    Ok(read.pop().expect("one value without errors is one popup"))
}

/// How a text of popups is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

/// Reads the one popup of an id: its table alone, or a document that holds it and nothing else.
/// Where the text names no id, it is that one's.
///
/// # Errors
/// Every error of the text, and another id or another number of popups than that.
pub fn parse_popup(text: &str, format: Format, id: &str) -> Result<Definition, Vec<SourceError>> {
    parse_sole(text, format, Some(id))
}

/// As [`parse_popup`], where the id may be in the text alone.
///
/// # Errors
/// As there, and where neither has one.
pub fn parse_sole(
    text: &str,
    format: Format,
    id: Option<&str>,
) -> Result<Definition, Vec<SourceError>> {
    let members = match format {
        Format::Toml => from_toml(text)?,
        Format::Json => match json::from_json(text).map_err(|error| vec![error])? {
            TreeNode { value: TreeValue::Table(members), .. } => members,
            node => {
                let message = format!("expected a popup, found {}", node.value.kind());
                return Err(vec![SourceError::of_text(node.line, &message)]);
            }
        },
    };
    let (line, mut members) = sole_popup(members)?;
    if let (None, Some(id)) = (member(&members, "id"), id) {
        let node = TreeNode { line, column: 0, value: TreeValue::Text(id.into()) };
        members.insert(0, Member { key: "id".into(), line, column: 0, node });
    }
    let node = TreeNode { line, column: 0, value: TreeValue::Table(members) };
    let mut read = definitions(std::slice::from_ref(&node)).whole()?;
    let definition = read.pop().expect("one value without errors is one popup");
    match id.filter(|id| *id != definition.id()) {
        Some(id) => Err(vec![other_id(&definition, id, line)]),
        None => Ok(definition),
    }
}

/// The error of a popup that has another id than the one in the path; line 0 stands for none.
fn other_id(definition: &Definition, id: &str, line: u32) -> SourceError {
    let message = format!("must be {}, the id in the path", fields::quoted(id));
    let popup = Some(definition.id().to_owned());
    SourceError { line: (line > 0).then_some(line), popup, field: "id".into(), message }
}

/// Makes another definition of one's canonical text by a merge patch (RFC 7396): members that are
/// null go back to their defaults, objects are merged member by member, all else is replaced.
///
/// # Errors
/// Where the patch is no JSON object, and every error of the popup that it makes.
pub fn patch_popup(text: &str, patch: &str, id: &str) -> Result<Definition, Vec<SourceError>> {
    let refused = |error| vec![error];
    let (before, patch) =
        (json::from_json(text).map_err(refused)?, json::from_json(patch).map_err(refused)?);
    if !matches!(patch.value, TreeValue::Table(_)) {
        let message = format!("expected an object, found {}", patch.value.kind());
        return Err(vec![SourceError::of_text(patch.line, &message)]);
    }
    let merged = merge::merged(Some(before), patch);
    let mut read = definitions(std::slice::from_ref(&merged)).whole()?;
    let definition = read.pop().expect("one value without errors is one popup");
    if definition.id() == id { Ok(definition) } else { Err(vec![other_id(&definition, id, 0)]) }
}

/// The popup of a document, where it is in a list of its own, with its line.
fn sole_popup(mut members: Vec<Member>) -> Result<(u32, Vec<Member>), Vec<SourceError>> {
    let is_document = matches!(members.as_slice(), [member] if &*member.key == "popup");
    if !is_document {
        return Ok((members.first().map_or(1, |member| member.line), members));
    }
    let document = members.pop().expect("a document has one member");
    let (line, nodes) = match document.node.value {
        TreeValue::List(nodes) => (document.line, nodes),
        table @ TreeValue::Table(_) => {
            (document.line, vec![TreeNode { value: table, ..document.node }])
        }
        _ => (document.line, Vec::new()),
    };
    match <[TreeNode; 1]>::try_from(nodes) {
        Ok([TreeNode { line, value: TreeValue::Table(members), .. }]) => Ok((line, members)),
        _ => Err(vec![SourceError::of_text(line, "popup: expected one popup")]),
    }
}

/// Reads popups that are JSON values already; its errors have no lines.
///
/// # Errors
/// Every error.
pub fn parse_json_values(
    popups: &[serde_json::Value],
) -> Result<Vec<Definition>, Vec<SourceError>> {
    let text = serde_json::to_string(popups).expect("JSON values serialize");
    parse_json(&text).map_err(|mut errors| {
        errors.iter_mut().for_each(|error| error.line = None);
        errors
    })
}

/// The top of a document: nothing but `popup`, a list.
fn popup_table(members: &[Member]) -> Parsed {
    let mut errors = Errors::default();
    let mut read = Vec::new();
    for member in members {
        match (&*member.key, &member.node.value) {
            ("popup", TreeValue::List(nodes)) => {
                let parsed = definitions(nodes);
                read = parsed.definitions;
                errors.list.extend(parsed.errors);
            }
            ("popup", _) => {
                errors.add::<()>(member.line, "popup", "expected a list: write [[popup]]");
            }
            (key, _) => {
                let message = "unknown key; the only key here is popup";
                errors.add::<()>(member.line, key, message);
            }
        }
    }
    Parsed { definitions: read, errors: errors.finish() }
}

fn definitions(nodes: &[TreeNode]) -> Parsed {
    let mut errors = Errors::default();
    let mut lines_by_id = std::collections::BTreeMap::new();
    let mut read = Vec::with_capacity(nodes.len());
    for node in nodes {
        let field = SourceField { path: String::new(), line: node.line, value: &node.value };
        let before = id_of(node).and_then(|id| lines_by_id.insert(id.to_owned(), node.line));
        if let Some(line) = before {
            errors.popup = id_of(node).map(str::to_owned);
            let place = if line > 0 { format!(" at line {line}") } else { String::new() };
            errors.add::<()>(node.line, "id", format!("is already used by another popup{place}"));
        }
        let definition = popup::definition(&field, &mut errors);
        read.extend(definition.filter(|_| before.is_none()));
    }
    Parsed { definitions: read, errors: errors.finish() }
}

fn id_of(node: &TreeNode) -> Option<&str> {
    node.value.get("id")?.value.text()
}
