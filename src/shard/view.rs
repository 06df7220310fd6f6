//! What a shard reads and never changes while it works on one input: catalog, keys, rules, date.

use std::sync::Arc;

use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::routes::RequestPolicy;
use nudged_api::token::Keys;
use nudged_base::clock::Now;
use nudged_base::ids::{ShardId, UserKey};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::timetable::Timetable;
use nudged_http::connection::Timeouts;
use nudged_http::reply::ImfDate;

/// Who may ask what, by listener. Swapped whole by a reload.
#[derive(Debug)]
pub struct Rules {
    /// Keys asked for, by listener.
    pub access: Vec<Access>,
    /// Origins that may read replies.
    pub cors: Cors,
}

/// The read-only side of a shard.
#[derive(Debug)]
pub struct View {
    /// This shard.
    pub shard: ShardId,
    /// Shards of the node.
    pub shards: u16,
    /// The catalog; a decision uses one from start to end.
    pub snapshot: Arc<Snapshot>,
    /// Which of its popups are open. Worked out at the end of a turn for the ones to come.
    pub times: Timetable,
    /// Access and origins.
    pub rules: Arc<Rules>,
    /// Sign and verify tokens.
    pub keys: Arc<Keys>,
    /// How long peers may take.
    pub timeouts: Timeouts,
    /// The node takes traffic.
    pub ready: bool,
    /// Why the node's own disk takes nothing, for people; `None` while it does.
    pub disk_lack: Option<Arc<str>>,
    /// The node is stopping: answers close their connections.
    pub closing: bool,
    /// The date of this second.
    pub date: ImfDate,
}

impl View {
    /// Another catalog is current; gives back the former one.
    pub(crate) fn swap_catalog(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let former = std::mem::replace(&mut self.snapshot, snapshot);
        self.times = self.times.followed_by(&former, &self.snapshot);
        former
    }

    /// The shard that owns a user.
    pub fn home(&self, key: UserKey) -> ShardId {
        key.home(self.shards)
    }

    /// What a request of this listener is weighed against.
    pub fn policy(&self, listener: u16, now: Now) -> RequestPolicy<'_> {
        RequestPolicy {
            access: &self.rules.access[usize::from(listener)],
            cors: &self.rules.cors,
            keys: &self.keys,
            ready: self.ready && self.disk_lack.is_none(),
            disk_lack: self.disk_lack.as_deref(),
            now: now.wall,
            mono: now.mono,
        }
    }
}
