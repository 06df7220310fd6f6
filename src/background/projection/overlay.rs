//! Records that SQL has not applied, on top of a state that was read from SQL. Knows what a record
//! carries; must not know where the state or the record came from.
//!
//! Revisions make the order of reading harmless: a record that the state already contains has a
//! revision at or below the state's and changes nothing.

use nudged_base::ids::{PopupKey, Revision};
use nudged_domain::state::user::{PopupState, UserClocks, UserState};
use nudged_journal::record::{Impression, Record, Withdrawn};

use super::validate::{RejectReason, check_erase, decode_impression, decode_withdrawn};

/// Lays a record of the state's user over the state. One at or below the state's revision changes
/// nothing. An impression replaces clocks and entry, a new entry goes last, the one it pushed out
/// goes; a show that is taken back leaves the state as it was before it; an erase leaves its time
/// alone. Allocates only where `popups` grows.
///
/// # Errors
/// [`RejectReason`] where the record can't be read; the state is then as it was.
pub fn apply_record(state: &mut UserState, record: &Record<'_>) -> Result<(), RejectReason> {
    match record {
        Record::Erase { user, revision, at } => {
            check_erase(user, *revision)?;
            let clocks = UserClocks { erased_at: Some(*at), ..UserClocks::default() };
            if begin(state, *revision, clocks) {
                state.popups.clear();
            }
            Ok(())
        }
        // What it leads to is in the impressions of its merge.
        Record::Unmerged(_) => Ok(()),
        Record::Impression(impression) => apply_impression(state, impression),
        Record::Withdrawn(withdrawn) => apply_withdrawn(state, withdrawn),
    }
}

/// Whether a record of this revision changes the state: then the clocks are its own.
fn begin(state: &mut UserState, revision: Revision, clocks: UserClocks) -> bool {
    let is_newer = revision > state.revision;
    if is_newer {
        state.revision = revision;
        state.clocks = clocks;
    }
    is_newer
}

fn apply_impression(
    state: &mut UserState,
    impression: &Impression<'_>,
) -> Result<(), RejectReason> {
    let decoded = decode_impression(impression)?;
    if begin(state, impression.revision, decoded.clocks) {
        if !impression.forgotten.is_empty() {
            forget(state, impression.forgotten);
        }
        put(state, decoded.entry);
    }
    Ok(())
}

fn apply_withdrawn(state: &mut UserState, withdrawn: &Withdrawn<'_>) -> Result<(), RejectReason> {
    let decoded = decode_withdrawn(withdrawn)?;
    if begin(state, withdrawn.revision, decoded.clocks) {
        match decoded.former {
            Some(entry) => put(state, entry),
            None => forget(state, withdrawn.popup),
        }
    }
    Ok(())
}

fn forget(state: &mut UserState, popup: &str) {
    let key = PopupKey::of(popup);
    state.popups.retain(|entry| entry.popup != key);
}

/// Replaces an entry; a new one goes last.
fn put(state: &mut UserState, entry: PopupState) {
    match state.popups.iter_mut().find(|known| known.popup == entry.popup) {
        Some(known) => *known = entry,
        None => state.popups.push(entry),
    }
}
