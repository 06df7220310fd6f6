//! Property: how many shards there are, and where they run, is nobody's business but the
//! operator's. Every user is served on every connection, in order; state outlives a change of
//! their number.

use std::collections::HashSet;

use crate::client::{event, request};
use crate::harness::{ALWAYS, Setup, WELCOME};
use crate::io_uring::refuse_device_polling;
use crate::support::log::LogLine;

/// As many users as have homes on all shards.
const USERS: usize = 100;
/// Requests on one connection before the first answer is read.
const PIPELINED: usize = 16;

fn user(number: usize) -> String {
    format!("user-{number}")
}

/// Shows everyone one popup on one connection, in pipelines, and posts mixed events.
fn serve_everyone(flags: &[&str]) -> String {
    serve_everyone_on(&Setup::new(WELCOME), flags)
}

fn serve_everyone_on(setup: &Setup, flags: &[&str]) -> String {
    let server = setup.start_with(flags);
    let mut client = server.client();
    let mut tokens = Vec::new();
    for first in (0..USERS).step_by(PIPELINED) {
        let numbers: Vec<usize> = (first..USERS.min(first + PIPELINED)).collect();
        let target = |number: &usize| format!("/v1/decide?user={}", user(*number));
        let requests: Vec<u8> =
            numbers.iter().flat_map(|number| request("GET", &target(number), "")).collect();
        client.send(&requests);
        for number in numbers {
            let token = client.answer().expect(200).token().unwrap();
            tokens.push((number, token));
        }
    }
    // In order: each token is its own user's, or its event would be another's.
    for (number, token) in &tokens {
        let body =
            format!("{{\"user\":\"{}\",\"events\":[{}]}}", user(*number), event(token, "shown"));
        let answer = client.ask("POST", "/v1/decide", &body).expect(204);
        assert_eq!(answer.field("nudge-events"), Some("accepted=1,duplicate=0,rejected=0"));
    }
    let events: Vec<String> = tokens.iter().map(|(_, token)| event(token, "clicked")).collect();
    let answer = client.ask("POST", "/v1/events", &format!("[{}]", events.join(","))).expect(202);
    assert_eq!(answer.json()["accepted"], USERS, "{answer:?}");
    let distinct: HashSet<&String> = tokens.iter().map(|(_, token)| token).collect();
    assert_eq!(distinct.len(), USERS);
    let said = server.said();
    server.stop();
    said
}

#[test]
fn one_shard() {
    serve_everyone(&["--shards", "1"]);
}

#[test]
fn two_shards() {
    serve_everyone(&["--shards", "2"]);
}

#[test]
fn more_shards_than_cores_share_them_and_that_is_said_once() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let shards = (cores + 3).to_string();
    let said = serve_everyone(&["--shards", &shards]);
    assert_eq!(LogLine::of(&said, "cores_shared").len(), 1, "{said}");
}

#[test]
fn chosen_cores() {
    serve_everyone(&["--shards", "2", "--cpus", "0", "--writer-cpu", "0"]);
}

#[test]
fn no_pinning() {
    let said = serve_everyone(&["--shards", "2", "--no-pin"]);
    assert!(!said.contains("pin_failed"), "{said}");
}

#[test]
fn busy_polling() {
    serve_everyone(&["--shards", "2", "--busy-poll", "50"]);
}

#[test]
fn what_the_network_card_should_do() {
    let setup = Setup::new(WELCOME);
    setup.write_config("incoming_cpu = true\nnapi_busy_poll_us = 10\n");
    serve_everyone_on(&setup, &["--shards", "2"]);
}

#[test]
fn a_host_that_cannot_do_it_serves_and_says_so_once() {
    let setup = Setup::new(WELCOME).before_exec(refuse_device_polling);
    setup.write_config("incoming_cpu = true\nnapi_busy_poll_us = 10\n");
    let said = serve_everyone_on(&setup, &["--shards", "2", "--no-pin"]);
    let lines = LogLine::of(&said, "setting_unsupported");
    assert_eq!(lines.len(), 2, "{said}");
    for setting in ["incoming_cpu", "napi_busy_poll_us"] {
        assert_eq!(said.matches(setting).count(), 1, "{said}");
    }
}

#[test]
fn a_core_that_is_not_there_is_refused() {
    let exit = Setup::new(WELCOME).start_fails(&["--cpus", "1000"]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(exit.stderr.contains("1000"), "{exit:?}");
}

#[test]
fn state_outlives_another_number_of_shards() {
    let setup = Setup::new(WELCOME);
    let mut tokens: Vec<(usize, String)> = Vec::new();
    for (round, shards) in ["2", "1", "3", "2"].iter().enumerate() {
        let server = setup.start_with(&["--shards", shards]);
        let mut client = server.client();
        for (number, token) in &tokens {
            let asked = client.decide(&user(*number));
            assert_eq!(asked.reason(), "gap", "round {round}");
            let repeated = client.event(token, "shown").expect(202).json();
            assert_eq!(repeated["duplicate"], 1, "round {round}: {repeated}");
        }
        for number in 10 * round..10 * (round + 1) {
            let token = client.decide(&user(number)).token().unwrap();
            assert_eq!(client.event(&token, "shown").expect(202).json()["accepted"], 1);
            tokens.push((number, token));
        }
        // Kills and stops in turn: what is read back comes from the journal or from SQL.
        if round % 2 == 0 { server.kill() } else { server.stop() }
    }
}

#[test]
fn events_of_one_user_keep_their_order() {
    let setup = Setup::new(ALWAYS);
    let server = setup.start_with(&["--shards", "3"]);
    let mut client = server.client();
    let mut all = Vec::new();
    for number in 0..25 {
        let token = client.decide(&user(number)).token().unwrap();
        // The same action twice: the first is taken, the second is the duplicate.
        all.extend([event(&token, "clicked"), event(&token, "clicked")]);
        all.extend([event(&token, "nonsense"), event("no.token", "clicked")]);
    }
    let answer =
        client.ask("POST", "/v1/events", &format!("[{}]", all.join(","))).expect(202).json();
    assert_eq!((&answer["accepted"], &answer["duplicate"]), (&25.into(), &25.into()), "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 50);
    for (place, one) in rejected.iter().enumerate() {
        let index = 4 * (place / 2) + 2 + place % 2;
        let code = ["unknown_action", "bad_decision"][place % 2];
        assert_eq!((&one["index"], &one["code"]), (&index.into(), &code.into()), "{one}");
    }
    server.stop();
}
