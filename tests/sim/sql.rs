//! SQL's side in the simulator: the real store on a real file, written from the real tail and read
//! with the real overlay, each in steps between which anything may happen.

use nudged_base::ids::Sequence;
use nudged_domain::state::user::UserState;
use nudged_journal::reader::Tail;
use nudged_journal::record::{self, frames};
use nudged_journal::recovery::UnappliedIndex;
use nudged_shard::seam::{ReadFailed, UserRead};
use nudged_store::{Reader, Store, StreamId};

use super::disk::Disk;
use super::node::{Node, SET};
use super::overlay::{Overlay, overlaid};
use super::scene::{Scene, US, What};

/// Applies the journal.
pub struct Writer {
    store: Store,
    stream: StreamId,
    tail: Tail,
    framed: Vec<u8>,
    sequences: Vec<Sequence>,
    turn_at: Option<u64>,
}

impl Writer {
    /// A writer that goes on behind what SQL has.
    pub fn new(store: Store, stream: StreamId, disk: &Disk, applied: Sequence) -> Writer {
        let next = Sequence(applied.0 + 1);
        let tail = Tail::seek(disk, SET, next, Vec::new()).expect("the journal has what SQL lacks");
        Writer { store, stream, tail, framed: Vec::new(), sequences: Vec::new(), turn_at: None }
    }

    /// There may be more to apply.
    pub fn wake(&mut self, scene: &mut Scene) {
        let longest = if scene.is_calm { 20 } else { scene.config.sql_ms };
        let wait = scene.streams.sql.between(1, longest * 1_000) * US;
        // What was planned while SQL was slow does not hold up a calm end.
        if self.turn_at.is_none_or(|at| scene.is_calm && at > scene.now + wait) {
            self.turn_at = Some(scene.after(wait, What::Writer));
        }
    }

    /// Wakes it where it has not read all that is written.
    pub fn wake_if_behind(&mut self, written: Sequence, scene: &mut Scene) {
        if self.tail.next_sequence() <= written {
            self.wake(scene);
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
                Ok(None) => return,
                // It comes when the appender has written it elsewhere.
                Err(nudged_journal::reader::TailError::Missing(..)) => return,
                Err(error) => panic!("the journal can't be followed: {error}"),
            }
        }
    }

    /// Applies up to `most` records; gives the last.
    fn apply(&mut self, most: usize, is_untold: bool) -> Option<Sequence> {
        let count = self.sequences.len().min(most);
        let mut records = Vec::with_capacity(count);
        let mut used = 0;
        for (sequence, frame) in self.sequences[..count].iter().zip(frames(&self.framed)) {
            let frame = frame.expect("we framed it");
            used += frame.framed_bytes();
            records.push((*sequence, frame.record().expect("we encoded it")));
        }
        let applied = self.store.apply(self.stream, &records).expect("SQL takes every record");
        assert_eq!(applied.rejected, 0, "every record fits into the tables");
        if is_untold {
            return None;
        }
        let last = self.sequences[count - 1];
        self.framed.drain(..used);
        self.sequences.drain(..count);
        Some(last)
    }
}

/// Reads users back.
pub struct ReaderSide {
    reader: Reader,
    /// Who was asked for, and what the journal has of them.
    pub overlay: Overlay,
    is_planned: bool,
}

impl ReaderSide {
    /// A reader of what SQL has, and of what it had not at the start.
    pub fn new(reader: Reader, unapplied: UnappliedIndex) -> ReaderSide {
        ReaderSide { reader, overlay: Overlay::new(unapplied), is_planned: false }
    }

    /// A user is asked for.
    pub fn wake(&mut self, scene: &mut Scene) {
        if !self.is_planned {
            self.is_planned = true;
            let wait = wait(scene);
            scene.after(wait, What::ReaderOverlay);
        }
    }

    /// A user's state as SQL has it.
    pub fn state(&mut self, user: &str) -> UserState {
        let mut state = None;
        let result = self.reader.read_users(&[user], &mut |_, found| state = Some(found));
        assert_eq!(result.expect("SQL reads"), 0, "every row can be read");
        state.expect("a state for each user")
    }
}

/// Half of the time that a read takes.
fn wait(scene: &mut Scene) -> u64 {
    let longest_ms = if scene.is_calm { 1 } else { scene.config.read_ms };
    scene.streams.sql.between(1, longest_ms * 1_000) * US
}

impl Node {
    /// SQL applies some records.
    pub fn writer_turn(&mut self, disk: &Disk, scene: &mut Scene) {
        if self.writer.turn_at != Some(scene.now) {
            return; // Woken before this.
        }
        self.writer.turn_at = None;
        let most = usize::try_from(scene.config.sql_records).expect("at most 1,000");
        let most = if scene.is_calm { 1_000 } else { most };
        let one_in = scene.config.one_in_sql_error;
        if scene.is_fault(|streams| &mut streams.sql, one_in) {
            self.writer.wake(scene); // The database is away.
            return;
        }
        self.writer.read(disk, self.marks.written, most);
        if !self.writer.sequences.is_empty() {
            let is_untold = scene.is_fault(|streams| &mut streams.sql, one_in);
            if let Some(last) = self.writer.apply(most, is_untold) {
                scene.note("applied", &[last.0], &[]);
                self.marks.applied = last;
                self.journal.wake(scene);
            }
        }
        if !self.writer.has_all(self.marks.written) {
            self.writer.wake(scene);
        }
    }

    /// The reader looks at the records that SQL had not applied at the start.
    pub fn reader_overlay(&mut self, disk: &Disk, scene: &mut Scene) {
        self.reader.overlay.look(self.marks.applied, disk);
        let wait = wait(scene);
        scene.after(wait, What::ReaderSql);
    }

    /// The reader asks SQL and answers.
    pub fn reader_sql(&mut self, scene: &mut Scene) {
        for (request, records) in self.reader.overlay.take() {
            let one_in = scene.config.one_in_read_error;
            let state = if scene.is_fault(|streams| &mut streams.sql, one_in) {
                Err(ReadFailed)
            } else {
                Ok(overlaid(self.reader.state(&request.user), &records))
            };
            let read = UserRead { ticket: request.ticket, state };
            self.arrive_read(request.shard.index(), read, scene);
        }
        self.reader.is_planned = false;
        if !self.reader.overlay.requests.is_empty() {
            self.reader.wake(scene);
        }
    }
}
