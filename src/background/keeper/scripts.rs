//! What the keeper has Redis do in one step, and the keys it does it to. Each script acts on one
//! key and looks first whether it still has to; what it takes and gives stands at its head.
//!
//! ```text
//! nudged:nodes                  signs of life, by node      nudged:compared:<run>  who compared it
//! nudged:rebuild                the latest seal             nudged:rebuild:lock    who leads
//! nudged:rebuild:<epoch>:<run>  who acknowledged it
//! nudged:{p<partition>}:m       meta
//! ```

use crate::keeper::core::SealedEpoch;
use nudged_base::ids::Partition;

/// Leaves and reads signs of life.
pub const HEARTBEAT: &str = include_str!("scripts/heartbeat.lua");
/// Closes a partition that has lost writes, to every node.
pub const FENCE: &str = include_str!("scripts/fence.lua");
/// Begins an epoch.
pub const BEGIN: &str = include_str!("scripts/begin.lua");
/// Marks a partition from which users may have vanished.
pub const DOUBT: &str = include_str!("scripts/doubt.lua");
/// Goes to the next phase.
pub const ADVANCE: &str = include_str!("scripts/advance.lua");
/// Takes, keeps and leaves the lead.
pub const LEAD: &str = include_str!("scripts/lead.lua");
/// Puts a user's state that SQL has.
pub const REFILL: &str = include_str!("scripts/refill.lua");

/// Nothing; every server runs it.
pub const NOTHING: &str = "#!lua flags=no-writes\nreturn {}";
/// Tries commands.
pub const RIGHTS: &str = include_str!("scripts/rights.lua");

/// Signs of life.
pub const NODES: &str = "nudged:nodes";
/// The latest seal.
pub(crate) const REBUILD: &str = "nudged:rebuild";
/// Who leads.
pub const LOCK: &str = "nudged:rebuild:lock";
/// Stands among those who compared a run where a node has cleared it.
pub(crate) const CLEARED: &str = "cleared";
/// Every user's value, for SCAN.
pub(crate) const USERS_PATTERN: &str = "nudged:{p*}:u:*";

/// Who has compared a run.
pub(crate) fn compared_key(run: u64) -> String {
    format!("nudged:compared:{run}")
}

/// Who has acknowledged a sealed epoch.
pub(crate) fn acks_key(seal: SealedEpoch) -> String {
    format!("nudged:rebuild:{}:{}", seal.epoch, seal.run)
}

/// The meta of a partition.
pub fn meta_key(partition: Partition) -> String {
    format!("nudged:{{p{}}}:m", partition.0)
}

/// The value of a user of a partition.
pub fn user_key(partition: Partition, user: &str) -> String {
    format!("nudged:{{p{}}}:u:{user}", partition.0)
}

/// The user of a value's key; `None` where it is no such key.
pub(crate) fn user_of_key(key: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(key).ok()?;
    let (partition, user) = text.strip_prefix("nudged:{p")?.split_once("}:u:")?;
    let partition: u16 = partition.parse().ok()?;
    let is_own = nudged_base::ids::UserKey::of(user.as_bytes()).partition().0 == partition;
    is_own.then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::UserKey;

    #[test]
    fn users_are_read_back_from_their_keys() {
        for user in ["anna", "}:u:", "a b", "ü"] {
            let partition = UserKey::of(user.as_bytes()).partition();
            assert_eq!(user_of_key(user_key(partition, user).as_bytes()), Some(user));
            let other = Partition((partition.0 + 1) % 1_024);
            assert_eq!(user_of_key(user_key(other, user).as_bytes()), None, "of no partition");
        }
        assert_eq!(user_of_key(b"nudged:{p1}:m"), None);
        assert_eq!(user_of_key(b"nudged:{p1}:u:\xff"), None);
    }

    #[test]
    fn scripts_are_refused_where_they_can_not_finish() {
        for script in [HEARTBEAT, FENCE, BEGIN, DOUBT, ADVANCE, LEAD, REFILL, RIGHTS] {
            assert!(script.starts_with("#!lua"), "{script}");
        }
    }
}
