//! Floor 6: start, stop, signals, command line; the only place that knows every concrete type.
//! `arguments` the command line · `check` what `nudged check` says of files of popups.

pub mod arguments;
pub mod check;
