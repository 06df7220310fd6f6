//! Property: who asks too often is told when to come back and costs nobody else anything; what the
//! slice answers never counts, and nothing that was refused has happened.

use serde_json::json;

use crate::client::{Answer, Client, event};
use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{Server, Setup, WELCOME};

/// Shown whenever it is asked for.
const ALWAYS: &str = "[[popup]]\nid = \"p\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n";
/// A limit that no test outlives.
const SLOW: &str = "[limits]\nuser_rate = \"1/h\"\nuser_burst = 3\n";

/// 429 with a time of at most this many seconds to wait.
fn assert_limited(answer: Answer, within_s: u32) {
    let answer = answer.expect(429);
    let after_s: u32 = answer.field("retry-after").expect("when to come back").parse().unwrap();
    assert!((1..=within_s).contains(&after_s), "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], "rate_limited", "{answer:?}");
}

fn refusals(server: &Server) -> f64 {
    let metrics = server.operator().get("/metrics").expect(200).body;
    let lines = metrics.lines().filter(|line| line.starts_with("nudged_user_rate_refusals_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A burst of three: whoever is new counts once, too.
fn spend(client: &mut Client, user: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for _ in 0..4 {
        match client.decide(user) {
            shown if shown.status == 200 => tokens.push(shown.token().unwrap()),
            limited => assert_limited(limited, 3_600),
        }
    }
    assert_eq!(tokens.len(), 3, "{tokens:?}");
    tokens
}

#[test]
fn a_user_is_held_to_a_rate_and_others_are_not() {
    let setup = Setup::new(ALWAYS).config(SLOW);
    let server = setup.start_with(&["--shards", "3"]);
    let mut client = server.client();
    for number in 0..12 {
        let user = format!("user-{number}");
        let tokens = spend(&mut client, &user);
        assert_limited(client.decide(&user), 3_600);
        // What the slice answers by itself is no concern of a rate.
        for _ in 0..20 {
            client.get(&format!("/v1/decide?user={user}&placement=none")).expect(204);
        }
        assert_limited(client.event(&tokens[0], "clicked"), 3_600);
        let mixed = [event(&tokens[0], "clicked"), event("no-token", "clicked")].join(",");
        let mixed = client.ask("POST", "/v1/events", &format!("[{mixed}]")).expect(202).json();
        assert_eq!(mixed["rejected"][0], json!({"index": 0, "code": "rate_limited"}), "{mixed}");
        let state = server.operator().get(&format!("/v1/users/{user}")).expect(200).body;
        assert!(!state.contains("clicked"), "{state}");
    }
    assert!(refusals(&server) >= 12.0 * 3.0);
    server.stop();
}

#[test]
fn whoever_is_over_the_rate_is_told_how_long_whatever_they_ask() {
    let limits = "[limits]\nuser_rate = \"1/m\"\nuser_burst = 4\n";
    let setup = Setup::new(ALWAYS).config(limits);
    let server = setup.start_with(&["--shards", "2"]);
    let mut client = server.client();
    let users = ["ann", "ben", "eve"];
    let tokens = users.map(|user| {
        let token = client.decide(user).expect(200).token().unwrap();
        for _ in 0..3 {
            client.event(&token, "ignored").expect(202);
        }
        token
    });
    let wait_s = |answer: &Answer| {
        let after_s = answer.field("retry-after").unwrap_or_else(|| panic!("{answer:?}"));
        after_s.parse::<u32>().unwrap()
    };
    // Of one user and of many, on this shard and on others.
    let all = tokens.each_ref().map(|token| event(token, "ignored"));
    for body in [all[0].clone(), format!("[{0},{0}]", all[0]), format!("[{}]", all.join(","))] {
        let limited = client.ask("POST", "/v1/events", &body);
        assert!(wait_s(&limited) > 20, "{limited:?}");
        assert_limited(limited, 60);
    }
    let limited = client.decide("ann");
    assert!(wait_s(&limited) > 20, "{limited:?}");
    assert_limited(limited, 60);
    let with_other = [event(&tokens[0], "ignored"), event("no-token", "ignored")].join(",");
    client.ask("POST", "/v1/events", &format!("[{with_other}]")).expect(202);
    server.stop();
}

#[test]
fn with_redis_too() {
    let settings = format!("{SLOW}read_deadline = \"2s\"\n");
    let redis = "deadline = \"1500ms\"\n";
    let cluster = Cluster::new(Plan { settings: &settings, redis, ..Plan::new(ALWAYS) });
    let nodes = cluster.start(1);
    let mut client = nodes[0].1.client();
    for user in ["ann", "ben"] {
        let tokens = spend(&mut client, user);
        assert_limited(client.decide(user), 3_600);
        assert_limited(client.event(&tokens[0], "clicked"), 3_600);
    }
    assert!(refusals(&nodes[0].1) >= 4.0);
    stop(nodes);
}

#[test]
fn a_key_is_held_to_a_rate_on_all_shards_together() {
    let keys = "[keys]\npublic = [\"public-key-of-pages\"]\nserver = [\"server-key-of-ours\"]\n";
    let limits = "[limits]\nkey_rate = \"60/h\"\nkey_burst = 10\n";
    let setup = Setup::new(WELCOME).config(&format!("{limits}{keys}"));
    let server = setup.start_with(&["--shards", "2"]);
    let ask = |key: &str, number: usize| {
        let target = format!("/v1/decide?user=user-{number}&placement=none&key={key}");
        server.client().get(&target)
    };
    for key in ["public-key-of-pages", "server-key-of-ours"] {
        for number in 0..10 {
            ask(key, number).expect(204);
        }
        let limited = ask(key, 10);
        assert_eq!(limited.json()["error"]["field"], "key", "{limited:?}");
        assert_limited(limited, 60);
    }
    ask("a-key-of-nobody-here", 0).expect(401);
    server.client().get("/health").expect(200);
    server.stop();

    let without = Setup::new(WELCOME).config(limits).start_fails(&[]);
    assert_eq!(without.code, Some(2), "{without:?}");
    assert!(
        without.stderr.contains("limits.key_rate: needs `keys.public` or `keys.server`"),
        "{without:?}"
    );
}
