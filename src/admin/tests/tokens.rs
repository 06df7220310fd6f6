//! Property: whoever makes or revokes a token is told how many it is, and where other nodes do not
//! know of it.

use sha2::Digest as _;

use super::*;
use nudged_config::SecretText;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::operators::{OperatorRole, OperatorToken, OperatorTokenId};

impl Node {
    /// A token that another node made.
    fn take_token(&self, id: u128, name: &str) {
        self.take_expiring_token(id, name, None);
    }

    /// The same of one whose time is up some time.
    fn take_expiring_token(&self, id: u128, name: &str, expires: Option<WallMs>) {
        let token = OperatorToken {
            id: OperatorTokenId(id),
            name: name.into(),
            role: OperatorRole::Admin,
            hash: sha2::Sha256::digest(name).into(),
            at: WallMs(i64::try_from(id).unwrap()),
            who: "another".into(),
            expires,
            end: None,
        };
        self.publisher.with_tokens(|tokens| tokens.take(&token, OverridePlace::Redis));
    }
}

#[test]
fn all_tokens_of_a_name_are_revoked_at_once() {
    let node = node();
    let two = [(7, "ann"), (8, "ben"), (9, "ann")];
    two.iter().for_each(|(id, name)| node.take_token(*id, name));
    let revoked = node.json("DELETE /v1/tokens?name=ann");
    assert_eq!((&revoked["revoked"], &revoked["name"]), (&json!(2), &json!("ann")), "{revoked}");
    assert_eq!(revoked["id"], format!("{:032x}", 7), "the oldest");
    assert!(revoked["warnings"][0].as_str().unwrap().starts_with("2 tokens"), "{revoked}");
    let listed = node.json("GET /v1/tokens");
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1, "{listed}");
    let revoked = node.json(&format!("DELETE /v1/tokens/{:032x}", 8));
    assert_eq!((&revoked["revoked"], &revoked["warnings"]), (&json!(1), &json!([])));
    for target in ["?name=ann", "?id=8", "/8"] {
        assert_eq!(node.status(&format!("DELETE /v1/tokens{target}")), 404, "{target}");
    }
}

#[test]
fn a_token_that_other_nodes_do_not_know_is_warned_of() {
    let directory = NodeDirectory::with_popups(POPUPS);
    directory.change(|config| {
        config.mysql.url = Some(SecretText::new("mysql://u@h/d".to_owned()));
    });
    let node = node_at(AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()), directory).unwrap();
    let warning = |answer: &Value| answer["warnings"].to_string();
    // Its SQL is a file here, which would be enough for other nodes.
    let aside = rusqlite::Connection::open(node.directory.path().join("nudged.db")).unwrap();
    aside.execute_batch("ALTER TABLE operator_tokens RENAME TO aside").unwrap();
    let (status, _, made) =
        node.send("POST /v1/tokens", "", "{\"name\":\"ann\",\"role\":\"viewer\"}");
    assert_eq!(status, 201, "{made}");
    assert!(warning(&made).contains("other nodes do not know"), "{made}");
    let revoked = node.json("DELETE /v1/tokens?name=ann");
    assert!(warning(&revoked).contains("other nodes do not know"), "{revoked}");
}

#[test]
fn a_token_whose_time_is_up_is_refused_in_words_of_its_own_and_listed_for_a_while() {
    let node = node();
    let (now, day) = (clocks::wall(), 86_400_000);
    node.take_expiring_token(7, "over", Some(WallMs(now.0 - day)));
    node.take_expiring_token(8, "coming", Some(WallMs(now.0 + day)));
    let said = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let (status, _, answer) = node.send("GET /v1/status", &bearer, "");
        (status, answer["error"]["code"].clone())
    };
    assert_eq!(said("over"), (401, json!("token_expired")));
    assert_eq!(said("coming").0, 200);
    assert_eq!(said("nothing"), (401, json!("wrong_token")));
    let (status, _, refused) = node.send("POST /v1/session", "", "{\"token\":\"over\"}");
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("token_expired")));
    let (status, _, session) = node.send("POST /v1/session", "", "{\"token\":\"coming\"}");
    assert_eq!(
        (status, &session["expires_at"]),
        (200, &input::moment_json(WallMs(now.0 + day))),
        "who is there is told until when"
    );
    let listed = node.json("GET /v1/tokens");
    let told = listed["tokens"].as_array().unwrap().iter();
    let told: Vec<_> =
        told.map(|token| (token["name"].clone(), token["expired"].clone())).collect();
    assert_eq!(json!(told), json!([["over", true], ["coming", false]]), "{listed}");
    let body = "{\"name\":\"over\",\"role\":\"viewer\",\"expires_in\":\"90d\"}";
    let (status, _, made) = node.send("POST /v1/tokens", "", body);
    assert_eq!((status, &made["expired"]), (201, &json!(false)), "its name is free: {made}");
    let schema = &openapi::document()["components"]["schemas"]["OperatorToken"];
    assert_eq!(described::undescribed(&openapi::document(), schema, &made, ""), [""; 0]);
    let expires = made["expires_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (least, most) = (now.0 + 90 * day, clocks::wall().0 + 90 * day);
    assert!((least..=most).contains(&expires.as_millisecond()), "{made}");
    assert!(node.ask("GET /metrics", "").1.contains("\nnudged_admin_tokens 2\n"));
    let audit = node.json("GET /v1/audit");
    assert_eq!(audit["entries"][0]["expires_at"], made["expires_at"], "{audit}");
    assert_eq!(node.json("DELETE /v1/tokens?name=over")["revoked"], 2, "expired ones too");
}

#[test]
fn each_operation_is_for_the_roles_that_its_description_says() {
    let node = node();
    let document = openapi::document();
    let roles = ["viewer", "editor", "operator", "admin"];
    let bearers = roles.map(|role| {
        let body = json!({ "name": role, "role": role }).to_string();
        let (_, _, made) = node.send("POST /v1/tokens", "", &body);
        format!("Authorization: Bearer {}\r\n", made["token"].as_str().unwrap())
    });
    for operation in operations::OPERATIONS {
        let method = operations::name_of(operation.method);
        let described = &document["paths"][operation.path][method.to_ascii_lowercase()];
        let Some(of_it) = described["x-roles"].as_array() else { continue };
        assert_eq!(described["security"], json!([{"token": []}, {"session": []}, {}]), "{method}");
        // What no route takes is refused behind the role, and does nothing.
        let path = operation.path.replace("{id}", "a").replace("{user}", "u");
        let line = format!("{method} {path}?limt=1");
        for (role, bearer) in roles.iter().zip(&bearers) {
            let want = if of_it.contains(&json!(role)) { 400 } else { 403 };
            assert_eq!(node.send(&line, bearer, "").0, want, "{line} {role}");
        }
    }
}
