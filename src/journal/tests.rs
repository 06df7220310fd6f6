//! For tests: a disk in memory that tears and loses what was not synced, and a bench that drives an
//! appender over it.

use std::collections::BTreeMap;

use super::appender::{Appender, AppenderConfig, AppenderStart};
use super::disk::{DiskCommand, DiskCompletion, DiskError, DiskRead};
use super::lane::LaneBatch;
use super::record::{self, Impression, Record};
use super::recovery::{RecoverError, RecoverOptions, Recovered, recover};
use super::segment::{SegmentId, SetId};
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{LaneSequence, Revision, Sequence, ShardId};
use nudged_base::limits::SEGMENT_BYTES_MIN;
use nudged_base::time::{MonoNs, WallMs};

pub(crate) const SET: SetId = SetId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

/// A small generator: one seed, one sequence of choices.
#[derive(Clone, Debug)]
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn new(seed: u64) -> Choices {
        Choices(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

#[derive(Clone, Debug, Default)]
struct ModelFile {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    has_failed: bool,
}

/// Files by their segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelDisk {
    files: BTreeMap<SegmentId, ModelFile>,
}

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let end = at + piece.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(piece);
}

impl ModelDisk {
    /// A disk with these segments, from ordinal 1 on.
    pub(crate) fn of_images(images: &[&[u8]]) -> ModelDisk {
        let file = |image: &&[u8]| ModelFile { current: image.to_vec(), ..ModelFile::default() };
        let files = (1..).map(SegmentId).zip(images.iter().map(file)).collect();
        ModelDisk { files }
    }

    /// Carries a command out as a good disk does.
    pub(crate) fn carry_out(&mut self, command: &DiskCommand) -> DiskCompletion {
        match command {
            DiskCommand::Prepare { segment, header, bytes } => {
                let mut image = vec![0; usize::try_from(*bytes).unwrap()];
                put(&mut image, 0, &header.encode());
                put(&mut image, 4_096, &header.encode());
                let current = image.clone();
                let file = ModelFile { durable: image, current, ..ModelFile::default() };
                self.files.insert(*segment, file);
                DiskCompletion::Prepared(*segment, Ok(()))
            }
            DiskCommand::Write { segment, offset, bytes } => {
                self.write(*segment, *offset, bytes);
                DiskCompletion::Written(*segment, Ok(bytes.len()))
            }
            DiskCommand::Sync { segment } => {
                self.sync(*segment);
                DiskCompletion::Synced(*segment, Ok(()))
            }
            DiskCommand::Remove { segment } => {
                self.files.remove(segment);
                DiskCompletion::Removed(*segment, Ok(()))
            }
        }
    }

    pub(crate) fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let file = self.files.get_mut(&segment).unwrap();
        assert!(!file.has_failed, "a file whose sync or write failed is not written again");
        let at = usize::try_from(offset).unwrap();
        put(&mut file.current, at, bytes);
        file.unsynced.push((at, bytes.to_vec()));
    }

    pub(crate) fn sync(&mut self, segment: SegmentId) {
        let file = self.files.get_mut(&segment).unwrap();
        assert!(!file.has_failed, "a file whose sync failed is not synced again");
        file.durable.clone_from(&file.current);
        file.unsynced.clear();
    }

    pub(crate) fn fail(&mut self, segment: SegmentId) {
        self.files.get_mut(&segment).unwrap().has_failed = true;
    }

    /// Power is lost: of what was not synced, any sectors may be there.
    pub(crate) fn lose_power(&mut self, choices: &mut Choices) {
        for file in self.files.values_mut() {
            let mut image = std::mem::take(&mut file.durable);
            for (at, bytes) in std::mem::take(&mut file.unsynced) {
                match choices.below(3) {
                    0 => {}
                    1 => put(&mut image, at, &bytes),
                    _ => {
                        for (index, sector) in bytes.chunks(512).enumerate() {
                            if choices.one_in(2) {
                                put(&mut image, at + index * 512, sector);
                            }
                        }
                    }
                }
            }
            file.durable.clone_from(&image);
            file.current = image;
        }
        self.restart();
    }

    /// A new process has new descriptors.
    pub(crate) fn restart(&mut self) {
        for file in self.files.values_mut() {
            file.has_failed = false;
        }
    }

    pub(crate) fn image(&mut self, segment: u64) -> &mut Vec<u8> {
        &mut self.files.get_mut(&SegmentId(segment)).unwrap().current
    }

    pub(crate) fn remove(&mut self, segment: u64) {
        self.files.remove(&SegmentId(segment)).unwrap();
    }

    pub(crate) fn copy(&mut self, from: u64, to: u64) {
        let file = self.files[&SegmentId(from)].clone();
        self.files.insert(SegmentId(to), file);
    }
}

impl DiskRead for ModelDisk {
    fn segments(&self) -> Result<Vec<SegmentId>, DiskError> {
        Ok(self.files.keys().copied().collect())
    }

    fn bytes(&self, segment: SegmentId) -> Result<u64, DiskError> {
        let file = self.files.get(&segment).ok_or(DiskError::Missing)?;
        Ok(u64::try_from(file.current.len()).unwrap())
    }

    fn read_at(
        &self,
        segment: SegmentId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        let file = self.files.get(&segment).ok_or(DiskError::Missing)?;
        let from = usize::try_from(offset).unwrap().min(file.current.len());
        let count = buffer.len().min(file.current.len() - from);
        buffer[..count].copy_from_slice(&file.current[from..from + count]);
        Ok(count)
    }
}

/// A record that is told from all others by `id`; its user is one of eight.
pub(crate) fn append_record(id: u64, row_bytes: usize, bytes: &mut Vec<u8>) {
    let user = format!("user-{}", id % 8);
    let record = Record::Impression(Impression {
        user: &user,
        revision: Revision { epoch: 0, counter: id },
        at: WallMs(i64::try_from(id).unwrap()),
        kind: EventKind::Decided,
        acted_at: WallMs(0),
        token: "token",
        popup: "popup",
        version: 1,
        variant: "",
        clocks: &[],
        row: &vec![7; row_bytes],
        next_show_at: None,
        forgotten: "",
    });
    record::append(&record, bytes);
}

pub(crate) fn lane_batch(shard: u16, first: u64, ids: &[u64], row_bytes: usize) -> LaneBatch {
    let mut bytes = Vec::new();
    for id in ids {
        append_record(*id, row_bytes, &mut bytes);
    }
    let count = u32::try_from(ids.len()).unwrap();
    LaneBatch { shard: ShardId(shard), first: LaneSequence(first), count, bytes }
}

pub(crate) fn small_config() -> AppenderConfig {
    let segment_bytes = SEGMENT_BYTES_MIN;
    AppenderConfig { segment_bytes, budget_bytes: 64 * segment_bytes, ..AppenderConfig::default() }
}

pub(crate) fn options(applied: u64) -> RecoverOptions {
    RecoverOptions { applied: Sequence(applied), fresh_set: SET, skip_damaged: false }
}

pub(crate) fn recover_after(disk: &ModelDisk, applied: u64) -> Result<Recovered, RecoverError> {
    recover(disk, options(applied))
}

/// Carries out all that an appender wants until it wants nothing.
pub(crate) fn settle(appender: &mut Appender, disk: &mut ModelDisk) {
    while let Some(command) = appender.next_command() {
        let completion = disk.carry_out(&command);
        appender.complete(completion);
    }
}

/// Appends one batch for each of `batches`, its records 1 KiB each with the given ids, as one life
/// of a process, and syncs them at the end if `is_synced`.
pub(crate) fn live(
    disk: &mut ModelDisk,
    start: AppenderStart,
    batches: &[Vec<u64>],
    is_synced: bool,
) {
    let mut appender = Appender::new(small_config(), start);
    settle(&mut appender, disk);
    let mut lane = 1;
    for ids in batches {
        appender.offer(lane_batch(0, lane, ids, 1_000));
        lane += u64::try_from(ids.len()).unwrap();
        settle(&mut appender, disk);
        let later = if is_synced { MonoNs(lane * 1_000_000_000) } else { MonoNs(0) };
        appender.tick(later, WallMs(0));
        settle(&mut appender, disk);
    }
}
