//! Property: an operator sees what a user's state is and why they see what they see, and can have a
//! user forgotten: journaled, final, and without a trace of the id in SQL.

use serde_json::Value;

use crate::database;
use crate::harness::{Server, Setup, WELCOME, run, until};

#[test]
fn a_user_can_be_looked_at() {
    let setup = Setup::new(WELCOME);
    let server = setup.start_with(&["--shards", "2"]);
    let mut client = server.client();
    let token = client.decide("ann").token().unwrap();
    client.event(&token, "dismissed").expect(202);
    let mut operator = server.operator();
    let user = operator.get("/v1/users/ann").expect(200).body;
    for part in ["welcome", "dismissed"] {
        assert!(user.contains(part), "{part}: {user}");
    }
    // Records follow once the writer has applied them.
    until("the records in SQL", || {
        operator.get("/v1/users/ann").expect(200).body.contains(&token).then_some(())
    });
    client.get("/v1/decide?user=a%2Fb%20%C3%BC").expect(200);
    let other = operator.get("/v1/users/a%2Fb%20%C3%BC").expect(200).body;
    assert!(other.contains("welcome"), "percent-encoded ids are decoded once: {other}");
    server.stop();
}

#[test]
fn an_erased_user_is_gone() {
    let setup = Setup::new(WELCOME);
    let server = setup.start_with(&["--shards", "2"]);
    let mut client = server.client();
    let token = client.decide("ann").token().unwrap();
    client.event(&token, "clicked").expect(202);
    let kept = client.decide("bob").token().unwrap();
    let answer = server.operator().ask("DELETE", "/v1/users/ann", "").expect(200).json();
    assert_eq!(answer["erased"], true);
    assert!(answer.to_string().contains("journal_until"), "{answer}");
    let late = client.event(&token, "converted").expect(202).json();
    assert_eq!((&late["accepted"], &late["duplicate"]), (&0.into(), &0.into()), "{late}");
    assert_eq!(late["rejected"].as_array().unwrap().len(), 1, "{late}");
    server.stop();

    let data = setup.data();
    for table in ["users", "user_popups", "events"] {
        let of = |user: &str| format!("SELECT COUNT(*) FROM {table} WHERE user_id = '{user}'");
        assert_eq!(database::number(data, &of("ann")), 0, "{table}");
        assert!(database::number(data, &of("bob")) > 0, "{table}");
    }
    assert_eq!(
        database::number(data, "SELECT COUNT(*) FROM events"),
        3,
        "rows stay for statistics"
    );
    assert!(!database::decided(data).contains(&token), "a token holds the id");
    assert_eq!(database::number(data, "SELECT COUNT(*) FROM erased_users"), 1);

    // Forgotten for good: by the next process, too.
    let server = setup.start_with(&["--shards", "3"]);
    let mut client = server.client();
    let late = client.event(&token, "converted").expect(202).json();
    assert_eq!(late["accepted"], 0, "{late}");
    client.decide("ann").expect(200);
    assert_eq!(client.event(&kept, "clicked").expect(202).json()["accepted"], 1);
    server.stop();
}

#[test]
fn an_erase_outlives_a_kill_and_a_lost_database() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    server.operator().ask("DELETE", "/v1/users/ann", "").expect(200);
    server.kill();
    for name in ["nudged.db", "nudged.db-wal", "nudged.db-shm"] {
        // Only the first is always there.
        let _ = std::fs::remove_file(setup.data().join(name));
    }
    let server = setup.start();
    let late = server.client().event(&token, "converted").expect(202).json();
    assert_eq!(late["accepted"], 0, "{late}");
    server.client().decide("ann").expect(200);
    server.stop();
    assert!(!database::decided(setup.data()).contains(&token));
}

#[test]
fn explanations_record_nothing() {
    let popups = "[[popup]]\nid = \"a\"\npriority = 2\n[popup.target]\nattr = \"vip\"\nop = \"eq\"\n\
                  value = true\n[[popup]]\nid = \"b\"\n";
    let setup = Setup::new(popups);
    let server = setup.start();
    let mut operator = server.operator();
    for _ in 0..2 {
        let answer = operator.get("/v1/explain?user=ann&placement=home").expect(200).json();
        assert_eq!(answer["popup"], "b", "{answer}");
        let text = answer["candidates"].to_string();
        assert!(text.contains("\"target\"") && text.contains("null"), "{text}");
    }
    let vip = operator.get("/v1/explain?user=ann&placement=home&attr.vip=true").expect(200).json();
    assert_eq!(vip["popup"], "a", "{vip}");
    assert_eq!(server.client().decide("ann").popup().as_deref(), Some("b"), "nothing was recorded");
    let after = operator.get("/v1/explain?user=ann&placement=home").expect(200).json();
    assert_eq!((&after["popup"], &after["reason"]), (&serde_json::Value::Null, &"gap".into()));

    let admin = server.admin.to_string();
    let asked = ["explain", "--user", "ann", "--placement", "home", "--admin", &admin];
    let exit = run(&setup.path(""), &asked);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("target") && exit.stdout.contains("gap"), "{exit:?}");
    server.stop();
    let exit = run(&setup.path(""), &asked);
    assert_eq!(exit.code, Some(1), "nobody is there to ask: {exit:?}");
    assert!(exit.stderr.contains(&admin), "{exit:?}");
}

#[test]
fn statistics_count_what_happened() {
    let setup = Setup::new(WELCOME);
    let server = setup.start_with(&["--shards", "2"]);
    let mut client = server.client();
    for user in 0..10 {
        let token = client.decide(&format!("u{user}")).token().unwrap();
        client.event(&token, "shown").expect(202);
        if user < 3 {
            client.event(&token, "clicked").expect(202);
        }
    }
    let mut operator = server.operator();
    until("the counts in SQL", || {
        let stats = operator.get("/v1/stats?popup=welcome").expect(200).body;
        let has = |part: &str| stats.replace(' ', "").contains(part);
        (has("\"decided\":10") && has("\"shown\":10") && has("\"clicked\":3")).then_some(())
    });
    server.stop();
}

/// Holds what an operator is answered to its schema, both ways: what is there is described, and
/// what is described is there.
fn check_described(api: &Value, schema: &Value, found: &Value, path: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check_described(api, api.pointer(&reference[1..]).unwrap(), found, path);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let of_kind = |choice: &&Value| (choice["type"] == "null") == found.is_null();
        return check_described(api, choices.iter().find(of_kind).unwrap(), found, path);
    }
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = schema["type"].as_array().cloned().unwrap_or(vec![schema["type"].clone()]);
    let is_of = |wanted: &Value| *wanted == kind || (*wanted == "number" && kind == "integer");
    assert!(kinds.iter().any(is_of), "{path} is {found}, and described as {kinds:?}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(found), "{path} is {found}, and described as one of {words:?}");
    }
    for one in found.as_array().into_iter().flatten() {
        check_described(api, &schema["items"], one, &format!("{path}[]"));
    }
    let Some(found) = found.as_object() else { return };
    let described = schema["properties"].as_object();
    for (name, value) in found {
        let of_name = described.and_then(|described| described.get(name));
        let schema = of_name.unwrap_or(&schema["additionalProperties"]);
        assert!(schema.is_object(), "{path}.{name} is not described");
        check_described(api, schema, value, &format!("{path}.{name}"));
    }
    for name in described.into_iter().flatten().map(|(name, _)| name) {
        assert!(found.contains_key(name), "{path}.{name} is described and not there");
    }
}

/// Holds a node's status to its description.
pub fn check_status(server: &Server) -> Value {
    let mut operator = server.operator();
    let api = operator.get("/openapi.json").expect(200).json();
    let status = operator.get("/v1/status").expect(200).json();
    check_described(&api, &api["components"]["schemas"]["Status"], &status, "status");
    status
}

#[test]
fn the_status_is_what_is_described() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    client.decide("ann").expect(200);
    let status = check_status(&server);
    assert_eq!(status["listeners"][0]["connections"], 1, "{status}");
    let bound = server.data.to_string();
    assert_eq!(status["listeners"][0]["address"], bound, "with the port that was free");
    server.stop();
}

#[test]
fn what_is_not_there_is_told_so() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut operator = server.operator();
    operator.get("/no/such/path").expect(404);
    operator.get("/v1/popups/no-such").expect(404);
    operator.get("/v1/decide?user=u").expect(404);
    let refused = operator.ask("POST", "/metrics", "").expect(405);
    assert!(refused.field("allow").unwrap().contains("GET"), "{refused:?}");
    operator.ask("DELETE", "/v1/status", "").expect(405);
    operator.get("/v1/explain?placement=home").expect(400);
    let api = operator.get("/openapi.json").expect(200).json();
    assert!(api["paths"]["/v1/decide"].is_object() && api["paths"]["/metrics"].is_object());
    let popups = operator.get("/v1/popups").expect(200).body;
    assert!(popups.contains("welcome"), "{popups}");
    operator.get("/v1/popups/welcome/history").expect(200);
    // Data's paths are not the operators', and the other way round.
    server.client().get("/metrics").expect(404);
    server.stop();
}
