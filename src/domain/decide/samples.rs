//! Catalogs for the tests of the domain, written as people write them.

use serde_json::Value;

use crate::catalog::compile::compile_unstored;
use crate::catalog::snapshot::{Popup, Settings, Snapshot};
use crate::catalog::source::parse_json_values;

/// The compiled popups of a JSON array, with settings.
pub fn snapshot_with(settings: Settings, popups: &Value) -> Snapshot {
    let definitions = parse_json_values(popups.as_array().unwrap()).unwrap();
    compile_unstored(&definitions, settings).unwrap()
}

/// The compiled popups of a JSON array, with default settings.
pub fn snapshot(popups: &Value) -> Snapshot {
    snapshot_with(Settings::default(), popups)
}

/// One compiled popup of a JSON object.
pub fn popup(popup: &Value) -> Popup {
    snapshot(&Value::Array(vec![popup.clone()])).popups.remove(0)
}
