//! What a failure of the store is to somebody who asked for a change: whose it is to mend, and
//! whether coming again helps. 503, with Retry-After, is for what may pass by itself; the words are
//! the error's own.
//!
//! | status | what |
//! |---|---|
//! | 409, 413, 422 | what was sent can't be stored |
//! | 500 | nobody has set the store up for it: rights, schema, a damaged file |
//! | 503 | away, busy, or read-only for now |
//! | 507 | the store's disk is full |

use rusqlite::ErrorCode;

use nudged_store::{FailureKind, StoreError};

/// The HTTP status and the code of a failure.
pub(super) fn status_of(error: &StoreError) -> (u16, &'static str) {
    match error {
        StoreError::InFile { .. } => (409, "in_popups_file"),
        StoreError::PopupKeyTaken { .. } => (409, "key_taken"),
        StoreError::Sql { source, .. } => of_sqlite(source.sqlite_error_code()),
        StoreError::File { source, .. } => of_system(source),
        StoreError::Corrupt { .. }
        | StoreError::Foreign { .. }
        | StoreError::SchemaNewer { .. }
        | StoreError::Address { .. } => (500, "sql_unusable"),
        other => of_kind(other.kind()),
    }
}

fn of_kind(kind: FailureKind) -> (u16, &'static str) {
    match kind {
        FailureKind::Unreachable | FailureKind::Io => (503, "sql_unavailable"),
        FailureKind::Deadlock | FailureKind::LockWait => (503, "sql_busy"),
        FailureKind::PacketTooLarge => (413, "too_large_for_sql"),
        FailureKind::ReadOnly => (503, "sql_read_only"),
        FailureKind::DiskFull => (507, "sql_disk_full"),
        FailureKind::Crowded => (503, "sql_crowded"),
        FailureKind::Schema => (500, "sql_schema"),
        FailureKind::Corrupt => (500, "sql_unusable"),
        FailureKind::Duplicate => (409, "sql_conflict"),
        FailureKind::BadData => (422, "refused_by_sql"),
        FailureKind::Denied => (500, "sql_denied"),
        FailureKind::Other => (500, "sql_failed"),
    }
}

fn of_sqlite(code: Option<ErrorCode>) -> (u16, &'static str) {
    match code {
        Some(ErrorCode::DiskFull) => of_kind(FailureKind::DiskFull),
        Some(ErrorCode::ReadOnly) => of_kind(FailureKind::ReadOnly),
        Some(ErrorCode::TooBig) => of_kind(FailureKind::PacketTooLarge),
        Some(ErrorCode::ConstraintViolation) => of_kind(FailureKind::Duplicate),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            of_kind(FailureKind::Denied)
        }
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
            of_kind(FailureKind::Unreachable)
        }
        _ => of_kind(FailureKind::Other),
    }
}

fn of_system(source: &std::io::Error) -> (u16, &'static str) {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            of_kind(FailureKind::DiskFull)
        }
        std::io::ErrorKind::ReadOnlyFilesystem => of_kind(FailureKind::ReadOnly),
        std::io::ErrorKind::PermissionDenied => of_kind(FailureKind::Denied),
        _ => of_kind(FailureKind::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_kind_has_its_status_and_only_what_may_pass_is_503() {
        let mut codes = Vec::new();
        for kind in FailureKind::ALL {
            let (status, code) = of_kind(kind);
            let passes = matches!(
                kind,
                FailureKind::Unreachable
                    | FailureKind::Io
                    | FailureKind::Deadlock
                    | FailureKind::LockWait
                    | FailureKind::ReadOnly
                    | FailureKind::Crowded
            );
            assert_eq!(status == 503, passes, "{kind:?}");
            codes.push(code);
        }
        codes.sort_unstable();
        codes.dedup();
        // Two that others hold up are one, and so are a file and a server that do not answer.
        assert_eq!(codes.len(), FailureKind::ALL.len() - 2);
    }

    #[test]
    fn a_file_of_the_nodes_own_is_told_apart_as_well() {
        let sqlite = |code: i32| StoreError::Sql {
            action: "change popups",
            path: PathBuf::from("nudged.db"),
            source: rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None),
        };
        for (code, want) in [
            (rusqlite::ffi::SQLITE_FULL, (507, "sql_disk_full")),
            (rusqlite::ffi::SQLITE_READONLY, (503, "sql_read_only")),
            (rusqlite::ffi::SQLITE_TOOBIG, (413, "too_large_for_sql")),
            (rusqlite::ffi::SQLITE_IOERR, (503, "sql_unavailable")),
            (rusqlite::ffi::SQLITE_ERROR, (500, "sql_failed")),
        ] {
            assert_eq!(status_of(&sqlite(code)), want);
        }
        let full = StoreError::File {
            action: "write it",
            path: PathBuf::from("x"),
            source: std::io::Error::from_raw_os_error(libc::ENOSPC),
        };
        assert_eq!(status_of(&full), (507, "sql_disk_full"));
    }
}
