//! How long the lists are that this node drains, seen by the keeper where the thread that drains
//! them is held up by SQL: what waits must be known above all then. One pipeline of a length for
//! each list, at most every `LIST_LOOK_MS`.

use super::{RoundError, Rounds, Stage, Turn, View};
use crate::lists::list_key;
use nudged_redis::request::{OwnedReply, RedisError, RedisRequest, command};

impl Rounds {
    /// Looks at the lists of each lane from this one on at which nobody has looked for a while;
    /// then what was decided is carried out.
    pub(super) fn look_at_lists(&mut self, view: &View, from: usize) -> Turn {
        let Some(lists) = &self.lists else { return self.act(view) };
        let is_stale = |lane: &usize| lists.metrics[*lane].is_stale(view.now.mono);
        let Some(lane) = (from..lists.metrics.len()).find(is_stale) else { return self.act(view) };
        let keys = lists.begin(lane).partitions;
        let length = |at: &_| command(&[b"LLEN", list_key(*at).as_bytes()]);
        let lengths = keys.iter().map(length).collect();
        Ok(self.ask(Stage::Lengths(lane), RedisRequest::Pipeline(lengths)))
    }

    pub(super) fn take_lengths(
        &mut self,
        view: &View,
        lane: usize,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        let mut waiting = 0;
        for answer in answers? {
            let OwnedReply::Int(length) = answer else { return Err(RoundError::Answer("LLEN")) };
            waiting += u64::try_from(length).unwrap_or(0);
        }
        if let Some(lists) = &self.lists {
            lists.metrics[lane].see(view.now.mono, waiting);
            lists.metrics[lane].grow_old(view.now.wall);
        }
        self.look_at_lists(view, lane + 1)
    }
}
