//! What is told of a draft wherever one is told of: beside its popup, and to whoever meant another.

use serde::Serialize;
use serde_json::Value;

use super::input::moment_json;
use nudged_store::StoredDraft;

/// A draft without what it defines.
#[derive(Clone, Serialize)]
pub(super) struct DraftHead<'a> {
    base_version: Option<u32>,
    revision: u64,
    at: Value,
    who: &'a str,
}

impl<'a> DraftHead<'a> {
    /// Of a draft.
    pub(super) fn of(draft: &'a StoredDraft) -> DraftHead<'a> {
        let StoredDraft { base_version, who, .. } = draft;
        let (revision, at) = (draft.revision(), moment_json(draft.at));
        DraftHead { base_version: *base_version, revision, at, who }
    }
}
