//! The connection that reads: users for the shards, and rows for people, those from a replica where
//! there is one. Knows columns; must not know who asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::FromRowError;
use mysql_async::prelude::FromRow;

use super::erase::erases_of;
use super::popups;
use super::session::Session;
use super::text::{Literal, list, push_text};
use crate::error::StoreError;
use crate::stored::{HistoryEntry, StatRow, StoredCatalog, StoredEvent};
use nudged_background::writer::stats::hour_of;
use nudged_base::happening::Happening;
use nudged_base::ids::{PopupKey, Revision, Sequence, UserKey};
use nudged_base::limits::{MYSQL_LIST_MAX, SQL_ROWS_READ_MAX, USER_BYTES_MAX, USER_POPUPS_MAX};
use nudged_base::time::WallMs;
use nudged_config::Config;
use nudged_domain::state::user::{PopupState, UserClocks, UserState, decode_popup};

/// A connection that only reads.
#[derive(Debug)]
pub struct MysqlReader {
    session: RefCell<Session>,
    replica: Option<RefCell<Session>>,
}

impl MysqlReader {
    /// See [`crate::Reader::of`].
    pub(crate) fn new(config: &Config) -> Result<MysqlReader, StoreError> {
        let settings = &config.mysql;
        let url = settings.url.as_ref().expect("the caller has looked for it");
        let replica = settings.replica.as_ref().map(|url| Session::new(url, settings));
        Ok(MysqlReader {
            session: RefCell::new(Session::new(url, settings)?),
            replica: replica.transpose()?.map(RefCell::new),
        })
    }

    /// See [`crate::Reader::answer_within`].
    pub(crate) fn answer_within(&mut self, silence_max: Duration) {
        self.session.get_mut().answer_within(silence_max);
        if let Some(replica) = &mut self.replica {
            replica.get_mut().answer_within(silence_max);
        }
    }

    /// Where people's questions go.
    fn reports(&self) -> &RefCell<Session> {
        self.replica.as_ref().unwrap_or(&self.session)
    }

    /// See [`crate::Reader::read_users`].
    pub(crate) fn read_users(
        &mut self,
        users: &[&str],
        found: &mut impl FnMut(usize, UserState),
    ) -> Result<usize, StoreError> {
        let session = self.session.get_mut();
        // As many as the server takes in one statement, at the length of the longest, all escaped.
        let fit = session.statement_bytes_max()? / (2 * USER_BYTES_MAX + 3);
        let users_max = fit.clamp(1, MYSQL_LIST_MAX);
        let mut unreadable = 0;
        for (part, users) in users.chunks(users_max).enumerate() {
            let mut states = read_states(session, users)?;
            // Revisions go on after an erase, or the user's new records would count as erased. It
            // is asked for behind the rows: an erase in between took them, or leaves a mark.
            let keys: Vec<UserKey> =
                users.iter().map(|user| UserKey::of(user.as_bytes())).collect();
            let erases = erases_of(session, &keys)?;
            for (index, user) in users.iter().enumerate() {
                let index = part * users_max + index;
                let erase = erases.get(&UserKey::of(user.as_bytes()));
                let Some(state) = states.remove(user.as_bytes()).unwrap_or_else(absent) else {
                    unreadable += 1;
                    continue;
                };
                found(index, with_erase(state, erase));
            }
        }
        Ok(unreadable)
    }

    /// See [`crate::Reader::users_after`].
    pub(crate) fn users_after(
        &mut self,
        after: &str,
        count: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut query = "SELECT user_id FROM users WHERE user_id > ".to_owned();
        push_text(&mut query, after);
        query.push_str(&format!(" ORDER BY user_id LIMIT {count}"));
        let rows: Vec<(String,)> = self.session.get_mut().query("read users", &query)?;
        Ok(rows.into_iter().map(|(user,)| user).collect())
    }

    /// See [`crate::Reader::user_events`].
    pub(crate) fn user_events(
        &self,
        user: &str,
        count: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut query = "SELECT stream, seq, decision, action, at, acted_at, popup_id, version, \
                         variant FROM events WHERE user_id = "
            .to_owned();
        push_text(&mut query, user);
        let count = count.min(SQL_ROWS_READ_MAX);
        query.push_str(&format!(" ORDER BY at DESC, stream DESC, seq DESC LIMIT {count}"));
        type Columns = (u32, u64, String, String, i64, i64, String, u32, String);
        let rows: Vec<Columns> =
            self.reports().borrow_mut().query("read a user's events", &query)?;
        let event =
            |(stream, seq, decision, action, at, acted_at, popup, version, variant)| StoredEvent {
                stream,
                sequence: Sequence(seq),
                decision,
                action,
                at: WallMs(at),
                acted_at: WallMs(acted_at),
                popup,
                version,
                variant,
            };
        Ok(rows.into_iter().map(event).collect())
    }

    /// See [`crate::Reader::stats`].
    pub(crate) fn stats(
        &self,
        popup: Option<&str>,
        from: WallMs,
        to: WallMs,
    ) -> Result<Vec<StatRow>, StoreError> {
        let sums = Happening::ALL
            .map(Happening::word)
            .map(|column| format!("CAST(SUM({column}) AS SIGNED)"));
        let mut query = format!(
            "SELECT popup_id, variant, hour, {} FROM popup_stats WHERE hour >= {} AND hour < {}",
            sums.join(", "),
            hour_of(from),
            to.0
        );
        if let Some(popup) = popup {
            query.push_str(" AND popup_id = ");
            push_text(&mut query, popup);
        }
        // An hour whose only show was taken back is left with a row of zeros.
        query.push_str(
            " GROUP BY popup_id, variant, hour \
             HAVING SUM(decided + shown + ignored + dismissed + clicked + converted) > 0 \
             ORDER BY popup_id, variant, hour",
        );
        type Columns = (String, String, i64, i64, i64, i64, i64, i64, i64);
        let rows: Vec<Columns> = self.reports().borrow_mut().query("read statistics", &query)?;
        let row = |(popup, variant, hour, a, b, c, d, e, f): Columns| StatRow {
            popup,
            variant,
            hour: WallMs(hour),
            counts: [a, b, c, d, e, f].map(|count| u64::try_from(count).unwrap_or(0)),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// See [`crate::Reader::catalog`].
    pub(crate) fn catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        popups::load(self.session.get_mut())
    }

    /// See [`crate::Reader::catalog_version`].
    pub(crate) fn catalog_version(&mut self) -> Result<u64, StoreError> {
        popups::version(self.session.get_mut())
    }

    /// See [`crate::Reader::history`].
    pub(crate) fn history(
        &self,
        popup: &str,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut query = "SELECT id, version, `change`, at, who, diff, definition \
                         FROM popup_history WHERE popup_id = "
            .to_owned();
        push_text(&mut query, popup);
        if let Some(before) = before {
            query.push_str(&format!(" AND id < {before}"));
        }
        query.push_str(&format!(" ORDER BY id DESC LIMIT {count}"));
        type Columns = (u64, u32, String, i64, String, String, String);
        // Not from a replica: who has just changed a popup looks for the change.
        let rows: Vec<Columns> = self.session.borrow_mut().query("read a history", &query)?;
        let entry = |(number, version, change, at, who, diff, text): Columns| HistoryEntry {
            number,
            version,
            change,
            at: WallMs(at),
            who,
            diff,
            text: HistoryEntry::text_of_column(text),
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// See [`crate::Reader::text_of`].
    pub(crate) fn text_of(&self, popup: &str, version: u32) -> Result<Option<String>, StoreError> {
        popups::text_of(&mut self.session.borrow_mut(), popup, version)
    }
}

/// A user beside one of their entries, if they have one.
struct UserAndEntry {
    user: Vec<u8>,
    revision: Revision,
    clocks: UserClocks,
    entry: Option<(PopupKey, Vec<u8>)>,
}

impl FromRow for UserAndEntry {
    fn from_row_opt(row: mysql_async::Row) -> Result<UserAndEntry, FromRowError> {
        type Columns =
            (Vec<u8>, u32, u64, Option<i64>, u32, i64, u32, Option<i64>, Option<Vec<u8>>);
        let (user, epoch, counter, last, day_shows, session, session_shows, key, state) =
            Columns::from_row_opt(row)?;
        let clocks = UserClocks {
            last_counted_at: last.map(WallMs),
            day_shows,
            session: session.cast_unsigned(),
            session_shows,
            // Another table's business.
            erased_at: None,
        };
        let entry = key.zip(state).map(|(key, state)| (PopupKey(key.cast_unsigned()), state));
        Ok(UserAndEntry { user, revision: Revision { epoch, counter }, clocks, entry })
    }
}

fn absent() -> Option<UserState> {
    Some(UserState::default())
}

/// A state as of its rows, with what is known of an erase: one that is older than the rows leaves
/// its time in them, a later one nothing else.
fn with_erase(mut state: UserState, erase: Option<&(Revision, WallMs)>) -> UserState {
    let Some((revision, at)) = erase else { return state };
    if state.revision <= *revision {
        state = UserState { revision: *revision, ..UserState::default() };
    }
    state.clocks.erased_at = Some(*at);
    state
}

/// The users that have rows, by their ids; `None` where an entry can't be read. One statement, so
/// that a user and their entries are of one moment.
fn read_states(
    session: &mut Session,
    users: &[&str],
) -> Result<BTreeMap<Vec<u8>, Option<UserState>>, StoreError> {
    let query = format!(
        "SELECT users.user_id, users.revision_epoch, users.revision_counter, last_counted_at, \
         day_shows, session, session_shows, popup_key, state \
         FROM users LEFT JOIN user_popups \
         ON user_popups.user_id = users.user_id AND forgotten = 0 \
         WHERE users.user_id IN {} \
         ORDER BY users.user_id, first_epoch, first_counter, popup_id",
        list(users.iter().map(|user| Literal::Text(user)))
    );
    let rows: Vec<UserAndEntry> = session.query("read users", &query)?;
    let mut states: BTreeMap<Vec<u8>, Option<UserState>> = BTreeMap::new();
    for row in rows {
        let state = states.entry(row.user).or_insert_with(|| {
            Some(UserState { revision: row.revision, clocks: row.clocks, popups: Vec::new() })
        });
        let Some((key, bytes)) = row.entry else { continue };
        let mut entry = PopupState::empty(key);
        let is_readable = decode_popup(&bytes, &mut entry).is_ok() && entry.popup == key;
        match state {
            Some(state) if is_readable => state.popups.push(entry),
            _ => *state = None,
        }
    }
    for state in states.values_mut().flatten() {
        // Journals that arrive out of order may leave more for a while; the oldest go first.
        let surplus = state.popups.len().saturating_sub(USER_POPUPS_MAX);
        state.popups.drain(..surplus);
    }
    Ok(states)
}
