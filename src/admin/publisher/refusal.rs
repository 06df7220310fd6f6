//! Why a change of popups or settings was not made, in words that an operator can act on.

use std::path::{Path, PathBuf};

use crate::admin::shards::NoAnswer;
use crate::catalog::source::SourceError;
use crate::store::StoreError;

/// A configuration that can't be taken: a line for each error, where it came from first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigRefused(pub Vec<String>);

/// Why a change was not made, or not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The configuration has errors; nothing changed.
    #[error(transparent)]
    Config(#[from] ConfigRefused),
    /// The popups file can't be read; nothing changed.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The popups have errors; nothing changed.
    #[error("{}", in_file(path, errors).join("\n"))]
    Popups {
        /// The file.
        path: PathBuf,
        /// Every error.
        errors: Vec<SourceError>,
    },
    /// No popup has this id; nothing changed.
    #[error("no such popup")]
    NoSuchPopup,
    /// The popup is archived, since its id is gone from the file; nothing changed.
    #[error("the popup is archived: its id is gone from the popups file")]
    Archived,
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored and made; these shards have not said so in time.
    #[error("{} shards did not answer in time; the change is stored", .0.len())]
    Unconfirmed(Vec<NoAnswer>),
}

impl PublishError {
    /// A line for each error, for people.
    pub fn lines(&self) -> Vec<String> {
        match self {
            PublishError::Config(ConfigRefused(lines)) => lines.clone(),
            PublishError::Popups { path, errors } => in_file(path, errors),
            other => vec![other.to_string()],
        }
    }
}

fn in_file(path: &Path, errors: &[SourceError]) -> Vec<String> {
    let file = path.display().to_string();
    errors.iter().map(|error| error.in_file(&file)).collect()
}
