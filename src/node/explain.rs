//! `nudged explain`: asks the admin API of a running node why a user sees, or does not see, each
//! popup, and says it in words. Knows the answer's JSON and nothing of how it came about.
//!
//! Exit codes: 0 the node has answered, 1 it has not, 2 the configuration has errors.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Deserialize;

use super::admin_client::AdminClient;
use super::arguments::{ExplainArguments, SharedArguments};
use super::failure::Failure;

#[cfg(test)]
mod tests;

/// The answer of `/v1/explain`, as far as it is told.
#[derive(Debug, Deserialize)]
struct Explained {
    popup: Option<String>,
    candidates: Vec<ExplainedPopup>,
    /// Why nothing is shown; absent where something is.
    reason: Option<String>,
    /// Seconds after which asking again can help.
    next_in: Option<u32>,
    /// What of the question was not taken as it was meant.
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ExplainedPopup {
    id: String,
    gate: Option<String>,
    /// What stands behind the gate; absent where the popup passes.
    why: Option<String>,
}

/// Asks, and prints a line for each popup on standard output.
///
/// # Errors
/// Where the configuration has errors, or the node does not answer.
pub fn run(shared: &SharedArguments, arguments: &ExplainArguments) -> Result<(), Failure> {
    let node = AdminClient::load(shared, &arguments.node)?;
    let explained = node.ask("GET", &target(&arguments.query()));
    let explained: Explained = explained.map_err(|error| Failure::Asking(error.to_string()))?;
    for warning in &explained.warnings {
        eprintln!("nudged: warning: {}", plain(warning));
    }
    // A reader that has gone, as with `| head`, is no error.
    let _ = io::stdout().write_all(in_words(&explained).as_bytes());
    Ok(())
}

/// Path and query of the question.
fn target(query: &[(&str, &str)]) -> String {
    let mut target = "/v1/explain?".to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        if index > 0 {
            target.push('&');
        }
        push_encoded(&mut target, name);
        target.push('=');
        push_encoded(&mut target, value);
    }
    target
}

fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a String takes all text"),
        }
    }
}

/// A line for each popup, in the order in which they win.
fn in_words(explained: &Explained) -> String {
    let width = explained.candidates.iter().map(|one| one.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for ExplainedPopup { id, gate, why } in &explained.candidates {
        let is_shown = explained.popup.as_ref() == Some(id);
        let (word, why) = match gate.as_deref() {
            None if is_shown => ("shown", "it passes every gate".to_owned()),
            None => (
                "passes",
                match &explained.popup {
                    Some(winner) => format!("it would be shown, but {winner} wins"),
                    None => "it would be shown".to_owned(),
                },
            ),
            Some(gate) => (gate, plain(why.as_deref().unwrap_or("the node gives no reason"))),
        };
        writeln!(text, "{id:width$}  {word:<9}  ({why})").expect("a String takes all text");
    }
    if let Some(reason) = &explained.reason {
        let next = match explained.next_in {
            Some(seconds) => format!("asking again may help in {seconds} s"),
            None => "asking again will not help".to_owned(),
        };
        writeln!(text, "nothing is shown: {reason}; {next}").expect("a String takes all text");
    }
    text
}

/// A text of the node without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
