//! Users with everything that is stored of them, read in pages and taken in. Each call that takes
//! something in is one transaction and may be repeated. What a union of users is stands in
//! `projection::union`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::Store;
use crate::error::StoreError;
use crate::session::Session;
use crate::statements::erased::tombstones;
use crate::statements::reading::users_after;
use crate::statements::users::{ENTRY_READ, USER_READ, read_entry, read_user, replace_whole};
use crate::value::SqlValue;
use crate::whole::{TakenUsers, plan};
use nudged_background::projection::union::WholeUser;
use nudged_base::ids::UserKey;

impl Store {
    /// Users behind `after`, in the order of their ids' bytes, at most `count`, with everything
    /// that is stored of them but their events.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_users_after(
        &mut self,
        after: &str,
        count: usize,
    ) -> Result<Vec<WholeUser>, StoreError> {
        self.session.get_mut().snapshot(|session| {
            let ids = users_after(session, after, count)?;
            Ok(read_whole(session, ids.iter().map(SqlValue::from), "")?.into_values().collect())
        })
    }

    /// Takes users of another store in, in one transaction: who is there gets both stores' shows,
    /// under a revision above both. No node may run on this store, or it decides by what it knew.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_users(
        &mut self,
        users: &[WholeUser],
        zone: &TimeZone,
    ) -> Result<TakenUsers, StoreError> {
        let keys: Vec<UserKey> =
            users.iter().map(|user| UserKey::of(user.user.as_bytes())).collect();
        self.session.get_mut().transaction(|session| {
            let lock = session.dialect().lock();
            let known = read_whole(session, users.iter().map(|user| (&user.user).into()), lock)?;
            let erased = tombstones(session, &keys)?;
            let (written, taken) = plan(users, &known, &erased, zone);
            replace_whole(session, &written)?;
            Ok(taken)
        })
    }

    /// The users with these keys that have rows.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn users_of(&mut self, keys: &[UserKey]) -> Result<Vec<String>, StoreError> {
        let query = "SELECT user_id FROM users WHERE user_hash IN (?)";
        let hashes: Vec<SqlValue<'_>> = keys.iter().map(|key| key.0.cast_signed().into()).collect();
        self.session.get_mut().query_in("read users", query, &hashes, |row| row.take())
    }
}

/// The users among these that have rows; `lock` is empty or locks them.
fn read_whole<'v>(
    session: &mut Session,
    ids: impl Iterator<Item = SqlValue<'v>>,
    lock: &str,
) -> Result<BTreeMap<String, WholeUser>, StoreError> {
    let ids: Vec<SqlValue<'_>> = ids.collect();
    let query = format!("SELECT {USER_READ} FROM users WHERE user_id IN (?){lock}");
    let users = session.query_in("read users", &query, &ids, read_user)?;
    let mut whole = BTreeMap::new();
    for (user, revision, clocks) in users {
        whole.insert(user.clone(), WholeUser { user, revision, clocks, entries: Vec::new() });
    }
    let query = format!(
        "SELECT {ENTRY_READ} FROM user_popups WHERE user_id IN (?) \
         ORDER BY user_id, popup_id{lock}"
    );
    for (user, entry) in session.query_in("read users", &query, &ids, read_entry)? {
        if let Some(user) = whole.get_mut(&user) {
            user.entries.push(entry);
        }
    }
    Ok(whole)
}
