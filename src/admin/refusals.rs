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

use serde_json::{Map, Value, json};

use super::answer::AdminAnswer;
use super::draft_head::DraftHead;
use nudged_publish::publisher::PublishError;
use nudged_store::{FailureKind, StoreError};

/// The answer to a change that was not made, or not confirmed.
impl From<PublishError> for AdminAnswer {
    fn from(error: PublishError) -> AdminAnswer {
        let (status, code) = match &error {
            PublishError::NoSuchPopup => return AdminAnswer::not_found(),
            PublishError::NoSuchVersion => {
                return AdminAnswer::error(404, "not_found", Some("version"));
            }
            PublishError::NoDraft => (404, "no_draft"),
            PublishError::TooManyDrafts(_) => (409, "too_many_drafts"),
            PublishError::Definition(_) => (400, "bad_popup"),
            PublishError::OtherVersion(_) => (412, "other_version"),
            PublishError::OtherRevision(_) => (412, "other_revision"),
            PublishError::DraftOutdated { .. } => (409, "draft_outdated"),
            PublishError::BaseAhead => (400, "bad_value"),
            PublishError::Exists => (412, "exists"),
            PublishError::NoEarlierVersion => (409, "no_earlier_version"),
            PublishError::Busy | PublishError::Late(_) => (503, "busy"),
            PublishError::Archived => (409, "archived"),
            PublishError::OwnStatus(_) => (409, "own_status"),
            PublishError::InOtherFile(_) => (409, "in_popups_file"),
            PublishError::TooManyOverrides(_) => (409, "too_many_overrides"),
            PublishError::Config(_) => (422, "bad_config"),
            PublishError::File { .. } | PublishError::Popups { .. } => (422, "bad_popups"),
            PublishError::Store(error) => status_of(error),
            PublishError::Unconfirmed(_) => (504, "unconfirmed"),
        };
        let members = present(&error);
        AdminAnswer::errors_with(status, (code, error.field()), &error.lines(), members)
    }
}

/// What is there instead of what the change is meant for, beside the error's words.
fn present(error: &PublishError) -> Map<String, Value> {
    let members = match error {
        PublishError::OtherVersion(version) => json!({ "version": version }),
        PublishError::OtherRevision(draft) => {
            json!({ "draft": draft.as_deref().map(DraftHead::of) })
        }
        PublishError::DraftOutdated { base_version, live_version } => {
            json!({ "base_version": base_version, "live_version": live_version })
        }
        _ => Value::Null,
    };
    if let Value::Object(members) = members { members } else { Map::new() }
}

/// The answer where the store failed.
pub(super) fn of_store(error: &StoreError) -> AdminAnswer {
    let (status, code) = status_of(error);
    AdminAnswer::errors(status, code, None, &[error.to_string()])
}

/// The HTTP status and the code of a failure.
fn status_of(error: &StoreError) -> (u16, &'static str) {
    match error {
        StoreError::InFile { .. } => (409, "in_popups_file"),
        StoreError::PopupKeyTaken { .. } => (409, "key_taken"),
        StoreError::Foreign { .. }
        | StoreError::SchemaNewer { .. }
        | StoreError::Address { .. } => (500, "sql_unusable"),
        other => of_kind(other.refusal_kind()),
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
            (rusqlite::ffi::SQLITE_CONSTRAINT, (409, "sql_conflict")),
            (rusqlite::ffi::SQLITE_AUTH, (500, "sql_denied")),
            (rusqlite::ffi::SQLITE_NOMEM, (503, "sql_unavailable")),
            (rusqlite::ffi::SQLITE_MISMATCH, (500, "sql_failed")),
            (rusqlite::ffi::SQLITE_IOERR, (503, "sql_unavailable")),
            (rusqlite::ffi::SQLITE_ERROR, (500, "sql_failed")),
        ] {
            assert_eq!(status_of(&sqlite(code)), want, "{code}");
        }
        let failed = |code: i32| StoreError::File {
            action: "write it",
            path: PathBuf::from("x"),
            source: std::io::Error::from_raw_os_error(code),
        };
        for (code, want) in [
            (libc::ENOSPC, (507, "sql_disk_full")),
            (libc::EROFS, (503, "sql_read_only")),
            (libc::EACCES, (500, "sql_denied")),
            (libc::EIO, (503, "sql_unavailable")),
        ] {
            assert_eq!(status_of(&failed(code)), want);
        }
    }
}
