//! Opens what a node remembers: the directory's lock, the database, the journal where it ended.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::ownership::{self, database::CheckTime};
use super::preflight::sql::{self as sql_preflight, SqlPreflight};
use super::unmerged;
use nudged_background::follower::log_weaknesses;
use nudged_base::ids::Sequence;
use nudged_base::limits::{SEGMENT_BYTES, UNAPPLIED_BYTES_MAX};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::WallMs;
use nudged_config::{AckMode, Config};
use nudged_journal::appender::{AckLevel, AppenderConfig};
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::Tail;
use nudged_journal::recovery::{self, Damage, RecoverError, RecoverOptions, Recovered};
use nudged_journal::segment::SetId;
use nudged_runtime::clocks;
use nudged_runtime::journal::directory::{
    DirectoryError, DirectoryReader, JournalDirectory, free_bytes,
};
use nudged_runtime::threads::log_writer;
use nudged_shard::users::unmerged::RecoveredUnmerged;
use nudged_store::{FailureKind, Store, StoreError, StreamId};

/// Segments of the journal that a node starts with.
const SEGMENTS_AT_START: u64 = 2;

/// Bytes that SQLite takes beside a database to open and change it: its index, and a log that is
/// folded in at `SQL_WAL_PAGES`.
const OPEN_BYTES: u64 = 1 << 20;

/// Everything that was opened.
pub(super) struct Storage {
    /// The journal's directory, locked.
    pub(super) directory: Arc<JournalDirectory>,
    /// The writer's connection.
    pub(super) store: Store,
    /// What SQL answered; where it is not usable, nothing more is to be asked of it before the node
    /// serves.
    pub(super) sql: SqlPreflight,
    /// The stream of this journal in SQL; `None` where SQL can't be asked yet.
    pub(super) stream: Option<StreamId>,
    /// The set of the journal's segments.
    pub(super) set: SetId,
    /// The last record that SQL has applied, as far as is known.
    pub(super) applied: Sequence,
    /// Stretches, first and last, that are gone on without.
    pub(super) skipped: Vec<(Sequence, Sequence)>,
    /// Where the journal goes on.
    pub(super) recovered: Recovered,
    /// The first record that SQL has not applied.
    pub(super) tail: Tail,
    /// What is to be merged into Redis, where the node has one.
    pub(super) unmerged: RecoveredUnmerged,
}

/// How the journal writes.
pub(super) fn appender_config(config: &Config) -> AppenderConfig {
    AppenderConfig {
        ack: match config.ack {
            AckMode::Written => AckLevel::Written,
            AckMode::Synced => AckLevel::Synced,
        },
        budget_bytes: config.journal.bytes_max,
        retention: config.journal.retention,
        unapplied_bytes_max: unapplied_bytes_max(config),
        ..AppenderConfig::default()
    }
}

/// How far SQL may lag behind. A file of this node's own does not stay away, a server may for
/// hours: then the journal's budget is the bound, less the segment that is written and the next.
fn unapplied_bytes_max(config: &Config) -> u64 {
    match config.mysql.url {
        Some(_) => config.journal.bytes_max.saturating_sub(2 * SEGMENT_BYTES),
        None => UNAPPLIED_BYTES_MAX,
    }
}

/// Locks the data directory, looks for SQL and recovers the journal. With `salvage` damage in the
/// middle of the journal is copied aside and passed over, and said. `file` is the configuration's,
/// for messages. `sql` is what a look at SQL has found already.
///
/// # Errors
/// Where another process has the directory, or one of the two is damaged: exit code 4.
pub(super) fn open(
    config: &Config,
    (file, salvage): (Option<&Path>, bool),
    sql: Option<SqlPreflight>,
    log: &Log,
) -> Result<Storage, Failure> {
    let data = &config.data;
    let path = config.data.join("journal");
    let directory = JournalDirectory::open(&path).map_err(|error| match error {
        DirectoryError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
            no_room(&path, SEGMENTS_AT_START * SEGMENT_BYTES)
        }
        error => Failure::directory(data)(error),
    })?;
    let disk = directory.reader();
    ownership::check(config, file, &disk, salvage)?;
    // Before the database is opened, which would only say that a disk is full.
    let there = disk.segments().map_err(Failure::directory(data))?.len();
    check_room(&path, there)?;
    let sql = match sql {
        Some(sql) => sql,
        None => sql_preflight::check(config, log)?,
    };
    let mut store =
        Store::of(config).map_err(|error| without_room(free_of(&config.data), error))?;
    for dropped in store.take_dropped() {
        log_writer::tell(log, Message::OverrideDropped, &dropped.to_string());
    }
    let found = recovery::set_of(&disk).map_err(Failure::directory(data))?;
    let mut fresh = [0; 16];
    getrandom::fill(&mut fresh).map_err(Failure::directory(data))?;
    let fresh_set = SetId(u128::from_le_bytes(fresh));
    let set = found.unwrap_or(fresh_set);
    let (claimed, sql) = claim_where_possible(&mut store, (config, &disk, set), sql, log)?;
    let applied = match &claimed {
        Some(claimed) => claimed.applied,
        // The writer asks again. Until then records that SQL may have count as open, which is safe.
        None => recovery::retired(&disk).map_err(Failure::directory(data))?,
    };
    let options = RecoverOptions { applied, fresh_set, skip_damaged: salvage };
    let recovered = recovery::recover(&disk, options);
    let mut recovered =
        recovered.map_err(|error| Failure::directory(data)(with_salvage(&error)))?;
    let start = &recovered.start;
    check_room(&path, usize::from(start.active.is_some()) + usize::from(start.reserve.is_some()))?;
    // After a loss of power SQL may have what the journal lost: time goes on behind that too.
    if let Some(newest) = claimed.as_ref().and_then(|claimed| claimed.newest) {
        recovered.start.newest = recovered.start.newest.max(newest);
    }
    log_recovery(&recovered, log);
    let skipped =
        copy_lost_aside(&directory, &recovered.report.lost).map_err(Failure::directory(data))?;
    let next = Sequence(applied.0 + 1);
    let set = recovered.start.set;
    let tail = Tail::seek(&disk, set, next, skipped.clone()).map_err(Failure::directory(data))?;
    let unmerged = match config.redis.url {
        Some(_) => {
            let end = Sequence(recovered.start.next.0 - 1);
            Tail::seek(&disk, set, next, skipped.clone())
                .and_then(|tail| unmerged::collect(&disk, tail, end))
                .map_err(Failure::directory(data))?
        }
        None => RecoveredUnmerged::new(),
    };
    Ok(Storage {
        directory: Arc::new(directory),
        store,
        sql,
        stream: claimed.map(|claimed| claimed.stream),
        set,
        applied,
        skipped,
        recovered,
        tail,
        unmerged,
    })
}

/// What mends damage in the middle of a journal, behind what it is.
fn with_salvage(error: &RecoverError) -> String {
    let hint = match error {
        RecoverError::Damaged(_) => {
            "; `nudged serve --salvage` copies the damaged files aside and continues without \
             exactly these records"
        }
        _ => "",
    };
    format!("{error}{hint}")
}

/// Claims the journal's stream where SQL can be asked, once it is known to be the one that has the
/// directory's users; `None` where the writer has to ask again. What SQL answered.
///
/// # Errors
/// Where it is another database's directory, and what an operator has to mend first.
fn claim_where_possible(
    store: &mut Store,
    (config, disk, set): (&Config, &impl DiskRead, SetId),
    sql: SqlPreflight,
    log: &Log,
) -> Result<(Option<ClaimedStream>, SqlPreflight), Failure> {
    let is_there = sql == SqlPreflight::Usable;
    if let Some(shared) = store.shared() {
        let time = if is_there { CheckTime::AtStart } else { CheckTime::Unreachable };
        ownership::database::check(config, disk, (shared, time))?;
    }
    let (claimed, sql) = match is_there.then(|| claim(store, set, log)).transpose() {
        Ok(claimed) => (claimed, sql),
        Err(error) if error.is_refusal() => (None, SqlPreflight::Denied),
        // A full disk of this node's own holds no start up where the journal has its segments.
        Err(error) if error.may_pass() || error.kind() == FailureKind::DiskFull => {
            log_writer::tell(log, Message::SqlFailed, &error.to_string());
            (None, SqlPreflight::Unreachable)
        }
        Err(error) => return Err(error.into()),
    };
    match (&claimed, store.shared()) {
        (Some(_), Some(shared)) => ownership::database::note(config, shared),
        (None, Some(shared)) if ownership::database::is_doubtful(config, disk)? => {
            shared.ask_alone();
        }
        _ => {}
    }
    Ok((claimed, sql))
}

/// Two segments are there, or fit: the one in use and the one in reserve. With fewer a node would
/// soon take nothing.
fn check_room(path: &Path, there: usize) -> Result<(), Failure> {
    let missing = SEGMENTS_AT_START.saturating_sub(u64::try_from(there).unwrap_or(u64::MAX));
    let needed = missing * SEGMENT_BYTES;
    match free_of(path) {
        Some(free) if free < needed => Err(no_room(path, needed)),
        // A file system that does not say is found out by the first segment.
        _ => Ok(()),
    }
}

/// Whether a node could start on what a data directory has and its disk has left. Neither need be
/// there.
///
/// # Errors
/// [`Failure::NoRoom`].
pub(super) fn check_room_of(data: &Path) -> Result<(), Failure> {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    check_room(&data.join("journal"), segments_of(&data))
}

/// Segments of the journal of a data directory, which need not be there.
pub(super) fn segments_of(data: &Path) -> usize {
    DirectoryReader::new(&data.join("journal")).segments().map_or(0, |segments| segments.len())
}

fn no_room(path: &Path, needed: u64) -> Failure {
    Failure::NoRoom { path: path.to_path_buf(), needed, free: free_of(path).unwrap_or(0) }
}

/// An embedded database that could not be opened, with the disk named where that is why.
fn without_room(free: Option<u64>, error: StoreError) -> Failure {
    match free {
        Some(free) if error.is_unavailable() && free < OPEN_BYTES => {
            Failure::NoRoomToOpen { needed: OPEN_BYTES, free, source: error }
        }
        _ => error.into(),
    }
}

/// The directory may not be there yet: then it is the disk of the one above it.
fn free_of(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|there| free_bytes(there).ok())
}

/// What SQL knows of this journal.
struct ClaimedStream {
    stream: StreamId,
    applied: Sequence,
    newest: Option<WallMs>,
}

/// Claims the journal's stream, and says what of SQL's settings weakens a promise.
fn claim(store: &mut Store, set: SetId, log: &Log) -> Result<ClaimedStream, StoreError> {
    log_weaknesses(log, clocks::now(), &store.check()?);
    let stream = store.stream_id(set.0.to_le_bytes())?;
    Ok(ClaimedStream { stream, applied: store.position(stream)?, newest: store.newest(stream)? })
}

/// Copies damaged segments aside; gives the stretches that the tail passes over.
fn copy_lost_aside(
    directory: &JournalDirectory,
    lost: &[Damage],
) -> std::io::Result<Vec<(Sequence, Sequence)>> {
    let mut skipped = Vec::new();
    for damage in lost {
        directory.copy_aside(damage.segment)?;
        let Some(last) = damage.last else { continue };
        skipped.push((damage.first, last));
    }
    Ok(skipped)
}

fn log_recovery(recovered: &Recovered, log: &Log) {
    let report = &recovered.report;
    let unapplied = LogValue::Number(report.unapplied);
    let next = LogValue::Number(recovered.start.next.0);
    let fields = [("next_sequence", next), ("unapplied", unapplied)];
    log.write(clocks::now(), Message::JournalRecovered, &fields);
    if report.bytes_cut > 0 {
        let fields = [("bytes", LogValue::Number(report.bytes_cut))];
        log.write(clocks::now(), Message::JournalTorn, &fields);
    }
    for damage in &report.lost {
        let text = damage.to_string();
        log.write(clocks::now(), Message::JournalDamaged, &[("lost", LogValue::Text(&text))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_a_full_disk_keeps_shut_names_the_bytes() {
        let error = || StoreError::File {
            action: "open or create it",
            path: "/data/nudged.db".into(),
            source: std::io::Error::from_raw_os_error(libc::ENOSPC),
        };
        let failure = without_room(Some(4_096), error());
        let said = failure.to_string();
        for part in ["/data/nudged.db", "1048576 bytes", "4096 are free", "make room"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(failure.exit_code(), 4);
        let roomy = without_room(Some(OPEN_BYTES), error()).to_string();
        assert!(!roomy.contains("make room"), "{roomy}");
    }
}
