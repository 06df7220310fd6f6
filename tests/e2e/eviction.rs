//! Property: a node remembers more users than fit in its memory, and more than its promise asks of
//! it. Who was evicted is read back from SQL; with `ack = "synced"` answers wait for the disk.

use crate::client::{Client, request};
use crate::database;
use crate::harness::{Setup, WELCOME, until};

/// Users, with ids so long that they do not fit in the smallest slice (1 MiB).
const USERS: usize = 6_000;
const PIPELINED: usize = 16;

fn user(number: usize) -> String {
    format!("{number:0>120}")
}

/// Asks for users on one connection; gives how many were shown something, and the reasons else.
fn ask_all(client: &mut Client, numbers: &[usize]) -> (usize, Vec<String>) {
    let (mut shown, mut reasons) = (0, Vec::new());
    for some in numbers.chunks(PIPELINED) {
        let target = |number: &usize| format!("/v1/decide?user={}", user(*number));
        let requests = some.iter().flat_map(|number| request("GET", &target(number), ""));
        client.send(&requests.collect::<Vec<u8>>());
        for _ in some {
            let answer = client.answer();
            match answer.status {
                200 => shown += 1,
                _ => reasons.push(answer.reason().to_owned()),
            }
        }
    }
    (shown, reasons)
}

/// Asks again for those who were told `degraded`: the writer or the disk was behind.
fn ask_until_settled(client: &mut Client, expect_shows: bool) {
    let mut open: Vec<usize> = (0..USERS).collect();
    let mut shown = 0;
    until("every user to be settled", || {
        let mut again = Vec::new();
        for some in open.chunks(PIPELINED) {
            let (more, reasons) = ask_all(client, some);
            shown += more;
            assert!(expect_shows || more == 0, "shown twice within the gap");
            if reasons.iter().any(|reason| reason == "degraded") {
                again.extend_from_slice(some);
            }
        }
        open = again;
        open.is_empty().then_some(())
    });
    assert_eq!(shown, if expect_shows { USERS } else { 0 });
}

#[test]
fn who_was_evicted_is_remembered() {
    let setup = Setup::new(WELCOME).config("slice_bytes = \"2MiB\"\n");
    let server = setup.start_with(&["--shards", "1"]);
    let mut client = server.client();
    ask_until_settled(&mut client, true);
    ask_until_settled(&mut client, false);
    server.stop();
    assert_eq!(database::decided(setup.data()).len(), USERS);
    // Another number of shards, and nobody in memory.
    let server = setup.start_with(&["--shards", "2"]);
    ask_until_settled(&mut server.client(), false);
    server.kill();
}

#[test]
fn synced_answers_hold() {
    let setup = Setup::new(WELCOME).config("ack = \"synced\"\n").flags(&["--shards", "2"]);
    let server = setup.start();
    let mut client = server.client();
    let mut tokens = Vec::new();
    for number in 0..100 {
        let token = client.decide(&format!("u{number}")).token().unwrap();
        assert_eq!(client.event(&token, "clicked").expect(202).json()["accepted"], 1);
        tokens.push(token);
    }
    server.kill();
    let server = setup.start();
    assert_eq!(server.client().decide("u99").reason(), "gap");
    server.stop();
    let decided = database::decided(setup.data());
    assert!(tokens.iter().all(|token| decided.contains(token)));
    assert_eq!(database::events(setup.data()).len(), 200);
}
