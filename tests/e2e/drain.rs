//! Property: a stop loses nothing. Readiness goes red first, what was asked is answered, clients
//! that honour `Connection: close` see no reset, and everything is in SQL before the exit
//! (docs/guarantees.md#g8).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, request};
use crate::database;
use crate::harness::{STOP_TIMEOUT, Server, Setup, WELCOME, until};

/// Clients at once.
const CLIENTS: usize = 4;

/// Asks for new users on one connection until an answer closes it, or no more are wanted; adds the
/// acknowledged tokens. Any other end of the connection fails.
pub fn visit_on(
    client: &mut Client,
    name: &str,
    tokens: &mut Vec<String>,
    shown: &AtomicU64,
    is_wanted: impl Fn() -> bool,
) {
    while is_wanted() {
        // Each of these users is acknowledged, or nothing goes on.
        let target = format!("/v1/decide?user=visitor-{name}-{}", tokens.len() + 1);
        let answer = client.try_ask("GET", &target, "").expect("an open connection is answered");
        tokens.push(answer.clone().expect(200).token().unwrap());
        shown.fetch_add(1, Ordering::Relaxed);
        if answer.field("connection") == Some("close") {
            break;
        }
    }
}

/// Asks for new users until the server has said goodbye; gives the acknowledged tokens. Connects
/// again where an answer closes, as a client behind a balancer does, until nobody listens or the
/// balancer would have gone elsewhere.
fn visit(name: usize, address: SocketAddr, shown: &AtomicU64, is_red: &AtomicBool) -> Vec<String> {
    let mut tokens = Vec::new();
    while !is_red.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::try_connect(address) else { return tokens };
        visit_on(&mut client, &name.to_string(), &mut tokens, shown, || true);
    }
    tokens
}

#[test]
fn a_stop_under_load_answers_everyone_and_keeps_everything() {
    let setup = Setup::new(WELCOME).config("lame_duck = \"3s\"\n").flags(&["--shards", "2"]);
    let mut server = setup.start();
    let (shown, is_red) = (AtomicU64::new(0), AtomicBool::new(false));
    let address = server.data;
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let visit = |name| {
            let (shown, is_red) = (&shown, &is_red);
            scope.spawn(move || visit(name, address, shown, is_red))
        };
        let visitors: Vec<_> = (0..CLIENTS).map(visit).collect();
        until("some load", || (shown.load(Ordering::Relaxed) > 200).then_some(()));
        server.signal(Signal::TERM);
        until("readiness to go red", || {
            let ready = Client::connect(address).get("/readyz").status;
            (ready == 503).then_some(())
        });
        assert_eq!(Client::connect(address).get("/health").status, 200, "alive all the same");
        is_red.store(true, Ordering::Relaxed);
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    });
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
    let decided = database::decided(setup.data());
    let missing = tokens.iter().filter(|token| !decided.contains(*token)).count();
    assert_eq!((missing, decided.len()), (0, tokens.len()));
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]);
    let server = setup.start();
    let mut idle = server.client();
    idle.get("/health").expect(200);
    let mut halfway = server.client();
    let bytes = request("GET", "/v1/decide?user=halfway", "");
    halfway.send(&bytes[..20]);
    server.client().get("/health").expect(200);
    server.signal(Signal::TERM);
    assert!(idle.is_closed(), "an idle connection is closed");
    halfway.send(&bytes[20..]);
    let answer = halfway.answer().expect(200);
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(halfway.is_closed());
    let token = answer.token().unwrap();
    end(server);
    assert!(database::decided(setup.data()).contains(&token));
}

fn end(mut server: Server) {
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
}

#[test]
fn a_client_that_never_ends_its_request_does_not_hold_the_stop_up() {
    let setup = Setup::new(WELCOME).config("drain_timeout = \"2s\"\n");
    let server = setup.start();
    let mut stuck = server.client();
    stuck.send(b"GET /v1/decide?user=");
    server.client().decide("ann").expect(200);
    let begun = Instant::now();
    server.signal(Signal::TERM);
    end(server);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(database::decided(setup.data()).len(), 1);
}

#[test]
fn a_second_signal_ends_at_once() {
    let setup = Setup::new(WELCOME).config("lame_duck = \"25s\"\n");
    let mut server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    let begun = Instant::now();
    server.signal(Signal::TERM);
    until("the first signal to be seen", || {
        (server.client().get("/readyz").status == 503).then_some(())
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(5)), Some(0), "{}", server.said());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // What was acknowledged is in the journal, and in SQL after the next start and stop.
    setup.start().stop();
    assert!(database::decided(setup.data()).contains(&token));
}

#[test]
fn after_the_end_nobody_listens() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let (data, admin) = (server.data, server.admin);
    server.stop();
    for address in [data, admin] {
        let refused = Client::try_connect(address).err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
    }
}

#[test]
fn a_burst_of_reloads_does_not_hide_a_stop() {
    let setup = Setup::new(WELCOME).config("lame_duck = \"10ms\"\n");
    let mut server = setup.start();
    for _ in 0..200 {
        server.signal(Signal::HUP);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
}

#[test]
fn a_second_signal_does_not_wait_for_a_locked_database() {
    let setup = Setup::new(WELCOME).config("lame_duck = \"10ms\"\n");
    let mut server = setup.start();
    server.allow("sql_failed");
    let lock = rusqlite::Connection::open(setup.data().join("nudged.db")).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Nobody is asked for: a new user's state could not be read.
    let begun = Instant::now();
    server.signal(Signal::TERM);
    until("readiness to go red, or the end", || {
        let answer = Client::try_connect(server.data)
            .and_then(|mut client| client.try_ask("GET", "/readyz", ""));
        answer.map_or(Some(()), |answer| (answer.status == 503).then_some(()))
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
