//! Property: a snapshot holds every popup once, in the order in which they win, and offers only
//! live ones.

use super::*;
use crate::catalog::source::parse_json_values;
use nudged_base::time::DurationMs;
use serde_json::json;

fn definitions(popups: &[serde_json::Value]) -> Vec<Definition> {
    parse_json_values(popups).unwrap()
}

fn entries(definitions: &[Definition]) -> Vec<CatalogEntry<'_>> {
    let entry = |definition| CatalogEntry {
        definition,
        version: 1,
        status: Definition::status(definition),
    };
    definitions.iter().map(entry).collect()
}

fn ids(snapshot: &Snapshot, placement: &str) -> Vec<String> {
    let id = |index: &u32| snapshot.popups[*index as usize].id.to_string();
    snapshot.live(placement).iter().map(id).collect()
}

#[test]
fn the_highest_priority_wins_then_the_id_that_sorts_first() {
    let definitions = definitions(&[
        json!({"id": "b", "priority": 1}),
        json!({"id": "z", "priority": 9_223_372_036_854_775_807i64}),
        json!({"id": "a", "priority": 1, "placement": ["home", "cart"]}),
        json!({"id": "n", "priority": -1, "placement": ["cart"]}),
        json!({"id": "p", "status": "paused"}),
        json!({"id": "d", "status": "draft"}),
        json!({"id": "x", "status": "archived"}),
    ]);
    let snapshot = compile(&entries(&definitions), Settings::default(), 7).unwrap();
    assert_eq!(snapshot.version, 7);
    let order: Vec<_> = snapshot.popups.iter().map(|popup| &*popup.id).collect();
    assert_eq!(order, ["z", "a", "b", "d", "p", "x", "n"]);
    assert_eq!(ids(&snapshot, "home"), ["z", "a", "b"]);
    assert_eq!(ids(&snapshot, "cart"), ["a", "n"]);
    assert!(snapshot.live("elsewhere").is_empty());
    for popup in &snapshot.popups {
        assert_eq!(snapshot.popup(PopupKey::of(&popup.id)).unwrap().id, popup.id);
        assert_eq!(snapshot.is_current(popup.key), &*popup.id != "x");
    }
    assert!(!snapshot.is_current(PopupKey::of("never")));
}

#[test]
fn an_override_wins_over_the_text() {
    let definitions = definitions(&[json!({"id": "a"}), json!({"id": "b", "status": "paused"})]);
    let entries = [
        CatalogEntry { definition: &definitions[0], version: 3, status: Status::Paused },
        CatalogEntry { definition: &definitions[1], version: 4, status: Status::Live },
    ];
    let snapshot = compile(&entries, Settings::default(), 1).unwrap();
    assert_eq!(ids(&snapshot, "home"), ["b"]);
    let versions: Vec<_> = snapshot.popups.iter().map(|popup| popup.version).collect();
    assert_eq!(versions, [3, 4]);
}

#[test]
fn ids_that_share_a_key_are_refused() {
    let definitions = definitions(&[json!({"id": "a"}), json!({"id": "b"}), json!({"id": "c"})]);
    let colliding = |id: &str| PopupKey(u64::from(id == "c"));
    let errors = compile_keyed(&entries(&definitions), Settings::default(), 1, colliding);
    let errors: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        ["popup \"b\": id: has the same hash as \"a\": give one of them another id"]
    );

    let twice = [entries(&definitions), entries(&definitions[..1])].concat();
    let errors = compile(&twice, Settings::default(), 1).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "popup \"a\": id: appears twice");
}

#[test]
fn a_catalog_holds_its_limit_of_popups_and_no_more() {
    let popups: Vec<_> = (0..=POPUPS_MAX).map(|n| json!({"id": format!("p{n}")})).collect();
    let definitions = definitions(&popups);
    let entries = entries(&definitions);
    let snapshot = compile(&entries[..POPUPS_MAX], Settings::default(), 1).unwrap();
    assert_eq!(snapshot.live("home").len(), POPUPS_MAX);
    let errors = compile(&entries, Settings::default(), 1).unwrap_err();
    assert_eq!(errors[0].to_string(), "has 10001 popups; the limit is 10000");
}

#[test]
fn settings_are_read() {
    let settings = Settings::parse("90s", 3, 2, "europe/Berlin").unwrap();
    assert_eq!(settings.quiet_time, DurationMs(90_000));
    assert_eq!((settings.max_per_day, settings.max_per_session), (3, 2));
    assert_eq!(settings.tz.iana_name(), Some("Europe/Berlin"));
    let default = Settings::default();
    assert_eq!((default.quiet_time, default.tz), (DurationMs(0), jiff::tz::TimeZone::UTC));
    assert_eq!((default.max_per_day, default.max_per_session), (0, 0));
    let error = |quiet_time, tz| Settings::parse(quiet_time, 0, 0, tz).unwrap_err().to_string();
    assert!(error("never", "UTC").starts_with("quiet_time: "));
    assert!(error("5300w", "UTC").starts_with("quiet_time: "));
    assert!(error("0s", "user").starts_with("tz: "));
}
