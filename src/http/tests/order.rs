//! Property: answers leave in the order of their requests, and what waits is bounded. A peer that
//! asks without reading, or sends without being asked, costs a fixed amount of memory.

use super::{Client, GET, Mode, answers};
use crate::connection::{ConnectionEnd, Timeouts};
use nudged_base::limits::{
    CONNECTION_INPUT_BYTES_MAX, CONNECTION_OUTPUT_BYTES_MAX, PIPELINE_DEPTH_MAX,
    POOLED_BUFFER_BYTES_MAX,
};

fn numbered(count: usize) -> Vec<u8> {
    let one = |number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
    (0..count).map(one).collect::<String>().into_bytes()
}

fn wanted(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("200 GET /{number} <>")).collect()
}

#[test]
fn answers_leave_in_order_whatever_order_they_are_made_in() {
    for step in [1, 3, 5, 7, 9, 11, 13, 15] {
        let mut client = Client::new(Mode::Asked);
        client.receive(&numbered(PIPELINE_DEPTH_MAX));
        let pending = std::mem::take(&mut client.pending);
        for turn in 0..pending.len() {
            let (slot, body) = &pending[(turn * step + 3) % pending.len()];
            assert!(client.answer(*slot, body));
            assert!(!client.answer(*slot, body), "a request is answered once");
            client.send();
        }
        assert_eq!(client.answers(), wanted(PIPELINE_DEPTH_MAX));
    }
}

#[test]
fn an_answer_at_once_waits_for_those_before_it() {
    let mut client = Client::new(Mode::Asked);
    client.receive(GET);
    client.mode = Mode::AtOnce;
    client.receive(&numbered(2));
    assert!(client.sent.is_empty());
    client.answer_all();
    client.send();
    assert_eq!(client.answers(), ["200 GET / <>", "200 GET /0 <>", "200 GET /1 <>"]);
}

#[test]
fn reading_stops_at_the_depth_and_goes_on_after_answers() {
    let count = PIPELINE_DEPTH_MAX * 3 + 5;
    for piece in [1, 11, 1_000, usize::MAX] {
        let mut client = Client::new(Mode::Asked);
        let bytes = numbered(count);
        for part in bytes.chunks(piece.min(bytes.len())) {
            client.receive(part);
            assert!(client.connection.unanswered() <= PIPELINE_DEPTH_MAX);
        }
        assert_eq!(client.handled, PIPELINE_DEPTH_MAX);
        assert!(!client.connection.wants_reading());
        assert!(!client.connection.can_resume());
        assert_eq!(
            client.connection.deadline(&Timeouts::DEFAULT),
            None,
            "the peer is not to blame"
        );
        while client.handled < count || !client.pending.is_empty() {
            let (slot, body) = client.pending.remove(0);
            assert!(client.answer(slot, &body));
            client.go_on();
        }
        assert!(client.connection.wants_reading());
        assert_eq!(client.answers(), wanted(count));
    }
}

#[test]
fn a_half_closed_peer_gets_the_answers_past_the_depth_too() {
    let count = PIPELINE_DEPTH_MAX + 3;
    let mut client = Client::new(Mode::Asked);
    client.receive(&numbered(count));
    client.peer_closed();
    while !client.pending.is_empty() {
        client.answer_all();
        client.go_on();
    }
    let mut want = wanted(count);
    want.last_mut().unwrap().push_str(" close");
    assert_eq!(client.answers(), want);
    assert_eq!(client.ending(), ConnectionEnd::Close);
}

#[test]
fn the_peer_that_does_not_read_is_not_read_from() {
    let mut client = Client::new(Mode::AtOnce);
    client.receive(GET);
    let count = 4_000;
    // Nothing is sent while the connection is fed directly.
    let bytes = numbered(count);
    client.with(|connection, turn, handler| {
        connection.receive(&bytes, turn, &mut |request: &_, slot, out: &mut _| {
            handler((request, slot, out))
        });
    });
    assert!(client.handled < count);
    assert!(!client.connection.wants_reading());
    let first = client.connection.take_output(client.now).unwrap();
    assert!(first.len() < CONNECTION_OUTPUT_BYTES_MAX + 1_024);
    // While that is being sent, as much again may be prepared, and no more.
    client.resume();
    assert!(!client.connection.can_resume());
    let all = first.len();
    client.sent.extend_from_slice(&first);
    client.sent_back(first, Ok(all));
    client.go_on();
    assert_eq!(answers(&client.sent)[1..], wanted(count));
}

// The bytes that wait may never run out; the buffer must not grow with all that went through it.
#[test]
fn a_peer_that_is_always_ahead_costs_what_waits_and_no_more() {
    let mut client = Client::new(Mode::Asked);
    client.receive(&numbered(PIPELINE_DEPTH_MAX + 2));
    for _ in 0..2 * POOLED_BUFFER_BYTES_MAX / GET.len() {
        client.receive(GET);
        let (slot, body) = client.pending.remove(0);
        assert!(client.answer(slot, &body));
        client.go_on();
    }
    while !client.pending.is_empty() {
        let (slot, body) = client.pending.remove(0);
        assert!(client.answer(slot, &body));
        client.go_on();
    }
    assert_eq!(client.pool.len(), 2, "a buffer that grew too large would not have been kept");
}

#[test]
fn bytes_past_the_bound_end_the_connection_after_the_answers_that_are_due() {
    let mut client = Client::new(Mode::Asked);
    client.receive(&numbered(PIPELINE_DEPTH_MAX));
    let bytes = vec![b'A'; CONNECTION_INPUT_BYTES_MAX];
    client.receive(&bytes);
    assert_eq!(client.ending(), ConnectionEnd::Open);
    client.receive(b"A");
    let most = client.pool.len();
    assert!(most <= 8);
    client.answer_all();
    client.send();
    let mut want = wanted(PIPELINE_DEPTH_MAX);
    want.last_mut().unwrap().push_str(" close");
    assert_eq!(client.answers(), want);
    assert_eq!(client.ending(), ConnectionEnd::ShutDown);
}

// How large answers are is learned from them, so that requests that wait for theirs do not come to
// owe many times the bound; small ones are taken up to the depth all the same.
#[test]
fn no_more_is_asked_for_than_its_answers_have_room_for() {
    for (bytes, most) in [(300, PIPELINE_DEPTH_MAX), (30_000, 3), (200_000, 1)] {
        let mut client = Client::new(Mode::Asked);
        let body = vec![b'x'; bytes];
        for _ in 0..64 {
            client.receive(GET);
            let (slot, _) = client.pending.remove(0);
            assert!(client.answer(slot, &body));
            client.go_on();
        }
        client.receive(&numbered(PIPELINE_DEPTH_MAX * 2));
        assert_eq!(client.connection.unanswered(), most, "{bytes}");
        assert!(client.connection.unsent_bytes() < CONNECTION_OUTPUT_BYTES_MAX);
        while let Some((slot, _)) = client.pending.first().cloned() {
            client.pending.remove(0);
            assert!(client.answer(slot, &body));
            client.go_on();
            assert!(client.connection.unanswered() <= most);
        }
        assert_eq!(client.handled, 64 + PIPELINE_DEPTH_MAX * 2);
    }
}

#[test]
fn a_connection_that_is_given_up_gives_its_buffers_back() {
    let mut client = Client::new(Mode::Asked);
    client.receive(&[GET, GET, b"GET /"].concat());
    let (slot, _) = client.pending.remove(1);
    assert!(client.answer(slot, b"second"));
    let held = client.pool.len();
    let Client { connection, pool, .. } = &mut client;
    connection.give_up(pool);
    assert_eq!(client.pool.len(), held + 2, "what was unfinished, and the answer before its turn");
    assert_eq!(client.connection.unsent_bytes(), 0);
    assert!(client.should_close());
}
