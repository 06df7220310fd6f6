//! Properties of growing: from one node to several nobody is lost and nobody is shown twice, old
//! tokens stay valid, and a move that dies anywhere is begun anew and ends the same. A directory of
//! another store is refused, with who is in it and what mends it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use nudged::node::failure::Failure;
use nudged::node::migration;
use nudged_base::time::WallMs;
use nudged_config::{Config, SecretText};
use serde_json::Value;

use crate::cluster::{Cluster, Plan, stop};
use crate::database;
use crate::harness::{Exit, Setup, nudged, run, until};
use crate::support::mariadb::{shared, shared_database};

/// One popup that stays away for a day, and one that may come twice in all.
pub const POPUPS: &str = "[[popup]]\nid = \"welcome\"\npriority = 9\n\
     [[popup]]\nid = \"twice\"\nplacement = [\"side\"]\nmax_shows = 2\nafter_shown = \"0s\"\n\
     after_ignored = \"0s\"\n\
     [[popup]]\nid = \"stopped\"\nplacement = [\"stop\"]\n";

/// An embedded node that has patience with a machine that runs all tests at once.
pub fn embedded() -> Setup {
    Setup::new(POPUPS).config("[limits]\nread_deadline = \"2s\"\n")
}

/// What an embedded node leaves: its tokens by user, and its statistics.
struct Left {
    tokens: Vec<(String, String)>,
    totals: Value,
}

/// Lets an embedded node work, stop, work again and be killed: users `u0` to `u8` and `k0` to
/// `k4` are in it, `gone` was erased.
fn use_embedded(setup: &Setup) -> Left {
    let mut tokens = Vec::new();
    let server = setup.start_with(&["--shards", "2"]);
    let mut client = server.client();
    for user in (0..9).map(|number| format!("u{number}")) {
        tokens.push((user.clone(), client.decide(&user).token().unwrap()));
    }
    client.event(&tokens[0].1, "clicked").expect(202);
    client.get("/v1/decide?user=u1&placement=side").expect(200);
    client.decide("gone").expect(200);
    server.operator().ask("DELETE", "/v1/users/gone", "").expect(200);
    server.operator().ask("POST", "/v1/popups/stopped/pause", "").expect(200);
    server.stop();
    let server = setup.start_with(&["--shards", "3"]);
    let mut client = server.client();
    for user in (0..5).map(|number| format!("k{number}")) {
        tokens.push((user.clone(), client.decide(&user).token().unwrap()));
    }
    client.event(&tokens[1].1, "dismissed").expect(202);
    let mut operator = server.operator();
    let totals = until("the counts in SQL", || {
        let totals = operator.get("/v1/stats").expect(200).json()["totals"].clone();
        (totals["decided"] == 16 && totals["dismissed"] == 1).then_some(totals)
    });
    // The very last is in the journal alone.
    tokens.push(("k5".to_owned(), client.decide("k5").token().unwrap()));
    server.kill();
    Left { tokens, totals }
}

/// Runs `nudged migrate --from`.
pub fn migrate(node: &Setup, from: &Path) -> Exit {
    let from = from.to_str().unwrap();
    run(&node.path(""), &["migrate", "--config", "nudged.toml", "--from", from])
}

#[test]
fn an_embedded_node_grows_into_two() {
    let embedded = embedded();
    let left = use_embedded(&embedded);
    let cluster = Cluster::new(Plan::new(POPUPS));
    let first = cluster.node().data_in(embedded.data());
    let refused = first.start_fails(&[]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("15 users"), "{refused:?}");
    assert!(refused.stderr.contains("nudged migrate --config nudged.toml --from"), "{refused:?}");
    assert!(!refused.stderr.contains("damaged"), "{refused:?}");

    let moved = migrate(&first, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    assert!(moved.stdout.contains("users: 15 (15 moved"), "{moved:?}");
    let again = migrate(&first, embedded.data());
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    let refused = embedded.start_fails(&[]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("15 users were moved"), "{refused:?}");

    let second = cluster.node();
    let nodes = vec![(first.start(), "clicked"), (second.start(), "converted")];
    for (server, action) in &nodes {
        let mut client = server.client();
        for (user, token) in &left.tokens {
            assert_eq!(client.decide(user).reason(), "gap", "{user}");
            let told = client.event(token, action).expect(202).json();
            let is_repeated = (user.as_str(), *action) == ("u0", "clicked");
            assert_eq!(told["duplicate"], u64::from(is_repeated), "{user} {told}");
            assert_eq!(told["accepted"], u64::from(!is_repeated), "{user} {told}");
        }
        client.get("/v1/decide?user=u1&placement=side").expect(if *action == "clicked" {
            200
        } else {
            204
        });
    }
    nodes[0].0.client().decide("gone").expect(200);
    let stopped = nodes[1].0.client().get("/v1/decide?user=ann&placement=stop");
    assert_eq!(stopped.reason(), "none", "the pause came along");
    let mut operator = nodes[1].0.operator();
    // With the one that only the journal had, and the two of just now.
    let decided = left.totals["decided"].as_i64().unwrap() + 3;
    until("the counts of both", || {
        let totals = operator.get("/v1/stats").expect(200).json()["totals"].clone();
        (totals["decided"] == decided && totals["converted"] == 15).then_some(())
    });
    stop(nodes.into_iter().map(|(server, _)| (cluster.node(), server)).collect());
    cluster.check_sql();
}

/// Everything that a move writes, but when it was.
const MOVED: [&str; 10] = [
    "SELECT id, created_at, HEX(secret), moved_at IS NULL FROM signing_keys \
     WHERE moved_at IS NOT NULL ORDER BY 1, 2",
    "SELECT popup_id, version, origin, definition, archived_at FROM popups ORDER BY 1",
    "SELECT popup_id, version, `change`, at, who, diff FROM popup_history ORDER BY 1, id",
    "SELECT * FROM users ORDER BY 1",
    "SELECT user_id, popup_id, popup_key, shows, last_shown_at, outcome, outcome_at, next_show_at, \
     forgotten, first_epoch, first_counter, revision_epoch, revision_counter, HEX(state) \
     FROM user_popups ORDER BY 1, 2",
    "SELECT * FROM erased_users ORDER BY 1",
    "SELECT * FROM override_entries ORDER BY 1",
    "SELECT * FROM operator_tokens ORDER BY 1",
    "SELECT set_id, seq, decision, action, at, acted_at, user_id, popup_id, version, variant, \
     revision_epoch, revision_counter FROM events JOIN streams ON streams.stream = events.stream \
     ORDER BY 1, 2",
    "SELECT popup_id, variant, hour, set_id, decided, shown, ignored, dismissed, clicked, \
     converted, HEX(users_decided), HEX(users_clicked), off FROM popup_stats JOIN streams ON streams.stream = popup_stats.stream \
     JOIN writer_position ON writer_position.stream = streams.stream ORDER BY 1, 2, 3, 4",
];

fn moved_rows(database: &str) -> Vec<String> {
    let query = format!("USE {database}; {}", MOVED.join("; "));
    shared().run_sql(&query).lines().map(str::to_owned).collect()
}

fn forget_everything(database: &str) {
    let tables = [
        "signing_keys",
        "popups",
        "popup_history",
        "users",
        "user_popups",
        "erased_users",
        "events",
        "override_entries",
        "operator_tokens",
        "popup_stats",
        "writer_position",
        "streams",
        "nodes",
    ];
    let deletes: Vec<String> = tables.iter().map(|table| format!("DELETE FROM {table}")).collect();
    shared().run_sql(&format!("USE {database}; {}", deletes.join("; ")));
}

/// Moves a directory, cut off after so many pieces, of which the first is its own journal's; gives
/// how many there were.
fn move_pieces(config: &Config, from: &Path, most: usize) -> usize {
    let mut pieces = 0;
    let moved = migration::run(config, from, (WallMs(1), false), &mut |_| {
        pieces += 1;
        if pieces < most { Ok(()) } else { Err(Failure::Asking("cut off".to_owned())) }
    });
    assert_eq!(moved.is_err(), pieces >= most, "{moved:?}");
    pieces
}

/// A directory as it is once its journal was applied, without the journal, which is large.
fn copy_without_journal(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in ["nudged.db", "signing-keys"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_move_that_is_cut_off_anywhere_ends_the_same() {
    let embedded = embedded();
    use_embedded(&embedded);
    let database = shared_database();
    let config = |data: &Path| {
        let mut config = Config { data: data.to_owned(), ..Config::default() };
        config.mysql.url = Some(SecretText::new(shared().url_of(&database)));
        config
    };
    let copies = tempfile::tempdir().unwrap();
    // This applies its journal.
    move_pieces(&config(embedded.data()), embedded.data(), 1);
    let whole = copies.path().join("whole");
    copy_without_journal(embedded.data(), &whole);
    let pieces = move_pieces(&config(&whole), &whole, usize::MAX);
    let wanted = moved_rows(&database);
    assert!(wanted.iter().any(|row| row.starts_with("k5\t")), "the unapplied journal: {wanted:?}");
    assert!(wanted.len() > 50 && pieces >= 12, "{pieces}: {wanted:?}");
    for cut in 1..pieces {
        forget_everything(&database);
        let data = copies.path().join(format!("cut-{cut}"));
        copy_without_journal(embedded.data(), &data);
        // Nothing is done that the end of a process would not do.
        move_pieces(&config(&data), &data, cut);
        move_pieces(&config(&data), &data, usize::MAX);
        assert_eq!(moved_rows(&database), wanted, "cut off after {cut} pieces");
    }
}

#[test]
fn a_move_that_is_killed_goes_on() {
    let embedded = embedded();
    let left = use_embedded(&embedded);
    let cluster = Cluster::new(Plan::new(POPUPS));
    let node = cluster.node().data_in(embedded.data());
    for wanted in ["signing keys:", "users:", "redis:"] {
        let mut command = nudged();
        command.current_dir(node.path("")).args(["migrate", "--config", "nudged.toml", "--from"]);
        let mut child = command.arg(embedded.data()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines.map_while(Result::ok).find(|line| line.starts_with(wanted));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.is_some(), "{wanted}");
    }
    let moved = migrate(&node, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    let server = node.start();
    for (user, _) in &left.tokens {
        assert_eq!(server.client().decide(user).reason(), "gap", "{user}");
    }
    server.stop();
    cluster.check_sql();
}

#[test]
fn users_of_both_sides_have_the_shows_of_both() {
    let embedded = embedded();
    let server = embedded.start();
    let mut client = server.client();
    client.get("/v1/decide?user=ann&placement=side").expect(200);
    let old = client.decide("ann").token().unwrap();
    client.get("/v1/decide?user=bob&placement=side").expect(200);
    server.operator().ask("POST", "/v1/popups/twice/pause", "").expect(200);
    server.operator().ask("POST", "/v1/popups/twice/resume", "").expect(200);
    server.stop();

    let other = POPUPS.replace("max_shows = 2", "max_shows = 3");
    let cluster = Cluster::new(Plan::new(&other));
    let node = cluster.node();
    let server = node.start();
    let mut client = server.client();
    client.get("/v1/decide?user=ann&placement=side").expect(200);
    client.get("/v1/decide?user=eve&placement=side").expect(200);
    let refused = migrate(&cluster.node(), embedded.data());
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("is running on"), "{refused:?}");
    drop(client);
    server.stop();
    // As where a node was killed with ann's show in its journal: Redis alone knows of it.
    cluster.rows("DELETE FROM users WHERE user_id = 'ann'");
    cluster.rows("DELETE FROM user_popups WHERE user_id = 'ann'");

    let moved = migrate(&node, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    assert!(moved.stdout.contains("users: 2 (1 moved, 1 already there"), "{moved:?}");
    assert!(moved.stdout.contains("which they keep: twice"), "{moved:?}");
    let server = node.start();
    let mut client = server.client();
    assert_eq!(client.decide("ann").reason(), "gap");
    assert_eq!(client.event(&old, "clicked").expect(202).json()["accepted"], 1);
    for (user, left) in [("ann", 1), ("bob", 2), ("eve", 2)] {
        let target = format!("/v1/decide?user={user}&placement=side");
        (0..left).for_each(|_| drop(client.get(&target).expect(200)));
        assert_eq!(client.get(&target).reason(), "max_shows", "{user}");
    }
    server.stop();
    cluster.check_sql();
}

#[test]
fn a_copy_of_the_database_is_a_whole_backup() {
    let setup = embedded();
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    server.stop();
    assert!(
        !setup.data().join("nudged.db-wal").exists() || {
            fs::metadata(setup.data().join("nudged.db-wal")).unwrap().len() == 0
        }
    );
    let backup = setup.path("backup.db");
    fs::copy(setup.data().join("nudged.db"), &backup).unwrap();

    let restored = embedded();
    fs::create_dir(restored.data()).unwrap();
    fs::copy(&backup, restored.data().join("nudged.db")).unwrap();
    let server = restored.start();
    let mut client = server.client();
    assert_eq!(client.decide("ann").reason(), "gap");
    assert_eq!(client.event(&token, "clicked").expect(202).json()["accepted"], 1);
    server.stop();

    let used = embedded();
    used.start().stop();
    fs::copy(&backup, used.data().join("nudged.db")).unwrap();
    let refused = used.start_fails(&[]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("a backup restored"), "{refused:?}");
    assert!(!refused.stderr.contains("damaged"), "{refused:?}");
}

#[test]
fn an_erased_user_is_in_no_file_but_the_journal() {
    let setup = embedded();
    let server = setup.start();
    let mut client = server.client();
    let name = |number: u32| format!("somebody-{number:04}");
    for user in (0..400).map(name) {
        client.decide(&user).expect(200);
        client.get(&format!("/v1/decide?user={user}&placement=side")).expect(200);
    }
    let gone = name(123);
    let answer = server.operator().ask("DELETE", &format!("/v1/users/{gone}"), "").expect(200);
    let remains = answer.json()["remains_in"].to_string();
    assert!(remains.contains("journal") && remains.contains("backup"), "{remains}");
    let holds = |file: &str| {
        let bytes = fs::read(setup.data().join(file)).unwrap_or_default();
        memchr::memmem::find(&bytes, gone.as_bytes()).is_some()
    };
    until("a log without the id", || {
        (!holds("nudged.db-wal") && !holds("nudged.db")).then_some(())
    });
    server.stop();
    assert_eq!(database::number(setup.data(), "SELECT count(*) FROM users"), 399);
    assert!(!holds("nudged.db"));
}

#[test]
fn users_and_statistics_go_out_and_in_again() {
    let setup = embedded();
    let server = setup.start();
    let mut client = server.client();
    for user in ["ann", "bob"] {
        client.decide(user).expect(200);
    }
    client.get("/v1/decide?user=ann&placement=side").expect(200);
    client.decide("gone").expect(200);
    server.operator().ask("DELETE", "/v1/users/gone", "").expect(200);
    server.stop();
    let data = |setup: &Setup| setup.data().to_str().unwrap().to_owned();
    let export = |setup: &Setup, what: &str| {
        let exit = run(&setup.path(""), &["export", "--data", &data(setup), what]);
        assert_eq!(exit.code, Some(0), "{exit:?}");
        exit.stdout
    };
    let (users, stats) = (export(&setup, "users"), export(&setup, "stats"));
    assert_eq!((users.lines().count(), stats.lines().count()), (3, 2), "{users}{stats}");

    let other = embedded();
    let server = other.start();
    server.client().get("/v1/decide?user=ann&placement=side").expect(200);
    fs::write(other.path("lines"), format!("{users}{stats}")).unwrap();
    let import = || run(&other.path(""), &["import", "--data", &data(&other), "lines"]);
    let refused = import();
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("in use by"), "{refused:?}");
    server.stop();
    let imported = import();
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(
        imported.stdout.contains("users: 1 new, 1 united with the shows of both"),
        "{imported:?}"
    );
    let again = import();
    assert!(again.stdout.contains("users: 0 new, 0 united with the shows of both, 2"), "{again:?}");
    let lines = |what: &str| export(&other, what).lines().count();
    assert_eq!((lines("users"), lines("stats")), (3, 3));
    let server = other.start();
    let mut client = server.client();
    for user in ["ann", "bob"] {
        assert_eq!(client.decide(user).reason(), "gap", "{user}");
    }
    let side = "/v1/decide?user=ann&placement=side";
    assert_eq!(client.get(side).reason(), "max_shows", "once in each");
    server.stop();
}

#[test]
fn a_node_with_mysql_alone_is_seen_too_and_takes_a_directory_when_it_has_stopped() {
    let embedded = embedded();
    let server = embedded.start();
    let token = server.client().decide("ann").token().unwrap();
    server.stop();
    let database = shared_database();
    let config = format!("[mysql]\nurl = \"{}\"\n", shared().url_of(&database));
    let node = Setup::new(POPUPS).config(&format!("{config}[limits]\nread_deadline = \"2s\"\n"));
    assert_eq!(run(&node.path(""), &["migrate", "--config", "nudged.toml"]).code, Some(0));
    let server = node.start();
    // Asked from another machine: its data directory is not this one.
    let asker = Setup::new(POPUPS).config(&config);
    let refused = migrate(&asker, embedded.data());
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("is running on"), "{refused:?}");
    server.stop();
    let moved = migrate(&asker, embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    let server = node.start();
    let mut client = server.client();
    assert_eq!(client.decide("ann").reason(), "gap");
    assert_eq!(client.event(&token, "clicked").expect(202).json()["accepted"], 1);
    server.stop();
}
