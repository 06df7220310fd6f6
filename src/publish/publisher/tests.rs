//! Property: a change of popups or settings is whole or nothing, is live on every shard before it
//! is answered, and what an operator set survives reloads and restarts.

mod overrides;

use super::*;
use crate::fixture::{MadeShards, Place};
use nudged_base::time::DurationMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::user::UserState;

const TWO: &str = "[[popup]]\nid = \"a\"\n[[popup]]\nid = \"b\"\npriority = 2\n";

fn statuses(snapshot: &Snapshot) -> Vec<(String, u32, Status)> {
    let tell = |popup: &nudged_domain::catalog::snapshot::Popup| {
        (popup.id.to_string(), popup.version, popup.status)
    };
    let mut statuses: Vec<_> = snapshot.popups.iter().map(tell).collect();
    statuses.sort_by(|one, other| one.0.cmp(&other.0));
    statuses
}

fn shards() -> MadeShards {
    MadeShards::start(2, &UserState::default())
}

#[test]
fn a_reload_reaches_every_shard_and_keeps_what_is_gone_as_archived() {
    let (place, shards) = (Place::with_popups(TWO), shards());
    let publisher = place.load(&shards.mesh).unwrap();
    assert!(shards.take_told().is_empty(), "shards start with the first catalog");
    assert_eq!(publisher.snapshot().version, 1);
    place.write_popups("[[popup]]\nid = \"b\"\npriority = 3\n[[popup]]\nid = \"c\"\n");
    let reloaded = publisher.reload("test").unwrap();
    assert_eq!((reloaded.version, reloaded.waiting.len()), (2, 0));
    let told = shards.take_told();
    assert_eq!(told, [(0, "catalog 2".to_owned()), (1, "catalog 2".to_owned())]);
    let want = [
        ("a".to_owned(), 1, Status::Archived),
        ("b".to_owned(), 2, Status::Live),
        ("c".to_owned(), 1, Status::Live),
    ];
    assert_eq!(statuses(&publisher.snapshot()), want);
    assert_eq!(publisher.current().popups.len(), 3);
}

#[test]
fn what_is_wrong_changes_nothing_and_is_named_with_its_line() {
    let (place, shards) = (Place::with_popups(TWO), shards());
    let publisher = place.load(&shards.mesh).unwrap();
    let before = statuses(&publisher.snapshot());
    place.change(|config| config.max_per_day = 7);
    place.write_popups("[[popup]]\nid = \"a\"\npriority = 9\n[[popup]]\nid = \"B\"\nx = 1\n");
    let lines = publisher.reload("test").unwrap_err().lines();
    let file = place.popups_path().display().to_string();
    assert!(lines.len() >= 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with(&format!("{file}:"))), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("{file}:6: "))), "{lines:?}");
    std::fs::remove_file(place.popups_path()).unwrap();
    assert!(matches!(publisher.reload("test"), Err(PublishError::File { .. })));
    *place.config.lock().unwrap() = Err(ConfigRefused(vec!["nudged.toml:1: x".to_owned()]));
    assert_eq!(publisher.reload("test").unwrap_err().lines(), ["nudged.toml:1: x"]);
    assert_eq!(statuses(&publisher.snapshot()), before);
    assert_eq!(publisher.snapshot().settings.max_per_day, 0);
    assert_eq!(publisher.config().max_per_day, 0);
    assert!(shards.take_told().is_empty());
    let logged = place.logged();
    assert!(logged.contains("popups were refused") && logged.contains("the reload was refused"));
}

#[test]
fn settings_of_decisions_change_and_others_wait() {
    let (place, shards) = (Place::with_popups(TWO), shards());
    let publisher = place.load(&shards.mesh).unwrap();
    place.change(|config| {
        config.quiet_time = DurationMs(5_000);
        config.tz = "Europe/Berlin".to_owned();
        config.cors.origins = vec!["https://shop.example".to_owned()];
        config.pin = false;
        config.journal.bytes_max += 1;
    });
    let reloaded = publisher.reload("test").unwrap();
    assert_eq!(reloaded.applied, ["tz", "quiet_time", "cors.origins"]);
    assert_eq!(reloaded.waiting, ["pin", "journal.bytes_max"]);
    let settings = &publisher.snapshot().settings;
    assert_eq!(settings.quiet_time, DurationMs(5_000));
    assert_eq!(settings.tz.iana_name(), Some("Europe/Berlin"));
    let told = shards.take_told();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().any(|(shard, text)| *shard == 1 && text.contains("shop.example")));
    let config = publisher.config();
    assert!(config.pin && config.cors.origins.len() == 1, "what waits is not running");
    let mut waits = vec![said_to_wait(&place)];
    for change in [|_: &mut Config| {}, |config: &mut Config| config.journal.bytes_max += 1] {
        place.change(change);
        assert_eq!(publisher.reload("test").unwrap().waiting, ["pin", "journal.bytes_max"]);
        waits.push(said_to_wait(&place));
    }
    assert_eq!(waits, [1, 0, 1], "once for each change");
}

/// How often settings were said to wait.
fn said_to_wait(place: &Place) -> usize {
    place.logged().matches("takes effect at the next restart").count()
}

#[test]
fn without_a_file_what_is_stored_is_the_catalog() {
    let (place, shards) = (Place::with_popups(TWO), shards());
    drop(place.load(&shards.mesh).unwrap());
    place.change(|config| config.popups = None);
    let publisher = place.load(&shards.mesh).unwrap();
    let live = statuses(&publisher.snapshot());
    assert!(live.len() == 2 && live.iter().all(|(_, _, status)| *status == Status::Live));
    place.write_popups("[[popup]]\nid = \"a\"\nid = 3");
    place.change(|config| config.popups = Some(place.popups_path()));
    assert!(place.load(&shards.mesh).is_err(), "a node does not start with a bad file");
}

#[test]
fn a_json_file_and_one_that_is_no_text() {
    let shards = shards();
    let place = Place::with_popups("");
    let json = place.directory.path().join("popups.json");
    std::fs::write(&json, "[{\"id\": \"j\"}]").unwrap();
    place.change(|config| config.popups = Some(json));
    assert_eq!(place.load(&shards.mesh).unwrap().snapshot().popups.len(), 1);
    std::fs::write(place.popups_path(), b"\xff").unwrap();
    place.change(|config| config.popups = Some(place.popups_path()));
    assert!(matches!(place.load(&shards.mesh), Err(PublishError::File { .. })));
}

#[test]
fn keys_are_asked_for_on_every_listener() {
    use nudged_config::SecretText;
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap()],
        keys: nudged_config::KeySettings {
            server: vec![SecretText::new("0123456789abcdef".to_owned())],
            public: Vec::new(),
        },
        ..Config::default()
    };
    let asked = |config: &Config| {
        rules_of(config).access.iter().map(Access::is_required).collect::<Vec<_>>()
    };
    assert_eq!(asked(&config), [true, true]);
    assert_eq!(asked(&Config { keys: Default::default(), ..config.clone() }), [false, false]);
}
