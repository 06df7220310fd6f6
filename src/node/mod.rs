//! Floor 6: start, stop, signals, command line; the only place that knows every concrete type.
//! `arguments` the command line · `check` what `nudged check` says · `vectors` decision vectors
//! against the real core.

pub mod arguments;
pub mod check;
pub mod vectors;
