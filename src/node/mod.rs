//! Floor 6: start, stop, signals, command line; the only place that knows every concrete type.
//! `check` what `nudged check` says of files of popups · `vectors` plays decision vectors.

pub mod check;
pub mod vectors;
