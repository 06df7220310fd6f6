//! A batch's rows say what its records say, however the journal is cut, and an unapplied record on
//! top of a state gives the state after it.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use proptest::prelude::*;

use super::batcher::{self, Batch, Tombstones, erased_decision};
use super::overlay::apply_record;
use super::stats::{HOUR_MS, Tally, hour_of};
use super::validate::RejectReason;
use nudged_base::hash;
use nudged_base::ids::{Revision, Sequence, UserKey};
use nudged_base::limits::MYSQL_APPLY_RECORDS_MAX;
use nudged_base::time::WallMs;
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::UserState;
use nudged_histories::{Journal, OwnedRecord, USERS, borrowed, histories};

fn build(records: &[OwnedRecord]) -> Batch<'_> {
    batcher::build(&borrowed(records), &Tombstones::default(), &BTreeMap::new())
}

#[test]
fn only_the_latest_row_per_key_leaves_sorted() {
    let mut journal = Journal::new();
    for user in ["b", "a", "b", "B"] {
        journal.show(user, 0, None);
        journal.show(user, 3, None);
    }
    journal.event("b", 0, Action::Clicked);
    let batch = build(&journal.records);
    let users: Vec<_> = batch.users.iter().map(|row| (row.user, row.revision.counter)).collect();
    assert_eq!(users, [("B", 2), ("a", 2), ("b", 5)]);
    let popups: Vec<_> = batch
        .popups
        .iter()
        .map(|row| {
            let entry = row.entry.unwrap();
            (row.user, row.popup, entry.shows, entry.revision.counter, entry.first.counter)
        })
        .collect();
    let want = [
        ("B", "p0", 1, 1, 1),
        ("B", "p3", 1, 2, 2),
        ("a", "p0", 1, 1, 1),
        ("a", "p3", 1, 2, 2),
        ("b", "p0", 2, 3, 1),
        ("b", "p3", 2, 5, 2),
    ];
    assert_eq!(popups, want);
    let sequences: Vec<_> = batch.events.iter().map(|row| row.sequence.0).collect();
    assert_eq!(sequences, (1..=9).collect::<Vec<_>>());
}

#[test]
fn a_lower_revision_replaces_nothing_in_a_batch() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.show("u", 0, None);
    journal.records.swap(0, 1);
    let batch = build(&journal.records);
    assert_eq!(batch.users[0].revision.counter, 2);
    assert_eq!(batch.popups[0].entry.unwrap().shows, 2);
}

#[test]
fn a_forgotten_entry_keeps_its_columns_and_one_shown_again_starts_anew() {
    let mut journal = Journal::new();
    for popup in 0..65 {
        journal.show("u", popup, None);
    }
    let forgotten = journal.records[64].impression.as_ref().unwrap().forgotten.clone();
    assert_eq!(forgotten, "p0", "archived, and shown longest ago");
    let batch = build(&journal.records);
    let row = batch.popups.iter().find(|row| row.popup == "p0").unwrap();
    assert_eq!(row.forgotten, Some((64, Revision { epoch: 0, counter: 65 })));
    assert_eq!(row.entry.unwrap().shows, 1);
    assert!(!row.entry.unwrap().restarted);

    journal.show("u", 0, None);
    let batch = build(&journal.records);
    let row = batch.popups.iter().find(|row| row.popup == "p0").unwrap();
    assert_eq!(row.forgotten, None);
    assert_eq!(row.entry.unwrap().first.counter, 66);
    assert!(row.entry.unwrap().restarted);

    let batch = build(&journal.records[64..65]);
    let row = batch.popups.iter().find(|row| row.popup == "p0").unwrap();
    assert_eq!(row.entry, None, "an entry of an earlier batch is only marked");
}

#[test]
fn an_erase_takes_the_user_from_records_on_both_sides_of_it() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.erase("u");
    journal.show("u", 3, None);
    journal.records.swap(0, 1);
    let batch = build(&journal.records);
    let users: Vec<_> = batch.events.iter().map(|event| event.user).collect();
    assert_eq!(users, [None, Some("u")]);
    assert!(batch.events[0].decision.starts_with("erased:"));
    assert_eq!(batch.popups.len(), 1);
    assert_eq!(batch.users[0].revision.counter, 3);
    assert_eq!(batch.erases[0].revision.counter, 2);
}

#[test]
fn a_tombstone_takes_the_user_from_older_records_only() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.show("u", 3, None);
    let key = UserKey::of(b"u");
    let tombstones = HashMap::from([(key, Revision { epoch: 0, counter: 1 })]);
    let batch = batcher::build(&borrowed(&journal.records), &tombstones, &BTreeMap::new());
    let users: Vec<_> = batch.events.iter().map(|event| event.user).collect();
    assert_eq!(users, [None, Some("u")]);
    assert_eq!(batch.popups.len(), 1);
}

#[test]
fn the_hash_of_an_erased_decision_is_pinned_and_replacing_it_again_changes_nothing() {
    let once = erased_decision("token");
    assert_eq!(once, "erased:765599444c7f3d7879d3bf054d8b4f2f");
    assert_eq!(erased_decision(&once), once);
    assert_ne!(hash::erased_decision(b"a"), hash::erased_decision(b"b"));
}

#[test]
fn records_that_no_row_can_hold_are_rejected_with_their_reason() {
    type Change = fn(&mut OwnedRecord);
    let cases: [(Change, RejectReason); 12] = [
        (|record| record.user.clear(), RejectReason::User),
        (|record| record.user = "u".repeat(129), RejectReason::User),
        (|record| record.user = "a\0b".into(), RejectReason::User),
        (|record| parts(record).popup.clear(), RejectReason::Popup),
        (|record| parts(record).popup = "p".repeat(65), RejectReason::Popup),
        (|record| parts(record).token.clear(), RejectReason::Token),
        (|record| parts(record).token = "t".repeat(513), RejectReason::Token),
        (|record| parts(record).forgotten = "p0".into(), RejectReason::Forgotten),
        (|record| record.revision.counter = 1 << 63, RejectReason::Revision),
        (|record| parts(record).clocks.push(0), RejectReason::Clocks),
        (|record| parts(record).row.clear(), RejectReason::Row),
        (|record| parts(record).popup = "other".into(), RejectReason::RowPopup),
    ];
    for (change, want) in cases {
        let mut journal = Journal::new();
        journal.show("u", 0, None);
        journal.show("u", 3, None);
        change(&mut journal.records[0]);
        let batch = build(&journal.records);
        assert_eq!(batch.rejected, [(0, want)]);
        assert_eq!(batch.events.len(), 1);
        let (_, record) = journal.records[0].borrow();
        let mut state = UserState::default();
        assert_eq!(apply_record(&mut state, &record), Err(want));
        assert_eq!(state, UserState::default());
    }
}

fn parts(record: &mut OwnedRecord) -> &mut nudged_histories::OwnedImpression {
    record.impression.as_mut().unwrap()
}

#[test]
#[should_panic(expected = "a transaction has a bound")]
fn a_batch_is_bounded() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    let record = journal.records[0].borrow().1;
    let records: Vec<_> =
        (0..=MYSQL_APPLY_RECORDS_MAX as u64).map(|number| (Sequence(number), record)).collect();
    batcher::build(&records, &Tombstones::default(), &BTreeMap::new());
}

#[test]
fn hours_start_at_their_first_millisecond_also_before_1970() {
    for (at, want) in [(0, 0), (HOUR_MS - 1, 0), (HOUR_MS, HOUR_MS), (-1, -HOUR_MS)] {
        assert_eq!(hour_of(WallMs(at)), want, "{at}");
    }
    assert_eq!(hour_of(WallMs(i64::MIN)), i64::MIN);
}

#[test]
fn a_tally_counts_per_popup_variant_and_hour() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.show("u", 0, None);
    journal.event("u", 0, Action::Clicked);
    journal.event("u", 0, Action::Shown);
    let batch = build(&journal.records);
    let mut tally = Tally::default();
    batch.events.iter().for_each(|event| tally.count(event));
    let rows = tally.into_rows();
    let total: i64 = rows.iter().flat_map(|(_, row)| row.counts).sum();
    assert_eq!(total, 4);
    assert!(rows.is_sorted_by(|left, right| left.0 < right.0));
    assert!(rows.iter().all(|(key, _)| key.popup == "p0" && key.hour % HOUR_MS == 0));
}

#[test]
fn a_show_taken_back_in_the_same_batch_leaves_nothing_but_the_revision() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.withdraw("u");
    journal.show("v", 3, None);
    for order in [[0, 1, 2], [1, 2, 0]] {
        let records: Vec<_> = order.iter().map(|at: &usize| journal.records[*at].clone()).collect();
        let batch = build(&records);
        let events: Vec<_> = batch.events.iter().map(|event| event.record.popup).collect();
        assert_eq!(events, ["p3"], "{order:?}");
        let [withdrawn] = &batch.withdrawn[..] else { panic!("{:?}", batch.withdrawn) };
        assert_eq!(
            (withdrawn.record.popup, withdrawn.record.shown_at),
            ("p0", journal.records[0].at)
        );
        let users: Vec<_> =
            batch.users.iter().map(|row| (row.user, row.revision.counter)).collect();
        assert_eq!(users, [("u", 2), ("v", 1)]);
        assert_eq!(batch.users[0].clocks, Default::default());
        let row = batch.popups.iter().find(|row| row.user == "u").unwrap();
        let revision = row.removed.unwrap().1;
        assert_eq!((row.entry, row.forgotten, revision.counter), (None, None, 2));
    }
}

#[test]
fn an_entry_that_was_there_before_a_show_taken_back_stands_again() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.event("u", 0, Action::Dismissed);
    journal.show("u", 0, None);
    journal.withdraw("u");
    for from in [0, 2, 3] {
        let batch = build(&journal.records[from..]);
        let entry = batch.popups[0].entry.unwrap();
        assert_eq!((entry.shows, entry.revision.counter), (1, 4), "from {from}");
        assert_eq!(entry.last_shown_at, journal.records[0].at);
        assert!(entry.outcome.is_some() && !entry.restarted);
    }
}

#[test]
fn a_popup_that_a_show_taken_back_had_pushed_out_stays_forgotten() {
    let mut journal = Journal::new();
    (0..65).for_each(|popup| journal.show("u", popup, None));
    journal.withdraw("u");
    for from in [0, 64] {
        let batch = build(&journal.records[from..]);
        let row = batch.popups.iter().find(|row| row.popup == "p0").unwrap();
        assert_eq!(row.forgotten.map(|(_, at)| at.counter), Some(65), "from {from}");
    }
    // Shown again, the popup that was never seen begins anew.
    journal.show("u", 64, None);
    let batch = build(&journal.records);
    let popup = &journal.records[64].impression.as_ref().unwrap().popup;
    let row = batch.popups.iter().find(|row| row.popup == popup).unwrap();
    assert_eq!((row.removed, row.entry.unwrap().first.counter), (None, 67));
    assert!(row.entry.unwrap().restarted);
}

#[test]
fn an_erase_takes_the_user_from_a_show_taken_back() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.withdraw("u");
    journal.erase("u");
    let batch = build(&journal.records);
    assert!(batch.events.is_empty() && batch.users.is_empty() && batch.popups.is_empty());
    let token = journal.records[0].impression.as_ref().unwrap().token.clone();
    let [plain, erased] = batch.withdrawn[0].decisions();
    assert_eq!((&*plain, &*erased), (&*token, &*erased_decision(&token)));
}

#[test]
fn a_show_taken_back_that_no_row_can_hold_is_rejected_with_its_reason() {
    type Change = fn(&mut OwnedRecord);
    let cases: [(Change, RejectReason); 7] = [
        (|record| record.user.clear(), RejectReason::User),
        (|record| record.revision.counter = 0, RejectReason::Revision),
        (|record| taken_back(record).popup.clear(), RejectReason::Popup),
        (|record| taken_back(record).token.clear(), RejectReason::Token),
        (|record| taken_back(record).clocks.push(0), RejectReason::Clocks),
        (|record| taken_back(record).former = Some((vec![], None)), RejectReason::Row),
        (|record| taken_back(record).popup = "other".into(), RejectReason::RowPopup),
    ];
    for (change, want) in cases {
        let mut journal = Journal::new();
        journal.show("u", 3, None);
        journal.show("u", 3, None);
        journal.withdraw("u");
        change(&mut journal.records[2]);
        let batch = build(&journal.records);
        assert_eq!(batch.rejected, [(2, want)]);
        assert_eq!((batch.events.len(), batch.withdrawn.len()), (2, 0), "{want:?}");
        let mut state = UserState::default();
        assert_eq!(apply_record(&mut state, &journal.records[2].borrow().1), Err(want));
        assert_eq!(state, UserState::default());
    }
}

fn taken_back(record: &mut OwnedRecord) -> &mut nudged_histories::OwnedWithdrawn {
    record.withdrawn.as_mut().unwrap()
}

#[test]
fn a_show_taken_back_is_taken_from_the_hour_in_which_it_was_counted() {
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.withdraw("u");
    let alone = build(&journal.records[..1]);
    let both = build(&journal.records);
    let (mut counted, mut taken) = (Tally::default(), Tally::default());
    counted.count(&alone.events[0]);
    taken.uncount(&both.withdrawn[0]);
    let (counted, taken) = (counted.into_rows(), taken.into_rows());
    assert_eq!(counted[0].0, taken[0].0);
    assert_eq!((counted[0].1.counts, taken[0].1.counts), ([1, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_every_record_gives_the_state(steps in histories(60)) {
        let journal = Journal::of(&steps);
        for user in USERS {
            let mut state = UserState::default();
            let own = journal.records.iter().filter(|record| record.user == user);
            for record in own.clone() {
                apply_record(&mut state, &record.borrow().1).unwrap();
            }
            prop_assert_eq!(&state, &journal.state(user));
            // Again, from any of them on: nothing is newer than the state.
            for record in own {
                apply_record(&mut state, &record.borrow().1).unwrap();
            }
            prop_assert_eq!(&state, &journal.state(user));
        }
    }
}
