//! Property: whatever dies, freezes or is cut off, whatever was acknowledged is in SQL exactly once
//! and no user is shown a popup twice within its gap (docs/guarantees.md#g2, #g3): several real
//! nodes, a real Redis and a real MariaDB, hot users, and a history of what clients were told.
//!
//! `cargo test --test chaos` is a short run; `tools/chaos --minutes 30` a long one. The seed draws
//! the faults; timing is the machine's.

// A failed `unwrap` in a test is the test's failure.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)] // The process tests use the rest.
#[path = "../e2e/client.rs"]
mod client;
#[allow(dead_code)] // The process tests use the rest.
#[path = "../e2e/cluster.rs"]
mod cluster;
#[allow(dead_code)] // The process tests use the rest.
#[path = "../e2e/database.rs"]
mod database;
#[allow(dead_code)] // The process tests use the rest.
#[path = "../e2e/harness.rs"]
mod harness;

mod arguments;
mod history;
mod outages;
mod random;
mod reloads;
mod said;
mod upgrades;
mod visitors;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arguments::Arguments;
use history::History;
use visitors::{Traffic, Visitor};
use world::World;

/// Everything that was pending is posted within this, once all works again.
const POSTED_WITHIN: Duration = Duration::from_secs(60);
/// Mistakes that are printed; the rest is counted.
const PRINTED_MAX: usize = 20;

fn main() -> ExitCode {
    let arguments = match Arguments::of(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("chaos: {problem}");
            return ExitCode::from(2);
        }
    };
    if !arguments.is_wanted {
        return ExitCode::SUCCESS;
    }
    history::check_the_check();
    said::check_the_check();
    println!("{}", arguments.command());
    let wrong = if arguments.reloads > 0 {
        reloads::run(&arguments)
    } else if arguments.outages > 0 {
        outages::run(&arguments)
    } else if arguments.is_calm() {
        upgrades::run(&arguments)
    } else {
        run(&arguments)
    };
    for mistake in wrong.iter().take(PRINTED_MAX) {
        println!("WRONG: {mistake}");
    }
    println!("{} mistakes", wrong.len());
    match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run(arguments: &Arguments) -> Vec<String> {
    let traffic = Arc::new(Traffic::default());
    let mut world = World::new(arguments, Arc::clone(&traffic));
    let begun = Instant::now();
    let mut visitors: Vec<Visitor> =
        (0..arguments.clients).map(|number| Visitor::new(arguments.seed, number, begun)).collect();
    std::thread::scope(|scope| {
        // However this thread ends, the clients do too.
        let _end = End(&traffic);
        for visitor in &mut visitors {
            let traffic = &traffic;
            scope.spawn(move || visitor.run(traffic));
        }
        while begun.elapsed() < arguments.time {
            world.inject_fault();
        }
    });
    world.heal();
    for visitor in &mut visitors {
        let server = world.servers().next().expect("a node");
        harness::until_within("what is pending to be posted", POSTED_WITHIN, || {
            // An answer that is lost is posted again.
            let _ =
                client::Client::try_connect(server.data).and_then(|mut one| visitor.post(&mut one));
            (visitor.pending() == 0).then_some(())
        });
    }
    world.stop();
    let mut history = History::default();
    for visitor in visitors {
        history.add(visitor.history);
    }
    let rows = world.rows();
    let mut wrong = history::check(&history, &rows, &world::gaps_ms());
    wrong.extend(world.disagreements());
    wrong.extend(world.told());
    if world.commands().are_too_many() {
        wrong.push(format!("more was sent again than may be: {:?}", world.commands()));
    }
    if history.shows.is_empty() || history.events.is_empty() {
        wrong.push("nothing was shown or posted: the run says nothing".to_owned());
    }
    println!("faults: {}", world.faults_text());
    println!("shows that nobody saw: {:?}; {:?} to Redis", world.unseen(), world.commands());
    let (lines, most) = world.said().lines();
    println!("{lines} lines of logs, at most {most} of a node in a second");
    println!(
        "{} shows and {} events acknowledged, {} nothing, {} degraded, {} unknown, {} refused; \
         {} rows; {:?}",
        history.shows.len(),
        history.events.len(),
        history.nothing,
        history.degraded,
        history.unknown,
        history.refused.len(),
        rows.len(),
        begun.elapsed(),
    );
    wrong
}

/// Ends the clients when it goes.
struct End<'a>(&'a Traffic);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
