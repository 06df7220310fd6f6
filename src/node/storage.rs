//! Opens what a node remembers: the directory's lock, the database, the journal where it ended.

use std::sync::Arc;

use super::failure::Failure;
use crate::base::ids::Sequence;
use crate::config::{Ack, Config};
use crate::journal::appender::{AckLevel, AppenderConfig};
use crate::journal::reader::Tail;
use crate::journal::recovery::{self, Damage, RecoverOptions, Recovered};
use crate::journal::segment::SetId;
use crate::runtime::files::JournalDirectory;
use crate::runtime::log_thread::stamp_now;
use crate::store::{Store, StreamId};
use crate::telemetry::log::{Log, Message, Value};

/// Everything that was opened.
pub struct Storage {
    /// The journal's directory, locked.
    pub directory: Arc<JournalDirectory>,
    /// The writer's connection.
    pub store: Store,
    /// The stream of this journal in SQL.
    pub stream: StreamId,
    /// Where the journal goes on.
    pub recovered: Recovered,
    /// The first record that SQL has not applied.
    pub tail: Tail,
}

/// How the journal writes.
pub fn appender_config(config: &Config) -> AppenderConfig {
    AppenderConfig {
        ack: match config.ack {
            Ack::Written => AckLevel::Written,
            Ack::Synced => AckLevel::Synced,
        },
        budget_bytes: config.journal.bytes_max,
        retention: config.journal.retention,
        ..AppenderConfig::default()
    }
}

/// Locks the data directory, opens the database and recovers the journal. With `salvage` damage in
/// the middle of the journal is copied aside and passed over, and said.
///
/// # Errors
/// Where another process has the directory, or one of the two is damaged: exit code 4.
pub fn open(config: &Config, salvage: bool, log: &Log) -> Result<Storage, Failure> {
    let unusable = |what: String| Failure::Directory { path: config.data.clone(), what };
    let path = config.data.join("journal");
    let directory = JournalDirectory::open(&path).map_err(|error| unusable(error.to_string()))?;
    let mut store = Store::open(&config.data)?;
    let disk = directory.reader();
    let found = recovery::set_of(&disk).map_err(|error| unusable(error.to_string()))?;
    let mut fresh = [0; 16];
    getrandom::fill(&mut fresh).map_err(|error| unusable(error.to_string()))?;
    let fresh_set = SetId(u128::from_le_bytes(fresh));
    let stream = store.stream_id(found.unwrap_or(fresh_set).0.to_le_bytes())?;
    let applied = store.position(stream)?;
    let options = RecoverOptions { applied, fresh_set, skip_damaged: salvage };
    let mut recovered = recovery::recover(&disk, options).map_err(|error| {
        let hint = match error {
            recovery::RecoverError::Damaged(_) => {
                "; `nudged serve --salvage` copies the damaged files aside and goes on without \
                 exactly these records"
            }
            _ => "",
        };
        unusable(format!("{error}{hint}"))
    })?;
    // After a loss of power SQL may have what the journal lost: time goes on behind that too.
    if let Some(newest) = store.newest(stream)? {
        recovered.start.newest = recovered.start.newest.max(newest);
    }
    tell(&recovered, log);
    let skipped = copy_lost_aside(&directory, &recovered.report.lost)
        .map_err(|error| unusable(error.to_string()))?;
    let next = Sequence(applied.0 + 1);
    let tail = Tail::seek(&disk, recovered.start.set, next, skipped)
        .map_err(|error| unusable(error.to_string()))?;
    Ok(Storage { directory: Arc::new(directory), store, stream, recovered, tail })
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

fn tell(recovered: &Recovered, log: &Log) {
    let report = &recovered.report;
    let unapplied = Value::Number(report.unapplied);
    let next = Value::Number(recovered.start.next.0);
    let fields = [("next_sequence", next), ("unapplied", unapplied)];
    log.write(stamp_now(), Message::JournalRecovered, &fields);
    if report.bytes_cut > 0 {
        let fields = [("bytes", Value::Number(report.bytes_cut))];
        log.write(stamp_now(), Message::JournalTorn, &fields);
    }
    for damage in &report.lost {
        let text = damage.to_string();
        log.write(stamp_now(), Message::JournalDamaged, &[("lost", Value::Text(&text))]);
    }
}
