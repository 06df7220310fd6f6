//! The users that a shard owns: their slice, the lane to the journal, and the one place where a
//! user's state is changed. Knows nothing of connections and of HTTP. Who decides which of two
//! changes of a user stands is picked once, at start ([`Arbitration`]).
//!
//! `evaluate` what commands do to a state · `own` commands where the shard itself decides · `redis`
//! where Redis does · `operate` operators' · `in_flight` what is under way for users, and who waits
//! for it · `lane` the way to the journal · `unmerged` what was accepted without Redis.

pub mod evaluate;
pub mod in_flight;
pub mod lane;
mod operate;
mod own;
pub mod redis;
pub mod unmerged;

use std::sync::Arc;

use bumpalo::Bump;

use self::evaluate::RequestContext;
use self::in_flight::InFlightTable;
use self::lane::{Lane, LaneMark};
use self::own::OwnUsers;
use self::redis::{Arbiter, RedisUsers};
use super::origin::Origin;
use super::seam::Effect;
use super::view::View;
use nudged_api::command::Command;
use nudged_api::events::Event;
use nudged_api::outcome::{EncodedOutcome, Outcome};
use nudged_api::token::Token;
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{LaneSequence, PopupKey, UserKey};
use nudged_base::limits::{BUFFERS_POOLED_MAX, CATALOGS_HELD_MAX};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message, Stamp};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::gates::{self, Gate};
use nudged_domain::state::apply::ShowId;
use nudged_domain::state::slice::Slice;
use nudged_domain::state::user::{self, UserState};
use nudged_http::pool::BufferPool;
use nudged_journal::record::{self, Impression, Record};

/// Who decides which of two changes of a user stands.
pub enum Arbitration {
    /// The shard itself: it is the only one that changes its users. Those that are being read.
    Own(Box<InFlightTable>),
    /// Redis.
    Redis(Box<Arbiter>),
}

impl Arbitration {
    /// Executes a command about users of this shard; their states are in memory unless `has_state`
    /// says that they are not to be had. `None` where the outcome comes later.
    pub fn execute<'a>(
        &mut self,
        users: &mut Users,
        context: &RequestContext<'a, '_>,
        command: &Command<'a>,
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        match (command, self) {
            (Command::Decide(request), Arbitration::Own(in_flight)) => {
                OwnUsers { users, in_flight }.decide(context, request, has_state)
            }
            (Command::Decide(request), Arbitration::Redis(arbiter)) => {
                RedisUsers { users, arbiter }.decide(context, request, has_state)
            }
            (Command::Events(request), Arbitration::Own(in_flight)) => {
                OwnUsers { users, in_flight }.take_events(context, request, has_state)
            }
            (Command::Events(request), Arbitration::Redis(arbiter)) => {
                RedisUsers { users, arbiter }.take_events(context, request, has_state)
            }
            (Command::ReadUser { user } | Command::EraseUser { user }, arbitration) => {
                arbitration.operate(users, context, (command, user), has_state)
            }
        }
    }

    /// Until when a request that comes now may wait for its user's state.
    pub fn deadline(&self, users: &Users, now: MonoNs) -> MonoNs {
        match self {
            Arbitration::Own(_) => now.plus_ms(users.read_deadline_ms),
            Arbitration::Redis(arbiter) => arbiter.deadline(now),
        }
    }

    /// Commands that wait for their users' states, and changes that are under way.
    pub fn waiting(&self) -> usize {
        match self {
            Arbitration::Own(in_flight) => in_flight.waiting(),
            Arbitration::Redis(arbiter) => arbiter.waiting(),
        }
    }

    /// Whether nothing is under way that could come to an end now.
    pub(crate) fn may_end(&self, now: MonoNs) -> bool {
        match self {
            Arbitration::Own(_) => true,
            Arbitration::Redis(arbiter) => arbiter.may_end(now),
        }
    }
}

/// An outcome and who waits for it.
#[derive(Debug)]
pub struct Done {
    /// Who waits.
    pub origin: Origin,
    /// The outcome.
    pub outcome: EncodedOutcome,
}

/// Memory that is used again and again, so that a request allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The state that is being worked on.
    pub state: UserState,
    /// A token that is being minted.
    pub token: String,
    /// Popups with their gates, for explanations.
    pub candidates: Vec<(u32, Option<Gate>)>,
    encoded: Vec<u8>,
    clocks: Vec<u8>,
    row: Vec<u8>,
}

/// The users of one shard.
pub struct Users {
    /// Users in memory.
    pub(super) slice: Slice,
    /// The way to the journal.
    pub(super) lane: Lane,
    /// Whether records lie aside until Redis has taken the change.
    is_by_redis: bool,
    /// Those of the command that is being executed, framed.
    uncommitted_records: Vec<u8>,
    /// Outcomes of this step, to be delivered at its end.
    pub(super) done: Vec<Done>,
    /// What else this step wants done.
    pub(super) effects: Vec<Effect>,
    scratch: Scratch,
    /// Buffers at rest.
    pub(super) buffers: BufferPool,
    /// Users minted so far, and the seed that makes their ids unguessable.
    minted: (u64, u64),
    read_deadline_ms: u64,
    /// Where this shard counts.
    pub(super) counters: Arc<ShardCounters>,
    /// Where this shard says what happens to it.
    pub(super) log: Log,
}

/// What users are made of.
pub struct UsersSetup {
    /// The way to the journal.
    pub lane: Lane,
    /// Bytes of the slice.
    pub slice_bytes: u64,
    /// Whether Redis has to take records first.
    pub is_by_redis: bool,
    /// How long a read of SQL may take, in milliseconds.
    pub read_deadline_ms: u64,
    /// Where the shard counts.
    pub counters: Arc<ShardCounters>,
    /// Where it says what happens to it.
    pub log: Log,
    /// Random, for each process and shard.
    pub seed: u64,
}

/// What happened to a popup of a user.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    /// What.
    pub kind: EventKind,
    /// When it became part of the state.
    pub at: WallMs,
    /// When the user acted.
    pub acted_at: WallMs,
    /// The popup that it pushed out of the state.
    pub forgotten: Option<PopupKey>,
}

/// The impression that a record is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The decision's token.
    pub token: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version at the decision.
    pub version: u32,
    /// The variant's key; empty for none.
    pub variant: &'a str,
}

impl<'a> Subject<'a> {
    /// The impression that an event is about.
    pub fn of(event: &Event<'a>) -> Subject<'a> {
        let token = &event.token;
        Subject {
            user: token.user,
            token: event.token_text,
            popup: token.popup,
            version: token.version,
            variant: token.variant,
        }
    }

    /// The impression that a show makes, by its popup's place in the catalog and its variant's.
    pub fn of_show(
        snapshot: &'a Snapshot,
        user: &'a str,
        (popup, variant): (u32, usize),
        token: &'a str,
    ) -> Subject<'a> {
        let popup = &snapshot.popups[popup as usize];
        let variant = &popup.variants[variant].key;
        Subject { user, token, popup: &popup.id, version: popup.version, variant }
    }
}

impl Users {
    /// Nobody is in memory yet.
    pub fn new(setup: UsersSetup) -> Users {
        Users {
            slice: Slice::new(setup.slice_bytes, setup.seed),
            lane: setup.lane,
            is_by_redis: setup.is_by_redis,
            uncommitted_records: Vec::new(),
            done: Vec::new(),
            effects: Vec::new(),
            scratch: Scratch::default(),
            buffers: BufferPool::new(BUFFERS_POOLED_MAX),
            minted: (0, setup.seed),
            read_deadline_ms: setup.read_deadline_ms,
            counters: setup.counters,
            log: setup.log,
        }
    }

    /// Says what happened to this shard; the log keeps the pace.
    pub fn log(&self, now: Now, message: Message) {
        self.log.write(Stamp { mono: now.mono, wall: now.wall }, message, &[]);
    }

    /// As [`Users::log`], with what more is to be said of it.
    pub(crate) fn log_with(&self, now: Now, message: Message, fields: &[LogField<'_>]) {
        self.log.write(Stamp { mono: now.mono, wall: now.wall }, message, fields);
    }

    /// Says what happened to a user's request, where the level or the list of users asks for it.
    pub(crate) fn log_user(
        &self,
        now: Now,
        message: Message,
        user: &str,
        fields: [LogField<'_>; 2],
    ) {
        if self.log.wants(message, Some(user)) {
            let [first, second] = fields;
            let fields = [("user", LogValue::User(user)), first, second];
            self.log.write(Stamp { mono: now.mono, wall: now.wall }, message, &fields);
        }
    }

    /// An empty buffer.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.buffers.take_kept().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn keep(&mut self, buffer: Vec<u8>) {
        self.buffers.give(buffer);
    }

    /// Tells how full the slice is.
    pub(crate) fn count_slice(&self) {
        self.counters.slice_entries.set(self.slice.len() as u64);
        self.counters.slice_bytes.set(self.slice.bytes_used());
        self.counters.slice_evictions.set(self.slice.evictions());
    }

    /// Decodes a resident user into the scratch state. `None` where the user is not in memory, else
    /// the last record that changed it.
    pub fn load(&mut self, user: &str) -> Option<LaneSequence> {
        let Some(entry) = self.slice.get(user) else {
            self.counters.slice_misses.add(1);
            return None;
        };
        self.counters.slice_hits.add(1);
        user::decode(entry.state, &mut self.scratch.state).expect("we encoded it");
        Some(entry.last_change)
    }

    /// Stores the scratch state after the records up to `last_change`. Where the slice has no room
    /// the former state stays and the records are taken back to `mark`.
    pub fn store(
        &mut self,
        now: Now,
        user: &str,
        last_change: LaneSequence,
        mark: LaneMark,
    ) -> bool {
        self.scratch.encoded.clear();
        user::encode(&self.scratch.state, &mut self.scratch.encoded);
        let applied = self.lane.applied();
        let stored = self.slice.put(user, &self.scratch.encoded, last_change, applied);
        if stored.is_err() {
            self.counters.slice_full.add(1);
            self.log(now, Message::SliceFull);
            self.lane.roll_back(mark);
        }
        stored.is_ok()
    }

    /// Takes a state that was read: it is as SQL has it, so it may be evicted at once.
    pub fn admit(&mut self, user: &str, state: &[u8]) -> bool {
        let applied = self.lane.applied();
        let admitted = self.slice.put(user, state, LaneSequence(0), applied);
        if admitted.is_err() {
            self.counters.slice_full.add(1);
        }
        admitted.is_ok()
    }

    /// Records what just happened to the scratch state's entry of `subject.popup`: in the lane, or
    /// aside where Redis has to take it first.
    fn record(&mut self, snapshot: &Snapshot, subject: &Subject<'_>, happened: Happened) {
        let Happened { kind, at, acted_at, forgotten } = happened;
        let popup_key = PopupKey::of(subject.popup);
        let Scratch { state, clocks, row, .. } = &mut self.scratch;
        let entry = state.popup(popup_key).expect("the change left an entry");
        clocks.clear();
        user::encode_clocks(&state.clocks, clocks);
        row.clear();
        user::encode_popup(entry, row);
        let next_show_at = snapshot
            .popup(popup_key)
            .and_then(|popup| gates::next_show_at(popup, entry, at).time());
        let forgotten = forgotten.and_then(|key| snapshot.popup(key)).map_or("", |popup| &popup.id);
        let record = Record::Impression(Impression {
            user: subject.user,
            revision: state.revision,
            at,
            kind,
            acted_at,
            token: subject.token,
            popup: subject.popup,
            version: subject.version,
            variant: subject.variant,
            clocks,
            row,
            next_show_at,
            forgotten,
        });
        match self.is_by_redis {
            // Certain only once Redis has taken the change.
            true => _ = record::append(&record, &mut self.uncommitted_records),
            false => _ = self.lane.append(&record),
        }
    }

    /// A new user's id, of this shard where one is found in a few tries: nobody has it, so its
    /// state is known to be empty, and neither a hop nor a read is needed.
    pub fn mint<'a>(&mut self, view: &View, bump: &'a Bump) -> &'a str {
        let tries = 4 * u32::from(view.shards);
        for _ in 0..tries {
            self.minted.0 += 1;
            let minted = view.keys.anonymous_id(self.minted.0, self.minted.1);
            let user = minted.as_str();
            if view.home(UserKey::of(user.as_bytes())) == view.shard {
                self.scratch.encoded.clear();
                user::encode(&UserState::default(), &mut self.scratch.encoded);
                let empty = std::mem::take(&mut self.scratch.encoded);
                // Without room the request goes the way of every unknown user.
                let _is_known = self.admit(user, &empty);
                self.scratch.encoded = empty;
                return bump.alloc_str(user);
            }
        }
        let minted = view.keys.anonymous_id(self.minted.0, self.minted.1);
        bump.alloc_str(minted.as_str())
    }

    /// Another catalog is current: shows that wait by those too long before are not told any more,
    /// so that only so many are in memory. `bump` is scratch.
    pub(crate) fn let_go_of_catalogs(
        &mut self,
        arbitration: &mut Arbitration,
        current: u64,
        bump: &Bump,
    ) {
        let held = u64::try_from(CATALOGS_HELD_MAX).expect("a small number");
        let oldest = (current + 1).saturating_sub(held);
        let Users { lane, counters, .. } = self;
        let mut let_go = |outcome: &EncodedOutcome| {
            let left = outcome.let_go_before(oldest, bump)?;
            counters.catalogs_let_go.add(1);
            Some(left)
        };
        lane.replace_outcomes(&mut let_go);
        if let Arbitration::Redis(arbiter) = arbitration {
            arbiter.replace_outcomes(let_go);
        }
    }

    /// From now on Redis has to take records first.
    #[cfg(test)]
    pub(super) fn take_records_first(&mut self) {
        self.is_by_redis = true;
    }

    /// Hands an outcome to whoever waits for it, at the end of the step.
    pub fn finish(&mut self, origin: Origin, outcome: EncodedOutcome) {
        self.done.push(Done { origin, outcome });
    }
}

/// The show that a token is of.
pub(crate) fn shown_of(token: &Token<'_>) -> ShowId {
    ShowId { popup: PopupKey::of(token.popup), number: token.number, at: token.at }
}
