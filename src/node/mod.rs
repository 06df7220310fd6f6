//! Floor 6: start, stop, signals, command line; the only place that knows every concrete type.
//! `arguments` the command line.

pub mod arguments;
