//! A model of the one SQL that nodes share: the rows that a transaction writes are those of the
//! real `projection::batcher`; here is only which row gives way to which (`store::statements`).
//! Knows streams and claims; knows nothing of who calls.

use std::collections::BTreeMap;

use nudged_background::projection::batcher::{self, Tombstones};
use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{Revision, Sequence, StreamId};
use nudged_base::limits::PEER_KNOWN_MS;
use nudged_domain::state::user::{UserClocks, UserState, decode_popup};
use nudged_journal::record::Record;

use super::scene::MS;
use crate::following::failure;

/// A row of `events`.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, by the arbiter's clock, in milliseconds.
    pub at: i64,
    /// To whom.
    pub user: String,
    /// With what.
    pub popup: String,
    /// The user's revision after it.
    pub revision: Revision,
}

/// A row of `user_popups`.
#[derive(Clone, Debug, Default)]
struct Entry {
    revision: Revision,
    first: Revision,
    is_forgotten: bool,
    state: Vec<u8>,
}

/// A stream that a process has claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The stream.
    pub stream: StreamId,
    epoch: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Position {
    epoch: u32,
    off: Sequence,
}

/// A run of records of a stream.
pub type Records<'a> = [(Sequence, Record<'a>)];

/// The server.
#[derive(Default)]
pub struct Sql {
    /// Whether it does not answer.
    pub is_away: bool,
    /// Rows of `events` by decision and action.
    pub events: BTreeMap<(String, u8), Event>,
    places: BTreeMap<(StreamId, Sequence), (String, u8)>,
    users: BTreeMap<String, (Revision, UserClocks)>,
    popups: BTreeMap<(String, String), Entry>,
    streams: BTreeMap<String, u32>,
    positions: BTreeMap<StreamId, Position>,
    epoch: u32,
    nodes: BTreeMap<u128, u64>,
}

impl Sql {
    fn answer(&self) -> Result<(), SqlFailure> {
        if self.is_away { Err(failure(SqlMeaning::Passing)) } else { Ok(()) }
    }

    /// Claims a stream, which is made where it is new; with its position.
    pub fn claim(&mut self, name: &str) -> Result<(Claim, Sequence), SqlFailure> {
        self.answer()?;
        let next = u32::try_from(self.streams.len()).expect("few streams") + 1;
        let stream = StreamId(*self.streams.entry(name.to_owned()).or_insert(next));
        let position = self.positions.entry(stream).or_default();
        position.epoch += 1;
        Ok((Claim { stream, epoch: position.epoch }, position.off))
    }

    /// Applies runs of records in one transaction with their positions. `is_dense`: numbers have no
    /// gaps.
    pub fn apply(
        &mut self,
        runs: &[(Claim, &Records<'_>)],
        is_dense: bool,
    ) -> Result<(), SqlFailure> {
        self.answer()?;
        let mut records = Vec::new();
        let mut owners = Vec::new();
        let mut after = Vec::new();
        for (claim, run) in runs {
            let position = self.positions[&claim.stream];
            if position.epoch != claim.epoch {
                return Err(failure(SqlMeaning::Fenced(claim.stream)));
            }
            let mut off = position.off;
            for (sequence, record) in run.iter().filter(|(sequence, _)| *sequence > position.off) {
                if is_dense && sequence.0 != off.0 + 1 {
                    return Err(failure(SqlMeaning::Behind(off)));
                }
                off = *sequence;
                records.push((*sequence, *record));
                owners.push(claim.stream);
            }
            after.push((claim.stream, off));
        }
        self.write(&records, &owners);
        for (stream, off) in after {
            self.positions.get_mut(&stream).expect("it was claimed").off = off;
        }
        Ok(())
    }

    /// Moves the position of a stream where it is at `from` or beyond; whether it was.
    pub fn skip(
        &mut self,
        claim: Claim,
        from: Option<Sequence>,
        through: Sequence,
    ) -> Result<bool, SqlFailure> {
        self.answer()?;
        let position = self.positions.get_mut(&claim.stream).expect("it was claimed");
        let is_there = from.is_none_or(|from| position.off >= from);
        if is_there {
            position.off = position.off.max(through);
        }
        Ok(is_there)
    }

    fn write(&mut self, records: &Records<'_>, owners: &[StreamId]) {
        let batch = batcher::build(records, &Tombstones::default(), &BTreeMap::new());
        assert!(batch.rejected.is_empty(), "every record fits: {:?}", batch.rejected);
        assert!(batch.erases.is_empty(), "nobody is erased here");
        for row in &batch.events {
            let key = (row.decision.to_string(), row.record.kind.number());
            let place = (owners[row.index], row.sequence);
            let before = self.places.insert(place, key.clone());
            assert!(before.is_none_or(|before| before == key), "{place:?} has other content");
            self.events.entry(key).or_insert_with(|| Event {
                at: row.record.at.0,
                user: row.user.expect("nobody is erased here").to_owned(),
                popup: row.record.popup.to_owned(),
                revision: row.record.revision,
            });
        }
        for row in &batch.withdrawn {
            for decision in row.decisions() {
                self.events.remove(&(decision.into_owned(), EventKind::Decided.number()));
            }
        }
        for row in &batch.users {
            let standing = self.users.entry(row.user.to_owned()).or_default();
            if standing.0 < row.revision {
                *standing = (row.revision, row.clocks);
            }
        }
        for row in &batch.popups {
            let key = (row.user.to_owned(), row.popup.to_owned());
            if let Some((_, revision)) = row.removed {
                self.popups.retain(|own, entry| *own != key || entry.revision >= revision);
                continue;
            }
            let standing = self.popups.entry(key).or_default();
            if let Some(entry) = row.entry.filter(|entry| standing.revision < entry.revision) {
                let begins = standing.first == Revision::default()
                    || standing.is_forgotten
                    || entry.restarted;
                *standing = Entry {
                    revision: entry.revision,
                    first: if begins { entry.first } else { standing.first },
                    is_forgotten: false,
                    state: entry.state.to_vec(),
                };
            }
            if let Some((_, revision)) = row.forgotten.filter(|(_, at)| standing.revision < *at) {
                (standing.revision, standing.is_forgotten) = (revision, true);
            }
        }
    }

    /// A user's state.
    pub fn read(&self, user: &str) -> Result<UserState, SqlFailure> {
        self.answer()?;
        let mut state = UserState::default();
        let Some((revision, clocks)) = self.users.get(user) else { return Ok(state) };
        (state.revision, state.clocks) = (*revision, *clocks);
        let own = (user.to_owned(), String::new())..;
        let own = self.popups.range(own).take_while(|((of, _), _)| of == user);
        let mut entries: Vec<_> = own.filter(|(_, entry)| !entry.is_forgotten).collect();
        entries.sort_by_key(|((_, popup), entry)| (entry.first, popup.clone()));
        for (_, entry) in entries {
            state.popups.push(decode_popup(&entry.state).expect("we encoded it"));
        }
        Ok(state)
    }

    /// Users behind `after`, in order.
    pub fn users_after(&self, after: &str, count: usize) -> Result<Vec<String>, SqlFailure> {
        self.answer()?;
        let users = self.users.keys().filter(|user| user.as_str() > after);
        Ok(users.take(count).cloned().collect())
    }

    /// The next epoch of the arbiter.
    pub fn next_epoch(&mut self, at_least: u32) -> Result<u32, SqlFailure> {
        self.answer()?;
        self.epoch = (self.epoch + 1).max(at_least);
        Ok(self.epoch)
    }

    /// A node says that it is alive; gives those that were so lately.
    pub fn beat(&mut self, node: u128, now_ns: u64) -> Result<Vec<u128>, SqlFailure> {
        self.answer()?;
        self.nodes.insert(node, now_ns);
        let is_live = |(_, at): &(&u128, &u64)| now_ns - **at < PEER_KNOWN_MS * MS;
        Ok(self.nodes.iter().filter(is_live).map(|(node, _)| *node).collect())
    }
}
