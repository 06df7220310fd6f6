//! The file of signing keys in the data directory: made at first start, readable by its owner
//! alone. One line a key: id, time of making in milliseconds, 32 bytes in hex, and of a key that
//! came from another store when that was. The newest of the others signs; adding a line by hand and
//! restarting is a rotation, since older ones verify for 8 days more.
//!
//! `nudged.db` has them too, so that a copy of it is a whole backup. Where nodes share a store, its
//! keys win, and the file is a copy for a start without it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nudged_api::token::Secret;
use nudged_base::hex;
use nudged_base::time::WallMs;
use nudged_runtime::journal::directory::mend_of;
use nudged_runtime::whole_file;
use nudged_store::StoreError;

/// Name of the file.
const FILE: &str = "signing-keys";

/// Why there are no signing keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file can't be read or written.
    #[error("{path}: can't read or write the signing keys: {source}{}", mend_of(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}): `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The database can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line is not a key.
    #[error("{path}:{line}: not a key: expected `ID MILLISECONDS 64_HEX_DIGITS [MOVED_AT]`")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// Reads the keys of a data directory; where it has no file, those that its database has; makes the
/// first one where there is none. The file goes before the database: taking a line out of it ends
/// its key.
///
/// # Errors
/// [`KeysError`], each with what mends it.
pub(super) fn load(
    directory: &Path,
    now: WallMs,
    stored: Vec<Secret>,
) -> Result<Vec<Secret>, KeysError> {
    let own = read(directory)?;
    let is_there = own.is_some();
    let mut keys = own.unwrap_or(stored);
    let can_sign = keys.iter().any(|secret| secret.moved_at.is_none());
    if !can_sign {
        let first = fresh(now).map_err(|source| fail(directory, source))?;
        keys.push(Secret { id: if keys.is_empty() { 1 } else { first.id }, ..first });
    }
    if !is_there || !can_sign {
        write(directory, &keys)?;
    }
    Ok(keys)
}

/// Whether both are one key: each directory's first key has the same id.
pub(super) fn is_same(one: &Secret, other: &Secret) -> bool {
    (one.id, one.created_at) == (other.id, other.created_at)
}

/// A key that nobody has yet. Its id is random: nodes that make one apart get different ids.
///
/// # Errors
/// Where the system has no random bytes.
pub(super) fn fresh(now: WallMs) -> io::Result<Secret> {
    let (mut id, mut bytes) = ([0; 4], [0; 32]);
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Secret { id: u32::from_le_bytes(id).max(1), created_at: now, bytes, moved_at: None })
}

/// Reads the keys of a data directory; `None` where it has none yet.
///
/// # Errors
/// [`KeysError`], each with what mends it.
pub(super) fn read(directory: &Path) -> Result<Option<Vec<Secret>>, KeysError> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let metadata = fs::metadata(&path).map_err(|source| fail(directory, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Open { path, mode });
    }
    let text = fs::read_to_string(&path).map_err(|source| fail(directory, source))?;
    match of_text(&text) {
        Ok(secrets) => Ok(Some(secrets)),
        Err(line) => Err(KeysError::Line { path, line }),
    }
}

/// Writes the keys, whole.
///
/// # Errors
/// Where the directory can't be written to.
pub(super) fn write(directory: &Path, secrets: &[Secret]) -> Result<(), KeysError> {
    let written = whole_file::write(directory, FILE, to_text(secrets).as_bytes());
    written.map_err(|source| fail(directory, source))
}

fn fail(directory: &Path, source: io::Error) -> KeysError {
    KeysError::File { path: directory.join(FILE), source }
}

/// Keys as they are written: a line each.
pub(super) fn to_text(secrets: &[Secret]) -> String {
    let line = |secret: &Secret| {
        let digits = hex::encode(&secret.bytes);
        let moved = secret.moved_at.map_or(String::new(), |at| format!(" {}", at.0));
        format!("{} {} {digits}{moved}\n", secret.id, secret.created_at.0)
    };
    secrets.iter().map(line).collect()
}

/// Reads what [`to_text`] wrote.
///
/// # Errors
/// The number of the first line that is no key, from 1.
pub(super) fn of_text(text: &str) -> Result<Vec<Secret>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let secrets = lines
        .map(|(index, line)| parse(line).ok_or(index + 1))
        .collect::<Result<Vec<_>, usize>>()?;
    if secrets.is_empty() { Err(1) } else { Ok(secrets) }
}

fn parse(line: &str) -> Option<Secret> {
    let mut words = line.split_ascii_whitespace();
    let id = words.next()?.parse().ok()?;
    let created_at = WallMs(words.next()?.parse().ok()?);
    let bytes = hex::decode_array(words.next()?)?;
    let moved_at = match words.next() {
        Some(word) => Some(WallMs(word.parse().ok()?)),
        None => None,
    };
    words.next().is_none().then_some(Secret { id, created_at, bytes, moved_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_kept_and_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let first = load(directory.path(), WallMs(5), Vec::new()).unwrap();
        let again = load(directory.path(), WallMs(9), Vec::new()).unwrap();
        assert_eq!((first[0].bytes, first[0].created_at), (again[0].bytes, WallMs(5)));
        let path = directory.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(directory.path(), WallMs(9), Vec::new()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_second_line_rotates_and_junk_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        load(directory.path(), WallMs(5), Vec::new()).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&format!("2 7 {}\n", "ab".repeat(32)));
        fs::write(&path, &text).unwrap();
        assert_eq!(load(directory.path(), WallMs(9), Vec::new()).unwrap().len(), 2);
        fs::write(&path, text + "junk\n").unwrap();
        let error = load(directory.path(), WallMs(9), Vec::new()).unwrap_err().to_string();
        assert!(error.contains(":3: not a key"), "{error}");
    }
}
