//! Property: whoever makes or revokes a token is told how many it is, and where other nodes do not
//! know of it.

use super::*;
use nudged_config::SecretText;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::operators::{OperatorRole, OperatorToken, OperatorTokenId};

impl Node {
    /// A token that another node made.
    fn take_token(&self, id: u128, name: &str) {
        let token = OperatorToken {
            id: OperatorTokenId(id),
            name: name.into(),
            role: OperatorRole::Admin,
            hash: [u8::try_from(id).unwrap(); 32],
            at: WallMs(i64::try_from(id).unwrap()),
            who: "another".into(),
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
