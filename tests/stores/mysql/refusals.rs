//! Property: what the server refuses for good goes to the dead-letter file and nothing else does;
//! what it refuses for now stays in the journal.

use nudged_base::ids::Sequence;
use nudged_base::time::WallMs;
use nudged_store::dead_letter;
use nudged_store::{CatalogChange, FailureKind, Store, StoreError};

use super::apply::wide_journal;
use super::{Node, assert_same, config, database, dump, dump_of, migrate, reader, shared};
use crate::support::mariadb::MariaDb;
use nudged_histories::Journal;

fn letters(node: &Node) -> Vec<String> {
    let path = node.directory.path().join(dead_letter::FILE_NAME);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_row_that_the_table_refuses_goes_to_the_dead_letters_alone() {
    let name = database();
    shared().run_sql(&format!("ALTER TABLE {name}.users MODIFY user_id VARBINARY(8) NOT NULL"));
    let mut node = Node::start(&shared().url_of(&name));
    let mut journal = Journal::new();
    for number in 0..40 {
        let long = if number == 7 || number == 31 { "-is-too-long" } else { "" };
        journal.show(&format!("u{number}{long}"), 0, None);
    }
    let applied = node.apply(&journal.records).unwrap();
    assert_eq!((applied.records, applied.rejected, applied.skipped), (38, 2, 0));
    assert_eq!(node.position(), Sequence(40));
    let letters = letters(&node);
    let numbers: Vec<_> = letters
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].clone())
        .collect();
    assert_eq!(numbers, [8, 32]);
    assert!(letters[0].contains("1406"), "the reason is there: {}", letters[0]);
    assert_eq!(shared().number(&name, "SELECT count(*) FROM events"), 38);
}

#[test]
fn a_small_packet_is_kept_to_and_one_that_shrinks_is_found_out() {
    let server = MariaDb::start();
    server.run_sql("SET GLOBAL max_allowed_packet = 65536");
    migrate(&server.url());
    let mut node = Node::start(&server.url());
    let journal = wide_journal(900);
    node.apply(&journal.records[..400]).unwrap();
    // The connection believes in 64 KiB until the server says otherwise.
    server.run_sql("SET GLOBAL max_allowed_packet = 8192");
    server.kill_connections();
    node.apply(&journal.records[400..]).unwrap();
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
    assert!(letters(&node).is_empty());
    // More users than one statement of this server can name.
    let users: Vec<String> = (0..900).map(|number| format!("user-{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut found = vec![false; users.len()];
    let read = reader(&server.url()).read_users(&names, &mut |index, state| {
        found[index] = state == journal.state(names[index]);
    });
    assert_eq!((read.unwrap(), found.iter().all(|is_same| *is_same)), (0, true));
}

#[test]
fn a_change_larger_than_a_packet_is_refused_before_it_is_sent() {
    let server = MariaDb::start_with(&["--max-allowed-packet=16384"]);
    migrate(&server.url());
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::of(&config(&server.url(), directory.path())).unwrap();
    let text = |bytes: usize| format!("{{\"id\":\"p\",\"content\":{{\"t\":\"{:0>bytes$}\"}}}}", 0);
    let (small, large) = (text(100), text(20_000));
    let mut change = |change| store.change_catalog(None, change, "test", WallMs(1));
    let put = |text| CatalogChange::Put { id: "p", text, is_rollback: false };
    let file = [("p", large.as_str())];
    for refused in [put(large.as_str()), CatalogChange::File(&file)] {
        let error = change(refused).unwrap_err();
        assert_eq!(error.kind(), FailureKind::PacketTooLarge, "{error}");
        let said = error.to_string();
        for part in ["max_allowed_packet", "16384", "bytes"] {
            assert!(said.contains(part), "{said}");
        }
    }
    // The connection and its next transaction are as good as before.
    let stored = change(put(small.as_str())).unwrap();
    assert_eq!((stored.popups.len(), stored.popups[0].version), (1, 1));
}

#[test]
fn a_server_that_takes_no_writes_now_takes_them_later() {
    let server = MariaDb::start();
    migrate(&server.url());
    let mut node = Node::start(&server.url_of_least_user("nudged"));
    let journal = wide_journal(10);
    node.apply(&journal.records[..5]).unwrap();
    server.run_sql("SET GLOBAL read_only = 1");
    let error = node.apply(&journal.records).unwrap_err();
    assert_eq!(error.kind(), FailureKind::ReadOnly, "{error}");
    server.run_sql("SET GLOBAL read_only = 0");
    assert_eq!(node.apply(&journal.records).unwrap().records, 5);
    assert!(letters(&node).is_empty());
}

#[test]
fn a_table_that_is_gone_is_the_schema_and_no_bad_row() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let journal = wide_journal(10);
    shared().run_sql(&format!("RENAME TABLE {name}.popup_stats TO {name}.away"));
    let error = node.apply(&journal.records).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Schema);
    assert!(error.to_string().contains("nudged migrate"), "{error}");
    shared().run_sql(&format!("RENAME TABLE {name}.away TO {name}.popup_stats"));
    assert_eq!(node.apply(&journal.records).unwrap().records, 10);
}

#[test]
fn a_wrong_password_and_a_missing_schema_are_told_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let url = shared().url().replace("secret", "wr0ng");
    let mut store = Store::of(&config(&url, directory.path())).unwrap();
    let error = store.check().unwrap_err();
    assert_eq!(error.kind(), FailureKind::Denied);
    assert!(!error.to_string().contains("wr0ng") && !format!("{store:?}").contains("wr0ng"));
    let name = crate::support::mariadb::shared_database();
    let mut store = Store::of(&config(&shared().url_of(&name), directory.path())).unwrap();
    let error = store.check().unwrap_err();
    assert!(matches!(error, StoreError::SchemaOlder { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("run `nudged migrate`"), "{error}");
}
