//! How the machines log: a message with what is wrong, at the time of their step.

use nudged_base::clock::Now;
use nudged_base::telemetry::log::{Log, LogValue, Message};

/// Logs what is wrong; with an empty text, that it is over.
pub(crate) fn log_error(log: &Log, now: Now, message: Message, text: &str) {
    log.write(now, message, &[("error", LogValue::Text(text))]);
}
