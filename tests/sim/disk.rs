//! The modelled disk. A file has a page cache, which the process's end leaves as it is, and a
//! medium, which is all that a loss of power leaves; between them stand the writes that no sync has
//! covered yet. Owns what a crash does to them; knows nothing of what the bytes mean.
//!
//! A loss of power keeps any sectors (of 512 B or 4 KiB) of any unsynced writes, in any order; a
//! removal may be undone. A kill keeps every completed write and any part of the one under way. A
//! file whose write or sync failed must not be written or synced again by the same process.

use std::collections::BTreeMap;

use nudged_journal::disk::{DiskCommand, DiskCompletion, DiskError, DiskRead};
use nudged_journal::segment::{SECOND_HEADER_OFFSET, SegmentHeader, SegmentId};

use super::random::Stream;

/// `EIO`.
const EIO: i32 = 5;

#[derive(Clone, Default)]
struct File {
    medium: Vec<u8>,
    cache: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    covered: usize,
    has_failed: bool,
}

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// Well, for a part of its bytes.
    Short,
    /// Without having done anything.
    Interrupted,
    Full,
    /// With an error of the device.
    Error,
}

/// The disk.
#[derive(Default)]
pub struct Disk {
    files: BTreeMap<SegmentId, File>,
    /// Removed files that a loss of power may bring back, in the order of their removal.
    removed: Vec<(SegmentId, File)>,
}

fn put(bytes: &mut [u8], at: usize, piece: &[u8]) {
    bytes[at..at + piece.len()].copy_from_slice(piece);
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("segments are small")
}

impl Disk {
    /// A command is submitted: a sync covers what was written before this.
    pub fn begin(&mut self, command: &DiskCommand) {
        if let DiskCommand::Sync { segment } | DiskCommand::Write { segment, .. } = command {
            let file = self.files.get_mut(segment).expect("only files that are there are used");
            assert!(!file.has_failed, "{segment} is used although it failed: {command:?}");
            if matches!(command, DiskCommand::Sync { .. }) {
                file.covered = file.unsynced.len();
            }
        }
    }

    /// A command ends.
    pub fn end(&mut self, command: DiskCommand, fate: Fate, draw: &mut Stream) -> DiskCompletion {
        match command {
            DiskCommand::Prepare { segment, header, bytes } => {
                // The error may have come before the file had its name, or after.
                if fate == Fate::Done || draw.one_in(2) {
                    self.make(segment, header, bytes);
                }
                DiskCompletion::Prepared(segment, outcome_of(fate))
            }
            DiskCommand::Write { segment, offset, bytes } => {
                let taken = match fate {
                    Fate::Done => bytes.len(),
                    Fate::Short | Fate::Error => draw.index(bytes.len()).max(1),
                    Fate::Interrupted | Fate::Full => 0,
                };
                self.write(segment, offset, &bytes[..taken]);
                let result = match fate {
                    Fate::Done | Fate::Short => Ok(taken),
                    _ => outcome_of(fate).map(|()| 0),
                };
                if fate == Fate::Error {
                    self.fail(segment);
                }
                DiskCompletion::Written(segment, result)
            }
            DiskCommand::Sync { segment } => {
                if fate == Fate::Done {
                    self.sync(segment);
                } else if fate == Fate::Error {
                    self.fail(segment);
                }
                DiskCompletion::Synced(segment, outcome_of(fate))
            }
            DiskCommand::Remove { segment } => {
                if fate == Fate::Done {
                    self.remove(segment);
                }
                DiskCompletion::Removed(segment, outcome_of(fate))
            }
        }
    }

    fn make(&mut self, segment: SegmentId, header: SegmentHeader, bytes: u64) {
        let mut image = vec![0; at(bytes)];
        put(&mut image, 0, &header.encode());
        put(&mut image, at(SECOND_HEADER_OFFSET), &header.encode());
        let file = File { medium: image.clone(), cache: image, ..File::default() };
        self.files.insert(segment, file);
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let file = self.files.get_mut(&segment).expect("only files that are there are written");
        put(&mut file.cache, at(offset), bytes);
        file.unsynced.push((at(offset), bytes.to_vec()));
    }

    fn sync(&mut self, segment: SegmentId) {
        let file = self.files.get_mut(&segment).expect("a file is not removed while it is synced");
        for (at, bytes) in file.unsynced.drain(..file.covered) {
            put(&mut file.medium, at, &bytes);
        }
    }

    fn fail(&mut self, segment: SegmentId) {
        if let Some(file) = self.files.get_mut(&segment) {
            file.has_failed = true;
        }
    }

    fn remove(&mut self, segment: SegmentId) {
        if let Some(file) = self.files.remove(&segment) {
            self.removed.push((segment, file));
        }
    }

    /// The process ends: of the commands under way any part is done.
    pub fn kill(&mut self, under_way: Vec<DiskCommand>, draw: &mut Stream) {
        for command in under_way {
            match command {
                DiskCommand::Prepare { segment, header, bytes } if draw.one_in(2) => {
                    self.make(segment, header, bytes);
                }
                DiskCommand::Write { segment, offset, bytes } => {
                    let taken = draw.index(bytes.len() + 1);
                    self.write(segment, offset, &bytes[..taken]);
                }
                DiskCommand::Remove { segment } if draw.one_in(2) => self.remove(segment),
                _ => {}
            }
        }
        self.files.values_mut().for_each(|file| file.has_failed = false);
    }

    /// Power is lost, after [`Disk::kill`].
    pub fn lose_power(&mut self, draw: &mut Stream) {
        for file in self.files.values_mut() {
            for (at, bytes) in std::mem::take(&mut file.unsynced) {
                match draw.below(4) {
                    0 => {}
                    1 => put(&mut file.medium, at, &bytes),
                    2 => keep_sectors(&mut file.medium, (at, &bytes), 512, draw),
                    _ => keep_sectors(&mut file.medium, (at, &bytes), 4_096, draw),
                }
            }
            file.cache.clone_from(&file.medium);
        }
        // Removals are undone from the last one back.
        let kept = draw.index(self.removed.len() + 1);
        for (segment, mut file) in self.removed.drain(kept..) {
            file.cache.clone_from(&file.medium);
            file.unsynced.clear();
            self.files.entry(segment).or_insert(file);
        }
        self.removed.clear();
    }
}

/// Writes some of the sectors that a write touched.
fn keep_sectors(medium: &mut [u8], write: (usize, &[u8]), sector: usize, draw: &mut Stream) {
    let (mut at, mut rest) = write;
    while !rest.is_empty() {
        let count = (sector - at % sector).min(rest.len());
        if draw.one_in(2) {
            put(medium, at, &rest[..count]);
        }
        at += count;
        rest = &rest[count..];
    }
}

fn outcome_of(fate: Fate) -> Result<(), DiskError> {
    match fate {
        Fate::Done | Fate::Short => Ok(()),
        Fate::Interrupted => Err(DiskError::Interrupted),
        Fate::Full => Err(DiskError::NoSpace),
        Fate::Error => Err(DiskError::Failed(EIO)),
    }
}

impl DiskRead for Disk {
    fn segments(&self) -> Result<Vec<SegmentId>, DiskError> {
        Ok(self.files.keys().copied().collect())
    }

    fn bytes(&self, segment: SegmentId) -> Result<u64, DiskError> {
        let file = self.files.get(&segment).ok_or(DiskError::Missing)?;
        Ok(u64::try_from(file.cache.len()).expect("lengths fit"))
    }

    fn read_at(
        &self,
        segment: SegmentId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        let file = self.files.get(&segment).ok_or(DiskError::Missing)?;
        let from = at(offset).min(file.cache.len());
        let count = buffer.len().min(file.cache.len() - from);
        buffer[..count].copy_from_slice(&file.cache[from..from + count]);
        Ok(count)
    }
}
