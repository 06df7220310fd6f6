//! Whole rows of users, erases, events, statistics and popups, read in pages and taken in. Each
//! call that takes something in is one transaction and may be repeated. Knows columns; what a union
//! of users is stands in `writer::union`.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use jiff::tz::TimeZone;
use mysql_async::FromRowError;
use mysql_async::prelude::FromRow;

use super::Mysql;
use super::erase::erases_of;
use super::rows::{PART, execute_all, signed};
use super::session::Session;
use super::streams::number_all;
use super::text::{Literal, Rows, list, push_row, push_text};
use crate::error::StoreError;
use crate::stored::StreamId;
use crate::whole::{
    TakenUsers, WholeEvent, WholeOverride, WholePopup, WholeStat, WholeStream, outcome_at, plan,
};
use nudged_background::writer::union::{Tombstone, WholeEntry, WholeUser};
use nudged_base::happening::Happening;
use nudged_base::ids::{PopupKey, Revision, UserKey};
use nudged_base::time::WallMs;
use nudged_domain::state::user::UserClocks;

/// What became of a popup that was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenPopup {
    /// It was not there.
    New,
    /// It is there, the same.
    Known,
    /// It is there with another definition, which stays.
    Differs,
}

impl Mysql {
    /// See [`crate::Store::whole_users_after`].
    pub(crate) fn whole_users_after(
        &mut self,
        after: &str,
        count: usize,
    ) -> Result<Vec<WholeUser>, StoreError> {
        let session = self.session.get_mut();
        let mut query = "SELECT user_id FROM users WHERE user_id > ".to_owned();
        push_text(&mut query, after);
        query.push_str(&format!(" ORDER BY user_id LIMIT {count}"));
        let ids: Vec<(String,)> = session.query("read users", &query)?;
        let ids: Vec<&str> = ids.iter().map(|(id,)| id.as_str()).collect();
        Ok(read_whole(session, &ids, "")?.into_values().collect())
    }

    /// See [`crate::Store::take_users`].
    pub(crate) fn take_users(
        &mut self,
        users: &[WholeUser],
        zone: &TimeZone,
    ) -> Result<TakenUsers, StoreError> {
        let ids: Vec<&str> = users.iter().map(|user| user.user.as_str()).collect();
        let keys: Vec<UserKey> = ids.iter().map(|id| UserKey::of(id.as_bytes())).collect();
        self.session.get_mut().transaction(|session| {
            let known = read_whole(session, &ids, " FOR UPDATE")?;
            let erased: HashMap<UserKey, Tombstone> = erases_of(session, &keys)?
                .into_iter()
                .map(|(key, (revision, at))| (key, Tombstone { key, revision, at }))
                .collect();
            let (written, taken) = plan(users, &known, &erased, zone);
            write_whole(session, &written)?;
            Ok(taken)
        })
    }

    /// See [`crate::Store::tombstones_after`].
    pub(crate) fn tombstones_after(
        &mut self,
        after: i64,
        count: usize,
    ) -> Result<Vec<Tombstone>, StoreError> {
        let query = format!(
            "SELECT user_hash, revision_epoch, revision_counter, erased_at FROM erased_users \
             WHERE user_hash > {after} ORDER BY user_hash LIMIT {count}"
        );
        let rows: Vec<(i64, u32, u64, i64)> =
            self.session.get_mut().query("read tombstones", &query)?;
        let tombstone = |(key, epoch, counter, at): (i64, u32, u64, i64)| Tombstone {
            key: UserKey(key.cast_unsigned()),
            revision: Revision { epoch, counter },
            at: WallMs(at),
        };
        Ok(rows.into_iter().map(tombstone).collect())
    }

    /// See [`crate::Store::take_tombstones`].
    pub(crate) fn take_tombstones(&mut self, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        self.session.get_mut().transaction(|session| {
            lift_users(session, tombstones)?;
            write_tombstones(session, tombstones)
        })
    }

    /// The users with these keys that have rows.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn users_of(&mut self, keys: &[UserKey]) -> Result<Vec<String>, StoreError> {
        let mut users = Vec::new();
        for part in keys.chunks(nudged_base::limits::MYSQL_LIST_MAX) {
            let hashes = part.iter().map(|key| Literal::Number(key.0.cast_signed()));
            let query = format!("SELECT user_id FROM users WHERE user_hash IN {}", list(hashes));
            let rows: Vec<(String,)> = self.session.get_mut().query("read users", &query)?;
            users.extend(rows.into_iter().map(|(user,)| user));
        }
        Ok(users)
    }

    /// See [`crate::Store::whole_stats_after`].
    pub(crate) fn whole_stats_after(
        &mut self,
        after: Option<&WholeStat>,
        count: usize,
    ) -> Result<Vec<WholeStat>, StoreError> {
        let mut query = "SELECT popup_id, variant, hour, set_id, decided, shown, ignored, \
                         dismissed, clicked, converted \
                         FROM popup_stats JOIN streams ON streams.stream = popup_stats.stream"
            .to_owned();
        if let Some(row) = after {
            // The first column alone lets the server begin at the right place.
            query.push_str(" WHERE popup_id >= ");
            push_text(&mut query, &row.popup);
            query.push_str(" AND (popup_id, variant, hour, set_id) > ");
            let place = [
                Literal::Text(&row.popup),
                Literal::Text(&row.variant),
                Literal::Number(row.hour),
                Literal::Text(&row.set),
            ];
            push_row(&mut query, &place);
        }
        query.push_str(&format!(" ORDER BY popup_id, variant, hour, set_id LIMIT {count}"));
        type Columns = (String, String, i64, String, i64, i64, i64, i64, i64, i64);
        let rows: Vec<Columns> = self.session.get_mut().query("read statistics", &query)?;
        let row = |(popup, variant, hour, set, a, b, c, d, e, f): Columns| WholeStat {
            popup,
            variant,
            hour,
            set,
            counts: [a, b, c, d, e, f],
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// See [`crate::Store::take_stats`].
    pub(crate) fn take_stats(&mut self, stats: &[WholeStat]) -> Result<(), StoreError> {
        let session = self.session.get_mut();
        let mut names: Vec<String> = stats.iter().map(|row| row.set.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let streams = number_all(session, &names)?;
        let columns = Happening::ALL.map(Happening::word);
        let higher =
            columns.map(|column| format!("{column} = GREATEST({column}, VALUES({column}))"));
        let tail = format!(" ON DUPLICATE KEY UPDATE {}", higher.join(", "));
        let mut rows = Rows::new(
            "INSERT INTO popup_stats (popup_id, variant, hour, stream, part, decided, shown, \
             ignored, dismissed, clicked, converted) VALUES ",
            &tail,
            session.statement_bytes_max()?,
        );
        for row in stats {
            let [decided, shown, ignored, dismissed, clicked, converted] =
                row.counts.map(Literal::Number);
            rows.push(&[
                Literal::Text(&row.popup),
                Literal::Text(&row.variant),
                Literal::Number(row.hour),
                Literal::Number(streams[&row.set].0.into()),
                Literal::Number(PART),
                decided,
                shown,
                ignored,
                dismissed,
                clicked,
                converted,
            ]);
        }
        let statements = rows.finish();
        session.transaction(|session| {
            execute_all(session, "take statistics in", &statements).map(|_| ())
        })
    }

    /// The numbers that journals have here, by set id in hex; made where they are new. Claims none.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn stream_numbers(
        &mut self,
        sets: &[String],
    ) -> Result<BTreeMap<String, StreamId>, StoreError> {
        if sets.is_empty() { Ok(BTreeMap::new()) } else { number_all(self.session.get_mut(), sets) }
    }

    /// Whether a journal's records were ever applied here.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn knows_set(&mut self, set: &str) -> Result<bool, StoreError> {
        let mut query = "SELECT COUNT(*) FROM streams WHERE set_id = ".to_owned();
        push_text(&mut query, set);
        let found: Option<(u64,)> = self.session.get_mut().query_one("find a stream", &query)?;
        Ok(found.is_some_and(|(count,)| count > 0))
    }

    /// How many streams were ever claimed, and how often in all, but for these, by set id in hex:
    /// it changes with each start of a node here.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn claims_but(&mut self, sets: &[String]) -> Result<(u64, u64), StoreError> {
        let mut query = "SELECT COUNT(*), CAST(COALESCE(SUM(epoch), 0) AS UNSIGNED) \
                         FROM writer_position"
            .to_owned();
        if !sets.is_empty() {
            let sets = list(sets.iter().map(|set| Literal::Text(set)));
            query.push_str(&format!(
                " WHERE stream NOT IN (SELECT stream FROM streams WHERE set_id IN {sets})"
            ));
        }
        let found = self.session.get_mut().query_one("look for claims", &query)?;
        Ok(found.unwrap_or_default())
    }

    /// Moves the positions of journals up to what was taken in from elsewhere.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn take_positions(&mut self, streams: &[WholeStream]) -> Result<(), StoreError> {
        let sets: Vec<String> = streams.iter().map(|stream| stream.set.clone()).collect();
        let numbers = self.stream_numbers(&sets)?;
        let session = self.session.get_mut();
        let mut rows = Rows::new(
            "INSERT INTO writer_position (stream, part, epoch, off) VALUES ",
            " ON DUPLICATE KEY UPDATE off = GREATEST(off, VALUES(off))",
            session.statement_bytes_max()?,
        );
        for stream in streams {
            let number = i64::from(numbers[&stream.set].0);
            rows.push(&[number, PART, 1, signed(stream.applied.0)].map(Literal::Number));
        }
        let statements = rows.finish();
        session.transaction(|session| {
            execute_all(session, "move the position", &statements).map(|_| ())
        })
    }

    /// Takes events in, `numbers` being what their streams are called here. Those that are there,
    /// by place or by (decision, action), stay as they are; gives the number of new ones.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn take_events(
        &mut self,
        events: &[WholeEvent],
        numbers: &BTreeMap<u32, StreamId>,
    ) -> Result<u64, StoreError> {
        let session = self.session.get_mut();
        let mut rows = Rows::new(
            "INSERT INTO events (stream, seq, decision, action, at, acted_at, user_id, popup_id, \
             version, variant, revision_epoch, revision_counter) VALUES ",
            " ON DUPLICATE KEY UPDATE stream = stream",
            session.statement_bytes_max()?,
        );
        for event in events {
            rows.push(&[
                Literal::Number(numbers[&event.stream].0.into()),
                Literal::Number(signed(event.sequence.0)),
                Literal::Text(&event.decision),
                Literal::Text(&event.action),
                Literal::Number(event.times.0),
                Literal::Number(event.times.1),
                Literal::MaybeText(event.user.as_deref()),
                Literal::Text(&event.popup),
                Literal::Number(event.version.into()),
                Literal::Text(&event.variant),
                Literal::Number(event.revision.0.into()),
                Literal::Number(event.revision.1),
            ]);
        }
        let statements = rows.finish();
        session.transaction(|session| execute_all(session, "take events in", &statements))
    }

    /// Takes a popup in with its changes, where there is none of its id.
    ///
    /// # Errors
    /// Where the server fails, or another popup has its key.
    pub fn take_popup(&mut self, popup: &WholePopup) -> Result<TakenPopup, StoreError> {
        self.session.get_mut().transaction(|session| {
            lock_catalog(session)?;
            let mut query = "SELECT definition FROM popups WHERE popup_id = ".to_owned();
            push_text(&mut query, &popup.id);
            let known: Option<(String,)> = session.query_one("read popups", &query)?;
            match known {
                Some((text,)) if text == popup.text => return Ok(TakenPopup::Known),
                Some(_) => return Ok(TakenPopup::Differs),
                None => {}
            }
            insert_popup(session, popup)?;
            raise_catalog(session)?;
            Ok(TakenPopup::New)
        })
    }

    /// Takes entries of overrides in: the union by id, in which an end stays. Gives the number of
    /// rows that were changed.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn take_overrides(&mut self, entries: &[WholeOverride]) -> Result<u64, StoreError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let session = self.session.get_mut();
        let mut rows = Rows::new(
            "INSERT INTO override_entries (entry_id, popup_id, kind, at, who, ended_at, ended_by) \
             VALUES ",
            " ON DUPLICATE KEY UPDATE ended_by = COALESCE(ended_by, VALUES(ended_by)), \
             ended_at = COALESCE(ended_at, VALUES(ended_at))",
            session.statement_bytes_max()?,
        );
        for entry in entries {
            rows.push(&[
                Literal::Text(&entry.entry),
                Literal::Text(&entry.popup),
                Literal::Text(&entry.kind),
                Literal::Number(entry.begun.0),
                Literal::Text(&entry.begun.1),
                Literal::Maybe(entry.ended.0),
                Literal::MaybeText(entry.ended.1.as_deref()),
            ]);
        }
        let statements = rows.finish();
        session.transaction(|session| {
            lock_catalog(session)?;
            let changed = execute_all(session, "take overrides in", &statements)?;
            if changed > 0 {
                raise_catalog(session)?;
            }
            Ok(changed)
        })
    }
}

/// Whoever changes the catalog comes one after the other.
fn lock_catalog(session: &mut Session) -> Result<(), StoreError> {
    let lock = "SELECT version FROM catalog_version WHERE id = 1 FOR UPDATE";
    let _version: Option<(u64,)> = session.query_one("lock the catalog", lock)?;
    Ok(())
}

fn raise_catalog(session: &mut Session) -> Result<(), StoreError> {
    let raise = "UPDATE catalog_version SET version = version + 1 WHERE id = 1";
    session.execute("change popups", raise).map(|_| ())
}

fn insert_popup(session: &mut Session, popup: &WholePopup) -> Result<(), StoreError> {
    let mut insert = "INSERT INTO popups (popup_id, popup_key, version, origin, definition, \
                      archived_at) VALUES "
        .to_owned();
    push_row(
        &mut insert,
        &[
            Literal::Text(&popup.id),
            Literal::Number(PopupKey::of(&popup.id).0.cast_signed()),
            Literal::Number(popup.version.into()),
            Literal::Text(&popup.origin),
            Literal::Text(&popup.text),
            Literal::Maybe(popup.archived_at),
        ],
    );
    session.execute("take popups in", &insert)?;
    let mut rows = Rows::new(
        "INSERT INTO popup_history (popup_id, version, `change`, at, who, diff, definition) VALUES ",
        "",
        session.statement_bytes_max()?,
    );
    for (version, change, at, who, diff, text) in &popup.history {
        rows.push(&[
            Literal::Text(&popup.id),
            Literal::Number((*version).into()),
            Literal::Text(change),
            Literal::Number(*at),
            Literal::Text(who),
            Literal::Text(diff),
            Literal::Text(text),
        ]);
    }
    execute_all(session, "take popups in", &rows.finish()).map(|_| ())
}

/// Rows of users that are not above a tombstone's revision are lifted above it: it is of another
/// store, and not about them.
fn lift_users(session: &mut Session, tombstones: &[Tombstone]) -> Result<(), StoreError> {
    let hashes = tombstones.iter().map(|one| Literal::Number(one.key.0.cast_signed()));
    let hashes: Vec<Literal<'_>> = hashes.collect();
    if hashes.is_empty() {
        return Ok(());
    }
    let query = format!(
        "SELECT user_id, user_hash, revision_epoch, revision_counter FROM users \
         WHERE user_hash IN {} FOR UPDATE",
        list(hashes.into_iter())
    );
    let rows: Vec<(String, i64, u32, u64)> = session.query("read users", &query)?;
    for (user, hash, epoch, counter) in rows {
        let of = |one: &&Tombstone| one.key.0.cast_signed() == hash;
        let Some(one) = tombstones.iter().find(of) else { continue };
        if (Revision { epoch, counter }) > one.revision {
            continue;
        }
        let above = one.revision.next();
        let mut update = format!(
            "UPDATE users SET revision_epoch = {}, revision_counter = {} WHERE user_id = ",
            above.epoch, above.counter
        );
        push_text(&mut update, &user);
        session.execute("take tombstones in", &update)?;
    }
    Ok(())
}

fn write_tombstones(session: &mut Session, tombstones: &[Tombstone]) -> Result<(), StoreError> {
    let mut rows = Rows::new(
        "INSERT INTO erased_users (user_hash, revision_epoch, revision_counter, erased_at) VALUES ",
        super::erase::TOMBSTONE_TAIL,
        session.statement_bytes_max()?,
    );
    for one in tombstones {
        rows.push(&[
            Literal::Number(one.key.0.cast_signed()),
            Literal::Number(one.revision.epoch.into()),
            Literal::Number(signed(one.revision.counter)),
            Literal::Number(one.at.0),
        ]);
    }
    execute_all(session, "take tombstones in", &rows.finish()).map(|_| ())
}

/// A row of `user_popups` beside its user.
struct EntryOfUser(String, WholeEntry);

impl FromRow for EntryOfUser {
    fn from_row_opt(row: mysql_async::Row) -> Result<EntryOfUser, FromRowError> {
        type Columns = (
            (String, String, u32, Option<i64>, Option<String>, Option<i64>),
            (Option<i64>, bool, u32, u64, u32, u64, Vec<u8>),
        );
        let mut row = row;
        let bad = |row: &mysql_async::Row| FromRowError(row.clone());
        let mut read = || -> Option<Columns> {
            let head = (
                row.take(0)?,
                row.take(1)?,
                row.take(2)?,
                row.take(3)?,
                row.take(4)?,
                row.take(5)?,
            );
            let tail = (
                row.take(6)?,
                row.take(7)?,
                row.take(8)?,
                row.take(9)?,
                row.take(10)?,
                row.take(11)?,
                row.take(12)?,
            );
            Some((head, tail))
        };
        let Some((head, tail)) = read() else { return Err(bad(&row)) };
        let (user, popup, shows, last_shown_at, outcome, at) = head;
        let (next_show_at, is_forgotten, first_epoch, first, epoch, counter, state) = tail;
        let entry = WholeEntry {
            popup,
            shows,
            last_shown_at: last_shown_at.map(WallMs),
            outcome: outcome_at(outcome, at),
            next_show_at: next_show_at.map(WallMs),
            is_forgotten,
            first: Revision { epoch: first_epoch, counter: first },
            revision: Revision { epoch, counter },
            state,
        };
        Ok(EntryOfUser(user, entry))
    }
}

/// The users among these that have rows; `lock` is empty or locks them.
fn read_whole(
    session: &mut Session,
    users: &[&str],
    lock: &str,
) -> Result<BTreeMap<String, WholeUser>, StoreError> {
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids = list(users.iter().map(|user| Literal::Text(user)));
    let query = format!(
        "SELECT user_id, revision_epoch, revision_counter, last_counted_at, day_shows, session, \
         session_shows FROM users WHERE user_id IN {ids}{lock}"
    );
    type Columns = (String, u32, u64, Option<i64>, u32, i64, u32);
    let rows: Vec<Columns> = session.query("read users", &query)?;
    let mut whole = BTreeMap::new();
    for (user, epoch, counter, last, day_shows, session, session_shows) in rows {
        let clocks = UserClocks {
            last_counted_at: last.map(WallMs),
            day_shows,
            session: session.cast_unsigned(),
            session_shows,
            erased_at: None,
        };
        let revision = Revision { epoch, counter };
        whole.insert(user.clone(), WholeUser { user, revision, clocks, entries: Vec::new() });
    }
    let query = format!(
        "SELECT user_id, popup_id, shows, last_shown_at, outcome, outcome_at, next_show_at, \
         forgotten, first_epoch, first_counter, revision_epoch, revision_counter, state \
         FROM user_popups WHERE user_id IN {ids} ORDER BY user_id, popup_id{lock}"
    );
    let rows: Vec<EntryOfUser> = session.query("read users", &query)?;
    for EntryOfUser(user, entry) in rows {
        if let Some(user) = whole.get_mut(&user) {
            user.entries.push(entry);
        }
    }
    Ok(whole)
}

fn write_whole(session: &mut Session, users: &[WholeUser]) -> Result<(), StoreError> {
    let replaced = |columns: &[&str]| {
        let sets: Vec<_> = columns.iter().map(|name| format!("{name} = VALUES({name})")).collect();
        format!(" ON DUPLICATE KEY UPDATE {}", sets.join(", "))
    };
    let columns = [
        "revision_epoch",
        "revision_counter",
        "last_counted_at",
        "day_shows",
        "session",
        "session_shows",
    ];
    let tail = replaced(&columns);
    let head = "INSERT INTO users (user_id, user_hash, revision_epoch, revision_counter, \
                last_counted_at, day_shows, session, session_shows) VALUES ";
    let mut rows = Rows::new(head, &tail, session.statement_bytes_max()?);
    for user in users {
        rows.push(&[
            Literal::Text(&user.user),
            Literal::Number(UserKey::of(user.user.as_bytes()).0.cast_signed()),
            Literal::Number(user.revision.epoch.into()),
            Literal::Number(signed(user.revision.counter)),
            Literal::Maybe(user.clocks.last_counted_at.map(|at| at.0)),
            Literal::Number(user.clocks.day_shows.into()),
            Literal::Number(user.clocks.session.cast_signed()),
            Literal::Number(user.clocks.session_shows.into()),
        ]);
    }
    execute_all(session, "take users in", &rows.finish())?;
    let columns = [
        "shows",
        "last_shown_at",
        "outcome",
        "outcome_at",
        "next_show_at",
        "forgotten",
        "first_epoch",
        "first_counter",
        "revision_epoch",
        "revision_counter",
        "state",
    ];
    let tail = replaced(&columns);
    let mut rows = Rows::new(super::rows::POPUP_COLUMNS, &tail, session.statement_bytes_max()?);
    for user in users {
        user.entries.iter().for_each(|entry| rows.push(&entry_row(&user.user, entry)));
    }
    execute_all(session, "take users in", &rows.finish()).map(|_| ())
}

fn entry_row<'a>(user: &'a str, entry: &'a WholeEntry) -> [Literal<'a>; 14] {
    [
        Literal::Text(user),
        Literal::Text(&entry.popup),
        Literal::Number(PopupKey::of(&entry.popup).0.cast_signed()),
        Literal::Number(entry.shows.into()),
        Literal::Maybe(entry.last_shown_at.map(|at| at.0)),
        Literal::MaybeText(entry.outcome.map(|(outcome, _)| outcome.word())),
        Literal::Maybe(entry.outcome.map(|(_, at)| at.0)),
        Literal::Maybe(entry.next_show_at.map(|at| at.0)),
        Literal::Number(entry.is_forgotten.into()),
        Literal::Number(entry.first.epoch.into()),
        Literal::Number(signed(entry.first.counter)),
        Literal::Number(entry.revision.epoch.into()),
        Literal::Number(signed(entry.revision.counter)),
        Literal::Bytes(&entry.state),
    ]
}
