//! Property: whatever a server was set to for everybody, and whatever others do on it, each record
//! is in SQL exactly once in the end, and the tables hold what the embedded store makes of it.

use nudged_base::time::WallMs;
use nudged_store::FailureKind;

use super::apply::wide_journal;
use super::{Node, assert_same, dump, dump_of, migrate, reader};
use crate::keeper_node::until;
use crate::support::mariadb::{MariaDb, is_mysql};

/// Settings of a whole server that would change what our statements mean, or end them.
const ODD: [&str; 12] = [
    "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH'",
    "autocommit = 0",
    "completion_type = 1",
    "sql_select_limit = 2",
    "sql_safe_updates = 1",
    "sql_big_selects = 0",
    "unique_checks = 0",
    "max_join_size = 1",
    "time_zone = '+13:00'",
    "default_storage_engine = MyISAM",
    "innodb_lock_wait_timeout = 1",
    "transaction_isolation = 'SERIALIZABLE'",
];

#[test]
fn settings_for_everybody_change_nothing_of_what_we_say() {
    let server = MariaDb::start_with(&[
        "--lower-case-table-names=1",
        "--character-set-server=latin1",
        "--collation-server=latin1_swedish_ci",
    ]);
    for setting in ODD {
        // MariaDB calls it tx_isolation before 11.
        let other = setting.replace("transaction_isolation", "tx_isolation");
        let is_set = server.try_sql(&format!("SET GLOBAL {setting}")).is_ok();
        assert!(is_set || server.try_sql(&format!("SET GLOBAL {other}")).is_ok(), "{setting}");
    }
    migrate(&server.url());
    let mut node = Node::start(&server.url());
    let mut journal = wide_journal(20);
    for popup in 0..5 {
        journal.show("it's \\ \"many\" \u{1f600}", popup, None);
    }
    node.apply(&journal.records[..10]).unwrap();
    node.apply(&journal.records[10..]).unwrap();
    let stream = node.stream;
    node.store.shared().unwrap().heartbeat(stream, "one").unwrap();
    node.store.shared().unwrap().next_epoch(7).unwrap();
    node.store.purge_tombstones(WallMs(1)).unwrap();
    // Another connection sees all of it, and users whole.
    let mut other = Node::start(&server.url());
    assert_eq!(other.store.shared().unwrap().live_nodes(60_000).unwrap().len(), 1);
    let (users, mut found) = (["it's \\ \"many\" \u{1f600}", "user-3", "user-4"], 0);
    let unreadable = reader(&server.url()).read_users(&users, &mut |index, state| {
        assert_eq!(state, journal.state(users[index]));
        found += 1;
    });
    assert_eq!((unreadable.unwrap(), found), (0, 3));
    let back = ["sql_select_limit", "sql_mode", "max_join_size", "sql_big_selects"];
    let back = back.map(|name| format!("SET GLOBAL {name} = DEFAULT"));
    server.run_sql(&back.join("; "));
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
}

#[test]
fn a_connection_that_the_server_ended_for_idleness_is_made_anew() {
    let server = MariaDb::start();
    migrate(&server.url());
    server.run_sql("SET GLOBAL wait_timeout = 1");
    let mut node = Node::start(&server.url());
    let journal = wide_journal(40);
    let query = "SELECT COUNT(*) FROM information_schema.processlist WHERE user LIKE 'nudged%'";
    for records in journal.records.chunks(20) {
        until("the end of the connection", || server.number("nudged", query) == 0);
        // At once, and not as a failure that somebody has to see.
        assert_eq!(node.apply(records).unwrap().records, 20);
        until("the end of the connection", || server.number("nudged", query) == 0);
        assert!(node.store.catalog_version().is_ok());
    }
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
}

/// Has somebody hold a lock with these statements until a transaction of ours was undone for it.
fn held_up_by(statements: &str) {
    let server = MariaDb::start();
    migrate(&server.url());
    let mut node = Node::start(&server.url());
    // Of the same users, whose rows are there.
    let mut journal = wide_journal(10);
    (0..10).for_each(|number| journal.show(&format!("user-{number}"), number % 3 + 1, None));
    node.apply(&journal.records[..10]).unwrap();
    let undone = || -> u64 {
        let row = server.run_sql("SHOW GLOBAL STATUS LIKE 'Com_rollback'");
        row.split_whitespace().next_back().unwrap().parse().unwrap()
    };
    let before = undone();
    let held = server.hold(statements);
    std::thread::scope(|scope| {
        let applied = scope.spawn(|| node.apply(&journal.records));
        until("a transaction that gives way", || undone() > before);
        drop(held);
        let applied = applied.join().unwrap().unwrap();
        assert_eq!((applied.records, applied.skipped), (10, 10));
    });
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
}

#[test]
fn rows_that_another_transaction_holds_are_waited_for() {
    held_up_by(
        "BEGIN; UPDATE nudged.users SET session = session; \
                SELECT * FROM nudged.users FOR UPDATE;",
    );
}

#[test]
fn a_table_that_somebody_alters_is_waited_for() {
    held_up_by("LOCK TABLES nudged.user_popups WRITE;");
}

#[test]
fn a_backup_that_holds_commits_up_is_waited_for() {
    held_up_by(match is_mysql() {
        true => "FLUSH TABLES WITH READ LOCK;",
        false => {
            "BACKUP STAGE START; BACKUP STAGE FLUSH; BACKUP STAGE BLOCK_DDL; \
             BACKUP STAGE BLOCK_COMMIT;"
        }
    });
}

#[test]
fn a_server_without_a_connection_to_give_has_one_later() {
    let server = MariaDb::start_with(&["--max-connections=10"]);
    migrate(&server.url());
    let mut node = Node::start(&server.url_of_least_user("nudged"));
    let journal = wide_journal(10);
    node.apply(&journal.records[..5]).unwrap();
    server.kill_connections();
    let held: Vec<_> = std::iter::from_fn(|| server.try_hold("SELECT 1;")).take(20).collect();
    assert!((10..20).contains(&held.len()), "{} connections", held.len());
    let error = node.apply(&journal.records).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Crowded, "{error}");
    drop(held);
    until("room for a connection", || node.apply(&journal.records).is_ok());
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
}
