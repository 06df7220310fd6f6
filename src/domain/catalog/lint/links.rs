//! Links of a content that are scripts. What a content means is the page's business; but what is
//! called a link, and begins so, can be meant by nobody.

use serde_json::Value;

use super::LintProblem;
use crate::catalog::snapshot::{Content, Popup};

/// Names end so, in any case, that pages take for links.
const LINKS: [&str; 4] = ["url", "link", "href", "image"];
/// Schemes whose text runs where it is opened.
const SCRIPTS: [&str; 3] = ["javascript:", "vbscript:", "data:text/html"];

/// One of each member of the content, whichever variant or locale has it.
pub(super) fn running_links(popup: &Popup) -> Vec<LintProblem> {
    let mut found: Vec<String> = Vec::new();
    for variant in popup.variants.iter() {
        let locales = variant.locales.iter().map(|(_, content)| content);
        let contents = std::iter::once(&variant.content).chain(locales);
        contents.for_each(|content| add(content, &mut found));
    }
    let is_of_variants = popup.variants.iter().any(|variant| !variant.key.is_empty());
    let field = if is_of_variants { "variants" } else { "content" };
    found.into_iter().map(|member| LintProblem::LinkRuns { field, member }).collect()
}

fn add(Content(text): &Content, found: &mut Vec<String>) {
    let Ok(Value::Object(content)) = serde_json::from_str(text) else { return };
    for (name, value) in content {
        let is_link = LINKS.iter().any(|end| name.to_ascii_lowercase().ends_with(end));
        let runs = is_link && value.as_str().is_some_and(is_script);
        if runs && !found.contains(&name) {
            found.push(name);
        }
    }
}

/// Whether browsers take a text for a script: they pass over white space and control characters.
fn is_script(text: &str) -> bool {
    let seen = text.chars().filter(|letter| *letter > ' ').take(SCRIPT_CHARACTERS_MAX);
    let seen: String = seen.map(|letter| letter.to_ascii_lowercase()).collect();
    SCRIPTS.iter().any(|scheme| seen.starts_with(scheme))
}

/// The longest of [`SCRIPTS`].
const SCRIPT_CHARACTERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_told_from_what_only_reads_so() {
        let scripts =
            ["javascript:alert(1)", " JavaScript:x", "java\nscript:\u{1}x", "\tvbscript:x"];
        for text in scripts.into_iter().chain(["data:text/html,<script>"]) {
            assert!(is_script(text), "{text}");
        }
        let others = ["https://example.com/javascript:", "javascript", "/javascript:x", ""];
        for text in others.into_iter().chain(["data:image/png;base64,AA", "mailto:a@b"]) {
            assert!(!is_script(text), "{text}");
        }
    }
}
