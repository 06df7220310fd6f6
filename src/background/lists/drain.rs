//! Bringing lists of Redis to SQL, with `queue = "redis"`, as a machine: reads the heads of the
//! lists that are its lane's, has many lists applied in one transaction with their positions, then
//! drops what SQL has. Must not know connections, nor who shares the lists out.
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
use std::sync::atomic::Ordering;

use super::assignment::{ListAssignment, Pass};
use super::entries::{HEAD_BYTES, ListHeads, ListRuns, ListStream, NumberedRuns, head};
use super::metrics::DrainMetrics;
use super::{TRIM, list_key};
use crate::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::backoff::{Backoff, lengthened};
use nudged_base::clock::Now;
use nudged_base::ids::{Partition, Sequence, StreamId};
use nudged_base::limits::{
    LIST_BUSY_MS, LIST_GIVEN_UP_MS, LIST_IDLE_MS, LIST_READ_BYTES_MAX, LIST_READ_ENTRIES,
    RECORD_BYTES_MAX,
};
use nudged_base::telemetry::log::{Log, Message};
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::request::{OwnedReply, RedisError, RedisRequest, call, command, load};

/// Entries that are in memory at once: as many full ones fit into its bound.
const LIST_READ_MAX: usize = LIST_READ_BYTES_MAX / (RECORD_BYTES_MAX + HEAD_BYTES + 2);
/// First rest after a failure, in milliseconds; doubles up to the longest.
const REST_MS: u64 = 100;
/// Longest rest after a failure, in milliseconds.
const REST_MAX_MS: u64 = 5_000;

/// How it is around the machine when it steps.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Both clocks.
    pub now: Now,
    /// It ends where nothing is left.
    pub is_stopping: bool,
    /// For how long Redis is left alone from now on, in milliseconds.
    pub redis_rest_ms: Option<u64>,
    /// Refusals of Redis for want of a right.
    pub denials: u64,
    /// Records of one transaction.
    pub records_max: usize,
}

/// What the machine wants done, one thing at a time.
#[derive(Debug)]
pub enum Effect {
    /// A question to Redis; [`Input::Answered`].
    Ask(RedisRequest),
    /// The streams of these lists, made where they are new, and claimed; [`Input::Claimed`].
    Claim(Vec<ListStream>),
    /// [`Drain::batch`] in one transaction with its positions; [`Input::Applied`].
    Apply,
    /// A pass is over: the next one begins after so many milliseconds, or when it is to end.
    Rest(u64),
    /// Nothing more.
    End,
}

/// What came of an effect.
#[derive(Debug)]
pub enum Input {
    /// It is time.
    Go,
    /// Redis has answered, or not.
    Answered(Result<Vec<OwnedReply>, RedisError>),
    /// The numbers of the streams.
    Claimed(Result<Vec<StreamId>, SqlFailure>),
    /// Records that took effect, and those that were there already.
    Applied(Result<(usize, usize), SqlFailure>),
}

#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Sql(#[from] SqlFailure),
    #[error("Redis sent an unexpected reply to {0}")]
    Answer(&'static str),
}

impl DrainError {
    /// Whether the keeper names what Redis refuses, and what mends it, in one line for all.
    fn is_logged_by_keeper(&self) -> bool {
        matches!(self, DrainError::Redis(RedisError::Refused { kind, .. }) if kind.remedy().is_some())
    }

    fn message(&self) -> Message {
        match self {
            DrainError::Redis(_) | DrainError::Answer(_) => Message::ListFailed,
            DrainError::Sql(_) => Message::ListSqlFailed,
        }
    }
}

/// What comes next, or why the pass is over.
type Turn = Result<Effect, DrainError>;

/// What is waited for.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The next pass.
    #[default]
    Resting,
    Lengths,
    Heads,
    Claiming(Vec<ListStream>),
    Applying,
    Trimming,
}

/// A pass that is under way.
#[derive(Debug, Default)]
struct Going {
    pass: Pass,
    is_last: bool,
    /// Entries that waited when it began.
    waiting: u64,
    /// Entries that it has read.
    count: usize,
    /// The time of the oldest record that it has brought to SQL.
    oldest: Option<WallMs>,
    /// Lists in which there is something, with how many entries: those that are being read, and
    /// those that come after.
    lists: Vec<(Partition, usize)>,
    later: Vec<(Partition, usize)>,
    reading: ListHeads,
    /// What of `reading` is being applied: the last entry of each stream, and the oldest record.
    ends: Vec<(ListStream, Sequence)>,
    oldest_read: Option<WallMs>,
    /// Records of one transaction.
    most: usize,
}

/// Drains the lists of one lane.
#[derive(Debug)]
pub struct Drain {
    assignment: Arc<ListAssignment>,
    lane: usize,
    log: Log,
    /// Streams that this process has claimed.
    claims: BTreeMap<ListStream, StreamId>,
    /// Lists that another node has claimed, and until when they are left alone.
    given_up: BTreeMap<Partition, MonoNs>,
    backoff: Backoff,
    stage: Stage,
    going: Going,
    last: Result<usize, String>,
}

impl Drain {
    /// Nothing is claimed yet. `lane` is which of the assignment's lanes this is.
    pub fn new(assignment: Arc<ListAssignment>, lane: usize, log: Log) -> Drain {
        Drain {
            assignment,
            lane,
            log,
            claims: BTreeMap::new(),
            given_up: BTreeMap::new(),
            backoff: Backoff::new(REST_MS, REST_MAX_MS),
            stage: Stage::Resting,
            going: Going::default(),
            last: Ok(0),
        }
    }

    /// How many entries the pass that is over has read, or why it failed, for people.
    pub fn last(&self) -> &Result<usize, String> {
        &self.last
    }

    /// The records that are to be applied, by stream. Allocates.
    pub fn batch(&self) -> NumberedRuns<'_> {
        let (runs, _) = self.going.reading.runs(self.going.most);
        runs.into_iter().map(|(stream, records)| (self.claims[&stream], records)).collect()
    }

    /// What is to be done next. After a failure a pass begins anew, which is always safe.
    pub fn step(&mut self, view: &View, input: Input) -> Effect {
        let next = match (std::mem::take(&mut self.stage), input) {
            (_, Input::Answered(Err(error))) => Err(error.into()),
            (Stage::Lengths, Input::Answered(Ok(answers))) => self.take_lengths(view, answers),
            (Stage::Heads, Input::Answered(Ok(answers))) => self.take_heads(view, answers),
            (Stage::Claiming(streams), Input::Claimed(numbers)) => {
                numbers.map_err(DrainError::from).map(|numbers| {
                    self.claims.extend(streams.into_iter().zip(numbers));
                    self.apply()
                })
            }
            (Stage::Applying, Input::Applied(applied)) => self.take_applied(view, applied),
            (Stage::Trimming, Input::Answered(Ok(answers))) => self.take_trimmed(view, answers),
            _ => Ok(self.begin(view)),
        };
        next.unwrap_or_else(|error| self.failed(view, &error))
    }

    fn metrics(&self) -> &DrainMetrics {
        &self.assignment.metrics[self.lane]
    }

    fn ask(&mut self, stage: Stage, commands: Vec<Vec<Vec<u8>>>) -> Effect {
        self.stage = stage;
        Effect::Ask(RedisRequest::Pipeline(commands))
    }

    fn begin(&mut self, view: &View) -> Effect {
        let mut pass = self.assignment.begin(self.lane);
        let partitions = &mut pass.partitions;
        self.given_up.retain(|_, until| *until > view.now.mono);
        // Another process may have claimed what was given away, and it may come back.
        self.claims.retain(|(_, partition), _| partitions.contains(partition));
        partitions.retain(|partition| !self.given_up.contains_key(partition));
        let length = |at: &Partition| command(&[b"LLEN", list_key(*at).as_bytes()]);
        let commands = partitions.iter().map(length).collect();
        let most = view.records_max.min(LIST_READ_MAX);
        self.going = Going { pass, is_last: view.is_stopping, most, ..Going::default() };
        self.ask(Stage::Lengths, commands)
    }

    /// The lists in which there is something, with how many entries of them are read at once.
    fn take_lengths(&mut self, view: &View, answers: Vec<OwnedReply>) -> Turn {
        let mut lengths = Vec::new();
        for (partition, answer) in self.going.pass.partitions.iter().zip(answers) {
            let OwnedReply::Int(length) = answer else { return Err(DrainError::Answer("LLEN")) };
            match usize::try_from(length).unwrap_or(0) {
                0 => {}
                length => lengths.push((*partition, length)),
            }
        }
        self.going.waiting = lengths.iter().map(|(_, length)| *length as u64).sum();
        self.metrics().see(view.now.mono, self.going.waiting);
        self.going.later = lengths;
        Ok(self.read_on(view))
    }

    /// Reads the heads of as many lists as fill one transaction; ends the pass where none is left.
    fn read_on(&mut self, view: &View) -> Effect {
        let most = self.going.most;
        let mut entries = 0;
        let count = self.going.later.iter().take_while(|(_, length)| {
            let is_taken = entries < most;
            entries += length;
            is_taken
        });
        let later = self.going.later.split_off(count.count());
        self.going.lists = std::mem::replace(&mut self.going.later, later);
        if self.going.lists.is_empty() {
            return self.end(view);
        }
        let mut left = most;
        let head = |(partition, length): &(Partition, usize)| {
            let count = (*length).min(LIST_READ_ENTRIES).min(left).max(1);
            left = left.saturating_sub(count);
            let (key, last) = (list_key(*partition), (count - 1).to_string());
            command(&[b"LRANGE", key.as_bytes(), b"0", last.as_bytes()])
        };
        let commands = self.going.lists.iter().map(head).collect();
        self.ask(Stage::Heads, commands)
    }

    fn take_heads(&mut self, view: &View, answers: Vec<OwnedReply>) -> Turn {
        let mut reading = ListHeads::default();
        for ((partition, _), answer) in self.going.lists.iter().zip(answers) {
            let OwnedReply::List(entries) = answer else {
                return Err(DrainError::Answer("LRANGE"));
            };
            let bytes = |entry| match entry {
                OwnedReply::Text(bytes) => Some(bytes),
                _ => None,
            };
            reading.push(*partition, entries.into_iter().filter_map(bytes).collect());
        }
        self.going.count += reading.count();
        self.going.reading = reading;
        Ok(self.claim(view))
    }

    /// Has what was read applied; claims what is not yet. Goes on where there is nothing.
    fn claim(&mut self, view: &View) -> Effect {
        let (runs, bad) = self.going.reading.runs(self.going.most);
        for entry in &bad {
            self.log.write_error(view.now, Message::ListEntryUnread, &entry.to_string());
        }
        if runs.is_empty() {
            return self.read_on(view);
        }
        let oldest = runs.values().flatten().map(|(_, record)| record.at()).min();
        let ends = ends_of(&runs);
        let is_new = |stream: &ListStream| !self.claims.contains_key(stream);
        let new: Vec<ListStream> = runs.keys().copied().filter(is_new).collect();
        (self.going.ends, self.going.oldest_read) = (ends, oldest);
        self.metrics().begin(oldest.unwrap_or_default());
        if new.is_empty() {
            return self.apply();
        }
        self.stage = Stage::Claiming(new.clone());
        Effect::Claim(new)
    }

    fn apply(&mut self) -> Effect {
        self.stage = Stage::Applying;
        Effect::Apply
    }

    fn take_applied(&mut self, view: &View, applied: Result<(usize, usize), SqlFailure>) -> Turn {
        let (records, duplicates) = match applied {
            Ok(applied) => applied,
            Err(SqlFailure { meaning: SqlMeaning::Fenced(stream), .. }) => {
                let partition = self.give_up(view, stream);
                self.going.reading.remove(partition);
                return Ok(self.claim(view));
            }
            Err(error) => return Err(error.into()),
        };
        let metrics = self.metrics();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        metrics.transactions.fetch_add(1, Ordering::Relaxed);
        metrics.records.fetch_add(count(records), Ordering::Relaxed);
        metrics.duplicates.fetch_add(count(duplicates), Ordering::Relaxed);
        Ok(self.trim())
    }

    /// Another node has claimed a stream: its list is that node's, until the shares say otherwise
    /// again after a while.
    fn give_up(&mut self, view: &View, fenced: StreamId) -> Partition {
        let of =
            |(stream, number): (&ListStream, &StreamId)| (*number == fenced).then_some(stream.1);
        let partition = self.claims.iter().find_map(of).expect("a fenced stream was claimed");
        self.claims.retain(|(_, claimed), _| *claimed != partition);
        self.given_up.insert(partition, view.now.mono.plus_ms(LIST_GIVEN_UP_MS));
        self.metrics().given_up.fetch_add(1, Ordering::Relaxed);
        self.log.write_error(view.now, Message::ListGivenUp, &format!("partition {}", partition.0));
        partition
    }

    /// Drops what SQL has from the heads of lists.
    fn trim(&mut self) -> Effect {
        let most = LIST_READ_ENTRIES.to_string();
        let trims = self.going.ends.iter().map(|((epoch, partition), sequence)| {
            let arguments: [&[u8]; 2] = [&head(*epoch, *sequence), most.as_bytes()];
            call(TRIM, &list_key(*partition), &arguments)
        });
        let commands = std::iter::once(load(TRIM)).chain(trims).collect();
        self.ask(Stage::Trimming, commands)
    }

    fn take_trimmed(&mut self, view: &View, answers: Vec<OwnedReply>) -> Turn {
        for answer in answers {
            match answer {
                OwnedReply::Int(count) => {
                    let count = u64::try_from(count).unwrap_or(0);
                    self.metrics().trimmed.fetch_add(count, Ordering::Relaxed);
                }
                // Read again and again, what SQL has would hide what comes behind it.
                OwnedReply::Error(_) => return Err(DrainError::Answer("TRIM")),
                _ => {}
            }
        }
        let oldest = self.going.oldest.into_iter().chain(self.going.oldest_read).min();
        self.going.oldest = oldest;
        Ok(self.read_on(view))
    }

    fn end(&mut self, view: &View) -> Effect {
        let going = &self.going;
        let (count, waiting) = (going.count, going.waiting);
        self.metrics().end(going.oldest.map_or(0, |oldest| view.now.wall.since(oldest).0));
        self.backoff.succeeded();
        self.log.write_error(view.now, Message::ListResumed, "");
        if count as u64 >= waiting && self.given_up.is_empty() {
            self.assignment.end(self.lane, &self.going.pass);
        }
        self.last = Ok(count);
        match count {
            0 if self.going.is_last => Effect::End,
            0 => Effect::Rest(LIST_IDLE_MS),
            // A pass that was full leaves more behind.
            count if count >= view.records_max => Effect::Rest(0),
            _ => Effect::Rest(LIST_BUSY_MS),
        }
    }

    fn failed(&mut self, view: &View, error: &DrainError) -> Effect {
        self.stage = Stage::Resting;
        self.metrics().failures.fetch_add(1, Ordering::Relaxed);
        self.metrics().denials.store(view.denials, Ordering::Relaxed);
        let text = error.to_string();
        if !error.is_logged_by_keeper() {
            self.log.write_error(view.now, error.message(), &text);
        }
        self.last = Err(text);
        if self.going.is_last { Effect::End } else { Effect::Rest(self.rest_after_failure(view)) }
    }

    /// How long to wait after a failure, in milliseconds: as long as Redis is left alone where it
    /// failed, else longer each time.
    fn rest_after_failure(&mut self, view: &View) -> u64 {
        if let Some(left_ms) = view.redis_rest_ms {
            return left_ms + 1;
        }
        lengthened(self.backoff.failed(), view.now.mono.0 / 1_000)
    }
}

fn ends_of(runs: &ListRuns<'_>) -> Vec<(ListStream, Sequence)> {
    let end = |(stream, run): (&ListStream, &Vec<(Sequence, _)>)| {
        run.last().map(|(sequence, _)| (*stream, *sequence))
    };
    runs.iter().filter_map(end).collect()
}

#[cfg(test)]
mod tests;
