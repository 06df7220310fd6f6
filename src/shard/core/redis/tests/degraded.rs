//! While a user's state can't be had events are accepted and lost nowhere: each is journaled,
//! merged once Redis answers, before that user is decided on, and SQL waits for it. What this node
//! shows by its own memory it does not show again within its gap.

use super::*;
use crate::users::unmerged::UnmergedEntry;
use nudged_base::clock::Now;
use nudged_journal::record::Unmerged;

const LOCAL: &str = "[[popup]]\nid = \"p\"\nafter_shown = \"1h\"\non_failure = \"local\"\n\
                     [[popup]]\nid = \"h\"\npriority = 1\nafter_shown = \"1h\"\n\
                     placement = [\"other\"]\n";

pub(super) fn local_world(nodes: u64, queue: RecordQueue) -> World {
    let mut world = World::new(nodes, queue);
    for node in &mut world.nodes {
        let command = ControlRequest::SwapCatalog(snapshot_of(LOCAL));
        node.step(world.now, Input::Control(Control { ticket: 0, request: command }));
    }
    world
}

pub(super) fn state_of(world: &World, user: &str) -> UserState {
    let mut state = UserState::default();
    user::decode(&world.redis.user(user).state, &mut state).unwrap();
    state
}

pub(super) fn clicks(world: &World, index: usize) -> usize {
    let journal = &world.nodes[index].journal;
    journal.iter().filter(|(_, kind)| *kind == EventKind::Clicked).count()
}

/// When the clicks were that a node has recorded.
fn clicked_at(world: &World, index: usize) -> Vec<WallMs> {
    let mut times = Vec::new();
    for (_, framed) in &world.nodes[index].log {
        match frames(framed).next().unwrap().unwrap().record().unwrap() {
            Record::Impression(click) if click.kind == EventKind::Clicked => {
                times.push(click.acted_at);
            }
            _ => {}
        }
    }
    times
}

#[test]
fn an_event_that_comes_to_two_nodes_is_recorded_with_the_time_that_the_state_has() {
    for is_degraded_first in [false, true] {
        let mut world = World::new(2, RecordQueue::Journal);
        let first = world.decide(0, "u");
        let token = world.nodes[0].token(first).unwrap();
        if is_degraded_first {
            world.down(0);
        }
        // SQL keeps the row that comes first, whichever node's that is.
        for index in [0, 1] {
            world.pass(40);
            world.nodes[index].event(world.now, &[&token]);
            world.settle();
        }
        world.up(0);
        world.decide(0, "u");
        let stands = state_of(&world, "u").popups[0].outcome_at;
        for index in [0, 1] {
            assert_eq!(clicked_at(&world, index), [stands], "{index} {is_degraded_first}");
        }
    }
}

#[test]
fn an_event_of_an_outage_is_merged_before_its_user_is_decided_on() {
    for queue in [RecordQueue::Journal, RecordQueue::List { list_max: 100 }] {
        let mut world = World::new(1, queue);
        let first = world.decide(0, "u");
        let token = world.nodes[0].token(first).unwrap();
        world.down(0);
        let event = world.nodes[0].event(world.now, &[&token, &token]);
        world.settle();
        let answer = world.nodes[0].answer(event);
        assert!(
            answer.contains("\"accepted\":1") && answer.contains("\"duplicate\":1"),
            "{answer}"
        );
        assert_eq!(world.nodes[0].unmerged.len(), 1);
        let (sequence, ..) = world.nodes[0].unmerged[0];
        assert_eq!(world.nodes[0].reported(), (sequence, Some(sequence)));
        // The decision is asked at once, before anybody has merged.
        world.up(0);
        world.nodes[0].decide(world.now, "u");
        world.settle();
        let state = state_of(&world, "u");
        assert!(state.popups[0].outcome.is_some() && state.revision.counter == 2);
        let listed = if queue == RecordQueue::Journal { 0 } else { 2 };
        assert_eq!((clicks(&world, 0), world.redis.listed().len()), (1, listed));
        assert_eq!(world.nodes[0].reported(), (world.nodes[0].acked, None));
        assert!(world.nodes[0].open.is_empty());
    }
}

#[test]
fn users_nobody_asks_for_are_merged_too() {
    let mut world = World::new(1, RecordQueue::Journal);
    let users: Vec<String> = (0..200).map(|user| format!("u{user}")).collect();
    let shown: Vec<u32> = users.iter().map(|user| world.decide(0, user)).collect();
    let tokens: Vec<String> = shown.iter().map(|at| world.nodes[0].token(*at).unwrap()).collect();
    world.down(0);
    for token in &tokens {
        world.nodes[0].event(world.now, &[token]);
    }
    world.settle();
    assert_eq!(world.nodes[0].core.arbiter().unmerged.len(), 200);
    world.up(0);
    assert!(world.nodes[0].wire.waiting() <= nudged_base::limits::MERGES_MAX);
    world.settle();
    assert!(world.nodes[0].core.arbiter().unmerged.is_empty());
    assert_eq!(clicks(&world, 0), 200);
}

#[test]
fn what_another_node_has_merged_is_known_and_what_is_forgotten_dropped() {
    let mut world = World::new(2, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.down(0);
    world.nodes[0].event(world.now, &[&token]);
    world.nodes[1].event(world.now, &[&token]);
    world.settle();
    let revision = world.redis.user("u").revision;
    world.up(0);
    world.settle();
    assert_eq!(world.redis.user("u").revision, revision, "known: only recorded again");
    assert_eq!((clicks(&world, 0), clicks(&world, 1)), (1, 1));
    let other = world.decide(0, "v");
    let token = world.nodes[0].token(other).unwrap();
    world.down(0);
    world.nodes[0].event(world.now, &[&token]);
    world.redis.remove("v");
    world.settle();
    world.up(0);
    world.settle();
    assert!(world.nodes[0].core.arbiter().unmerged.is_empty());
    assert_eq!(clicks(&world, 0), 1, "its show is not remembered");
    assert_eq!(world.nodes[0].reported().1, None);
}

#[test]
fn an_event_whose_commit_has_no_known_outcome_is_recorded() {
    for is_executed in [false, true] {
        let mut world = World::new(1, RecordQueue::Journal);
        let first = world.decide(0, "u");
        let token = world.nodes[0].token(first).unwrap();
        let event = world.nodes[0].event(world.now, &[&token]);
        if is_executed {
            world.execute(0);
        }
        world.down(0);
        world.settle();
        assert!(world.nodes[0].answer(event).contains("\"accepted\":1"));
        world.up(0);
        world.settle();
        assert_eq!(clicks(&world, 0), 1);
        assert_eq!(state_of(&world, "u").revision.counter, 2);
    }
}

#[test]
fn what_an_earlier_process_accepted_is_taken_up_and_merged() {
    let mut world = World::new(1, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.down(0);
    world.nodes[0].event(world.now, &[&token]);
    world.settle();
    let entry = world.nodes[0].core.arbiter().unmerged.of(&id("u"))[0].clone();
    let (sequence, ..) = world.nodes[0].unmerged[0];
    let end = Sequence(sequence.0 + 7);
    let left = vec![(sequence, entry)];
    world.nodes[0] = Node::with(9, RecordQueue::Journal, (end, left));
    world.nodes[0].turn(world.now);
    assert_eq!(world.nodes[0].reported(), (end, Some(sequence)));
    world.connect(0, LIFE);
    world.settle();
    assert_eq!(clicks(&world, 0), 1);
    assert_eq!(world.nodes[0].reported(), (Sequence(end.0 + 1), None));
}

#[test]
fn one_user_may_not_fill_the_table() {
    let mut world = World::new(1, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.down(0);
    world.nodes[0].event(world.now, &[&token]);
    let unmerged = &mut world.nodes[0].core.arbiter_mut().unmerged;
    let entry = unmerged.of(&id("u"))[0].clone();
    while unmerged.has_room(&id("u")) {
        let record = Unmerged { number: 9, ..entry.record() };
        unmerged.push(UnmergedEntry::of(&record), Sequence(0));
    }
    let body = format!("{{\"decision\":\"{token}\",\"action\":\"dismissed\"}}");
    let length = body.len();
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let refused = world.nodes[0].ask(world.now, &request);
    assert!(world.nodes[0].answer(refused).starts_with("HTTP/1.1 503"));
}

#[test]
fn a_local_show_counts_on_its_node_and_for_all_once_merged() {
    let mut world = local_world(2, RecordQueue::Journal);
    world.down(0);
    let first = world.nodes[0].decide(world.now, "u");
    assert_eq!(world.nodes[0].answer(first), "", "not before it is in the journal");
    world.settle();
    assert!(shown(world.nodes[0].answer(first)), "{}", world.nodes[0].answer(first));
    let again = world.decide(0, "u");
    assert_eq!(reason(world.nodes[0].answer(again)), "gap");
    let token = world.nodes[0].token(first).unwrap();
    world.nodes[0].event(world.now, &[&token]);
    world.settle();
    let kinds: Vec<_> = world.nodes[0].unmerged.iter().map(|(.., kind)| *kind).collect();
    assert_eq!(kinds, [EventKind::Decided, EventKind::Clicked]);
    world.up(0);
    world.settle();
    let state = state_of(&world, "u");
    assert_eq!(state.popups[0].shows_total, 1);
    assert!(state.popups[0].outcome.is_some());
    let kinds: Vec<_> = world.nodes[0].journal.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [EventKind::Decided, EventKind::Clicked]);
    let other = world.decide(1, "u");
    assert_eq!(reason(world.nodes[1].answer(other)), "gap");
}

#[test]
fn a_copy_that_is_not_trusted_still_holds_a_local_show_back() {
    let mut world = local_world(2, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    // Node 1 changes the user, so that the copy of node 0 is an old one.
    world.nodes[1].event(world.now, &[&token]);
    world.settle();
    world.down(0);
    let again = world.decide(0, "u");
    assert_eq!(reason(world.nodes[0].answer(again)), "gap");
    let hidden = world.nodes[0].ask(
        world.now,
        &format!("GET /v1/decide?user={}&placement=other HTTP/1.1\r\nHost: x\r\n\r\n", id("u")),
    );
    assert_eq!(reason(world.nodes[0].answer(hidden)), "degraded");
}

#[test]
fn a_merge_that_no_journal_has_yet_is_made_again_after_a_crash() {
    let mut world = World::new(1, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.down(0);
    world.nodes[0].event(world.now, &[&token]);
    world.settle();
    world.up(0);
    // The read, then the commit; its records are not acknowledged.
    for _ in 0..2 {
        while world.execute(0) {}
        while world.deliver(0) {}
    }
    assert!(state_of(&world, "u").popups[0].outcome.is_some());
    assert!(world.nodes[0].core.arbiter().unmerged.is_empty() && clicks(&world, 0) == 0);
    world.crash(0, RecordQueue::Journal);
    world.settle();
    assert_eq!(clicks(&world, 0), 1);
    assert_eq!(state_of(&world, "u").revision.counter, 2, "it is known");
    assert_eq!(world.nodes[0].reported(), (world.nodes[0].acked, None));
}

#[test]
fn where_a_reply_has_to_survive_the_loss_of_power_each_new_connection_says_whether_it_does() {
    let queue = RecordQueue::List { list_max: 100 };
    let mut world = World::new(1, queue);
    world.nodes[0] = Node::needing_sync(9, queue);
    world.connect(0, LIFE);
    for (number, syncs_always) in [Some(true), None, Some(true), Some(false)].iter().enumerate() {
        world.down(0);
        // What was told of the connection before is over.
        let log = &world.nodes[0].core.users.log;
        log.finish(Now::default());
        while log.next_line().is_some() {}
        let greeting = Greeting { life: LIFE, syncs_always: *syncs_always };
        world.nodes[0].up(world.now, greeting);
        world.settle();
        let asked = world.decide(0, &format!("u{number}"));
        let is_kept = *syncs_always == Some(true);
        let answer = world.nodes[0].answer(asked);
        assert_eq!(shown(answer), is_kept, "{syncs_always:?}: {answer}");
        let log = &world.nodes[0].core.users.log;
        let lines: String = std::iter::from_fn(|| log.next_line()).collect();
        assert_eq!(lines.contains("appendfsync always"), !is_kept, "{lines}");
    }
}
