//! Events that are executed in parts, each part by itself: by shard where they came in, by user
//! where Redis is asked for each. The verdicts come together in their places, and the outcome is
//! whole when the last part is there.

use super::origin::Origin;
use nudged_api::outcome::{EncodedOutcome, Outcome, Verdicts};
use nudged_base::limits::PARKED_MAX;
use nudged_base::slab::{Handle, Slab};

/// Events whose verdicts are not all there.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// Who waits for the whole.
    pub origin: Origin,
    /// A verdict in each place: "unavailable" where none has come.
    pub outcome: EncodedOutcome,
    /// Parts that are under way, and one while more may be begun.
    parts: u32,
}

/// Those of one shard, `PARKED_MAX` at most.
#[derive(Debug)]
pub(crate) struct Fanouts(Slab<Fanout>);

impl Default for Fanouts {
    fn default() -> Fanouts {
        Fanouts(Slab::new(PARKED_MAX))
    }
}

impl Fanouts {
    /// Begins one; who begins it is a part of it, until [`Fanouts::part_done`]. Gives the outcome
    /// back where the bound is reached.
    pub(crate) fn begin(
        &mut self,
        origin: Origin,
        outcome: EncodedOutcome,
    ) -> Result<Handle, EncodedOutcome> {
        let inserted = self.0.insert(Fanout { origin, outcome, parts: 1 });
        inserted.map_err(|fanout| fanout.outcome)
    }

    /// One more part is begun: its verdicts, or `None` where they come later.
    pub(crate) fn add_part(&mut self, handle: Handle, outcome: Option<&Outcome<'_>>) {
        let fanout = self.0.get_mut(handle).expect("it is removed with its last part");
        match outcome {
            Some(outcome) => fanout.outcome.merge_verdicts(&verdicts_of(outcome)),
            None => fanout.parts += 1,
        }
    }

    /// A part that was under way has come to its end: with its verdicts, or none where it could not
    /// be executed. Gives the whole where it was the last one.
    pub(crate) fn part_done(&mut self, handle: Handle, verdicts: &Verdicts<'_>) -> Option<Fanout> {
        let fanout = self.0.get_mut(handle)?;
        fanout.outcome.merge_verdicts(verdicts);
        fanout.parts -= 1;
        if fanout.parts == 0 { self.0.remove(handle) } else { None }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The verdicts of an outcome of events.
pub(crate) fn verdicts_of<'a>(outcome: &Outcome<'a>) -> Verdicts<'a> {
    match outcome {
        Outcome::Verdicts(verdicts) => *verdicts,
        // Nothing was executed: its elements stay unavailable.
        _ => Verdicts::default(),
    }
}
