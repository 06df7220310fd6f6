//! Windows and zones: is a moment inside, and when is the next moment that is.
//!
//! Windows are rules about local time, and local time is not a line: it skips and repeats. So every
//! search here walks the stretches of constant offset of the zone, in which local time is a line,
//! and asks each stretch for its first moment:
//!
//! ```text
//! now ──────────────┤ transition ├────────────────┤ transition ├───── …
//!  first start here?  inside at once? else first    inside at once? …
//!                     start in this stretch?
//! ```
//!
//! A window whose opening is skipped therefore opens at the transition, if local time is then still
//! within it, and one whose opening is repeated opens twice.
//!
//! Knows nothing of popups or requests, and never reads the host's zone files: zones come from the
//! tz database that is compiled in. Limits: [`STRETCHES_MAX`].

use std::sync::{LazyLock, OnceLock};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use nudged_base::limits::STRETCHES_MAX;
use nudged_base::time::WallMs;

static UTC: TimeZone = TimeZone::UTC;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Each day of the week is among this many consecutive days, today and today's next week included.
const DAYS_AHEAD: i64 = 7;

/// The zone in which a popup's windows are read.
#[derive(Clone, Debug)]
pub enum Zone {
    /// A zone of the tz database.
    Fixed(TimeZone),
    /// The request's zone, or UTC where it has none or an unknown one.
    User,
}

impl Zone {
    /// The zone to read windows in, for a request that names `request_tz`. Allocates only when a
    /// request names a zone that nothing in this process has asked for yet.
    pub fn resolve<'z>(&'z self, request_tz: Option<&str>) -> &'z TimeZone {
        match self {
            Zone::Fixed(zone) => zone,
            Zone::User => request_tz.and_then(zone_named).unwrap_or(&UTC),
        }
    }
}

/// A daily window in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Days on which it starts: bit 0 is Monday.
    pub days: u8,
    /// Minute of the day at which it opens, 0 to 1,439.
    pub from_minute: u16,
    /// Minute of the day at which it closes, 1 to 1,440; at or before `from_minute` it closes on
    /// the next day.
    pub to_minute: u16,
}

impl Window {
    /// Whether it starts on a local day, counted from 1970-01-01.
    fn starts_on(self, day: i64) -> bool {
        // 1970-01-01 was a Thursday, which is bit 3.
        self.days >> (day + 3).rem_euclid(7) & 1 == 1
    }

    /// How many days after the one on which it starts it closes.
    fn days_after(self) -> i64 {
        i64::from(self.to_minute <= self.from_minute)
    }

    /// Whether it is open at a local time.
    fn contains(self, local: Local) -> bool {
        let (from, to) = (i64::from(self.from_minute), i64::from(self.to_minute));
        let minute = local.of_day_ms / MINUTE_MS;
        if from < to {
            return from <= minute && minute < to && self.starts_on(local.day);
        }
        (from <= minute && self.starts_on(local.day))
            || (minute < to && self.starts_on(local.day - 1))
    }
}

/// A local time: what the wall clock of a zone shows.
#[derive(Clone, Copy)]
struct Local {
    /// Days since 1970-01-01.
    day: i64,
    /// Milliseconds since its midnight, 0 to 86,399,999.
    of_day_ms: i64,
}

/// A stretch of constant offset: from `at_ms` on, local time is `at_ms + offset_ms`.
#[derive(Clone, Copy)]
struct Stretch {
    /// Its first moment that is of interest, not always the moment at which it began.
    at_ms: i64,
    /// Local time less UTC.
    offset_ms: i64,
    /// Its end, exclusive; `i64::MAX` where the zone has no transition ahead.
    end_ms: i64,
}

impl Stretch {
    fn from(zone: &TimeZone, at_ms: i64) -> Stretch {
        let at = timestamp(at_ms);
        // `following` is exclusive, and transitions are at whole seconds.
        let end = zone.following(at).next().map(|transition| transition.timestamp());
        Stretch {
            at_ms,
            offset_ms: i64::from(zone.to_offset(at).seconds()) * 1_000,
            end_ms: end.map_or(i64::MAX, Timestamp::as_millisecond),
        }
    }

    fn local(self) -> Local {
        local(self.at_ms, self.offset_ms)
    }

    /// The moment at which a local day of this stretch begins plus some minutes; not always within
    /// the stretch.
    fn moment_ms(self, day: i64, minute: u16) -> i64 {
        day * DAY_MS + i64::from(minute) * MINUTE_MS - self.offset_ms
    }

    /// The first moment of the stretch that is inside a window.
    fn first_inside(self, windows: &[Window]) -> Option<i64> {
        let local = self.local();
        if windows.iter().any(|window| window.contains(local)) {
            return Some(self.at_ms);
        }
        // Nothing is open at the first moment, so the first one that is inside is an opening.
        let openings = windows.iter().flat_map(|window| {
            (local.day..=local.day + DAYS_AHEAD)
                .filter(|day| window.starts_on(*day))
                .map(|day| self.moment_ms(day, window.from_minute))
                .find(|moment_ms| *moment_ms > self.at_ms)
        });
        openings.min().filter(|moment_ms| *moment_ms < self.end_ms)
    }

    /// The first moment after `at_ms` at which a window closes, or the stretch ends.
    fn first_closing(self, windows: &[Window]) -> i64 {
        let local = self.local();
        let closings = windows.iter().filter_map(|window| {
            // One that runs past midnight may have begun yesterday.
            (local.day - 1..=local.day + DAYS_AHEAD)
                .filter(|day| window.starts_on(*day))
                .map(|day| self.moment_ms(day + window.days_after(), window.to_minute))
                .find(|moment_ms| *moment_ms > self.at_ms)
        });
        closings.min().map_or(self.end_ms, |moment_ms| moment_ms.min(self.end_ms))
    }
}

/// A zone's name, and the zone from its first use on.
type NamedZone = (Box<str>, OnceLock<Option<TimeZone>>);

/// A zone of the compiled-in tz database, by its name in any case; `None` for an unknown one. The
/// first use of a zone parses it, which allocates; later ones only read.
pub fn zone_named(name: &str) -> Option<&'static TimeZone> {
    static ZONES: LazyLock<Vec<NamedZone>> = LazyLock::new(|| {
        let mut zones: Vec<_> = TimeZoneDatabase::bundled()
            .available()
            .map(|name| (name.as_str().into(), OnceLock::new()))
            .collect();
        zones.sort_by(|(a, _): &NamedZone, (b, _)| compare_names(a, b));
        zones
    });
    let index = ZONES.binary_search_by(|(known, _)| compare_names(known, name)).ok()?;
    let (known, zone) = &ZONES[index];
    zone.get_or_init(|| TimeZoneDatabase::bundled().get(known).ok()).as_ref()
}

/// Whether a moment is inside one of the windows; no windows mean always. Does not allocate.
pub fn is_inside(windows: &[Window], zone: &TimeZone, now: WallMs) -> bool {
    if windows.is_empty() {
        return true;
    }
    let now_ms = timestamp(now.0).as_millisecond();
    let local = local(now_ms, offset_ms(zone, now_ms));
    windows.iter().any(|window| window.contains(local))
}

/// The earliest moment after `now` that is inside one of the windows; `None` where there are no
/// windows or none that opens within [`STRETCHES_MAX`] changes of offset. Does not allocate.
pub(crate) fn next_opening(windows: &[Window], zone: &TimeZone, now: WallMs) -> Option<WallMs> {
    if windows.iter().all(|window| window.days & 0x7f == 0) {
        return None;
    }
    search(zone, now, |stretch| stretch.first_inside(windows))
}

/// A moment until which what is inside one of the windows now stays inside one: the first at which
/// any of them closes or the zone's offset changes. Does not allocate.
pub(crate) fn inside_until(windows: &[Window], zone: &TimeZone, now: WallMs) -> WallMs {
    let at_ms = timestamp(now.0).as_millisecond();
    WallMs(Stretch::from(zone, at_ms).first_closing(windows))
}

/// The first moment of the next local day; where midnight is skipped, the first moment after it.
/// At the end of the calendar's range, `now` itself plus 24 hours. Does not allocate.
pub(crate) fn next_midnight(zone: &TimeZone, now: WallMs) -> WallMs {
    let tomorrow = i64::from(local_day(zone, now)) + 1;
    let midnight = search(zone, now, |stretch| {
        let moment_ms = stretch.moment_ms(tomorrow, 0).max(stretch.at_ms);
        Some(moment_ms).filter(|moment_ms| *moment_ms < stretch.end_ms)
    });
    midnight.unwrap_or(WallMs(now.0.saturating_add(DAY_MS)))
}

/// The local calendar day of a moment, counted from 1970-01-01. Does not allocate.
pub fn local_day(zone: &TimeZone, at: WallMs) -> i32 {
    let at_ms = timestamp(at.0).as_millisecond();
    let day = local(at_ms, offset_ms(zone, at_ms)).day;
    i32::try_from(day).expect("the calendar has less than 2^31 days")
}

/// Asks each stretch after `now` for a moment, until one has it.
fn search(
    zone: &TimeZone,
    now: WallMs,
    first_moment: impl Fn(Stretch) -> Option<i64>,
) -> Option<WallMs> {
    let mut at_ms = timestamp(now.0).as_millisecond() + 1;
    for _ in 0..STRETCHES_MAX {
        let stretch = Stretch::from(zone, at_ms);
        if let Some(moment_ms) = first_moment(stretch) {
            return Some(WallMs(moment_ms));
        }
        if stretch.end_ms == i64::MAX {
            return None;
        }
        at_ms = stretch.end_ms;
    }
    None
}

/// The calendar ends in the years -9999 and 9999: moments beyond count as its ends.
fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(if at_ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn offset_ms(zone: &TimeZone, at_ms: i64) -> i64 {
    i64::from(zone.to_offset(timestamp(at_ms)).seconds()) * 1_000
}

fn local(at_ms: i64, offset_ms: i64) -> Local {
    let local_ms = at_ms + offset_ms;
    Local { day: local_ms.div_euclid(DAY_MS), of_day_ms: local_ms.rem_euclid(DAY_MS) }
}

/// Orders names without regard to the case of ASCII letters. Does not allocate.
fn compare_names(a: &str, b: &str) -> std::cmp::Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}

#[cfg(test)]
mod tests;
