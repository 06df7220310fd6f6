//! Everything that is wrong with a configuration, in words that an operator can act on: where the
//! setting came from, its key, and what it takes. Secrets never get into these texts.

use std::fmt;
use std::sync::Arc;

use super::expected::Expectation;
use super::network::Network;
use super::url::UrlProblem;
use super::word::WordProblem;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// Nobody set it.
    Default,
    /// A file.
    File {
        /// The file's name, as it was given.
        name: Arc<str>,
        /// The line, from 1; 0 for the file as a whole.
        line: u32,
        /// The column of its first character, from 1, in bytes.
        column: u32,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// A flag, by its name.
    Flag(&'static str),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// Where the setting came from.
    pub origin: SettingSource,
    /// The key with its section, with the index of an element where it is about one
    /// (`listen[1]`); empty for a file that is not TOML.
    pub key: String,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The file can't be read; what the system says of it.
    Unreadable(String),
    /// The file is not TOML here; what the parser says of it.
    Syntax(String),
    /// There is no such key; the one that was probably meant.
    Unknown(Option<&'static str>),
    /// The value is not what the key takes.
    Refused {
        /// What it takes.
        expected: Expectation,
        /// The value, cut short; `None` where it must not be shown.
        got: Option<String>,
    },
    /// An origin that no browser sends.
    Misspelled {
        /// What it sends.
        right: String,
        /// The value, cut short; `None` where it must not be shown.
        got: Option<String>,
    },
    /// A `*` among origins.
    NotAlone,
    /// Something in a URL is wrong.
    Url(UrlProblem),
    /// A word behind an address is wrong.
    Word(WordProblem),
    /// An address within this network stands for it.
    Inside(Network),
    /// An element of a list is the same as an earlier one, by its name.
    Repeats(String),
    /// The value of an environment variable is no text.
    NotText,
    /// This version has no such store.
    NotYet(&'static str),
    /// It says nothing without another key.
    Needs(&'static str),
    /// One of two others has to be set as well.
    NeedsEither(&'static str, &'static str),
    /// An admin listener that others can reach has no token.
    TokenMissing,
    /// The same address as that of another key or element, or one that it contains.
    SameAddress(String),
    /// A key of the same text is in the other list.
    SameKey(&'static str),
    /// A stop would end before its lame duck does.
    LongerThan(&'static str),
    /// Too few bytes for each of so many shards.
    SliceTooSmall {
        /// Shards.
        shards: u32,
        /// What they need together, in MiB.
        needed_mib: u64,
    },
}

/// Everything that is wrong, in the order of files, variables and flags; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<SettingProblem>);

impl fmt::Display for SettingSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingSource::Default => out.write_str("default"),
            SettingSource::File { name, line: 0, .. } => out.write_str(name),
            SettingSource::File { name, line, .. } => write!(out, "{name}:{line}"),
            SettingSource::Environment(name) => write!(out, "environment variable {name}"),
            SettingSource::Flag(name) => out.write_str(name),
        }
    }
}

impl SettingProblem {
    /// A word for machines: which kind of problem it is.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ProblemKind::Unreadable(_) => "unreadable",
            ProblemKind::Syntax(_) => "syntax",
            ProblemKind::Unknown(_) => "unknown_key",
            ProblemKind::Refused { .. } | ProblemKind::NotText => "bad_value",
            ProblemKind::Misspelled { .. } | ProblemKind::NotAlone => "bad_value",
            ProblemKind::Word(_) | ProblemKind::Inside(_) => "bad_value",
            ProblemKind::Url(_) => "bad_url",
            ProblemKind::Repeats(_) | ProblemKind::SameKey(_) => "repeated",
            ProblemKind::NotYet(_) => "not_supported",
            ProblemKind::Needs(_) | ProblemKind::NeedsEither(..) => "needs_another_key",
            ProblemKind::TokenMissing => "token_missing",
            ProblemKind::SameAddress(_) => "same_address",
            ProblemKind::LongerThan(_) | ProblemKind::SliceTooSmall { .. } => "does_not_fit",
        }
    }

    /// The key without the index of an element.
    pub(crate) fn key_of_table(&self) -> &str {
        self.key.split('[').next().unwrap_or(&self.key)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProblemKind::Unreadable(why) => {
                write!(out, "can't read the configuration file: {why}")
            }
            ProblemKind::Syntax(text) => out.write_str(text),
            ProblemKind::Unknown(None) => out.write_str("unknown key"),
            ProblemKind::Unknown(Some(near)) => write!(out, "unknown key; did you mean `{near}`?"),
            ProblemKind::Refused { expected, got: None } => write!(out, "expected {expected}"),
            ProblemKind::Refused { expected, got: Some(got) } => {
                write!(out, "expected {expected}; got {got}")
            }
            ProblemKind::Misspelled { right, got } => {
                write!(out, "expected an origin as browsers send it: write {right:?}")?;
                got.iter().try_for_each(|got| write!(out, "; got {got}"))
            }
            ProblemKind::NotAlone => out.write_str(
                "`*` allows every origin, so it must be alone: remove it, or all the others",
            ),
            ProblemKind::Url(problem) => write!(out, "{problem}"),
            ProblemKind::Word(problem) => write!(out, "{problem}"),
            ProblemKind::Inside(network) => {
                write!(out, "an address within a network, not its first: write \"{network}\"")
            }
            ProblemKind::Repeats(other) => write!(out, "the same as `{other}`"),
            ProblemKind::NotText => out.write_str("its value is not UTF-8"),
            ProblemKind::NotYet(store) => write!(
                out,
                "this version of nudged does not support {store} yet; `redis://` is one server \
                 without TLS"
            ),
            ProblemKind::Needs(key) => write!(out, "needs `{key}` to be set too"),
            ProblemKind::NeedsEither(one, other) => {
                write!(out, "needs `{one}` or `{other}` to be set too")
            }
            ProblemKind::TokenMissing => out.write_str(
                "other hosts can reach this address, so `admin_token_file` must name a file (mode \
                 0600) with a token",
            ),
            ProblemKind::SameAddress(key) => write!(
                out,
                "the same address as in `{key}`, or one that covers it: use another port"
            ),
            ProblemKind::SameKey(key) => write!(out, "one of its keys is also in `{key}`"),
            ProblemKind::LongerThan(key) => write!(out, "must not be longer than `{key}`"),
            ProblemKind::SliceTooSmall { shards, needed_mib } => {
                write!(out, "{shards} shards need at least {needed_mib}MiB in total")
            }
        }
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            // A key of a file may be any text; escaped, it can't forge a line of its own.
            write!(out, "{}: ", self.key.escape_debug())?;
        }
        write!(out, "{}", self.kind)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(out, "{end}{problem}")?;
        }
        Ok(())
    }
}
