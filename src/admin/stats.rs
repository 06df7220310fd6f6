//! `GET /v1/stats`: counts per popup, variant and hour, of the last day unless asked otherwise, or
//! by calendar day of a zone. What is old is there as whole UTC days: where one of them is among
//! the rows, all of them are by UTC day, which the answer says.
//!
//! ```text
//! rows of SQL (hours, old days) -> by hour, or by day of a zone -> JSON or CSV
//! ```
//!
//! Distinct users are those of sketches, which unite over variants, hours and popups: a row's are
//! those of its hours, the totals' are those of all rows.
//!
//! Ignored shows are inferred: decisions of hours that ended at least `ignore_after` ago, less
//! those that were ever clicked, dismissed or converted.

mod warnings;

use std::collections::BTreeMap;

use bumpalo::Bump;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::answer::AdminAnswer;
use super::csv;
use super::input::{self, BadInput, moment_json};
use super::service::Service;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::PopupKey;
use nudged_base::limits::{STATS_RANGE_MAX_MS, STATS_RANGE_OF_ONE_MAX_MS};
use nudged_base::sketch::SKETCH_ERROR;
use nudged_base::time::{DurationMs, WallMs};
use nudged_domain::catalog::schedule::zone_named;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_http::choice::weighed;
use nudged_http::head::Request;
use nudged_store::{StatPlaceAt, StatRow, StatUsers};

/// `ignore_after` of a popup that no catalog knows any more: the default of all.
const IGNORE_AFTER_DEFAULT: DurationMs = DurationMs(300_000);
const HOUR: DurationMs = DurationMs(3_600_000);

/// What is asked for: hours in `[from, to)`.
#[derive(Debug, PartialEq, Eq)]
struct StatsQuery<'a> {
    popup: Option<&'a str>,
    from: WallMs,
    to: WallMs,
    /// By day of the zone; without it by what is stored.
    by_day: Option<bool>,
    zone: &'a str,
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StatsRow {
    is_day: bool,
    counts: [u64; 6],
    answered: Option<u64>,
    ignored_inferred: Option<u64>,
    users: StatUsers,
}

/// What SQL has: counts, and the distinct users of rows that have any.
struct StatsFound {
    rows: Vec<StatRow>,
    users: BTreeMap<StatPlaceAt, StatUsers>,
}

/// A row's popup, variant and first moment.
type StatsRowKey = (String, String, WallMs);

/// What is answered.
struct StatsReport {
    rows: Vec<(StatsRowKey, StatsRow)>,
    by: &'static str,
    zone: TimeZone,
    warnings: Vec<String>,
}

/// Answers `popup from to by tz format`.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, request: &Request<'_>) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let now = service.now();
    let query = read(request.query, now, &bump)?;
    let is_csv = is_csv(request, &bump)?;
    let reader = service.reader()?;
    let failed = |error| service.sql_failed(&error);
    let rows = reader.stats(query.popup, query.from, query.to).map_err(failed)?;
    let snapshot = service.publisher.snapshot();
    // Zeros would say that nobody was shown it. What was counted of one that is gone is told.
    if rows.is_empty()
        && let Some(popup) = query.popup
        && snapshot.popup(PopupKey::of(popup)).is_none()
    {
        let draft = reader.draft(popup).map_err(failed)?;
        let line = format!("no popup is called {popup}, and none was in this range");
        let unknown = || AdminAnswer::errors(404, "not_found", Some("popup"), &[line]);
        draft.ok_or_else(unknown)?;
    }
    let users = reader.stat_users(query.popup, query.from, query.to).map_err(failed)?;
    let report = report(&query, &StatsFound { rows, users }, &snapshot, now);
    Ok(match is_csv {
        true => AdminAnswer::text("text/csv; charset=utf-8; header=present", csv(&report)),
        false => AdminAnswer::json(200, &json(&query, &report)),
    })
}

/// Whether a spreadsheet is asked for: by the query, else by `Accept`.
fn is_csv(request: &Request<'_>, bump: &Bump) -> Result<bool, BadInput> {
    let [format] = input::fields(request.query, ["format"], bump)?;
    let is_accepted = || is_csv_accepted(request.accept.unwrap_or_default());
    Ok(format.map_or_else(is_accepted, |format| format == "csv"))
}

/// Whether `Accept` names CSV, and would rather have it than JSON: the one that is named first
/// where both are as welcome.
fn is_csv_accepted(accept: &[u8]) -> bool {
    let find = |name: &str| {
        let mut ranges = weighed(accept).enumerate();
        let found = ranges.find(|(_, (range, _))| range.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(place, (_, weight))| (place, weight))
    };
    let Some((csv_place, csv)) = find("text/csv") else { return false };
    let json = find("application/json");
    let wide = find("application/*").or_else(|| find("*/*"));
    match (json, wide) {
        _ if csv == 0 => false,
        (Some((place, json)), _) => csv > json || (csv >= json && csv_place < place),
        (None, Some((_, json))) => csv >= json,
        (None, None) => true,
    }
}

fn read<'a>(query: &'a str, now: WallMs, bump: &'a Bump) -> Result<StatsQuery<'a>, BadInput> {
    let names = ["popup", "from", "to", "by", "tz"];
    let [popup, from, to, by, zone] = input::fields(query, names, bump)?;
    let to = to.map_or(Ok(now), |text| input::moment(text, "to"))?;
    let day_before = WallMs(to.0.saturating_sub_unsigned(DurationMs::DAY.0));
    let from = from.map_or(Ok(day_before), |text| input::moment(text, "from"))?;
    let by_day = by.map(|by| by == "day").or(zone.map(|_| false));
    let zone = zone.unwrap_or("UTC");
    // A first day is a whole one.
    let from = if by_day == Some(true) { day_of(&zone_of(zone), from) } else { from };
    let range_max_ms = match popup {
        Some(_) => STATS_RANGE_OF_ONE_MAX_MS,
        None => STATS_RANGE_MAX_MS,
    };
    let slack_ms = if by_day == Some(true) { DurationMs::DAY.0 } else { 0 };
    if from > to || to.since(from).0 > range_max_ms + slack_ms {
        return Err(BadInput::new("bad_range", "from"));
    }
    Ok(StatsQuery { popup, from, to, by_day, zone })
}

/// A zone whose name has been looked at.
fn zone_of(name: &str) -> TimeZone {
    zone_named(name).cloned().unwrap_or(TimeZone::UTC)
}

/// The first moment of the day that a moment is in; the moment itself where no calendar has it.
fn day_of(zone: &TimeZone, at: WallMs) -> WallMs {
    let day = Timestamp::from_millisecond(at.0)
        .and_then(|moment| moment.to_zoned(zone.clone()).start_of_day());
    day.map_or(at, |day| WallMs(day.timestamp().as_millisecond()))
}

/// Whether hours of UTC are hours of a zone at all of these moments.
fn has_whole_hours(zone: &TimeZone, rows: &[StatRow]) -> bool {
    let is_whole = |row: &StatRow| {
        let moment = Timestamp::from_millisecond(row.hour.0);
        moment.is_ok_and(|moment| zone.to_offset(moment).seconds() % 3_600 == 0)
    };
    rows.iter().all(is_whole)
}

fn report(
    query: &StatsQuery<'_>,
    StatsFound { rows, users }: &StatsFound,
    snapshot: &Snapshot,
    now: WallMs,
) -> StatsReport {
    let has_days = rows.iter().any(|row| row.is_day);
    let (mut zone, mut warnings) = (zone_of(query.zone), Vec::new());
    let mut by_day = query.by_day;
    let is_utc_days = by_day == Some(true) && zone == TimeZone::UTC;
    if has_days && by_day.is_some() && !is_utc_days {
        (zone, by_day) = (TimeZone::UTC, Some(true));
        warnings.push(warnings::BY_UTC_DAY.to_owned());
    } else if by_day == Some(true) && !has_whole_hours(&zone, rows) {
        warnings.push(warnings::ODD_OFFSET.to_owned());
    }
    let mut counted: BTreeMap<(StatsRowKey, bool), StatsRow> = BTreeMap::new();
    for row in rows {
        let is_day = by_day.unwrap_or(row.is_day);
        let at = if by_day == Some(true) { day_of(&zone, row.hour) } else { row.hour };
        let key = ((row.popup.clone(), row.variant.clone(), at), is_day);
        let ignored_inferred = ignored_inferred(row, snapshot, now);
        let place = (row.popup.clone(), row.variant.clone(), row.hour, row.is_day);
        let users = users.get(&place).cloned().unwrap_or_default();
        let (counts, answered) = (row.counts, row.answered);
        let one = StatsRow { is_day, counts, answered, ignored_inferred, users };
        counted.entry(key).and_modify(|sum| sum.add(&one)).or_insert(one);
    }
    let rows: Vec<_> = counted.into_iter().map(|((key, _), row)| (key, row)).collect();
    let spans = warnings::Spans { from: query.from, to: query.to, by_day, zone: &zone };
    warnings.extend(spans.warnings(&rows, now));
    let by = match by_day {
        Some(true) => "day",
        Some(false) => "hour",
        None => "stored",
    };
    StatsReport { rows, by, zone, warnings }
}

/// Decisions of a row of which nothing came and nothing can come in time any more, but late; 0
/// where its last one is not old enough.
pub(super) fn ignored_inferred(row: &StatRow, snapshot: &Snapshot, now: WallMs) -> Option<u64> {
    let popup = snapshot.popup(PopupKey::of(&row.popup));
    let ignore_after = popup.map_or(IGNORE_AFTER_DEFAULT, |popup| popup.ignore_after);
    let span = if row.is_day { DurationMs::DAY } else { HOUR };
    let is_old = row.hour.plus(span).plus(ignore_after) <= now;
    let decided = row.counts[EventKind::Decided as usize];
    row.answered.map(|answered| if is_old { decided.saturating_sub(answered) } else { 0 })
}

impl StatsRow {
    fn add(&mut self, other: &StatsRow) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        let sum = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(a, b)| a + b);
        self.answered = sum(self.answered, other.answered);
        self.ignored_inferred = sum(self.ignored_inferred, other.ignored_inferred);
        self.users.unite(&other.users);
    }

    fn tell(&self, members: &mut Map<String, Value>) {
        for (kind, count) in EventKind::ALL.into_iter().zip(self.counts) {
            members.insert(kind.word().to_owned(), json!(count));
        }
        members.insert("answered".to_owned(), json!(self.answered));
        members.insert("ignored_inferred".to_owned(), json!(self.ignored_inferred));
        let [decided, clicked] = self.users.estimates();
        members.insert("uniques".to_owned(), json!(decided));
        members.insert("uniques_clicked".to_owned(), json!(clicked));
    }

    fn span(&self) -> &'static str {
        if self.is_day { "day" } else { "hour" }
    }
}

/// A moment as it is called in a zone.
fn local(zone: &TimeZone, at: WallMs) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(moment) => moment.display_with_offset(zone.to_offset(moment)).to_string(),
        Err(_) => at.0.to_string(),
    }
}

fn json(query: &StatsQuery<'_>, report: &StatsReport) -> Value {
    let none = StatsRow {
        is_day: false,
        counts: [0; 6],
        answered: Some(0),
        ignored_inferred: Some(0),
        users: StatUsers::default(),
    };
    let total = report.rows.iter().fold(none, |mut sum, (_, row)| {
        sum.add(row);
        sum
    });
    let mut totals = Map::new();
    total.tell(&mut totals);
    let row_json = |((popup, variant, at), row): &(StatsRowKey, StatsRow)| {
        let mut members = Map::new();
        members.insert("popup".to_owned(), json!(popup));
        members.insert("variant".to_owned(), json!((!variant.is_empty()).then_some(variant)));
        members.insert("hour".to_owned(), moment_json(*at));
        members.insert("local".to_owned(), json!(local(&report.zone, *at)));
        members.insert("span".to_owned(), json!(row.span()));
        row.tell(&mut members);
        Value::Object(members)
    };
    json!({
        "popup": query.popup,
        "from": moment_json(query.from),
        "to": moment_json(query.to),
        "by": report.by,
        "tz": report.zone.iana_name().unwrap_or("UTC"),
        "uniques_error": SKETCH_ERROR,
        "warnings": report.warnings,
        "totals": totals,
        "rows": report.rows.iter().map(row_json).collect::<Vec<Value>>(),
    })
}

fn csv(report: &StatsReport) -> String {
    let kinds = EventKind::ALL.map(EventKind::word);
    let mut out = String::new();
    let head = ["popup", "variant", "hour", "local", "span"].into_iter().chain(kinds);
    let others = ["answered", "ignored_inferred", "uniques", "uniques_clicked"];
    csv::push_line(&mut out, head.chain(others));
    let number = |count: Option<u64>| count.map_or(String::new(), |count| count.to_string());
    for ((popup, variant, at), row) in &report.rows {
        let (hour, local) = (local(&TimeZone::UTC, *at), local(&report.zone, *at));
        let counts = row.counts.map(|count| count.to_string());
        let [decided, clicked] = row.users.estimates();
        let others = [row.answered, row.ignored_inferred, decided, clicked].map(number);
        let texts = [popup.as_str(), variant, &hour, &local, row.span()].into_iter();
        let numbers = counts.iter().chain(&others).map(String::as_str);
        csv::push_line(&mut out, texts.chain(numbers));
    }
    out
}

#[cfg(test)]
mod tests;
