//! What the arbiter has to do although nobody waits for it, and when: users for whom something
//! waits to be merged, entries that are journaled again, and changes that are sent until Redis says
//! what became of them. Knows neither states nor commands: `merging` and `pursuit` act on it.

use std::collections::VecDeque;

use crate::users::lane::Lane;
use crate::users::unmerged::UnmergedTable;
use nudged_base::ids::{LaneSequence, Sequence};
use nudged_base::limits::{
    JOURNAL_AGAIN_MS, JOURNAL_AGAIN_RECORDS, MERGE_REST_MS, PURSUED_MAX, UNMERGED_HELD_MS,
};
use nudged_base::slab::Handle;
use nudged_base::time::MonoNs;

/// Merges of users nobody asks for, and what was reported of all that waits.
#[derive(Debug, Default)]
pub(super) struct MergeBacklog {
    /// Users who are merged unasked.
    pub(super) under_way: Vec<Box<str>>,
    /// The last user who was.
    pub(super) last: Box<str>,
    /// Nobody is before this; 0 for no rest.
    rest_until: MonoNs,
    has_failed: bool,
    /// The last acknowledged record and the first unmerged one, as they were reported last.
    pub(super) reported: Option<(Sequence, Option<Sequence>)>,
    /// Bytes that the journal keeps room for, as they were reported last.
    pub(super) reported_bytes: u64,
}

impl MergeBacklog {
    /// A merge has failed: none is tried again at once.
    pub(super) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Whether the rest after a failure is over.
    pub(super) fn is_rested(&mut self, now: MonoNs) -> bool {
        if std::mem::take(&mut self.has_failed) {
            self.rest_until = now.plus_ms(MERGE_REST_MS);
        }
        if now >= self.rest_until {
            self.rest_until = MonoNs(0);
        }
        self.rest_until == MonoNs(0)
    }

    /// When the rest is over; `None` without one.
    pub(super) fn rest_ends_at(&self) -> Option<MonoNs> {
        Some(self.rest_until).filter(|until| until.0 > 0)
    }
}

/// Journaling entries again that hold SQL up.
#[derive(Debug, Default)]
pub(super) struct Rejournaling {
    /// The floor, and since when it stands.
    floor: Option<(Sequence, MonoNs)>,
    /// Whether SQL has applied all before the floor.
    is_sql_there: bool,
    round: Option<RejournalRound>,
    /// When a round may begin at the earliest.
    due: MonoNs,
    /// When more of the round is journaled.
    next_at: MonoNs,
}

/// Journaling all entries again, once.
#[derive(Debug)]
struct RejournalRound {
    /// What was acknowledged when it began.
    acked: Sequence,
    /// The last user whose entries are journaled again; `None` once all are.
    last: Option<Box<str>>,
    /// The last record of it.
    upto: LaneSequence,
}

impl Rejournaling {
    /// Goes on with a round, or begins one where the floor has held SQL up for long enough; how
    /// many records it wrote. `is_connected` says whether Redis is there: while it is away nothing
    /// but such records is written, and SQL may as well wait.
    pub(super) fn step(
        &mut self,
        now: MonoNs,
        lane: &mut Lane,
        unmerged: &mut UnmergedTable,
        is_connected: bool,
    ) -> usize {
        self.note_floor(now, unmerged.floor(), lane.applied_sequence());
        let held_since = self.held_since(is_connected);
        let is_held = held_since.is_some_and(|since| since.plus_ms(UNMERGED_HELD_MS) <= now);
        if is_held && now >= self.due {
            let acked = lane.acked_sequence();
            self.due = now.plus_ms(JOURNAL_AGAIN_MS);
            self.round = Some(RejournalRound { acked, last: Some("".into()), upto: lane.last() });
        }
        let Some(round) = &mut self.round else { return 0 };
        let count = round.journal(lane, unmerged);
        self.next_at = now.plus_ms(1);
        if round.last.is_none() && lane.is_acked(round.upto) {
            unmerged.journaled_again(round.acked);
            self.round = None;
        }
        count
    }

    fn note_floor(&mut self, now: MonoNs, floor: Option<Sequence>, applied: Sequence) {
        if self.floor.map(|(floor, _)| floor) != floor {
            self.floor = floor.map(|floor| (floor, now));
        }
        // What others have put there in between, SQL may have applied.
        self.is_sql_there = floor.is_some_and(|floor| applied.0 + 1 >= floor.0);
    }

    /// Since when the floor stands at which SQL is; `None` where it has others to apply before, or
    /// a round is under way already.
    fn held_since(&self, is_connected: bool) -> Option<MonoNs> {
        let may_begin = self.is_sql_there && is_connected && self.round.is_none();
        self.floor.filter(|_| may_begin).map(|(_, since)| since)
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self, is_connected: bool) -> Option<MonoNs> {
        if self.round.as_ref().is_some_and(|round| round.last.is_some()) {
            return Some(self.next_at);
        }
        let since = self.held_since(is_connected)?;
        Some(since.plus_ms(UNMERGED_HELD_MS).max(self.due))
    }
}

impl RejournalRound {
    /// Journals the entries of the next users, as many as a turn may write and the lane has room
    /// for; gives how many.
    fn journal(&mut self, lane: &mut Lane, unmerged: &UnmergedTable) -> usize {
        let mut count = 0;
        while let Some(last) = &self.last
            && count < JOURNAL_AGAIN_RECORDS
        {
            let Some(user) = unmerged.user_behind(last) else {
                self.last = None;
                break;
            };
            let entries = unmerged.of(user);
            if !lane.has_room_promised(entries.len()) {
                break;
            }
            for entry in entries {
                self.upto = lane.append_framed(entry.framed());
            }
            count += entries.len();
            self.last = Some(user.into());
        }
        count
    }
}

/// The changes of one shard that are pursued.
#[derive(Debug, Default)]
pub(crate) struct PursuitBacklog {
    /// Those that are not sent, and when each is given up.
    pub(super) queue: VecDeque<(MonoNs, Handle)>,
    pub(super) sent: usize,
    /// None is sent before this; 0 for no rest.
    pub(super) rest_until: MonoNs,
}

impl PursuitBacklog {
    /// How many are pursued, sent or not.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.sent
    }

    /// Whether one more may be.
    pub(super) fn has_room(&self) -> bool {
        self.len() < PURSUED_MAX
    }

    /// Whether the rest after a failure is over.
    pub(super) fn is_rested(&mut self, now: MonoNs) -> bool {
        if now >= self.rest_until {
            self.rest_until = MonoNs(0);
        }
        self.rest_until == MonoNs(0)
    }

    /// When one is given up, or the rest is over.
    pub(super) fn next_deadline(&self) -> Option<MonoNs> {
        let (until, _) = self.queue.front()?;
        let rest = Some(self.rest_until).filter(|until| until.0 > 0);
        rest.into_iter().chain([*until]).min()
    }
}
