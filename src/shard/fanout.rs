//! Events that are executed in parts, each part by itself: by shard where they came in, by user
//! where Redis is asked for each. The verdicts come together in their places, and the outcome is
//! whole when the last part is there.

use super::origin::Origin;
use nudged_api::outcome::{EncodedOutcome, Outcome};
use nudged_api::verdict::PlacedVerdict;
use nudged_base::limits::PARKED_MAX;
use nudged_base::slab::{Handle, Slab};

/// Events whose verdicts are not all there.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// Who waits for the whole.
    pub origin: Origin,
    /// A verdict in each place: "unavailable" where none has come.
    pub outcome: EncodedOutcome,
    /// Parts that are under way.
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
    /// Begins one without parts. Gives the outcome back where the bound is reached.
    pub(crate) fn begin(
        &mut self,
        origin: Origin,
        outcome: EncodedOutcome,
    ) -> Result<Handle, EncodedOutcome> {
        let inserted = self.0.insert(Fanout { origin, outcome, parts: 0 });
        inserted.map_err(|fanout| fanout.outcome)
    }

    /// One more part is under way.
    pub(crate) fn await_part(&mut self, handle: Handle) {
        self.0.get_mut(handle).expect("it is removed with its last part").parts += 1;
    }

    /// The verdicts of a part that did not have to wait.
    pub(crate) fn merge(&mut self, handle: Handle, verdicts: &[PlacedVerdict]) {
        let fanout = self.0.get_mut(handle).expect("it is removed with its last part");
        fanout.outcome.merge_verdicts(verdicts);
    }

    /// A part that was under way has come back: its verdicts, or none where it could not be
    /// executed. Gives the whole where it was the last one.
    pub(crate) fn part_done(
        &mut self,
        handle: Handle,
        verdicts: &[PlacedVerdict],
    ) -> Option<Fanout> {
        let fanout = self.0.get_mut(handle)?;
        fanout.outcome.merge_verdicts(verdicts);
        fanout.parts -= 1;
        self.take_whole(handle)
    }

    /// Takes it out where no part is under way.
    pub(crate) fn take_whole(&mut self, handle: Handle) -> Option<Fanout> {
        let is_whole = self.0.get(handle).is_some_and(|fanout| fanout.parts == 0);
        is_whole.then(|| self.0.remove(handle).expect("just seen"))
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
pub(crate) fn verdicts_of<'a>(outcome: &Outcome<'a>) -> &'a [PlacedVerdict] {
    match outcome {
        Outcome::Verdicts(verdicts) => verdicts.verdicts,
        // Nothing was executed: its elements stay unavailable.
        _ => &[],
    }
}
