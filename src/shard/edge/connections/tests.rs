//! Property: memory of answers that clients do not take has a bound, and those that read are never
//! reset for it, however small it is.

use super::*;
use crate::audiences::Audiences;
use crate::view::Rules;
use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::repeated::RepeatedRequests;
use nudged_api::token::{Keys, Secret};
use nudged_api::visitors::VisitorRules;
use nudged_base::ids::ShardId;
use nudged_base::limits::{LINGER_TIMEOUT_MS, TICK_MS, UNSENT_STALLED_LEAST_MS, UNSENT_STALLED_MS};
use nudged_base::time::{DurationMs, WallMs};
use nudged_domain::catalog::compile::compile;
use nudged_domain::catalog::snapshot::Settings;
use nudged_domain::decide::timetable::Timetable;
use nudged_http::connection::Timeouts;
use nudged_http::reply::ImfDate;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER_BYTES: usize = 30_000;

/// Connections with a bound, and what they asked the driver for.
struct Shard {
    connections: Connections,
    view: View,
    now: Now,
    outbox: Outbox,
    /// What each client was sent and has not taken.
    sends: Vec<Option<Vec<u8>>>,
    reset: Vec<u32>,
}

fn serve(_: &Request<'_>, _: Arrived, out: &mut Vec<u8>) -> Answer {
    out.resize(out.len() + ANSWER_BYTES, b'x');
    Answer::Now
}

impl Shard {
    fn new(clients: u32, unsent_max: u64) -> Shard {
        let now = Now { mono: MonoNs(1_000_000_000), wall: WallMs(0) };
        let secret = Secret { id: 1, created_at: WallMs(0), bytes: [7; 32], moved_at: None };
        let view = View {
            shard: ShardId(0),
            shards: 1,
            times: Timetable::default(),
            snapshot: Arc::new(compile(&[], Settings::default(), 1).unwrap()),
            previewed: None,
            rules: Arc::new(Rules {
                access: vec![Access::default()],
                cors: Cors::default(),
                visitors: VisitorRules::default(),
            }),
            repeated: RepeatedRequests::new(1),
            audiences: Audiences::default(),
            keys: Arc::new(Keys::new(&[secret])),
            timeouts: Timeouts::DEFAULT,
            ready: true,
            stopping: false,
            disk_lack: None,
            closing: false,
            date: ImfDate::of(now.wall),
        };
        let connections = Connections::new(clients, unsent_max, Arc::default());
        let sends = (0..clients).map(|_| None).collect();
        let outbox = Outbox::default();
        let mut shard = Shard { connections, view, now, outbox, sends, reset: Vec::new() };
        for number in 0..clients {
            let (connections, mut turn) = shard.turn_of();
            assert!(connections.accept(&mut turn, number, 0));
        }
        shard
    }

    fn ask(&mut self, number: u32, requests: &[u8]) {
        let (connections, mut turn) = self.turn_of();
        connections.receive(&mut turn, number, requests, serve);
    }

    fn turn_of(&mut self) -> (&mut Connections, ShardTurn<'_>) {
        let Shard { connections, view, now, outbox, .. } = self;
        (connections, ShardTurn { view, now: *now, outbox })
    }

    /// Ends the turn: the driver takes what there is to send.
    fn turn(&mut self) {
        self.connections.flush(&self.view, self.now.mono, &mut self.outbox);
        for effect in self.outbox.effects.drain(..) {
            match effect {
                Effect::Send { connection, buffer } => {
                    self.sends[connection as usize] = Some(buffer);
                }
                Effect::Close { connection, reset: true } => self.reset.push(connection),
                _ => {}
            }
        }
    }

    /// A client takes all that it was sent.
    fn read(&mut self, number: u32) {
        let Some(buffer) = self.sends[number as usize].take() else { return };
        let all = buffer.len();
        let (connections, mut turn) = self.turn_of();
        if connections.sent(&mut turn, number, buffer, Some(all)) {
            connections.resume(&mut turn, number, serve);
        }
    }

    fn later(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        let (connections, mut turn) = self.turn_of();
        connections.expire(&mut turn);
    }
}

/// A client too many, of a node with these origins; what it is told, and when.
fn refused(origins: &[&str], sends: &[u8]) -> (String, u64) {
    let mut shard = Shard::new(1, 1 << 20);
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let cors = Cors::new(origins, DurationMs(0));
    shard.view.rules = Arc::new(Rules {
        access: vec![Access::default()],
        cors,
        visitors: VisitorRules::default(),
    });
    shard.sends.push(None);
    let (connections, mut turn) = shard.turn_of();
    assert!(!connections.accept(&mut turn, 1, 0));
    shard.turn();
    let mut waited_ms = 0;
    while shard.sends[1].is_none() {
        shard.later(TICK_MS);
        if waited_ms == TICK_MS && !sends.is_empty() {
            shard.ask(1, sends);
        }
        waited_ms += TICK_MS;
        shard.turn();
    }
    let told = String::from_utf8(shard.sends[1].clone().unwrap()).unwrap();
    // Once, whatever else it sends; then it has its time to read.
    shard.ask(1, GET);
    shard.turn();
    shard.read(1);
    for _ in 0..LINGER_TIMEOUT_MS / TICK_MS + 2 {
        shard.later(TICK_MS);
        shard.turn();
    }
    assert!(shard.sends[1].is_none() && shard.connections.open == 1);
    (told, waited_ms)
}

#[test]
fn a_client_too_many_of_a_listed_origin_may_read_that() {
    const FROM_B: &[u8] = b"GET /v1/decide HTTP/1.1\r\nHost: x\r\nOrigin: https://b\r\n\r\n";
    let allowed = |told: &str| {
        let field = told.split("\r\n").find_map(|line| line.strip_prefix("Access-Control-Allow-O"));
        field.map(|field| field.strip_prefix("rigin: ").unwrap().to_owned())
    };
    type Case<'c> = (&'c [&'c str], &'c [u8], Option<&'c str>, bool);
    let cases: [Case<'_>; 5] = [
        (&[], b"", None, true),
        (&["https://a"], b"", Some("https://a"), true),
        (&["*"], b"", Some("*"), true),
        // Who of several it is has to be waited for, but not for long.
        (&["https://a", "https://b"], FROM_B, Some("https://b"), false),
        (&["https://a", "https://b"], b"", None, false),
    ];
    for (origins, sends, want, at_once) in cases {
        let (told, waited_ms) = refused(origins, sends);
        assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
        assert_eq!((allowed(&told).as_deref(), waited_ms == 0), (want, at_once), "{told}");
        assert!(waited_ms <= LINGER_TIMEOUT_MS + 2 * TICK_MS);
    }
}

#[test]
fn clients_that_read_are_not_reset_however_little_is_allowed() {
    for (clients, unsent_max) in [(1, 16 * 1_024), (200, 1 << 20)] {
        let mut shard = Shard::new(clients, unsent_max);
        for _ in 0..20 {
            // All in one turn; they read in the next one.
            (0..clients).for_each(|number| shard.ask(number, GET));
            shard.turn();
            shard.later(50);
            (0..clients).for_each(|number| shard.read(number));
            shard.turn();
            assert_eq!(shard.reset, [0; 0], "{clients} clients");
        }
        assert_eq!(shard.connections.unsent, 0);
    }
}

#[test]
fn of_those_that_do_not_read_the_largest_are_reset_once_they_have_stalled() {
    const CLIENTS: u32 = 40;
    let unsent_max = 50 * ANSWER_BYTES as u64;
    let mut shard = Shard::new(CLIENTS + 1, unsent_max);
    // Every second one owes more; the last one reads.
    for number in 0..CLIENTS {
        shard.ask(number, &GET.repeat(1 + (number as usize % 2)));
    }
    shard.turn();
    for ms in [1, UNSENT_STALLED_MS - 2] {
        shard.later(ms);
        shard.ask(CLIENTS, GET);
        shard.turn();
        assert_eq!(shard.reset, [0; 0], "not stalled yet");
        shard.read(CLIENTS);
        shard.turn();
    }
    shard.later(100);
    shard.turn();
    assert!(shard.connections.unsent <= unsent_max);
    assert!(!shard.reset.is_empty());
    assert!(shard.reset.iter().all(|number| number % 2 == 1), "{:?}", shard.reset);
}

#[test]
fn far_beyond_the_bound_less_patience_is_had() {
    let mut shard = Shard::new(10, 2 * ANSWER_BYTES as u64);
    (0..10).for_each(|number| shard.ask(number, GET));
    shard.turn();
    shard.later(UNSENT_STALLED_LEAST_MS - 1);
    shard.turn();
    assert_eq!(shard.reset, [0; 0]);
    shard.later(TICK_MS);
    shard.turn();
    assert!(shard.connections.unsent <= 2 * ANSWER_BYTES as u64);
}

#[test]
fn beyond_the_bound_each_gets_one_answer_at_a_time() {
    let mut shard = Shard::new(3, ANSWER_BYTES as u64);
    shard.ask(0, &GET.repeat(2));
    shard.turn();
    // Beyond the bound now: another has its first answer, and its second when that is taken.
    shard.ask(1, &GET.repeat(2));
    shard.turn();
    assert_eq!(shard.sends[1].as_ref().unwrap().len(), ANSWER_BYTES);
    assert!(shard.connections.entries[1].is_paused);
    shard.read(1);
    shard.turn();
    assert_eq!(shard.sends[1].as_ref().unwrap().len(), ANSWER_BYTES);
    shard.read(1);
    shard.turn();
    assert!(!shard.connections.entries[1].is_paused, "what it asked for is answered");
    assert_eq!(shard.connections.entries[1].unsent, 0);
}

// A look that has nothing to be compared with is no progress.
#[test]
fn the_first_look_at_a_send_does_not_prolong_it() {
    let mut shard = Shard::new(1, 1 << 20);
    shard.ask(0, GET);
    shard.turn();
    let begun = shard.now.mono;
    for (bytes, is_progress) in [(20_000, false), (20_000, false), (19_999, true)] {
        shard.later(100);
        shard.connections.untaken(shard.now.mono, 0, bytes);
        let since = shard.connections.entries[0].http.sending_since();
        assert_eq!(since != begun, is_progress, "{bytes}");
    }
}

#[test]
fn a_buffer_counts_with_all_its_memory_while_it_is_sent() {
    let mut shard = Shard::new(1, 1 << 20);
    shard.ask(0, &GET.repeat(3));
    shard.turn();
    let sent = shard.sends[0].as_ref().unwrap();
    let capacity = sent.capacity();
    assert!(capacity > sent.len(), "it has grown");
    shard.ask(0, b"G");
    assert_eq!(shard.connections.unsent, capacity as u64);
    shard.read(0);
    assert_eq!(shard.connections.unsent, 0);
}
