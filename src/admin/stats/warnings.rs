//! What a reader of statistics has to know: days of which only a part is among the rows, and users
//! that nobody has counted. Plain text; must not know how rows are made.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{StatsRow, StatsRowKey, day_of};
use nudged_base::time::WallMs;

/// Hours or days of a zone were asked for, and some are kept as days of UTC alone.
pub(super) const BY_UTC_DAY: &str = "old hours are kept as whole UTC days, some of which are in \
    this range: the rows are by UTC day";
/// A zone whose days begin within hours of UTC.
pub(super) const ODD_OFFSET: &str =
    "the offset of tz is not of whole hours: an hour counts to the day in which it begins";
const USERS_UNKNOWN: &str = "uniques are null where a version of nudged has counted that did not \
    count users";

/// The range of an answer, and what its rows are.
pub(super) struct Spans<'a> {
    pub(super) from: WallMs,
    pub(super) to: WallMs,
    pub(super) by_day: Option<bool>,
    pub(super) zone: &'a TimeZone,
}

impl Spans<'_> {
    /// A sentence for each of what these rows are not. Allocates.
    pub(super) fn warnings(&self, rows: &[(StatsRowKey, StatsRow)], now: WallMs) -> Vec<String> {
        let cut_end = rows.iter().any(|row| self.is_of_cut_day(row)).then(|| self.cut_end(now));
        let utc = |at| day_of(&TimeZone::UTC, at);
        let has_utc_days = rows.iter().any(|(_, row)| row.is_day) && self.by_day.is_none();
        let cuts_utc = has_utc_days && utc(self.from) != self.from;
        let cut_begin = cuts_utc.then(|| {
            let day = name_of(&TimeZone::UTC, self.from);
            format!(
                "old hours are kept as whole UTC days: {day}, in which the range begins, is not \
                 among the rows if it is one of them"
            )
        });
        let is_unknown = |(_, row): &(StatsRowKey, StatsRow)| {
            row.users.by_kind.iter().any(Option::is_none)
        };
        let unknown = rows.iter().any(is_unknown).then(|| USERS_UNKNOWN.to_owned());
        [cut_end, cut_begin, unknown].into_iter().flatten().collect()
    }

    /// Whether a row is of the day in which the range ends.
    fn is_of_cut_day(&self, ((.., at), row): &(StatsRowKey, StatsRow)) -> bool {
        let last = day_of(self.zone, self.to);
        row.is_day && self.by_day == Some(true) && *at == last && last < self.to
    }

    fn cut_end(&self, now: WallMs) -> String {
        let day = name_of(self.zone, self.to);
        match day_of(self.zone, self.to) == day_of(self.zone, now) {
            true => format!("{day} is not over: its row is of a part of the day"),
            false => format!("the range ends within {day}: its row is of a part of the day"),
        }
    }
}

/// The date of a moment in a zone.
fn name_of(zone: &TimeZone, at: WallMs) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(moment) => moment.to_zoned(zone.clone()).date().to_string(),
        Err(_) => at.0.to_string(),
    }
}
