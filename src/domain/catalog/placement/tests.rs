//! Each live popup is asked by all or listed by the pivot that the fewest share. That the lists
//! leave nobody out is the property of `decide::choose`.

use std::time::Instant;

use serde_json::{Value as Json, json};

use super::*;
use crate::decide::samples::snapshot;
use nudged_base::limits::{PIVOT_VALUES_MAX, POPUPS_MAX};

fn clause(attr: &str, op: &str, value: &Json) -> Json {
    json!({"attr": attr, "op": op, "value": value})
}

/// A placement of enough popups for an index: these, and others that share "platform" with them.
fn home(targets: &[Json]) -> (crate::catalog::snapshot::Snapshot, Vec<Json>) {
    let platform = clause("platform", "eq", &json!("ios"));
    let mut all = targets.to_vec();
    all.resize(targets.len() + SCANNED_POPUPS_MAX, platform);
    let popup =
        |(number, target): (usize, &Json)| json!({"id": format!("p{number:04}"), "target": target});
    let popups: Vec<Json> = all.iter().enumerate().map(popup).collect();
    (snapshot(&Json::Array(popups)), all)
}

/// The name of the attribute that the popup at a place is listed by.
fn pivot_of(snapshot: &crate::catalog::snapshot::Snapshot, place: u32) -> Option<&str> {
    let placement = &snapshot.placements["home"];
    let pivot = placement.pivots.iter().find(|pivot| pivot.places.contains(&place));
    assert_eq!(pivot.is_none(), placement.asked.contains(&place), "asked by all or listed");
    pivot.map(|pivot| snapshot.targets.name(pivot.attribute))
}

#[test]
fn a_pivot_is_needed_lists_what_it_takes_and_is_shared_by_few() {
    let (ios, plan) = (clause("platform", "eq", &json!("ios")), clause("plan", "eq", &json!(7)));
    let many: Vec<Json> = (0..=PIVOT_VALUES_MAX).map(|number| json!(number)).collect();
    let table = [
        (ios.clone(), Some("platform")),
        (json!({"all": [ios, plan]}), Some("plan")),
        (json!({"all": [ios, {"all": [{"any": [plan]}]}]}), Some("plan")),
        (json!({"not": {"not": plan}}), Some("plan")),
        (json!({"any": [ios, plan]}), None),
        (json!({"not": plan}), None),
        (clause("plan", "ne", &json!(7)), None),
        (clause("plan", "not_in", &json!([7])), None),
        (clause("plan", "gte", &json!(7)), None),
        (clause("plan", "in", &json!([7, 8, 7.0])), Some("plan")),
        (clause("plan", "in", &Json::Array(many)), None),
        (json!({"all": []}), None),
        (json!({"any": []}), None),
    ];
    for (target, want) in table {
        let (snapshot, _) = home(std::slice::from_ref(&target));
        assert_eq!(pivot_of(&snapshot, 0), want, "{target}");
    }
}

#[test]
fn few_popups_are_asked_one_by_one() {
    let popups =
        json!((0..SCANNED_POPUPS_MAX)
        .map(|number| json!({"id": format!("p{number}"), "target": clause("a", "eq", &json!(1))}))
        .collect::<Vec<_>>());
    let snapshot = snapshot(&popups);
    let placement = &snapshot.placements["home"];
    assert!(placement.pivots.is_empty());
    assert_eq!(placement.asked.len(), SCANNED_POPUPS_MAX);
}

/// What the largest catalog takes: it is printed, and its bytes are bounded.
#[test]
fn the_index_of_the_largest_catalog_is_small() {
    let targets: Vec<Json> = (0..POPUPS_MAX - SCANNED_POPUPS_MAX)
        .map(|number| {
            let plan = clause("plan", "eq", &json!(format!("plan-{}", number / 3)));
            json!({"all": [clause("platform", "eq", &json!("ios")), plan]})
        })
        .collect();
    let (snapshot, _) = home(&targets);
    let begun = Instant::now();
    let placements = placements(&snapshot.popups, &snapshot.pivots);
    let took = begun.elapsed();
    let placement = &placements["home"];
    let of_pivot =
        |pivot: &Pivot| pivot.postings.allocation_size() + size_of_val(&pivot.places[..]);
    let lists = size_of_val(&placement.live[..]) + size_of_val(&placement.asked[..]);
    let bytes = lists + placement.pivots.iter().map(of_pivot).sum::<usize>();
    println!("{POPUPS_MAX} popups: {bytes} bytes, made in {took:?}");
    assert!(bytes < 32 * POPUPS_MAX, "{bytes}");
}
