//! Why a change of popups or settings was not made, in words that an operator can act on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::shards::NoAnswer;
use nudged_config::Config;
use nudged_domain::catalog::overrides::TooManyOverrides;
use nudged_domain::catalog::source::SourceError;
use nudged_store::{StoreError, StoredDraft};

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
    #[error("{path}: can't read the popups file: {source}", path = path.display())]
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
    /// The popup is archived; nothing changed.
    #[error("the popup is archived: PUT it to bring it back with its users' history")]
    Archived,
    /// The popup is not overridden, and its own status is not live; nothing changed. Where that is
    /// set.
    #[error("{0}")]
    OwnStatus(String),
    /// The node knows as many pauses and archives as it can; nothing changed.
    #[error(transparent)]
    TooManyOverrides(#[from] TooManyOverrides),
    /// What an operator sent is no popup that this catalog can have; nothing changed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Definition(Vec<SourceError>),
    /// The popup has no draft; nothing changed.
    #[error("the popup has no draft")]
    NoDraft,
    /// There are as many drafts as there may be; nothing changed.
    #[error("there are {0} drafts, which is the most: publish or delete some")]
    TooManyDrafts(usize),
    /// The popup's draft was made from another version than the popup has now; nothing changed.
    #[error(
        "the draft was made from {}, and the popup has {}: put a draft that has what changed since, \
         with base_version, or publish this one all the same with If-Match and the version that it \
         is to replace",
        version_words(Some(*base_version)), version_words(*live_version)
    )]
    DraftOutdated {
        /// The version that the draft was made from; 0 for none.
        base_version: u32,
        /// The popup's.
        live_version: Option<u32>,
    },
    /// The popup has another draft than the change is meant for, or none; nothing changed.
    #[error("{}", revision_words(.0.as_deref()))]
    OtherRevision(Option<Box<StoredDraft>>),
    /// A draft is said to be made from a version that the popup does not have yet; nothing changed.
    #[error("base_version is higher than the popup's version")]
    BaseAhead,
    /// The popup has another version than the change is meant for; nothing changed.
    #[error("the popup has {}", match .0 {
        Some(version) => format!("version {version}, and the change is meant for another"),
        None => "no version: there is no such popup".to_owned(),
    })]
    OtherVersion(Option<u32>),
    /// A popup has this id, or had it; nothing changed.
    #[error("the id belongs to a popup, possibly an archived one")]
    Exists,
    /// The popup never had the version that it was to go back to; nothing changed.
    #[error("the popup never had this version")]
    NoSuchVersion,
    /// The popup has its first version; nothing changed.
    #[error("the popup has no earlier version")]
    NoEarlierVersion,
    /// Others changed the catalog each time that this change was tried; nothing changed.
    #[error("the catalog is being changed by somebody else: try again")]
    Busy,
    /// Changes before this one took too long, since SQL holds them up; nothing changed.
    #[error("earlier changes take longer than {} ms, and this one was given up: try again", .0.as_millis())]
    Late(Duration),
    /// A popups file has these ids, and this node has none; nothing changed.
    #[error(
        "{}: in the popups file of another node: change it there; if no node has a popups file any \
         more, set `popups` here to the last one and reload, then remove it and reload: its popups \
         are then this API's",
        .0.join(", ")
    )]
    InOtherFile(Vec<String>),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored and made; these shards have not said so in time.
    #[error("{} shards did not confirm in time; the change is stored", .0.len())]
    Unconfirmed(Vec<NoAnswer>),
}

impl PublishError {
    /// A popups file has these ids.
    pub(super) fn in_file(config: &Config, ids: Vec<String>) -> PublishError {
        match config.popups {
            Some(_) => StoreError::InFile { ids }.into(),
            None => PublishError::InOtherFile(ids),
        }
    }

    /// The field of the first error of a definition, or of the request.
    pub fn field(&self) -> Option<&str> {
        if matches!(self, PublishError::BaseAhead) {
            return Some("base_version");
        }
        let PublishError::Definition(errors) = self else { return None };
        errors.iter().map(|error| error.field.as_str()).find(|field| !field.is_empty())
    }

    /// A line for each error, for people.
    pub fn lines(&self) -> Vec<String> {
        match self {
            PublishError::Config(ConfigRefused(lines)) => lines.clone(),
            PublishError::Popups { path, errors } => in_file(path, errors),
            PublishError::Definition(errors) => errors.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        }
    }
}

fn version_words(version: Option<u32>) -> String {
    match version {
        Some(version) if version > 0 => format!("version {version}"),
        _ => "no version".to_owned(),
    }
}

fn revision_words(present: Option<&StoredDraft>) -> String {
    match present {
        Some(draft) => format!(
            "the draft was saved by {} at {}: GET it, and put what is to hold with its revision",
            draft.who,
            draft.at.rfc3339()
        ),
        None => "the popup has no draft any more: it was published or deleted".to_owned(),
    }
}

fn in_file(path: &Path, errors: &[SourceError]) -> Vec<String> {
    let file = path.display().to_string();
    errors.iter().map(|error| error.in_file(&file)).collect()
}
