//! The journal's commands carried out over real files. A write is a plain call: file systems other
//! than XFS and Btrfs give a ring's buffered write to a worker thread, which costs several times
//! what the copy into the page cache does; and whoever would be kept waiting here waits for that
//! write. So is opening a segment, once for each. Making and removing segments is left to the
//! executor's helper, which wakes the journal's thread by the lanes' eventfd.
//!
//! Limits: two files open; two commands with the helper; a segment is zeroed in pieces of
//! [`ZERO_BYTES`].

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use glommio::executor;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::journal::directory::{JournalDirectory, disk_error};
use crate::journal::lanes::JournalLanes;
use nudged_journal::disk::{DiskCommand, DiskCompletion, DiskError};
use nudged_journal::segment::{HEADER_BYTES, SECOND_HEADER_OFFSET, SegmentHeader, SegmentId};

/// Bytes of zeros that are written at once when a segment is made.
const ZERO_BYTES: usize = 1_024 * 1_024;
/// Pieces of zeros between two syncs: a sync of a whole segment would stall the journal's own.
const ZERO_PIECES_PER_SYNC: u64 = 8;
/// One is made and one removed at a time.
const HELPED_MAX: usize = 2;

/// The segments that are written to, open.
pub(super) struct OpenSegments {
    directory: Arc<JournalDirectory>,
    files: BTreeMap<SegmentId, Rc<File>>,
}

impl OpenSegments {
    /// None is open yet.
    pub(super) fn new(directory: Arc<JournalDirectory>) -> OpenSegments {
        OpenSegments { directory, files: BTreeMap::new() }
    }

    /// One write into the page cache; gives how many bytes were taken.
    ///
    /// # Errors
    /// What the disk says of the file or of the write.
    pub(super) fn write(
        &mut self,
        segment: SegmentId,
        bytes: &[u8],
        offset: u64,
    ) -> Result<usize, DiskError> {
        let file = self.file(segment)?;
        let written = rustix::io::pwrite(&file, bytes, offset);
        written.map_err(|error| disk_error(&io::Error::from(error)))
    }

    /// The file of a segment, opened at its first use. Earlier ones are of no more use by then.
    ///
    /// # Errors
    /// What the disk says of the file.
    pub(super) fn file(&mut self, segment: SegmentId) -> Result<Rc<File>, DiskError> {
        if let Some(file) = self.files.get(&segment) {
            return Ok(Rc::clone(file));
        }
        let path = self.directory.segment_path(segment);
        let opened = OpenOptions::new().write(true).open(path);
        let file = Rc::new(opened.map_err(|error| disk_error(&error))?);
        self.files.insert(segment, Rc::clone(&file));
        while self.files.len() > 2 {
            self.files.pop_first();
        }
        Ok(file)
    }

    /// Closes a segment that is to be removed.
    pub(super) fn close(&mut self, segment: SegmentId) {
        self.files.remove(&segment);
    }
}

/// What is left to the executor's helper: segments are made and removed.
pub(super) struct Housekeeping {
    directory: Arc<JournalDirectory>,
    lanes: Arc<JournalLanes>,
    /// Tasks that the executor has not brought to their end; it needs a turn now and then.
    pub(super) under_way: Cell<usize>,
    /// What the helper has done.
    completions: Arc<ArrayQueue<DiskCompletion>>,
}

impl Housekeeping {
    /// Nothing is under way.
    pub(super) fn new(directory: Arc<JournalDirectory>, lanes: Arc<JournalLanes>) -> Housekeeping {
        let completions = Arc::new(ArrayQueue::new(HELPED_MAX));
        Housekeeping { directory, lanes, under_way: Cell::new(0), completions }
    }

    /// Has a segment made or removed. The helper leaves the completion and wakes the journal's
    /// thread by itself: the executor learns of its end later.
    pub(super) async fn carry_out(&self, command: DiskCommand) {
        let (directory, lanes) = (Arc::clone(&self.directory), Arc::clone(&self.lanes));
        let completions = Arc::clone(&self.completions);
        let helped = move || {
            let completion = make_or_remove(&directory, command);
            completions.push(completion).expect("one is made and one removed at a time");
            lanes.core().wake();
        };
        executor().spawn_blocking(helped).await;
        self.under_way.update(|count| count - 1);
    }

    /// Whether the helper has done something that nobody has looked at.
    pub(super) fn has_completion(&self) -> bool {
        !self.completions.is_empty()
    }

    /// What the helper has done first.
    pub(super) fn take_completion(&self) -> Option<DiskCompletion> {
        self.completions.pop()
    }
}

fn make_or_remove(directory: &JournalDirectory, command: DiskCommand) -> DiskCompletion {
    match command {
        DiskCommand::Prepare { segment, header, bytes } => {
            let made = make(directory, segment, header, bytes);
            DiskCompletion::Prepared(segment, made.map_err(|error| disk_error(&error)))
        }
        DiskCommand::Remove { segment } => {
            let removed = std::fs::remove_file(directory.segment_path(segment));
            let outcome = match removed.map_err(|error| disk_error(&error)) {
                Err(DiskError::Missing) => Ok(()),
                other => other,
            };
            DiskCompletion::Removed(segment, outcome)
        }
        DiskCommand::Write { .. } | DiskCommand::Sync { .. } => {
            unreachable!("writes and syncs wait for nobody")
        }
    }
}

/// Makes a segment under its staged name, zeroed and synced, and gives it its own.
fn make(
    directory: &JournalDirectory,
    segment: SegmentId,
    header: SegmentHeader,
    bytes: u64,
) -> io::Result<()> {
    let staged = directory.staged_path(segment);
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(staged)?;
    zero(&file, header, bytes)?;
    drop(file);
    directory.publish(segment)
}

/// Allocates a segment, writes every byte of it, and syncs it.
fn zero(file: &File, header: SegmentHeader, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Not every file system can; the zeros allocate as well.
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let mut piece = vec![0; ZERO_BYTES];
    let second = usize::try_from(SECOND_HEADER_OFFSET).expect("4,096");
    piece[..HEADER_BYTES].copy_from_slice(&header.encode());
    piece[second..second + HEADER_BYTES].copy_from_slice(&header.encode());
    for (index, offset) in (0_u64..).zip((0..bytes).step_by(ZERO_BYTES)) {
        let left = usize::try_from(bytes - offset).unwrap_or(usize::MAX);
        write_all(file, &piece[..left.min(ZERO_BYTES)], offset)?;
        if index == 0 {
            piece[..second + HEADER_BYTES].fill(0);
        }
        if index % ZERO_PIECES_PER_SYNC == ZERO_PIECES_PER_SYNC - 1 {
            file.sync_data()?;
        }
    }
    file.sync_data()
}

fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + u64::try_from(done).expect("1 MiB at most");
        match rustix::io::pwrite(file, &bytes[done..], at) {
            Ok(0) => return Err(Errno::NOSPC.into()),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
