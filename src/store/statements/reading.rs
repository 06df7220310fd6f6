//! Users as shards need them. Knows columns; must not know who asks.

use std::collections::BTreeMap;

use crate::StoreReader;
use crate::error::StoreError;
use crate::session::Session;
use crate::statements::erased::tombstones;
use crate::statements::users::{USER_READ, read_user};
use crate::value::SqlValue;
use nudged_background::projection::union::Tombstone;
use nudged_base::ids::{PopupKey, UserKey};
use nudged_base::limits::USER_POPUPS_MAX;
use nudged_domain::state::user::{UserState, decode_popup};

impl StoreReader {
    /// Reads users and hands each to `found` with its index; each is of one moment. An unknown
    /// user is the default state; an erased one is empty at the erase's revision. A user whose
    /// rows can't be read is not handed out; gives the number of those.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn read_users(
        &mut self,
        users: &[&str],
        found: &mut impl FnMut(usize, UserState),
    ) -> Result<usize, StoreError> {
        let keys: Vec<UserKey> = users.iter().map(|user| UserKey::of(user.as_bytes())).collect();
        let (mut states, erases) = self.session.get_mut().snapshot(|session| {
            let states = read_states(session, users)?;
            // Revisions go on after an erase, or the user's new records would count as erased. It
            // is asked for behind the rows: an erase in between took them, or leaves a mark.
            Ok((states, tombstones(session, &keys)?))
        })?;
        let mut unreadable = 0;
        for (index, (user, key)) in users.iter().zip(&keys).enumerate() {
            match states.remove(*user).unwrap_or_else(|| Some(UserState::default())) {
                Some(state) => found(index, with_erase(state, erases.get(key))),
                None => unreadable += 1,
            }
        }
        Ok(unreadable)
    }

    /// The ids of the users that have rows, in the order of their bytes, behind `after`: at most
    /// `count` of them. Fewer than that are the last ones.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn users_after(&mut self, after: &str, count: usize) -> Result<Vec<String>, StoreError> {
        users_after(self.session.get_mut(), after, count)
    }
}

/// See [`StoreReader::users_after`].
pub(super) fn users_after(
    session: &mut Session,
    after: &str,
    count: usize,
) -> Result<Vec<String>, StoreError> {
    let query =
        format!("SELECT user_id FROM users WHERE user_id > ? ORDER BY user_id LIMIT {count}");
    session.query("read users", &query, &[after.into()], |row| row.take())
}

/// A state as of its rows, with what is known of an erase: one that is older than the rows leaves
/// its time in them, a later one nothing else.
fn with_erase(mut state: UserState, erase: Option<&Tombstone>) -> UserState {
    let Some(erase) = erase else { return state };
    if state.revision <= erase.revision {
        state = UserState { revision: erase.revision, ..UserState::default() };
    }
    state.clocks.erased_at = Some(erase.at);
    state
}

/// The users that have rows, by their ids; `None` where an entry can't be read. One statement, so
/// that a user and their entries are of one moment.
pub(super) fn read_states(
    session: &mut Session,
    users: &[&str],
) -> Result<BTreeMap<String, Option<UserState>>, StoreError> {
    let query = format!(
        "SELECT {USER_READ}, popup_key, state FROM users LEFT JOIN user_popups \
         ON user_popups.user_id = users.user_id AND forgotten = 0 WHERE users.user_id IN (?) \
         ORDER BY users.user_id, first_epoch, first_counter, popup_id"
    );
    let ids: Vec<SqlValue<'_>> = users.iter().map(|user| SqlValue::from(*user)).collect();
    let rows = session.query_in("read users", &query, &ids, |row| {
        let (user, revision, clocks) = read_user(row)?;
        let (key, state) = (row.take::<Option<i64>>()?, row.take::<Option<Vec<u8>>>()?);
        let entry = key.zip(state).map(|(key, state)| (PopupKey(key.cast_unsigned()), state));
        Ok((user, UserState { revision, clocks, popups: Vec::new() }, entry))
    })?;
    let mut states: BTreeMap<String, Option<UserState>> = BTreeMap::new();
    for (user, state, entry) in rows {
        let state = states.entry(user).or_insert(Some(state));
        let Some((key, bytes)) = entry else { continue };
        let entry = decode_popup(&bytes).ok().filter(|entry| entry.popup == key);
        match (&mut *state, entry) {
            (Some(state), Some(entry)) => state.popups.push(entry),
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
