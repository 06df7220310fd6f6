//! Steps of retention: rows of `events` that are old go, and old hours of `popup_stats` become
//! days. Each step is one small transaction that finds its rows by their keys. Knows columns; must
//! not know when it is time.

use std::collections::BTreeSet;

use crate::Store;
use crate::error::StoreError;
use crate::session::Session;
use crate::statements::reading::{read_states, users_after};
use crate::statements::statistics;
use crate::stored::StreamId;
use crate::value::SqlValue;
use nudged_background::retention::{RetentionOutcome, RetentionStep};
use nudged_base::ids::Sequence;
use nudged_base::limits::{PEER_KNOWN_MS, RETENTION_ROWS_MAX, RETENTION_USERS_MAX};
use nudged_base::time::WallMs;
use nudged_domain::state::user::UserState;

impl Store {
    /// Does one step. Several nodes may do the same one at the same time: each row is looked at
    /// where it is changed.
    ///
    /// # Errors
    /// Where the database fails; then the step is not done.
    pub fn retain(&mut self, step: &RetentionStep) -> Result<RetentionOutcome, StoreError> {
        Ok(match step {
            RetentionStep::Choose(own) => {
                let nodes = self.live_nodes(PEER_KNOWN_MS)?;
                let first = nodes.iter().map(|node| node.stream).min();
                RetentionOutcome::Chosen(first.is_none_or(|first| first == *own))
            }
            RetentionStep::NextStream(after) => {
                let next = next_stream(self.session.get_mut(), *after)?;
                RetentionOutcome::Stream(next)
            }
            RetentionStep::DeleteEvents { stream, from, before } => {
                let session = self.session.get_mut();
                let (deleted, next) = delete_events(session, (*stream, *from), *before)?;
                RetentionOutcome::Events { deleted, next }
            }
            RetentionStep::FindUsers { after, before } => {
                let session = self.session.get_mut();
                let (found, next) = find_users(session, after, *before)?;
                RetentionOutcome::Users { found, next }
            }
            RetentionStep::FoldHours { after, before } => {
                // The rows of hours go.
                self.sketches.forget();
                let session = self.session.get_mut();
                let (folded, next) = statistics::fold_hours(session, after.as_ref(), *before)?;
                RetentionOutcome::Hours { folded, next }
            }
        })
    }
}

fn next_stream(
    session: &mut Session,
    after: Option<StreamId>,
) -> Result<Option<StreamId>, StoreError> {
    let query = "SELECT stream FROM streams WHERE stream > ? ORDER BY stream LIMIT 1";
    let after = after.map_or(-1, |stream| i64::from(stream.0));
    session.query_one("find a stream", query, &[after.into()], |row| Ok(StreamId(row.take()?)))
}

/// Deletes the old ones of the next rows of a stream; gives their number and where to go on, unless
/// none of the rows was old or there are no more.
fn delete_events(
    session: &mut Session,
    (stream, from): (StreamId, Sequence),
    before: WallMs,
) -> Result<(u64, Option<Sequence>), StoreError> {
    let query = format!(
        "SELECT seq, at FROM events WHERE stream = ? AND seq >= ? \
         ORDER BY seq LIMIT {RETENTION_ROWS_MAX}"
    );
    let rows =
        session.query("find old events", &query, &[stream.0.into(), from.into()], |row| {
            Ok((row.take_sequence()?, row.take_time()?))
        })?;
    let mut old = rows.iter().filter(|(_, at)| *at < before).map(|(sequence, _)| *sequence);
    let Some(first) = old.next() else { return Ok((0, None)) };
    let last = old.next_back().unwrap_or(first);
    // Between the two may be younger rows, of a clock that was set back.
    let delete = "DELETE FROM events WHERE stream = ? AND seq BETWEEN ? AND ? AND at < ?";
    let values = [stream.0.into(), first.into(), last.into(), before.into()];
    let deleted = session.execute("delete old events", delete, &values)?;
    session.note_applied(false);
    let is_full = rows.len() >= usize::try_from(RETENTION_ROWS_MAX).unwrap_or(usize::MAX);
    let (read_to, _) = rows[rows.len() - 1];
    Ok((deleted, is_full.then_some(Sequence(read_to.0 + 1))))
}

/// Users with their states, and behind whom to go on.
type OldUsers = (Vec<(String, UserState)>, Option<String>);

/// Users behind `after` as their rows say, whose latest show, outcome and event are from before a
/// time, and behind whom to go on; `None` behind the last. Rows that can't be read stay.
fn find_users(session: &mut Session, after: &str, before: WallMs) -> Result<OldUsers, StoreError> {
    let ids = users_after(session, after, RETENTION_USERS_MAX)?;
    let next = ids.last().filter(|_| ids.len() >= RETENTION_USERS_MAX).cloned();
    let is_old = |state: &UserState| state.newest().is_some_and(|newest| newest < before);
    let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
    let states = read_states(session, &texts)?.into_iter();
    let mut old: Vec<(String, UserState)> =
        states.filter_map(|(user, state)| Some((user, state.filter(is_old)?))).collect();
    // An event of a lower rank than the outcome has left no time in the state.
    let query =
        format!("SELECT DISTINCT user_id FROM events WHERE at >= {} AND user_id IN (?)", before.0);
    let users: Vec<SqlValue<'_>> = old.iter().map(|(user, _)| user.into()).collect();
    let busy = session.query_in("find old users", &query, &users, |row| row.take::<String>())?;
    let busy: BTreeSet<String> = busy.into_iter().collect();
    old.retain(|(user, _)| !busy.contains(user));
    Ok((old, next))
}
