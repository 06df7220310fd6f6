//! The command line.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Parser, ValueEnum};

/// Sends requests at a constant rate and tells how late the answers were.
#[derive(Clone, Debug, Parser)]
#[command(name = "open-loop", max_term_width = 100)]
pub struct Arguments {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Requests a second. The events of `show-and-event` come on top.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Connections, kept open and used in turn; up to 19,900 a process.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=19_900))]
    pub connections: u64,
    /// How long it is measured.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How long the same load runs before.
    #[arg(long, default_value_t = 2)]
    pub warm_up: u64,
    /// Before all, each user is asked for so many times, as fast as it goes: with popups that are
    /// shown once, one time more than there are popups.
    #[arg(long, default_value_t = 0)]
    pub passes: u64,
    /// What is asked.
    #[arg(long, value_enum, default_value_t = Job::Decide)]
    pub job: Job,
    /// The share of `decide` and `show-and-event` that asks for users who were never seen, and so
    /// are shown a popup.
    #[arg(long, default_value_t = 0.0)]
    pub shows_percent: f64,
    /// Each user who was never seen comes so often.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub shows_each: u64,
    /// Users who are known, `user-0` and so on, in turn.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Users who were never seen have names that begin so; else one that no other run has.
    #[arg(long)]
    pub round: Option<String>,
    /// The placement that is asked for.
    #[arg(long, default_value = "home")]
    pub placement: String,
    /// Connections that are opened a second.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub connect_rate: u64,
    /// The first address that connections come from, and for each 14,000 of them one more: several
    /// processes that share one have too few ports.
    #[arg(long)]
    pub source: Option<Ipv4Addr>,
    /// A request that has no answer after so many seconds is an error.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// A request that is due while no connection is free is dropped and counted, and the run ends
    /// with the last that is due: for more load than the server can take.
    #[arg(long)]
    pub drop: bool,
    /// An answer within so many milliseconds is one in time.
    #[arg(long, default_value_t = 55)]
    pub deadline_ms: u64,
    /// Opens the connections, asks once over each, and holds them for `--seconds`.
    #[arg(long)]
    pub idle: bool,
    /// The CPU to run on.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// One line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Decisions, of users in turn.
    Decide,
    /// Decisions of users who were never seen alone.
    Shows,
    /// As `decide`; each popup that was shown is told as clicked at once.
    ShowAndEvent,
}
