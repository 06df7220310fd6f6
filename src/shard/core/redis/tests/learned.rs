//! Properties: what the keeper learns of Redis, and what a partition says of itself, holds for a
//! shard whatever its connection was told when it was made.

use super::*;
use crate::seam::Learned;

pub(super) fn learn(world: &mut World, learned: Learned) {
    let redis_status = RedisStatusView { takes_traffic: true, cleared_run: run(LIFE), learned };
    world.nodes[0].step(world.now, Input::RedisStatus(redis_status));
    world.nodes[0].turn(world.now);
}

/// Who is missing in Redis is looked for in SQL before he is shown anything.
fn is_looked_for(world: &mut World, user: &str) -> bool {
    let number = world.nodes[0].decide(world.now, user);
    world.settle();
    let Some(request) = world.nodes[0].reads.pop_front() else {
        assert!(shown(world.nodes[0].answer(number)), "he is new");
        return false;
    };
    assert_eq!(world.nodes[0].answer(number), "");
    let mut state = Vec::new();
    user::encode(&UserState::default(), &mut state);
    let read = UserRead { ticket: request.ticket, state: Ok(state) };
    world.nodes[0].step(world.now, Input::UserRead(read));
    world.settle();
    assert!(shown(world.nodes[0].answer(number)), "SQL does not know him either");
    true
}

#[test]
fn who_is_missing_is_new_only_where_nobody_may_have_vanished() {
    let mut world = World::new(1, RecordQueue::Journal);
    assert!(!is_looked_for(&mut world, "a"));
    learn(&mut world, Learned { run: run(LIFE), is_evicting: true, ..Learned::default() });
    assert!(is_looked_for(&mut world, "b"), "its policy was changed");
    learn(&mut world, Learned { run: run(LIFE), ..Learned::default() });
    world.redis.set_doubted(true);
    assert!(is_looked_for(&mut world, "c"), "the partition is marked");
    world.redis.set_doubted(false);
    assert!(!is_looked_for(&mut world, "d"));
}

#[test]
fn a_redis_that_denies_or_is_a_replica_is_not_asked_until_it_is_neither() {
    let mut world = World::new(1, RecordQueue::Journal);
    for wrong in [
        Learned { run: run(LIFE), is_denied: true, ..Learned::default() },
        Learned { run: run(LIFE), is_replica: true, ..Learned::default() },
    ] {
        learn(&mut world, wrong);
        let number = world.nodes[0].decide(world.now, "u");
        assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
        assert_eq!(world.nodes[0].wire.waiting(), 0, "it is not asked");
    }
    learn(&mut world, Learned { run: run(LIFE), ..Learned::default() });
    let number = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(number)));
}

#[test]
fn a_promise_to_sync_is_what_the_keeper_saw_last() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.nodes[0] = Node::needing_sync(9, RecordQueue::Journal);
    world.connect(0, LIFE);
    for (life, syncs_always, is_degraded) in [
        (LIFE, Some(true), false),
        (LIFE, Some(false), true),
        (LIFE, None, true),
        // Of another run it says nothing: the connection was told that this one does not.
        (LIFE + 1, Some(true), true),
        (LIFE, Some(true), false),
    ] {
        learn(&mut world, Learned { run: run(life), syncs_always, ..Learned::default() });
        let number = world.decide(0, &format!("{life}-{syncs_always:?}-{}", world.now.wall.0));
        world.pass(1);
        assert_eq!(!shown(world.nodes[0].answer(number)), is_degraded, "{life} {syncs_always:?}");
    }
}
