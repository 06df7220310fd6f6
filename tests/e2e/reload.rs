//! Property: a reload is whole or nothing (docs/guarantees.md#g9). A good file is live on every
//! shard within a second, a bad one changes nothing and is named; what an operator has paused stays
//! paused through reloads and restarts.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::Client;
use crate::harness::{Server, Setup, WELCOME, until_within};

/// A change is live on every shard within this (docs/semantics.md#the-catalog), with room for a
/// busy machine.
const LIVE_WITHIN: Duration = Duration::from_secs(3);
/// Users enough to have homes on every shard.
const USERS: usize = 24;

fn titled(title: &str) -> String {
    format!(
        "[[popup]]\nid = \"welcome\"\nafter_shown = \"0s\"\n[popup.content]\ntitle = \"{title}\"\n"
    )
}

/// Whether users of every shard are shown this title.
fn all_see(client: &mut Client, title: &str) -> bool {
    (0..USERS).all(|user| {
        let body = client.decide(&format!("{title}-{user}")).expect(200).json();
        body["popup"]["content"]["title"] == title
    })
}

fn all_see_in_time(server: &Server, title: &str) {
    let mut client = server.client();
    let begun = Instant::now();
    until_within("the change on every shard", LIVE_WITHIN, || {
        let body = client.decide(&format!("first-{title}")).expect(200).json();
        (body["popup"]["content"]["title"] == title).then_some(())
    });
    until_within("the change on every shard", LIVE_WITHIN, || {
        all_see(&mut client, title).then_some(())
    });
    println!("live on every shard after {:?}", begun.elapsed());
}

#[test]
fn a_good_file_is_live_on_every_shard() {
    let setup = Setup::new(&titled("one"));
    let server = setup.start_with(&["--shards", "3"]);
    assert!(all_see(&mut server.client(), "one"));
    setup.write_popups(&titled("two"));
    server.signal(Signal::HUP);
    all_see_in_time(&server, "two");
    setup.write_popups(&titled("three"));
    let answer = server.operator().ask("POST", "/v1/reload", "").expect(200);
    assert!(all_see(&mut server.client(), "three"), "live when the answer comes: {answer:?}");
    let body = server.client().decide("someone").expect(200).json();
    assert_eq!(body["popup"]["version"], 3);
    server.stop();
}

#[test]
fn a_bad_file_changes_nothing_and_every_error_is_named() {
    let setup = Setup::new(&titled("one"));
    let mut server = setup.start_with(&["--shards", "2"]);
    server.allow("catalog_refused");
    server.allow("config_refused");
    let bad = format!("{}[[popup]]\nid = \"b\"\npriority = \"high\"\ncaps = 3\n", titled("two"));
    setup.write_popups(&bad);
    let refused = server.operator().ask("POST", "/v1/reload", "");
    assert!(matches!(refused.status, 400 | 422), "{refused:?}");
    for part in ["priority", "caps", "popups.toml:"] {
        assert!(refused.body.contains(part), "{part}: {refused:?}");
    }
    server.signal(Signal::HUP);
    until_within("the refusal in the log", LIVE_WITHIN, || {
        let is_told = |code: &str| !server.logged(code).is_empty();
        (is_told("catalog_refused") || is_told("config_refused")).then_some(())
    });
    assert!(all_see(&mut server.client(), "one"), "the old popups stay");
    fs::remove_file(setup.path("popups.toml")).unwrap();
    let refused = server.operator().ask("POST", "/v1/reload", "");
    assert!(matches!(refused.status, 400 | 422 | 500), "{refused:?}");
    assert!(all_see(&mut server.client(), "one"), "the old popups stay");
    setup.write_popups(&titled("two"));
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    assert!(all_see(&mut server.client(), "two"));
    server.stop();
}

#[test]
fn settings_of_decisions_are_taken_and_others_wait() {
    let setup = Setup::new(&titled("one"));
    let server = setup.start();
    let mut client = server.client();
    client.decide("ann").expect(200);
    client.decide("ann").expect(200);
    setup.write_config("quiet_time = \"1h\"\nbusy_poll_us = 7\n");
    let answer = server.operator().ask("POST", "/v1/reload", "").expect(200);
    assert!(answer.body.contains("busy_poll_us"), "what waits for a restart is named: {answer:?}");
    assert_eq!(client.decide("ann").reason(), "quiet");
    setup.write_config("quiet_time = \"soon\"\n");
    let mut server = server;
    server.allow("config_refused");
    let refused = server.operator().ask("POST", "/v1/reload", "");
    assert!(matches!(refused.status, 400 | 422), "{refused:?}");
    assert_eq!(client.decide("ann").reason(), "quiet", "the old settings stay");
    server.stop();
}

#[test]
fn a_pause_outlives_reloads_and_restarts() {
    let setup = Setup::new(&titled("one"));
    let server = setup.start_with(&["--shards", "2"]);
    let mut operator = server.operator();
    operator.ask("POST", "/v1/popups/welcome/pause", "").expect(200);
    let mut client = server.client();
    for user in 0..USERS {
        assert_eq!(client.decide(&format!("u{user}")).reason(), "none", "paused on every shard");
    }
    setup.write_popups(&titled("two"));
    operator.ask("POST", "/v1/reload", "").expect(200);
    assert_eq!(client.decide("ann").reason(), "none", "paused after a reload");
    server.stop();
    let server = setup.start_with(&["--shards", "3"]);
    assert_eq!(server.client().decide("ann").reason(), "none", "paused after a restart");
    let mut operator = server.operator();
    operator.ask("POST", "/v1/popups/welcome/resume", "").expect(200);
    assert!(all_see(&mut server.client(), "two"));
    operator.ask("POST", "/v1/popups/no-such/pause", "").expect(404);
    operator.get("/v1/popups/welcome/pause").expect(405);
    server.stop();
}

#[test]
fn a_popup_gone_from_the_file_and_back_keeps_its_history() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    setup.write_popups("popup = []\n");
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    assert_eq!(server.client().decide("bob").reason(), "none");
    let clicked = server.client().event(&token, "clicked").expect(202).json();
    assert_eq!(clicked["accepted"], 1, "events of a popup that is gone are taken: {clicked}");
    setup.write_popups(WELCOME);
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    let ann = server.client().decide("ann").expect(204);
    assert_eq!((ann.reason(), ann.field("nudge-next")), ("gap", None), "clicked: never again");
    server.client().decide("bob").expect(200);
    server.stop();
}
