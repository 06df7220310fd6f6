//! Records that SQL has not applied, on top of a state that was read from SQL. Knows what a record
//! carries; must not know where the state or the record came from.
//!
//! Revisions make the order of reading harmless: a record that the state already contains has a
//! revision at or below the state's and changes nothing.

use crate::base::ids::PopupKey;
use crate::journal::record::Record;
use crate::state::user::{UserClocks, UserState};

use super::validate::{RecordError, decode};

/// Lays a record of the state's user over the state. One at or below the state's revision changes
/// nothing. An impression replaces clocks and entry, a new entry goes last, the one it pushed out
/// goes; an erase leaves its time alone. Allocates only where `popups` grows.
///
/// # Errors
/// [`RecordError`] where the record can't be read; the state is then as it was.
pub fn apply_record(state: &mut UserState, record: &Record<'_>) -> Result<(), RecordError> {
    let decoded = decode(record)?;
    match record {
        Record::Erase { revision, at, .. } => {
            if *revision > state.revision {
                state.revision = *revision;
                state.clocks = UserClocks { erased_at: Some(*at), ..UserClocks::default() };
                state.popups.clear();
            }
        }
        // What it leads to is in the impressions of its merge.
        Record::Unmerged(_) => {}
        Record::Impression(impression) => {
            let decoded = decoded.expect("an impression decodes to its parts");
            if impression.revision <= state.revision {
                return Ok(());
            }
            state.revision = impression.revision;
            state.clocks = decoded.clocks;
            if !impression.forgotten.is_empty() {
                let forgotten = PopupKey::of(impression.forgotten);
                state.popups.retain(|entry| entry.popup != forgotten);
            }
            let key = decoded.entry.popup;
            match state.popups.iter_mut().find(|entry| entry.popup == key) {
                Some(entry) => *entry = decoded.entry,
                None => state.popups.push(decoded.entry),
            }
        }
    }
    Ok(())
}
