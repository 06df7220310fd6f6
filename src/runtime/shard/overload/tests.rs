//! Property: an overload begins and ends by what waits alone; while all is served in time nothing
//! is refused; what waits is served or refused once, in the order that the time left allows.

use super::*;
use nudged_base::limits::SHED_HELD_BYTES_MAX;

/// Commands of a turn of which the next one may be refused.
const MANY: usize = SHED_WAITING_MIN;
const GET: &[u8] = b"GET /v1/decide?user=ann HTTP/1.1\r\n";

fn at(ms: u64) -> MonoNs {
    MonoNs(ms * MS)
}

/// One that holds requests from 1 s on.
fn holding() -> Overload {
    let mut overload = Overload::new(Some(5 * MS));
    for step in 0..12 {
        let sent = at(880 + step * 10);
        if overload.begins_probe(sent) {
            overload.probed(MonoNs(sent.0 + 8 * MS));
        }
    }
    assert!(overload.is_holding() && !overload.is_shedding());
    overload
}

/// One that is overloaded from 2 s on, with somebody in slot 9,999 who is late.
fn overloaded() -> Overload {
    let mut overload = holding();
    let others = 9_999 - u32::try_from(SHED_WAITING_MIN).unwrap()..9_999;
    hold_late(&mut overload, others.start..10_000);
    assert!(overload.is_shedding());
    others.for_each(|slot| _ = overload.remove(slot));
    overload
}

/// Turns for an interval, in each of which these have waited for 60 ms.
fn hold_late(overload: &mut Overload, slots: std::ops::Range<u32>) {
    for step in 0..=11 {
        let now = at(1_880 + step * 10);
        slots.clone().for_each(|slot| _ = overload.remove(slot));
        hold(overload, slots.clone(), MonoNs(now.0 - 60 * MS));
        overload.begin_serving(now);
        overload.end_serving(now);
    }
}

#[test]
fn few_who_wait_long_are_a_slow_host_and_no_overload() {
    let mut overload = holding();
    hold_late(&mut overload, 0..u32::try_from(SHED_WAITING_MIN).unwrap());
    assert!(overload.is_holding() && !overload.is_shedding());
}

fn hold(overload: &mut Overload, slots: std::ops::Range<u32>, now: MonoNs) {
    for slot in slots {
        assert_eq!(overload.hold(slot, GET, now), Hold::Kept);
    }
}

/// Begins a turn in which each request takes so long, and serves what there is time for.
fn served(overload: &mut Overload, begun: MonoNs, cost_us: u64) -> Vec<u32> {
    overload.begin_serving(begun);
    let mut now = begun;
    let next = || {
        let (slot, bytes, _) = overload.next_served(now)?;
        now = MonoNs(now.0 + cost_us * 1_000);
        overload.give_back(bytes);
        Some(slot)
    };
    std::iter::from_fn(next).collect()
}

fn late(overload: &mut Overload) -> Vec<u32> {
    std::iter::from_fn(|| overload.next_late().map(|(slot, _)| slot)).collect()
}

#[test]
fn every_wait_for_a_whole_interval_has_to_be_too_long() {
    let mut overload = Overload::new(Some(5 * MS));
    assert_eq!(overload.hold(1, GET, at(0)), Hold::Passed);
    for step in 0..200 {
        let sent = at(step * 20);
        assert!(overload.begins_probe(sent) && !overload.begins_probe(sent));
        // Each fourth is short: it was only busy.
        let delay_ms = if step % 4 == 3 { 4 } else { 9 };
        assert_eq!(overload.probed(at(step * 20 + delay_ms)), Some(delay_ms * MS));
        assert!(!overload.is_holding(), "{step}");
    }
    // Nor is one turn that took a second an overload.
    assert!(overload.begins_probe(at(6_000)));
    assert_eq!(overload.probed(at(7_000)), Some(1_000 * MS));
    assert!(!overload.is_holding() && overload.probed(at(20_000)).is_none());
    let mut off = Overload::new(None);
    assert!(!off.begins_probe(at(0)) && off.long_turn_ns() == u64::MAX);
    off.look_at_hops(at(1_000), at(0));
    assert!(!off.refuses_hop(at(1_000), at(0), MANY));
    overloaded();
}

#[test]
fn a_queue_that_is_served_in_time_refuses_nobody_however_long_it_stands() {
    let mut overload = holding();
    // Each is served 40 ms after it came, one late turn aside, and comes again.
    let mut waiting = std::collections::VecDeque::new();
    let mut now = 1_100;
    for step in 0..2_000_u64 {
        now += if step == 700 { 80 } else { 1 };
        let slot = u32::try_from(step % 500).unwrap();
        hold(&mut overload, slot..slot + 1, at(now));
        waiting.push_back(slot);
        overload.begin_serving(at(now));
        if waiting.len() > 40 {
            let (oldest, ..) = overload.next_served(at(now)).unwrap();
            assert_eq!(Some(oldest), waiting.pop_front(), "the oldest first");
        }
        assert_eq!(late(&mut overload), [] as [u32; 0]);
        overload.end_serving(at(now));
        assert!(!overload.is_shedding(), "{step}");
    }
}

#[test]
fn a_turn_serves_for_a_slice_of_time_and_a_few_at_least() {
    let mut overload = holding();
    hold(&mut overload, 0..150, at(1_010));
    // 0.7 ms of 7 µs each.
    assert_eq!(served(&mut overload, at(1_011), 7), (0..100).collect::<Vec<_>>());
    assert_eq!(served(&mut overload, at(1_013), 9_000), [100, 101]);
    assert_eq!(served(&mut overload, at(1_020), 7), (102..150).collect::<Vec<_>>());
    assert_eq!(overload.waiting(), 0);
}

#[test]
fn of_too_many_the_newest_are_served_and_one_in_so_many_is_refused_as_it_comes() {
    let mut overload = overloaded();
    let before = overload.seen();
    hold(&mut overload, 0..5_000, at(2_010));
    assert_eq!(served(&mut overload, at(2_011), 7), (4_900..5_000).rev().collect::<Vec<_>>());
    assert_eq!(late(&mut overload), [] as [u32; 0]);
    overload.end_serving(at(2_011));
    assert!(!overload.has_refused());
    // Who was answered comes again: a hundred answers are eight refusals.
    let again: Vec<_> = (4_900..5_000).map(|slot| overload.hold(slot, GET, at(2_013))).collect();
    let refused = again.iter().take_while(|hold| **hold == Hold::Refused).count();
    assert_eq!(refused, 100 / SHED_SERVED_A_REFUSAL as usize);
    assert!(again[refused..].iter().all(|hold| *hold == Hold::Kept));
    assert!(overload.has_refused() && !overload.has_refused());
    // Those of a look that are all refused are no reason to look no more.
    assert_eq!(overload.seen(), before + 5_000 + 100);
    assert_eq!(served(&mut overload, at(2_013), 20).first(), Some(&4_999));
    overload.end_serving(at(2_013));
    assert!(overload.is_shedding());
    // Who asks how the node is never is one of them.
    assert_eq!(overload.hold(1, b"GET /readyz HTTP/1.1", at(2_014)), Hold::Kept);
    assert_eq!(overload.hold(6_000, b"GET /readyz HTTP/1.1", at(2_014)), Hold::Passed);
}

#[test]
fn what_has_waited_too_long_is_never_served_in_an_overload() {
    let mut overload = overloaded();
    hold(&mut overload, 0..40, at(2_010));
    hold(&mut overload, 40..42, at(2_054));
    assert_eq!(served(&mut overload, at(2_055), 20), [40, 41]);
    // There was something to serve.
    assert_eq!(late(&mut overload), [] as [u32; 0]);
    overload.end_serving(at(2_055));
    // With nothing to serve there is time for them, in parts.
    let mut all = Vec::new();
    for turn in 0..21 {
        assert!(served(&mut overload, at(2_056 + turn), 20).is_empty());
        all.extend(late(&mut overload));
        overload.end_serving(at(2_056 + turn));
    }
    assert_eq!(all, [9_999].into_iter().chain(0..40).collect::<Vec<_>>());
    assert_eq!(overload.waiting(), 0);
}

#[test]
fn it_is_over_once_nothing_has_waited_for_an_interval() {
    let mut overload = overloaded();
    let (_, bytes) = overload.remove_any().unwrap();
    overload.give_back(bytes);
    for ms in 0..100 {
        hold(&mut overload, 0..1, at(2_000 + ms));
        assert_eq!(served(&mut overload, at(2_001 + ms), 20), [0]);
        hold(&mut overload, 1..2, at(2_001 + ms));
        overload.end_serving(at(2_001 + ms));
        assert!(overload.is_shedding(), "{ms}");
        overload.remove(1);
    }
    // Something always waits, but never for long: all of it is served from now on.
    hold(&mut overload, 0..1, at(2_100));
    overload.begin_serving(at(2_101));
    overload.end_serving(at(2_101));
    assert!(!overload.is_shedding() && overload.is_holding());
    overload.remove(0);
    for ms in [0, 99] {
        overload.begin_serving(at(2_102 + ms));
        overload.end_serving(at(2_102 + ms));
        assert!(overload.is_holding());
    }
    overload.begin_serving(at(2_202));
    overload.end_serving(at(2_202));
    assert_eq!(overload.hold(1, GET, at(2_203)), Hold::Passed);
}

#[test]
fn who_asks_how_the_node_is_does_not_wait_and_who_sends_much_is_taken_whole() {
    let mut overload = holding();
    for health in ["GET /health HTTP/1.1", "HEAD /readyz HTTP/1.1", "GET /healthz HTTP/1.1"] {
        assert_eq!(overload.hold(1, health.as_bytes(), at(1_010)), Hold::Passed);
    }
    let part = [b'x'; SHED_HELD_BYTES_MAX / 2];
    assert_eq!(overload.hold(1, &part, at(1_010)), Hold::Kept);
    assert_eq!(overload.hold(1, &part, at(1_010)), Hold::Kept);
    let Hold::Full(whole) = overload.hold(1, b"y", at(1_010)) else { panic!("too much") };
    assert_eq!(whole.len(), SHED_HELD_BYTES_MAX + 1);
    // Whose connection is closed is passed over, and so is who comes in its place.
    hold(&mut overload, 2..4, at(1_010));
    assert_eq!(overload.remove(2).as_deref(), Some(GET));
    assert_eq!(overload.remove(2), None);
    hold(&mut overload, 2..3, at(1_011));
    assert_eq!(served(&mut overload, at(1_012), 20), [3, 2]);
    assert_eq!(overload.waiting(), 0);
}

#[test]
fn commands_of_other_shards_are_refused_where_all_of_them_have_waited_too_long() {
    let mut overload = Overload::new(Some(5 * MS));
    // One late turn is none of that, nor are short waits in between.
    for (now, since) in [(1_000, 900), (1_050, 900), (1_060, 1_058), (1_090, 1_000), (1_150, 1_000)]
    {
        overload.look_at_hops(at(now), at(since));
        assert!(!overload.refuses_hop(at(now), at(since), MANY), "{now}");
    }
    overload.look_at_hops(at(1_190), at(1_150));
    assert!(overload.is_shedding() && !overload.is_holding());
    // Those that can be answered in time are executed.
    assert!(overload.refuses_hop(at(1_190), at(1_164), MANY));
    assert!(!overload.refuses_hop(at(1_190), at(1_164), MANY - 1), "so few are no backlog");
    assert!(!overload.refuses_hop(at(1_190), at(1_165), MANY));
    overload.look_at_hops(at(1_195), at(1_191));
    assert!(!overload.refuses_hop(at(1_250), at(1_191), MANY));
    overload.no_hops();
    assert!(!overload.is_shedding());
}
