//! What SQL knows of popups beside the catalog: their drafts, when they changed last, and what was
//! counted of them in the last hours. Lists have to answer while SQL does not: after a failure it
//! is left alone for a while.
//!
//! Limits: [`POPUP_FACTS_WAIT_MS`], [`POPUP_FACTS_RETRY_MS`], [`POPUP_TOTALS_KEPT_MS`],
//! [`POPUP_HOURS_TOLD`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::answer::AdminAnswer;
use super::input::moment_json;
use super::popup_facts::ShowsAndClicks;
use super::refusals;
use super::service::Service;
use super::stats::ignored_inferred;
use nudged_base::event_kind::EventKind;
use nudged_base::limits::{
    ADMIN_SQL_SILENCE_MS, POPUP_FACTS_RETRY_MS, POPUP_FACTS_WAIT_MS, POPUP_HOURS_TOLD,
    POPUP_TOTALS_KEPT_MS,
};
use nudged_base::time::{DurationMs, WallMs};
use nudged_runtime::clocks;
use nudged_store::{StatRow, StoreError, StoreReader, StoredDraft};

const HOUR: DurationMs = DurationMs(3_600_000);

/// What is told beside all popups.
#[derive(Clone, Debug, Default)]
pub(super) struct BesidePopups {
    /// Every draft, sorted by id; with its text where there is no popup of it.
    pub(super) drafts: Vec<StoredDraft>,
    /// When popups changed last.
    pub(super) changed: Arc<HashMap<String, WallMs>>,
}

impl BesidePopups {
    /// A popup's draft.
    pub(super) fn draft(&self, id: &str) -> Option<&StoredDraft> {
        let found = self.drafts.binary_search_by(|draft| draft.id.as_str().cmp(id));
        found.ok().map(|index| &self.drafts[index])
    }
}

/// What was counted of a popup in the last hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct PopupStats {
    decided: u64,
    shown: u64,
    clicked: u64,
    dismissed: u64,
    /// As it is inferred; null where a version that could not tell took part.
    ignored: Option<u64>,
    converted: u64,
    /// Decisions by hour, the oldest first, the last one still going on.
    hours: [u64; POPUP_HOURS_TOLD],
    /// What has happened until then is counted.
    as_of: Value,
}

/// Asks SQL something that has to come within a time, unless it has just failed.
///
/// # Errors
/// The answer where it can't be asked.
fn ask<T>(
    service: &Service,
    limit_ms: u64,
    question: impl FnOnce(&StoreReader) -> Result<T, StoreError>,
) -> Result<T, AdminAnswer> {
    let now = clocks::mono();
    let failed_at = service.popup_facts.lock().failed_at;
    if failed_at.is_some_and(|at| now < at.plus_ms(POPUP_FACTS_RETRY_MS)) {
        return Err(AdminAnswer::unavailable("sql_unavailable"));
    }
    let reader = service.reader_within(Duration::from_millis(limit_ms))?;
    let answered = question(&reader);
    drop(reader);
    service.popup_facts.lock().failed_at = answered.is_err().then(clocks::mono);
    answered.map_err(|error| refusals::of_store(&error))
}

/// What is told beside all popups; where they `may_wait`, as long as any other answer.
///
/// # Errors
/// The answer where SQL can't be asked.
pub(super) fn of_all(service: &Service, may_wait: bool) -> Result<BesidePopups, AdminAnswer> {
    let newest = service.popup_facts.lock().newest;
    let limit_ms = if may_wait { ADMIN_SQL_SILENCE_MS } else { POPUP_FACTS_WAIT_MS };
    let asked =
        ask(service, limit_ms, |reader| Ok((reader.draft_heads()?, reader.changed_after(newest)?)));
    let (drafts, changes) = asked?;
    let newest = changes.iter().map(|(_, number, _)| *number).max().unwrap_or(0);
    let mut kept = service.popup_facts.lock();
    // Another request may know more by now.
    if newest > kept.newest {
        kept.newest = newest;
        let times = changes.into_iter().map(|(popup, _, at)| (popup, at));
        Arc::make_mut(&mut kept.changed).extend(times);
    }
    Ok(BesidePopups { drafts, changed: Arc::clone(&kept.changed) })
}

/// A popup's draft, and when it changed last.
///
/// # Errors
/// The answer where SQL can't be asked.
pub(super) fn of_one(
    service: &Service,
    id: &str,
) -> Result<(Option<StoredDraft>, Option<WallMs>), AdminAnswer> {
    ask(service, POPUP_FACTS_WAIT_MS, |reader| Ok((reader.draft(id)?, reader.changed_at(id)?)))
}

/// Shows and clicks of all popups in the last hours, counted not long ago.
///
/// # Errors
/// The answer where SQL can't be asked.
pub(super) fn totals(service: &Service) -> Result<Arc<ShowsAndClicks>, AdminAnswer> {
    let now = clocks::mono();
    let kept = service.popup_facts.lock().totals.clone();
    if let Some((at, totals)) = kept
        && now < at.plus_ms(POPUP_TOTALS_KEPT_MS)
    {
        return Ok(totals);
    }
    let (first, end) = last_hours(service.now());
    let counted = ask(service, ADMIN_SQL_SILENCE_MS, |reader| reader.shows_and_clicks(first, end))?;
    let totals: Arc<ShowsAndClicks> = Arc::new(counted.into_iter().collect());
    service.popup_facts.lock().totals = Some((now, Arc::clone(&totals)));
    Ok(totals)
}

/// What was counted of some popups in the last hours, by popup; none for those without anything.
///
/// # Errors
/// The answer where SQL can't be asked.
pub(super) fn stats(
    service: &Service,
    popups: &[&str],
) -> Result<HashMap<String, PopupStats>, AdminAnswer> {
    let (now, lag_ms) = (service.now(), service.lag_ms());
    let (first, _) = last_hours(now);
    let count = u32::try_from(POPUP_HOURS_TOLD).expect("some hours");
    let rows =
        ask(service, ADMIN_SQL_SILENCE_MS, |reader| reader.hours_of(popups, (first, count)))?;
    let snapshot = service.publisher.snapshot();
    let none = PopupStats { ignored: Some(0), ..PopupStats::default() };
    let mut stats: HashMap<String, PopupStats> =
        popups.iter().map(|popup| ((*popup).to_owned(), none.clone())).collect();
    for row in &rows {
        if let Some(of_popup) = stats.get_mut(&row.popup) {
            of_popup.add(row, first, ignored_inferred(row, &snapshot, now));
        }
    }
    let as_of = moment_json(WallMs(now.0.saturating_sub_unsigned(lag_ms)));
    stats.values_mut().for_each(|of_popup| of_popup.as_of = as_of.clone());
    Ok(stats)
}

/// The first moment of the hours that are told, and the end of the last one.
fn last_hours(now: WallMs) -> (WallMs, WallMs) {
    let hour_ms = i64::try_from(HOUR.0).expect("an hour");
    let count = i64::try_from(POPUP_HOURS_TOLD).expect("some hours");
    let end = WallMs((now.0.div_euclid(hour_ms)).saturating_add(1).saturating_mul(hour_ms));
    (WallMs(end.0.saturating_sub(count * hour_ms)), end)
}

impl PopupStats {
    /// Adds the counts of an hour.
    fn add(&mut self, row: &StatRow, first: WallMs, ignored: Option<u64>) {
        let of = |kind: EventKind| row.counts[kind as usize];
        self.decided += of(EventKind::Decided);
        self.shown += of(EventKind::Shown);
        self.clicked += of(EventKind::Clicked);
        self.dismissed += of(EventKind::Dismissed);
        self.converted += of(EventKind::Converted);
        self.ignored = self.ignored.zip(ignored).map(|(sum, ignored)| sum + ignored);
        let hour = usize::try_from(row.hour.since(first).0 / HOUR.0).unwrap_or(usize::MAX);
        if let Some(decided) = self.hours.get_mut(hour) {
            *decided += of(EventKind::Decided);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hour_is_the_one_that_has_begun() {
        let hour = 3_600_000;
        for (now, want) in [
            (30 * hour, (7 * hour, 31 * hour)),
            (31 * hour - 1, (7 * hour, 31 * hour)),
            (0, (-23 * hour, hour)),
        ] {
            assert_eq!(last_hours(WallMs(now)), (WallMs(want.0), WallMs(want.1)), "{now}");
        }
    }

    #[test]
    fn hours_are_added_where_they_belong() {
        let first = WallMs(7_200_000);
        let row = |hour: i64, counts: [u64; 6]| StatRow {
            popup: "a".to_owned(),
            variant: String::new(),
            hour: WallMs(first.0 + hour * 3_600_000),
            is_day: false,
            counts,
            answered: Some(0),
        };
        let mut stats = PopupStats { ignored: Some(0), ..PopupStats::default() };
        stats.add(&row(0, [5, 4, 0, 3, 2, 1]), first, Some(2));
        stats.add(&row(23, [7, 0, 0, 0, 1, 0]), first, Some(0));
        stats.add(&row(24, [1, 0, 0, 0, 0, 0]), first, Some(0));
        assert_eq!((stats.decided, stats.shown, stats.clicked), (13, 4, 3));
        assert_eq!((stats.dismissed, stats.converted, stats.ignored), (3, 1, Some(2)));
        assert_eq!((stats.hours[0], stats.hours[1], stats.hours[23]), (5, 0, 7));
        stats.add(&row(1, [1, 0, 0, 0, 0, 0]), first, None);
        assert_eq!(stats.ignored, None, "what is not known of an hour is not known of all");
    }
}
