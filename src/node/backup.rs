//! `nudged backup`: copies the database of an embedded node that runs. The node is asked first, so
//! that the copy has all that was acknowledged by then; the copy is made here, with the rights of
//! whoever runs the command, at the lowest priority, and is there whole or not at all.
//!
//! ```text
//! ask the node -> lock its directory -> room? -> FILE.partial -> checked, synced -> FILE
//! ```
//!
//! Exit codes: 0 the copy is there, 1 the node did not answer, 2 configuration, 4 no copy was made.
//! Limits: another backup of the directory is refused; as long as the copy is made the write-ahead
//! log grows, up to `BACKUP_LOG_BYTES_MAX` and while `BACKUP_SPARE_BYTES` are free.

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::Deserialize;

use super::admin_client::{AdminClient, AskError};
use super::arguments::{BackupArguments, SharedArguments};
use super::failure::Failure;
use super::serve::say;
use nudged_base::limits::{
    BACKUP_LOG_BYTES_MAX, BACKUP_PROGRESS_MS, BACKUP_SPARE_BYTES, BACKUP_TRIES_MAX, BACKUP_WATCH_MS,
};
use nudged_runtime::journal::directory::free_bytes;
use nudged_store::sqlite::snapshot::{CopySummary, DatabaseSnapshot, SnapshotStop, check_copy};

/// How much the command yields to everything else: the most.
const NICE: i32 = 19;

/// The node's answer.
#[derive(Debug, Deserialize)]
struct NodeDatabase {
    database: PathBuf,
    device: u64,
    inode: u64,
    records: u64,
}

/// Copies, and says what the copy has.
///
/// # Errors
/// Where the node does not answer or keeps no database, and where the copy can't be made; then no
/// file is left.
pub fn run(shared: &SharedArguments, arguments: &BackupArguments) -> Result<(), Failure> {
    let client = AdminClient::load(shared, &arguments.node)?;
    let begun = Instant::now();
    let is_piped = arguments.file == Path::new("-");
    let target = if is_piped { Target::passing()? } else { Target::of(&arguments.file)? };
    let node = ask(&client)?;
    let data = directory_of(&node)?;
    let _lock = lock(&data)?;
    check_room(&data, &target)?;
    // Who may not yield is only less polite.
    let _ = rustix::process::nice(NICE);
    let end = || if is_piped { target.pass_on() } else { target.settle() };
    let made = copy(&data, &target).and_then(|copied| end().map(|()| copied));
    let (summary, bytes) = made.inspect_err(|_| target.discard())?;
    let CopySummary { users, events } = summary;
    let name = if is_piped { "standard output".into() } else { target.file.display().to_string() };
    // Standard output is the copy's where it is asked for there.
    let say: fn(&str) = if is_piped { |line| eprintln!("nudged: {line}") } else { say };
    say(&format!(
        "{name}: {bytes} bytes, {users} users, {events} events, every record up to {}; {:.1} s",
        node.records,
        begun.elapsed().as_secs_f64()
    ));
    say(
        "to restore it, put it as nudged.db into an empty data directory, for the node's user alone",
    );
    Ok(())
}

/// Where the copy goes.
struct Target {
    file: PathBuf,
    directory: PathBuf,
    partial: PathBuf,
}

impl Target {
    /// # Errors
    /// Where something is there already, or the directory is not.
    fn of(file: &Path) -> Result<Target, Failure> {
        let refused = Failure::directory(file);
        if file.symlink_metadata().is_ok() {
            return Err(refused(
                "it is there already, and is left as it is: give a new name".into(),
            ));
        }
        let file = std::path::absolute(file).map_err(|error| refused(error.to_string()))?;
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(refused("it is no name of a file".to_owned()));
        };
        let metadata = directory.metadata().map_err(|error| {
            refused(format!("can't use the directory {}: {error}", directory.display()))
        })?;
        if !metadata.is_dir() {
            return Err(refused(format!("{} is no directory", directory.display())));
        }
        let mut partial = name.to_owned();
        partial.push(".partial");
        Ok(Target { partial: directory.join(partial), directory: directory.to_owned(), file })
    }

    /// A file of this process, for a copy that is passed on.
    fn passing() -> Result<Target, Failure> {
        let directory = std::env::var_os("TMPDIR").map_or("/var/tmp".into(), PathBuf::from);
        Target::of(&directory.join(format!("nudged-backup-{}.db", std::process::id())))
    }

    /// Writes the copy to standard output, and takes it away.
    fn pass_on(&self) -> Result<(), Failure> {
        let copy = || -> io::Result<()> {
            let mut file = File::open(&self.partial)?;
            self.discard();
            let mut out = io::stdout().lock();
            io::copy(&mut file, &mut out)?;
            out.flush()
        };
        copy().map_err(Failure::system("write the copy to standard output"))
    }

    /// An empty file for the copy, for its owner alone: it has the signing keys. What a copy that
    /// was killed has left is taken away.
    fn create(&self) -> Result<(), Failure> {
        self.discard();
        let created =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.partial);
        created.map(drop).map_err(Failure::directory(&self.partial))
    }

    /// Makes the copy last, under its name, unless something has come there meanwhile.
    fn settle(&self) -> Result<(), Failure> {
        let settled = || -> io::Result<()> {
            File::open(&self.partial)?.sync_all()?;
            match renameat_with(CWD, &self.partial, CWD, &self.file, RenameFlags::NOREPLACE) {
                // Not every file system can promise it.
                Err(rustix::io::Errno::INVAL) if self.file.symlink_metadata().is_err() => {
                    std::fs::rename(&self.partial, &self.file)?;
                }
                renamed => renamed?,
            }
            File::open(&self.directory)?.sync_all()
        };
        settled().map_err(Failure::directory(&self.file))
    }

    fn discard(&self) {
        // Where there is none, or none that may be taken away, making one tells.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// Has the node say that SQL is up to date; again where it could not catch up.
fn ask(client: &AdminClient) -> Result<NodeDatabase, Failure> {
    let mut tries = 1;
    loop {
        let refused = match client.ask("POST", "/v1/backup") {
            Ok(answer) => return Ok(answer),
            Err(refused) => refused,
        };
        let is_behind = matches!(&refused, AskError::Refused { status: 503, .. });
        if !is_behind || tries == BACKUP_TRIES_MAX {
            let hint = match &refused {
                AskError::Refused { status: 503, .. } => {
                    "; SQL does not catch up: `sql` in /v1/status says why"
                }
                AskError::Refused { code, .. } if code == "not_embedded" => {
                    ": this node keeps its users in MySQL; back that database up, for example with \
                     `mysqldump --single-transaction` or `mariadb-backup`"
                }
                AskError::Unreachable { .. } => {
                    ". Of a node that was stopped, nudged.db in its data directory is a whole \
                     backup: copy it"
                }
                _ => "",
            };
            return Err(Failure::Asking(format!("{refused}{hint}")));
        }
        tries += 1;
    }
}

/// The node's data directory, where this process sees the same file in it.
fn directory_of(node: &NodeDatabase) -> Result<PathBuf, Failure> {
    let refused = Failure::directory(&node.database);
    let metadata = node.database.metadata().map_err(|error| {
        refused(format!("{error}: run this on the node's host, as its user or as root"))
    })?;
    if (metadata.dev(), metadata.ino()) != (node.device, node.inode) {
        return Err(refused(
            "the file there is not the node's: run this on the node's host, where it sees the same \
             files"
                .to_owned(),
        ));
    }
    Ok(node.database.parent().unwrap_or(Path::new("/")).to_owned())
}

/// One backup of a directory at a time; the lock goes with the process.
fn lock(data: &Path) -> Result<File, Failure> {
    let refused = Failure::directory(data);
    let directory = File::open(data).map_err(|error| refused(error.to_string()))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(refused("another backup of it is being made: wait for that one".to_owned()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The copy is no larger than the database and its log; beside it the node needs room to go on.
fn check_room(data: &Path, target: &Target) -> Result<(), Failure> {
    let refused = Failure::directory(&target.file);
    let room = || -> io::Result<(u64, u64)> {
        let is_same = data.metadata()?.dev() == target.directory.metadata()?.dev();
        let spare = if is_same { BACKUP_SPARE_BYTES } else { 0 };
        let needed = bytes_of(data, "nudged.db") + bytes_of(data, "nudged.db-wal") + spare;
        Ok((needed, free_bytes(&target.directory)?))
    };
    match room().map_err(|error| refused(error.to_string()))? {
        (needed, free) if free < needed => Err(refused(format!(
            "no room: up to {needed} bytes are needed, but {free} are free: make room, or choose \
             another disk"
        ))),
        _ => Ok(()),
    }
}

fn bytes_of(directory: &Path, name: &str) -> u64 {
    directory.join(name).metadata().map_or(0, |metadata| metadata.len())
}

/// Makes the copy and looks whether it is whole; gives its size.
fn copy(data: &Path, target: &Target) -> Result<(CopySummary, u64), Failure> {
    target.create()?;
    let snapshot = DatabaseSnapshot::open(data)?;
    let stop = snapshot.stop_handle();
    let (done, is_done) = channel::<()>();
    let (copied, why) = std::thread::scope(|scope| {
        let watch = scope.spawn(move || watch(data, target, &stop, &is_done));
        let copied = snapshot.write_to(&target.partial);
        drop(done);
        (copied, watch.join().expect("it does not panic"))
    });
    if let Some(why) = why {
        return Err(Failure::directory(&target.file)(why));
    }
    copied?;
    let summary = check_copy(&target.partial)?;
    Ok((summary, target.partial.metadata().map_or(0, |metadata| metadata.len())))
}

/// Stops a copy that would take the node's room, and tells how far it is; gives why it was stopped.
fn watch(
    data: &Path,
    target: &Target,
    stop: &SnapshotStop,
    is_done: &Receiver<()>,
) -> Option<String> {
    let begun = Instant::now();
    let mut told_ms = 0;
    let period = Duration::from_millis(BACKUP_WATCH_MS);
    while is_done.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let log_bytes = bytes_of(data, "nudged.db-wal");
        // What can't be asked is taken for enough: the copy itself finds out.
        let free = free_bytes(data).unwrap_or(u64::MAX);
        if let Some(why) = too_much(log_bytes, free) {
            stop.stop();
            return Some(why);
        }
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if ms - told_ms >= BACKUP_PROGRESS_MS {
            told_ms = ms;
            let bytes = target.partial.metadata().map_or(0, |metadata| metadata.len());
            eprintln!("nudged: {bytes} bytes written, of at most {}", bytes_of(data, "nudged.db"));
        }
    }
    None
}

/// Why a copy has to end, if it has.
fn too_much(log_bytes: u64, free_bytes: u64) -> Option<String> {
    if log_bytes > BACKUP_LOG_BYTES_MAX {
        return Some(format!(
            "stopped: meanwhile the node has written {log_bytes} bytes, which it can't fold into \
             its database before the copy ends: try again at a quieter time, or copy to a faster \
             disk"
        ));
    }
    (free_bytes < BACKUP_SPARE_BYTES).then(|| {
        format!(
            "stopped: {free_bytes} bytes are left on the node's disk, and it needs them: make room, \
             or copy to another disk"
        )
    })
}
