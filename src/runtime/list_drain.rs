//! A thread that brings lists of Redis to SQL, with `queue = "redis"`: reads the heads of the lists
//! that are its lane's, applies many lists in one transaction with their positions, then drops what
//! SQL has. Must not know who shares the lists out.
//!
//! Lanes go on beside each other, each with its own connections: lists are streams of their own,
//! no two of them have a user in common, and a commit's wait for the disk is one for all. Measured
//! on 2 busy cores: 2 lanes drained 1.5 to 2.3 times what 1 did, 4 lanes 2.0 to 3.6 times.
//!
//! ```text
//! LRANGE heads -> runs -> claim new streams -> transaction -> trim -> LRANGE ...
//!   killed before the trim: the entries are read again, and skipped by their positions
//!   another node has claimed a stream: this one is fenced there and gives the list up for a while
//! ```
//!
//! Limits: `LIST_READ_ENTRIES` entries of a list and `LIST_READ_BYTES_MAX` bytes in all at once;
//! `[mysql] batch` records a transaction, for which lists are gathered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::drain_figures::DrainFigures;
use super::list_share::{ListShare, Pass};
use super::redis_client::BlockingRedis;
use super::sql_fitness::Asker;
use super::sql_writer::WriterFigures;
use super::vital::Needed;
use super::wake::Sleeper;
use super::{clocks, log_thread, topology};
use crate::base::ids::{Partition, Sequence};
use crate::base::limits::{
    LIST_BUSY_MS, LIST_GIVEN_UP_MS, LIST_IDLE_MS, LIST_READ_BYTES_MAX, LIST_READ_ENTRIES,
    RECORD_BYTES_MAX,
};
use crate::base::time::{MonoNs, WallMs};
use crate::keeper::lists::{HEAD_BYTES, ListStream, Reading, head};
use crate::keeper::scripts;
use crate::redis::ask::{Answer, AskError};
use crate::redis::refusal::Refusal;
use crate::redis::scripts::hash_of;
use crate::store::{Run, Store, StoreError, StreamId};
use crate::telemetry::log::{Log, Message};

/// Entries that are in memory at once: as many full ones fit into its bound.
const LIST_READ_MAX: usize = LIST_READ_BYTES_MAX / (RECORD_BYTES_MAX + HEAD_BYTES + 2);
/// First rest after a failure, in milliseconds; doubles up to the longest.
const REST_MS: u64 = 100;
/// Longest rest after a failure, in milliseconds.
const REST_MAX_MS: u64 = 5_000;

/// What the thread is made of.
pub struct DrainSetup {
    /// A connection of its own.
    pub redis: BlockingRedis,
    /// Where it is said how SQL answers.
    pub writer: Arc<WriterFigures>,
    /// A store of its own, for MySQL.
    pub store: Store,
    /// Which lists, and where it counts.
    pub share: Arc<ListShare>,
    /// Which of the share's lanes this is.
    pub lane: usize,
    /// Ends the thread, once woken.
    pub stop: Arc<AtomicBool>,
    /// Wakes the thread.
    pub sleeper: Arc<Sleeper>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where failures are told.
    pub log: Log,
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(setup: DrainSetup) -> std::io::Result<JoinHandle<()>> {
    let name = format!("list-drain-{}", setup.lane);
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        // Unpinned is slower and not wrong.
        let _is_pinned = setup.cpu.is_none_or(topology::pin);
        let needed = Needed::here(&name);
        let mut drain = Drain::new(setup);
        drain.run();
        needed.leave(drain.setup.stop.load(Ordering::Acquire));
    })
}

#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Redis(#[from] AskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("Redis sent an unexpected reply to {0}")]
    Answer(&'static str),
}

impl DrainError {
    /// Whether the keeper names what Redis refuses, and what mends it, in one line for all.
    fn is_told_by_keeper(&self) -> bool {
        matches!(self, DrainError::Redis(AskError::Refused { kind, .. }) if kind.mend().is_some())
    }

    fn message(&self) -> Message {
        match self {
            DrainError::Redis(_) | DrainError::Answer(_) => Message::ListFailed,
            DrainError::Store(_) => Message::ListSqlFailed,
        }
    }
}

/// Drains lists, by hand in tests.
pub struct Drain {
    setup: DrainSetup,
    /// Streams that this process has claimed.
    claims: BTreeMap<ListStream, StreamId>,
    /// Lists that another node has claimed, and until when they are left alone.
    given_up: BTreeMap<Partition, MonoNs>,
    rest_ms: u64,
}

impl Drain {
    /// Nothing is claimed yet.
    pub fn new(setup: DrainSetup) -> Drain {
        Drain { setup, claims: BTreeMap::new(), given_up: BTreeMap::new(), rest_ms: REST_MS }
    }

    fn run(&mut self) {
        loop {
            let is_stopping = self.setup.stop.load(Ordering::Acquire);
            let rest_ms = match self.pass() {
                Ok(0) if is_stopping => return,
                Ok(0) => LIST_IDLE_MS,
                // A pass that was full leaves more behind.
                Ok(count) if count >= self.setup.store.records_max() => 0,
                Ok(_) => LIST_BUSY_MS,
                Err(_) if is_stopping => return,
                Err(_) => self.rest_after_failure(),
            };
            let is_stopping = || self.setup.stop.load(Ordering::Acquire);
            self.setup.sleeper.sleep_for_unless(Duration::from_millis(rest_ms), is_stopping);
        }
    }

    fn figures(&self) -> &DrainFigures {
        &self.setup.share.figures[self.setup.lane]
    }

    /// How long to wait after a failure, in milliseconds: as long as Redis is left alone where it
    /// failed, else longer each time.
    fn rest_after_failure(&mut self) -> u64 {
        if let Some(left) = self.setup.redis.rest_left() {
            return u64::try_from(left.as_millis()).unwrap_or(REST_MAX_MS) + 1;
        }
        let rest_ms = self.rest_ms;
        self.rest_ms = (rest_ms * 2).min(REST_MAX_MS);
        rest_ms + clocks::mono().0 / 1_000 % (rest_ms / 2)
    }

    /// Reads all lists of the lane once, applies what is in them and drops it there; gives how
    /// many entries were read.
    ///
    /// # Errors
    /// What went wrong, for people; the log has it. Calling again is always safe.
    pub fn pass(&mut self) -> Result<usize, String> {
        let mut pass = self.setup.share.begin(self.setup.lane);
        match self.try_pass(&mut pass) {
            Ok((count, is_whole)) => {
                self.rest_ms = REST_MS;
                log_thread::tell(&self.setup.log, Message::ListResumed, "");
                if is_whole {
                    self.setup.share.end(self.setup.lane, &pass);
                }
                Ok(count)
            }
            Err(error) => {
                self.figures().failures.fetch_add(1, Ordering::Relaxed);
                let denials = self.setup.redis.refused(Refusal::Denied);
                self.figures().denials.store(denials, Ordering::Relaxed);
                let text = error.to_string();
                if let DrainError::Store(error) = &error {
                    let asker = Asker::Lists(self.setup.lane);
                    self.setup.writer.fitness.failed(clocks::mono(), asker, error);
                }
                if !error.is_told_by_keeper() {
                    log_thread::tell(&self.setup.log, error.message(), &text);
                }
                Err(text)
            }
        }
    }

    /// How many entries were read, and whether they were all that there were.
    fn try_pass(&mut self, pass: &mut Pass) -> Result<(usize, bool), DrainError> {
        let now = clocks::mono();
        self.given_up.retain(|_, until| *until > now);
        let partitions = &mut pass.partitions;
        // Another process may have claimed what was given away, and it may come back.
        self.claims.retain(|(_, partition), _| partitions.contains(partition));
        partitions.retain(|partition| !self.given_up.contains_key(partition));
        let lengths = self.lengths(partitions)?;
        let waiting: u64 = lengths.iter().map(|(_, length)| *length as u64).sum();
        self.figures().see(clocks::mono(), waiting);
        let most = self.setup.store.records_max().min(LIST_READ_MAX);
        let (mut count, mut oldest) = (0, None);
        let mut rest = lengths.as_slice();
        while !rest.is_empty() {
            // As many lists as fill one transaction.
            let mut entries = 0;
            let lists = rest.iter().take_while(|(_, length)| {
                let is_taken = entries < most;
                entries += length;
                is_taken
            });
            let (lists, later) = rest.split_at(lists.count());
            rest = later;
            let mut reading = self.read(lists, most)?;
            count += reading.count();
            oldest = self.apply(&mut reading, most)?.into_iter().chain(oldest).min();
        }
        let lag_ms = oldest.map_or(0, |oldest: WallMs| clocks::wall().since(oldest).0);
        self.figures().end(lag_ms);
        let is_whole = count as u64 >= waiting && self.given_up.is_empty();
        Ok((count, is_whole))
    }

    /// The lists in which there is something, with how many entries of them are read at once.
    fn lengths(&mut self, partitions: &[Partition]) -> Result<Vec<(Partition, usize)>, DrainError> {
        let keys: Vec<String> = partitions.iter().map(|at| scripts::list_key(*at)).collect();
        let words: Vec<[&[u8]; 2]> =
            keys.iter().map(|key| [b"LLEN".as_slice(), key.as_bytes()]).collect();
        let commands: Vec<&[&[u8]]> = words.iter().map(<[_; 2]>::as_slice).collect();
        let answers = self.setup.redis.pipeline(&commands)?;
        let mut lengths = Vec::new();
        for (partition, answer) in partitions.iter().zip(answers) {
            let Answer::Int(length) = answer else { return Err(DrainError::Answer("LLEN")) };
            match usize::try_from(length).unwrap_or(0) {
                0 => {}
                length => lengths.push((*partition, length)),
            }
        }
        Ok(lengths)
    }

    /// The heads of lists, up to `most` entries in all.
    fn read(&mut self, lists: &[(Partition, usize)], most: usize) -> Result<Reading, DrainError> {
        let mut left = most;
        let spans: Vec<(String, String)> = lists
            .iter()
            .map(|(partition, length)| {
                let count = (*length).min(LIST_READ_ENTRIES).min(left).max(1);
                left = left.saturating_sub(count);
                (scripts::list_key(*partition), (count - 1).to_string())
            })
            .collect();
        let words: Vec<[&[u8]; 4]> = spans
            .iter()
            .map(|(key, last)| [b"LRANGE".as_slice(), key.as_bytes(), b"0", last.as_bytes()])
            .collect();
        let commands: Vec<&[&[u8]]> = words.iter().map(<[_; 4]>::as_slice).collect();
        let answers = self.setup.redis.pipeline(&commands)?;
        let mut reading = Reading::default();
        for ((partition, _), answer) in lists.iter().zip(answers) {
            let Answer::List(entries) = answer else { return Err(DrainError::Answer("LRANGE")) };
            let bytes = |entry| match entry {
                Answer::Text(bytes) => Some(bytes),
                _ => None,
            };
            reading.push(*partition, entries.into_iter().filter_map(bytes).collect());
        }
        Ok(reading)
    }

    /// Applies what was read, up to `most` records in one transaction, and drops it; gives the time
    /// of the oldest record.
    fn apply(&mut self, reading: &mut Reading, most: usize) -> Result<Option<WallMs>, DrainError> {
        loop {
            let (runs, bad) = reading.runs(most);
            for entry in &bad {
                log_thread::tell(&self.setup.log, Message::ListEntryUnread, &entry.to_string());
            }
            if runs.is_empty() {
                return Ok(None);
            }
            let oldest = runs.values().flatten().map(|(_, record)| record.at()).min();
            self.figures().begin(oldest.unwrap_or_default());
            let streams: Vec<ListStream> = runs.keys().copied().collect();
            self.claim(&streams)?;
            let numbered: Vec<Run<'_>> = runs
                .iter()
                .map(|(stream, records)| Run {
                    stream: self.claims[stream],
                    is_dense: false,
                    records,
                })
                .collect();
            match self.setup.store.apply_runs(&numbered) {
                Ok(applied) => {
                    let asker = Asker::Lists(self.setup.lane);
                    self.setup.writer.fitness.succeeded(clocks::mono(), asker);
                    let figures = self.figures();
                    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
                    figures.transactions.fetch_add(1, Ordering::Relaxed);
                    figures.records.fetch_add(count(applied.records), Ordering::Relaxed);
                    figures.duplicates.fetch_add(count(applied.duplicates), Ordering::Relaxed);
                }
                Err(StoreError::Fenced { stream, .. }) => {
                    let partition = self.give_up(StreamId(stream));
                    reading.remove(partition);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let ends: Vec<(ListStream, Sequence)> = runs
                .iter()
                .filter_map(|(stream, run)| run.last().map(|(sequence, _)| (*stream, *sequence)))
                .collect();
            self.trim(&ends)?;
            return Ok(oldest);
        }
    }

    fn claim(&mut self, streams: &[ListStream]) -> Result<(), DrainError> {
        let new: Vec<ListStream> =
            streams.iter().copied().filter(|stream| !self.claims.contains_key(stream)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let store = self.setup.store.shared();
        let numbers = store.map_or(Ok(Vec::new()), |store| store.streams_of_lists(&new))?;
        self.claims.extend(new.into_iter().zip(numbers));
        Ok(())
    }

    /// Another node has claimed a stream: its list is that node's, until the shares say otherwise
    /// again after a while.
    fn give_up(&mut self, fenced: StreamId) -> Partition {
        let of =
            |(stream, number): (&ListStream, &StreamId)| (*number == fenced).then_some(stream.1);
        let partition = self.claims.iter().find_map(of).expect("a fenced stream was claimed");
        self.claims.retain(|(_, claimed), _| *claimed != partition);
        self.given_up.insert(partition, clocks::mono().plus_ms(LIST_GIVEN_UP_MS));
        self.figures().given_up.fetch_add(1, Ordering::Relaxed);
        let text = format!("partition {}", partition.0);
        log_thread::tell(&self.setup.log, Message::ListGivenUp, &text);
        partition
    }

    /// Drops what SQL has from the heads of lists.
    fn trim(&mut self, ends: &[(ListStream, Sequence)]) -> Result<(), DrainError> {
        let hash = hash_of(scripts::TRIM);
        let most = LIST_READ_ENTRIES.to_string();
        let calls: Vec<(String, [u8; HEAD_BYTES])> = ends
            .iter()
            .map(|((epoch, partition), sequence)| {
                (scripts::list_key(*partition), head(*epoch, *sequence))
            })
            .collect();
        let words: Vec<[&[u8]; 6]> = calls
            .iter()
            .map(|(key, head)| {
                [b"EVALSHA".as_slice(), &hash, b"1", key.as_bytes(), head, most.as_bytes()]
            })
            .collect();
        let load: [&[u8]; 3] = [b"SCRIPT", b"LOAD", scripts::TRIM.as_bytes()];
        let mut commands: Vec<&[&[u8]]> = vec![&load];
        commands.extend(words.iter().map(<[_; 6]>::as_slice));
        for answer in self.setup.redis.pipeline(&commands)? {
            match answer {
                Answer::Int(count) => {
                    let count = u64::try_from(count).unwrap_or(0);
                    self.figures().trimmed.fetch_add(count, Ordering::Relaxed);
                }
                // Read again and again, what SQL has would hide what comes behind it.
                Answer::Error(_) => return Err(DrainError::Answer("TRIM")),
                _ => {}
            }
        }
        Ok(())
    }
}
