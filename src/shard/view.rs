//! What a shard reads and never changes while it works on one input: catalog, keys, rules, date.

use std::sync::Arc;

use crate::audiences::Audiences;
use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::identity::AnonymousId;
use nudged_api::outcome::Outcome;
use nudged_api::repeated::RepeatedRequests;
use nudged_api::routes::RequestPolicy;
use nudged_api::token::Keys;
use nudged_api::visitors::VisitorRules;
use nudged_base::clock::Now;
use nudged_base::ids::{ShardId, UserKey};
use nudged_base::time::WallMs;
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
    /// Which users may be named, and who only looks.
    pub visitors: VisitorRules,
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
    /// The catalog of those who only look, where drafts make it another one.
    pub previewed: Option<Arc<Snapshot>>,
    /// Which of its popups are open. Worked out at the end of a turn for the ones to come.
    pub times: Timetable,
    /// Access and origins.
    pub rules: Arc<Rules>,
    /// What requests have said lately, so that the same is not read again; no answer depends on it.
    pub repeated: RepeatedRequests,
    /// What they match in this catalog.
    pub(crate) audiences: Audiences,
    /// Sign and verify tokens.
    pub keys: Arc<Keys>,
    /// How long peers may take.
    pub timeouts: Timeouts,
    /// The node takes traffic, as far as Redis goes.
    pub ready: bool,
    /// The node stops, and balancers look elsewhere.
    pub stopping: bool,
    /// Why the node's own disk takes nothing, for people; `None` while it does.
    pub disk_lack: Option<Arc<str>>,
    /// The process is to end: answers close their connections.
    pub closing: bool,
    /// The date of this second.
    pub date: ImfDate,
}

impl View {
    /// That of a shard, which has a number and others beside it, in a node that takes traffic.
    pub fn new(
        (shard, shards): (ShardId, u16),
        snapshot: Arc<Snapshot>,
        rules: Arc<Rules>,
        keys: Arc<Keys>,
        seed: u64,
    ) -> View {
        View {
            shard,
            shards,
            times: Timetable::of(&snapshot),
            snapshot,
            previewed: None,
            rules,
            repeated: RepeatedRequests::new(seed),
            audiences: Audiences::default(),
            keys,
            timeouts: Timeouts::DEFAULT,
            ready: true,
            stopping: false,
            disk_lack: None,
            closing: false,
            date: ImfDate::of(WallMs(0)),
        }
    }

    /// Another catalog is current; gives back the former one.
    pub(crate) fn swap_catalog(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let former = std::mem::replace(&mut self.snapshot, snapshot);
        self.times = self.times.followed_by(&former, &self.snapshot);
        self.audiences.forget();
        former
    }

    /// The catalog of those who only look.
    pub(crate) fn previewed(&self) -> &Snapshot {
        self.previewed.as_ref().unwrap_or(&self.snapshot)
    }

    /// The catalog that an outcome was decided by in this step.
    pub(crate) fn snapshot_of(&self, outcome: &Outcome<'_>) -> &Snapshot {
        match outcome {
            Outcome::Decided(decided) if decided.is_preview => self.previewed(),
            _ => &self.snapshot,
        }
    }

    /// The id of a user who came without one, by its number and the seed of its process.
    pub(crate) fn mint(&self, (counter, seed): (u64, u64)) -> AnonymousId {
        self.rules.visitors.identity.sealed(self.keys.anonymous_id(counter, seed))
    }

    /// The shard that owns a user.
    pub fn home(&self, key: UserKey) -> ShardId {
        key.home(self.shards)
    }

    /// As [`View::home`], by the user's id.
    pub(crate) fn home_of(&self, user: &str) -> ShardId {
        // Of one shard there is nothing to find out.
        if self.shards == 1 { self.shard } else { self.home(UserKey::of(user.as_bytes())) }
    }

    /// What a request of this listener is weighed against.
    pub fn policy(&self, listener: u16, now: Now) -> RequestPolicy<'_> {
        RequestPolicy {
            access: &self.rules.access[usize::from(listener)],
            cors: &self.rules.cors,
            visitors: &self.rules.visitors,
            repeated: &self.repeated,
            keys: &self.keys,
            ready: self.ready && !self.stopping && self.disk_lack.is_none(),
            disk_lack: self.disk_lack.as_deref(),
            now: now.wall,
            mono: now.mono,
        }
    }
}
