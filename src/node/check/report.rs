//! What a check has found: lines for people, JSON for machines. Knows places and words; must not
//! know what is checked.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use nudged_config::{SettingProblem, SettingSource};
use nudged_domain::catalog::source::SourceError;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A node would not start with it, or a reload would refuse it.
    Error,
    /// Allowed, and probably not meant.
    Warning,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file, as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in it, from 1, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The environment variable or the flag that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The popup, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub popup: Option<String>,
    /// The key or the field, with the index of an element; empty for a file as a whole.
    pub key: String,
    /// Which kind it is, a word for machines.
    pub code: &'static str,
    /// What is wrong, and what mends it.
    pub message: String,
}

impl Finding {
    /// Without a place: to be filled in.
    pub fn new(severity: Severity, key: &str, code: &'static str, message: String) -> Finding {
        let key = key.to_owned();
        Finding {
            severity,
            file: None,
            line: None,
            column: None,
            source: None,
            popup: None,
            key,
            code,
            message,
        }
    }

    /// At the place where a setting was made.
    pub fn at(self, origin: Option<&SettingSource>) -> Finding {
        match origin {
            None | Some(SettingSource::Default) => self,
            Some(SettingSource::File { name, line, column }) => {
                let number = |number: u32| (number > 0).then_some(number);
                let file = Some(name.to_string());
                Finding { file, line: number(*line), column: number(*column), ..self }
            }
            Some(SettingSource::Environment(name)) => {
                Finding { source: Some(name.clone()), ..self }
            }
            Some(SettingSource::Flag(name)) => Finding { source: Some((*name).to_owned()), ..self },
        }
    }

    /// A problem of the configuration.
    pub fn of_config(problem: &SettingProblem) -> Finding {
        let message = problem.kind.to_string();
        Finding::new(Severity::Error, &problem.key, problem.code(), message)
            .at(Some(&problem.origin))
    }

    /// An error of a popups file.
    pub fn of_popups(file: &str, error: &SourceError) -> Finding {
        Finding {
            file: Some(file.to_owned()),
            line: error.line,
            popup: error.popup.clone(),
            ..Finding::new(Severity::Error, &error.field, "bad_popup", error.message.clone())
        }
    }

    /// A line for people, as compilers write them.
    fn line(&self) -> String {
        let mut text = String::new();
        match (&self.file, self.line, &self.source) {
            (Some(file), Some(line), _) => write!(text, "{file}:{line}: "),
            (Some(file), None, _) => write!(text, "{file}: "),
            (None, _, Some(flag)) if flag.starts_with('-') => write!(text, "{flag}: "),
            (None, _, Some(name)) => write!(text, "environment variable {name}: "),
            (None, _, None) => Ok(()),
        }
        .expect("a String takes all text");
        if self.severity == Severity::Warning {
            text.push_str("warning: ");
        }
        if let Some(popup) = &self.popup {
            write!(text, "popup {popup:?}: ").expect("a String takes all text");
        }
        if !self.key.is_empty() {
            // A key of a file may be any text; escaped, it can't forge a line of its own.
            write!(text, "{}: ", self.key.escape_debug()).expect("a String takes all text");
        }
        text.push_str(&self.message);
        text
    }
}

/// Everything that was found, in the order in which it was looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    entries: Vec<ReportEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ReportEntry {
    Found(Finding),
    /// What was looked at and is right, with warnings or without.
    Right(String),
}

impl CheckReport {
    /// Adds what was found.
    pub fn add(&mut self, finding: Finding) {
        self.entries.push(ReportEntry::Found(finding));
    }

    /// Says that something is right.
    pub fn add_right(&mut self, subject: String) {
        self.entries.push(ReportEntry::Right(subject));
    }

    /// What was found.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.entries.iter().filter_map(|entry| match entry {
            ReportEntry::Found(finding) => Some(finding),
            ReportEntry::Right(_) => None,
        })
    }

    /// How many there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings().filter(|finding| finding.severity == severity).count()
    }

    /// 0 where nothing is wrong, with warnings or without; 2 where something is.
    pub fn exit_code(&self) -> u8 {
        if self.count(Severity::Error) == 0 { 0 } else { 2 }
    }

    /// A line for each error and warning, and one for each file that is right.
    pub fn text(&self) -> String {
        let line = |entry: &ReportEntry| match entry {
            ReportEntry::Found(finding) => format!("{}\n", finding.line()),
            ReportEntry::Right(subject) => format!("{subject}: ok\n"),
        };
        self.entries.iter().map(line).collect()
    }

    /// One object: whether all is right, and each problem.
    pub fn json(&self) -> String {
        let problems: Vec<&Finding> = self.findings().collect();
        let report = json!({
            "ok": self.exit_code() == 0,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "problems": problems,
        });
        format!("{report:#}\n")
    }
}
