//! The popups file: read whole, bounded, and parsed by its ending. Knows files; what is right in
//! them is the catalog's.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use nudged_base::limits::POPUPS_FILE_BYTES_MAX;
use nudged_domain::catalog::source::{Definition, Format, Parsed, SourceError, parse, says_popups};

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

/// Reads one file of popups as far as it can be read: JSON where its name ends in `.json`, else
/// TOML.
///
/// # Errors
/// Where it can't be read, or is larger than [`POPUPS_FILE_BYTES_MAX`].
pub fn examine(path: &Path) -> io::Result<Parsed> {
    let (text, format) = read_text(path)?;
    Ok(parse(&text, format))
}

/// Reads one file of popups that must be right, with what a node needs to know of one that has no
/// popup.
///
/// # Errors
/// [`PopupsFileError`], with every error of the text.
pub fn read_whole(path: &Path) -> Result<PopupsFile, PopupsFileError> {
    let (text, format) = read_text(path)?;
    let Parsed { definitions, errors } = parse(&text, format);
    if !errors.is_empty() {
        return Err(PopupsFileError::Refused(errors));
    }
    let is_meant_empty = definitions.is_empty() && says_popups(&text, format);
    Ok(PopupsFile { definitions: definitions.into_iter().map(Arc::new).collect(), is_meant_empty })
}

fn read_text(path: &Path) -> io::Result<(String, Format)> {
    let text = read_bounded(path, POPUPS_FILE_BYTES_MAX)?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    Ok((text, if is_json { Format::Json } else { Format::Toml }))
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
