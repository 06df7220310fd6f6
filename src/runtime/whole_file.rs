//! Files that are only ever read whole: written beside their place and renamed, so that nobody
//! reads half of one, also after a loss of power. Readable by their owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file of the directory, in the place of one of that name; both the file and the rename
/// are synced before it returns.
///
/// # Errors
/// What the system says; the old file is there as it was.
pub fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = directory.join(format!("{name}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, directory.join(name))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        for text in ["a long text", "short"] {
            write(directory.path(), "keys", text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn where_it_fails_the_old_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "keys", b"old").unwrap();
        // Something that can't be written to stands where the new file would be made.
        std::fs::create_dir(directory.path().join("keys.new")).unwrap();
        assert!(write(directory.path(), "keys", b"new").is_err());
        assert_eq!(std::fs::read(directory.path().join("keys")).unwrap(), b"old");
    }
}
