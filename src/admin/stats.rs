//! `GET /v1/stats`: counts per popup, variant and hour, of the last day unless asked otherwise.

use bumpalo::Bump;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::input::{self, BadInput, told};
use super::service::Service;
use nudged_base::event_kind::EventKind;
use nudged_base::limits::{STATS_RANGE_MAX_MS, STATS_RANGE_OF_ONE_MAX_MS};
use nudged_base::time::{DurationMs, WallMs};
use nudged_store::StatRow;

/// What is asked for: hours in `[from, to)`.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    popup: Option<&'a str>,
    from: WallMs,
    to: WallMs,
}

/// Answers `popup from to`.
pub(super) fn answer(service: &Service, query: &str) -> Answer {
    let bump = Bump::new();
    let asked = match read(query, service.now(), &bump) {
        Ok(asked) => asked,
        Err(bad) => return bad.into(),
    };
    let rows = match service.reader() {
        Ok(reader) => reader.stats(asked.popup, asked.from, asked.to),
        Err(busy) => return busy,
    };
    match rows {
        Ok(rows) => {
            let told_rows: Vec<Value> = rows.iter().map(told_row).collect();
            let value = json!({
                "popup": asked.popup,
                "from": told(asked.from),
                "to": told(asked.to),
                "totals": totals(&rows),
                "rows": told_rows,
            });
            Answer::json(200, &value)
        }
        Err(error) => service.sql_failed(&error),
    }
}

fn read<'a>(query: &'a str, now: WallMs, bump: &'a Bump) -> Result<Asked<'a>, BadInput> {
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
    Ok(Asked { popup, from, to })
}

fn told_row(row: &StatRow) -> Value {
    let mut told_row = Map::new();
    told_row.insert("popup".to_owned(), json!(row.popup));
    told_row.insert("variant".to_owned(), json!((!row.variant.is_empty()).then_some(&row.variant)));
    told_row.insert("hour".to_owned(), told(row.hour));
    for (event_kind, count) in EventKind::ALL.into_iter().zip(row.counts) {
        told_row.insert(event_kind.word().to_owned(), json!(count));
    }
    Value::Object(told_row)
}

fn totals(rows: &[StatRow]) -> Value {
    let total = |event_kind: EventKind| {
        let sum: u64 = rows.iter().map(|row| row.counts[event_kind as usize]).sum();
        (event_kind.word().to_owned(), json!(sum))
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
            ("".to_owned(), Ok(Asked { popup: None, from: day_before, to: now })),
            ("popup=p&to=5&from=3".to_owned(), {
                Ok(Asked { popup: Some("p"), from: WallMs(3), to: WallMs(5) })
            }),
            (format!("from=0&to={STATS_RANGE_MAX_MS}"), {
                let to = WallMs(i64::try_from(STATS_RANGE_MAX_MS).unwrap());
                Ok(Asked { popup: None, from: WallMs(0), to })
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
