//! The journal of a node that does not run, read once from end to end.

use nudged_base::ids::Sequence;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::Tail;
use nudged_journal::record::{Record, RecordError};
use nudged_journal::recovery::{self, Damage, RecoverError, RecoverOptions};
use nudged_journal::segment::SetId;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_store::{Applied, Store, StreamId};

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
    let Some(rest) = rest(store, &disk)? else { return Ok(0) };
    if !rest.lost.is_empty() {
        let error = RecoverError::Damaged(rest.lost);
        return Err(format!(
            "{error}; `nudged serve --salvage` with this directory continues without what is lost"
        ));
    }
    let applied = apply_rest(store, &disk, &rest, rest.end)?;
    let count = applied.records + applied.duplicates + applied.rejected;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// What of a journal SQL has not applied.
#[derive(Debug)]
pub(super) struct JournalRest {
    /// The journal's identity.
    pub(super) set: SetId,
    /// What SQL calls it; this process has claimed it.
    pub(super) stream: StreamId,
    /// Everything up to here is in SQL.
    pub(super) applied: Sequence,
    /// The last record.
    pub(super) end: Sequence,
    /// Records in between that are lost.
    pub(super) lost: Vec<Damage>,
    /// Bytes at the end that are no whole batch.
    pub(super) bytes_cut: u64,
}

impl JournalRest {
    /// What is lost, as far as its end is known. Allocates.
    pub(super) fn skipped(&self) -> Vec<(Sequence, Sequence)> {
        self.lost.iter().filter_map(|damage| Some((damage.first, damage.last?))).collect()
    }
}

/// Claims a journal's stream and looks what of it is not applied; `None` where it was never used.
///
/// # Errors
/// What is wrong with either, but for damage.
pub(super) fn rest(store: &mut Store, disk: &impl DiskRead) -> Result<Option<JournalRest>, String> {
    let set = recovery::set_of(disk).map_err(|error| error.to_string())?;
    let Some(set) = set else { return Ok(None) };
    let stream = store.stream_id(set.0.to_le_bytes()).map_err(|error| error.to_string())?;
    let applied = store.position(stream).map_err(|error| error.to_string())?;
    let options = RecoverOptions { applied, fresh_set: set, skip_damaged: true };
    let recovered = recovery::recover(disk, options).map_err(|error| error.to_string())?;
    let end = Sequence(recovered.start.next.0.saturating_sub(1));
    let (lost, bytes_cut) = (recovered.report.lost, recovered.report.bytes_cut);
    Ok(Some(JournalRest { set, stream, applied, end, lost, bytes_cut }))
}

/// Applies what is left up to a record, without what is lost.
///
/// # Errors
/// What is wrong with either; what was applied until then stays.
pub(super) fn apply_rest(
    store: &mut Store,
    disk: &impl DiskRead,
    rest: &JournalRest,
    through: Sequence,
) -> Result<Applied, String> {
    let tail = Tail::seek(disk, rest.set, Sequence(rest.applied.0 + 1), rest.skipped());
    let mut tail = tail.map_err(|error| error.to_string())?;
    let (mut total, mut next) = (Applied::default(), Sequence(rest.applied.0 + 1));
    while let Some(batch) = tail.next(disk, through).map_err(|error| error.to_string())? {
        let records: Result<Vec<(Sequence, Record<'_>)>, _> =
            batch.map(|(sequence, record)| Ok((sequence, record?))).collect();
        let records = records.map_err(|error: RecordError| {
            format!("a record of the journal can't be read: {error}")
        })?;
        let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) else {
            continue;
        };
        if *first > next {
            let lost = store.skip_lost(rest.stream, Sequence(first.0 - 1));
            lost.map_err(|error| error.to_string())?;
        }
        next = Sequence(last.0 + 1);
        for part in records.chunks(APPLY_RECORDS_MAX) {
            total.add(store.apply(rest.stream, part).map_err(|error| error.to_string())?);
        }
    }
    Ok(total)
}
