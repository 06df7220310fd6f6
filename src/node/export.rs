//! `nudged export`: popups, users and statistics of the database, or records of journals, as NDJSON
//! on standard output.
//! Reads only, beside a running node too.
//!
//! ```text
//! popups   {"id","version","status_override","is_gone","overrides","origin","definition"} and, if
//!          asked for, "history", newest first, where a line that made no definition has null;
//!          overrides are its pauses and archives, those that ended too; behind them
//!          {"id","base_version","at","who","draft"} for each popup that has a draft
//! users    a user with their popups, or an erased one: `export_lines`
//! stats    counts of a popup's variant in an hour, of one journal: `export_lines`
//! journal  {"set","seq","action","at","user_id",...,"record"}: the columns of `events`, and the
//!          whole record in hex, which is what an import takes
//! ```
//!
//! Exit codes: 0, or those of `Failure`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::arguments::{ExportArguments, ExportSubject, SharedArguments};
use super::export_lines::{self, ExportItem};
use super::failure::Failure;
use super::record_lines::record_line;
use super::{settings, stopped_journal};
use nudged_background::projection::union::{Tombstone, WholeUser};
use nudged_base::limits::{HISTORY_READ_LINES, MOVED_ROWS};
use nudged_config::Config;
use nudged_domain::catalog::overrides::{OverridePlace, Overrides, encode};
use nudged_domain::catalog::snapshot::Status;
use nudged_journal::recovery;
use nudged_runtime::journal::directory::DirectoryReader;
use nudged_store::{Store, StoreError, StoreReader, StoredDraft, StoredPopup};

/// Writes what is asked for.
///
/// # Errors
/// Where it can't be read or written.
pub fn run(shared: &SharedArguments, arguments: &ExportArguments) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let exported = export(shared, arguments, &mut out);
    match exported.and_then(|()| out.flush().map_err(written)) {
        // A reader that has gone, as with `| head`, is no error.
        Err(Failure::System { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn export(
    shared: &SharedArguments,
    arguments: &ExportArguments,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let config = settings::load(shared, &[])?.config;
    match &arguments.subject {
        None => popups(&config, false, out),
        Some(ExportSubject::Popups { history }) => popups(&config, *history, out),
        Some(ExportSubject::Users) => users(&config, out),
        Some(ExportSubject::Stats) => stats(&config, out),
        Some(ExportSubject::Journal { directories }) if directories.is_empty() => {
            journal(&config.data, out)
        }
        Some(ExportSubject::Journal { directories }) => {
            directories.iter().try_for_each(|directory| journal(directory, out))
        }
    }
}

/// Users and erased ones, as SQL has them: what a journal holds beyond that comes later.
fn users(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let mut store = existing(config)?;
    let behind = |last: Option<&WholeUser>| last.map_or(String::new(), |user| user.user.clone());
    let users = |last: Option<&_>| store.whole_users_after(&behind(last), MOVED_ROWS);
    write_all(out, users, ExportItem::User)?;
    let behind = |last: &Tombstone| last.key.0.cast_signed();
    let erased =
        |last: Option<&_>| store.tombstones_after(last.map_or(i64::MIN, behind), MOVED_ROWS);
    write_all(out, erased, ExportItem::Erased)
}

/// Writes a line for each of what comes behind the last one, as often as there is something.
fn write_all<T: Clone>(
    out: &mut impl Write,
    mut next: impl FnMut(Option<&T>) -> Result<Vec<T>, StoreError>,
    item: impl Fn(T) -> ExportItem,
) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let rows = next(last.as_ref())?;
        if rows.is_empty() {
            return Ok(());
        }
        last = rows.last().cloned();
        for row in rows {
            writeln!(out, "{}", export_lines::write(&item(row))).map_err(written)?;
        }
    }
}

/// The store, where it is there: an export makes none.
fn existing(config: &Config) -> Result<Store, Failure> {
    StoreReader::of(config)?;
    Ok(Store::of(config)?)
}

fn stats(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let mut store = existing(config)?;
    let stats = |last: Option<&_>| store.whole_stats_after(last, MOVED_ROWS);
    write_all(out, stats, ExportItem::Stats)
}

fn popups(config: &Config, has_history: bool, out: &mut impl Write) -> Result<(), Failure> {
    let mut reader = StoreReader::of(config)?;
    let catalog = reader.catalog()?;
    let mut overrides = Overrides::default();
    for entry in &catalog.overrides {
        overrides.take(entry, OverridePlace::Sql);
    }
    for popup in catalog.popups {
        let mut line = popup_line(&popup, &overrides);
        if has_history {
            line["history"] = history(&reader, &popup.id)?;
        }
        // The definition as it is stored, to the byte.
        let definition = RawValue::from_string(popup.text).expect("what is stored is JSON");
        let head = line.to_string();
        let head = head.strip_suffix('}').expect("an object");
        writeln!(out, "{head},\"definition\":{definition}}}").map_err(written)?;
    }
    for StoredDraft { id, text, base_version, at, who } in reader.drafts()? {
        let head = json!({ "id": id, "base_version": base_version, "at": at.0, "who": who });
        let head = head.to_string();
        let head = head.strip_suffix('}').expect("an object");
        writeln!(out, "{head},\"draft\":{text}}}").map_err(written)?;
    }
    Ok(())
}

fn popup_line(popup: &StoredPopup, overrides: &Overrides) -> Value {
    let status = overrides.status(&popup.id).map(Status::word);
    let of_it = overrides.all().filter(|held| *held.entry.popup == *popup.id);
    let entries: Vec<Value> = of_it
        .map(|held| serde_json::from_str(&encode(&held.entry)).expect("our own values read back"))
        .collect();
    json!({
        "id": popup.id,
        "version": popup.version,
        "status_override": if popup.is_gone { Some(Status::Archived.word()) } else { status },
        "is_gone": popup.is_gone,
        "overrides": entries,
        "origin": popup.origin.word(),
    })
}

/// All of a popup's history, newest first. A line that made no definition has null, and stands on
/// the version that it names.
fn history(reader: &StoreReader, id: &str) -> Result<Value, Failure> {
    let raw = |text: &str| -> Value { serde_json::from_str(text).unwrap_or(Value::Null) };
    let mut told = Vec::new();
    let mut before = None;
    loop {
        let entries = reader.history(id, before, HISTORY_READ_LINES)?;
        let Some(last) = entries.last() else { return Ok(Value::Array(told)) };
        before = Some(last.number);
        told.extend(entries.iter().map(|entry| {
            json!({
                "version": entry.version,
                "change": entry.change,
                "at": entry.at.0,
                "who": entry.who,
                "diff": raw(&entry.diff),
                "definition": entry.text.as_deref().map(raw),
            })
        }));
    }
}

/// Writes every record of a data directory's journal, the applied ones that are kept too.
fn journal(directory: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let path = directory.join("journal");
    let disk = DirectoryReader::new(&path);
    let found = recovery::set_of(&disk).map_err(Failure::directory(&path))?;
    let set = found.ok_or("there is no journal").map_err(Failure::directory(&path))?;
    let (mut tail, end) = stopped_journal::kept(&disk, set).map_err(Failure::directory(&path))?;
    while let Some(batch) = tail.next(&disk, end).map_err(Failure::directory(&path))? {
        for (sequence, record) in batch {
            let record = record.map_err(|error| format!("{sequence}: {error}"));
            let record = record.map_err(Failure::directory(&path))?;
            writeln!(out, "{}", record_line(set, sequence, &record)).map_err(written)?;
        }
    }
    Ok(())
}

fn written(source: io::Error) -> Failure {
    Failure::System { action: "write to standard output", source }
}
