//! The journal's commands carried out over real files, each in a task of its own, except writes to
//! a file that is open, and syncs of it where acknowledgements wait for them: these are plain
//! calls. File systems other than XFS and Btrfs give a ring's buffered write to a worker thread,
//! which costs several times what the copy into the page cache does, and every kernel gives it a
//! sync, which then is two more turns of threads; and whoever would be kept waiting here waits for
//! that write, or for that sync and then for the next.
//!
//! Limits: two files open; a segment is zeroed in pieces of [`ZERO_BYTES`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;

use glommio::io::{BufferedFile, OpenOptions};
use glommio::{GlommioError, executor};

use super::Signal;
use crate::journal::directory::{JournalDirectory, disk_error};
use nudged_journal::disk::{DiskCommand, DiskCompletion, DiskError};
use nudged_journal::segment::{HEADER_BYTES, SECOND_HEADER_OFFSET, SegmentHeader, SegmentId};

/// Bytes of zeros that are written at once when a segment is made.
const ZERO_BYTES: usize = 1_024 * 1_024;
/// Pieces of zeros between two syncs: a sync of a whole segment would stall the journal's own.
const ZERO_PIECES_PER_SYNC: u64 = 8;
/// What the commands' tasks share with the driving task.
pub(super) struct Files {
    pub(super) directory: Arc<JournalDirectory>,
    pub(super) open: RefCell<BTreeMap<SegmentId, Rc<BufferedFile>>>,
    pub(super) completions: RefCell<VecDeque<DiskCompletion>>,
    pub(super) signal: Signal,
    /// Commands that have a task: while there is none, nothing is waited for but the lanes.
    pub(super) under_way: Cell<usize>,
    /// Acknowledgements wait for syncs.
    pub(super) is_sync_awaited: bool,
    pub(super) is_over: Cell<bool>,
}

impl Files {
    pub(super) async fn carry_out(&self, command: DiskCommand) -> DiskCompletion {
        match command {
            DiskCommand::Write { segment, offset, bytes } => {
                let file = self.file(segment).await;
                let outcome = file.and_then(|file| write_now(&file, &bytes, offset));
                DiskCompletion::Written(segment, outcome)
            }
            DiskCommand::Sync { segment } => {
                let outcome = match self.file(segment).await {
                    Ok(file) => file.fdatasync().await.map_err(translate),
                    Err(error) => Err(error),
                };
                DiskCompletion::Synced(segment, outcome)
            }
            DiskCommand::Prepare { segment, header, bytes } => {
                let outcome = self.prepare(segment, header, bytes).await;
                DiskCompletion::Prepared(segment, outcome)
            }
            DiskCommand::Remove { segment } => {
                self.open.borrow_mut().remove(&segment);
                let path = self.directory.segment_path(segment);
                let removed = executor().spawn_blocking(move || std::fs::remove_file(path)).await;
                let outcome = match removed.map_err(|error| disk_error(&error)) {
                    Err(DiskError::Missing) => Ok(()),
                    other => other,
                };
                DiskCompletion::Removed(segment, outcome)
            }
        }
    }

    /// Carries a write out on the spot, or a sync that is waited for, where its file is open; else
    /// gives the command back.
    pub(super) fn carry_out_now(
        &self,
        command: DiskCommand,
    ) -> Result<DiskCompletion, DiskCommand> {
        let open = self.open.borrow();
        match &command {
            DiskCommand::Write { segment, offset, bytes } if open.contains_key(segment) => {
                let outcome = write_now(&open[segment], bytes, *offset);
                Ok(DiskCompletion::Written(*segment, outcome))
            }
            DiskCommand::Sync { segment } if self.is_sync_awaited && open.contains_key(segment) => {
                Ok(DiskCompletion::Synced(*segment, sync_now(&open[segment])))
            }
            _ => Err(command),
        }
    }

    /// The file of a segment, opened at its first use. Earlier ones are of no more use by then.
    async fn file(&self, segment: SegmentId) -> Result<Rc<BufferedFile>, DiskError> {
        if let Some(file) = self.open.borrow().get(&segment) {
            return Ok(Rc::clone(file));
        }
        let path = self.directory.segment_path(segment);
        let opened = OpenOptions::new().write(true).buffered_open(path).await;
        let file = Rc::new(opened.map_err(translate)?);
        let mut open = self.open.borrow_mut();
        // A write and a sync may have opened the same file at once: the first one stays.
        let file = Rc::clone(open.entry(segment).or_insert(file));
        while open.len() > 2 {
            open.pop_first();
        }
        Ok(file)
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

/// One write into the page cache; gives how many bytes were taken.
fn write_now(file: &BufferedFile, bytes: &[u8], offset: u64) -> Result<usize, DiskError> {
    let written = rustix::io::pwrite(descriptor_of(file), bytes, offset);
    written.map_err(|error| disk_error(&io::Error::from(error)))
}

/// Waits here until the file's bytes are durable.
fn sync_now(file: &BufferedFile) -> Result<(), DiskError> {
    let synced = rustix::fs::fdatasync(descriptor_of(file));
    synced.map_err(|error| disk_error(&io::Error::from(error)))
}

fn descriptor_of(file: &BufferedFile) -> BorrowedFd<'_> {
    // SAFETY: the file is open and stays so while it is borrowed.
    unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) }
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
