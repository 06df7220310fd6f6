//! Property: a reload is whole or not at all (docs/guarantees.md#g9). The popups file of one node is
//! changed again and again under load, every third time for the worse. The id, the version and the
//! content of what a visitor is shown are of one file, of one that was not refused, and no older
//! than what the operator had been told is live.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::client::{Answer, Client};
use crate::harness::{Server, Setup};
use crate::upgrades::PATIENT;

/// Popups that are shown, one after the other, and those that are there for their weight.
const POPUPS: usize = 3;
const OTHERS: usize = 200;
/// Every so many changes one is bad.
const BAD_EVERY: u64 = 3;
/// Reloads and quiet times take turns, so that both have the machine's good and bad moments.
const RELOADS_A_TURN: u64 = 25;

/// What visitors and the operator share. Files are numbered by those that were not refused, as the
/// versions of their popups are.
#[derive(Default)]
struct Shared {
    /// The last file that the node was told to read.
    written: AtomicU64,
    /// The last one that the node has called live.
    live: AtomicU64,
    is_quiet: AtomicBool,
    is_over: AtomicBool,
}

/// What one visitor saw.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    shows: usize,
    /// Times of answers in microseconds, of quiet times and of the others.
    quiet_us: Vec<u64>,
    busy_us: Vec<u64>,
}

fn file(number: u64) -> String {
    let shown = (0..POPUPS).map(|popup| {
        format!(
            "[[popup]]\nid = \"p{popup}\"\npriority = {priority}\nafter_shown = \"never\"\n\
             [popup.content]\nid = \"p{popup}\"\nfile = {number}\n",
            priority = POPUPS - popup,
        )
    });
    let others = (0..OTHERS).map(|other| {
        format!(
            "[[popup]]\nid = \"other-{other}\"\npriority = -1\n\
             target = {{ attr = \"plan\", op = \"eq\", value = \"plan-{other}\" }}\n"
        )
    });
    shown.chain(others).collect()
}

impl Shared {
    fn visit(&self, name: usize, server: &Server) -> Seen {
        let mut seen = Seen::default();
        let mut client = server.client();
        let mut user = 0_u64;
        while !self.is_over.load(Ordering::Relaxed) {
            user += 1;
            for popup in 0..POPUPS {
                self.ask(&mut client, &format!("{name}-{user}"), popup, &mut seen);
            }
        }
        seen
    }

    fn ask(&self, client: &mut Client, user: &str, popup: usize, seen: &mut Seen) {
        let (live, is_quiet) =
            (self.live.load(Ordering::SeqCst), self.is_quiet.load(Ordering::SeqCst));
        let begun = Instant::now();
        let answer = client.get(&format!("/v1/decide?user=visitor-{user}"));
        let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap();
        let written = self.written.load(Ordering::SeqCst);
        match is_quiet {
            true => seen.quiet_us.push(took_us),
            false => seen.busy_us.push(took_us),
        }
        seen.shows += 1;
        if let Err(what) = is_of_one_file(&answer, popup, live..=written) {
            seen.wrong.push(format!("{what}, between files {live} and {written}: {answer:?}"));
        }
    }
}

fn is_of_one_file(
    answer: &Answer,
    popup: usize,
    files: std::ops::RangeInclusive<u64>,
) -> Result<(), &'static str> {
    if answer.status != 200 {
        return Err("nothing was shown");
    }
    let body = answer.json();
    let (id, shown) = (format!("p{popup}"), &body["popup"]);
    if shown["id"] != id.as_str() || shown["content"]["id"] != id.as_str() {
        return Err("another popup, or another's content");
    }
    let file = shown["content"]["file"].as_u64().unwrap();
    match shown["version"].as_u64() == Some(file) && files.contains(&file) {
        true => Ok(()),
        false => Err("mixed, refused or outdated"),
    }
}

/// Runs it; gives what was wrong.
pub fn run(arguments: &Arguments) -> Vec<String> {
    let setup = Setup::new(&file(1)).config(PATIENT).flags(&["--shards", "2", "--no-pin"]);
    let setup = setup.program(&arguments.program);
    let mut server = setup.start();
    server.allow("catalog_refused");
    let shared = Shared::default();
    shared.written.store(1, Ordering::SeqCst);
    shared.live.store(1, Ordering::SeqCst);
    let (wrong, seen) = std::thread::scope(|scope| {
        let (shared, server) = (&shared, &server);
        let visit = |name| scope.spawn(move || shared.visit(name, server));
        let visitors: Vec<_> = (0..arguments.clients).map(visit).collect();
        let end = End(shared);
        let wrong = reload_all(arguments.reloads, shared, (&setup, server));
        drop(end);
        let seen: Vec<Seen> = visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect();
        (wrong, seen)
    });
    server.stop();
    tell(arguments, shared.live.into_inner(), seen, wrong)
}

/// Changes the file so many times, in turns with quiet times that last as long.
fn reload_all(count: u64, shared: &Shared, (setup, server): (&Setup, &Server)) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut operator = server.operator();
    let mut begun = Instant::now();
    for number in 1..=count {
        let before = shared.live.load(Ordering::SeqCst);
        let is_bad = number.is_multiple_of(BAD_EVERY);
        match is_bad {
            true => {
                setup.write_popups(&file(before + 1).replace("priority = 1\n", "priority = \"\"\n"))
            }
            false => {
                setup.write_popups(&file(before + 1));
                shared.written.store(before + 1, Ordering::SeqCst);
            }
        }
        let answer = operator.ask("POST", "/v1/reload", "");
        match (is_bad, answer.status) {
            (true, 400 | 422) => {}
            (false, 200) => shared.live.store(before + 1, Ordering::SeqCst),
            _ => wrong.push(format!("reload {number}: {answer:?}")),
        }
        if number.is_multiple_of(RELOADS_A_TURN) {
            shared.is_quiet.store(true, Ordering::SeqCst);
            rest(begun.elapsed());
            shared.is_quiet.store(false, Ordering::SeqCst);
            begun = Instant::now();
        }
    }
    wrong
}

fn rest(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()) {
        std::thread::park_timeout(left);
    }
}

fn tell(arguments: &Arguments, live: u64, seen: Vec<Seen>, mut wrong: Vec<String>) -> Vec<String> {
    let (mut shows, mut quiet_us, mut busy_us) = (0, Vec::new(), Vec::new());
    for one in seen {
        shows += one.shows;
        wrong.extend(one.wrong);
        quiet_us.extend(one.quiet_us);
        busy_us.extend(one.busy_us);
    }
    println!(
        "{} reloads, {} of them refused: {shows} shows, {} wrong; p50, p99 and p99.9 without \
         reloads {} µs, with them {} µs",
        arguments.reloads,
        arguments.reloads / BAD_EVERY,
        wrong.len(),
        percentiles(&mut quiet_us),
        percentiles(&mut busy_us),
    );
    if live != 1 + arguments.reloads - arguments.reloads / BAD_EVERY {
        wrong.push(format!("file {live} is live in the end"));
    }
    if shows == 0 {
        wrong.push("nothing was shown: the run says nothing".to_owned());
    }
    wrong
}

fn percentiles(times_us: &mut [u64]) -> String {
    times_us.sort_unstable();
    let at = |thousandth: usize| {
        let time = times_us.get(times_us.len() * thousandth / 1_000);
        time.map_or_else(|| "-".to_owned(), u64::to_string)
    };
    [500, 990, 999].map(at).join(", ")
}

/// Ends the visitors when it goes.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
