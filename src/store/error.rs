//! What can go wrong with the store, each with the file or the server and its source. None of them
//! names a user.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mysql::failure::{FailureKind, ServerFailure};
use nudged_base::ids::Sequence;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the data directory failed.
    #[error("{path}: can't {action}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is damaged or no SQLite database.
    #[error("{path}: damaged, or not a database: {}", reason(.source), path = path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The file is a database of something else.
    #[error("{path}: a database, but not one of nudged's", path = path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// Another process holds the database for longer than the timeout.
    #[error("{path}: locked by another process: {}", reason(.source), path = path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A later version of nudged has upgraded the schema.
    #[error(
        "{database}: schema {found} is newer than this binary can use: it knows {known}, and goes on \
         with the next one; start the version that upgraded it, or one between the two"
    )]
    SchemaNewer {
        /// The database file, or the server and its database.
        database: String,
        /// Its schema.
        found: i64,
        /// The newest schema of this binary.
        known: i64,
    },
    /// The schema of a server has to be made or upgraded, which only `nudged migrate` does.
    #[error("{server}: schema {found}, but {known} is needed: run `nudged migrate`")]
    SchemaOlder {
        /// The server and its database.
        server: Arc<str>,
        /// Its schema; 0 for none.
        found: i64,
        /// The schema of this binary.
        known: i64,
    },
    /// A server failed, refused, or can't be reached.
    #[error("{server}: can't {action}: {source}")]
    Server {
        /// What was tried.
        action: &'static str,
        /// The server and its database.
        server: Arc<str>,
        /// What it means.
        source: ServerFailure,
    },
    /// The address of the server is none.
    #[error(
        "mysql.url: {what}: expected mysql://USER:PASSWORD@HOST[:PORT]/DATABASE, with special \
         characters in user and password written as %XX"
    )]
    Address {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system refused what a connection needs.
    #[error("can't wait for a server")]
    Runtime {
        /// The system's reason.
        source: io::Error,
    },
    /// A statement failed.
    #[error("{path}: can't {action}: {}", reason(.source), path = path.display())]
    Sql {
        /// What was tried.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The records start beyond the position: it has gone back, or some are missing. Replay from
    /// the one after `position`, or skip what recovery has reported lost.
    #[error("position of stream {stream} is {at}, but records start at {next}",
        at = position.0, next = next.0)]
    Behind {
        /// The stream.
        stream: u32,
        /// The last record that is applied.
        position: Sequence,
        /// The first record that was given.
        next: Sequence,
    },
    /// The records' sequences do not rise by one.
    #[error("record {found} follows record {after} of stream {stream}",
        found = found.0, after = after.0)]
    Gap {
        /// The stream.
        stream: u32,
        /// The record before the gap.
        after: Sequence,
        /// The record after it.
        found: Sequence,
    },
    /// Another process has claimed the stream since: two copies of one data directory.
    #[error("stream {stream} was claimed by another process (epoch {found}, ours is {ours})")]
    Fenced {
        /// The stream.
        stream: u32,
        /// The epoch of this process.
        ours: i64,
        /// The epoch in the table.
        found: i64,
    },
    /// The position has no row of this stream.
    #[error("stream {stream} is unknown")]
    NoSuchStream {
        /// The stream.
        stream: u32,
    },
    /// The events table holds another record under this sequence: a journal was used twice.
    #[error("record {seq} of stream {stream} is in the events table with other content",
        seq = sequence.0)]
    Halted {
        /// The stream.
        stream: u32,
        /// The record.
        sequence: Sequence,
    },
    /// A popup's definition is not a JSON object.
    #[error("popup {id}: definition is not a JSON object")]
    Definition {
        /// The popup.
        id: String,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// Two popups share a 64-bit key; one of them needs another id.
    #[error("popup {id}: has the same hash as popup {other}; give it another id")]
    PopupKeyTaken {
        /// The new popup.
        id: String,
        /// The popup that was there before.
        other: String,
    },
    /// The popups file owns these ids; they are changed there.
    #[error("{}: in the popups file: change it there", .ids.join(", "))]
    InFile {
        /// The ids.
        ids: Vec<String>,
    },
    /// The catalog has changed since it was read; nothing is done.
    #[error("the catalog has changed in the meantime: its version is {found}")]
    CatalogMoved {
        /// Its version now.
        found: u64,
    },
    /// No popup of this id was ever stored.
    #[error("popup is not stored")]
    NoSuchPopup,
}

impl StoreError {
    /// What to do about it; what is no server's failure is of the kind `Other`.
    pub fn kind(&self) -> FailureKind {
        match self {
            StoreError::Server { source, .. } => source.kind(),
            StoreError::SchemaOlder { .. } => FailureKind::Schema,
            StoreError::Locked { .. } => FailureKind::LockWait,
            StoreError::Corrupt { .. } => FailureKind::Corrupt,
            StoreError::File { source, .. } => kind_of_file(source),
            StoreError::Sql { source, .. } => kind_of_sqlite(source),
            _ => FailureKind::Other,
        }
    }

    /// What it is to whoever sent what was to be stored: of SQLite finer than [`StoreError::kind`],
    /// by which the writer sets records aside.
    pub fn refusal_kind(&self) -> FailureKind {
        use rusqlite::ErrorCode::{
            AuthorizationForStatementDenied, ConstraintViolation, OutOfMemory, TooBig, TypeMismatch,
        };
        let StoreError::Sql { source, .. } = self else { return self.kind() };
        match source.sqlite_error_code() {
            Some(TooBig) => FailureKind::PacketTooLarge,
            Some(ConstraintViolation) => FailureKind::Duplicate,
            Some(AuthorizationForStatementDenied) => FailureKind::Denied,
            Some(OutOfMemory) => FailureKind::Unreachable,
            Some(TypeMismatch) => FailureKind::Other,
            _ => self.kind(),
        }
    }

    /// Whether the same transaction may well succeed at once: others held its locks.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind(), FailureKind::Deadlock | FailureKind::LockWait)
    }

    /// Whether it is a server's failure that may pass without anybody doing something: a node
    /// starts all the same then, with copies of what it would have read.
    pub fn may_pass(&self) -> bool {
        matches!(self, StoreError::Server { source, .. } if source.kind().may_pass())
    }

    /// Whether the database can't be changed now, whoever is at fault, and what was to be changed
    /// is right as far as that tells: it may be tried again.
    pub fn is_unavailable(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DiskFull, FileLockingProtocolFailed, OutOfMemory, ReadOnly, SystemIoFailure,
        };
        match self {
            StoreError::Locked { .. } | StoreError::File { .. } => true,
            StoreError::Sql { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    CannotOpen
                        | DiskFull
                        | FileLockingProtocolFailed
                        | OutOfMemory
                        | ReadOnly
                        | SystemIoFailure
                )
            ),
            StoreError::Server { .. } => self.may_pass(),
            _ => false,
        }
    }

    /// Whether a server refuses a right on its tables to a user whom it has let in.
    pub fn is_right(&self) -> bool {
        [1142, 1143, 1227, 1370].into_iter().any(|code| self.is_code(code))
    }

    /// Whether a server answers and refuses the user, the password, the host or a right: a node
    /// waits for it, and is not ready before.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StoreError::Server { source, .. } if source.kind() == FailureKind::Denied)
    }

    /// Whether a server was given up because it did not answer in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, StoreError::Server { source, .. } if source.is_timeout())
    }

    /// Whether a server gave this error code.
    pub(super) fn is_code(&self, code: u16) -> bool {
        matches!(self, StoreError::Server { source, .. } if source.is_code(code))
    }

    /// All that is known of it, a server's own words with it, which may quote a row: for the
    /// dead-letter file. Allocates.
    pub(super) fn words(&self) -> String {
        match self {
            StoreError::Server { source, .. } => source.message(),
            StoreError::Sql { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }

    /// Sorts an error of SQLite: damaged, locked, or the statement's own.
    pub(super) fn sql(path: &Path, action: &'static str, source: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode::{
            DatabaseBusy, DatabaseCorrupt, DatabaseLocked, FileLockingProtocolFailed, NotADatabase,
        };
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt { path, source },
            Some(DatabaseBusy | DatabaseLocked | FileLockingProtocolFailed) => {
                StoreError::Locked { path, source }
            }
            _ => StoreError::Sql { action, path, source },
        }
    }
}

/// SQLite's own words and its code, which tells apart what words do not. Neither quotes a value.
fn reason(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, words) => {
            let known = rusqlite::ffi::code_to_str(code.extended_code);
            let words = words.as_deref().unwrap_or(known);
            format!("{words} (SQLite's code {})", code.extended_code)
        }
        other => other.to_string(),
    }
}

fn kind_of_sqlite(error: &rusqlite::Error) -> FailureKind {
    use rusqlite::ErrorCode::{
        CannotOpen, ConstraintViolation, DiskFull, OutOfMemory, PermissionDenied, ReadOnly,
        SystemIoFailure, TooBig, TypeMismatch,
    };
    match error.sqlite_error_code() {
        Some(DiskFull) => FailureKind::DiskFull,
        Some(ReadOnly) => FailureKind::ReadOnly,
        Some(CannotOpen | SystemIoFailure) => FailureKind::Io,
        Some(OutOfMemory) => FailureKind::Crowded,
        Some(PermissionDenied) => FailureKind::Denied,
        Some(ConstraintViolation | TooBig | TypeMismatch) => FailureKind::BadData,
        _ => FailureKind::Other,
    }
}

fn kind_of_file(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem => FailureKind::ReadOnly,
        io::ErrorKind::PermissionDenied => FailureKind::Denied,
        _ => FailureKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a start does on an error of its server.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Start {
        /// Waits, not ready, until somebody has mended it.
        Waits,
        /// Goes on as where the server is away.
        GoesOn,
        /// Exit code 4.
        Ends,
    }

    #[test]
    fn what_a_start_does_on_each_error_of_a_server() {
        let table: [(Start, &[u16]); 3] = [
            // Who may not log in, and who lacks a right.
            (Start::Waits, &[1044, 1045, 1130, 1251, 1275, 1524, 1698, 1820, 1862, 3118, 3159]),
            (Start::GoesOn, &[1040, 1041, 1129, 1203, 1226, 1053, 1047, 3032, 1290, 1205, 1114]),
            // Neither the database nor its tables come by themselves.
            (Start::Ends, &[1049, 1054, 1146, 1064]),
        ];
        let also: [(Start, &[u16]); 1] = [(Start::Waits, &[1142, 1143, 1227, 1370, 3955, 4151])];
        for (wanted, codes) in table.into_iter().chain(also) {
            for code in codes {
                let error = StoreError::Server {
                    action: "connect",
                    server: "mysql h/d".into(),
                    source: ServerFailure::of_code(*code),
                };
                let found = match (error.is_refusal(), error.may_pass()) {
                    (true, false) => Start::Waits,
                    (false, true) => Start::GoesOn,
                    (false, false) => Start::Ends,
                    (true, true) => panic!("{code} is both"),
                };
                assert_eq!(found, wanted, "{code}");
            }
        }
    }

    #[test]
    fn the_reason_of_sqlite_is_in_the_message_and_in_the_kind() {
        let failure = |code: i32, words: &str| {
            let source = rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(code),
                Some(words.to_owned()),
            );
            StoreError::sql(Path::new("/data/nudged.db"), "apply records", source)
        };
        for (code, words, kind) in [
            (rusqlite::ffi::SQLITE_FULL, "database or disk is full", FailureKind::DiskFull),
            (rusqlite::ffi::SQLITE_IOERR_WRITE, "disk I/O error", FailureKind::Io),
            (rusqlite::ffi::SQLITE_IOERR_FSYNC, "disk I/O error", FailureKind::Io),
            (rusqlite::ffi::SQLITE_CANTOPEN, "unable to open database file", FailureKind::Io),
            (rusqlite::ffi::SQLITE_READONLY, "attempt to write", FailureKind::ReadOnly),
            (rusqlite::ffi::SQLITE_NOMEM, "out of memory", FailureKind::Crowded),
            (rusqlite::ffi::SQLITE_CORRUPT, "malformed", FailureKind::Corrupt),
            (rusqlite::ffi::SQLITE_BUSY, "database is locked", FailureKind::LockWait),
            (rusqlite::ffi::SQLITE_ERROR, "no such table", FailureKind::Other),
        ] {
            let error = failure(code, words);
            assert_eq!(error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(text.starts_with("/data/nudged.db: ") && text.contains(words), "{text}");
            assert!(text.ends_with(&format!("(SQLite's code {code})")), "{text}");
        }
        let full = io::Error::from_raw_os_error(28);
        let path = "/data/dead-letter".into();
        let error = StoreError::File { action: "write", path, source: full };
        assert_eq!(error.kind(), FailureKind::DiskFull);
        assert!(error.to_string().contains("No space left"), "{error}");
    }
}
