//! Which nodes there are besides this one, and which of them are waited for. Knows what was read
//! in Redis and in SQL; must not know how. Kept in memory, so that it outlives a wiped Redis.
//!
//! Silence is measured in time for which Redis answered this node: while it answers nobody, nobody
//! falls silent. A node that SQL alone still sees is waited for as long as one that fell silent,
//! once: it may be cut off from Redis for good.
//!
//! Limits: `PEERS_MAX` nodes.

use std::collections::BTreeMap;

use nudged_base::ids::NodeId;
use nudged_base::limits::{PEER_KNOWN_MS, PEER_SILENT_MS, PEERS_MAX};
use nudged_base::time::{MonoNs, WallMs};

/// A sign of life that a node left in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Whose.
    pub node: NodeId,
    /// TIME of Redis when it was left.
    pub at: WallMs,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    /// The latest sign in Redis; `None` where only SQL knows the node.
    beat: Option<WallMs>,
    /// When it gave the latest new sign, in time with Redis, in milliseconds.
    heard_ms: u64,
    /// When anybody saw it last, in the same time.
    seen_ms: u64,
}

/// The other nodes.
#[derive(Debug)]
pub struct Peers {
    own: NodeId,
    known: BTreeMap<NodeId, Peer>,
    /// Time for which Redis answered, in nanoseconds.
    answered_ns: u64,
    /// The last moment at which it did; `None` while it does not.
    answered_at: Option<MonoNs>,
}

impl Peers {
    /// Nobody is known yet. Does not allocate.
    pub fn new(own: NodeId) -> Peers {
        Peers { own, known: BTreeMap::new(), answered_ns: 0, answered_at: None }
    }

    /// This node.
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// Redis does not answer: time stands still until it does.
    pub(crate) fn disconnected(&mut self) {
        self.answered_at = None;
    }

    /// Takes the signs that are in Redis at `redis_now`.
    pub fn read_redis(&mut self, now: MonoNs, heartbeats: &[Heartbeat], redis_now: WallMs) {
        if let Some(before) = self.answered_at.replace(now) {
            self.answered_ns += now.0.saturating_sub(before.0);
        }
        let now_ms = self.now_ms();
        for beat in heartbeats.iter().filter(|beat| beat.node != self.own) {
            if let Some(peer) = self.known.get_mut(&beat.node) {
                // Equality, not order: a Redis on another machine may have an earlier time.
                if peer.beat != Some(beat.at) {
                    *peer = Peer { beat: Some(beat.at), heard_ms: now_ms, seen_ms: now_ms };
                }
            } else {
                let is_recent = redis_now.since(beat.at).0 <= PEER_KNOWN_MS;
                if is_recent && self.known.len() < PEERS_MAX {
                    let peer = Peer { beat: Some(beat.at), heard_ms: now_ms, seen_ms: now_ms };
                    self.known.insert(beat.node, peer);
                }
            }
        }
        self.known.retain(|_, peer| now_ms.saturating_sub(peer.seen_ms) <= PEER_KNOWN_MS);
    }

    /// Takes the nodes that SQL has seen lately.
    pub fn read_sql(&mut self, nodes: &[NodeId]) {
        let now_ms = self.now_ms();
        for node in nodes.iter().filter(|node| **node != self.own) {
            if let Some(peer) = self.known.get_mut(node) {
                peer.seen_ms = now_ms;
            } else if self.known.len() < PEERS_MAX {
                let peer = Peer { beat: None, heard_ms: now_ms, seen_ms: now_ms };
                self.known.insert(*node, peer);
            }
        }
    }

    /// The nodes that an answer is awaited from, this one first.
    pub fn awaited(&self) -> impl Iterator<Item = NodeId> + '_ {
        let now_ms = self.now_ms();
        let is_heard = move |peer: &Peer| now_ms.saturating_sub(peer.heard_ms) <= PEER_SILENT_MS;
        let others = self.known.iter().filter(move |(_, peer)| is_heard(peer));
        std::iter::once(self.own).chain(others.map(|(node, _)| *node))
    }

    /// How many other nodes are known.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    fn now_ms(&self) -> u64 {
        self.answered_ns / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn beat(node: NodeId, at: i64) -> Heartbeat {
        Heartbeat { node, at: WallMs(at) }
    }

    fn ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    fn awaited(peers: &Peers) -> Vec<NodeId> {
        peers.awaited().collect()
    }

    #[test]
    fn a_peer_is_awaited_until_it_is_silent_for_three_seconds() {
        let mut peers = Peers::new(OWN);
        peers.read_redis(ms(0), &[beat(OWN, 0), beat(OTHER, 0)], WallMs(0));
        assert_eq!(awaited(&peers), [OWN, OTHER]);
        peers.read_redis(ms(3_000), &[beat(OTHER, 0)], WallMs(3_000));
        assert_eq!(awaited(&peers), [OWN, OTHER]);
        peers.read_redis(ms(3_001), &[beat(OTHER, 0)], WallMs(3_001));
        assert_eq!(awaited(&peers), [OWN]);
        peers.read_redis(ms(3_002), &[beat(OTHER, 3_002)], WallMs(3_002));
        assert_eq!(awaited(&peers), [OWN, OTHER]);
    }

    #[test]
    fn a_wipe_and_an_outage_forget_nobody() {
        let mut peers = Peers::new(OWN);
        peers.read_redis(ms(0), &[beat(OTHER, 0)], WallMs(0));
        peers.disconnected();
        // An hour without Redis, which comes back empty.
        peers.read_redis(ms(3_600_000), &[], WallMs(3_600_000));
        assert_eq!(awaited(&peers), [OWN, OTHER]);
        peers.read_redis(ms(3_603_001), &[], WallMs(3_603_001));
        assert_eq!(awaited(&peers), [OWN]);
        peers.read_redis(ms(3_610_001), &[], WallMs(3_610_001));
        assert_eq!(peers.count(), 0);
    }

    #[test]
    fn a_peer_that_only_sql_sees_is_awaited_once() {
        let mut peers = Peers::new(OWN);
        peers.read_redis(ms(0), &[], WallMs(0));
        peers.read_sql(&[OWN, OTHER]);
        assert_eq!(awaited(&peers), [OWN, OTHER]);
        for second in 1..60 {
            peers.read_redis(ms(second * 1_000), &[], WallMs(0));
            peers.read_sql(&[OTHER]);
        }
        assert_eq!((awaited(&peers), peers.count()), (vec![OWN], 1));
    }

    #[test]
    fn signs_of_long_ago_and_more_than_the_bound_are_not_taken() {
        let mut peers = Peers::new(OWN);
        peers.read_redis(ms(0), &[beat(OTHER, 0)], WallMs(10_001));
        assert_eq!(peers.count(), 0);
        let many: Vec<Heartbeat> = (2..2_000).map(|node| beat(NodeId(node), 0)).collect();
        peers.read_redis(ms(0), &many, WallMs(0));
        peers.read_sql(&[NodeId(5_000)]);
        assert_eq!(peers.count(), PEERS_MAX);
    }
}
