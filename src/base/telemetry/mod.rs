//! What a node says of itself: numbers and log lines. Knows nothing of what they mean, of clocks or
//! of where they go.
//!
//! `counter` one number · `counters` one block of them per shard, written by that shard alone ·
//! `histogram` latencies in fixed buckets, `request_durations` those of requests,
//! `sql_durations` those of SQL, `popup_counters` what happens to popups,
//! `listener_counters` to connections · `table` numbers
//! of the node's other parts · `text` all of them in Prometheus' format · `log` messages (one
//! enum), their rate limit and their queue · `log::line` a line as JSON or text.

mod counter;
pub mod counters;
mod histogram;
mod listener_counters;
pub mod log;
mod popup_counters;
mod request_durations;
mod sql_durations;
pub mod table;
pub mod text;

pub use popup_counters::KindCounts;
pub use request_durations::{DurationTotals, RequestOutcome, RequestRoute};
pub use sql_durations::{SqlDurations, SqlOperation};
