//! Catalogs for the tests of the domain, written as people write them.

use serde_json::Value;

use crate::catalog::compile::{Entry, compile};
use crate::catalog::snapshot::{Popup, Settings, Snapshot, Status};
use crate::catalog::source::{Definition, parse_json_values};

/// The compiled popups of a JSON array, with settings.
pub fn snapshot_with(settings: Settings, popups: &Value) -> Snapshot {
    let definitions = definitions(popups);
    let entries: Vec<Entry<'_>> =
        definitions.iter().map(|definition| entry(definition, definition.status())).collect();
    compile(&entries, settings, 1).unwrap()
}

/// The compiled popups of a JSON array, with default settings.
pub fn snapshot(popups: &Value) -> Snapshot {
    snapshot_with(Settings::default(), popups)
}

/// One compiled popup of a JSON object.
pub fn popup(popup: &Value) -> Popup {
    snapshot(&Value::Array(vec![popup.clone()])).popups.remove(0)
}

fn definitions(popups: &Value) -> Vec<Definition> {
    parse_json_values(popups.as_array().unwrap()).unwrap()
}

fn entry(definition: &Definition, status: Status) -> Entry<'_> {
    Entry { definition, version: 1, status }
}
