//! Floor 6: start, stop, signals, subcommands.

pub mod vectors;
