//! Properties of moves that are refused: a directory is served with the database that has its
//! users and with no other, and nobody is moved beside a node that may know more than its database.

use std::fs;

use crate::growing::{POPUPS, embedded, migrate};
use crate::harness::{Setup, run};
use crate::support::mariadb::{shared, shared_database};

/// A line of `nudged export users`.
const USER: &str = "{\"kind\":\"user\",\"user_id\":\"ann\",\"revision\":[0,1],\
     \"last_counted_at\":null,\"day_shows\":0,\"session\":\"0000000000000000\",\
     \"session_shows\":0,\"popups\":[]}\n";

#[test]
fn a_directory_is_served_with_the_database_that_has_its_users_and_no_other() {
    // Whose journal is empty: what knows the directory is not its journal's id.
    let embedded = embedded();
    let lines = embedded.path("users.nd");
    fs::write(&lines, USER).unwrap();
    let data = embedded.data().to_str().unwrap().to_owned();
    let imported = run(&embedded.path(""), &["import", "--data", &data, "users.nd"]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let [one, other] = [shared_database(), shared_database()];
    let url = |database: &str| shared().url_of(database);
    let node = |url: &str| {
        let config = format!("[mysql]\nurl = \"{url}\"\n[limits]\nread_deadline = \"2s\"\n");
        Setup::new(POPUPS).config(&config).data_in(embedded.data())
    };
    let [right, wrong] = [node(&url(&one)), node(&url(&other))];
    for node in [&right, &wrong] {
        let made = run(&node.path(""), &["migrate", "--config", "nudged.toml"]);
        assert_eq!(made.code, Some(0), "{made:?}");
    }
    let moved = migrate(&right, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    let is_refused = |why: &str| {
        let refused = wrong.start_fails(&[]);
        assert_eq!(refused.code, Some(4), "{refused:?}");
        for wanted in [why, &format!("/{one}"), &format!("/{other}")] {
            assert!(refused.stderr.contains(wanted), "{wanted}: {refused:?}");
        }
    };
    is_refused("its 1 users");
    let again = migrate(&wrong, embedded.data());
    assert_eq!(again.code, Some(4), "{again:?}");
    let away = node(&format!("mysql://nudged@127.0.0.1:1/{other}"));
    let refused = away.start_fails(&[]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("can't be asked"), "{refused:?}");
    right.start().stop();

    // One that was never moved: its journal may be whole, and others' users are there all the same.
    fs::remove_dir_all(embedded.data()).unwrap();
    let server = right.start();
    server.client().decide("bob").token().unwrap();
    server.stop();
    is_refused("its 1 users");
    let server = right.start();
    assert_eq!(server.client().decide("bob").reason(), "gap");
    server.stop();
}
