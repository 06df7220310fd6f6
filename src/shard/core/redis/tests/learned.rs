//! Properties: what the keeper learns of Redis, and what a partition says of itself, holds for a
//! shard whatever its connection was told when it was made.

use super::*;
use crate::seam::Learned;

fn learn(world: &mut World, learned: Learned) {
    let redis_status = RedisStatusView { takes_traffic: true, cleared_run: RUN, learned };
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
    learn(&mut world, Learned { run: RUN, is_evicting: true, ..Learned::default() });
    assert!(is_looked_for(&mut world, "b"), "its policy was changed");
    learn(&mut world, Learned { run: RUN, ..Learned::default() });
    world.redis.is_doubted = true;
    assert!(is_looked_for(&mut world, "c"), "the partition is marked");
    world.redis.is_doubted = false;
    assert!(!is_looked_for(&mut world, "d"));
}

#[test]
fn a_redis_that_denies_or_is_a_replica_is_not_asked_until_it_is_neither() {
    let mut world = World::new(1, RecordQueue::Journal);
    for wrong in [
        Learned { run: RUN, is_denied: true, ..Learned::default() },
        Learned { run: RUN, is_replica: true, ..Learned::default() },
    ] {
        learn(&mut world, wrong);
        let number = world.nodes[0].decide(world.now, "u");
        assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
        assert_eq!(world.nodes[0].wire.waiting(), 0, "it is not asked");
    }
    learn(&mut world, Learned { run: RUN, ..Learned::default() });
    let number = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(number)));
}

#[test]
fn a_promise_to_sync_is_what_the_keeper_saw_last() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.nodes[0].core.arbiter_mut().need_sync();
    for (run, syncs_always, is_degraded) in [
        (RUN, Some(true), false),
        (RUN, Some(false), true),
        (RUN, None, true),
        // Of another run it says nothing: the connection was told that this one does not.
        (RUN + 1, Some(true), true),
        (RUN, Some(true), false),
    ] {
        learn(&mut world, Learned { run, syncs_always, ..Learned::default() });
        let number = world.decide(0, &format!("{run}-{syncs_always:?}-{}", world.now.wall.0));
        world.pass(1);
        assert_eq!(!shown(world.nodes[0].answer(number)), is_degraded, "{run} {syncs_always:?}");
    }
}
