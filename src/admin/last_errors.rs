//! What has been wrong since the start, as the log told it.

use serde_json::{Value, json};

use super::input::moment_json;
use super::service::Service;
use nudged_base::telemetry::log::LastError;

/// What was last wrong with what these outages are of; null where nothing has been.
pub(super) fn last_error(service: &Service, outages: &[&str]) -> Value {
    let errors = last_errors(service, |error| outages.contains(&error.outage));
    errors.into_iter().next().unwrap_or_default()
}

/// What has been wrong since the start, the latest first.
pub(super) fn last_errors(service: &Service, is_wanted: impl Fn(&LastError) -> bool) -> Vec<Value> {
    let mut errors: Vec<LastError> = service.log.last_errors().filter(is_wanted).collect();
    errors.sort_by_key(|error| (!error.is_active, -error.at.0));
    let json = |error: &LastError| {
        json!({
            "outage": error.outage,
            "active": error.is_active,
            "at": moment_json(error.at),
            "code": error.code,
            "error": error.error,
        })
    };
    errors.iter().map(json).collect()
}
