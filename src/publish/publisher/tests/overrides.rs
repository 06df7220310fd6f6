//! Property: a pause holds on every shard when it is answered and until it is resumed, whatever
//! becomes of SQL, file and restarts; a resume gives the popup its own status back and says where
//! that is set; a file that changes nothing, or lost its popups, changes nothing.

use std::time::Instant;

use super::*;
use crate::overrides::Couriers;
use nudged_base::limits::OVERRIDES_OF_POPUP_MAX;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind, OverridePlace};
use nudged_domain::ended::Ended;

fn context<'a>(id: &'a str, who: &'a str) -> EditContext<'a> {
    EditContext { id, who, expected: None }
}

const PAUSE: OverrideRequest = OverrideRequest::Set(OverrideKind::Pause);

fn status(publisher: &Publisher, id: &str) -> Status {
    publisher.current().find(id).unwrap().status
}

fn until_stored(publisher: &Publisher, id: &str, place: OverridePlace) {
    let until = Instant::now() + std::time::Duration::from_secs(20);
    while publisher.with_overrides(|all| all.stored(id)) < place {
        assert!(Instant::now() < until, "{id} does not come to {}", place.word());
        publisher.await_stored(id, Instant::now() + std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_pause_wins_until_it_is_resumed_and_survives() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    {
        let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
        let paused = publisher.override_popup(context("a", "alice"), PAUSE).unwrap();
        assert_eq!((paused.known.status, paused.stored), (Status::Paused, OverridePlace::Memory));
        let told = shards.take_told();
        assert_eq!(told, [(0, "catalog 2".to_owned()), (1, "catalog 2".to_owned())]);
        publisher.override_popup(context("a", "alice"), PAUSE).unwrap();
        assert!(shards.take_told().is_empty(), "what holds already changes nothing");
        let unknown = publisher.override_popup(context("zz", "alice"), PAUSE).unwrap_err();
        assert!(matches!(unknown, PublishError::NoSuchPopup));
        // A file changes what it changes, and no more.
        directory.write_popups("[[popup]]\nid = \"a\"\npriority = 1\n");
        publisher.reload("test").unwrap();
        let gone =
            publisher.override_popup(context("b", "alice"), OverrideRequest::Resume).unwrap_err();
        assert!(matches!(&gone, PublishError::OwnStatus(why) if why.contains("popups.toml")));
        let couriers = Couriers::start(&publisher, &Arc::default(), &directory.log).unwrap();
        until_stored(&publisher, "a", OverridePlace::Sql);
        drop(couriers);
    }
    let publisher = load(&directory, &shards.mesh).unwrap();
    let want = [("a".to_owned(), 2, Status::Paused), ("b".to_owned(), 1, Status::Archived)];
    assert_eq!(statuses(&publisher.snapshot()), want);
    let resumed = publisher.override_popup(context("a", "bob"), OverrideRequest::Resume).unwrap();
    assert_eq!((resumed.known.status, resumed.warnings.len()), (Status::Live, 0));
    let again = publisher.override_popup(context("a", "bob"), OverrideRequest::Resume).unwrap();
    assert_eq!(again.known.status, Status::Live, "there is nothing to end");
}

#[test]
fn after_a_resume_the_files_own_status_counts_again() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    publisher.override_popup(context("a", "x"), PAUSE).unwrap();
    publisher
        .override_popup(context("a", "x"), OverrideRequest::Set(OverrideKind::Archive))
        .unwrap();
    directory.write_popups("[[popup]]\nid = \"a\"\nstatus = \"draft\"\n[[popup]]\nid = \"b\"\n");
    publisher.reload("test").unwrap();
    assert_eq!(status(&publisher, "a"), Status::Archived);
    let resumed = publisher.override_popup(context("a", "x"), OverrideRequest::Resume).unwrap();
    assert_eq!(resumed.known.status, Status::Draft);
    let [warning] = &resumed.warnings[..] else { panic!("{:?}", resumed.warnings) };
    assert!(warning.contains("popups.toml") && warning.contains("draft"), "{warning}");
    let refused = publisher.override_popup(context("a", "x"), OverrideRequest::Resume).unwrap_err();
    assert!(matches!(&refused, PublishError::OwnStatus(why) if why == warning), "{refused}");
    directory.write_popups(TWO);
    publisher.reload("test").unwrap();
    assert_eq!(status(&publisher, "a"), Status::Live);
}

#[test]
fn a_pause_among_many_popups_copies_no_content() {
    let popups: Vec<String> = (0..300)
        .map(|number| {
            let text = "x".repeat(1_000);
            format!("{{\"id\":\"p{number}\",\"content\":{{\"t\":\"{text}\"}}}}")
        })
        .collect();
    let (directory, shards) = (NodeDirectory::with_popups(""), shards());
    let json = directory.path().join("popups.json");
    std::fs::write(&json, format!("[{}]", popups.join(","))).unwrap();
    directory.change(|config| config.popups = Some(json));
    let publisher = load(&directory, &shards.mesh).unwrap();
    let before = publisher.snapshot();
    publisher.override_popup(context("p77", "x"), PAUSE).unwrap();
    let after = publisher.snapshot();
    assert!(!Arc::ptr_eq(&before, &after));
    let is_shared = |one: &nudged_domain::catalog::snapshot::Popup, other: &_| -> bool {
        let other: &nudged_domain::catalog::snapshot::Popup = other;
        one.id == other.id && Arc::ptr_eq(&one.variants, &other.variants)
    };
    assert!(before.popups.iter().zip(&after.popups).all(|(one, other)| is_shared(one, other)));
}

#[test]
fn where_the_file_cannot_be_written_a_pause_holds_in_memory_with_one_error() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    // Something that is no file stands in its directory.
    std::fs::create_dir(directory.path().join("overrides")).unwrap();
    let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
    let held = rusqlite::Connection::open(directory.path().join("nudged.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let couriers = Couriers::start(&publisher, &Arc::default(), &directory.log).unwrap();
    let mut logged = String::new();
    let begun = Instant::now();
    while !logged.contains("can't be written") {
        assert!(begun.elapsed().as_secs() < 20);
        logged.push_str(&directory.logged());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let paused = publisher.override_popup(context("a", "x"), PAUSE).unwrap();
    assert_eq!((paused.known.status, paused.stored), (Status::Paused, OverridePlace::Memory));
    // Longer than it takes to try again.
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    logged.push_str(&directory.logged());
    assert_eq!(logged.matches("can't be written").count(), 1, "{logged}");
    drop(held);
    until_stored(&publisher, "a", OverridePlace::Sql);
    std::fs::remove_dir(directory.path().join("overrides")).unwrap();
    while publisher.with_overrides(|all| all.not_in(OverridePlace::Node).next().is_some()) {
        assert!(begun.elapsed().as_secs() < 40);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    drop(couriers);
}

#[test]
fn a_restart_without_sql_finds_the_pause_in_the_file() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    {
        let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
        // SQL takes nothing: somebody else has the database.
        let held = rusqlite::Connection::open(directory.path().join("nudged.db")).unwrap();
        held.execute_batch("BEGIN IMMEDIATE").unwrap();
        let couriers = Couriers::start(&publisher, &Arc::default(), &directory.log).unwrap();
        let begun = Instant::now();
        publisher.override_popup(context("a", "x"), PAUSE).unwrap();
        println!("held after {:?}", begun.elapsed());
        until_stored(&publisher, "a", OverridePlace::Node);
        assert_eq!(publisher.with_overrides(|all| all.stored("a")), OverridePlace::Node);
        drop(held);
        drop(couriers);
    }
    // And SQL has lost what it was brought, if it was.
    let database = rusqlite::Connection::open(directory.path().join("nudged.db")).unwrap();
    database.execute_batch("DELETE FROM override_entries").unwrap();
    drop(database);
    let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
    assert_eq!(status(&publisher, "a"), Status::Paused);
    let _couriers = Couriers::start(&publisher, &Arc::default(), &directory.log).unwrap();
    until_stored(&publisher, "a", OverridePlace::Sql);
}

#[test]
fn what_sql_has_ended_ends_here_however_old_the_file_is() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
    let couriers = Couriers::start(&publisher, &Arc::default(), &directory.log).unwrap();
    publisher.override_popup(context("a", "x"), PAUSE).unwrap();
    until_stored(&publisher, "a", OverridePlace::Sql);
    drop(couriers);
    let file = directory.path().join("overrides");
    let old = std::fs::read(&file).unwrap();
    // Another process ends it, and this one's file does not hear of it.
    let database = rusqlite::Connection::open(directory.path().join("nudged.db")).unwrap();
    database
        .execute_batch(
            "UPDATE override_entries SET ended_at = 9, ended_by = 'other';
             UPDATE catalog_version SET version = version + 1;",
        )
        .unwrap();
    publisher.refresh().unwrap();
    assert_eq!(status(&publisher, "a"), Status::Live);
    std::fs::write(&file, old).unwrap();
    let publisher = load(&directory, &shards.mesh).unwrap();
    assert_eq!(status(&publisher, "a"), Status::Live, "an ended one never returns");
}

#[test]
fn a_reload_that_changes_nothing_makes_no_version_and_no_line() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    directory.logged();
    for _ in 0..2 {
        let reloaded = publisher.reload("test").unwrap();
        assert_eq!((reloaded.version, reloaded.is_changed), (1, false));
    }
    directory.write_popups(&format!("# Only a comment is new.\n{TWO}"));
    assert_eq!(publisher.reload("test").unwrap().version, 1);
    assert!(shards.take_told().is_empty());
    assert_eq!(directory.logged(), "");
    // Settings of decisions are what decisions go by, too.
    directory.change(|config| config.max_per_day = 3);
    assert_eq!(publisher.reload("test").unwrap().version, 2);
    assert_eq!(shards.take_told().len(), 2);
}

#[test]
fn a_file_that_lost_its_popups_is_refused_and_one_that_means_it_is_not() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    for text in ["", "# cut off\n", "\n"] {
        directory.write_popups(text);
        let lines = publisher.reload("test").unwrap_err().lines();
        assert!(lines[0].contains("popup = []") && lines[0].contains("2 live ones"), "{lines:?}");
        assert!(load(&directory, &shards.mesh).is_err(), "nor at start");
    }
    assert_eq!(status(&publisher, "a"), Status::Live);
    directory.write_popups("popup = []\n");
    publisher.reload("test").unwrap();
    assert_eq!(status(&publisher, "a"), Status::Archived);
    directory.write_popups("");
    publisher.reload("test").unwrap();
    let json = directory.path().join("popups.json");
    directory.change(|config| config.popups = Some(json.clone()));
    for (text, is_taken) in [("[{\"id\":\"a\"}]", true), ("{}", false), ("[]", true)] {
        std::fs::write(&json, text).unwrap();
        assert_eq!(publisher.reload("test").is_ok(), is_taken, "{text}");
    }
}

#[test]
fn a_files_own_pauses_hold_while_sql_does_not_answer() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
    let held = rusqlite::Connection::open(directory.path().join("nudged.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    directory.write_popups("[[popup]]\nid = \"a\"\nstatus = \"paused\"\npriority = 9\n");
    let reloading = {
        let publisher = Arc::clone(&publisher);
        std::thread::spawn(move || publisher.reload("test"))
    };
    let begun = Instant::now();
    while status(&publisher, "a") == Status::Live {
        assert!(begun.elapsed().as_secs() < 3, "before SQL gives up");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let current = publisher.current();
    let (a, b) = (current.find("a").unwrap(), current.find("b").unwrap());
    assert_eq!((a.status, a.override_status), (Status::Paused, None));
    assert_eq!((b.status, b.own), (Status::Archived, Status::Archived), "gone from the file");
    assert_eq!(a.stored.version, 1, "the rest of the file waits for SQL");
    // SQLite is waited for 5 s; then the rest of the file waits.
    let reloaded = reloading.join().unwrap().unwrap();
    assert!(
        reloaded
            .warnings
            .iter()
            .any(|line| line.contains("is locked") && line.contains("when SQL answers")),
        "{reloaded:?}"
    );
    assert!(publisher.is_file_pending());
    let refused = publisher.override_popup(context("a", "x"), OverrideRequest::Resume).unwrap_err();
    assert!(matches!(refused, PublishError::OwnStatus(_)), "no override, no resume");
    drop(held);
    publisher.refresh().unwrap();
    assert!(!publisher.is_file_pending());
    let current = publisher.current();
    let a = current.find("a").unwrap();
    assert_eq!((a.status, a.stored.version), (Status::Paused, 2));
    directory.write_popups(TWO);
    publisher.reload("test").unwrap();
    assert_eq!(status(&publisher, "a"), Status::Live);
}

#[test]
fn what_makes_and_ends_no_entry_is_no_change() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    directory.logged();
    for (ask, lines) in [
        (OverrideRequest::Resume, 0),
        (PAUSE, 1),
        (OverrideRequest::Resume, 1),
        (OverrideRequest::Resume, 0),
    ] {
        publisher.override_popup(context("a", "x"), ask).unwrap();
        let logged = directory.logged();
        assert_eq!(logged.matches("popup_changed").count(), lines, "{ask:?}: {logged}");
    }
    // More than the log would tell one by one.
    let most = OVERRIDES_OF_POPUP_MAX;
    let archive = OverrideRequest::Set(OverrideKind::Archive);
    let cases =
        [(PAUSE, most), (PAUSE, 0), (archive, most), (archive, 0), (OverrideRequest::Resume, 1)];
    for (ask, changes) in cases {
        let of_each = (0..most)
            .map(|_| publisher.override_now(context("a", "x"), ask, &mut |_| {}).unwrap().2);
        assert_eq!(of_each.filter(|is_change| *is_change).count(), changes, "{ask:?}");
    }
    assert_eq!(publisher.with_overrides(|all| all.all().count()), 2 * most + 1);
}

#[test]
fn of_what_others_did_only_that_is_news_which_changes_something_here() {
    let (directory, shards) = (NodeDirectory::with_popups(TWO), shards());
    let publisher = load(&directory, &shards.mesh).unwrap();
    let entry = |id: u128, end: Option<Ended>| {
        let (popup, who) = ("a".into(), "x".into());
        Override { id: OverrideId(id), popup, kind: OverrideKind::Pause, at: WallMs(1), who, end }
    };
    let end = || Some(Ended { at: WallMs(9), who: "y".into() });
    // What is heard, whether it is news, and what holds then.
    let cases = [
        (entry(1, end()), false, Status::Live),
        (entry(2, None), true, Status::Paused),
        (entry(2, None), false, Status::Paused),
        (entry(1, None), false, Status::Paused),
        (entry(2, end()), true, Status::Live),
        (entry(2, end()), false, Status::Live),
    ];
    for (index, (heard, is_news, holds)) in cases.into_iter().enumerate() {
        let news =
            publisher.take_overrides(std::slice::from_ref(&heard), OverridePlace::Redis).unwrap();
        assert_eq!(news, if is_news { vec![heard] } else { vec![] }, "{index}");
        assert_eq!(status(&publisher, "a"), holds, "{index}");
    }
    assert_eq!(publisher.with_overrides(|all| all.all().count()), 2, "all are remembered");
}
