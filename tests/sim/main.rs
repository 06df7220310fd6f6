//! The simulator: whole nodes of the real code in one thread, from one seed, in a world that tears
//! and loses what was not synced, splits and merges bytes, sets clocks, fails, and ends processes
//! at any step. One node decides by itself; several share one Redis and one SQL.
//!
//! ```text
//! cargo test --test sim -- --seeds 2000     seeds 1 to 2000 of one node (100 unless said)
//! cargo test --test sim -- --seed 17        one seed, with its trace
//! cargo test --test sim -- --nodes ...      the same of several nodes (60 unless said)
//! ```
//!
//! Real: `shard::core` with either arbitration, `base::clock`, the journal, `store` on a file,
//! `redis::link`, the machines of `background`, the status of Redis.
//! Modelled: sockets, lanes, disks, clocks, clients, Redis with its scripts
//! (`support::redis_model`) and the ways to it.
//!
//! Held: never twice (each show against the rules of its popup, by the rows of SQL in the order of
//! commits; a node's own memory for `on_failure = "local"`), exactly once (each answer that a
//! client has read), no answer before the records that it rests on are acknowledged, answers in
//! order and one a request, with Redis none late and no 5xx, liveness within 10 s after the last
//! fault, shards or Redis and SQL agree, each node comes to an orderly stop, the same seed twice is
//! the same run. Planted bugs that it must catch are listed in `PLANTED.md` beside this file.
//!
//! `world` the loop · `config` what a seed draws · `scene` time and choices · `faults` what goes
//! wrong · `node`, `shard`, `journal`, `writer`, `reader`, `keeper`, `lists` a node's parts ·
//! `disk`, `sql`, `network`, `pipes`, `asker` what is around it · `client`, `history` who asks and
//! what was told · `oracle`, `forgetting`, `freshness`, `unseen` what must be true.

// A failed `expect` is the run's failure.
#![allow(clippy::unwrap_used)]

mod asker;
mod catalog;
mod client;
mod config;
mod disk;
mod faults;
mod forgetting;
mod freshness;
mod history;
mod journal;
mod keeper;
mod lists;
mod network;
mod node;
mod oracle;
mod pipes;
mod random;
mod reader;
#[path = "../support/redis_model/mod.rs"]
mod redis_model;
mod scene;
mod shard;
mod sql;
mod trace;
mod unseen;
mod wire;
mod world;
mod writer;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use config::{Config, Kind};
use world::Ran;

/// Seeds of a run that names none.
const SEEDS_DEFAULT: u64 = 100;
/// The same of several nodes.
const NODES_SEEDS_DEFAULT: u64 = 60;
/// Every so many seeds, one is run twice.
const TWICE_EVERY: u64 = 10;

/// Where runs keep SQL: in memory where the system has such a place.
fn base_directory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// The value behind a flag.
fn number_of(arguments: &[String], flag: &str) -> Option<u64> {
    let place = arguments.iter().position(|argument| argument == flag)?;
    let value = arguments.get(place + 1).and_then(|value| value.parse().ok());
    Some(value.unwrap_or_else(|| panic!("{flag} takes a number")))
}

/// How a seed is replayed.
fn flags(kind: Kind, seed: u64) -> String {
    let nodes = if kind == Kind::Nodes { "--nodes " } else { "" };
    format!("{nodes}--seed {seed}")
}

/// Runs a seed; a violation comes back as its message.
fn run(kind: Kind, seed: u64, is_printed: bool) -> Result<Ran, String> {
    let message = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&message);
    std::panic::set_hook(Box::new(move |info| {
        *kept.lock().expect("one thread") = info.to_string();
    }));
    let result = std::panic::catch_unwind(|| {
        let directory = tempfile::Builder::new().prefix("nudged-sim-").tempdir_in(base_directory());
        let directory = directory.expect("a directory for SQL");
        world::run(kind, seed, directory.path().to_owned(), is_printed)
    });
    let _ = std::panic::take_hook();
    result.map_err(|_| message.lock().expect("one thread").clone())
}

/// Runs a seed, now and then twice; says what went wrong.
fn hold(kind: Kind, seed: u64, is_printed: bool) -> Result<Ran, String> {
    let ran = run(kind, seed, is_printed)?;
    if seed.is_multiple_of(TWICE_EVERY) || is_printed {
        let again = run(kind, seed, false)?;
        if again.hash != ran.hash {
            return Err("the same seed ran another way the second time".to_owned());
        }
    }
    Ok(ran)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("sim: test");
        return ExitCode::SUCCESS;
    }
    let one = number_of(&arguments, "--seed");
    let last = number_of(&arguments, "--seeds");
    let first = number_of(&arguments, "--from").unwrap_or(1);
    let seeds = |default: u64| one.map_or(first..=last.unwrap_or(default), |seed| seed..=seed);
    let is_nodes = arguments.iter().any(|argument| argument == "--nodes");
    let is_smoke = one.is_none() && last.is_none() && !is_nodes;
    // As in the first of two runs of `tools/test`: it takes both cores, and waits for nothing.
    if is_smoke && std::env::var_os("TEST_NUDGED_SIM").is_some_and(|when| when == "later") {
        println!("left for later");
        return ExitCode::SUCCESS;
    }
    if is_nodes {
        return exit_code(run_all(Kind::Nodes, seeds(NODES_SEEDS_DEFAULT), one.is_some()) == 0);
    }
    // A run has one thread: the others beside it, in a process of their own, whose panics are its.
    let beside = is_smoke.then(|| {
        let program = std::env::current_exe().expect("this program");
        Command::new(program).arg("--nodes").spawn().expect("the same once more")
    });
    let mut is_good = run_all(Kind::One, seeds(SEEDS_DEFAULT), one.is_some()) == 0;
    if let Some(mut beside) = beside {
        is_good &= beside.wait().expect("a child of ours").success();
    }
    exit_code(is_good)
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs seeds; gives how many failed.
fn run_all(kind: Kind, seeds: RangeInclusive<u64>, is_printed: bool) -> u64 {
    let begun = Instant::now();
    let (mut steps, mut answers, mut forgotten, mut failed) = (0, 0, 0, 0);
    for seed in seeds.clone() {
        match hold(kind, seed, is_printed) {
            Ok(ran) => {
                steps += ran.steps;
                answers += ran.answers;
                forgotten += ran.forgotten;
            }
            Err(message) => {
                failed += 1;
                println!("seed {seed} failed: {message}");
                println!("  {:?}", Config::draw(kind, seed));
                println!("  replay it: tools/sim {}", flags(kind, seed));
            }
        }
    }
    let count = seeds.end() - seeds.start() + 1;
    let seconds = begun.elapsed().as_secs_f64();
    let name = if kind == Kind::One { "sim" } else { "sim of nodes" };
    println!(
        "{name}: {count} seeds, {failed} failed, {steps} steps, {answers} answers, {forgotten} users \
         forgotten, {seconds:.1} s"
    );
    failed
}
