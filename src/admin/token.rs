//! The bearer token of the admin listener: read from a file that nobody else can read, kept and
//! compared as a hash. The text itself is never kept, logged or shown.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use nudged_base::limits::{KEY_BYTES_MAX, KEY_BYTES_MIN, TOKEN_FILE_BYTES_MAX};

/// Why there is no token. None of the texts repeats it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read.
    #[error("{path}: can't be read: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}): `chmod 600 {path}`", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What the file holds is no token.
    #[error(
        "{path}: not a token: expected one line of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} visible \
         characters (`openssl rand -hex 32 > {path}` makes one)",
        path = path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// A token, as its SHA-256. Its `Debug` shows nothing of it.
pub struct AdminToken([u8; 32]);

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(token)")
    }
}

impl AdminToken {
    /// Reads a file of mode 0600 or less: one line, white space around it ignored.
    ///
    /// # Errors
    /// [`TokenError`], each with what mends it.
    pub fn read(path: &Path) -> Result<AdminToken, TokenError> {
        let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        // Of the open file, so that it can't be another one that is looked at.
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(TOKEN_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
        let token = bytes.trim_ascii();
        let is_token = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&token.len())
            && token.iter().all(u8::is_ascii_graphic);
        if !is_token {
            return Err(TokenError::Malformed { path: path.to_owned() });
        }
        Ok(AdminToken(hash(token)))
    }

    /// Whether this is the token whose text has that hash. Takes as long for any other.
    pub(super) fn has_hash(&self, sent: &[u8; 32]) -> bool {
        let differing = self.0.iter().zip(sent).fold(0, |bits, (a, b)| bits | (a ^ b));
        black_box(differing) == 0
    }
}

/// The hash of the token that an `Authorization` field carries; `None` for none, or for another
/// scheme, which a proxy may have left.
pub(super) fn sent_hash(authorization: Option<&[u8]>) -> Option<[u8; 32]> {
    authorization.and_then(bearer).map(hash)
}

/// The token that an `Authorization` field carries.
pub(super) fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked("Bearer".len())?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    scheme.eq_ignore_ascii_case(b"Bearer").then_some(token)
}

/// The hash by which a secret is known.
pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const TEXT: &str = "canary-0123456789abcdef";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn only_the_token_itself_is_taken() {
        let (_directory, path) = file(&format!("{TEXT}\n"), 0o600);
        let token = AdminToken::read(&path).unwrap();
        let cases: &[(&str, bool)] = &[
            ("Bearer canary-0123456789abcdef", true),
            ("bearer  canary-0123456789abcdef ", true),
            ("Bearer canary-0123456789abcdeg", false),
            ("Bearer canary-0123456789abcde", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic canary-0123456789abcdef", false),
            ("", false),
        ];
        for (field, taken) in cases {
            let sent = sent_hash(Some(field.as_bytes()));
            assert_eq!(sent.is_some_and(|sent| token.has_hash(&sent)), *taken, "{field}");
        }
        assert_eq!(sent_hash(None), None);
        assert!(!format!("{token:?}").contains("canary"));
    }

    #[test]
    fn a_file_that_others_read_or_without_a_token_is_refused_without_repeating_it() {
        let long = TEXT.repeat(400);
        let cases = [
            (TEXT, 0o640, "chmod 600"),
            (TEXT, 0o604, "chmod 600"),
            ("canary-short", 0o600, "not a token"),
            ("canary 0123456789abcdef", 0o600, "not a token"),
            ("", 0o400, "not a token"),
            (long.as_str(), 0o600, "not a token"),
        ];
        for (text, mode, said) in cases {
            let (_directory, path) = file(text, mode);
            let error = AdminToken::read(&path).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("canary"), "{error}");
        }
        let missing = AdminToken::read(Path::new("/nowhere/token")).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/token: "), "{missing}");
    }
}
