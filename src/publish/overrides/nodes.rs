//! Redis: a hash in which each node leaves what it decides by, for people who want to see that a
//! pause has come everywhere. What can't be read of it is passed over.

use std::time::{Duration, Instant};

use crate::publisher::{NodeSight, NodeView, Publisher};
use nudged_base::limits::{NODE_FORGOTTEN_MS, NODE_SAID_MS};
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::clocks;
use nudged_runtime::redis_client::BlockingRedis;

const KEY: &[u8] = b"nudged:views";

/// What this node has left, and when it last looked.
#[derive(Debug, Default)]
pub(super) struct SharedViews {
    said: Option<(NodeView, Instant)>,
    read_at: Option<Instant>,
}

impl SharedViews {
    /// Leaves what this node decides by, where it is news or some time has passed; reads what
    /// others have left, where some time has passed or somebody waits for it.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub(super) fn round(
        &mut self,
        redis: &mut BlockingRedis,
        publisher: &Publisher,
    ) -> Result<(), RedisError> {
        let NodeSight { node, view, .. } = publisher.own_node();
        if node.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let period = Duration::from_millis(NODE_SAID_MS);
        let is_old = |then: Instant| now.saturating_duration_since(then) >= period;
        let is_said = |(said, then): &(NodeView, Instant)| said.is_same(&view) && !is_old(*then);
        if !self.said.as_ref().is_some_and(is_said) {
            let text = serde_json::to_string(&view).expect("our own values serialize");
            redis.ask(&[b"HSET", KEY, node.as_bytes(), text.as_bytes()])?;
            self.said = Some((view, now));
        }
        if publisher.is_followed() || self.read_at.is_none_or(is_old) {
            let views = read(redis)?;
            self.read_at = Some(now);
            publisher.take_nodes(views);
        }
        Ok(())
    }
}

/// What all nodes have left; what is old by a day goes.
fn read(redis: &mut BlockingRedis) -> Result<Vec<(String, NodeView)>, RedisError> {
    let OwnedReply::List(words) = redis.ask(&[b"HGETALL", KEY])? else { return Ok(Vec::new()) };
    let mut views = Vec::new();
    let oldest = clocks::wall().0.saturating_sub_unsigned(NODE_FORGOTTEN_MS);
    for pair in words.chunks_exact(2) {
        let [OwnedReply::Text(node), OwnedReply::Text(text)] = pair else { continue };
        match serde_json::from_slice::<NodeView>(text) {
            Ok(view) if view.at >= oldest => {
                views.push((String::from_utf8_lossy(node).into_owned(), view));
            }
            _ => {
                redis.ask(&[b"HDEL", KEY, node])?;
            }
        }
    }
    Ok(views)
}
