//! Property: each search finds the first moment that a naive scan of every minute finds, in zones
//! whose local time skips and repeats hours, half hours, midnights and whole days.

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;

fn window(days: u8, from: &str, to: &str) -> Window {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    Window { days, from_minute: minute(from), to_minute: minute(to) }
}

fn at(text: &str) -> WallMs {
    WallMs(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn text(at: WallMs) -> String {
    Timestamp::from_millisecond(at.0).unwrap().to_string()
}

fn opening(windows: &[Window], zone: &str, now: &str) -> String {
    next_opening(windows, zone_named(zone).unwrap(), at(now)).map_or("never".into(), text)
}

const ALL: u8 = 0x7f;
const MON: u8 = 1;
const FRI: u8 = 1 << 4;
const SAT: u8 = 1 << 5;
const SUN: u8 = 1 << 6;

/// Written from the contract with the calendar of the library, a minute at a time.
mod naive {
    use super::*;

    pub fn is_inside(windows: &[Window], zone: &TimeZone, now: WallMs) -> bool {
        let local = zone.to_datetime(Timestamp::from_millisecond(now.0).unwrap());
        let minute =
            u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap();
        let is_on = |days: u8, date: jiff::civil::Date| {
            days >> date.weekday().to_monday_zero_offset() & 1 == 1
        };
        windows.iter().any(|window| {
            let (from, to) = (window.from_minute, window.to_minute);
            let today = is_on(window.days, local.date());
            let yesterday = is_on(window.days, local.date().yesterday().unwrap());
            match from < to {
                true => today && from <= minute && minute < to,
                false => (today && from <= minute) || (yesterday && minute < to),
            }
        })
    }

    /// Scans `days` days. Openings are at full minutes of UTC, or one millisecond from now.
    pub(crate) fn next_opening(
        windows: &[Window],
        zone: &TimeZone,
        now: WallMs,
        days: i64,
    ) -> Option<WallMs> {
        let next = now.0 + 1;
        let first_minute = next.div_euclid(MINUTE) + i64::from(next.rem_euclid(MINUTE) > 0);
        let minutes = (first_minute..first_minute + days * 1_440).map(|minute| minute * MINUTE);
        std::iter::once(next).chain(minutes).map(WallMs).find(|at| is_inside(windows, zone, *at))
    }

    pub(crate) fn next_midnight(zone: &TimeZone, now: WallMs) -> WallMs {
        let date = |at: WallMs| zone.to_datetime(Timestamp::from_millisecond(at.0).unwrap()).date();
        let today = date(now);
        let first_minute = now.0.div_euclid(MINUTE) + 1;
        let mut minutes = (first_minute..).map(|minute| WallMs(minute * MINUTE));
        minutes.find(|at| date(*at) > today).unwrap()
    }
}

/// Zones with moments around which their local time is odd.
const ODD: [(&str, &str); 13] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    // Half an hour of daylight saving.
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    // Midnight is skipped, and the last hour of a day repeated.
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/Sao_Paulo", "2019-02-17T02:00:00Z"),
    ("Asia/Kolkata", "2026-05-01T18:30:00Z"),
    // 2011-12-30 does not exist.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    // 1993-08-21 does not exist; 1969-09-30 is there twice.
    ("Pacific/Kwajalein", "1993-08-21T12:00:00Z"),
    ("Pacific/Kwajalein", "1969-09-30T13:00:00Z"),
    // The first minutes of a day are repeated as the last hour of the one before.
    ("America/St_Johns", "2006-10-29T02:31:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
];

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let day = prop_oneof![1u8..=ALL, (0u32..7).prop_map(|bit| 1 << bit), Just(ALL)];
    let near_midnight = prop_oneof![0u16..1_440, 0u16..240, 1_300u16..1_440];
    let window = (day, near_midnight.clone(), near_midnight);
    let window = window.prop_map(|(days, from_minute, to)| Window {
        days,
        from_minute,
        to_minute: if to == 0 { 1_440 } else { to },
    });
    proptest::collection::vec(window, 1..3)
}

fn moments() -> impl Strategy<Value = (&'static TimeZone, WallMs)> {
    let odd = proptest::sample::select(ODD.as_slice());
    let around = prop_oneof![-3 * DAY_MS..DAY_MS, -4 * 3_600_000i64..4 * 3_600_000];
    let to_minute = proptest::bool::ANY;
    (odd, around, to_minute).prop_map(|((zone, moment), around, to_minute)| {
        let at_ms = at(moment).0 + around;
        let at_ms = if to_minute { at_ms.div_euclid(MINUTE) * MINUTE } else { at_ms };
        (zone_named(zone).unwrap(), WallMs(at_ms))
    })
}

proptest! {
    #[test]
    fn inside_is_as_the_calendar_says(windows in windows(), (zone, now) in moments()) {
        let naive = naive::is_inside(&windows, zone, now);
        prop_assert_eq!(is_inside(&windows, zone, now), naive);
    }

    #[test]
    fn the_next_opening_is_the_first_minute_inside(
        windows in windows(),
        (zone, now) in moments(),
    ) {
        // A window on the day that Apia skips opens 13 days later.
        let naive = naive::next_opening(&windows, zone, now, 15);
        prop_assert_eq!(next_opening(&windows, zone, now), naive);
    }

    #[test]
    fn the_next_midnight_is_the_first_minute_of_a_later_day((zone, now) in moments()) {
        let midnight = next_midnight(zone, now);
        prop_assert_eq!(midnight, naive::next_midnight(zone, now));
        prop_assert!(local_day(zone, midnight) > local_day(zone, now));
    }

    #[test]
    fn any_time_at_all_has_an_answer(windows in windows(), (zone, _) in moments(), ms: i64) {
        let now = WallMs(ms);
        is_inside(&windows, zone, now);
        let opening = next_opening(&windows, zone, now);
        let in_calendar = -300_000_000_000_000..250_000_000_000_000;
        prop_assert!(opening.is_some() || !in_calendar.contains(&ms));
        next_midnight(zone, now);
        local_day(zone, now);
    }
}

#[test]
fn no_windows_are_always_inside_and_never_open() {
    assert!(is_inside(&[], &UTC, WallMs(0)));
    assert_eq!(next_opening(&[], &UTC, WallMs(0)), None);
    assert_eq!(next_opening(&[window(0, "00:00", "24:00")], &UTC, WallMs(0)), None);
}

#[test]
fn a_window_is_half_open_and_belongs_to_its_start_day() {
    let cases = [
        (window(MON, "09:00", "18:00"), "2026-01-05T08:59:59.999Z", false),
        (window(MON, "09:00", "18:00"), "2026-01-05T09:00:00Z", true),
        (window(MON, "09:00", "18:00"), "2026-01-05T17:59:59.999Z", true),
        (window(MON, "09:00", "18:00"), "2026-01-05T18:00:00Z", false),
        (window(MON, "09:00", "18:00"), "2026-01-06T12:00:00Z", false),
        // Past midnight: Monday's window is open on Tuesday morning, not on Monday morning.
        (window(MON, "22:00", "02:00"), "2026-01-05T01:00:00Z", false),
        (window(MON, "22:00", "02:00"), "2026-01-06T01:59:59.999Z", true),
        (window(MON, "22:00", "02:00"), "2026-01-06T02:00:00Z", false),
        // From a time to the same one: 24 hours.
        (window(MON, "12:00", "12:00"), "2026-01-05T11:59:00Z", false),
        (window(MON, "12:00", "12:00"), "2026-01-06T11:59:00Z", true),
        (window(MON, "12:00", "12:00"), "2026-01-06T12:00:00Z", false),
        (window(MON, "00:00", "24:00"), "2026-01-05T23:59:59.999Z", true),
        (window(MON, "00:00", "24:00"), "2026-01-06T00:00:00Z", false),
    ];
    for (window, now, inside) in cases {
        assert_eq!(is_inside(&[window], &UTC, at(now)), inside, "{window:?} at {now}");
    }
}

/// Holds that a window next opens, in a zone and after a moment, at another moment.
fn opens_each(cases: &[(Window, &str, &str, &str)]) {
    for (window, zone, now, expected) in cases {
        assert_eq!(opening(&[*window], zone, now), *expected, "{window:?} in {zone} at {now}");
    }
}

#[test]
fn windows_open_where_hours_are_skipped_and_repeated() {
    opens_each(&[
        // 02:30 is skipped: open from 03:00, the transition, while local time is still inside.
        (
            window(ALL, "02:30", "03:30"),
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        // All of it is skipped: open the day after.
        (
            window(ALL, "02:10", "02:50"),
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-30T00:10:00Z",
        ),
        // 02:30 comes twice.
        (
            window(SUN, "02:30", "02:45"),
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
        ),
        (
            window(SUN, "02:30", "02:45"),
            "Europe/Berlin",
            "2026-10-25T00:45:00Z",
            "2026-10-25T01:30:00Z",
        ),
        (
            window(SUN, "02:30", "02:45"),
            "Europe/Berlin",
            "2026-10-25T01:45:00Z",
            "2026-11-01T01:30:00Z",
        ),
        // 02:00 to 02:30 is skipped.
        (
            window(ALL, "02:15", "02:45"),
            "Australia/Lord_Howe",
            "2026-10-03T15:00:00Z",
            "2026-10-03T15:30:00Z",
        ),
    ]);
}

#[test]
fn windows_open_where_midnights_and_days_are_skipped() {
    opens_each(&[
        // Midnight is skipped.
        (
            window(SUN, "00:00", "02:00"),
            "America/Sao_Paulo",
            "2018-11-04T00:00:00Z",
            "2018-11-04T03:00:00Z",
        ),
        // The Friday is skipped.
        (
            window(FRI, "09:00", "10:00"),
            "Pacific/Apia",
            "2011-12-24T00:00:00Z",
            "2012-01-05T19:00:00Z",
        ),
        // The skipped Friday's window is open on Saturday morning.
        (
            window(FRI, "22:00", "02:00"),
            "Pacific/Apia",
            "2011-12-29T20:00:00Z",
            "2011-12-30T10:00:00Z",
        ),
        (
            window(SAT, "09:30", "10:00"),
            "Asia/Kolkata",
            "2026-01-03T04:30:00Z",
            "2026-01-10T04:00:00Z",
        ),
    ]);
}

#[test]
fn zones_are_found_in_any_case_and_unknown_ones_count_as_utc() {
    let berlin = zone_named("Europe/Berlin").unwrap();
    assert!(std::ptr::eq(zone_named("eUROPE/bERLIN").unwrap(), berlin));
    assert_eq!(berlin.iana_name(), Some("Europe/Berlin"));
    assert_eq!(zone_named("UTC").unwrap().iana_name(), Some("UTC"));
    for unknown in ["", "Europe", "Europe/Berlin ", "Mars/Olympus", "+01:00", "../UTC"] {
        assert!(zone_named(unknown).is_none(), "{unknown:?}");
        assert_eq!(Zone::User.resolve(Some(unknown)), &UTC);
    }
    assert_eq!(Zone::User.resolve(None), &UTC);
    assert_eq!(Zone::User.resolve(Some("Europe/Berlin")), berlin);
    assert_eq!(Zone::Fixed(berlin.clone()).resolve(Some("Asia/Kolkata")), berlin);
}

#[test]
fn a_search_walks_no_more_stretches_than_its_limit() {
    // A search that finds nothing ends after its limit of stretches, some years ahead.
    let walked = std::cell::Cell::new(0);
    let found = search(zone_named("Europe/Berlin").unwrap(), at("2026-01-01T00:00:00Z"), |_| {
        walked.set(walked.get() + 1);
        None
    });
    assert_eq!((found, walked.get()), (None, STRETCHES_MAX));
}
