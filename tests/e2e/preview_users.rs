//! Property: a preview user sees drafts, as if never shown anything, and leaves no trace: no state,
//! no events, no statistics, on the node that decided and on every other.

use serde_json::Value;

use crate::client::{Answer, Client, event};
use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{Server, Setup, until};
use crate::support::prometheus::Metrics;

const POPUPS: &str = "[[popup]]\nid = \"new\"\nstatus = \"draft\"\npriority = 9\n\
                      [[popup]]\nid = \"old\"\nafter_shown = \"never\"\n";
const PREVIEW: &str = "[preview]\nusers = [\"qa\"]\n";

fn user(server: &Server, user: &str) -> Answer {
    server.operator().get(&format!("/v1/users/{user}"))
}

/// Asks twice as the preview user: the draft is shown each time, and its token is taken anywhere.
fn preview(client: &mut Client) -> String {
    let first = client.decide("qa");
    let again = client.decide("qa");
    for shown in [&first, &again] {
        assert_eq!(shown.popup().as_deref(), Some("new"), "{shown:?}");
        assert_eq!(shown.field("nudge-preview"), Some("1"), "{shown:?}");
    }
    again.token().unwrap()
}

fn assert_taken_and_dropped(client: &mut Client, token: &str) {
    for _ in 0..2 {
        let taken = client.event(token, "clicked").expect(202);
        assert_eq!(taken.field("nudge-preview"), Some("1"), "{taken:?}");
        let (accepted, duplicate) = (&taken.json()["accepted"], &taken.json()["duplicate"]);
        assert_eq!((accepted, duplicate), (&1.into(), &0.into()), "{taken:?}");
    }
    let events = event(token, "dismissed");
    let body = format!("{{\"user\":\"qa\",\"placement\":\"none\",\"events\":[{events}]}}");
    let answer = client.ask("POST", "/v1/decide", &body).expect(204);
    assert_eq!(answer.field("nudge-events"), Some("accepted=1,duplicate=0,rejected=0"));
    assert_eq!(answer.field("nudge-preview"), Some("1"), "{answer:?}");
}

/// Of all that a node has of a user there is nothing.
fn assert_no_trace(server: &Server) {
    let found = user(server, "qa").expect(200).json();
    assert_eq!(found["records"], Value::Array(Vec::new()), "{found}");
    assert_eq!(found["popups"], Value::Array(Vec::new()), "{found}");
}

#[test]
fn a_preview_user_sees_drafts_and_leaves_no_trace() {
    let setup = Setup::new(POPUPS).config(PREVIEW).flags(&["--shards", "2", "--no-pin"]);
    let server = setup.start();
    let mut client = server.client();
    let token = preview(&mut client);
    assert_taken_and_dropped(&mut client, &token);
    let explained = client.get("/v1/decide?user=qa&explain=1").expect(200).json();
    assert_eq!(explained["candidates"][0]["gate"], Value::Null, "{explained}");
    // One whom they are mixed with is counted, and nothing of the preview is.
    let other = client.decide("ann").expect(200);
    assert_eq!((other.popup().as_deref(), other.field("nudge-preview")), (Some("old"), None));
    let mixed =
        format!("[{},{}]", event(&token, "clicked"), event(&other.token().unwrap(), "clicked"));
    let taken = client.ask("POST", "/v1/events", &mixed).expect(202);
    assert_eq!((&taken.json()["accepted"], taken.field("nudge-preview")), (&2.into(), Some("1")));
    until("the record of the other in SQL", || {
        let records = user(&server, "ann").expect(200).json();
        (records["records"].as_array().unwrap().len() == 2).then_some(())
    });
    assert_no_trace(&server);
    let stats = server.operator().get("/v1/stats").expect(200).body;
    assert!(!stats.contains("\"new\""), "{stats}");
    let metrics = server.operator().get("/metrics").expect(200).body;
    let metrics = Metrics::read(&metrics);
    let sum = |name: &str| metrics.sum(name);
    assert_eq!(sum("nudged_decisions_shown_total"), 1.0);
    assert_eq!(sum("nudged_events_accepted_total"), 1.0);
    assert_eq!(sum("nudged_preview_decisions_total"), 4.0);
    assert_eq!(sum("nudged_preview_events_total"), 4.0);
    // A reload makes an ordinary user of them, whose old tokens stay what they are.
    setup.write_config("");
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    let ordinary = client.decide("qa").expect(200);
    assert_eq!((ordinary.popup().as_deref(), ordinary.field("nudge-preview")), (Some("old"), None));
    let body = format!("{{\"user\":\"qa\",\"events\":[{}]}}", event(&token, "clicked"));
    let answer = client.ask("POST", "/v1/decide", &body).expect(204);
    assert_eq!(answer.field("nudge-events"), Some("accepted=1,duplicate=0,rejected=0"));
    assert_eq!(answer.field("nudge-preview"), Some("1"));
    server.stop();
}

#[test]
fn every_node_takes_and_drops_events_of_a_preview() {
    let cluster = Cluster::new(Plan::new(POPUPS));
    let with_preview = cluster.node();
    let config = std::fs::read_to_string(with_preview.path("nudged.toml")).unwrap();
    std::fs::write(with_preview.path("nudged.toml"), config + PREVIEW).unwrap();
    let nodes: Vec<_> = [with_preview, cluster.node()]
        .map(|setup| {
            let server = setup.start();
            (setup, server)
        })
        .into();
    let token = preview(&mut nodes[0].1.client());
    for (_, server) in &nodes {
        let taken = server.client().event(&token, "clicked").expect(202);
        assert_eq!(taken.field("nudge-preview"), Some("1"), "{taken:?}");
    }
    // Records that came later are there, so those would be.
    let ann = nodes[1].1.client().decide("ann").token().unwrap();
    nodes[1].1.client().event(&ann, "clicked").expect(202);
    cluster.await_events("clicked", 1);
    assert_eq!(cluster.number("SELECT COUNT(*) FROM events WHERE user_id = 'qa'"), 0);
    assert_eq!(cluster.number("SELECT COUNT(*) FROM user_popups WHERE user_id = 'qa'"), 0);
    assert_no_trace(&nodes[0].1);
    stop(nodes);
}

#[test]
fn with_keys_only_who_may_name_every_user_previews() {
    let secret = "identity-secret-1";
    // By `openssl dgst -sha256 -hmac`, of `qa`.
    let signature = "f6119ad3efa065a31cae6a76446d5777ff207830ea9127e6359d8698fd35119a";
    let keys = format!(
        "[keys]\nserver = [\"server-key-0123456789\"]\npublic = [\"public-key-0123456789\"]\n\
         {PREVIEW}"
    );
    let setup = Setup::new(POPUPS).config(&keys);
    let server = setup.start();
    let mut client = server.client();
    let mut shown = |query: &str| client.get(&format!("/v1/decide?user=qa&{query}")).popup();
    assert_eq!(shown("key=server-key-0123456789").as_deref(), Some("new"));
    // A user like any other, for each of whom it is shown once.
    assert_eq!(shown("key=public-key-0123456789").as_deref(), Some("old"));
    assert_eq!(shown("key=public-key-0123456789").as_deref(), None);
    let with_secret = keys.replace("[preview]", &format!("identity = [\"{secret}\"]\n[preview]"));
    setup.write_config(&with_secret);
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    let signed = format!("key=public-key-0123456789&sig={signature}");
    assert_eq!(shown(&signed).as_deref(), Some("new"));
    server.stop();
}

#[test]
fn pending_drafts_are_seen_by_preview_users_alone_on_every_node() {
    let cluster = Cluster::new(Plan::new(""));
    let nodes: Vec<_> = [cluster.node(), cluster.node()]
        .map(|setup| {
            let config = std::fs::read_to_string(setup.path("nudged.toml")).unwrap();
            std::fs::write(setup.path("nudged.toml"), config + PREVIEW).unwrap();
            let server = setup.start();
            (setup, server)
        })
        .into();
    let mut operator = nodes[0].1.operator();
    let body = |title: &str| format!("{{\"content\":{{\"title\":\"{title}\"}}}}");
    operator.ask("PUT", "/v1/popups/n", &body("live")).expect(201);
    let title = |server: &Server, user: &str| {
        let answer = server.client().decide(user);
        let is_shown = answer.status == 200;
        is_shown.then(|| answer.json()["popup"]["content"]["title"].as_str().unwrap().to_owned())
    };
    let seen_everywhere = |want: &str| {
        for (_, server) in &nodes {
            until("what a preview user sees", || {
                (title(server, "qa").as_deref() == Some(want)).then_some(())
            });
        }
    };
    seen_everywhere("live");
    operator.ask("PUT", "/v1/popups/n/draft", &body("pending")).expect(201);
    seen_everywhere("pending");
    assert_eq!(title(&nodes[0].1, "ann").as_deref(), Some("live"));
    let shown = nodes[1].1.client().decide("qa").expect(200);
    assert_eq!(shown.json()["popup"]["version"], 2, "as it would be published");
    assert_taken_and_dropped(&mut nodes[0].1.client(), &shown.token().unwrap());
    // One that no popup was made of yet wins by its priority.
    let new = "{\"priority\":5,\"content\":{\"title\":\"new\"}}";
    operator.ask("PUT", "/v1/popups/new/draft", new).expect(201);
    seen_everywhere("new");
    operator.ask("DELETE", "/v1/popups/new/draft", "").expect(200);
    seen_everywhere("pending");
    operator.ask("POST", "/v1/popups/n/pause", "").expect(200);
    for (_, server) in &nodes {
        until("a pause to hold for preview users too", || {
            title(server, "qa").is_none().then_some(())
        });
    }
    stop(nodes);
}

#[test]
fn a_popup_is_looked_at_without_a_trace_as_a_user_would_see_it() {
    let keys = "[keys]\nserver = [\"server-key-0123456789\"]\n\
                public = [\"public-key-0123456789\"]\n[cors]\norigins = [\"https://a.example\"]\n";
    let setup = Setup::new(POPUPS).config(keys).flags(&["--shards", "2", "--no-pin"]);
    let server = setup.start();
    let mut client = server.client();
    let mut look =
        |key: &str, body: &str| client.ask("POST", &format!("/v1/preview?key={key}"), body);
    let server_key = "server-key-0123456789";
    look("", "{\"popup\":\"old\"}").expect(401);
    look("public-key-0123456789", "{\"popup\":\"old\"}").expect(403);
    let more = look(server_key, "{\"popup\":\"old\",\"draft\":true}").expect(200);
    assert_eq!(more.field("nudge-ignored"), Some("draft"));
    look(server_key, "{\"popup\":\"nope\"}").expect(404);
    let draft = look(server_key, "{\"popup\":\"new\"}").expect(200).json();
    assert_eq!((&draft["status"], &draft["would_pass"]), (&"draft".into(), &false.into()));
    assert_eq!(draft["gates"], serde_json::json!([{ "gate": "status", "opens_at": null }]));
    // Users of both shards, who were shown it and who were not.
    for user in ["u1", "u2", "u3", "u4"] {
        let body = format!("{{\"popup\":\"old\",\"user\":\"{user}\"}}");
        for _ in 0..2 {
            let looked = look(server_key, &body).expect(200).json();
            assert_eq!((&looked["would_pass"], &looked["degraded"]), (&true.into(), &false.into()));
        }
    }
    let shown = server.client().get(&format!("/v1/decide?user=u1&key={server_key}")).expect(200);
    assert_eq!(shown.popup().as_deref(), Some("old"));
    let looked = look(server_key, "{\"popup\":\"old\",\"user\":\"u1\"}").expect(200).json();
    assert_eq!(looked["gates"][0]["gate"], "gap", "{looked}");
    let metrics = Metrics::read(&server.operator().get("/metrics").expect(200).body);
    assert_eq!(metrics.sum("nudged_decisions_shown_total"), 1.0);
    server.stop();
}
