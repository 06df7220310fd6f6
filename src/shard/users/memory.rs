//! What a shard has of its users, whoever decides on them: their states in memory, the lane to the
//! journal, what is under way for them, the outcomes of this step, and buffers for use again. Knows
//! no request.

use std::sync::Arc;

use bumpalo::Bump;

use super::in_flight::InFlightTable;
use super::lane::{Lane, LaneMark};
use super::rates::{RateVerdict, UserRates};
use crate::fanout::Fanouts;
use crate::origin::Origin;
use crate::seam::Effect;
use crate::view::View;
use nudged_api::outcome::Verdicts;
use nudged_api::outcome::{EncodedOutcome, Outcome};
use nudged_base::clock::Now;
use nudged_base::ids::{LaneSequence, Revision, UserKey};
use nudged_base::rate::OverRate;
use nudged_base::slab::Handle;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_domain::decide::gates::Gate;
use nudged_domain::state::apply::ShowParts;
use nudged_domain::state::slice::Slice;
use nudged_domain::state::user::{self, EncodedState, UserState};
use nudged_http::pool::BufferPool;

/// An outcome and who waits for it.
#[derive(Debug)]
pub(crate) struct Done {
    /// Who waits.
    pub origin: Origin,
    /// The outcome.
    pub outcome: EncodedOutcome,
}

/// What the command at hand works on. Its memory is used again and again, so that a request
/// allocates nothing; nothing in it outlives the step.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The state of the user at hand.
    pub(super) state: UserState,
    /// What was done to it, as framed records, where Redis has to take the change first.
    pub(super) uncommitted_records: Vec<u8>,
    /// A token that is being minted.
    pub(super) token: String,
    /// Popups with their gates, for explanations.
    pub(super) candidates: Vec<(u32, Option<Gate>)>,
    /// What a show has made of a state that was looked at where it lies, instead of `state`; for
    /// the length of one decision.
    pub(super) shown: Option<ShowParts>,
    /// The state after the change, encoded; empty where it is still to be made of `state`.
    pub(super) encoded: Vec<u8>,
    /// With `shown` where Redis is the arbiter: the revision that Redis must still hold, and the
    /// state without the show, encoded.
    pub(super) base: Revision,
    pub(super) former: Vec<u8>,
    /// Parts of the record that is being written.
    pub(super) clocks: Vec<u8>,
    pub(super) row: Vec<u8>,
}

impl Scratch {
    /// The revision of the state after the change.
    pub(super) fn revision(&self) -> Revision {
        self.shown.as_ref().map_or(self.state.revision, |parts| parts.revision)
    }

    /// Appends the encoding of the state after the change.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self.encoded.is_empty() {
            true => user::encode(&self.state, out),
            false => out.extend_from_slice(&self.encoded),
        }
    }

    /// What a show has made of a state as it lies is done with.
    pub(super) fn forget_shown(&mut self) {
        self.shown = None;
        self.encoded.clear();
        self.former.clear();
    }
}

/// The users of one shard.
pub(crate) struct Users {
    /// Users in memory.
    pub(crate) slice: Slice,
    /// The way to the journal.
    pub(crate) lane: Lane,
    /// What is under way for users, and who waits for it.
    pub(crate) in_flight: InFlightTable,
    /// Events whose verdicts are not all there.
    pub(crate) fanouts: Fanouts,
    /// Whether Redis has to take a change before its records may go to the lane.
    pub(crate) is_by_redis: bool,
    /// Outcomes of this step, to be delivered at its end.
    pub(crate) done: Vec<Done>,
    /// What else this step wants done.
    pub(crate) effects: Vec<Effect>,
    /// How often each user may ask for more than the slice answers.
    pub(crate) rates: UserRates,
    /// Buffers at rest.
    pub(crate) buffers: BufferPool,
    /// Users minted so far, and the seed that makes their ids unguessable.
    pub(crate) minted: (u64, u64),
    /// How long a read of SQL may take, in milliseconds.
    pub(crate) read_deadline_ms: u64,
    /// Where this shard counts.
    pub(crate) counters: Arc<ShardCounters>,
    /// Where this shard says what happens to it.
    pub(crate) log: Log,
}

impl Users {
    /// Says what happened to this shard; the log keeps the pace.
    pub(crate) fn log(&self, now: Now, message: Message, fields: &[LogField<'_>]) {
        self.log.write(now, message, fields);
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
            self.log(now, message, &fields);
        }
    }

    /// Counts what a user asks for beyond what the slice answers.
    ///
    /// # Errors
    /// Where the user asks too often: nothing may be done for it then.
    pub(super) fn count_user(&mut self, user: &str, now: MonoNs) -> Result<(), OverRate> {
        match self.rates.take(user, now) {
            RateVerdict::Taken => Ok(()),
            RateVerdict::Untracked => {
                self.counters.users_untracked.add(1);
                Ok(())
            }
            RateVerdict::Over(over) => {
                self.counters.users_limited.add(1);
                Err(over)
            }
        }
    }

    /// An empty buffer.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.take_kept().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub(crate) fn keep(&mut self, buffer: Vec<u8>) {
        self.buffers.give(buffer);
    }

    /// Tells how full the slice is.
    pub(crate) fn count_slice(&self) {
        self.counters.users_rated.set(self.rates.len() as u64);
        self.counters.slice_entries.set(self.slice.len() as u64);
        self.counters.slice_bytes.set(self.slice.bytes_used());
        self.counters.slice_evictions.set(self.slice.evictions());
    }

    /// The state of a user who is in memory, with the last record that changed it. `None` where the
    /// user is not.
    pub(crate) fn look_up(&mut self, user: &str) -> Option<(EncodedState<'_>, LaneSequence)> {
        let Some(entry) = self.slice.get(user) else {
            self.counters.slice_misses.add(1);
            return None;
        };
        self.counters.slice_hits.add(1);
        Some((EncodedState::new(entry.state), entry.last_change))
    }

    /// Decodes a user who is in memory into the scratch. `None` where the user is not, else the
    /// last record that changed the state.
    pub(crate) fn load(&mut self, scratch: &mut Scratch, user: &str) -> Option<LaneSequence> {
        let (state, last_change) = self.look_up(user)?;
        state.decode(&mut scratch.state);
        Some(last_change)
    }

    /// Stores the scratch state as changed by the last record of the lane. Where the slice has no
    /// room the former state stays and the records are taken back to `mark`.
    pub(super) fn store(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        user: &str,
        mark: LaneMark,
    ) -> bool {
        if scratch.encoded.is_empty() {
            user::encode(&scratch.state, &mut scratch.encoded);
        }
        let (last, applied) = (self.lane.last(), self.lane.applied());
        let stored = self.slice.put(user, &scratch.encoded, last, applied);
        scratch.encoded.clear();
        if stored.is_err() {
            self.counters.slice_full.add(1);
            self.log(now, Message::SliceFull, &[]);
            self.lane.roll_back(mark);
        }
        stored.is_ok()
    }

    /// Takes a state that was read: it is as SQL has it, so it may be evicted at once.
    pub(crate) fn admit(&mut self, user: &str, state: &[u8]) -> bool {
        let applied = self.lane.applied();
        let admitted = self.slice.put(user, state, LaneSequence(0), applied);
        if admitted.is_err() {
            self.counters.slice_full.add(1);
        }
        admitted.is_ok()
    }

    /// A new user's id, of this shard where one is found in a few tries: nobody has it, so its
    /// state is known to be empty, and neither a hop nor a read is needed.
    pub(crate) fn mint<'a>(&mut self, view: &View, bump: &'a Bump) -> &'a str {
        let tries = 4 * u32::from(view.shards);
        for _ in 0..tries {
            self.minted.0 += 1;
            let minted = view.mint(self.minted);
            let user = minted.as_str();
            if view.home(UserKey::of(user.as_bytes())) == view.shard {
                let mut empty = self.buffer();
                user::encode(&UserState::default(), &mut empty);
                // Without room the request goes the way of every unknown user.
                let _is_known = self.admit(user, &empty);
                self.keep(empty);
                return bump.alloc_str(user);
            }
        }
        let minted = view.mint(self.minted);
        bump.alloc_str(minted.as_str())
    }

    /// Begins events that are executed in parts, with an outcome in which none has a verdict yet.
    /// `None` where the bound is reached.
    pub(crate) fn begin_fanout(&mut self, origin: Origin, outcome: &Outcome<'_>) -> Option<Handle> {
        let outcome = EncodedOutcome::of_no_popup(outcome, self.buffer());
        let begun = self.fanouts.begin(origin, outcome);
        begun.map_err(|outcome| self.keep(outcome.into_buffer())).ok()
    }

    /// A part of events has come to its end; the whole is handed on with the last one.
    pub(crate) fn part_done(&mut self, handle: Handle, verdicts: &Verdicts<'_>) {
        if let Some(fanout) = self.fanouts.part_done(handle, verdicts) {
            self.finish(fanout.origin, fanout.outcome);
        }
    }

    /// Hands an outcome to whoever waits for it, at the end of the step.
    pub(crate) fn finish(&mut self, origin: Origin, outcome: EncodedOutcome) {
        self.done.push(Done { origin, outcome });
    }
}
