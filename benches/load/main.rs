//! An open-loop load generator: requests leave at exact times, whatever the server does, and a
//! latency counts from the time at which its request was due. A server that stands still for 10 ms
//! so makes every request late that was due in them, not one a connection (coordinated omission).
//!
//!     cargo run --release --example open-loop -- 127.0.0.1:8080 --rate 20000 --connections 64
//!
//! One thread, one epoll. A connection has one request at a time; a request that is due while all
//! of them wait for answers waits too, and that counts. How late the generator itself was stands
//! beside the latencies (`lag`): where it did not keep up, its figures are no result, and it says
//! so. Needs a core of its own (`--cpu`).
//!
//! `schedule` when requests are due · `job` what they ask for · `connections` their sockets ·
//! `answers` what comes back · `load` the loop · `latencies` and `report` what came of it.
//!
//! Exit codes: 0 · 1 some requests were not answered as they should be · 2 it could not run.

mod answers;
mod arguments;
mod connections;
mod job;
mod latencies;
mod load;
mod report;
mod schedule;
#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZeroU64;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::job::Requests;
use crate::load::Load;
use crate::report::Report;
use crate::schedule::Schedule;
use nudged_runtime::{clocks, process_limits, topology};

/// Sleeps end this exactly, in nanoseconds; the kernel's own choice is 50,000.
const TIMER_SLACK_NS: u64 = 1_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            print!("{}", if arguments.json { report.as_json() } else { report.as_text() });
            ExitCode::from(u8::from(report.has_errors()))
        }
        Err(error) => {
            eprintln!("open-loop: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<Report> {
    process_limits::raise();
    if let Some(cpu) = arguments.cpu
        && !topology::pin(cpu)
    {
        return Err(io::Error::other(format!("it may not run on CPU {cpu}")));
    }
    rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS))?;
    let mut load = Load::new(arguments, Requests::new(arguments))?;
    load.open_all()?;
    if arguments.idle {
        // A connection that was never asked over has no buffers yet.
        load.run(&Schedule::at_once(arguments.connections), u64::MAX)?;
        println!("open {}", load.open_connections());
        load.hold(arguments.seconds)?;
    } else {
        load.prepare(arguments.passes * arguments.users)?;
        let warm_up_ns = arguments.warm_up * 1_000_000_000;
        let count = arguments.rate * (arguments.warm_up + arguments.seconds);
        let start_ns = clocks::mono().0;
        let schedule = Schedule::steady(start_ns, arguments.rate, count);
        load.run(&schedule, start_ns + warm_up_ns)?;
    }
    Ok(load.report())
}
