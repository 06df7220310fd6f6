//! The popups file: read whole, bounded, and parsed by its ending. Knows files; what is right in
//! them is the catalog's.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::base::limits::POPUPS_FILE_BYTES_MAX;
use crate::catalog::source::{
    Definition, Format, SourceError, parse_json, parse_toml, says_popups,
};

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

/// What a popups file says.
#[derive(Clone, Debug)]
pub struct PopupsFile {
    /// Its popups.
    pub definitions: Vec<Arc<Definition>>,
    /// There is none, and it says so: `popup = []`. Else one without popups may be cut off.
    pub is_meant_empty: bool,
}

/// Reads one file of popups: JSON where its name ends in `.json`, else TOML.
///
/// # Errors
/// [`PopupsFileError`], with every error of the text.
pub fn read(path: &Path) -> Result<Vec<Definition>, PopupsFileError> {
    read_text(path).map(|(definitions, _)| definitions)
}

/// As [`read`], with what a node needs to know of a file that has no popup.
///
/// # Errors
/// As [`read`].
pub fn read_whole(path: &Path) -> Result<PopupsFile, PopupsFileError> {
    let (definitions, names_popups) = read_text(path)?;
    let is_meant_empty = definitions.is_empty() && names_popups;
    Ok(PopupsFile { definitions: definitions.into_iter().map(Arc::new).collect(), is_meant_empty })
}

fn read_text(path: &Path) -> Result<(Vec<Definition>, bool), PopupsFileError> {
    let text = read_bounded(path, POPUPS_FILE_BYTES_MAX)?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let parsed = if is_json { parse_json(&text) } else { parse_toml(&text) };
    let format = if is_json { Format::Json } else { Format::Toml };
    let read = parsed.map_err(PopupsFileError::Refused)?;
    let names_popups = !read.is_empty() || says_popups(&text, format);
    Ok((read, names_popups))
}

fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    // A pipe would hold a reload up for as long as nobody writes to it.
    let nonblocking = libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe, not a file"));
    }
    let mut text = String::new();
    let read = file.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|bytes| bytes > bytes_max) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("popups.toml");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), "12345");
        let error = read_bounded(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let pipe = directory.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let error = read_bounded(&pipe, 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let endless = read_bounded(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
    }
}
