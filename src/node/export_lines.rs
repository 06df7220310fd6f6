//! Users, erases and statistics as lines of NDJSON: what `nudged export users` and `stats` write
//! and `nudged import` takes. Each line says its kind.
//!
//! ```text
//! {"kind":"user","user_id","revision":[epoch,counter],"last_counted_at","day_shows","session",
//!  "session_shows","popups":[{"popup_id","shows","last_shown_at","outcome","outcome_at",
//!  "next_show_at","forgotten","first":[e,c],"revision":[e,c],"state"}]}
//! {"kind":"erased","user_hash","revision":[epoch,counter],"erased_at"}
//! {"kind":"stats","popup_id","variant","hour","set","counts":[decided,...,converted],"answered",
//!  "users":[decided,clicked]}
//! ```
//!
//! Hashes, states and sketches of users are hex; what a popup decides by is in `state`, and what is
//! beside it is for people.

use serde::{Deserialize, Serialize};

use nudged_background::projection::stats::StatUsers;
use nudged_background::projection::union::{Tombstone, WholeEntry, WholeUser};
use nudged_base::hex;
use nudged_base::ids::{Revision, UserKey};
use nudged_base::limits::{POPUP_ID_BYTES_MAX, USER_BYTES_MAX, USER_POPUPS_MAX};
use nudged_base::sketch::UserSketch;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::ShowOutcome;
use nudged_domain::state::user::UserClocks;
use nudged_store::whole::WholeStat;

/// A line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum ExportLine {
    /// A user with their popups.
    User(UserLine),
    /// An erased user.
    Erased(ErasedLine),
    /// Counts of a popup's variant in an hour.
    Stats(StatsLine),
}

#[derive(Debug, Deserialize, Serialize)]
struct UserLine {
    user_id: String,
    revision: (u32, u64),
    last_counted_at: Option<i64>,
    day_shows: u32,
    session: String,
    session_shows: u32,
    popups: Vec<EntryLine>,
}

#[derive(Debug, Deserialize, Serialize)]
struct EntryLine {
    popup_id: String,
    shows: u32,
    last_shown_at: Option<i64>,
    outcome: Option<String>,
    outcome_at: Option<i64>,
    next_show_at: Option<i64>,
    forgotten: bool,
    first: (u32, u64),
    revision: (u32, u64),
    state: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct ErasedLine {
    user_hash: String,
    revision: (u32, u64),
    erased_at: i64,
}

#[derive(Debug, Deserialize, Serialize)]
struct StatsLine {
    popup_id: String,
    variant: String,
    hour: i64,
    /// Absent for an hour.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_day: bool,
    set: String,
    counts: [i64; 6],
    /// Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered: Option<i64>,
    /// Absent where nobody is known.
    #[serde(default, skip_serializing_if = "is_nobody")]
    users: [Option<String>; 2],
}

fn is_nobody(users: &[Option<String>; 2]) -> bool {
    users.iter().all(Option::is_none)
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExportItem {
    /// A user with their popups.
    User(WholeUser),
    /// An erased user.
    Erased(Tombstone),
    /// Counts of a popup's variant in an hour.
    Stats(WholeStat),
}

/// Whether a line is one of these, whole or not.
pub(super) fn is_item(line: &str) -> bool {
    #[derive(Deserialize)]
    struct LineKind {
        kind: String,
    }
    serde_json::from_str::<LineKind>(line)
        .is_ok_and(|line| ["user", "erased", "stats"].contains(&line.kind.as_str()))
}

/// Writes a line, without its end.
pub(super) fn write(item: &ExportItem) -> String {
    let line = match item {
        ExportItem::User(user) => ExportLine::User(user_line(user)),
        ExportItem::Erased(erased) => ExportLine::Erased(ErasedLine {
            user_hash: format!("{:016x}", erased.key.0),
            revision: pair(erased.revision),
            erased_at: erased.at.0,
        }),
        ExportItem::Stats(row) => ExportLine::Stats(StatsLine {
            popup_id: row.popup.clone(),
            variant: row.variant.clone(),
            hour: row.hour,
            is_day: row.is_day,
            set: row.set.clone(),
            counts: row.counts,
            answered: row.answered,
            users: row.users.columns().map(|column| column.as_deref().map(hex::encode)),
        }),
    };
    serde_json::to_string(&line).expect("texts and numbers are JSON")
}

fn user_line(user: &WholeUser) -> UserLine {
    let entry = |entry: &WholeEntry| EntryLine {
        popup_id: entry.popup.clone(),
        shows: entry.shows,
        last_shown_at: entry.last_shown_at.map(|at| at.0),
        outcome: entry.outcome.map(|(outcome, _)| outcome.word().to_owned()),
        outcome_at: entry.outcome.map(|(_, at)| at.0),
        next_show_at: entry.next_show_at.map(|at| at.0),
        forgotten: entry.is_forgotten,
        first: pair(entry.first),
        revision: pair(entry.revision),
        state: hex::encode(&entry.state),
    };
    UserLine {
        user_id: user.user.clone(),
        revision: pair(user.revision),
        last_counted_at: user.clocks.last_counted_at.map(|at| at.0),
        day_shows: user.clocks.day_shows,
        session: format!("{:016x}", user.clocks.session),
        session_shows: user.clocks.session_shows,
        popups: user.entries.iter().map(entry).collect(),
    }
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(line: &str) -> Result<ExportItem, String> {
    match serde_json::from_str(line).map_err(|error| error.to_string())? {
        ExportLine::User(line) => read_user(line).map(ExportItem::User),
        ExportLine::Erased(line) => Ok(ExportItem::Erased(Tombstone {
            key: UserKey(hash("user_hash", &line.user_hash)?),
            revision: revision(line.revision)?,
            at: WallMs(line.erased_at),
        })),
        ExportLine::Stats(line) => read_stats(line).map(ExportItem::Stats),
    }
}

fn read_stats(line: StatsLine) -> Result<WholeStat, String> {
    let StatsLine { popup_id, variant, hour, is_day, set, counts, answered, users } = line;
    let is_set = !set.is_empty() && set.len() <= 64;
    if !is_set || counts.iter().any(|count| *count < 0) {
        return Err("stats: expected a set, and counts of 0 or more".to_owned());
    }
    let popup = id("popup_id", popup_id)?;
    let mut columns = [None, None];
    for (column, text) in columns.iter_mut().zip(users) {
        let Some(text) = text else { continue };
        let bytes = hex::decode(&text).filter(|bytes| UserSketch::decode(bytes).is_some());
        *column = Some(bytes.ok_or("users: expected a sketch of users, in hex")?);
    }
    let users = StatUsers::of_columns(&counts, columns.each_ref().map(Option::as_deref));
    Ok(WholeStat { popup, variant, hour, is_day, set, counts, answered, users })
}

fn read_user(line: UserLine) -> Result<WholeUser, String> {
    if line.user_id.is_empty() || line.user_id.len() > USER_BYTES_MAX {
        return Err(format!("user_id: expected 1 to {USER_BYTES_MAX} bytes"));
    }
    let clocks = UserClocks {
        last_counted_at: line.last_counted_at.map(WallMs),
        day_shows: line.day_shows,
        session: hash("session", &line.session)?,
        session_shows: line.session_shows,
        erased_at: None,
    };
    let entries = line.popups.into_iter().map(read_entry).collect::<Result<Vec<_>, _>>()?;
    let remembered = entries.iter().filter(|entry| !entry.is_forgotten).count();
    if remembered > USER_POPUPS_MAX {
        return Err(format!("popups: more than {USER_POPUPS_MAX} that are remembered"));
    }
    Ok(WholeUser { user: line.user_id, revision: revision(line.revision)?, clocks, entries })
}

fn read_entry(line: EntryLine) -> Result<WholeEntry, String> {
    let outcome = match &line.outcome {
        None => None,
        Some(name) => {
            let known = ShowOutcome::of_word(name);
            Some(known.ok_or_else(|| format!("outcome: unknown `{name}`"))?)
        }
    };
    let entry = WholeEntry {
        popup: id("popup_id", line.popup_id)?,
        shows: line.shows,
        last_shown_at: line.last_shown_at.map(WallMs),
        outcome: outcome.zip(line.outcome_at.map(WallMs)),
        next_show_at: line.next_show_at.map(WallMs),
        is_forgotten: line.forgotten,
        first: revision(line.first)?,
        revision: revision(line.revision)?,
        state: hex::decode(&line.state).ok_or("state: not hex")?,
    };
    match entry.is_forgotten || entry.decoded().is_some() {
        true => Ok(entry),
        false => Err(format!("state: belongs to another popup than \"{}\"", entry.popup)),
    }
}

fn id(name: &str, text: String) -> Result<String, String> {
    match text.is_empty() || text.len() > POPUP_ID_BYTES_MAX {
        true => Err(format!("{name}: expected 1 to {POPUP_ID_BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

fn pair(revision: Revision) -> (u32, u64) {
    (revision.epoch, revision.counter)
}

/// A revision, with room for one above it.
fn revision((epoch, counter): (u32, u64)) -> Result<Revision, String> {
    let fits = i64::try_from(counter).is_ok_and(|counter| counter < i64::MAX);
    if fits { Ok(Revision { epoch, counter }) } else { Err("revision: out of range".to_owned()) }
}

fn hash(name: &str, text: &str) -> Result<u64, String> {
    let hash = hex::decode_array(text).map(u64::from_be_bytes);
    hash.ok_or_else(|| format!("{name}: expected 16 hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::PopupKey;
    use nudged_domain::state::user::{PopupState, Show, encode_popup};

    #[test]
    fn lines_come_back_as_they_were_and_junk_is_named() {
        let mut entry = PopupState::empty(PopupKey::of("p"));
        (entry.shows_total, entry.shows_used) = (3, 1);
        entry.shows[0] = Show { at: WallMs(9), number: 3, actions: 0 };
        let mut state = Vec::new();
        encode_popup(&entry, &mut state);
        let revision = Revision { epoch: 2, counter: 7 };
        let entry = WholeEntry {
            popup: "p".to_owned(),
            shows: 3,
            last_shown_at: Some(WallMs(9)),
            outcome: Some((ShowOutcome::Clicked, WallMs(10))),
            revision,
            state,
            ..WholeEntry::default()
        };
        let clocks = UserClocks { session: u64::MAX, day_shows: 1, ..UserClocks::default() };
        let user = WholeUser { user: "u\u{e9}".to_owned(), revision, clocks, entries: vec![entry] };
        let erased = Tombstone { key: UserKey(u64::MAX), revision, at: WallMs(4) };
        let stats = WholeStat {
            popup: "p".to_owned(),
            variant: String::new(),
            hour: 3_600_000,
            is_day: true,
            set: "ab".to_owned(),
            counts: [1, 2, 3, 4, 5, 6],
            answered: Some(4),
            users: StatUsers { by_kind: [Some(["u"].into_iter().collect()), None] },
        };
        for item in [ExportItem::User(user), ExportItem::Erased(erased), ExportItem::Stats(stats)] {
            let line = write(&item);
            assert!(is_item(&line), "{line}");
            assert_eq!(read(&line).unwrap(), item);
        }
        let junk = "{\"kind\":\"stats\",\"popup_id\":\"p\",\"variant\":\"\",\"hour\":0,\"set\":\"ab\",\
                    \"counts\":[1,0,0,0,0,0],\"users\":[\"ff\",null]}";
        assert_eq!(read(junk).unwrap_err(), "users: expected a sketch of users, in hex");
        let other = "{\"kind\":\"erased\",\"user_hash\":\"1\",\"revision\":[0,1],\"erased_at\":1}";
        assert_eq!(read(other).unwrap_err(), "user_hash: expected 16 hex digits");
        assert!(!is_item("{\"id\":\"p\",\"definition\":{}}"));
    }
}
