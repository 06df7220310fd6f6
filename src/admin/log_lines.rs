//! `GET /v1/log`: the last lines of the node's log, as its log has them.

use bumpalo::Bump;
use serde_json::{Map, Value, json};

use super::answer::AdminAnswer;
use super::input::{self, moment_json};
use super::service::Service;
use nudged_base::limits::LOG_TAIL_TOLD;
use nudged_base::telemetry::log::Level;
use nudged_runtime::threads::log_tail::TailLine;

/// What of a JSON line stands beside its fields.
const BESIDE: [&str; 4] = ["time", "level", "code", "message"];

/// Answers `limit level after`.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let [limit, level, after] = input::fields(query, ["limit", "level", "after"], &bump)?;
    let limit = limit.and_then(input::number).unwrap_or(LOG_TAIL_TOLD.into());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let level = level.and_then(Level::of_name).unwrap_or(Level::Debug);
    let lines = match after.and_then(input::number) {
        Some(after) => service.log_tail.after(after, level, limit),
        None => service.log_tail.newest(level, limit),
    };
    let (oldest, last) = service.log_tail.bounds().unzip();
    let lines: Vec<Value> = lines.iter().map(line_json).collect();
    Ok(AdminAnswer::json(200, &json!({ "lines": lines, "oldest": oldest, "last": last })))
}

/// A line as it is told.
pub(super) fn line_json(line: &TailLine) -> Value {
    json!({
        "n": line.number,
        "at": moment_json(line.at),
        "level": line.message.level().name(),
        "code": line.message.code(),
        "message": line.message.text(),
        "fields": fields_of(line),
        "line": line.text,
    })
}

/// What a line tells beside its message, in whichever format it is written.
fn fields_of(line: &TailLine) -> Map<String, Value> {
    if let Ok(mut members) = serde_json::from_str::<Map<String, Value>>(&line.text) {
        members.retain(|name, _| !BESIDE.contains(&name.as_str()));
        return members;
    }
    let fields = line.text.split_once(line.message.text()).map_or("", |(_, fields)| fields);
    let mut rest = fields;
    let mut members = Map::new();
    while let Some((name, value, left)) = next_field(rest) {
        members.insert(name.to_owned(), value);
        rest = left;
    }
    members
}

/// The first of ` name="text" other=7`, and what is behind it.
fn next_field(text: &str) -> Option<(&str, Value, &str)> {
    let (name, value) = text.strip_prefix(' ')?.split_once('=')?;
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    let read = values.next()?.ok()?;
    Some((name, read, value.get(values.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::clock::Now;
    use nudged_base::telemetry::log::{Log, LogValue, Message};
    use nudged_base::time::{MonoNs, WallMs};
    use nudged_runtime::threads::log_tail::LogTail;

    #[test]
    fn fields_are_read_from_either_format() {
        for is_json in [false, true] {
            let log = Log::new(Level::Info, is_json, &[]);
            let tail = LogTail::default();
            let fields = [
                ("error", LogValue::Text("a \"b\" = c\n d=7")),
                ("count", LogValue::Number(3)),
                ("user", LogValue::User("ann")),
            ];
            let now = Now { mono: MonoNs(0), wall: WallMs(0) };
            log.write(now, Message::DeadLetter, &fields);
            tail.keep(log.next_queued().unwrap());
            let told = line_json(&tail.newest(Level::Debug, 1)[0]);
            assert_eq!((&told["n"], &told["level"]), (&json!(1), &json!("error")), "{told}");
            let fields = &told["fields"];
            assert_eq!(fields["error"], "a \"b\" = c\n d=7", "{told}");
            assert_eq!(fields["count"], 3, "{told}");
            assert!(fields["user"].as_str().unwrap().starts_with('#'), "hashed as there");
            assert_eq!(fields.as_object().unwrap().len(), 3, "{told}");
        }
    }
}
