//! The journal of a node that does not run, read once from end to end.

use nudged_base::ids::Sequence;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::Tail;
use nudged_journal::record::{Record, RecordError};
use nudged_journal::recovery::{self, RecoverError, RecoverOptions};
use nudged_journal::segment::SetId;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_store::Store;

/// Where the records begin that a journal keeps, the applied ones too, and the last of them. What
/// is damaged is passed over.
///
/// # Errors
/// Where a file can't be read.
pub(super) fn kept(disk: &impl DiskRead, set: SetId) -> Result<(Tail, Sequence), String> {
    let retired = recovery::retired(disk).map_err(|error| error.to_string())?;
    let options = RecoverOptions { applied: retired, fresh_set: set, skip_damaged: true };
    let recovered = recovery::recover(disk, options).map_err(|error| error.to_string())?;
    let lost = recovered.report.lost.iter();
    let skipped = lost.filter_map(|damage| Some((damage.first, damage.last?))).collect();
    let end = Sequence(recovered.start.next.0.saturating_sub(1));
    let tail = Tail::seek(disk, set, Sequence(retired.0 + 1), skipped);
    Ok((tail.map_err(|error| error.to_string())?, end))
}

/// Brings the database of a directory up to date, as its node would; gives the number of records.
///
/// # Errors
/// What is wrong with either.
pub(super) fn apply(store: &mut Store, directory: &JournalDirectory) -> Result<u64, String> {
    let disk = directory.reader();
    let damaged = |error: RecoverError| {
        format!(
            "{error}; `nudged serve --salvage` with this directory continues without what is lost"
        )
    };
    let Some(set) = recovery::set_of(&disk).map_err(damaged)? else { return Ok(0) };
    let stream = store.stream_id(set.0.to_le_bytes()).map_err(|error| error.to_string())?;
    let applied = store.position(stream).map_err(|error| error.to_string())?;
    let options = RecoverOptions { applied, fresh_set: set, skip_damaged: false };
    let recovered = recovery::recover(&disk, options).map_err(damaged)?;
    let end = Sequence(recovered.start.next.0.saturating_sub(1));
    let tail = Tail::seek(&disk, set, Sequence(applied.0 + 1), Vec::new());
    let mut tail = tail.map_err(|error| error.to_string())?;
    let mut count = 0;
    while let Some(batch) = tail.next(&disk, end).map_err(|error| error.to_string())? {
        let records: Result<Vec<(Sequence, Record<'_>)>, _> =
            batch.map(|(sequence, record)| Ok((sequence, record?))).collect();
        let records = records.map_err(|error: RecordError| {
            format!("a record of the journal can't be read: {error}")
        })?;
        for part in records.chunks(APPLY_RECORDS_MAX) {
            store.apply(stream, part).map_err(|error| error.to_string())?;
            count += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
    }
    Ok(count)
}
