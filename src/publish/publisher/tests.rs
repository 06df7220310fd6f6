//! Property: a change of popups or settings is whole or nothing, is live on every shard before it
//! is answered, and what an operator set survives reloads and restarts.

mod overrides;

use std::time::Duration;

use super::settings::rules_of;
use super::*;
use crate::watch::Watcher;
use nudged_api::access::Access;
use nudged_base::limits::FILE_STATUSES_MS;
use nudged_base::time::{DurationMs, WallMs};
use nudged_domain::catalog::snapshot::{Snapshot, Status};
use nudged_domain::state::user::UserState;
use nudged_publishing::{FakeShards, NodeDirectory};
use nudged_store::{CatalogChange, StoreReader};

const TWO: &str = "[[popup]]\nid = \"a\"\n[[popup]]\nid = \"b\"\npriority = 2\n";

fn statuses(snapshot: &Snapshot) -> Vec<(String, u32, Status)> {
    let tell = |popup: &nudged_domain::catalog::snapshot::Popup| {
        (popup.id.to_string(), popup.version, popup.status)
    };
    let mut statuses: Vec<_> = snapshot.popups.iter().map(tell).collect();
    statuses.sort_by(|one, other| one.0.cmp(&other.0));
    statuses
}

fn load(directory: &NodeDirectory, mesh: &Arc<Mesh>) -> Result<Publisher, PublishError> {
    let config = Arc::clone(&directory.config);
    let read = move || config.lock().unwrap().clone().map_err(ConfigRefused);
    Publisher::load(PublisherSetup {
        store: Store::open(directory.path()).unwrap(),
        is_store_there: true,
        config: read().unwrap(),
        read_config: Box::new(read),
        mesh: Arc::clone(mesh),
        log: directory.log.clone(),
    })
}

fn shards() -> FakeShards {
    FakeShards::start(2, &UserState::default())
}

#[test]
fn a_reload_reaches_every_shard_and_keeps_what_is_gone_as_archived() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    assert!(shards.take_told().is_empty(), "shards start with the first catalog");
    assert_eq!(publisher.snapshot().version, 1);
    directory.write_popups("[[popup]]\nid = \"b\"\npriority = 3\n[[popup]]\nid = \"c\"\n");
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
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    let before = statuses(&publisher.snapshot());
    directory.change(|config| config.max_per_day = 7);
    directory.write_popups("[[popup]]\nid = \"a\"\npriority = 9\n[[popup]]\nid = \"B\"\nx = 1\n");
    let lines = publisher.reload("test").unwrap_err().lines();
    let file = directory.popups_path().display().to_string();
    assert!(lines.len() >= 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with(&format!("{file}:"))), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("{file}:6: "))), "{lines:?}");
    std::fs::remove_file(directory.popups_path()).unwrap();
    assert!(matches!(publisher.reload("test"), Err(PublishError::File { .. })));
    *directory.config.lock().unwrap() = Err(vec!["nudged.toml:1: x".to_owned()]);
    assert_eq!(publisher.reload("test").unwrap_err().lines(), ["nudged.toml:1: x"]);
    assert_eq!(statuses(&publisher.snapshot()), before);
    assert_eq!(publisher.snapshot().settings.max_per_day, 0);
    assert_eq!(publisher.config().max_per_day, 0);
    assert!(shards.take_told().is_empty());
    let logged = directory.logged();
    assert!(logged.contains("popups were refused") && logged.contains("the reload was refused"));
}

#[test]
fn settings_of_decisions_change_and_others_wait() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    directory.change(|config| {
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
    let mut waits = vec![said_to_wait(&directory)];
    for change in [|_: &mut Config| {}, |config: &mut Config| config.journal.bytes_max += 1] {
        directory.change(change);
        assert_eq!(publisher.reload("test").unwrap().waiting, ["pin", "journal.bytes_max"]);
        waits.push(said_to_wait(&directory));
    }
    assert_eq!(waits, [1, 0, 1], "once for each change");
}

/// How often settings were said to wait.
fn said_to_wait(directory: &NodeDirectory) -> usize {
    directory.logged().matches("takes effect at the next restart").count()
}

#[test]
fn without_a_file_what_is_stored_is_the_catalog() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    drop(load(&directory, &shards.mesh).unwrap());
    directory.change(|config| config.popups = None);
    let publisher = load(&directory, &shards.mesh).unwrap();
    let live = statuses(&publisher.snapshot());
    assert!(live.len() == 2 && live.iter().all(|(_, _, status)| *status == Status::Live));
    directory.write_popups("[[popup]]\nid = \"a\"\nid = 3");
    directory.change(|config| config.popups = Some(directory.popups_path()));
    assert!(load(&directory, &shards.mesh).is_err(), "a node does not start with a bad file");
}

#[test]
fn a_json_file_and_one_that_is_no_text() {
    let shards = shards();
    let directory = NodeDirectory::with_popups("");
    let json = directory.path().join("popups.json");
    std::fs::write(&json, "[{\"id\": \"j\"}]").unwrap();
    directory.change(|config| config.popups = Some(json));
    assert_eq!(load(&directory, &shards.mesh).unwrap().snapshot().popups.len(), 1);
    std::fs::write(directory.popups_path(), b"\xff").unwrap();
    directory.change(|config| config.popups = Some(directory.popups_path()));
    assert!(matches!(load(&directory, &shards.mesh), Err(PublishError::File { .. })));
}

#[test]
fn a_change_behind_one_that_sql_holds_up_is_refused_in_time_and_changes_nothing() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let mut publisher = load(&directory, &shards.mesh).unwrap();
    publisher.turn_max = Duration::from_millis(10);
    let held_up = publisher.changing.take_within(Duration::ZERO).unwrap();
    assert!(matches!(publisher.refresh(), Err(PublishError::Late(_))));
    assert_eq!(publisher.late(), 0, "nobody asked for that");
    let context = EditContext { id: "c", who: "ann", expected: None };
    let late = publisher.change(context, &PopupEdit::Delete).unwrap_err();
    assert!(matches!(late, PublishError::Late(_)), "{late}");
    assert!(late.to_string().contains("try again"), "{late}");
    assert_eq!((publisher.late(), publisher.snapshot().version), (1, 1));
    assert!(!publisher.is_file_pending(), "which the watch asks for, and never waits");
    drop(held_up);
    let next = publisher.change(context, &PopupEdit::Delete).unwrap_err();
    assert!(matches!(next, PublishError::NoSuchPopup), "{next}");
    assert!(shards.take_told().is_empty());
}

#[test]
fn what_is_not_taken_over_in_time_is_not_taken_for_what_sql_has() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let mut publisher = load(&directory, &shards.mesh).unwrap();
    publisher.turn_max = Duration::from_millis(10);
    let publisher = Arc::new(publisher);
    let reader = StoreReader::open(directory.path()).unwrap();
    let mut watcher = Watcher::new(Arc::clone(&publisher), reader, directory.log.clone());
    assert!(watcher.look_at_sql().unwrap());
    let held_up = publisher.changing.take_within(Duration::ZERO).unwrap();
    let text = "{\"id\":\"c\"}";
    let change = CatalogChange::Put { id: "c", text, is_rollback: false };
    let mut other = Store::open(directory.path()).unwrap();
    other.change_catalog(None, change, "ann", WallMs(1)).unwrap();
    assert!(!watcher.look_at_sql().unwrap(), "Redis must not get what was there before");
    drop(held_up);
    assert!(watcher.look_at_sql().unwrap());
    assert!(publisher.current().find("c").is_some());
}

#[test]
fn what_a_file_pauses_holds_where_changes_before_its_reload_take_too_long() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let mut publisher = load(&directory, &shards.mesh).unwrap();
    publisher.reload_turn_max = Duration::from_millis(FILE_STATUSES_MS * 2);
    let changing = publisher.changing.take_within(Duration::ZERO).unwrap();
    directory.write_popups("[[popup]]\nid = \"a\"\nstatus = \"paused\"\n[[popup]]\nid = \"b\"\n");
    assert!(matches!(publisher.reload("test"), Err(PublishError::Late(_))));
    let status = |id: &str| publisher.current().find(id).unwrap().status;
    assert_eq!((status("a"), status("b"), publisher.late()), (Status::Paused, Status::Live, 1));
    assert!(publisher.is_file_pending(), "the watch imports it");
    drop(changing);
    publisher.refresh().unwrap();
    assert!(!publisher.is_file_pending());
    let stored = Store::open(directory.path()).unwrap().load_catalog().unwrap();
    let stored = stored.popups.iter().find(|popup| popup.id == "a").unwrap();
    assert!(stored.text.contains("paused"), "{}", stored.text);
    assert_eq!(status("a"), Status::Paused);
}

#[test]
fn keys_are_asked_for_on_every_listener() {
    use nudged_config::{DataListener, SecretText};
    let config = Config {
        listen: ["127.0.0.1:0", "0.0.0.0:0"]
            .map(|text| DataListener::plain(text.parse().unwrap()))
            .into(),
        keys: nudged_config::KeySettings {
            server: vec![SecretText::new("0123456789abcdef".to_owned())],
            ..nudged_config::KeySettings::default()
        },
        ..Config::default()
    };
    let asked = |config: &Config| {
        rules_of(config).access.iter().map(Access::is_required).collect::<Vec<_>>()
    };
    assert_eq!(asked(&config), [true, true]);
    assert_eq!(asked(&Config { keys: Default::default(), ..config.clone() }), [false, false]);
}
