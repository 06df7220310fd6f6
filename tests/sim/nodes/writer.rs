//! SQL's side of a node among several: the real tail of the journal applied to the one SQL,
//! stopping where the board says, and users read back with the real overlay. As
//! `runtime::{sql_writer, sql_reader}` do it, in steps between which anything may happen.

use nudged::base::ids::{Sequence, UserKey};
use nudged::journal::reader::{Tail, TailError};
use nudged::journal::record::{self, Record, frames};
use nudged::journal::recovery::{self, UnappliedIndex};
use nudged::shard::seam::{ReadFailed, UserRead};
use nudged::writer::failure::{SqlFailure, SqlMeaning};

use super::node::{Node, set_of};
use super::scene::{MS, Scene, US, What, number};
use super::sql::{Claim, Sql, failure};
use crate::disk::Disk;
use crate::overlay::{Overlay, overlaid};

/// First and longest wait after a failure, in milliseconds.
const BACKOFF_MS: (u64, u64) = (100, 5_000);
/// An unmerged record is looked at again after this long, in milliseconds.
const HOLD_MS: u64 = 10;

/// Applies the journal.
pub struct Writer {
    claim: Option<Claim>,
    tail: Tail,
    applied: Sequence,
    framed: Vec<u8>,
    sequences: Vec<Sequence>,
    turn_at: Option<u64>,
    backoff_ms: u64,
    /// Another process has claimed the stream.
    pub is_halted: bool,
}

impl Writer {
    /// A writer that goes on behind what SQL has.
    pub fn new(claim: Option<Claim>, tail: Tail, applied: Sequence) -> Writer {
        let (framed, sequences) = (Vec::new(), Vec::new());
        let (turn_at, backoff_ms, is_halted) = (None, BACKOFF_MS.0, false);
        Writer { claim, tail, applied, framed, sequences, turn_at, backoff_ms, is_halted }
    }

    /// There may be more to apply.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        let longest = if scene.is_calm { 500 } else { scene.config.sql_us };
        let wait = scene.streams.sql.between(1, longest.max(10)) * US;
        self.turn_in(node, wait, scene);
    }

    fn turn_in(&mut self, node: usize, wait: u64, scene: &mut Scene) {
        if self.turn_at.is_none() {
            self.turn_at = Some(scene.after(wait, What::Writer(node)));
        }
    }

    /// Wakes it where it has not read all that is written.
    pub fn wake_if_behind(&mut self, node: usize, written: Sequence, scene: &mut Scene) {
        if self.tail.next_sequence() <= written {
            self.wake(node, scene);
        }
    }

    /// Whether all that is written is applied.
    pub fn has_all(&self, written: Sequence) -> bool {
        self.sequences.is_empty() && self.tail.next_sequence() > written
    }

    fn read(&mut self, disk: &Disk, written: Sequence, most: usize) {
        while self.sequences.len() < most {
            match self.tail.next(disk, written) {
                Ok(Some(batch)) => {
                    for (sequence, record) in batch {
                        let record = record.expect("the journal holds records");
                        record::append(&record, &mut self.framed);
                        self.sequences.push(sequence);
                    }
                }
                Ok(None) | Err(TailError::Missing(..)) => return,
                Err(error) => panic!("the journal can't be followed: {error}"),
            }
        }
    }

    fn back_off(&mut self, node: usize, scene: &mut Scene) {
        let jitter = scene.streams.sql.below(self.backoff_ms / 2);
        let wait = (self.backoff_ms + jitter) * MS;
        self.backoff_ms = (self.backoff_ms * 2).min(BACKOFF_MS.1);
        self.turn_in(node, wait, scene);
    }
}

/// What came of one try.
enum Tried {
    Applied,
    Nothing,
    Held,
    Failed(SqlFailure),
}

impl Node {
    /// SQL applies some records.
    pub fn writer_turn(&mut self, disk: &Disk, sql: &mut Sql, scene: &mut Scene) {
        if self.writer.turn_at.is_none_or(|at| at > scene.now) || self.writer.is_halted {
            return;
        }
        self.writer.turn_at = None;
        let node = self.index;
        let Some(claim) = self.writer.claim else {
            return self.claim_stream(disk, sql, scene);
        };
        match self.apply(claim, disk, sql, scene) {
            Tried::Applied => {
                self.writer.backoff_ms = BACKOFF_MS.0;
                self.journal.wake(node, scene);
                self.writer.wake(node, scene);
            }
            Tried::Nothing => {}
            Tried::Held => self.writer.turn_in(node, HOLD_MS * MS, scene),
            Tried::Failed(SqlFailure { meaning, .. }) => match meaning {
                SqlMeaning::Fenced(_) => self.writer.is_halted = true,
                SqlMeaning::Behind(at) => panic!("SQL went back to {at}"),
                _ => self.writer.back_off(node, scene),
            },
        }
    }

    fn claim_stream(&mut self, disk: &Disk, sql: &mut Sql, scene: &mut Scene) {
        let Ok((claim, position)) = sql.claim(&format!("journal {}", self.index)) else {
            return self.writer.back_off(self.index, scene);
        };
        let retired = recovery::retired(disk).expect("the disk can be read");
        assert!(retired <= position, "what SQL lacks is kept");
        let next = Sequence(position.0 + 1);
        let tail = Tail::seek(disk, set_of(self.index), next, Vec::new());
        let (framed, sequences) = (Vec::new(), Vec::new());
        self.writer.tail = tail.expect("the journal has what SQL lacks");
        (self.writer.framed, self.writer.sequences) = (framed, sequences);
        (self.writer.claim, self.writer.applied) = (Some(claim), position);
        self.marks.applied = position.max(self.marks.applied);
        self.writer.wake(self.index, scene);
    }

    fn apply(&mut self, claim: Claim, disk: &Disk, sql: &mut Sql, scene: &mut Scene) -> Tried {
        let Node { writer, board, marks, .. } = self;
        let most = if scene.is_calm { 1_000 } else { scene.config.sql_records };
        writer.read(disk, marks.written, most);
        if writer.sequences.is_empty() {
            return Tried::Nothing;
        }
        let mut records = Vec::new();
        let mut used = 0;
        let read = writer.sequences.iter().zip(frames(&writer.framed)).take(most);
        for (sequence, frame) in read {
            let frame = frame.expect("we framed it");
            let record = frame.record().expect("we encoded it");
            if let Record::Unmerged(unmerged) = &record
                && !board.may_pass(*sequence, UserKey::of(unmerged.user.as_bytes()))
            {
                break;
            }
            used += frame.framed_bytes();
            records.push((*sequence, record));
        }
        let Some((last, _)) = records.last().copied() else { return Tried::Held };
        let count = records.len();
        // Numbers that were given up, where SQL was ahead of the files, are none here.
        let result = sql.apply(&[(claim, &records)], true);
        let one_in = scene.config.one_in_untold;
        if let Err(error) = result {
            return Tried::Failed(error);
        }
        scene.note("applied", &[number(self.index), last.0], &[]);
        if !scene.is_calm && scene.streams.sql.one_in(one_in) {
            return Tried::Failed(failure(SqlMeaning::Passing));
        }
        writer.framed.drain(..used);
        writer.sequences.drain(..count);
        writer.applied = last;
        marks.applied = last.max(marks.applied);
        Tried::Applied
    }

    /// The reader looks at the records that SQL had not applied at the start.
    pub fn read_journal(&mut self, disk: &Disk, scene: &mut Scene) {
        self.reader.overlay.look(self.marks.applied, disk);
        let wait = wait(scene);
        scene.after(wait, What::ReadSql(self.index));
    }

    /// The reader asks SQL and answers.
    pub fn read_sql(&mut self, sql: &Sql, scene: &mut Scene) {
        for (request, records) in self.reader.overlay.take() {
            let state = sql.read(&request.user).map_err(|_| ReadFailed);
            let state = state.map(|state| overlaid(state, &records));
            let read = UserRead { ticket: request.ticket, state };
            self.arrive_read(request.shard.index(), read, scene);
        }
        self.reader.is_planned = false;
        if !self.reader.overlay.requests.is_empty() {
            self.reader.wake(self.index, scene);
        }
    }
}

/// Reads users back.
pub struct ReaderSide {
    /// Who was asked for, and what the journal has of them.
    pub overlay: Overlay,
    is_planned: bool,
}

impl ReaderSide {
    /// A reader of what SQL has, and of what it had not at the start.
    pub fn new(unapplied: UnappliedIndex) -> ReaderSide {
        ReaderSide { overlay: Overlay::new(unapplied), is_planned: false }
    }

    /// A user is asked for.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        if !self.is_planned {
            self.is_planned = true;
            let wait = wait(scene);
            scene.after(wait, What::ReadJournal(node));
        }
    }
}

/// Half of the time that a read takes: longer ones are answered degraded anyway.
fn wait(scene: &mut Scene) -> u64 {
    let longest = if scene.is_calm { 500 } else { scene.config.sql_us.min(20_000) };
    scene.streams.sql.between(1, longest.max(10)) * US
}
