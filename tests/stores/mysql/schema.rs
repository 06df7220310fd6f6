//! Property: the schema is made once, by whoever comes first, and an unfinished migration is
//! finished by the next.

use std::path::Path;

use nudged::base::time::WallMs;
use nudged::store::{Store, StoreError, mysql};

use super::{config, database, shared};
use crate::support::mariadb::shared_database;

#[test]
fn migrations_at_once_and_again_do_it_once() {
    let name = shared_database();
    let _ = shared().url_of_least_user(&name);
    let url = shared().url_of_migrator(&name);
    let config = config(&url, Path::new("/nowhere"));
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| mysql::migrate(&config, WallMs(5)).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results.iter().filter(|result| **result == (0, 1)).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == (1, 1)).count(), 3, "{results:?}");
    assert_eq!(shared().number(&name, "SELECT count(*) FROM schema_version"), 1);
}

#[test]
fn one_that_was_cut_off_is_finished() {
    let name = database();
    // As after a kill: some tables are there, the version is not.
    shared().run_sql(&format!(
        "USE {name}; DELETE FROM schema_version; DROP TABLE events; DROP TABLE arbiter;"
    ));
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    assert_eq!(mysql::migrate(&config, WallMs(5)).unwrap(), (0, 1));
    assert_eq!(shared().number(&name, "SELECT count(*) FROM events"), 0);
    assert_eq!(shared().number(&name, "SELECT count(*) FROM arbiter"), 1);
    assert!(Store::of(&config).unwrap().check().is_ok());
}

#[test]
fn a_newer_schema_is_left_alone() {
    let name = database();
    shared().run_sql(&format!("INSERT INTO {name}.schema_version VALUES (99, 1)"));
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    let result = mysql::migrate(&config, WallMs(5));
    assert!(matches!(result, Err(StoreError::SchemaNewer { found: 99, .. })), "{result:?}");
    let result = Store::of(&config).unwrap().check();
    assert!(matches!(result, Err(StoreError::SchemaNewer { found: 99, .. })), "{result:?}");
}
