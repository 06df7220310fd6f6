//! `nudged import`: takes what `nudged export` wrote into the database, beside a running node too,
//! which notices within a second. The first line tells what it is.
//!
//! Popups: all lines are checked with everything that is stored before anything is; then all or
//! none, put down to `import`. Journals: each record once, by a stream of its own for each set, so
//! that a second import, and the node whose journal it was, change nothing that is there already.
//!
//! Users, erases and statistics: `import_users`, while no node runs.
//!
//! Exit codes: 0, 2 where a line or the whole is wrong, 4 where the database is. Limits:
//! [`IMPORT_LINE_BYTES_MAX`] a line, `POPUPS_FILE_BYTES_MAX` of popups.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::arguments::{ImportArguments, SharedArguments};
use super::failure::Failure;
use super::{export_lines, import_users, settings};
use nudged_base::hex;
use nudged_base::ids::Sequence;
use nudged_base::limits::{
    APPLY_RECORDS_MAX, IMPORT_LINE_BYTES_MAX, POPUPS_FILE_BYTES_MAX, POPUPS_MAX,
};
use nudged_base::time::WallMs;
use nudged_config::Config;
use nudged_domain::catalog::overrides::{self, Override};
use nudged_domain::catalog::snapshot::Status;
use nudged_domain::catalog::source::{Format, parse_popup};
use nudged_journal::record;
use nudged_publish::catalog_copy;
use nudged_publish::publisher::{ImportedLine, PublishError, import_popups};
use nudged_publish::shared_catalog::SharedCatalog;
use nudged_runtime::journal::directory::{DirectoryError, JournalDirectory};
use nudged_store::{Applied, DraftChange, Store, StoreError, StoredDraft, StoredPopup, StreamId};

/// A popup's line, as far as it is taken.
#[derive(Deserialize)]
struct PopupLine<'a> {
    id: String,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    status_override: Option<String>,
    /// This one and the next are absent from what an older version wrote.
    #[serde(default)]
    is_gone: Option<bool>,
    #[serde(borrow, default)]
    overrides: Option<&'a RawValue>,
    #[serde(borrow)]
    definition: &'a RawValue,
}

/// A draft's line.
#[derive(Deserialize)]
struct DraftLine<'a> {
    id: String,
    /// Absent from what an older version wrote.
    #[serde(default)]
    base_version: Option<u32>,
    at: i64,
    who: String,
    #[serde(borrow)]
    draft: &'a RawValue,
}

/// A record's line, as far as it is taken.
#[derive(Deserialize)]
struct RecordLine {
    set: String,
    seq: u64,
    record: String,
}

/// Takes a file, and says what was in it.
///
/// # Errors
/// Where a line or the whole is wrong, or the database is.
pub fn run(shared: &SharedArguments, arguments: &ImportArguments) -> Result<(), Failure> {
    println!("{}", import(shared, arguments)?);
    Ok(())
}

fn import(shared: &SharedArguments, arguments: &ImportArguments) -> Result<String, Failure> {
    let config = settings::load(shared, &[])?.config;
    let name = arguments.file.display().to_string();
    let input: Box<dyn io::Read> = match arguments.file.as_path() {
        path if path == Path::new("-") => Box::new(io::stdin()),
        path => {
            let unread =
                |error| wrong(&name, 0, &format!("can't read the file to import: {error}"));
            Box::new(File::open(path).map_err(unread)?)
        }
    };
    let mut lines = ImportLines { input: BufReader::new(input), name, number: 0 };
    let Some(first) = lines.next()? else { return Ok("nothing to import".to_owned()) };
    if export_lines::is_item(&first) {
        return import_users::import(&config, (first, arguments.nodes_lost), &mut lines);
    }
    make_directory(&config)?;
    let mut store = Store::of(&config)?;
    store.take_dropped().iter().for_each(|dropped| eprintln!("nudged: {dropped}"));
    store.check()?;
    if serde_json::from_str::<RecordLine>(&first).is_ok() {
        import_records(&mut store, first, &mut lines)
    } else {
        import_catalog(&config, &mut store, first, &mut lines)
    }
}

/// Makes the data directory of an embedded node where it is not there yet, as its node would.
fn make_directory(config: &Config) -> Result<(), Failure> {
    if config.mysql.url.is_some() || config.data.exists() {
        return Ok(());
    }
    match JournalDirectory::open(&config.data.join("journal")) {
        // A node that starts at this moment has made it.
        Ok(_) | Err(DirectoryError::Locked { .. }) => Ok(()),
        Err(error) => Err(Failure::directory(&config.data)(error)),
    }
}

/// Lines that are not empty, with their numbers.
pub(super) struct ImportLines {
    input: BufReader<Box<dyn io::Read>>,
    name: String,
    number: u64,
}

impl ImportLines {
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let mut line = String::new();
            let mut bounded = self.input.by_ref().take(IMPORT_LINE_BYTES_MAX + 1);
            self.number += 1;
            let read = bounded.read_line(&mut line);
            let count = read.map_err(|error| self.wrong(&error.to_string()))?;
            if u64::try_from(count).is_ok_and(|count| count > IMPORT_LINE_BYTES_MAX) {
                return Err(self.wrong("the line is too long"));
            }
            match line.trim() {
                "" if count == 0 => return Ok(None),
                "" => {}
                text => return Ok(Some(text.to_owned())),
            }
        }
    }

    pub(super) fn wrong(&self, problem: &str) -> Failure {
        wrong(&self.name, self.number, problem)
    }
}

fn wrong(name: &str, line: u64, problem: &str) -> Failure {
    Failure::Configuration(match line {
        0 => format!("{name}: {problem}"),
        line => format!("{name}:{line}: {problem}"),
    })
}

fn import_catalog(
    config: &Config,
    store: &mut Store,
    first: String,
    lines: &mut ImportLines,
) -> Result<String, Failure> {
    let (mut popups, mut overrides, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let mut drafts = Vec::new();
    let (mut next, mut bytes) = (Some(first), 0_u64);
    while let Some(line) = next {
        bytes = bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        if bytes > POPUPS_FILE_BYTES_MAX {
            return Err(lines.wrong("the file is larger than a catalog can be"));
        }
        let read = match serde_json::from_str::<DraftLine<'_>>(&line) {
            Ok(draft) => read_draft(&draft).map(|draft| drafts.push(draft)),
            Err(_) => read_popup(&line).map(|(popup, entries)| {
                popups.push(popup);
                overrides.extend(entries);
            }),
        };
        if let Err(list) = read {
            problems.extend(list.iter().map(|problem| lines.wrong(problem).to_string()));
        }
        next = lines.next()?;
    }
    let id = |line: &ImportedLine| line.definition.id().to_owned();
    popups.sort_by_key(id);
    let twice = popups.windows(2).filter(|pair| id(&pair[0]) == id(&pair[1]));
    problems.extend(twice.map(|pair| format!("popup \"{}\" appears twice", id(&pair[0]))));
    if !problems.is_empty() {
        return Err(Failure::Configuration(problems.join("\n")));
    }
    let outcome = import_popups(store, config, (&popups, &overrides));
    let (before, after) = outcome.map_err(|error| match error {
        PublishError::Store(StoreError::InFile { .. }) => Failure::Configuration(format!(
            "{error}; if there is no popups file any more, start the node once without one: its \
             popups are then the API's, and the import can change them"
        )),
        PublishError::Store(error) => error.into(),
        error => Failure::Configuration(error.lines().join("\n")),
    })?;
    let of_popup = |entries: &[Override], id: &str| -> Vec<Override> {
        entries.iter().filter(|entry| *entry.popup == *id).cloned().collect()
    };
    let is_changed = |popup: &&StoredPopup| {
        !before.popups.contains(popup)
            || of_popup(&before.overrides, &popup.id) != of_popup(&after.overrides, &popup.id)
    };
    let changed = after.popups.iter().filter(is_changed).count();
    if let Some(mut shared) = SharedCatalog::of(config) {
        let text = catalog_copy::encode(after.version, after.popups.iter(), &after.overrides);
        // Nodes look into SQL all the same, only later.
        let _ = shared.put(after.version, &text, None);
    }
    for draft in &drafts {
        if store.take_draft(draft, POPUPS_MAX)? == DraftChange::TooMany {
            return Err(lines.wrong(&format!("there are {POPUPS_MAX} drafts, which is the most")));
        }
    }
    let said = format!("{} popups, {changed} changed", popups.len());
    Ok(if drafts.is_empty() { said } else { format!("{said}, {} drafts", drafts.len()) })
}

/// # Errors
/// What is wrong with the line, an entry for each error.
fn read_draft(line: &DraftLine<'_>) -> Result<StoredDraft, Vec<String>> {
    let definition = parse_popup(line.draft.get(), Format::Json, &line.id)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let (id, who) = (line.id.clone(), line.who.clone());
    let (text, base_version) = (definition.canonical_json(), line.base_version);
    Ok(StoredDraft { id, text, base_version, at: WallMs(line.at), who })
}

/// # Errors
/// What is wrong with the line, an entry for each error.
fn read_popup(line: &str) -> Result<(ImportedLine, Vec<Override>), Vec<String>> {
    let read: PopupLine<'_> =
        serde_json::from_str(line).map_err(|error| vec![format!("not a popup: {error}")])?;
    let definition = parse_popup(read.definition.get(), Format::Json, &read.id)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let wrong = |problem: &str| vec![format!("popup \"{}\": {problem}", read.id)];
    let status = match read.status_override.as_deref() {
        None => None,
        Some(word) => Some(Status::of_word(word).ok_or_else(|| wrong("unknown status_override"))?),
    };
    let (is_gone, overrides) = match (read.is_gone, read.overrides) {
        (Some(is_gone), Some(text)) => {
            let entries = overrides::decode_all(text.get());
            let entries = entries.filter(|all| all.iter().all(|entry| *entry.popup == *read.id));
            (
                is_gone,
                entries.ok_or_else(|| wrong("overrides: not pauses and archives of this popup"))?,
            )
        }
        // An older version archived both in one word, and had no ids. A status "live" of an
        // operator's wins no more.
        _ if status == Some(Status::Archived) => (true, Vec::new()),
        _ => {
            let entry = status.and_then(|status| catalog_copy::entry_of(&read.id, status));
            (false, entry.into_iter().collect())
        }
    };
    Ok((ImportedLine { definition, version: read.version, is_gone }, overrides))
}

/// Records of one set that follow each other, on their way to one transaction.
struct ImportRun {
    stream: StreamId,
    set: String,
    first: u64,
    records: Vec<Vec<u8>>,
}

fn import_records(
    store: &mut Store,
    first: String,
    lines: &mut ImportLines,
) -> Result<String, Failure> {
    let mut total = Applied::default();
    let (mut run, mut next): (Option<ImportRun>, _) = (None, Some(first));
    while let Some(line) = next {
        let (read, bytes) = read_record(&line).map_err(|problem| lines.wrong(&problem))?;
        let goes_on = run.as_ref().is_some_and(|run| {
            let count = u64::try_from(run.records.len()).unwrap_or(u64::MAX);
            run.set == read.set
                && run.first.saturating_add(count) == read.seq
                && run.records.len() < APPLY_RECORDS_MAX
        });
        if !goes_on {
            let full = run.take();
            let known = full.as_ref().map(|run| (run.set.clone(), run.stream));
            if let Some(full) = full {
                add(&mut total, apply(store, &full)?);
            }
            let stream = match known {
                Some((set, stream)) if set == read.set => stream,
                _ => store.stream_id(stream_of(&read.set))?,
            };
            let (set, first) = (read.set, read.seq);
            run = Some(ImportRun { stream, set, first, records: Vec::new() });
        }
        run.as_mut().expect("one was just begun").records.push(bytes);
        next = lines.next()?;
    }
    if let Some(last) = run {
        add(&mut total, apply(store, &last)?);
    }
    let Applied { records, duplicates, skipped, rejected } = total;
    Ok(format!(
        "{records} records applied, {duplicates} already there, {skipped} imported before, \
         {rejected} refused"
    ))
}

fn read_record(line: &str) -> Result<(RecordLine, Vec<u8>), String> {
    let read: RecordLine =
        serde_json::from_str(line).map_err(|error| format!("not a record: {error}"))?;
    let bytes = hex::decode(&read.record).ok_or("record: not hex")?;
    record::decode(&bytes).map_err(|error| format!("record: {error}"))?;
    if read.seq == 0 || i64::try_from(read.seq).is_err() {
        return Err("seq: expected a number from 1".to_owned());
    }
    Ok((read, bytes))
}

/// An import's own stream for a set, so that claiming it stops no node.
fn stream_of(set: &str) -> [u8; 16] {
    let digest = Sha256::digest(format!("nudged import of {set}"));
    *digest.first_chunk().expect("a digest has 32 bytes")
}

fn apply(store: &mut Store, run: &ImportRun) -> Result<Applied, Failure> {
    let position = store.position(run.stream)?;
    if run.first > position.0 + 1 {
        // What is before it was in another file, or nowhere.
        store.skip_lost(run.stream, Sequence(run.first - 1))?;
    }
    let records: Vec<_> = (run.first..)
        .zip(&run.records)
        .map(|(seq, bytes)| (Sequence(seq), record::decode(bytes).expect("it was read before")))
        .collect();
    Ok(store.apply(run.stream, &records)?)
}

fn add(total: &mut Applied, more: Applied) {
    total.records += more.records;
    total.duplicates += more.duplicates;
    total.skipped += more.skipped;
    total.rejected += more.rejected;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::record_lines::record_line;
    use nudged_base::ids::Revision;
    use nudged_base::time::WallMs;
    use nudged_journal::record::{FormerEntry, Record, Withdrawn};
    use nudged_journal::segment::SetId;

    #[test]
    fn a_show_taken_back_is_printed_and_taken() {
        let entry = FormerEntry { row: &[1, 2], next_show_at: Some(WallMs(9)) };
        let withdrawn = Record::Withdrawn(Withdrawn {
            user: "u",
            revision: Revision { epoch: 1, counter: 5 },
            at: WallMs(7),
            shown_at: WallMs(6),
            token: "t",
            popup: "p",
            version: 3,
            variant: "v",
            clocks: &[4],
            former: Some(entry),
        });
        let line = record_line(SetId(1), Sequence(12), &withdrawn);
        let columns = ["action", "decision", "user_id", "popup_id", "variant"];
        let told = columns.map(|column| line[column].as_str().unwrap());
        assert_eq!(told, ["withdrawn", "t", "u", "p", "v"]);
        assert_eq!((&line["at"], &line["shown_at"]), (&7.into(), &6.into()));
        let (read, bytes) = read_record(&line.to_string()).unwrap();
        assert_eq!(read.seq, 12);
        assert_eq!(record::decode(&bytes).unwrap(), withdrawn);
    }
}
