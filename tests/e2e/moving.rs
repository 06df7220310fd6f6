//! Properties of moves that are refused: a directory is served with the database that has its
//! users and with no other, and nobody is moved beside a node that may know more than its database.

use std::fs;

use nudged::node::migration;
use nudged_base::time::WallMs;
use nudged_config::{Config, SecretText};

use crate::growing::{POPUPS, embedded, migrate};
use crate::harness::{Setup, run, until};
use crate::support::mariadb::{shared, shared_database};
use crate::support::proxy::Proxy;

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

#[test]
fn a_database_that_comes_back_as_another_one_is_not_written_into() {
    let database = shared_database();
    let direct = shared().url_of(&database);
    let config =
        |url: &str| format!("[mysql]\nurl = \"{url}\"\n[limits]\nread_deadline = \"2s\"\n");
    let setup = Setup::new(POPUPS).config(&config(&direct));
    let migrate = ["migrate", "--config", "nudged.toml"];
    assert_eq!(run(&setup.path(""), &migrate).code, Some(0));
    let server = setup.start();
    server.client().decide("ann").token().unwrap();
    until("the copy", || setup.data().join("catalog.json").exists().then_some(()));
    server.stop();
    let number = |query: &str| shared().number(&database, query);
    let set = shared().run_sql(&format!("SELECT set_id FROM {database}.streams"));
    assert!(number("SELECT COUNT(*) FROM events") > 0);

    // Another one of the same name, behind another address, which is away as the node starts.
    shared().run_sql(&format!("DROP DATABASE {database}"));
    shared().create_database(&database);
    assert_eq!(run(&setup.path(""), &migrate).code, Some(0));
    let proxy = Proxy::to(shared().address());
    proxy.refuse();
    let behind = direct.replace(&shared().address().to_string(), &proxy.address().to_string());
    setup.write_config(&config(&behind));
    let mut server = setup.start();
    for code in ["sql_unfit", "sql_failed", "sql_away", "read_failed"] {
        server.allow(code);
    }
    proxy.heal();
    let unfit = || server.operator().get("/v1/status").json()["sql"]["unfit"].clone();
    until("it to be named", || {
        unfit().as_str().is_some_and(|why| why.contains("does not know it")).then_some(())
    });
    // What an operator changes waits as it does for one that is away.
    let paused = server.operator().ask("POST", "/v1/popups/welcome/pause", "").expect(200);
    assert_eq!(paused.json()["stored"], "node", "{paused:?}");
    server.client().get("/readyz").expect(200);
    let metrics = server.operator().get("/metrics").body;
    assert!(metrics.contains("nudged_sql_unfit 1\n"), "{metrics}");
    assert_eq!(server.lines_with("\"sql_unfit\""), 1, "{}", server.said());
    let tables = ["streams", "popups", "nodes", "override_entries", "signing_keys", "users"];
    for table in tables {
        assert_eq!(number(&format!("SELECT COUNT(*) FROM {table}")), 0, "{table} is written into");
    }

    // The right one again: it knows the directory's journal.
    let set = set.trim().lines().last().unwrap();
    shared().run_sql(&format!("INSERT INTO {database}.streams (set_id) VALUES ('{set}')"));
    until("it to be fit", || unfit().is_null().then_some(()));
    until("the pause in SQL", || {
        (number("SELECT COUNT(*) FROM override_entries") == 1).then_some(())
    });
    server.stop();
}

#[test]
fn nobody_is_moved_beside_a_node_that_may_know_more_than_its_database() {
    let embedded = embedded();
    let server = embedded.start();
    let mut client = server.client();
    client.decide("ann").token().unwrap();
    client.decide("gone").token().unwrap();
    server.operator().ask("DELETE", "/v1/users/gone", "").expect(200);
    server.stop();
    let database = shared_database();
    let config = format!("[mysql]\nurl = \"{}\"\n", shared().url_of(&database));
    let node = Setup::new(POPUPS).config(&format!("{config}[limits]\nread_deadline = \"2s\"\n"));
    assert_eq!(run(&node.path(""), &["migrate", "--config", "nudged.toml"]).code, Some(0));
    // Killed, frozen or cut off: to whoever asks the database it is the same silence.
    let server = node.start();
    let mut client = server.client();
    client.decide("gone").token().unwrap();
    let seen = "SELECT COUNT(*) FROM nodes WHERE seen_at > 0";
    until("its sign of life", || (shared().number(&database, seen) == 1).then_some(()));
    drop(client);
    server.kill();
    shared().run_sql(&format!("USE {database}; UPDATE nodes SET seen_at = seen_at - 86400000"));
    let asker = Setup::new(POPUPS).config(&config);
    let users = asker.path("users.nd");
    fs::write(&users, USER).unwrap();
    let refused = [
        migrate(&asker, embedded.data()),
        run(&asker.path(""), &["import", "--config", "nudged.toml", "users.nd"]),
    ];
    for refused in refused {
        assert_eq!(refused.code, Some(4), "{refused:?}");
        for wanted in ["did not stop cleanly", "(seen 864", "--nodes-lost"] {
            assert!(refused.stderr.contains(wanted), "{wanted}: {refused:?}");
        }
    }
    assert_eq!(shared().number(&database, "SELECT COUNT(*) FROM users WHERE user_id = 'ann'"), 0);

    // Started and stopped once it has given the database everything.
    node.start().stop();
    assert_eq!(shared().number(&database, seen), 0);
    let moved = migrate(&asker, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    for wanted in ["1 erased here has records at the target", "statistics: 1 rows"] {
        assert!(moved.stdout.contains(wanted), "{wanted}: {moved:?}");
    }

    // One that is gone for good is gone on without, once that is said.
    shared().run_sql(&format!("USE {database}; UPDATE nodes SET seen_at = 1"));
    let import = ["import", "--config", "nudged.toml", "users.nd", "--nodes-lost"];
    let imported = run(&asker.path(""), &import);
    assert_eq!(imported.code, Some(0), "{imported:?}");
}

#[test]
fn a_node_that_came_while_a_directory_was_moved_is_found_before_the_end() {
    let embedded = embedded();
    let server = embedded.start();
    server.client().decide("ann").token().unwrap();
    server.stop();
    let database = shared_database();
    let url = shared().url_of(&database);
    let mut config = Config { data: embedded.data().to_owned(), ..Config::default() };
    config.mysql.url = Some(SecretText::new(url.clone()));
    let move_all = |report: &mut migration::Report<'_>| {
        migration::run(&config, embedded.data(), (WallMs(1), false), report)
    };
    // It is gone again by then, and has decided by what there was.
    let waits = "[limits]\nread_deadline = \"2s\"\n";
    let node = Setup::new(POPUPS).config(&format!("[mysql]\nurl = \"{url}\"\n{waits}"));
    let refused = move_all(&mut |said| {
        if said.is_some_and(|said| said.starts_with("signing keys: ")) {
            let server = node.start();
            server.client().decide("ann").token().unwrap();
            server.stop();
        }
        Ok(())
    });
    let refused = refused.expect_err("somebody came");
    assert_eq!(refused.exit_code(), 4);
    assert!(refused.to_string().contains("has started in the meantime"), "{refused}");
    // A process that another test is starting has all open files, locks too, until it is another.
    until("the directory to be moved", || move_all(&mut |_| Ok(())).ok());
    let shows = "SELECT shows FROM user_popups WHERE user_id = 'ann'";
    assert_eq!(shared().number(&database, shows), 2, "of both sides");
}

#[test]
fn moved_popups_are_named_that_a_file_would_archive() {
    let embedded = embedded();
    embedded.start().stop();
    let database = shared_database();
    let config = format!("[mysql]\nurl = \"{}\"\n", shared().url_of(&database));
    let node = Setup::new(POPUPS).config(&config);
    let moved = migrate(&node, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    let wanted = "popups stopped, twice, welcome: add them to the nodes' popups file";
    assert!(moved.stdout.contains(wanted), "{moved:?}");
    let export = ["export", "--config", "nudged.toml", "popups"];
    let popups = run(&node.path(""), &export);
    assert_eq!(popups.code, Some(0), "{popups:?}");
    fs::write(embedded.path("popups.nd"), &popups.stdout).unwrap();
    let fresh = embedded.path("made/fresh");
    let into = ["import", "--data", fresh.to_str().unwrap(), "popups.nd"];
    let imported = run(&embedded.path(""), &into);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(imported.stdout.starts_with("3 popups, 3 changed"), "{imported:?}");
    assert!(fresh.join("nudged.db").exists());
}
