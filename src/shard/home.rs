//! The users that a shard owns: their slice, the lane to the journal, reads under way, and the one
//! place where a user's state is changed. Knows nothing of connections and of HTTP.

use std::sync::Arc;

use bumpalo::Bump;

use super::arbiter::Arbiter;
use super::fanout::Fanouts;
use super::lane::{Lane, Mark};
use super::origin::Origin;
use super::reads::{Parked, Reads, Waiter};
use super::seam::{Effect, ReadRequest};
use super::unmerged::Unmerged;
use super::view::View;
use nudged_api::events::Event;
use nudged_api::outcome::EncodedOutcome;
use nudged_api::token::Token;
use nudged_base::clock::Now;
use nudged_base::ids::{LaneSequence, PopupKey, ShardId, UserKey};
use nudged_base::limits::CATALOGS_HELD_MAX;
use nudged_base::slab::{Handle, Slab};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Field, Log, Message, Stamp, Value};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::gates::{self, Gate};
use nudged_domain::state::apply::ShowId;
use nudged_domain::state::slice::Slice;
use nudged_domain::state::user::{self, UserState};
use nudged_http::pool::BufferPool;
use nudged_journal::record::{self, Happening, Impression, Record};

/// An outcome and who waits for it.
#[derive(Debug)]
pub struct Done {
    /// Who waits.
    pub origin: Origin,
    /// The outcome.
    pub outcome: EncodedOutcome,
}

/// What a request on another shard is for.
#[derive(Clone, Copy, Debug)]
pub enum Outstanding {
    /// A decision: the reply is whole.
    Decision(Origin),
    /// A part of an events request.
    Part(Handle),
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
pub struct Home {
    /// Users in memory.
    pub slice: Slice,
    /// The way to the journal.
    pub lane: Lane,
    /// Users being read.
    pub reads: Reads,
    /// Redis, where it decides whose change is first; `None` where the shard itself does.
    pub arbiter: Option<Box<Arbiter>>,
    /// What was accepted without its user's state, and waits to become part of it.
    pub unmerged: Unmerged,
    /// Events requests whose verdicts are not all there.
    pub fanouts: Fanouts,
    /// Requests on other shards.
    pub outstanding: Slab<Outstanding>,
    /// Outcomes of this step, to be delivered at its end.
    pub done: Vec<Done>,
    /// What else this step wants done.
    pub effects: Vec<Effect>,
    /// Working memory.
    pub scratch: Scratch,
    /// Buffers at rest.
    pub buffers: BufferPool,
    /// Users minted so far, and the seed that makes their ids unguessable.
    pub minted: (u64, u64),
    /// Where this shard counts.
    pub counters: Arc<ShardCounters>,
    /// Where this shard says what happens to it.
    pub log: Log,
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

impl Home {
    /// Says what happened to this shard; the log keeps the pace.
    pub fn tell(&self, now: Now, message: Message) {
        self.log.write(Stamp { mono: now.mono, wall: now.wall }, message, &[]);
    }

    /// As [`Home::tell`], with what more is to be said of it.
    pub fn tell_with(&self, now: Now, message: Message, fields: &[Field<'_>]) {
        self.log.write(Stamp { mono: now.mono, wall: now.wall }, message, fields);
    }

    /// Says what happened to a user's request, where the level or the list of users asks for it.
    pub fn tell_of_user(&self, now: Now, message: Message, user: &str, fields: [Field<'_>; 2]) {
        if self.log.wants(message, Some(user)) {
            let [first, second] = fields;
            let fields = [("user", Value::User(user)), first, second];
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

    /// Tells how much waits, once a turn.
    pub fn count_what_waits(&self) {
        let redis = self.arbiter.as_deref().map_or(0, Arbiter::waiting);
        let parked = self.reads.waiting() + self.fanouts.len() + redis;
        self.counters.parked.set(parked as u64);
        self.counters.journal_waiting.set(self.lane.waiting() as u64);
        self.counters.unmerged.set(self.unmerged.len() as u64);
    }

    /// Tells how full the slice is.
    pub fn count_slice(&self) {
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
    pub fn store(&mut self, now: Now, user: &str, last_change: LaneSequence, mark: Mark) -> bool {
        self.scratch.encoded.clear();
        user::encode(&self.scratch.state, &mut self.scratch.encoded);
        let applied = self.lane.applied();
        let stored = self.slice.put(user, &self.scratch.encoded, last_change, applied);
        if stored.is_err() {
            self.counters.slice_full.add(1);
            self.tell(now, Message::SliceFull);
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
    pub fn record(
        &mut self,
        snapshot: &Snapshot,
        subject: &Subject<'_>,
        happening: Happening,
        times: (WallMs, WallMs),
        forgotten: Option<PopupKey>,
    ) {
        let (at, acted_at) = times;
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
            happening,
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
        match self.arbiter.as_deref_mut() {
            // Certain only once Redis has taken the change.
            Some(arbiter) => _ = record::append(&record, &mut arbiter.aside),
            None => _ = self.lane.append(&record),
        }
    }

    /// Until when a request that comes now may wait for its user's state.
    pub fn deadline(&self, now: MonoNs) -> MonoNs {
        match self.arbiter.as_deref() {
            Some(arbiter) => arbiter.deadline(now),
            None => self.reads.deadline(now),
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

    /// Parks work until a user's state is there, and asks for the state where nobody has. Gives the
    /// work back where a bound is reached.
    pub fn park(
        &mut self,
        shard: ShardId,
        now: Now,
        user: &str,
        waiter: Waiter,
    ) -> Result<(), Waiter> {
        match self.reads.park(now.mono, user, waiter) {
            Parked::Joined => Ok(()),
            Parked::Start(ticket) => {
                self.counters.reads.add(1);
                let request = ReadRequest { shard, ticket, user: user.into() };
                self.effects.push(Effect::ReadUser(request));
                Ok(())
            }
            Parked::Refused(waiter) => {
                self.counters.parked_full.add(1);
                Err(waiter)
            }
        }
    }

    /// Another catalog is current: shows that wait by those too long before are not told any more,
    /// so that only so many are in memory. `bump` is scratch.
    pub fn let_go_of_catalogs(&mut self, current: u64, bump: &Bump) {
        let held = u64::try_from(CATALOGS_HELD_MAX).expect("a small number");
        let oldest = (current + 1).saturating_sub(held);
        let Home { lane, arbiter, counters, .. } = self;
        let mut let_go = |outcome: &EncodedOutcome| {
            let left = outcome.let_go_before(oldest, bump)?;
            counters.catalogs_let_go.add(1);
            Some(left)
        };
        lane.replace_outcomes(&mut let_go);
        if let Some(arbiter) = arbiter.as_deref_mut() {
            arbiter.replace_outcomes(let_go);
        }
    }

    /// Hands an outcome to whoever waits for it, at the end of the step.
    pub fn finish(&mut self, origin: Origin, outcome: EncodedOutcome) {
        self.done.push(Done { origin, outcome });
    }
}

/// The show that a token is of.
pub fn shown_of(token: &Token<'_>) -> ShowId {
    ShowId { popup: PopupKey::of(token.popup), number: token.number, at: token.at }
}
