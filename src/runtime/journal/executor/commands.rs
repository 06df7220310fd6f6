//! The journal's commands carried out over real files. A write is a plain call: file systems other
//! than XFS and Btrfs give a ring's buffered write to a worker thread, which costs several times
//! what the copy into the page cache does; and whoever would be kept waiting here waits for that
//! write. So is opening a segment, once for each. Making and removing segments are tasks of the
//! executor's, beside the writes.
//!
//! Limits: two files open; a segment is zeroed in pieces of [`ZERO_BYTES`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use glommio::io::{BufferedFile, OpenOptions};
use glommio::{GlommioError, executor};

use crate::journal::directory::{JournalDirectory, disk_error};
use nudged_journal::disk::{DiskCommand, DiskCompletion, DiskError};
use nudged_journal::segment::{HEADER_BYTES, SECOND_HEADER_OFFSET, SegmentHeader, SegmentId};

/// Bytes of zeros that are written at once when a segment is made.
const ZERO_BYTES: usize = 1_024 * 1_024;
/// Pieces of zeros between two syncs: a sync of a whole segment would stall the journal's own.
const ZERO_PIECES_PER_SYNC: u64 = 8;

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
        let opened = std::fs::OpenOptions::new().write(true).open(path);
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

/// What the tasks that make and remove segments share with the driving task.
pub(super) struct Housekeeping {
    directory: Arc<JournalDirectory>,
    /// Tasks under way.
    pub(super) under_way: Cell<usize>,
    pub(super) completions: RefCell<VecDeque<DiskCompletion>>,
}

impl Housekeeping {
    /// Nothing is under way.
    pub(super) fn new(directory: Arc<JournalDirectory>) -> Housekeeping {
        Housekeeping { directory, under_way: Cell::new(0), completions: RefCell::default() }
    }

    /// Makes or removes a segment; the completion is left in `completions`.
    pub(super) async fn carry_out(&self, command: DiskCommand) {
        let completion = match command {
            DiskCommand::Prepare { segment, header, bytes } => {
                let outcome = self.prepare(segment, header, bytes).await;
                DiskCompletion::Prepared(segment, outcome)
            }
            DiskCommand::Remove { segment } => {
                let path = self.directory.segment_path(segment);
                let removed = executor().spawn_blocking(move || std::fs::remove_file(path)).await;
                let outcome = match removed.map_err(|error| disk_error(&error)) {
                    Err(DiskError::Missing) => Ok(()),
                    other => other,
                };
                DiskCompletion::Removed(segment, outcome)
            }
            DiskCommand::Write { .. } | DiskCommand::Sync { .. } => {
                unreachable!("writes and syncs wait for no task")
            }
        };
        self.completions.borrow_mut().push_back(completion);
        self.under_way.update(|count| count - 1);
    }

    /// Makes a segment under its staged name, zeroed and synced, and gives it its own.
    async fn prepare(
        &self,
        segment: SegmentId,
        header: SegmentHeader,
        bytes: u64,
    ) -> Result<(), DiskError> {
        let staged = self.directory.staged_path(segment);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .buffered_open(staged)
            .await
            .map_err(translate)?;
        let zeroed = zero(&file, header, bytes).await;
        let closed = file.close().await.map_err(translate);
        zeroed.and(closed)?;
        let directory = Arc::clone(&self.directory);
        let published = executor().spawn_blocking(move || directory.publish(segment)).await;
        published.map_err(|error| disk_error(&error))
    }
}

/// Allocates a segment, writes every byte of it, and syncs it.
async fn zero(file: &BufferedFile, header: SegmentHeader, bytes: u64) -> Result<(), DiskError> {
    match file.pre_allocate(bytes, false).await.map_err(translate) {
        // Not every file system can; the zeros allocate as well.
        Ok(()) | Err(DiskError::Failed(libc::EOPNOTSUPP)) => {}
        Err(error) => return Err(error),
    }
    let piece = u64::try_from(ZERO_BYTES).expect("1 MiB");
    for (index, offset) in (0_u64..).zip((0..bytes).step_by(ZERO_BYTES)) {
        let count = usize::try_from(piece.min(bytes - offset)).expect("1 MiB at most");
        let mut zeros = vec![0; count];
        if offset == 0 {
            let second = usize::try_from(SECOND_HEADER_OFFSET).expect("4,096");
            zeros[..HEADER_BYTES].copy_from_slice(&header.encode());
            zeros[second..second + HEADER_BYTES].copy_from_slice(&header.encode());
        }
        write_all(file, zeros, offset).await?;
        if index % ZERO_PIECES_PER_SYNC == ZERO_PIECES_PER_SYNC - 1 {
            file.fdatasync().await.map_err(translate)?;
        }
    }
    file.fdatasync().await.map_err(translate)
}

async fn write_all(file: &BufferedFile, bytes: Vec<u8>, offset: u64) -> Result<(), DiskError> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + u64::try_from(done).expect("1 MiB at most");
        match file.write_at(bytes[done..].to_vec(), at).await.map_err(translate) {
            Ok(0) => return Err(DiskError::NoSpace),
            Ok(count) => done += count,
            Err(DiskError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn translate(error: GlommioError<()>) -> DiskError {
    match error.raw_os_error() {
        Some(number) => disk_error(&io::Error::from_raw_os_error(number)),
        None => disk_error(&io::Error::from(error)),
    }
}
