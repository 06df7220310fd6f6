//! Properties of the whole, one module each.

// A failed `unwrap` in a test is the test's failure.
#![allow(clippy::unwrap_used)]

mod circles;
mod citations;
mod documents;
mod floors;
mod gates;
mod model;
mod names;
mod sql;
mod telemetry;
mod tidy;
mod vectors;
mod visibility;
