//! `/openapi.json`: the description of both APIs. Its texts stand in a file beside; what queries of
//! the admin API may have, and who may ask, is written in from the table of operations, so that the
//! two can't differ.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::operations::{self, AdminOperation, Needs, OPERATIONS};
use nudged_domain::catalog::source::{popup_schema, rule_schema};

const BASE: &str = include_str!("openapi.json");

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /openapi.json`
pub(super) fn answer() -> AdminAnswer {
    AdminAnswer::text("application/json", DOCUMENT.as_str())
}

/// The whole description. Allocates.
///
/// # Panics
/// Where the file beside lacks an operation of the table; a test reads it.
pub(super) fn document() -> Value {
    let mut document: Value = serde_json::from_str(BASE).expect("the file is JSON");
    for operation in OPERATIONS {
        let method = operations::name_of(operation.method).to_ascii_lowercase();
        let described = &mut document["paths"][operation.path][method];
        assert!(described.is_object(), "{} {}", operation.path, described);
        complete(described, operation);
    }
    let paths = document["paths"].as_object_mut().expect("paths are an object");
    let described = paths.values_mut().filter_map(Value::as_object_mut);
    described.flat_map(|path| path.values_mut()).for_each(complete_with_framing);
    let schemas = &mut document["components"]["schemas"];
    schemas["PopupDefinition"] = popup_schema("#/components/schemas/Rule");
    schemas["Rule"] = rule_schema("#/components/schemas/Rule");
    document
}

/// Writes into an operation what is refused before anybody looks for which operation it is.
fn complete_with_framing(described: &mut Value) {
    let has_body = described["requestBody"].is_object();
    let responses = described["responses"].as_object_mut().expect("an operation has responses");
    let framing = [("413", "BodyTooLarge"), ("414", "TargetTooLong"), ("431", "HeadTooLarge")];
    for (status, name) in framing.into_iter().filter(|(status, _)| has_body || *status != "413") {
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(status).or_insert(reference);
    }
}

/// Writes into an operation what the table says of it.
fn complete(described: &mut Value, operation: &AdminOperation) {
    let of_table = operation.parameters.iter().map(|parameter| parameter.described());
    let of_table: Vec<Value> = of_table.collect();
    let members = described.as_object_mut().expect("an operation is an object");
    if !of_table.is_empty() {
        let parameters = members.entry("parameters").or_insert_with(|| json!([]));
        parameters.as_array_mut().expect("parameters are a list").extend(of_table);
    }
    let refused = json!({ "$ref": "#/components/responses/BadRequest" });
    let responses = described["responses"].as_object_mut().expect("an operation has responses");
    responses.entry("400").or_insert(refused);
    if operation.needs != Needs::Nothing {
        described["x-roles"] = json!(operation.needs.roles());
        // None is needed where nobody else can come.
        described["security"] = json!([{ "token": [] }, { "session": [] }, {}]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What editors of popups files read.
    const FILE: &str = include_str!("../../vendor-config/popups.schema.json");

    #[test]
    fn the_file_for_editors_is_the_schema() {
        let rule = "#/$defs/Rule";
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Popups of nudged",
            "type": "object",
            "properties": { "popup": { "type": "array", "items": popup_schema(rule) } },
            "additionalProperties": false,
            "$defs": { "Rule": rule_schema(rule) },
        });
        let text = serde_json::to_string_pretty(&schema).unwrap();
        assert!(FILE.trim_end() == text, "vendor-config/popups.schema.json should be:\n{text}");
    }
}
