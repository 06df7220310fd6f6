//! Property: what a retired node's journal still holds is brought to SQL by `nudged drain`, each
//! record once, however often it runs; not while the node runs, and to no other node's store. What
//! only a running node could bring there is lost when somebody says so, and nothing else with it.
//! What it does with damage stands in `journal`.

use std::fs;

use crate::cluster::{Cluster, Plan, in_turn};
use crate::database;
use crate::harness::{Setup, WELCOME, run};
use crate::journal::{SHOWN, after_shows, remove_database};

#[test]
fn what_is_left_is_applied_once_and_again_is_harmless() {
    let (setup, _) = after_shows(true);
    let before = database::events(setup.data());
    remove_database(&setup);
    let drained = setup.run(&["drain", "data"]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let said = format!("data: {SHOWN} records, 1 to {SHOWN}, applied to nudged.db\n");
    assert_eq!(drained.stdout, said, "{drained:?}");
    assert_eq!(database::events(setup.data()), before);
    let log = setup.data().join("nudged.db-wal").metadata();
    assert_eq!(log.map_or(0, |log| log.len()), 0, "the file alone is a backup");
    let again = setup.run(&["drain", "data/journal"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    assert!(again.stdout.contains(&format!("up to {SHOWN}")), "{again:?}");
    assert_eq!(database::events(setup.data()), before);

    // Who starts it all the same goes on, and has it to himself.
    let server = setup.start();
    assert_eq!(server.client().decide("u3").reason(), "gap");
    let refused = setup.run(&["drain", "data"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    for part in [&*server.pid().to_string(), "stop the node first"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    server.client().decide("new").expect(200);
    server.stop();
}

#[test]
fn what_is_no_data_directory_is_refused_and_stays_as_it_is() {
    let setup = Setup::new(WELCOME);
    fs::create_dir_all(setup.path("empty/inner")).unwrap();
    for (named, code) in [("empty", 4), ("nowhere", 4), ("popups.toml", 4)] {
        let exit = setup.run(&["drain", named]);
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(code), ""), "{exit:?}");
        assert!(exit.stderr.contains(named), "{exit:?}");
    }
    assert_eq!(fs::read_dir(setup.path("empty")).unwrap().count(), 1, "nothing was made there");
    assert_eq!(setup.run(&["drain"]).code, Some(2));
    fs::create_dir_all(setup.path("unused/journal")).unwrap();
    let exit = setup.run(&["drain", "unused"]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(!setup.path("unused/nudged.db").exists(), "{exit:?}");
    fs::write(setup.path("unused/store"), "mysql at mysql db:3306/nudged\n").unwrap();
    let exit = run(&setup.path("empty"), &["drain", "../unused"]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains("[mysql]") && exit.stderr.contains("--config"), "{exit:?}");
}

#[test]
fn what_was_to_be_merged_into_redis_is_given_up_only_when_told() {
    let popups = in_turn(1);
    let cluster = Cluster::new(Plan::impatient(&popups));
    let setup = cluster.node();
    let mut server = setup.start();
    server.allow("\"level\":\"error\"");
    cluster.click_while_frozen(&server);
    server.kill();
    let rows = |action: &str| {
        let who = format!("user_id = 'ann' AND action = '{action}'");
        cluster.number(&format!("SELECT COUNT(*) FROM events WHERE {who}"))
    };
    let drain = |flags: &[&str]| {
        let command = ["drain", "--config", "nudged.toml", "data"];
        setup.run(&[&command[..], flags].concat())
    };
    let refused = drain(&[]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    for part in ["1 shows and events", "first_unmerged", "--unmerged-lost"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    // What stands before it is there, as often as one likes.
    assert_eq!((rows("decided"), rows("clicked")), (1, 0));
    assert_eq!(drain(&[]).code, Some(4));
    let given_up = drain(&["--unmerged-lost"]);
    assert_eq!(given_up.code, Some(0), "{given_up:?}");
    assert_eq!((rows("decided"), rows("clicked")), (1, 0));
    let again = drain(&[]);
    assert_eq!(again.code, Some(0), "nothing waits any more: {again:?}");
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    cluster.redis.thaw();
    cluster.check_sql();
}
