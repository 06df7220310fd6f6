//! `dead-letter.ndjson` in the data directory: one line for each record that no table would take,
//! with the reason, for people. Knows records; must not know statements.
//!
//! Lines are on disk before the transaction that steps over their records commits, so a crash may
//! repeat a line but never loses one; (stream, seq) tells repeats. An erase takes its user's lines.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::error::StoreError;
use crate::StreamId;
use nudged_base::hex;
use nudged_base::ids::Sequence;
use nudged_journal::record::{FormerEntry, Record, Withdrawn};

/// Held while the file is changed: of the stores of a process one may erase a user from it while
/// another one appends. No other process has the directory.
static CHANGING: Mutex<()> = Mutex::new(());

/// The file's name.
pub const FILE_NAME: &str = "dead-letter.ndjson";

/// The file, opened only when there is something to write.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
}

/// One record that could not be applied.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Where it is in the journal.
    pub stream: StreamId,
    /// Its sequence.
    pub sequence: Sequence,
    /// The record.
    pub record: Record<'a>,
    /// Why.
    pub reason: String,
}

impl DeadLetters {
    /// The file of a data directory; does not touch it.
    pub fn new(directory: &Path) -> DeadLetters {
        DeadLetters { path: directory.join(FILE_NAME) }
    }

    /// Appends letters and syncs them. Allocates.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn append(&self, letters: &[Letter<'_>]) -> Result<(), StoreError> {
        let mut text = String::new();
        for letter in letters {
            writeln!(text, "{}", line(letter)).expect("writing to a string");
        }
        let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.append(true).create(true).mode(0o600).open(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            self.sync_directory()
        };
        write().map_err(|source| self.error("append to it", source))
    }

    /// Takes a user's lines out of the file, if there is one: writes the others beside it and
    /// renames. Lines that are no JSON stay.
    ///
    /// # Errors
    /// Where the file can't be read or replaced.
    pub(crate) fn erase_user(&self, user: &str) -> Result<(), StoreError> {
        let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        match File::open(&self.path) {
            Ok(file) => self
                .copy_without(BufReader::new(file), user)
                .map_err(|source| self.error("erase a user from it", source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.error("open it", source)),
        }
    }

    fn copy_without(&self, lines: impl BufRead, user: &str) -> io::Result<()> {
        let beside = self.path.with_extension("ndjson.new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut out = BufWriter::new(file);
        let mut is_changed = false;
        for line in lines.split(b'\n') {
            let line = line?;
            let letter = serde_json::from_slice::<Value>(&line).unwrap_or_default();
            if letter["record"]["user"].as_str() == Some(user) {
                is_changed = true;
                continue;
            }
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        if !is_changed {
            return fs::remove_file(&beside);
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.sync_directory()
    }

    /// A created or renamed file is on disk once its directory is.
    fn sync_directory(&self) -> io::Result<()> {
        File::open(self.path.parent().expect("the file is in a directory"))?.sync_all()
    }

    fn error(&self, action: &'static str, source: io::Error) -> StoreError {
        StoreError::File { action, path: self.path.clone(), source }
    }
}

fn line(letter: &Letter<'_>) -> Value {
    json!({
        "stream": letter.stream.0,
        "seq": letter.sequence.0,
        "reason": letter.reason,
        "record": record_value(&letter.record),
    })
}

fn record_value(record: &Record<'_>) -> Value {
    match record {
        Record::Erase { user, revision, at } => json!({
            "erase": true,
            "user": user,
            "revision": [revision.epoch, revision.counter],
            "at": at.0,
        }),
        Record::Impression(impression) => json!({
            "user": impression.user,
            "revision": [impression.revision.epoch, impression.revision.counter],
            "at": impression.at.0,
            "action": impression.kind.word(),
            "acted_at": impression.acted_at.0,
            "decision": impression.token,
            "popup": impression.popup,
            "version": impression.version,
            "variant": impression.variant,
            "clocks": hex::encode(impression.clocks),
            "row": hex::encode(impression.row),
            "next_show_at": impression.next_show_at.map(|at| at.0),
            "forgotten": impression.forgotten,
        }),
        Record::Withdrawn(withdrawn) => withdrawn_value(withdrawn),
        Record::Unmerged(unmerged) => json!({
            "unmerged": true,
            "user": unmerged.user,
            "at": unmerged.at.0,
            "action": unmerged.kind.word(),
            "acted_at": unmerged.acted_at.0,
            "decision": unmerged.token,
            "popup": unmerged.popup,
            "version": unmerged.version,
            "variant": unmerged.variant,
            "number": unmerged.number,
            "shown_at": unmerged.shown_at.0,
        }),
    }
}

fn withdrawn_value(withdrawn: &Withdrawn<'_>) -> Value {
    let entry = |entry: &FormerEntry<'_>| {
        json!({
            "row": hex::encode(entry.row),
            "next_show_at": entry.next_show_at.map(|at| at.0),
        })
    };
    json!({
        "withdrawn": true,
        "user": withdrawn.user,
        "revision": [withdrawn.revision.epoch, withdrawn.revision.counter],
        "at": withdrawn.at.0,
        "shown_at": withdrawn.shown_at.0,
        "decision": withdrawn.token,
        "popup": withdrawn.popup,
        "version": withdrawn.version,
        "variant": withdrawn.variant,
        "clocks": hex::encode(withdrawn.clocks),
        "former": withdrawn.former.as_ref().map(entry),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::Revision;
    use nudged_base::time::WallMs;

    #[test]
    fn an_erase_beside_appends_takes_its_own_lines_and_no_others() {
        const LETTERS: u64 = 100;
        let directory = tempfile::tempdir().unwrap();
        let append = |user: &str| {
            for sequence in 1..=LETTERS {
                let revision = Revision { epoch: 1, counter: sequence };
                let record = Record::Erase { user, revision, at: WallMs(1) };
                let sequence = Sequence(sequence);
                let letter =
                    Letter { stream: StreamId(1), sequence, record, reason: String::new() };
                // Stores of their own, as each lane has.
                DeadLetters::new(directory.path()).append(&[letter]).unwrap();
            }
        };
        std::thread::scope(|scope| {
            let writers = ["stays", "goes"].map(|user| scope.spawn(move || append(user)));
            while writers.iter().any(|writer| !writer.is_finished()) {
                DeadLetters::new(directory.path()).erase_user("goes").unwrap();
            }
        });
        DeadLetters::new(directory.path()).erase_user("goes").unwrap();
        let text = fs::read_to_string(directory.path().join(FILE_NAME)).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("stays")).count(), 100);
        assert!(!text.contains("goes"));
    }
}
