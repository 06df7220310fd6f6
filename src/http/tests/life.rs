//! Property: a connection ends when it should, neither earlier nor later, and says how. Each limit
//! in time is tested at its last good nanosecond and at the first one past it.

use super::{Client, GET, Mode, turn};
use crate::connection::{ConnectionEnd, Expiry, SendFailed, Timeouts};
use nudged_base::limits::{
    BODY_TIMEOUT_MS, FIRST_BYTE_TIMEOUT_MS, HEAD_TIMEOUT_MS, IDLE_TIMEOUT_MS, LINGER_BYTES_MAX,
    LINGER_TIMEOUT_MS, WRITE_STALL_TIMEOUT_MS,
};
use nudged_base::time::MonoNs;

const POST_HEAD: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const CHUNKED_HEAD: &[u8] = b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const EXPECTING: &[u8] =
    b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const BAD: &[u8] = b"GET / HTTP/1.1\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Client {
    fn later(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    fn expire_at(&mut self, now: MonoNs) -> Expiry {
        let mut turn = turn(now, (&mut self.pool, &mut self.known));
        self.connection.expire(&mut turn)
    }

    /// Checks that the next deadline is `ms` from now and that it means `expiry`.
    #[track_caller]
    fn expires_in(&mut self, ms: u64, expiry: Expiry) {
        let at = self.now.plus_ms(ms);
        assert_eq!(self.connection.deadline(&Timeouts::DEFAULT), Some(at));
        assert_eq!(self.expire_at(MonoNs(at.0 - 1)), Expiry::Nothing);
        assert_eq!(self.expire_at(at), expiry);
        self.now = at;
        if expiry != Expiry::Reset {
            self.send();
        }
    }

    fn drain(&mut self) {
        let mut turn = turn(self.now, (&mut self.pool, &mut self.known));
        self.connection.drain(&mut turn);
    }
}

#[test]
fn a_connection_without_a_byte_ends_after_its_time() {
    let mut client = Client::new(Mode::AtOnce);
    client.expires_in(FIRST_BYTE_TIMEOUT_MS, Expiry::Closed);
    assert!(client.should_close());
    assert!(client.sent.is_empty());
    assert_eq!(client.connection.deadline(&Timeouts::DEFAULT), None);
}

#[test]
fn an_idle_connection_ends_after_its_time() {
    let mut client = Client::new(Mode::Asked);
    client.later(9_000);
    client.receive(GET);
    client.later(1_000);
    client.answer_all();
    let buffer = client.connection.take_output(client.now).unwrap();
    client.later(2_000);
    client.sent.extend_from_slice(&buffer);
    let all = buffer.len();
    client.sent_back(buffer, Ok(all));
    client.expires_in(IDLE_TIMEOUT_MS, Expiry::Closed);
    assert!(client.should_close());
    assert_eq!(client.answers(), ["200 GET / <>"]);
}

// A slow client cannot stretch its head by sending one byte at a time.
#[test]
fn a_head_has_its_time_from_its_first_byte() {
    for before in [&b""[..], GET] {
        let mut client = Client::new(Mode::AtOnce);
        client.receive(before);
        client.later(3_000);
        client.receive(b"G");
        for byte in [b"E", b"T", b" ", b"/"] {
            client.later(1_000);
            client.receive(byte);
        }
        client.expires_in(HEAD_TIMEOUT_MS - 4_000, Expiry::Answered);
        assert_eq!(client.answers().last().unwrap(), "408 request_timeout");
        assert_eq!(client.ending(), ConnectionEnd::ShutDown);
    }
}

// Some clients end a body with a line end that is no part of it: nothing has to follow it in time.
#[test]
fn an_empty_line_begins_no_request_and_gives_no_time() {
    for half in ["\r", "\r\n"] {
        let mut client = Client::new(Mode::AtOnce);
        client.receive(&[POST_HEAD, b"hello"].concat());
        client.later(HEAD_TIMEOUT_MS * 2);
        client.receive(half.as_bytes());
        assert_eq!(client.pool.len(), 1, "no buffer waits for the rest");
        client.expires_in(IDLE_TIMEOUT_MS - HEAD_TIMEOUT_MS * 2, Expiry::Closed);
        assert_eq!(client.answers(), ["200 POST /x <hello>"]);

        let mut fresh = Client::new(Mode::AtOnce);
        fresh.later(FIRST_BYTE_TIMEOUT_MS - 1_000);
        for byte in half.bytes() {
            fresh.receive(&[byte]);
        }
        fresh.expires_in(1_000, Expiry::Closed);
        assert!(fresh.sent.is_empty());
    }
    // A request after it has its own time.
    let mut client = Client::new(Mode::AtOnce);
    client.receive(b"\r\n");
    client.later(1_000);
    client.receive(b"G");
    client.expires_in(HEAD_TIMEOUT_MS, Expiry::Answered);
    assert_eq!(client.answers(), ["408 request_timeout"]);

    // While an answer is under way, its end begins the time.
    let mut behind = Client::new(Mode::Asked);
    behind.receive(&[GET, b"\r"].concat());
    behind.later(IDLE_TIMEOUT_MS);
    behind.answer_all();
    behind.send();
    behind.expires_in(IDLE_TIMEOUT_MS, Expiry::Closed);

    let mut drained = Client::new(Mode::AtOnce);
    drained.receive(&[GET, b"\r"].concat());
    drained.drain();
    assert_eq!(drained.ending(), ConnectionEnd::ShutDown, "nothing has begun");
}

#[test]
fn the_begin_of_tls_is_told_from_other_rubbish() {
    for (bytes, is_tls) in [(&b"\x16\x03\x01"[..], true), (b"\x17", false), (BAD, false)] {
        let mut client = Client::new(Mode::AtOnce);
        client.receive(bytes);
        assert_eq!(client.connection.is_tls(), is_tls, "{bytes:?}");
        assert!(client.connection.refusal().is_some());
    }
}

#[test]
fn a_body_has_its_time_from_the_end_of_its_head() {
    for (head, byte) in [(POST_HEAD, &b"h"[..]), (CHUNKED_HEAD, b"1")] {
        let mut client = Client::new(Mode::AtOnce);
        client.receive(&head[..10]);
        client.later(4_000);
        client.receive(&head[10..]);
        client.later(1_000);
        client.receive(byte);
        client.expires_in(BODY_TIMEOUT_MS - 1_000, Expiry::Answered);
        assert_eq!(client.answers(), ["408 request_timeout"]);
    }
}

#[test]
fn a_timeout_of_head_has_no_body() {
    let mut client = Client::new(Mode::AtOnce);
    client.receive(b"HEAD / HTTP/1.1\r\n");
    client.expires_in(HEAD_TIMEOUT_MS, Expiry::Answered);
    assert_eq!(client.answers(), ["408 -"]);
}

#[test]
fn a_timeout_waits_for_the_answers_before_it() {
    let mut client = Client::new(Mode::Asked);
    client.receive(&[GET, b"GET"].concat());
    client.expires_in(HEAD_TIMEOUT_MS, Expiry::Answered);
    assert!(client.sent.is_empty());
    client.answer_all();
    client.send();
    assert_eq!(client.answers(), ["200 GET / <>", "408 request_timeout"]);
}

#[test]
fn nobody_is_hurried_while_the_server_owes_the_answer() {
    let mut client = Client::new(Mode::Asked);
    client.receive(GET);
    assert_eq!(client.connection.deadline(&Timeouts::DEFAULT), None);
    assert_eq!(client.expire_at(MonoNs(u64::MAX)), Expiry::Nothing);
}

#[test]
fn a_peer_that_takes_nothing_is_reset() {
    let mut client = Client::new(Mode::Asked);
    client.receive(GET);
    client.later(60_000);
    client.answer_all();
    let buffer = client.connection.take_output(client.now).unwrap();
    assert_eq!(client.connection.take_output(client.now), None, "one send at a time");
    client.expires_in(WRITE_STALL_TIMEOUT_MS, Expiry::Reset);
    assert!(client.should_close());
    client.sent_back(buffer, Err(SendFailed));
    assert!(client.should_close());
    assert_eq!(client.connection.deadline(&Timeouts::DEFAULT), None);
}

#[test]
fn a_peer_that_takes_a_byte_has_its_time_anew() {
    let mut client = Client::new(Mode::AtOnce);
    client.mode = Mode::Asked;
    client.receive(&[GET, GET].concat());
    let (second, first) = (client.pending.pop().unwrap(), client.pending.pop().unwrap());
    assert!(client.answer(first.0, b"first"));
    let buffer = client.connection.take_output(client.now).unwrap();
    assert!(client.answer(second.0, b"second"));
    client.later(4_999);
    client.sent.extend_from_slice(&buffer[..1]);
    client.sent_back(buffer, Ok(1));
    let buffer = client.connection.take_output(client.now).unwrap();
    assert_eq!(
        client.connection.deadline(&Timeouts::DEFAULT),
        Some(client.now.plus_ms(WRITE_STALL_TIMEOUT_MS))
    );
    client.sent.extend_from_slice(&buffer);
    let all = buffer.len();
    client.sent_back(buffer, Ok(all));
    assert_eq!(client.answers(), ["200 first", "200 second"]);
}

#[test]
fn a_failed_send_ends_the_connection() {
    for result in [Err(SendFailed), Ok(0)] {
        let mut client = Client::new(Mode::Asked);
        client.receive(GET);
        client.answer_all();
        let buffer = client.connection.take_output(client.now).unwrap();
        client.sent_back(buffer, result);
        assert!(client.should_close());
        assert!(!client.connection.wants_reading());
        client.receive(GET);
        assert_eq!(client.handled, 1, "nothing is done for a peer that cannot be told");
    }
}

#[test]
fn a_half_closed_peer_gets_its_answers_and_then_the_end() {
    let mut client = Client::new(Mode::Asked);
    client.receive(&[GET, GET, b"GET /unfinished HTTP/1.1\r\n"].concat());
    client.peer_closed();
    assert_eq!(client.ending(), ConnectionEnd::Open);
    assert!(!client.connection.wants_reading());
    assert_eq!(client.connection.deadline(&Timeouts::DEFAULT), None, "what is unfinished stays so");
    client.answer_all();
    client.send();
    assert_eq!(client.answers(), ["200 GET / <>", "200 GET / <> close"]);
    assert!(client.should_close());
}

#[test]
fn a_peer_that_leaves_between_requests_ends_the_connection() {
    for before in [&b""[..], GET, b"GET / HT", POST_HEAD, CHUNKED_HEAD] {
        let mut client = Client::new(Mode::AtOnce);
        client.receive(before);
        let sent = client.sent.len();
        client.peer_closed();
        assert!(client.should_close());
        assert_eq!(client.sent.len(), sent);
    }
}

#[test]
fn draining_lets_what_has_begun_be_the_last() {
    // Idle: ends now. Without a byte yet, or within a request: answers once, and says so.
    let mut idle = Client::new(Mode::AtOnce);
    idle.receive(GET);
    idle.drain();
    assert_eq!(idle.ending(), ConnectionEnd::ShutDown);

    let mut sending = Client::new(Mode::Asked);
    sending.receive(GET);
    sending.answer_all();
    let buffer = sending.connection.take_output(sending.now).unwrap();
    sending.drain();
    assert_eq!(sending.ending(), ConnectionEnd::Open);
    let all = buffer.len();
    sending.sent_back(buffer, Ok(all));
    assert_eq!(sending.ending(), ConnectionEnd::ShutDown);

    let mut fresh = Client::new(Mode::AtOnce);
    fresh.drain();
    assert_eq!(fresh.ending(), ConnectionEnd::Open);
    fresh.receive(&[GET, GET].concat());
    assert_eq!(fresh.answers(), ["200 GET / <> close"]);
    assert_eq!(fresh.ending(), ConnectionEnd::ShutDown);

    let mut begun = Client::new(Mode::AtOnce);
    begun.receive(POST_HEAD);
    begun.drain();
    begun.receive(b"hello");
    assert_eq!(begun.answers(), ["200 POST /x <hello> close"]);

    let mut waiting = Client::new(Mode::Asked);
    waiting.receive(&[GET, GET].concat());
    waiting.drain();
    waiting.answer_all();
    waiting.send();
    assert_eq!(waiting.answers(), ["200 GET / <>", "200 GET / <> close"]);

    let mut both = Client::new(Mode::Asked);
    both.receive(&[GET, POST_HEAD].concat());
    both.drain();
    both.answer_all();
    both.receive(b"hello");
    both.answer_all();
    both.send();
    assert_eq!(both.answers(), ["200 GET / <>", "200 POST /x <hello> close"]);
}

#[test]
fn a_lame_duck_keeps_idle_connections_for_one_more_answer() {
    let mut client = Client::new(Mode::AtOnce);
    client.receive(GET);
    client.connection.lame_duck();
    assert_eq!(client.ending(), ConnectionEnd::Open);
    client.receive(GET);
    assert_eq!(client.answers(), ["200 GET / <>", "200 GET / <> close"]);
    assert_eq!(client.ending(), ConnectionEnd::ShutDown);
}

#[test]
fn a_refused_peer_is_read_from_until_it_leaves_or_its_time_is_over() {
    let refused = || {
        let mut client = Client::new(Mode::AtOnce);
        client.receive(BAD);
        assert_eq!(client.answers(), ["400 bare_line_end"]);
        assert_eq!(client.ending(), ConnectionEnd::ShutDown);
        client.connection.shut_down(client.now);
        assert_eq!(client.ending(), ConnectionEnd::Open);
        assert!(client.connection.wants_reading());
        client
    };
    let mut leaves = refused();
    leaves.peer_closed();
    assert!(leaves.should_close());

    let mut stays = refused();
    stays.expires_in(LINGER_TIMEOUT_MS, Expiry::Closed);
    assert!(stays.should_close());

    let mut floods = refused();
    floods.receive(&vec![b'x'; LINGER_BYTES_MAX]);
    assert_eq!(floods.ending(), ConnectionEnd::Open);
    floods.receive(b"x");
    assert!(floods.should_close());
    assert_eq!(floods.answers(), ["400 bare_line_end"]);
}

#[test]
fn lingering_is_for_peers_that_may_be_sending() {
    let close: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = Client::new(Mode::AtOnce);
    client.receive(close);
    assert_eq!(client.ending(), ConnectionEnd::Close);
    let mut client = Client::new(Mode::AtOnce);
    client.receive(&[close, b"x"].concat());
    assert_eq!(client.ending(), ConnectionEnd::ShutDown);
    let mut client = Client::new(Mode::AtOnce);
    client.receive(&close[..10]);
    client.receive(&[&close[10..], b"x"].concat());
    assert_eq!(client.ending(), ConnectionEnd::ShutDown);
    let mut client = Client::new(Mode::Asked);
    client.receive(close);
    client.receive(b"x");
    client.answer_all();
    client.send();
    assert_eq!(client.ending(), ConnectionEnd::ShutDown);
}

// Pages of other origins may read a refusal if whoever writes it knows that one of them has asked.
#[test]
fn what_is_known_of_a_refused_request_is_handed_up() {
    const FROM: &str = "Host: a\r\nOrigin: https://a\r\n";
    let cases = [
        (413, format!("POST /x?y HTTP/1.1\r\n{FROM}Content-Length: 65537\r\n\r\n")),
        (413, format!("POST /x HTTP/1.1\r\nContent-Length: 65537\r\n{FROM}\r\n")),
        (417, format!("POST /x HTTP/1.1\r\nExpect: x\r\n{FROM}\r\n")),
        (400, format!("POST /x HTTP/1.1\r\n{FROM}Content-Length: 01\r\n\r\n")),
        (431, format!("POST /x HTTP/1.1\r\n{FROM}{}\r\n", "x: y\r\n".repeat(64))),
        (501, format!("BREW /x HTTP/1.1\r\n{FROM}\r\n")),
        (505, format!("POST /x HTTP/2.0\r\n{FROM}\r\n")),
        (414, format!("GET /x?{} HTTP/1.1\r\n{FROM}\r\n", "y".repeat(9_000))),
        (408, format!("POST /x HTTP/1.1\r\n{FROM}")),
        (408, format!("POST /x HTTP/1.1\r\n{FROM}Content-Length: 5\r\n\r\nhell")),
        (408, format!("POST /x HTTP/1.1\r\n{FROM}Transfer-Encoding: chunked\r\n\r\n5\r\nhell")),
        (400, format!("POST /x HTTP/1.1\r\n{FROM}Transfer-Encoding: chunked\r\n\r\nx")),
    ];
    for (status, bytes) in cases {
        for before in [&b""[..], GET] {
            let mut client = Client::new(Mode::Asked);
            client.receive(before);
            client.receive(bytes.as_bytes());
            client.later(BODY_TIMEOUT_MS);
            client.expire_at(client.now);
            client.answer_all();
            client.send();
            let text = String::from_utf8(std::mem::take(&mut client.sent)).unwrap();
            assert!(text.contains(&format!("HTTP/1.1 {status} ")), "{bytes}: {text}");
            let known = "\r\nBegun-Path: /x\r\nBegun-Origin: https://a\r\n";
            assert!(text.contains(known), "{bytes}: {text}");
        }
    }
}

#[test]
fn a_client_that_waits_is_told_to_go_on_in_its_turn() {
    let mut client = Client::new(Mode::AtOnce);
    client.receive(EXPECTING);
    assert_eq!(client.sent, CONTINUE);
    client.receive(b"hello");
    assert_eq!(client.answers(), ["200 POST /x <hello>"]);

    let mut whole = Client::new(Mode::AtOnce);
    whole.receive(&[EXPECTING, b"hello"].concat());
    assert!(!whole.sent.starts_with(CONTINUE), "the body will not be read, it has been");

    let chunked = "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let chunked = format!("{chunked}Expect: 100-continue\r\n\r\n1\r\na\r\n0\r\n\r\n");
    let mut whole = Client::new(Mode::AtOnce);
    whole.receive(chunked.as_bytes());
    assert_eq!(whole.answers(), ["200 PUT /c <a>"]);
    assert!(!whole.sent.windows(CONTINUE.len()).any(|part| part == CONTINUE));

    let mut behind = Client::new(Mode::Asked);
    behind.receive(&[GET, EXPECTING].concat());
    behind.send();
    assert!(behind.sent.is_empty());
    behind.answer_all();
    behind.send();
    assert!(behind.sent.ends_with(CONTINUE));
    assert_eq!(behind.answers(), ["200 GET / <>"]);

    // No route has it, whatever the body says: the answer comes in its turn, and the last one.
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let none = format!("POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}");
        for mode in [Mode::AtOnce, Mode::Asked] {
            let mut refused = Client::new(mode);
            refused.receive(GET);
            refused.receive(format!("{none}\r\n\r\n").as_bytes());
            // It may send its body all the same.
            refused.receive(b"hello");
            refused.answer_all();
            refused.send();
            assert_eq!(refused.answers(), ["200 GET / <>", "404 no such path"], "{mode:?}");
            assert_eq!((refused.ending(), refused.handled), (ConnectionEnd::ShutDown, 1));
            assert!(refused.connection.refusal().is_none(), "it is no fault of HTTP's");
        }
    }

    let too_large = "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
    let mut refused = Client::new(Mode::AtOnce);
    refused.receive(format!("{too_large}Content-Length: 65537\r\n\r\n").as_bytes());
    assert!(refused.sent.starts_with(b"HTTP/1.1 413 "));
}

#[test]
fn idle_connections_hold_no_buffers() {
    for mode in [Mode::AtOnce, Mode::Reversed] {
        let mut client = Client::new(mode);
        let chunks = [CHUNKED_HEAD, b"5\r\nhello\r\n0\r\n\r\n"].concat();
        let all = [GET, POST_HEAD, b"hello", &chunks, GET].concat();
        let mut kept = None;
        for _ in 0..3 {
            for byte in &all {
                client.receive(&[*byte]);
            }
            client.receive(&all);
            // Every buffer is back, and after the first round no other was needed.
            let count = client.pool.len();
            assert!(count > 0 && *kept.get_or_insert(count) == count);
        }
    }
}

#[test]
fn a_request_in_one_piece_borrows_a_buffer_for_its_answer_alone() {
    let mut client = Client::new(Mode::AtOnce);
    for _ in 0..3 {
        client.receive(GET);
        client.receive(&[POST_HEAD, b"hello"].concat());
    }
    assert_eq!(client.pool.len(), 1);
}
