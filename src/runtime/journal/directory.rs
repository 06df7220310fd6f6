//! The journal's directory: who may use it, its names, and reads of its segments for recovery and
//! for the tail. Writing is `executor`'s.
//!
//! The directory is 0700 and its files 0600. `lock` is held exclusively as long as the
//! [`JournalDirectory`] lives, and holds the process id of its holder. A segment that is being made
//! ends in `.new`; the leftovers of that are removed on opening.

use std::cell::RefCell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use nudged_journal::disk::{DiskError, DiskRead};
use nudged_journal::segment::SegmentId;

const LOCK_NAME: &str = "lock";
const STAGED_SUFFIX: &str = ".new";

/// Why a journal directory can't be used. Both are exit code 4 (storage).
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process uses it.
    #[error("{path} is in use by {holder}: stop the node first")]
    Locked {
        /// The lock's path.
        path: PathBuf,
        /// `process 123`, or what is known of it.
        holder: String,
    },
    /// The system refused something.
    #[error("{path}: {source}{}", mend_of(source))]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What mends it that the system refuses something in a data directory; nothing where its word says
/// enough.
pub fn mend_of(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!(
                ": this runs as user {user}: run it as the owner of the data directory, or give \
                 the directory and all in it to the user of the node (`chown -R`)"
            )
        }
        io::ErrorKind::NotADirectory => ": a file stands where a directory is wanted".to_owned(),
        io::ErrorKind::NotFound => ": it can't be made there".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => {
            ": mount it for writing, or name another place with --data (unit: `ReadWritePaths=`)"
                .to_owned()
        }
        _ => String::new(),
    }
}

/// A journal directory that this process has for itself.
#[derive(Debug)]
pub struct JournalDirectory {
    path: PathBuf,
    _lock: File,
}

impl JournalDirectory {
    /// Opens a directory, making it and those above it where they are missing, and locks it.
    ///
    /// # Errors
    /// [`DirectoryError`] where another process has it, or the system refuses.
    pub fn open(path: &Path) -> Result<JournalDirectory, DirectoryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DirectoryError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))?;
        let lock_path = path.join(LOCK_NAME);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(locked(lock_path, &mut lock)),
            Err(error) => return Err(failed(&lock_path)(error.into())),
        }
        lock.set_len(0).map_err(failed(&lock_path))?;
        // Only for the message that another process gives.
        lock.write_all(std::process::id().to_string().as_bytes()).map_err(failed(&lock_path))?;
        let directory = JournalDirectory { path: path.to_owned(), _lock: lock };
        directory.remove_staged().map_err(failed(path))?;
        Ok(directory)
    }

    fn remove_staged(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let staged = name.to_str().and_then(|name| name.strip_suffix(STAGED_SUFFIX));
            if staged.is_some_and(|name| SegmentId::from_file_name(name).is_some()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a segment.
    pub(crate) fn segment_path(&self, segment: SegmentId) -> PathBuf {
        self.path.join(segment.file_name())
    }

    /// The path of a segment while it is made.
    pub(super) fn staged_path(&self, segment: SegmentId) -> PathBuf {
        self.path.join(format!("{segment}{STAGED_SUFFIX}"))
    }

    /// Gives a segment that was made its name, durably. The file itself is synced by the caller.
    ///
    /// # Errors
    /// What the system says of the rename or of the directory's sync.
    pub(super) fn publish(&self, segment: SegmentId) -> io::Result<()> {
        std::fs::rename(self.staged_path(segment), self.segment_path(segment))?;
        File::open(&self.path)?.sync_all()
    }

    /// Copies a damaged segment to a name that is no segment's, once, before recovery goes on
    /// without what it lost.
    ///
    /// # Errors
    /// What the system says of the copy.
    pub fn copy_aside(&self, segment: SegmentId) -> io::Result<PathBuf> {
        let aside = self.path.join(format!("{segment}.damaged"));
        if !aside.exists() {
            std::fs::copy(self.segment_path(segment), &aside)?;
            File::open(&aside)?.sync_all()?;
        }
        Ok(aside)
    }

    /// Reads of this directory, for one thread.
    pub fn reader(&self) -> DirectoryReader {
        DirectoryReader { path: self.path.clone(), last: RefCell::new(None) }
    }
}

/// Bytes that this process may still take of the disk of a directory; the last part of many file
/// systems is for root alone.
///
/// # Errors
/// What the system says of the directory.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    let blocks = if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail };
    Ok(blocks.saturating_mul(found.f_frsize))
}

fn locked(path: PathBuf, lock: &mut File) -> DirectoryError {
    let mut text = String::new();
    let is_number = lock.take(20).read_to_string(&mut text).is_ok() && text.parse::<u32>().is_ok();
    let holder = if is_number { format!("process {text}") } else { "another process".to_owned() };
    DirectoryError::Locked { path, holder }
}

/// What the journal makes of an error of the system.
pub(super) fn disk_error(error: &io::Error) -> DiskError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => DiskError::NoSpace,
        Some(libc::EINTR | libc::EAGAIN) => DiskError::Interrupted,
        Some(libc::ENOENT) => DiskError::Missing,
        other => DiskError::Failed(other.unwrap_or(0)),
    }
}

/// Reads of a journal directory. Keeps the last file open; needs no lock, so that the tail and
/// tools may use it beside the journal.
#[derive(Debug)]
pub struct DirectoryReader {
    path: PathBuf,
    last: RefCell<Option<(SegmentId, File)>>,
}

impl DirectoryReader {
    /// Reads of a directory that is there already.
    pub fn new(path: &Path) -> DirectoryReader {
        DirectoryReader { path: path.to_owned(), last: RefCell::new(None) }
    }

    fn with_file<T>(
        &self,
        segment: SegmentId,
        read: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(open, _)| *open != segment) {
            let file = File::open(self.path.join(segment.file_name()));
            *last = Some((segment, file.map_err(|error| disk_error(&error))?));
        }
        let (_, file) = last.as_ref().expect("it was just opened");
        read(file).map_err(|error| disk_error(&error))
    }
}

impl DiskRead for DirectoryReader {
    fn segments(&self) -> Result<Vec<SegmentId>, DiskError> {
        // A leftover segment may have been replaced by another file since it was opened.
        self.last.replace(None);
        let list = || -> io::Result<Vec<SegmentId>> {
            let mut segments = Vec::new();
            for entry in std::fs::read_dir(&self.path)? {
                let name = entry?.file_name();
                segments.extend(name.to_str().and_then(SegmentId::from_file_name));
            }
            segments.sort_unstable();
            Ok(segments)
        };
        list().map_err(|error| disk_error(&error))
    }

    fn bytes(&self, segment: SegmentId) -> Result<u64, DiskError> {
        self.with_file(segment, |file| Ok(file.metadata()?.len()))
    }

    fn read_at(
        &self,
        segment: SegmentId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        self.with_file(segment, |file| {
            let mut count = 0;
            while count < buffer.len() {
                let at = offset + u64::try_from(count).expect("a buffer's length fits in 64 bits");
                match file.read_at(&mut buffer[count..], at) {
                    Ok(0) => break,
                    Ok(more) => count += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_process_has_it_and_names_itself() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/journal");
        let directory = JournalDirectory::open(&path).unwrap();
        let error = JournalDirectory::open(&path).unwrap_err();
        assert!(matches!(error, DirectoryError::Locked { .. }));
        let text = error.to_string();
        let process = std::process::id();
        let said = format!("lock is in use by process {process}: stop the node first");
        assert!(text.ends_with(&said), "{text}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));
        drop(directory);
        JournalDirectory::open(&path).unwrap();
    }

    #[test]
    fn what_the_system_refuses_is_said_with_what_mends_it() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, b"").unwrap();
        for (path, said) in [
            (file.join("journal"), "a file stands where a directory is wanted"),
            ("/proc/nudged/journal".into(), "it can't be made there"),
        ] {
            let text = JournalDirectory::open(&path).unwrap_err().to_string();
            assert!(text.contains(said), "{text}");
        }
        let mend = mend_of(&io::ErrorKind::PermissionDenied.into());
        let user = rustix::process::geteuid().as_raw();
        assert!(mend.contains(&format!("user {user}")) && mend.contains("chown"), "{mend}");
    }

    #[test]
    fn leftovers_go_and_strangers_stay() {
        let temporary = tempfile::tempdir().unwrap();
        let segment = SegmentId(3);
        let staged = format!("{segment}{STAGED_SUFFIX}");
        for name in [staged.as_str(), "notes.new", "0000000000000002.log", "0000000000000001.log"] {
            std::fs::write(temporary.path().join(name), b"abc").unwrap();
        }
        let directory = JournalDirectory::open(temporary.path()).unwrap();
        assert!(!directory.staged_path(segment).exists());
        assert!(temporary.path().join("notes.new").exists());
        let reader = directory.reader();
        assert_eq!(reader.segments().unwrap(), [SegmentId(1), SegmentId(2)]);
        let mut buffer = [0; 8];
        assert_eq!(reader.read_at(SegmentId(2), 1, &mut buffer), Ok(2));
        assert_eq!((reader.bytes(SegmentId(2)), &buffer[..2]), (Ok(3), &b"bc"[..]));
        assert_eq!(reader.bytes(SegmentId(9)), Err(DiskError::Missing));
        let aside = directory.copy_aside(SegmentId(2)).unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), b"abc");
        assert_eq!(reader.segments().unwrap().len(), 2, "a copy is no segment");
    }
}
