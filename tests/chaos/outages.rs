//! Property: Redis may go and come (docs/guarantees.md#g4). One node loses it again and again, in
//! each way that it can be lost, while visitors ask for users whom the node does not know. Nobody
//! is answered 5xx, and all is as before within a second of its return; how long answers take is
//! printed, of the first 50 ms of an outage, in which the breaker opens, apart from the rest of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::client::Client;
use crate::cluster::{Cluster, Plan};
use crate::harness::until_within;
use crate::support::proxy::Proxy;

/// Shown each time: what is answered degraded is so for Redis' sake.
const POPUPS: &str = "[[popup]]\nid = \"banner\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n";
/// By then the breaker is open (docs/guarantees.md#g4).
const OPEN_AFTER: Duration = Duration::from_millis(50);
/// How long each outage lasts, and at least each time of peace.
const OUTAGE: Duration = Duration::from_millis(400);
/// Values that make the log of Redis so large that reading it takes a while.
const BALLAST: &str = "for i = 1, 300000 do redis.call('SET', 'ballast:' .. i, string.rep('x', 64)) \
                       end return redis.status_reply('OK')";

/// Ways in which Redis goes away.
#[derive(Clone, Copy, Debug)]
enum Way {
    Frozen,
    /// Its bytes are held back, without a reset.
    CutOff,
    /// It comes back with a large log to read, and says so to whoever asks.
    Killed,
}

const WAYS: [Way; 3] = [Way::Frozen, Way::CutOff, Way::Killed];

/// One answer.
#[derive(Clone, Copy)]
struct Told {
    sent: Instant,
    took: Duration,
    is_degraded: bool,
}

/// From the fault to the moment at which Redis answers again.
struct Outage {
    way: Way,
    begin: Instant,
    end: Instant,
}

/// What visitors do until it is over.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    wrong: Mutex<Vec<String>>,
}

impl Shared {
    fn visit(&self, name: usize, mut client: Client) -> Vec<Told> {
        let (mut told, mut user) = (Vec::new(), 0_u64);
        while !self.is_over.load(Ordering::Relaxed) {
            user += 1;
            let sent = Instant::now();
            let answer = client.get(&format!("/v1/decide?user=visitor-{name}-{user}"));
            let took = sent.elapsed();
            let is_degraded = answer.status == 204 && answer.reason() == "degraded";
            if answer.status != 200 && !is_degraded {
                self.wrong.lock().unwrap().push(format!("answered {answer:?}"));
            }
            told.push(Told { sent, took, is_degraded });
        }
        told
    }
}

/// Runs it; gives what was wrong.
pub fn run(arguments: &Arguments) -> Vec<String> {
    let mut cluster = Cluster::new(Plan::impatient(POPUPS));
    let proxy = Proxy::to(cluster.redis.address());
    let setup = cluster.node_behind(&proxy).program(&arguments.program);
    let mut server = setup.start();
    server.allow("\"level\":\"error\"");
    assert_eq!(cluster.redis.line(&["EVAL", BALLAST, "0"]), "OK");
    until_within("service before the outages", Duration::from_secs(60), || {
        (server.client().decide("first").status == 200).then_some(())
    });
    let shared = Shared::default();
    let (outages, told) = std::thread::scope(|scope| {
        let (shared, server) = (&shared, &server);
        let visit = |name| scope.spawn(move || shared.visit(name, server.client()));
        let visitors: Vec<_> = (0..arguments.clients).map(visit).collect();
        let end = End(shared);
        let ways = WAYS.into_iter().cycle().take(arguments.outages);
        let outages: Vec<Outage> =
            ways.map(|way| suffer(way, &mut cluster, &proxy, || server.client())).collect();
        drop(end);
        let told = visitors.into_iter().flat_map(|visitor| visitor.join().unwrap());
        (outages, told.collect::<Vec<_>>())
    });
    server.stop();
    let mut wrong = shared.wrong.into_inner().unwrap();
    wrong.extend(tell(arguments, &outages, &told));
    wrong
}

/// One outage, and the peace after it.
fn suffer(way: Way, cluster: &mut Cluster, proxy: &Proxy, client: impl Fn() -> Client) -> Outage {
    let begin = Instant::now();
    match way {
        Way::Frozen => cluster.redis.freeze(),
        Way::CutOff => proxy.black_hole(),
        Way::Killed => cluster.redis.kill(),
    }
    rest(OUTAGE);
    match way {
        Way::Frozen => cluster.redis.thaw(),
        Way::CutOff => proxy.heal(),
        Way::Killed => {
            cluster.redis.restart();
            until_within("Redis to have read its log", Duration::from_secs(60), || {
                (cluster.redis.line(&["PING"]) == "PONG").then_some(())
            });
        }
    }
    let end = Instant::now();
    rest(OUTAGE);
    let mut number = 0;
    until_within("service after the outage", Duration::from_secs(60), || {
        number += 1;
        (client().decide(&format!("{way:?}-{number}")).status == 200).then_some(())
    });
    Outage { way, begin, end }
}

fn rest(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()) {
        std::thread::park_timeout(left);
    }
}

fn tell(arguments: &Arguments, outages: &[Outage], told: &[Told]) -> Vec<String> {
    let mut wrong = Vec::new();
    for way in WAYS {
        let of_way: Vec<&Outage> =
            outages.iter().filter(|outage| outage.way as u8 == way as u8).collect();
        if of_way.is_empty() {
            continue;
        }
        let (mut first, mut rest, mut back) = (Vec::new(), Vec::new(), Duration::ZERO);
        for (number, outage) in of_way.iter().enumerate() {
            let open = outage.begin + OPEN_AFTER;
            let within = |from, to| move |one: &&Told| one.sent >= from && one.sent < to;
            first.extend(told.iter().filter(within(outage.begin, open)).map(|one| one.took));
            rest.extend(told.iter().filter(within(open, outage.end)).map(|one| one.took));
            let until = outage.end + OUTAGE.max(Duration::from_millis(arguments.wait_max_ms));
            let next = outages.iter().map(|other| other.begin).find(|begin| *begin > outage.end);
            let until = next.map_or(until, |next| next.min(until));
            let late = told.iter().filter(within(outage.end, until));
            let last = late.filter(|one| one.is_degraded).map(|one| one.sent - outage.end).max();
            let last = last.unwrap_or_default();
            back = back.max(last);
            if last > Duration::from_millis(arguments.wait_max_ms) {
                wrong.push(format!("{way:?} {number}: still degraded {last:?} after its end"));
            }
        }
        if first.is_empty() || rest.is_empty() {
            wrong.push(format!("{way:?}: nobody asked, so it says nothing"));
        }
        println!(
            "{} times {way:?}: {} answers in the first {OPEN_AFTER:?}: {}; then {}: {}; the last \
             degraded one {} ms after its return",
            of_way.len(),
            first.len(),
            percentiles(&mut first),
            rest.len(),
            percentiles(&mut rest),
            back.as_millis(),
        );
    }
    wrong
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |name: &str, thousandth: usize| {
        let time = times.get(times.len() * thousandth / 1_000);
        time.map_or_else(String::new, |time| format!("{name} {:.2} ms", time.as_secs_f64() * 1e3))
    };
    [at("p50", 500), at("p99", 990), at("p99.9", 999)].join(", ")
}

/// Ends the visitors when it goes.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
