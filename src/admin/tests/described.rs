//! Property: each field of an answer stands in the description of the API: clients are made from
//! it.

use super::*;

/// The schema of an operation's answer.
fn schema<'d>(document: &'d Value, method: &str, path: &str, status: &str) -> &'d Value {
    let answer = &document["paths"][path][method]["responses"][status];
    let answer = resolve(document, answer);
    &answer["content"]["application/json"]["schema"]
}

pub(super) fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

/// Paths of an answer's members that a schema does not have. An object without `properties` may
/// have any.
pub(super) fn undescribed(
    document: &Value,
    schema: &Value,
    value: &Value,
    path: &str,
) -> Vec<String> {
    let schema = resolve(document, schema);
    for word in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[word].as_array() {
            let each = choices.iter().map(|choice| undescribed(document, choice, value, path));
            return each.min_by_key(Vec::len).unwrap();
        }
    }
    match value {
        Value::Object(members) => {
            let Some(properties) = schema["properties"].as_object() else {
                let is_open = schema["type"].to_string().contains("object");
                return if is_open { Vec::new() } else { vec![path.to_owned()] };
            };
            let mut missing = Vec::new();
            for (name, value) in members {
                let path = format!("{path}.{name}");
                match properties.get(name) {
                    Some(schema) => missing.extend(undescribed(document, schema, value, &path)),
                    None if schema["additionalProperties"] == true => {}
                    None => missing.push(path),
                }
            }
            missing
        }
        Value::Array(values) => {
            let items = &schema["items"];
            let each = values.iter().map(|value| match items.is_null() {
                true => Vec::new(),
                false => undescribed(document, items, value, &format!("{path}[]")),
            });
            each.flatten().collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_field_that_is_answered_is_described() {
    let node = node();
    let document = openapi::document();
    node.send("PUT /v1/popups/n", "", "{\"content\":{\"title\":\"x\"}}");
    node.send("PUT /v1/popups/n/draft", "", "{\"priority\":2}");
    let cases = [
        ("GET /v1/popups?stats=24h", "/v1/popups", ""),
        ("GET /v1/popups/b", "/v1/popups/{id}", ""),
        ("PUT /v1/popups/n", "/v1/popups/{id}", "{\"priority\":1}"),
        ("PATCH /v1/popups/n", "/v1/popups/{id}", "{\"priority\":3}"),
        ("PATCH /v1/popups/n", "/v1/popups/{id}", "{\"priority\":\"x\"}"),
        ("GET /v1/popups/n/draft", "/v1/popups/{id}/draft", ""),
        ("PUT /v1/popups/n/draft", "/v1/popups/{id}/draft", "{\"priority\":7}"),
        ("GET /v1/popups/n/history", "/v1/popups/{id}/history", ""),
        ("GET /v1/users/u", "/v1/users/{user}", ""),
        ("GET /v1/users/u/timeline", "/v1/users/{user}/timeline", ""),
        ("GET /v1/explain?user=u", "/v1/explain", ""),
        ("GET /v1/stats", "/v1/stats", ""),
        ("GET /v1/stats?popup=nope", "/v1/stats", ""),
        ("PUT /v1/popups/n/draft?base_version=9", "/v1/popups/{id}/draft", "{}"),
        ("GET /v1/stats?by=week", "/v1/stats", ""),
        ("POST /v1/preview", "/v1/preview", "{\"popup\":\"a\",\"user\":\"u\"}"),
        ("POST /v1/preview", "/v1/preview", "{\"popup\":\"zz\"}"),
        ("POST /v1/popups/n/pause", "/v1/popups/{id}/pause", ""),
        ("POST /v1/popups/n/resume", "/v1/popups/{id}/resume", ""),
        ("POST /v1/popups/n/publish", "/v1/popups/{id}/publish", ""),
        ("POST /v1/popups/n/publish", "/v1/popups/{id}/publish", ""),
        ("POST /v1/popups/n/rollback", "/v1/popups/{id}/rollback", ""),
        ("DELETE /v1/popups/n", "/v1/popups/{id}", ""),
        ("DELETE /v1/popups/a", "/v1/popups/{id}", ""),
        ("GET /v1/status", "/v1/status", ""),
        ("GET /v1/log", "/v1/log", ""),
        ("GET /v1/audit", "/v1/audit", ""),
        ("GET /v1/doctor", "/v1/doctor", ""),
        ("POST /v1/check?id=n", "/v1/check", "{\"priority\":9,\"rollout\":0}"),
        ("POST /v1/check", "/v1/check", "{\"priority\":\"x\"}"),
        ("POST /v1/backup", "/v1/backup", ""),
        ("POST /v1/reload", "/v1/reload", ""),
        ("DELETE /v1/users/u", "/v1/users/{user}", ""),
        ("GET /v1/session", "/v1/session", ""),
        ("GET /health", "/health", ""),
        ("GET /readyz", "/readyz", ""),
    ];
    let mut missing = Vec::new();
    for (line, path, body) in cases {
        let (status, _, answer) = node.send(line, "", body);
        let method = line.split(' ').next().unwrap().to_ascii_lowercase();
        let schema = schema(&document, &method, path, &status.to_string());
        assert!(schema.is_object(), "{line}: {status} is not described: {answer}");
        let of_line = undescribed(&document, schema, &answer, "");
        missing.extend(of_line.into_iter().map(|field| format!("{line} {status}: {field}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
