//! How much is looked at for a pivot is bounded, for each popup and for the catalog, and a change
//! of statuses looks at nothing. Which clause is taken is `placement`'s table.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::catalog::snapshot::{Popup, Snapshot, Status};
use crate::catalog::target::parse_number;
use crate::decide::samples::snapshot;
use nudged_base::limits::{PLACEMENTS_MAX, SCANNED_POPUPS_MAX};

/// A target that needs an attribute for each of these to be one of so many values.
fn lists(counts: &[usize]) -> Json {
    let clause = |(number, count): (usize, &usize)| {
        let values: Vec<usize> = (0..*count).collect();
        json!({"attr": format!("a{number}"), "op": "in", "value": values})
    };
    json!({"all": counts.iter().enumerate().map(clause).collect::<Vec<_>>()})
}

fn entries(snapshot: &Snapshot) -> usize {
    let of_popup = |(popup, pivot): (&Popup, &Option<PopupPivot>)| {
        pivot.as_ref().map_or(0, |pivot| pivot.hashes.len() * popup.placements.len())
    };
    snapshot.popups.iter().zip(&snapshot.pivots.by_popup).map(of_popup).sum()
}

#[test]
fn a_popup_is_looked_at_for_few_values() {
    let table = [
        (vec![64], vec![64]),
        (vec![65], vec![]),
        (vec![64; 60], vec![64]),
        (vec![1; 60], vec![1; 60]),
        (vec![40, 64, 1, 23, 1], vec![1, 1, 23]),
        (vec![1_000, 2], vec![2]),
    ];
    for (counts, want) in table {
        let snapshot = snapshot(&json!([{"id": "p", "target": lists(&counts)}]));
        let choices = choices(snapshot.targets.target(0).0, &ValueHasher::default());
        let got: Vec<usize> = choices.iter().map(|choice| choice.hashes.len()).collect();
        assert_eq!(got, want, "{counts:?}");
    }
}

#[test]
fn whose_pivot_finds_no_room_is_asked_by_all() {
    let placements: Vec<String> = (0..PLACEMENTS_MAX).map(|place| format!("at{place}")).collect();
    let each = PIVOT_VALUES_MAX * PLACEMENTS_MAX;
    let popup = |number: usize| {
        json!({
            "id": format!("p{number:04}"), "placement": placements,
            "target": lists(&[PIVOT_VALUES_MAX]),
        })
    };
    let snapshot = snapshot(&(0..PIVOT_ENTRIES_MAX / each + 10).map(popup).collect());
    assert_eq!(entries(&snapshot), PIVOT_ENTRIES_MAX / each * each);
    for placement in snapshot.placements.values() {
        assert_eq!(placement.asked.len(), 10);
    }
}

#[test]
fn another_status_leaves_the_pivots_as_they_are() {
    let popup = |number| json!({"id": format!("p{number}"), "target": lists(&[1, 2])});
    let before = snapshot(&(0..SCANNED_POPUPS_MAX + 2).map(popup).collect());
    let paused = [(before.popups[0].key, Status::Paused)].into_iter().collect();
    let after = before.with_statuses(2, &paused);
    assert!(Arc::ptr_eq(&before.pivots, &after.pivots));
    for (snapshot, live) in [(&before, SCANNED_POPUPS_MAX + 2), (&after, SCANNED_POPUPS_MAX + 1)] {
        let home = &snapshot.placements["home"];
        assert_eq!((home.live.len(), home.asked.len(), home.pivots.len()), (live, 0, 1));
        let pivot = &home.pivots[0];
        let found = home.of_number(pivot, parse_number("0").unwrap());
        assert_eq!(found.len(), live, "by the hashes of the catalog");
    }
}

#[test]
fn numbers_that_are_equal_are_one_key() {
    let key = |text: &str| NumberKey::of(parse_number(text).unwrap());
    let groups: [&[&str]; 6] = [
        &["0", "-0", "0.0", "-0.0", "0e9"],
        &["18", "18.0", "1.8e1"],
        &["0.5", "5e-1"],
        &["9007199254740993", "9007199254740993"],
        &["9007199254740992", "9007199254740992.0"],
        &["1e300", "10e299"],
    ];
    for (index, group) in groups.iter().enumerate() {
        for (other_index, other) in groups.iter().enumerate() {
            let is_same = key(group[group.len() - 1]) == key(other[0]);
            assert_eq!(is_same, index == other_index, "{group:?} {other:?}");
        }
    }
}
