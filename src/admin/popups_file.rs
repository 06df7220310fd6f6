//! The popups file: read whole, bounded, and parsed by its ending. Knows files; what is right in
//! them is the catalog's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::base::limits::POPUPS_FILE_BYTES_MAX;
use crate::catalog::source::{Definition, SourceError, parse_json, parse_toml};

/// Why a popups file gives no popups.
#[derive(Debug, thiserror::Error)]
pub enum PopupsFileError {
    /// It can't be read, or is larger than [`POPUPS_FILE_BYTES_MAX`].
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// What it says is wrong; every error of it.
    #[error("{} errors", .0.len())]
    Refused(Vec<SourceError>),
}

/// Reads one file of popups: JSON where its name ends in `.json`, else TOML.
///
/// # Errors
/// [`PopupsFileError`], with every error of the text.
pub fn read(path: &Path) -> Result<Vec<Definition>, PopupsFileError> {
    let mut text = String::new();
    let read = File::open(path)?.take(POPUPS_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|bytes| bytes > POPUPS_FILE_BYTES_MAX) {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
    }
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let parsed = if is_json { parse_json(&text) } else { parse_toml(&text) };
    parsed.map_err(PopupsFileError::Refused)
}
