//! A slice loses nothing but what SQL has applied, and stays within its bytes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const APPLIED_NONE: LaneSequence = LaneSequence(0);
const MIB: u64 = 1_024 * 1_024;

fn state_of(user: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from((user + index) % 251).unwrap()).collect()
}

#[test]
fn a_usual_user_costs_at_most_112_bytes_all_in() {
    for mib in [1, 3, 8, 20] {
        let mut slice = Slice::new(mib * MIB, 1);
        let state = [7; 40];
        let mut count: u64 = 0;
        while slice.put(&format!("{count:016}"), &state, LaneSequence(1), APPLIED_NONE).is_ok() {
            count += 1;
        }
        let each = mib * MIB / count;
        println!("{mib} MiB: {count} users of 16 + 40 bytes, {each} bytes each");
        assert!(each <= 112);
        assert!(slice.bytes_used() <= mib * MIB);
        slice.check_invariants();
    }
}

#[test]
fn what_sql_has_not_applied_is_never_evicted() {
    let mut slice = Slice::new(MIB, 2);
    let mut users = 0;
    while slice.put(&format!("u{users}"), &[0; 500], LaneSequence(users + 1), APPLIED_NONE).is_ok()
    {
        users += 1;
    }
    assert_eq!(slice.evictions(), 0);
    // Room in another class is not to be had either, and the old state stays.
    assert_eq!(slice.put("u0", &[1; 900], LaneSequence(9), APPLIED_NONE), Err(SliceFull));
    assert_eq!(slice.get("u0").unwrap().state, [0; 500]);
    assert_eq!(slice.get("u0").unwrap().last_change, LaneSequence(1));
    // In its own class a state is replaced.
    assert_eq!(slice.put("u0", &[2; 499], LaneSequence(users + 1), APPLIED_NONE), Ok(()));
    // With half of them applied there is room, and the other half is all there.
    let applied = LaneSequence(users / 2);
    for user in users..users + 100 {
        slice.put(&format!("u{user}"), &[0; 500], LaneSequence(user + 1), applied).unwrap();
    }
    assert!(slice.evictions() >= 100);
    for user in users / 2..users + 100 {
        assert!(slice.get(&format!("u{user}")).is_some(), "u{user}");
    }
    assert_eq!(slice.get("u0").unwrap().state, [2; 499]);
    slice.check_invariants();
}

#[test]
fn users_who_are_asked_for_stay_longer() {
    let mut slice = Slice::new(MIB, 3);
    let mut next: u64 = 0;
    let mut put = |slice: &mut Slice| {
        next += 1;
        slice.put(&format!("u{next}"), &[0; 40], LaneSequence(0), APPLIED_NONE).unwrap();
    };
    (0..200).for_each(|_| put(&mut slice));
    for _ in 0..60_000 {
        put(&mut slice);
        for user in 1..=3 {
            slice.get(&format!("u{user}"));
        }
    }
    let hot = (1..=3).filter(|user| slice.get(&format!("u{user}")).is_some()).count();
    let cold = (4..=200).filter(|user| slice.get(&format!("u{user}")).is_some()).count();
    assert_eq!((hot, cold), (3, 0));
}

#[test]
fn memory_follows_the_sizes_in_use() {
    let mut slice = Slice::new(MIB, 4);
    let fill = |slice: &mut Slice, name: &str, bytes: usize, users: u64| {
        for user in 0..users {
            let name = format!("{name}{user}");
            slice.put(&name, &vec![1; bytes], LaneSequence(1), LaneSequence(1)).unwrap();
        }
    };
    fill(&mut slice, "small", 20, 40_000);
    // A class that had no page gets them all, one after the other.
    for (name, bytes) in [("large", 20_000), ("middle", 1_000), ("tiny", 1)] {
        fill(&mut slice, name, bytes, 40_000);
        slice.check_invariants();
        let cost = u64::try_from(bytes + 12 + 10).unwrap();
        let least = (MIB * 2 / 5 / cost).min(5_000);
        assert!(slice.len() as u64 >= least, "{name}: {} users", slice.len());
        assert!(slice.bytes_used() <= MIB);
    }
}

#[test]
fn those_who_must_stay_are_moved_out_of_a_page_that_is_wanted() {
    let mut slice = Slice::new(MIB, 5);
    // One of a hundred users is not applied, so each page has some who must stay.
    let mut user = 0;
    while slice.evictions() == 0 {
        let last_change = LaneSequence(if user % 100 == 0 { 2 } else { 1 });
        slice.put(&format!("u{user}"), &[0; 100], last_change, LaneSequence(1)).unwrap();
        user += 1;
    }
    for large in 0..15 {
        let put = slice.put(&format!("l{large}"), &[0; 24_000], LaneSequence(2), LaneSequence(1));
        assert_eq!(put, Ok(()), "l{large}");
    }
    for kept in (0..user - 1).step_by(100) {
        assert!(slice.get(&format!("u{kept}")).is_some(), "u{kept}");
    }
    slice.check_invariants();
}

#[test]
fn a_full_page_is_moved_into_holes_of_others() {
    let mut slice = Slice::new(MIB, 7);
    let mut users = 0;
    while slice.put(&format!("u{users}"), &[0; 100], LaneSequence(1), APPLIED_NONE).is_ok() {
        users += 1;
    }
    // Holes in the later half of the pages; the hand finds the full ones first.
    for user in (users / 2..users).step_by(2) {
        assert!(slice.remove(&format!("u{user}")));
    }
    slice.put("large", &[0; 24_000], LaneSequence(1), APPLIED_NONE).unwrap();
    assert_eq!(slice.evictions(), 0);
    for user in 0..users / 2 {
        assert!(slice.get(&format!("u{user}")).is_some(), "u{user}");
    }
    slice.check_invariants();
}

#[test]
fn the_longest_user_with_the_longest_state_fits() {
    let mut slice = Slice::new(MIB, 6);
    let user = "x".repeat(USER_BYTES_MAX);
    let state = state_of(1, STATE_BYTES_MAX);
    slice.put(&user, &state, LaneSequence(1), APPLIED_NONE).unwrap();
    assert_eq!(slice.get(&user).unwrap().state, state);
    slice.put(&user, &[], LaneSequence(2), APPLIED_NONE).unwrap();
    let want = EntryRef { state: &[], last_change: LaneSequence(2) };
    assert_eq!(slice.get(&user), Some(want));
    assert!(slice.remove(&user) && !slice.remove(&user));
    assert!(slice.is_empty());
    slice.check_invariants();
}

#[derive(Clone, Debug)]
enum Step {
    Put { user: usize, bytes: usize },
    Get { user: usize },
    Remove { user: usize },
    Apply { behind: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Sizes from nothing to the longest state, so that a slice of 1 MiB is soon full.
    let bytes = prop_oneof![4 => 0..200usize, 3 => 200..6_000usize, 3 => 6_000..=STATE_BYTES_MAX];
    let step = prop_oneof![
        8 => (0..120usize, bytes).prop_map(|(user, bytes)| Step::Put { user, bytes }),
        3 => (0..120usize).prop_map(|user| Step::Get { user }),
        1 => (0..120usize).prop_map(|user| Step::Remove { user }),
        1 => (0..90u64).prop_map(|behind| Step::Apply { behind }),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn loses_nothing_but_applied_entries(steps in steps(), seed in any::<u64>()) {
        let mut slice = Slice::new(MIB, seed);
        let mut model: HashMap<usize, (Vec<u8>, LaneSequence)> = HashMap::new();
        let mut written: u64 = 0;
        let mut applied = LaneSequence(0);
        for step in steps {
            match step {
                Step::Put { user, bytes } => {
                    let name = format!("user-{user}");
                    let before = slice.get(&name).map(|entry| entry.state.to_vec());
                    let (state, change) = (state_of(user, bytes), LaneSequence(written + 1));
                    if slice.put(&name, &state, change, applied).is_ok() {
                        written += 1;
                        model.insert(user, (state, change));
                    } else {
                        let after = slice.get(&name).map(|entry| entry.state.to_vec());
                        prop_assert_eq!(&before, &after);
                        // The one that may be left is the old state of this user.
                        let left = slice.evictable(applied);
                        prop_assert!(left <= usize::from(after.is_some()), "{} left", left);
                    }
                }
                Step::Get { user } => {
                    let known = model.get(&user);
                    match slice.get(&format!("user-{user}")) {
                        Some(entry) => {
                            let (state, change) = known.expect("only what was put in");
                            prop_assert_eq!(entry.state, state);
                            prop_assert_eq!(entry.last_change, *change);
                        }
                        None => prop_assert!(known.is_none_or(|(_, change)| *change <= applied)),
                    }
                }
                Step::Remove { user } => {
                    let removed = slice.remove(&format!("user-{user}"));
                    prop_assert!(!removed || model.contains_key(&user));
                    model.remove(&user);
                }
                Step::Apply { behind } => {
                    applied = applied.max(LaneSequence(written.saturating_sub(behind)));
                }
            }
            prop_assert!(slice.bytes_used() <= MIB);
        }
        slice.check_invariants();
        for (user, (state, change)) in &model {
            match slice.get(&format!("user-{user}")) {
                Some(entry) => prop_assert_eq!(entry.state, state),
                None => prop_assert!(*change <= applied),
            }
        }
    }
}
