//! What a node says of itself: numbers and log lines. Knows nothing of what they mean, of clocks or
//! of where they go.
//!
//! `counters` one block of numbers per shard, written by that shard alone · `histogram` latencies
//! in fixed buckets · `table` numbers of the node's other parts · `text` all of them in Prometheus'
//! format · `log` messages (one enum), their rate limit and their queue · `log::line` a line as
//! JSON or text.

pub mod counters;
mod histogram;
pub mod log;
pub mod table;
pub mod text;
