//! Which node drains the list of which partition: rendezvous hashing, so that every node works out
//! the same from the same nodes, and a node that comes or goes moves only its own share. Nodes
//! that see different peers for a while are kept apart by the claim of the stream in SQL.

use nudged_base::ids::{NodeId, Partition};
use nudged_base::limits::PARTITIONS;
use nudged_base::mix::{STEP, mix};

/// The partitions of `own` among `nodes`, in order. Allocates the list.
pub fn partitions_of(own: NodeId, nodes: &[NodeId]) -> Vec<Partition> {
    let is_own = |partition: &Partition| {
        let weight = weight(own, *partition);
        nodes.iter().all(|node| (weight_of(*node, *partition)) <= (weight, own))
    };
    (0..PARTITIONS).map(Partition).filter(is_own).collect()
}

fn weight_of(node: NodeId, partition: Partition) -> (u64, NodeId) {
    (weight(node, partition), node)
}

/// Finalizer of splitmix64 over both: pinned, since nodes of two versions must agree.
fn weight(node: NodeId, partition: Partition) -> u64 {
    let (low, high) = halves(node.0);
    let seed = u64::from(partition.0).wrapping_add(1).wrapping_mul(STEP);
    mix(mix(seed ^ low) ^ high)
}

fn halves(number: u128) -> (u64, u64) {
    let bytes = number.to_le_bytes();
    let half = |at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("half of sixteen bytes"))
    };
    (half(0), half(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(nodes: &[NodeId]) -> Vec<Vec<Partition>> {
        nodes.iter().map(|node| partitions_of(*node, nodes)).collect()
    }

    #[test]
    fn every_partition_has_one_owner_and_shares_are_even() {
        for count in 1..=5_u128 {
            let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
            let shares = shares(&nodes);
            let mut all: Vec<u16> = shares.iter().flatten().map(|partition| partition.0).collect();
            all.sort_unstable();
            assert_eq!(all, (0..PARTITIONS).collect::<Vec<u16>>());
            let fair = usize::from(PARTITIONS) / nodes.len();
            assert!(shares.iter().all(|share| share.len() * 4 > fair * 3), "{count} nodes");
        }
    }

    #[test]
    fn a_node_that_goes_moves_only_its_share() {
        let nodes = [NodeId(1), NodeId(2), NodeId(3)];
        let before = partitions_of(NodeId(1), &nodes);
        let after = partitions_of(NodeId(1), &nodes[..2]);
        assert!(before.iter().all(|partition| after.contains(partition)));
    }

    #[test]
    fn weights_are_pinned() {
        assert_eq!(partitions_of(NodeId(1), &[NodeId(2)])[..4], PINNED.map(Partition));
    }

    const PINNED: [u16; 4] = [1, 2, 5, 6];
}
