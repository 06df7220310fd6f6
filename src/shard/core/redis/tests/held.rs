//! SQL may not pass what waits to be merged. Where it stands there the shard journals that again,
//! and not before; a journal that is full of it still takes what makes room: merges and such
//! records, for which it has kept room.

use super::degraded::{clicks, local_world};
use super::*;
use nudged_base::limits::{JOURNAL_AGAIN_MS, UNMERGED_HELD_MS};

/// Bytes that SQL may lag behind.
const UNAPPLIED_BYTES_MAX: u64 = 64 * 1_024;
/// What is taken in the turn in which the journal fills up.
const TURN_BYTES: u64 = 4 * 1_024;

/// SQL applies what it may; the journal takes records while there is room for them and for what was
/// promised. Gives the bytes that SQL has not applied.
fn apply(world: &mut World, index: usize) -> u64 {
    let now = world.now;
    let node = &mut world.nodes[index];
    let applied = node.sql_position();
    let unapplied = node.log.iter().filter(|(at, _)| *at > applied);
    let unapplied_bytes: u64 = unapplied.map(|(_, framed)| framed.len() as u64).sum();
    let promised_bytes = node.reports.iter().rev().find_map(|report| match report {
        ShardReport::Promised { bytes } => Some(*bytes),
        _ => None,
    });
    let accepting = unapplied_bytes + promised_bytes.unwrap_or(0) < UNAPPLIED_BYTES_MAX;
    node.step(now, Input::Journal { accepting, applied });
    unapplied_bytes
}

fn pass_and_apply(world: &mut World, ms: u64) -> u64 {
    let mut most = 0;
    for _ in 0..ms / 100 {
        world.pass(100);
        world.settle();
        most = apply(world, 0).max(most);
    }
    most
}

fn close(world: &mut World, phase: PartitionPhase) {
    world.redis.set_phases(phase);
}

/// A node with an event that waits, for its user's partition is closed; and the event's number.
fn world_with_one_that_waits() -> (World, u32) {
    let mut world = World::new(1, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    close(&mut world, PartitionPhase::Barrier);
    world.pass(60_000);
    let event = world.nodes[0].event(world.now, &[&token]);
    world.settle();
    (world, event)
}

#[test]
fn what_sql_stands_at_is_journaled_again_while_its_partition_is_closed() {
    let (mut world, event) = world_with_one_that_waits();
    assert!(world.nodes[0].answer(event).contains("\"accepted\":1"), "the partition is closed");
    let (first, ..) = world.nodes[0].unmerged[0];
    assert_eq!(world.nodes[0].reported().1, Some(first));
    // SQL has not come so far: it does not wait for this.
    let applied = Sequence(first.0 - 2);
    world.nodes[0].step(world.now, Input::Journal { accepting: true, applied });
    for _ in 0..2 * UNMERGED_HELD_MS / 100 {
        assert!(world.nodes[0].core.next_deadline().is_none_or(|at| at > world.now.mono));
        world.pass(100);
        world.settle();
    }
    assert_eq!(world.nodes[0].unmerged.len(), 1, "SQL has others to apply before");
    apply(&mut world, 0);
    world.settle();
    assert_eq!(world.nodes[0].unmerged.len(), 2);
    let (second, ..) = world.nodes[0].unmerged[1];
    assert_eq!(world.nodes[0].reported(), (second, Some(second)), "SQL may pass the first");
    pass_and_apply(&mut world, JOURNAL_AGAIN_MS - 1_000);
    assert_eq!(world.nodes[0].unmerged.len(), 2, "not all the time");
    close(&mut world, PartitionPhase::Open);
    world.pass(200);
    world.settle();
    assert_eq!((clicks(&world, 0), world.nodes[0].reported().1), (1, None));
}

#[test]
fn what_waits_for_a_moment_is_not_journaled_again() {
    let (mut world, _) = world_with_one_that_waits();
    apply(&mut world, 0);
    pass_and_apply(&mut world, UNMERGED_HELD_MS - 100);
    assert_eq!(world.nodes[0].unmerged.len(), 1);
    pass_and_apply(&mut world, 100);
    assert_eq!(world.nodes[0].unmerged.len(), 2);
}

#[test]
fn sql_that_does_not_move_is_not_written_for_again_and_again() {
    let (mut world, _) = world_with_one_that_waits();
    apply(&mut world, 0);
    for _ in 0..10 * JOURNAL_AGAIN_MS / 100 {
        world.pass(100);
        world.settle();
    }
    assert_eq!(world.nodes[0].unmerged.len(), 2, "the second lies behind where SQL stands");
}

/// Fills the journal with events that can't be merged; gives how many were accepted.
fn fill(world: &mut World) -> usize {
    let users: Vec<String> = (0..200).map(|user| format!("u{user}")).collect();
    let mut tokens = Vec::new();
    for user in &users {
        let shown = world.decide(0, user);
        tokens.push(world.nodes[0].token(shown).unwrap());
        apply(world, 0);
    }
    world.down(0);
    let mut accepted = 0;
    for token in &tokens {
        let event = world.nodes[0].event(world.now, &[token]);
        world.settle();
        apply(world, 0);
        let answer = world.nodes[0].answer(event);
        accepted += usize::from(answer.contains("\"accepted\":1"));
        assert!(answer.contains("202") || answer.contains("503"), "{answer}");
    }
    assert!(accepted > 20 && accepted < tokens.len(), "a tiny journal is full: {accepted}");
    let local = world.decide(0, "new");
    assert_eq!(reason(world.nodes[0].answer(local)), "degraded", "it takes nothing more");
    accepted
}

#[test]
fn a_journal_full_of_unmerged_records_takes_their_merges() {
    for queue in [RecordQueue::Journal, RecordQueue::List { list_max: 1_000 }] {
        let mut world = local_world(1, queue);
        let accepted = fill(&mut world);
        world.up(0);
        let most = pass_and_apply(&mut world, 1_000);
        assert!(most < UNAPPLIED_BYTES_MAX + TURN_BYTES, "{most}");
        assert_eq!(clicks(&world, 0), accepted);
        assert_eq!(world.nodes[0].reported().1, None);
        assert_eq!(apply(&mut world, 0), 0, "SQL has all of it");
        let next = world.decide(0, "new");
        assert!(shown(world.nodes[0].answer(next)));
    }
}

#[test]
fn a_full_journal_lets_sql_go_on_while_merges_wait_for_it() {
    let mut world = local_world(1, RecordQueue::Journal);
    let accepted = fill(&mut world);
    close(&mut world, PartitionPhase::Barrier);
    world.up(0);
    let most = pass_and_apply(&mut world, 4 * JOURNAL_AGAIN_MS);
    assert!(most < UNAPPLIED_BYTES_MAX + TURN_BYTES, "{most}");
    assert!(world.nodes[0].unmerged.len() >= 3 * accepted, "again, and again");
    close(&mut world, PartitionPhase::Open);
    let most = pass_and_apply(&mut world, 1_000);
    assert!(most < UNAPPLIED_BYTES_MAX + TURN_BYTES, "{most}");
    assert_eq!((clicks(&world, 0), world.nodes[0].reported().1), (accepted, None));
}
