//! Property: with `[keys] identity` no page spends another user's popups. Whoever has no server key
//! names a user by its signature alone; anonymous ids sign themselves; a reload switches it live;
//! what the documents tell servers to do gives the signatures that a node takes.

use std::process::Command;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::client::Client;
use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{ALWAYS, Setup, repository};

const PUBLIC: &str = "public-key-0123456789";
const SERVER: &str = "server-key-0123456789";
const SECRET: &str = "identity-secret-1";
const NEWER: &str = "identity-secret-2";

/// The section `[keys]` with these secrets.
fn keys(secrets: &[&str]) -> String {
    format!("[keys]\nserver = [\"{SERVER}\"]\npublic = [\"{PUBLIC}\"]\nidentity = {secrets:?}\n")
}

fn sign(secret: &str, user: &str) -> String {
    let mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).unwrap();
    let tag = mac.chain_update(user).finalize().into_bytes();
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The status of a decision by a query, with its code where it is refused.
fn asked(client: &mut Client, query: &str) -> (u16, String) {
    let answer = client.get(&format!("/v1/decide?key={PUBLIC}&{query}"));
    let code = match answer.status {
        400.. => answer.json()["error"]["code"].as_str().unwrap().to_owned(),
        _ => String::new(),
    };
    (answer.status, code)
}

/// The anonymous id of an answer that shows a popup; `None` where none was minted.
fn anon(client: &mut Client, query: &str) -> Option<String> {
    let answer = client.get(&format!("/v1/decide?key={PUBLIC}&{query}")).expect(200);
    answer.json()["anon"].as_str().map(str::to_owned)
}

/// What a page can do and what it can't, on a node with the one secret; for a user who has not come
/// before.
fn assert_signed(client: &mut Client, user: &str) {
    let (ok, refused) = ((200, String::new()), (401, "bad_signature".to_owned()));
    let good = format!("user=u1&sig={}", sign(SECRET, "u1"));
    assert_eq!(asked(client, &good), ok);
    assert_eq!(asked(client, "user=u1"), refused);
    assert_eq!(asked(client, &format!("user=u2&sig={}", sign(SECRET, "u1"))), refused);
    assert_eq!(asked(client, &format!("user=u1&sig={}", sign(NEWER, "u1"))), refused);
    let target = format!("/v1/decide?key={PUBLIC}");
    let body = format!("{{\"user\":\"{user}\",\"sig\":\"{}\"}}", sign(SECRET, user));
    let shown = client.ask("POST", &target, &body).expect(200);
    let wrong = client.ask("POST", &target, &format!("{{\"user\":\"{user}\"}}")).expect(401);
    assert_eq!(wrong.json()["error"]["field"], "sig", "{wrong:?}");
    assert_eq!(wrong.field("www-authenticate"), Some("Bearer"));
    // Who has a server key names anybody, and tokens say themselves whose they are.
    client.get(&format!("/v1/decide?key={SERVER}&user=u1")).expect(200);
    let event = crate::client::event(&shown.token().unwrap(), "clicked");
    let taken = client.ask("POST", &format!("/v1/events?key={PUBLIC}"), &event).expect(202);
    assert_eq!(taken.json()["accepted"], 1, "{taken:?}");
}

/// An anonymous id proves itself, and none that does not is taken.
fn assert_minted(client: &mut Client) {
    let first = anon(client, "").expect("one is minted");
    let (id, seal) = first.split_once('.').expect("it carries its own signature");
    assert_eq!((id.len(), seal.len()), (26, 26), "{first}");
    assert_eq!(anon(client, &format!("user={first}")), None, "it is a user");
    let other = anon(client, "").unwrap();
    let swapped = format!("{id}.{}", other.split_once('.').unwrap().1);
    for unproven in [id, &swapped, &first[..first.len() - 1], "anon-0123456789abcdefghjkm"] {
        let new = anon(client, &format!("user={unproven}")).expect("a new one is minted");
        assert!(new != first && new != other && new.len() == 53, "{unproven}: {new}");
    }
    let nothing = client.get(&format!("/v1/decide?key={PUBLIC}&placement=none")).expect(204);
    assert_eq!(nothing.field("nudge-anon").map(str::len), Some(53), "{nothing:?}");
}

#[test]
fn only_a_signature_names_a_user_and_a_reload_switches_it_live() {
    let setup = Setup::new(ALWAYS).config(&keys(&[])).flags(&["--shards", "2", "--no-pin"]);
    let server = setup.start();
    let mut client = server.client();
    let reload = |secrets: &[&str]| {
        setup.write_config(&keys(secrets));
        server.operator().ask("POST", "/v1/reload", "").expect(200);
    };
    // Sites send signatures before they are asked for.
    assert_eq!(asked(&mut client, "user=u1&sig=whatever").0, 200);
    let before = anon(&mut client, "").unwrap();
    assert_eq!(before.len(), 26, "{before}");
    reload(&[SECRET]);
    assert_signed(&mut client, "ü 1");
    assert_minted(&mut client);
    assert!(anon(&mut client, &format!("user={before}")).is_some(), "older than the secret");
    let minted = anon(&mut client, "").unwrap();
    let old = format!("user=u1&sig={}", sign(SECRET, "u1"));
    let new = format!("user=u1&sig={}", sign(NEWER, "u1"));
    for (secrets, is_old_good) in [(&[NEWER, SECRET][..], true), (&[NEWER], false)] {
        reload(secrets);
        assert_eq!(asked(&mut client, &new).0, 200, "{secrets:?}");
        assert_eq!(asked(&mut client, &old).0, if is_old_good { 200 } else { 401 });
        let is_replaced = anon(&mut client, &format!("user={minted}")).is_some();
        assert_eq!(is_replaced, !is_old_good, "{secrets:?}");
    }
    reload(&[]);
    assert_eq!(asked(&mut client, "user=u1").0, 200, "nobody asks any more");
    server.stop();
}

#[test]
fn every_node_of_a_cluster_takes_the_same_signatures_and_ids() {
    let cluster = Cluster::new(Plan::new(ALWAYS));
    let nodes: Vec<_> = (0..2)
        .map(|_| {
            let setup = cluster.node();
            let config = std::fs::read_to_string(setup.path("nudged.toml")).unwrap();
            std::fs::write(setup.path("nudged.toml"), config + &keys(&[SECRET])).unwrap();
            let server = setup.start();
            (setup, server)
        })
        .collect();
    for (user, (_, server)) in ["ü 1", "ü 2"].into_iter().zip(&nodes) {
        assert_signed(&mut server.client(), user);
        assert_minted(&mut server.client());
    }
    let minted = anon(&mut nodes[0].1.client(), "").unwrap();
    assert_eq!(anon(&mut nodes[1].1.client(), &format!("user={minted}")), None, "{minted}");
    stop(nodes);
}

#[test]
fn secrets_without_keys_are_refused() {
    let setup = Setup::new(ALWAYS).config(&format!("[keys]\nidentity = [\"{SECRET}\"]\n"));
    let refused = setup.start_fails(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("keys.identity"), "{refused:?}");
    assert!(!refused.stderr.contains(SECRET), "{refused:?}");
}

/// What a language signs with: its example, with an end that prints what it signs.
struct Example {
    language: &'static str,
    program: &'static [&'static str],
    file: &'static str,
    begin: &'static str,
    end: &'static str,
}

const EXAMPLES: [Example; 5] = [
    Example {
        language: "js",
        program: &["node"],
        file: "sign.cjs",
        begin: "",
        end: "console.log(process.argv.slice(2).map(sign).join('\\n'));",
    },
    Example {
        language: "python",
        program: &["python3"],
        file: "sign.py",
        begin: "",
        end: "import sys\nprint('\\n'.join(map(sign, sys.argv[1:])))",
    },
    Example {
        language: "php",
        program: &["php"],
        file: "sign.php",
        begin: "<?php\n",
        end: "foreach (array_slice($argv, 1) as $user) { echo sign($user), \"\\n\"; }",
    },
    Example {
        language: "ruby",
        program: &["ruby"],
        file: "sign.rb",
        begin: "",
        end: "ARGV.each { |user| puts sign(user) }",
    },
    Example {
        language: "go",
        program: &["go", "run"],
        file: "sign.go",
        begin: "package main\nimport (\"crypto/hmac\"; \"crypto/sha256\"; \"encoding/hex\"; \
                \"fmt\"; \"os\")\n",
        end: "func main() { for _, user := range os.Args[1:] { fmt.Println(sign(user)) } }",
    },
];

#[test]
fn each_example_of_the_documents_signs_as_a_node_verifies() {
    let document = std::fs::read_to_string(repository("docs/signed-users.md")).unwrap();
    let setup = Setup::new(ALWAYS).config(&keys(&[SECRET]));
    let server = setup.start();
    let users = ["u1", "Zoë 4/2+&=%"];
    let mut count = 0;
    for example in EXAMPLES {
        let fence = format!("```{}\n", example.language);
        let code = document.split_once(&fence).unwrap().1.split_once("```").unwrap().0;
        let file = setup.path(example.file);
        std::fs::write(&file, [example.begin, code, example.end].concat()).unwrap();
        let mut command = Command::new(example.program[0]);
        command.args(&example.program[1..]).arg(&file).args(users);
        let Ok(output) = command.env("IDENTITY_SECRET", SECRET).output() else {
            println!("left out: no {}", example.program[0]);
            continue;
        };
        assert!(output.status.success(), "{}: {output:?}", example.language);
        let signatures = String::from_utf8(output.stdout).unwrap();
        let signatures: Vec<&str> = signatures.split_whitespace().collect();
        assert_eq!(signatures.len(), users.len(), "{}", example.language);
        for (user, signature) in users.into_iter().zip(signatures) {
            let body = format!("{{\"user\":\"{user}\",\"sig\":\"{signature}\"}}");
            let target = format!("/v1/decide?key={PUBLIC}");
            server.client().ask("POST", &target, &body).expect(200);
        }
        count += 1;
    }
    assert!(count >= 1, "no language is at hand");
    assert!(document.contains(&sign(SECRET, "u1")), "the one to compare with");
    server.stop();
}
