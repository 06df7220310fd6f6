//! Properties of growing: from one node to several nobody is lost and nobody is shown twice, old
//! tokens stay valid, and a move that dies anywhere is begun anew and ends the same. A directory of
//! another store is refused, with who is in it and what mends it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use nudged::base::time::WallMs;
use nudged::config::{Config, Secret};
use nudged::node::moving::{self, Begun};
use serde_json::Value;

use crate::cluster::{Cluster, Plan, stop};
use crate::database;
use crate::harness::{Exit, Setup, nudged, run, until};
use crate::support::mariadb::{shared, shared_database};

/// One popup that stays away for a day, and one that may come twice in all.
const POPUPS: &str = "[[popup]]\nid = \"welcome\"\npriority = 9\n\
     [[popup]]\nid = \"twice\"\nplacement = [\"side\"]\nmax_shows = 2\nafter_shown = \"0s\"\n\
     after_ignored = \"0s\"\n";

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
fn migrate(node: &Setup, from: &Path) -> Exit {
    let from = from.to_str().unwrap();
    run(&node.path(""), &["migrate", "--config", "nudged.toml", "--from", from])
}

#[test]
fn an_embedded_node_grows_into_two() {
    let embedded = Setup::new(POPUPS);
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
