//! Property: on real sockets no byte sequence makes the server hang, answer out of order, execute a
//! hidden request or hide its answer behind a reset (docs/guarantees.md#g7); slow and too many
//! clients are sent away (docs/guarantees.md#http-rules).

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, request};
use crate::harness::{Server, Setup, WELCOME, until, until_within};

const GET: &str = "GET /v1/decide?user=ann&placement=none HTTP/1.1\r\nHost: x\r\n\r\n";

/// Splits of a request, the same in each run: at every byte, and at uneven places.
fn splits(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all = vec![vec![bytes], bytes.chunks(1).collect()];
    for size in [2, 3, 7, 16, 61] {
        let first = bytes.len().min(size / 2 + 1);
        let mut parts = vec![&bytes[..first]];
        parts.extend(bytes[first..].chunks(size));
        all.push(parts);
    }
    all
}

fn send_parts(client: &mut Client, parts: &[&[u8]]) {
    for part in parts {
        // A server that has refused the begin may have closed.
        if client.try_send(part).is_err() {
            return;
        }
    }
}

#[test]
fn the_same_bytes_have_the_same_answers_however_they_are_split() {
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]);
    let server = setup.start();
    let chunk = |text: &str| format!("{:x};x=y\r\n{text}\r\n", text.len());
    let chunked = format!(
        "POST /v1/decide HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         {}{}0\r\nX-Note: t\r\n\r\n",
        chunk("{\"us"),
        chunk("er\":\"bob\"}"),
    );
    let both = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n{GET}"
    );
    let cases: [(String, &[u16]); 9] = [
        (GET.to_owned(), &[204]),
        (GET.repeat(5), &[204; 5]),
        (format!("{GET}GET /health HTTP/1.1\r\nHost: x\r\n\r\n{GET}"), &[204, 200, 204]),
        (chunked, &[200]),
        (format!("{GET}GET / HTTP/1.1\nHost: x\r\n\r\n{GET}"), &[204, 400]),
        (format!("{GET}{both}"), &[204, 400]),
        ("GET /v1/decide HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[505]),
        (format!("BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n{GET}"), &[501]),
    ];
    for (bytes, statuses) in cases {
        for parts in splits(bytes.as_bytes()) {
            // Users are asked for once in these cases' lives, whatever came before.
            let mut client = server.client();
            send_parts(&mut client, &parts);
            client.end_sending();
            for status in statuses {
                let answer = client.answer();
                let is_known_show = *status == 200 && answer.status == 204;
                assert!(answer.status == *status || is_known_show, "{bytes:?}: {answer:?}");
            }
            assert!(client.is_closed(), "nothing more is answered: {bytes:?}");
        }
    }
    server.stop();
}

#[test]
fn what_is_too_large_is_told_so_and_not_reset() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let long = |bytes: usize| "x".repeat(bytes);
    let cases = [
        (414, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(9_000))),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", long(20_000))),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(70))),
        (
            413,
            format!(
                "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n{}",
                long(200_000)
            ),
        ),
        (404, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(7_900))),
    ];
    for (status, bytes) in cases {
        let mut client = server.client();
        send_parts(&mut client, &[bytes.as_bytes()]);
        let answer = client.answer().expect(status);
        assert!(answer.json()["error"]["code"].is_string(), "{answer:?}");
        assert!(!answer.body.contains("xxx"), "nothing is echoed: {answer:?}");
    }
    server.stop();
}

#[test]
fn a_client_that_has_said_all_it_will_is_answered() {
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]);
    let server = setup.start();
    for user in 0..20 {
        let mut client = server.client();
        client.send(&request("GET", &format!("/v1/decide?user=u{user}"), ""));
        client.end_sending();
        client.answer().expect(200);
        assert!(client.is_closed());
    }
    server.stop();
}

#[test]
fn connections_of_one_request_each_are_all_answered() {
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]);
    let server = setup.start();
    let visit = |thread: usize| {
        for number in 0..500 {
            let mut client = server.client();
            client.send(
                format!(
                    "GET /v1/decide?user=u-{thread}-{number} HTTP/1.1\r\nHost: x\r\n\
                     Connection: close\r\n\r\n"
                )
                .as_bytes(),
            );
            let answer = client.answer().expect(200);
            assert_eq!(answer.field("connection"), Some("close"));
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|thread| drop(scope.spawn(move || visit(thread))));
    });
    server.stop();
}

/// A refusal ends with a shutdown by the server, and its place is taken by the next connection:
/// what is still under way for the former must not reach that one.
#[test]
fn a_connection_after_a_refused_one_is_served() {
    let setup = Setup::new(WELCOME).flags(&["--shards", "1"]);
    let server = setup.start();
    let visit = || {
        for _ in 0..500 {
            let mut refused = server.client();
            refused.send(b"GET / HTTP/1.1\n\r\n");
            refused.answer().expect(400);
            drop(refused);
            server.client().get("/health").expect(200);
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(visit)));
    });
    server.stop();
}

#[test]
fn methods_answer_as_they_should() {
    let setup = Setup::new(WELCOME).config("[cors]\norigins = [\"https://shop.example\"]\n");
    let server = setup.start();
    let mut client = server.client();
    for path in ["/health", "/healthz", "/readyz"] {
        client.get(path).expect(200);
        client.send(&request("HEAD", path, ""));
        let head = client.answer_to_head();
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
    client.send(&request("HEAD", "/v1/decide?user=u", ""));
    let refused = client.answer_to_head();
    assert_eq!(refused.status, 405);
    assert!(refused.field("allow").unwrap().contains("GET"), "{refused:?}");
    let options = client.ask("OPTIONS", "/v1/decide", "").expect(204);
    assert!(options.field("allow").unwrap().contains("POST"), "{options:?}");
    client.get("/no/such/path").expect(404);
    client.get("/v1/%64ecide?user=u").expect(404);
    client.ask("DELETE", "/v1/events", "").expect(405);
    let empty = client.ask("POST", "/v1/events", "{").expect(400);
    assert!(empty.json()["error"]["code"].is_string());
    server.stop();
}

#[test]
fn pages_of_listed_origins_may_read_answers() {
    let setup = Setup::new(WELCOME).config("[cors]\norigins = [\"https://shop.example\"]\n");
    let server = setup.start();
    let mut client = server.client();
    let with = |method: &str, more: &str| {
        format!("{method} /v1/decide?user=u HTTP/1.1\r\nHost: x\r\n{more}\r\n").into_bytes()
    };
    client.send(&with("GET", "Origin: https://shop.example\r\n"));
    let answer = client.answer().expect(200);
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://shop.example"));
    let exposed = answer.field("access-control-expose-headers").unwrap().to_ascii_lowercase();
    assert!(exposed.contains("nudge-reason") && exposed.contains("nudge-next"), "{exposed}");
    client.send(&with("GET", "Origin: https://evil.example\r\n"));
    assert_eq!(client.answer().expect(204).field("access-control-allow-origin"), None);
    let preflight = "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n\
                     Access-Control-Request-Headers: content-type\r\n";
    client.send(&with("OPTIONS", preflight));
    let granted = client.answer().expect(204);
    assert!(granted.field("access-control-allow-methods").unwrap().contains("POST"));
    assert!(granted.field("access-control-max-age").is_some(), "{granted:?}");
    // What HTTP itself refuses says so to the page too, and so does what no body is waited for.
    let from = "Origin: https://shop.example\r\n";
    for (status, more) in [
        (413, format!("Content-Length: 99999999\r\n{from}")),
        (417, format!("Expect: x\r\n{from}")),
        (415, format!("{from}Content-Length: 9\r\nContent-Type: a/b\r\nExpect: 100-continue\r\n")),
    ] {
        let mut client = server.client();
        client.send(&with("POST", &more));
        let answer = client.answer().expect(status);
        assert_eq!(answer.field("access-control-allow-origin"), Some("https://shop.example"));
        assert!(answer.field("vary").is_some() && client.is_closed(), "{answer:?}");
    }
    server.stop();
}

/// Sends a byte on each connection now and then until all are closed; gives how long that took.
fn drip(server: &Server, connections: usize, limit: Duration) -> Duration {
    let begun = Instant::now();
    let connect = |_| {
        let stream = TcpStream::connect(server.data).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let mut open: Vec<TcpStream> = (0..connections).map(connect).collect();
    let mut bytes = GET.bytes().cycle();
    let mut served = 0;
    until_within("every slow client to be sent away", limit, || {
        let byte = [bytes.next().unwrap()];
        open.retain_mut(|stream| {
            let mut answer = [0; 512];
            match std::io::Read::read(stream, &mut answer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            // Too slow to ever come to an end, too steady to be idle.
            !begun.elapsed().as_millis().is_multiple_of(8) || stream.write_all(&byte).is_ok()
        });
        served += 1;
        if served % 20 == 1 {
            server.client().get("/health").expect(200);
        }
        open.is_empty().then_some(())
    });
    begun.elapsed()
}

#[test]
fn slow_clients_are_sent_away_and_others_are_served() {
    let setup = Setup::new(WELCOME)
        .config("[limits]\nhead_timeout = \"500ms\"\nfirst_byte_timeout = \"500ms\"\n");
    let server = setup.start();
    let took = drip(&server, 1_000, Duration::from_secs(10));
    println!("1,000 slow clients were sent away in {took:?}");
    assert!(took < Duration::from_secs(4), "as fast as the configuration says: {took:?}");
    server.stop();
}

#[test]
fn a_head_that_does_not_end_is_told_408() {
    let setup = Setup::new(WELCOME).config("[limits]\nhead_timeout = \"300ms\"\n");
    let server = setup.start();
    let begun = Instant::now();
    let mut client = server.client();
    client.send(b"GET /v1/decide?user=u HTTP/1.1\r\nHost:");
    client.answer().expect(408);
    assert!(client.is_closed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    server.stop();
}

/// What can't become a request is refused when that is certain, on either listener, and long before
/// the head's time is over; who speaks TLS is hinted at.
#[test]
fn what_cant_become_good_is_refused_as_it_comes() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let cases: [(u16, &[u8]); 12] = [
        (400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
        (400, &[0; 100]),
        (400, &[0xff; 100]),
        (400, b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (400, b"GET  / HTTP/1.1\r\n"),
        (505, b"GET / HTTP/5.6\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a b\r\n"),
        (501, b"BREW / HTTP/1.1\r\n"),
        (417, b"POST / HTTP/1.1\r\nExpect: x\r\n"),
        (400, &[b'A'; 9_000]),
        (400, b"\r\n\r\n"),
    ];
    for address in [server.data, server.admin] {
        for (status, bytes) in cases {
            let begun = Instant::now();
            let mut client = Client::connect(address);
            send_parts(&mut client, &[bytes]);
            client.answer().expect(status);
            assert!(client.is_closed());
            // Far below the 5 s of a head, on a machine that does other things too.
            assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
        }
    }
    until("a hint at TLS of each listener", || (server.lines_with("tls_seen") == 2).then_some(()));
    let good: [&[u8]; 3] = [
        b"\r\nGET /health HTTP/1.1\r\nHost: a%41\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nIf-None-Match: 1\r\nIf-None-Match: 2\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: [v1.a]:80\r\n\r\n",
    ];
    for bytes in good {
        let mut client = server.client();
        client.send(bytes);
        client.answer().expect(200);
    }
    server.stop();
}

#[test]
fn connections_beyond_the_bound_are_told_503() {
    let setup = Setup::new(WELCOME).config("connections_max = 8\n").flags(&["--shards", "1"]);
    let server = setup.start();
    let mut held: Vec<Client> = (0..8).map(|_| server.client()).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
    let status = server.operator().get("/v1/status").json();
    assert_eq!(status["connections_max"], 8);
    let metrics = server.operator().get("/metrics").body;
    assert!(metrics.contains("\nnudged_connections_max 8\n"), "{metrics}");
    assert_eq!(server.lines_with("connections_few"), 1, "said at start: {}", server.said());
    let refused = server.client().try_answer().unwrap();
    assert_eq!((refused.status, refused.field("connection")), (503, Some("close")));
    assert!(refused.field("retry-after").is_some(), "{refused:?}");
    assert!(refused.field("date").is_some(), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    server.await_logged("connections_full");
    held.pop();
    // A place is free as soon as the server has seen the end of the other.
    until("a free place", || {
        let answer = server.client().try_ask("GET", "/health", "").ok()?;
        (answer.status == 200).then_some(())
    });
    server.stop();
}

#[test]
fn a_shard_that_refuses_connections_names_its_share_and_the_whole() {
    let setup = Setup::new(WELCOME).config("connections_max = 2\n").flags(&["--shards", "2"]);
    let server = setup.start();
    // Wherever the system puts them, one of two shards gets more than its one.
    let held: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let said = server.await_logged("connections_full");
    assert_eq!((said.number("on_this_shard"), said.number("connections_max")), (Some(1), Some(2)));
    drop(held);
    server.stop();
}

#[test]
fn a_crowd_beyond_the_bound_is_told_503_each_and_none_is_reset() {
    // More at once than the table has places for those that are sent away.
    const CROWD: usize = 400;
    let setup = Setup::new(WELCOME).config("connections_max = 4\n").flags(&["--shards", "1"]);
    let server = setup.start();
    let mut held: Vec<Client> = (0..4).map(|_| server.client()).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
    // The node does not run while they come, so that it finds all of them at once.
    server.signal(Signal::STOP);
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| server.client()).collect();
    crowd.iter_mut().for_each(|client| client.send(GET.as_bytes()));
    server.signal(Signal::CONT);
    for (number, mut client) in crowd.into_iter().enumerate() {
        let answer = client.try_answer().unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(answer.status, 503, "{number}: {answer:?}");
        assert!(client.is_closed(), "{number}");
    }
    let counted = server.operator().get("/metrics").body;
    assert!(counted.contains(&format!("connections_refused_total{{shard=\"0\"}} {CROWD}")));
    let said = server.lines_with("connections_full");
    assert!((1..=15).contains(&said), "not a line for each of them: {said}");
    held.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
    server.stop();
}

#[test]
fn keys_are_asked_for_on_loopback_too() {
    let setup = Setup::new(WELCOME).config(
        "[keys]\nserver = [\"server-key-0123456789\"]\npublic = [\"public-key-0123456789\"]\n",
    );
    let server = setup.start();
    assert!(server.data.ip().is_loopback());
    let mut client = server.client();
    client.decide("u").expect(401);
    client.ask("POST", "/v1/events", "{}").expect(401);
    client.ask("POST", "/v1/events?key=public-key-0123456789", "{}").expect(202);
    client.get("/v1/decide?user=u&key=wrong-key-0123456789").expect(401);
    client.get("/v1/decide?user=u&key=public-key-0123456789").expect(200);
    let explain = "/v1/decide?user=u&explain=true&key=";
    let refused = client.get(&format!("{explain}public-key-0123456789"));
    assert!(matches!(refused.status, 401 | 403), "{refused:?}");
    client.get(&format!("{explain}server-key-0123456789")).expect(200);
    client.get("/health").expect(200);
    client.get("/readyz").expect(200);
    client.ask("OPTIONS", "/v1/decide", "").expect(204);
    assert_eq!(server.lines_with("keys_missing"), 0);
    // A key that leaked is taken away without a restart.
    setup.write_config("[keys]\npublic = [\"another-key-0123456789\"]\n");
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    client.get("/v1/decide?user=u&key=public-key-0123456789").expect(401);
    client.get("/v1/decide?user=u&key=another-key-0123456789").expect(204);
    assert!(!server.said().contains("key-0123456789"), "keys are not logged");
    server.stop();
}

#[test]
fn a_listener_that_others_reach_and_that_asks_for_no_key_is_told_once() {
    let setup = Setup::new(WELCOME).flags(&["--listen", "0.0.0.0:0"]);
    let server = setup.start();
    assert_eq!(
        server.lines_with("keys_missing"),
        1,
        "not of the one on loopback: {}",
        server.said()
    );
    server.client().decide("u").expect(200);
    server.stop();
}

#[test]
fn a_long_pipeline_is_held_back_and_not_cut_off() {
    const REQUESTS: usize = 20_000;
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]);
    let server = setup.start();
    let mut client = server.client();
    let mut sender = client.another_end();
    let sending = std::thread::spawn(move || sender.try_send(GET.repeat(REQUESTS).as_bytes()));
    for number in 0..REQUESTS {
        let answer = client.try_answer();
        assert!(answer.is_ok_and(|answer| answer.status == 204), "answer {number}");
    }
    sending.join().unwrap().unwrap();
    server.stop();
}
