//! `GET /v1/stats`: counts per popup, variant and hour, of the last day unless asked otherwise.
//! What is old is there as whole UTC days.

use bumpalo::Bump;
use serde_json::{Map, Value, json};

use super::answer::AdminAnswer;
use super::input::{self, BadInput, moment_json};
use super::service::Service;
use nudged_base::event_kind::EventKind;
use nudged_base::limits::{STATS_RANGE_MAX_MS, STATS_RANGE_OF_ONE_MAX_MS};
use nudged_base::time::{DurationMs, WallMs};
use nudged_store::StatRow;

/// What is asked for: hours in `[from, to)`.
#[derive(Debug, PartialEq, Eq)]
struct StatsQuery<'a> {
    popup: Option<&'a str>,
    from: WallMs,
    to: WallMs,
}

/// Answers `popup from to`.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let query = read(query, service.now(), &bump)?;
    let rows = service.reader()?.stats(query.popup, query.from, query.to);
    let rows = rows.map_err(|error| service.sql_failed(&error))?;
    let value = json!({
        "popup": query.popup,
        "from": moment_json(query.from),
        "to": moment_json(query.to),
        "totals": totals(&rows),
        "rows": rows.iter().map(row_json).collect::<Vec<Value>>(),
    });
    Ok(AdminAnswer::json(200, &value))
}

fn read<'a>(query: &'a str, now: WallMs, bump: &'a Bump) -> Result<StatsQuery<'a>, BadInput> {
    let [popup, from, to] = input::fields(query, ["popup", "from", "to"], bump)?;
    let to = to.map_or(Ok(now), |text| input::moment(text, "to"))?;
    let day_before = WallMs(to.0.saturating_sub_unsigned(DurationMs::DAY.0));
    let from = from.map_or(Ok(day_before), |text| input::moment(text, "from"))?;
    let range_max_ms = match popup {
        Some(_) => STATS_RANGE_OF_ONE_MAX_MS,
        None => STATS_RANGE_MAX_MS,
    };
    if from > to || to.since(from).0 > range_max_ms {
        return Err(BadInput::new("bad_range", "from"));
    }
    Ok(StatsQuery { popup, from, to })
}

fn row_json(row: &StatRow) -> Value {
    let mut row_json = Map::new();
    row_json.insert("popup".to_owned(), json!(row.popup));
    row_json.insert("variant".to_owned(), json!((!row.variant.is_empty()).then_some(&row.variant)));
    row_json.insert("hour".to_owned(), moment_json(row.hour));
    row_json.insert("span".to_owned(), json!(if row.is_day { "day" } else { "hour" }));
    for (kind, count) in EventKind::ALL.into_iter().zip(row.counts) {
        row_json.insert(kind.word().to_owned(), json!(count));
    }
    Value::Object(row_json)
}

fn totals(rows: &[StatRow]) -> Value {
    let total = |kind: EventKind| {
        let sum: u64 = rows.iter().map(|row| row.counts[kind as usize]).sum();
        (kind.word().to_owned(), json!(sum))
    };
    Value::Object(EventKind::ALL.into_iter().map(total).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_default_to_a_day_and_are_bounded() {
        let bump = Bump::new();
        let now = WallMs(1_767_225_600_000);
        let day_before = WallMs(now.0 - 86_400_000);
        let bad = Err(BadInput::new("bad_range", "from"));
        let cases = [
            ("".to_owned(), Ok(StatsQuery { popup: None, from: day_before, to: now })),
            ("popup=p&to=5&from=3".to_owned(), {
                Ok(StatsQuery { popup: Some("p"), from: WallMs(3), to: WallMs(5) })
            }),
            (format!("from=0&to={STATS_RANGE_MAX_MS}"), {
                let to = WallMs(i64::try_from(STATS_RANGE_MAX_MS).unwrap());
                Ok(StatsQuery { popup: None, from: WallMs(0), to })
            }),
            (format!("from=0&to={}", STATS_RANGE_MAX_MS + 1), bad),
            ("from=2&to=1".to_owned(), Err(BadInput::new("bad_range", "from"))),
            (format!("popup=p&from=0&to={}", STATS_RANGE_OF_ONE_MAX_MS + 1), {
                Err(BadInput::new("bad_range", "from"))
            }),
            ("from=x".to_owned(), Err(BadInput::new("bad_value", "from"))),
        ];
        for (query, want) in cases {
            assert_eq!(read(&query, now, &bump), want, "{query}");
        }
    }
}
