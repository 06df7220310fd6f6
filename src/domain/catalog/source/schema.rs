//! A popup as JSON Schema (2020-12), for editors of popups files and for clients of the API:
//! fields, ranges, defaults and examples, from the limits that the readers go by. What a schema
//! can't say, such as one field's place among others, `check` says.

use serde_json::{Value, json};

use super::canonical::AFTER_OUTCOMES;
use super::popup::{DAYS, ON_FAILURES};
use super::rules::operator_words;
use crate::catalog::snapshot::Status;

use nudged_base::limits::{
    CAPS_MAX, LOCALES_MAX, NAME_BYTES_MAX, PLACEMENTS_MAX, POPUP_ID_BYTES_MAX,
    SHOWS_REMEMBERED_MAX, TARGET_VALUES_MAX, VARIANT_KEY_BYTES_MAX, VARIANT_WEIGHT_MAX,
    VARIANTS_MAX, WINDOWS_MAX,
};

/// The form of a duration.
const DURATION: &str = "^([0-9]+(ms|s|m|h|d|w))+$";

/// The schema of a popup; `rule` is where that of a target's node stands.
pub fn popup_schema(rule: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {},
    });
    let properties = schema["properties"].as_object_mut().expect("it was just made");
    for part in [identity(), schedule(), limits(), audience(rule), contents()] {
        let Value::Object(part) = part else { unreachable!("each part is an object") };
        properties.extend(part);
    }
    schema
}

/// The schema of a node of a target; `rule` is where it stands.
pub fn rule_schema(rule: &str) -> Value {
    let node = json!({ "$ref": rule });
    let nodes = json!({ "type": "array", "items": node });
    let only = |name: &str, of: &Value| {
        json!({
            "type": "object",
            "required": [name],
            "additionalProperties": false,
            "properties": { name: of },
        })
    };
    json!({
        "description": "One of all, any, not, or an attribute with its operator and value.",
        "oneOf": [
            only("all", &nodes),
            only("any", &nodes),
            only("not", &node),
            {
                "type": "object",
                "required": ["attr", "op", "value"],
                "additionalProperties": false,
                "properties": {
                    "attr": { "type": "string", "minLength": 1, "examples": ["platform"] },
                    "op": { "enum": operator_words() },
                    "value": {
                        "anyOf": [
                            { "type": ["string", "number", "boolean"] },
                            {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": TARGET_VALUES_MAX,
                                "items": { "type": ["string", "number", "boolean"] },
                            },
                        ],
                    },
                },
            },
        ],
    })
}

fn identity() -> Value {
    json!({
        "id": {
            "type": "string",
            "pattern": format!("^[a-z0-9_-]{{1,{POPUP_ID_BYTES_MAX}}}$"),
            "description": "One popup for ever: made again, it has its old history.",
            "examples": ["spring-sale"],
        },
        "status": { "enum": Status::WORDS.map(|(word, _)| word), "default": "live" },
        "placement": {
            "type": "array",
            "minItems": 1,
            "maxItems": PLACEMENTS_MAX,
            "uniqueItems": true,
            "items": { "type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX },
            "default": ["home"],
            "description": "Where it may appear.",
        },
        "priority": {
            "type": "integer",
            "minimum": i64::MIN,
            "maximum": i64::MAX,
            "default": 0,
            "description": "Higher wins; of the same, the id that sorts first.",
        },
        "quiet_exempt": {
            "type": "boolean",
            "default": false,
            "description": "Outside quiet_time, max_per_day and max_per_session.",
        },
        "on_failure": {
            "enum": ON_FAILURES.map(|(word, _)| word),
            "default": "hide",
            "description": "What happens when the user's state cannot be read.",
        },
    })
}

fn schedule() -> Value {
    let moment = |about: &str| {
        json!({
            "description": about,
            "examples": ["2026-03-01T00:00:00+01:00"],
            "type": "string",
            "format": "date-time",
        })
    };
    let minute = |about: &str, last: &str| {
        json!({
            "type": "string",
            "pattern": format!("^(([01][0-9]|2[0-3]):[0-5][0-9]{last})$"),
            "description": about,
        })
    };
    json!({
        "starts_at": moment("The first moment at which it may be shown."),
        "ends_at": moment("The first moment at which it may not be shown any more."),
        "windows": {
            "type": "array",
            "maxItems": WINDOWS_MAX,
            "description": "Local times at which it may be shown. Default: always.",
            "examples": [[{ "days": ["mon", "fri"], "from": "09:00", "to": "18:00" }]],
            "items": {
                "type": "object",
                "required": ["from", "to"],
                "additionalProperties": false,
                "properties": {
                    "days": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": DAYS.len(),
                        "items": { "enum": DAYS },
                        "description": "Default: all.",
                    },
                    "from": minute("Begin, included.", ""),
                    "to": minute("End, not included; at or before `from`: of the day after.", "|24:00"),
                },
            },
        },
        "tz": {
            "type": "string",
            "default": "UTC",
            "description": "Zone of the windows, or `user` for the request's.",
            "examples": ["Europe/Berlin", "user"],
        },
    })
}

fn limits() -> Value {
    let gap = |about: &str, default: &str| {
        json!({
            "type": "string",
            "pattern": format!("{DURATION}|^never$"),
            "default": default,
            "description": about,
            "examples": ["24h", "1h30m", "never"],
        })
    };
    let mut limits = json!({
        "max_shows": {
            "type": "integer",
            "minimum": 0,
            "maximum": u32::MAX,
            "default": 0,
            "description": "Shows per user, for ever; 0 for no limit.",
        },
        "caps": {
            "type": "array",
            "maxItems": CAPS_MAX,
            "description": "At most n shows within a sliding per.",
            "examples": [[{ "n": 1, "per": "24h" }]],
            "items": {
                "type": "object",
                "required": ["n", "per"],
                "additionalProperties": false,
                "properties": {
                    "n": { "type": "integer", "minimum": 1, "maximum": SHOWS_REMEMBERED_MAX },
                    "per": { "type": "string", "pattern": DURATION, "description": "Longer than 0." },
                },
            },
        },
        "after_shown": gap("Rest after a show.", "24h"),
        "ignore_after": {
            "type": "string",
            "pattern": DURATION,
            "default": "5m",
            "description": "Without an outcome for so long, a show counts as ignored.",
        },
    });
    for (name, outcome) in AFTER_OUTCOMES {
        let default = match name {
            "after_ignored" => "24h",
            "after_dismissed" => "7d",
            _ => "never",
        };
        limits[name] = gap(&format!("Rest after it was {}.", outcome.word()), default);
    }
    limits
}

fn audience(rule: &str) -> Value {
    json!({
        "rollout": {
            "type": "number",
            "minimum": 0,
            "maximum": 100,
            "default": 100,
            "description": "Percent of users; raising it takes it from nobody.",
        },
        "target": {
            "$ref": rule,
            "examples": [{ "attr": "platform", "op": "in", "value": ["ios", "android"] }],
        },
    })
}

fn contents() -> Value {
    let content = json!({
        "type": "object",
        "description": "Any JSON object, returned as it is.",
        "examples": [{ "title": "Spring sale" }],
    });
    let locales = json!({
        "type": "object",
        "maxProperties": LOCALES_MAX,
        "propertyNames": { "pattern": format!("^[A-Za-z0-9_-]{{1,{NAME_BYTES_MAX}}}$") },
        "additionalProperties": { "type": "object" },
        "description": "Content by locale; de-AT falls back to de, then to content.",
    });
    json!({
        "content": content,
        "locales": locales,
        "variants": {
            "type": "array",
            "minItems": 1,
            "maxItems": VARIANTS_MAX,
            "description": "In the place of content and locales.",
            "items": {
                "type": "object",
                "required": ["key"],
                "additionalProperties": false,
                "properties": {
                    "key": { "type": "string", "minLength": 1, "maxLength": VARIANT_KEY_BYTES_MAX },
                    "weight": {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": VARIANT_WEIGHT_MAX,
                        "default": 1,
                    },
                    "content": content,
                    "locales": locales,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::source::FIELDS;

    #[test]
    fn the_schema_has_every_field_and_no_other() {
        let schema = popup_schema("#/$defs/Rule");
        let mut names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut fields = FIELDS;
        names.sort_unstable();
        fields.sort_unstable();
        assert_eq!(names, fields);
    }
}
