//! `GET /v1/doctor`: what `nudged doctor` finds of the host of a node that runs. The checks are the
//! command's, handed in.

use std::time::Instant;

use serde_json::json;
use serde_json::value::RawValue;

use super::answer::AdminAnswer;
use super::service::Service;

/// Answers.
///
/// # Errors
/// 503 where it is being looked at already.
pub(super) fn answer(service: &Service) -> Result<AdminAnswer, AdminAnswer> {
    let begun = Instant::now();
    let found = (service.doctor)().ok_or_else(|| AdminAnswer::unavailable("busy"))?;
    let checks = RawValue::from_string(found).expect("a report is JSON");
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(AdminAnswer::json(200, &json!({ "took_ms": took_ms, "checks": checks })))
}
