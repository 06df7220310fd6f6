//! The appender's writes and syncs, and what it does when one fails.

use super::*;

impl Appender {
    /// How many bytes are kept for a rewrite: they must fit into one fresh segment.
    pub(super) fn unsynced_bytes_max(&self) -> usize {
        let half = usize::try_from(self.config.segment_bytes / 2).expect("segments are 64 MiB");
        half.min(UNSYNCED_BYTES_MAX)
    }

    // --- sync ------------------------------------------------------------------------------------

    pub(super) fn next_sync(&mut self) -> Option<DiskCommand> {
        if self.sync.is_some() {
            return None;
        }
        let sync = match self.to_sync {
            Some(segment) => SyncUnderWay { segment, upto: self.synced_by_start() },
            None => {
                let active = self.active.filter(|active| active.is_opened)?;
                let last = self.unsynced.last_placed()?.last();
                if !self.is_sync_due() {
                    return None;
                }
                SyncUnderWay { segment: active.segment, upto: last }
            }
        };
        self.sync = Some(sync);
        Some(DiskCommand::Sync { segment: sync.segment })
    }

    /// What the sync of an earlier process's records makes durable: what was before the records
    /// of this one.
    fn synced_by_start(&self) -> Sequence {
        let first = self.unsynced.front().map_or(self.next, |held| held.header.first);
        Sequence(first.0 - 1)
    }

    /// With `ack=written` nobody waits for a sync, so they keep a pace, unless something does wait.
    fn is_sync_due(&self) -> bool {
        self.config.ack == AckLevel::Synced
            || self.now >= self.sync_due_at
            || self.is_stopping
            || self.is_rewriting
            || self.is_segment_full()
            || self.unsynced.bytes() >= self.unsynced_bytes_max() / 2
    }

    pub(super) fn complete_sync(&mut self, segment: SegmentId, outcome: Result<(), DiskError>) {
        let sync = self.sync.take().expect("one sync is under way");
        assert_eq!(sync.segment, segment, "one sync is under way");
        match outcome {
            Ok(()) => {
                self.to_sync = self.to_sync.filter(|waiting| *waiting != segment);
                self.synced = self.synced.max(sync.upto);
                self.unsynced.release(sync.upto);
                self.sync_due_at = self.now.plus_ms(SYNC_PACE_MS);
                if self.active.is_some_and(|active| active.segment == segment) {
                    self.is_rewriting = false;
                }
                if self.config.ack == AckLevel::Synced {
                    self.queue.acknowledge(self.synced, &mut self.acks);
                }
            }
            Err(DiskError::Interrupted) => {}
            Err(error) if self.to_sync == Some(segment) => {
                self.failures += 1;
                self.poison = Some(Poison::EarlierRecords(error));
            }
            Err(error) => self.leave_segment(segment, error),
        }
    }

    // --- write -----------------------------------------------------------------------------------

    pub(super) fn next_write(&mut self) -> Option<DiskCommand> {
        if self.write_retry_at.is_some_and(|at| at > self.now) {
            return None;
        }
        if self.write.is_none() {
            self.write = self.make_write();
        }
        let write = self.write.as_mut().filter(|write| !write.is_submitted)?;
        write.is_submitted = true;
        let done = u64::try_from(write.done).expect("a write is below 128 KiB");
        Some(DiskCommand::Write {
            segment: write.segment,
            offset: write.offset + done,
            bytes: write.bytes[write.done..].to_vec(),
        })
    }

    fn make_write(&mut self) -> Option<Write> {
        if self.is_segment_full() || self.is_active_stale() {
            // Everything before the next segment is durable before it is opened.
            if !self.is_synced() {
                return None;
            }
            self.close_active(self.next);
        }
        if self.active.is_none() {
            self.take_reserve()?;
        }
        let active = self.active.expect("the reserve was just taken");
        if !active.is_opened && !self.has_acknowledged_to_place() {
            return Some(self.make_opening(active.segment));
        }
        if self.unsynced.next_to_place().is_none() {
            self.close_batch()?;
        }
        let held = self.unsynced.next_to_place().expect("a batch was just closed");
        Some(Write {
            segment: active.segment,
            offset: active.offset,
            bytes: held.bytes.clone(),
            done: 0,
            is_opening: false,
            is_submitted: false,
        })
    }

    /// Whether the next batch has to be written and does not fit into the segment in use.
    fn is_segment_full(&self) -> bool {
        let Some(active) = self.active.filter(|active| active.is_opened) else { return false };
        let bytes = match self.unsynced.next_to_place() {
            Some(held) => held.bytes.len(),
            None if self.queue.is_empty() => return false,
            None => super::super::batch::encoded_bytes(self.queue.next_batch_bytes()),
        };
        let bytes = u64::try_from(bytes).expect("a batch is below 128 KiB");
        active.offset + bytes > self.config.segment_bytes
    }

    /// Takes the reserve into use, if there is one and there is something to write to it.
    fn take_reserve(&mut self) -> Option<()> {
        let Reserve::Ready(segment) = self.reserve else { return None };
        let is_behind = self.is_synced() || self.is_rewriting;
        let is_needed = !self.is_drained() || self.usage.closed_count() > 0;
        // While a sync of the segment that failed is under way, it may yet make some durable.
        if !is_behind || !is_needed || self.sync.is_some() || self.to_sync.is_some() {
            return None;
        }
        self.reserve = Reserve::None;
        self.active = Some(Active { segment, offset: FIRST_BATCH_OFFSET, is_opened: false });
        Some(())
    }

    /// Whether batches that were written once, and so may be acknowledged, are still missing in the
    /// segment in use. They come before its opening: until then the segment before it counts.
    fn has_acknowledged_to_place(&self) -> bool {
        self.unsynced.next_to_place().is_some_and(|held| held.last() <= self.written)
    }

    fn make_opening(&mut self, segment: SegmentId) -> Write {
        let front = self.unsynced.front().map(|held| held.header);
        let first = front.map_or(self.next, |header| header.first);
        let header = BatchHeader {
            chain: front.map_or(self.chain, |header| header.chain),
            first,
            count: 0,
            durable: Sequence(first.0 - 1),
            newest: self.newest,
        };
        let follows = self.follows.map_or(first, |follows| follows.min(first));
        let mut bytes = Vec::new();
        Opening::append(self.tag, header, follows, &mut bytes);
        let offset = OPENING_OFFSET;
        Write { segment, offset, bytes, done: 0, is_opening: true, is_submitted: false }
    }

    /// Makes a batch of what is queued; `None` where nothing is, or too much is unsynced.
    fn close_batch(&mut self) -> Option<()> {
        if self.queue.is_empty() || self.unsynced.bytes() >= self.unsynced_bytes_max() {
            return None;
        }
        let mut records = Vec::with_capacity(self.queue.next_batch_bytes());
        let (count, newest) = self.queue.take(self.next, self.newest, &mut records);
        assert!(count > 0, "a batch has room for any record");
        let (chain, first, durable) = (self.chain, self.next, self.synced);
        let header = BatchHeader { chain, first, count, durable, newest };
        self.chain = self.unsynced.push(self.tag, header, &records);
        self.newest = newest;
        self.next = header.end();
        Some(())
    }

    pub(super) fn complete_write(&mut self, segment: SegmentId, outcome: Result<usize, DiskError>) {
        let mut write = self.write.take().expect("one write is under way");
        assert!(write.is_submitted && write.segment == segment, "one write is under way");
        if self.active.is_none_or(|active| active.segment != segment) {
            return; // The segment was left meanwhile: this batch is written again, elsewhere.
        }
        write.is_submitted = false;
        self.write_retry_at = None;
        match outcome {
            // A write that does nothing would do so for ever.
            Ok(0) => self.leave_segment(segment, DiskError::Failed(0)),
            Ok(count) if write.done + count < write.bytes.len() => {
                write.done += count;
                self.write = Some(write);
            }
            Ok(count) => {
                assert_eq!(write.done + count, write.bytes.len(), "no more than was given");
                self.finish_write(&write);
            }
            Err(DiskError::Interrupted) => self.write = Some(write),
            Err(DiskError::NoSpace) => {
                self.write_retry_at = Some(self.now.plus_ms(DISK_RETRY_MS));
                self.write = Some(write);
            }
            Err(error) => self.leave_segment(segment, error),
        }
    }

    fn finish_write(&mut self, write: &Write) {
        let active = self.active.as_mut().expect("writes go to the segment in use");
        if write.is_opening {
            active.is_opened = true;
            self.follows = None;
            return;
        }
        let bytes = u64::try_from(write.bytes.len()).expect("a batch is below 128 KiB");
        active.offset += bytes;
        let last = self.unsynced.place().last();
        if last <= self.written {
            return; // Written before, to a segment that failed.
        }
        self.written = last;
        self.usage.note_batch(last, bytes);
        if self.config.ack == AckLevel::Written {
            self.queue.acknowledge(last, &mut self.acks);
        }
    }

    // --- failure ---------------------------------------------------------------------------------

    /// A write to or a sync of the segment failed: what of it is not durable goes to another one.
    /// The segment is never written or synced again.
    fn leave_segment(&mut self, segment: SegmentId, error: DiskError) {
        if self.active.is_none_or(|active| active.segment != segment) {
            return; // Left already, for its write or its sync.
        }
        self.failures += 1;
        if self.is_rewriting {
            self.poison = Some(Poison::FailedTwice(error));
            return;
        }
        if self.to_sync.is_some() {
            self.poison = Some(Poison::EarlierRecords(error));
            return;
        }
        self.is_rewriting = true;
        self.close_active(self.next);
        self.unsynced.displace();
        if self.write.as_ref().is_some_and(|write| !write.is_submitted) {
            self.write = None;
        }
        self.write_retry_at = None;
    }
}
