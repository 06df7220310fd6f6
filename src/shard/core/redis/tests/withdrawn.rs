//! Properties of shows that nobody saw, where their records have left with the commit: they are
//! taken back in Redis and in the list alike, once, and what else happened stays.

use super::*;
use nudged_background::projection::overlay::apply_record;
use nudged_domain::catalog::snapshot::ShowOutcome;
use nudged_journal::record::Withdrawn;

const LIST: RecordQueue = RecordQueue::List { list_max: 100 };

/// Records of the lists in their order.
fn records(world: &World) -> Vec<Record<'_>> {
    let framed = world.redis.listed().into_iter().flat_map(frames);
    framed.map(|frame| frame.unwrap().record().unwrap()).collect()
}

/// Tokens of the records that lists have, with what happened; `None` for a show taken back.
pub(super) fn listed(world: &World) -> Vec<(String, Option<EventKind>)> {
    let told = records(world).into_iter().filter_map(|record| match record {
        Record::Impression(record) => Some((record.token.to_owned(), Some(record.kind))),
        Record::Withdrawn(record) => Some((record.token.to_owned(), None)),
        Record::Erase { .. } => None,
        Record::Unmerged(_) => panic!("these are for the journal"),
    });
    told.collect()
}

fn state_of(world: &World, user: &str) -> UserState {
    let mut state = UserState::default();
    user::decode(&world.redis.user(user).state, &mut state).unwrap();
    state
}

/// The records of a user's list, one upon the other, make the state that Redis has.
pub(super) fn check_lists(world: &World) {
    let mut states: BTreeMap<&str, UserState> = BTreeMap::new();
    for record in records(world) {
        let state = states.entry(record.user()).or_default();
        apply_record(state, &record).unwrap();
    }
    for (user, state) in states {
        assert_eq!(state, state_of(world, user), "{user}");
    }
}

/// A decision whose commit is made while its reply is late; the user's copy is trusted or not.
fn late(world: &mut World, request: impl FnOnce(&mut Node, Now) -> u32) -> u32 {
    let number = request(&mut world.nodes[0], world.now);
    world.execute(0);
    world.deliver(0);
    world.execute(0);
    world.pass(DEADLINE_MS);
    assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
    number
}

fn withdrawn_total(world: &World) -> u64 {
    world.nodes[0].core.users.counters.redis_withdrawn.get()
}

#[test]
fn a_late_show_of_a_new_user_is_withdrawn_from_the_list_too() {
    let mut world = World::new(1, LIST);
    late(&mut world, |node, now| node.decide(now, "u"));
    assert_eq!(withdrawn_total(&world), 0, "not yet");
    world.settle();
    assert_eq!(withdrawn_total(&world), 1);
    let found = records(&world);
    let [Record::Impression(show), Record::Withdrawn(withdrawn)] = found[..] else {
        panic!("{found:?}")
    };
    let Withdrawn { token, popup, version, variant, shown_at, .. } = withdrawn;
    assert_eq!((token, popup, version), (show.token, "p", show.version));
    assert_eq!((variant, shown_at), (show.variant, show.at));
    assert_eq!(withdrawn.revision, show.revision.next());
    assert!(withdrawn.at > show.at);
    assert_eq!(withdrawn.former, None);
    let state = state_of(&world, "u");
    assert!(state.popups.is_empty() && state.revision.counter == 2);
    check_lists(&world);
    let partition = wire::partition("u");
    assert_eq!(world.redis.counter(partition), 2, "a number for each record");
    let next = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(next)), "the gap has not begun");
    check_lists(&world);
}

#[test]
fn events_that_came_with_a_late_show_have_happened() {
    let mut world = World::new(2, LIST);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.pass(GAP_MS.unsigned_abs());
    let user = id("u");
    let body = format!(
        "{{\"user\":\"{user}\",\"placement\":\"home\",\
         \"events\":[{{\"decision\":\"{token}\",\"action\":\"clicked\"}}]}}"
    );
    let request = format!(
        "POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asked = world.now;
    let number = world.nodes[0].ask(asked, &request);
    world.execute(0);
    world.deliver(0);
    world.execute(0); // The commit is made, and its reply is late.
    let before = state_of(&world, "u");
    assert_eq!((before.popups[0].shows_total, before.revision.counter), (2, 3));
    let between = world.nodes[1].decide(world.now, "u");
    world.execute(1);
    world.deliver(1);
    assert_eq!(reason(world.nodes[1].answer(between)), "gap", "the show stands for the moment");
    world.pass(DEADLINE_MS);
    world.settle();
    let answer = world.nodes[0].answer(number);
    assert!(answer.contains("\"accepted\":1") || reason(answer) == "degraded", "{answer}");
    let after = state_of(&world, "u");
    assert_eq!((after.popups[0].shows_total, after.revision.counter), (1, 4));
    assert_eq!(after.popups[0].outcome, Some(ShowOutcome::Clicked));
    let listed = listed(&world);
    let kinds: Vec<_> = listed.iter().map(|(_, kind)| *kind).collect();
    let decided = Some(EventKind::Decided);
    assert_eq!(kinds, [decided, Some(EventKind::Clicked), decided, None]);
    assert_eq!(listed[2].0, listed[3].0);
    assert_ne!(listed[0].0, listed[3].0);
    check_lists(&world);
    // The copy of the other node was told, and has not begun a gap.
    let next = world.decide(1, "u");
    assert!(shown(world.nodes[1].answer(next)), "{}", world.nodes[1].answer(next));
}

#[test]
fn a_popup_that_a_late_show_pushed_out_stays_out_where_its_record_had_left() {
    for queue in [LIST, RecordQueue::Journal] {
        push_out_and_withdraw(queue);
    }
}

fn push_out_and_withdraw(queue: RecordQueue) {
    let mut world = World::new(1, queue);
    let popup = |number: usize| {
        format!(
            "[[popup]]\nid = \"p{number:02}\"\nafter_shown = \"never\"\npriority = {}\n",
            65 - number
        )
    };
    let popups: String = (0..65).map(popup).collect();
    world.nodes[0].core.view.swap_catalog(snapshot_of(&popups));
    for _ in 0..64 {
        let number = world.decide(0, "u");
        assert!(shown(world.nodes[0].answer(number)));
        world.pass(10);
    }
    let before = state_of(&world, "u");
    assert_eq!(before.popups.len(), 64);
    // From the copy, so that one command is under way.
    let number = world.nodes[0].decide(world.now, "u");
    world.execute(0);
    assert_ne!(state_of(&world, "u").popups, before.popups);
    world.pass(DEADLINE_MS);
    assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
    world.settle();
    let after = state_of(&world, "u");
    let stays =
        if queue == RecordQueue::Journal { &before.popups[..] } else { &before.popups[1..] };
    assert_eq!((&after.popups[..], after.clocks), (stays, before.clocks));
    check_lists(&world);
    let number = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(number)), "{}", world.nodes[0].answer(number));
    assert_eq!(state_of(&world, "u").popups.len(), 64);
    check_lists(&world);
}

#[test]
fn a_late_show_that_others_have_followed_stays() {
    let mut world = World::new(2, LIST);
    late(&mut world, |node, now| node.decide(now, "u"));
    let command = ControlRequest::EraseUser { user: id("u").into() };
    world.nodes[1].step(world.now, Input::Control(Control { ticket: 1, request: command }));
    while world.execute(1) | world.deliver(1) {}
    assert_eq!(state_of(&world, "u").revision.counter, 2);
    world.settle();
    let kinds: Vec<_> = listed(&world).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [Some(EventKind::Decided)], "it was replaced before");
    assert_eq!(withdrawn_total(&world), 0);
    assert!(world.nodes[0].core.is_quiet());
    check_lists(&world);
}

#[test]
fn a_full_list_takes_no_withdrawal() {
    let mut world = World::new(1, RecordQueue::List { list_max: 1 });
    late(&mut world, |node, now| node.decide(now, "u"));
    world.settle();
    assert_eq!(state_of(&world, "u").revision.counter, 1, "state and list agree");
    assert_eq!((withdrawn_total(&world), listed(&world).len()), (0, 1));
    assert!(world.nodes[0].core.is_quiet());
    check_lists(&world);
}
