//! How long the lists are that this node drains, seen by the keeper where the thread that drains
//! them is held up by SQL: what waits must be known above all then. One pipeline of a length for
//! each list, at most every `LIST_LOOK_MS`.

use super::{RoundError, Thread};
use crate::keeper::scripts;
use crate::redis::ask::Answer;
use crate::runtime::clocks;

impl Thread {
    /// Looks at the lists of each lane at which nobody has looked for a while.
    pub(super) fn look_at_lists(&mut self) -> Result<(), RoundError> {
        let now = clocks::mono();
        let Some(share) = &self.setup.lists else { return Ok(()) };
        for (lane, figures) in share.figures.iter().enumerate() {
            if !figures.is_stale(now) {
                continue;
            }
            let keys: Vec<String> =
                share.begin(lane).partitions.iter().map(|at| scripts::list_key(*at)).collect();
            let words: Vec<[&[u8]; 2]> =
                keys.iter().map(|key| [b"LLEN".as_slice(), key.as_bytes()]).collect();
            let commands: Vec<&[&[u8]]> = words.iter().map(<[_; 2]>::as_slice).collect();
            let mut waiting = 0;
            for answer in self.setup.redis.pipeline(&commands)? {
                let Answer::Int(length) = answer else { return Err(RoundError::Answer("LLEN")) };
                waiting += u64::try_from(length).unwrap_or(0);
            }
            figures.see(now, waiting);
            figures.grow_old(clocks::wall());
        }
        Ok(())
    }
}
