//! One popup: table → [`Definition`]. Every field of it, with its range and its default.
//!
//! A field that is refused counts as its default while the rest is read, so that each error of a
//! popup is found in one pass; a popup with an error gives no definition.

use std::sync::Arc;

use super::Definition;
use super::canonical;
use super::content::read_contents;
use super::fields::{Errors, SourceField, Table, quoted};
use super::rules;
use crate::catalog::schedule::{Window, Zone, zone_named};
use crate::catalog::snapshot::{Cap, OnFailure, Popup, ShowOutcome, Status};
use nudged_base::ids::PopupKey;
use nudged_base::limits::{
    CAPS_MAX, NAME_BYTES_MAX, PLACEMENTS_MAX, POPUP_ID_BYTES_MAX, SHOWS_REMEMBERED_MAX, WINDOWS_MAX,
};
use nudged_base::time::{DurationMs, Gap};
use nudged_config::tree::TreeValue;

/// All fields of a popup.
pub const FIELDS: [&str; 23] = [
    "id",
    "status",
    "placement",
    "priority",
    "starts_at",
    "ends_at",
    "windows",
    "tz",
    "max_shows",
    "caps",
    "after_shown",
    "after_ignored",
    "after_dismissed",
    "after_clicked",
    "after_converted",
    "ignore_after",
    "rollout",
    "variants",
    "quiet_exempt",
    "on_failure",
    "target",
    "content",
    "locales",
];

/// The words of `on_failure`.
pub(crate) const ON_FAILURES: [(&str, OnFailure); 2] =
    [("hide", OnFailure::Hide), ("local", OnFailure::Local)];

/// The names of days; the place of each is its bit in [`Window::days`].
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What a popup is where its text is silent; without an id and a variant.
pub(crate) fn default_popup() -> Popup {
    let hours = |hours: u64| Gap::After(DurationMs(hours * 3_600_000));
    let mut after_outcome = [Gap::Never; 4];
    after_outcome[ShowOutcome::Ignored as usize - 1] = hours(24);
    after_outcome[ShowOutcome::Dismissed as usize - 1] = hours(7 * 24);
    Popup {
        id: "".into(),
        key: PopupKey::of(""),
        version: 0,
        status: Status::Live,
        placements: vec!["home".into()],
        priority: 0,
        starts_at: None,
        ends_at: None,
        windows: Vec::new(),
        zone: Zone::Fixed(jiff::tz::TimeZone::UTC),
        max_shows: 0,
        caps: Vec::new(),
        after_shown: hours(24),
        after_outcome,
        ignore_after: DurationMs(300_000),
        rollout_below: 1 << 64,
        variants: [].into(),
        weight_total: 1,
        quiet_exempt: false,
        on_failure: OnFailure::Hide,
        target: None,
    }
}

/// Reads one popup. `None` where it reported an error.
pub fn definition(field: &SourceField<'_>, errors: &mut Errors) -> Option<Definition> {
    let errors_before = errors.list.len();
    // Known before anything is reported, so that unknown keys name their popup too.
    let id = field.value.get("id").and_then(|id| id.value.text());
    errors.popup = id.map(|text| text.chars().take(NAME_BYTES_MAX).collect());
    let table = field.table(&FIELDS, errors);
    let table = table.map(|table| Table { path: String::new(), ..table });
    let definition = table.map(|table| {
        let mut popup = default_popup();
        read_identity(&table, &mut popup, errors);
        read_schedule(&table, &mut popup, errors);
        read_limits(&table, &mut popup, errors);
        let rollout = read_audience(&table, &mut popup, errors);
        read_contents(&table, &mut popup, errors);
        let target = table.get("target").map(|target| target.value);
        let canonical = canonical::json(&popup, rollout, target);
        Definition { popup, canonical: canonical.into() }
    });
    errors.popup = None;
    definition.filter(|_| errors.list.len() == errors_before)
}

/// Sets a place where the field is there and right.
fn set<T>(place: &mut T, field: Option<T>) {
    if let Some(value) = field {
        *place = value;
    }
}

fn read_identity(table: &Table<'_>, popup: &mut Popup, errors: &mut Errors) {
    if let Some(id) = table.require("id", errors).and_then(|id| read_id(&id, errors)) {
        popup.id = id.into();
        popup.key = PopupKey::of(id);
    }
    let word = table.get("status").and_then(|status| status.word(&Status::WORDS, errors));
    set(&mut popup.status, word);
    let word = table.get("on_failure").and_then(|field| field.word(&ON_FAILURES, errors));
    set(&mut popup.on_failure, word);
    let placements = table.get("placement").and_then(|field| read_placements(&field, errors));
    set(&mut popup.placements, placements);
    let priority = table.get("priority");
    set(&mut popup.priority, priority.and_then(|field| field.whole(i64::MIN..=i64::MAX, errors)));
    let exempt = table.get("quiet_exempt").and_then(|field| field.boolean(errors));
    set(&mut popup.quiet_exempt, exempt);
}

fn read_id<'t>(field: &SourceField<'t>, errors: &mut Errors) -> Option<&'t str> {
    let id = field.text(errors)?;
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if id.is_empty() || id.len() > POPUP_ID_BYTES_MAX || !id.bytes().all(is_plain) {
        let form = format!("[a-z0-9_-]{{1,{POPUP_ID_BYTES_MAX}}}");
        return field.refuse(format!("{} is not {form}", quoted(id)), errors);
    }
    Some(id)
}

fn read_placements(field: &SourceField<'_>, errors: &mut Errors) -> Option<Vec<Box<str>>> {
    let mut placements: Vec<Box<str>> = Vec::new();
    for placement in field.list(1..=PLACEMENTS_MAX, errors)? {
        let Some(name) = placement.name(NAME_BYTES_MAX, errors) else { continue };
        if placements.iter().any(|known| **known == *name) {
            placement.refuse::<()>(format!("{} appears twice", quoted(name)), errors);
        }
        placements.push(name.into());
    }
    Some(placements)
}

fn read_schedule(table: &Table<'_>, popup: &mut Popup, errors: &mut Errors) {
    popup.starts_at = table.get("starts_at").and_then(|field| field.moment(errors));
    let ends_at = table.get("ends_at");
    popup.ends_at = ends_at.as_ref().and_then(|field| field.moment(errors));
    if let (Some(starts_at), Some(at), Some(field)) = (popup.starts_at, popup.ends_at, ends_at)
        && at <= starts_at
    {
        field.refuse::<()>("must be after starts_at", errors);
    }
    if let Some(windows) = table.get("windows")
        && let Some(windows) = windows.list(0..=WINDOWS_MAX, errors)
    {
        popup.windows = windows.filter_map(|window| read_window(&window, errors)).collect();
    }
    set(&mut popup.zone, table.get("tz").and_then(|field| read_zone(&field, errors)));
}

fn read_zone(field: &SourceField<'_>, errors: &mut Errors) -> Option<Zone> {
    let name = field.text(errors)?;
    if name == "user" {
        return Some(Zone::User);
    }
    match zone_named(name) {
        Some(zone) => Some(Zone::Fixed(zone.clone())),
        None => {
            let name = quoted(name);
            field
                .refuse(format!("{name} is neither a zone of the tz database nor \"user\""), errors)
        }
    }
}

fn read_window(field: &SourceField<'_>, errors: &mut Errors) -> Option<Window> {
    let table = field.table(&["days", "from", "to"], errors)?;
    let mut days = 0x7f;
    if let Some(list) = table.get("days")
        && let Some(list) = list.list(1..=DAYS.len(), errors)
    {
        let words: Vec<_> = DAYS.iter().zip(0u8..).map(|(name, bit)| (*name, 1 << bit)).collect();
        days = list.filter_map(|day| day.word::<u8>(&words, errors)).fold(0, |all, day| all | day);
    }
    let from = table.require("from", errors).and_then(|from| read_minute(&from, 1_439, errors));
    let to = table.require("to", errors).and_then(|to| read_minute(&to, 1_440, errors));
    // A window to "00:00" ends with its day, as one to "24:00" does.
    let to = to.map(|minute| if minute == 0 { 1_440 } else { minute });
    Some(Window { days, from_minute: from?, to_minute: to? })
}

/// A time of day, `HH:MM`, as a minute up to `minute_max`.
fn read_minute(field: &SourceField<'_>, minute_max: u16, errors: &mut Errors) -> Option<u16> {
    let text = field.text(errors)?;
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let minute = match text.as_bytes() {
        [h, hh, b':', m, mm] => (|| {
            let (hour, minute) = (digit(*h)? * 10 + digit(*hh)?, digit(*m)? * 10 + digit(*mm)?);
            (minute < 60).then_some(hour * 60 + minute)
        })(),
        _ => None,
    };
    minute.filter(|minute| *minute <= minute_max).or_else(|| {
        let max = canonical::minute(minute_max);
        field.refuse(
            format!("{} is out of range: expected \"00:00\" to \"{max}\"", quoted(text)),
            errors,
        )
    })
}

fn read_limits(table: &Table<'_>, popup: &mut Popup, errors: &mut Errors) {
    let max_shows = table.get("max_shows").and_then(|field| field.whole(0..=u32::MAX, errors));
    set(&mut popup.max_shows, max_shows);
    if let Some(caps) = table.get("caps")
        && let Some(caps) = caps.list(0..=CAPS_MAX, errors)
    {
        popup.caps = caps.filter_map(|cap| read_cap(&cap, errors)).collect();
    }
    set(&mut popup.after_shown, table.get("after_shown").and_then(|field| field.gap(errors)));
    for (key, outcome) in canonical::AFTER_OUTCOMES {
        let gap = table.get(key).and_then(|field| field.gap(errors));
        set(&mut popup.after_outcome[outcome as usize - 1], gap);
    }
    let ignore_after = table.get("ignore_after").and_then(|field| field.duration(errors));
    set(&mut popup.ignore_after, ignore_after);
}

fn read_cap(field: &SourceField<'_>, errors: &mut Errors) -> Option<Cap> {
    let table = field.table(&["n", "per"], errors)?;
    let n_max = u32::try_from(SHOWS_REMEMBERED_MAX).expect("a small number");
    let n = table.require("n", errors).and_then(|n| n.whole(1..=n_max, errors));
    let per = table.require("per", errors).and_then(|per| {
        let duration = per.duration(errors)?;
        if duration == DurationMs(0) {
            return per.refuse("must be longer than 0", errors);
        }
        Some(duration)
    });
    Some(Cap { n: n?, per: per? })
}

/// Reads rollout and target; returns the rollout in percent.
fn read_audience(table: &Table<'_>, popup: &mut Popup, errors: &mut Errors) -> f64 {
    let mut rollout = 100.0;
    set(&mut rollout, table.get("rollout").and_then(|field| read_percent(&field, errors)));
    popup.rollout_below = rollout_below(rollout);
    popup.target =
        table.get("target").and_then(|target| rules::target(&target, errors)).map(Arc::new);
    rollout
}

fn read_percent(field: &SourceField<'_>, errors: &mut Errors) -> Option<f64> {
    let TreeValue::Number(text) = field.value else {
        return field.expected("a number, 0 to 100", errors);
    };
    let percent: f64 = text.parse().expect("trees hold numbers of JSON's grammar");
    if !(0.0..=100.0).contains(&percent) {
        return field.refuse(format!("{text} is out of range: expected 0 to 100"), errors);
    }
    Some(percent.abs())
}

/// The bound below which a user's 64-bit rollout hash lies for `percent` of the users, 0 to 100:
/// `percent / 100 * 2^64` rounded down, exactly, so that a higher percentage never has a lower
/// bound.
fn rollout_below(percent: f64) -> u128 {
    const MANTISSA_BITS: u32 = 52;
    let bits = percent.to_bits();
    let exponent = bits >> MANTISSA_BITS;
    if exponent == 0 {
        // Zero, or a share so small that not even one hash is below it.
        return 0;
    }
    // percent = mantissa * 2^(exponent - 1075), and one more factor is 2^64.
    let mantissa = u128::from(bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS);
    match exponent.checked_sub(1_075 - 64) {
        Some(shift) => (mantissa << shift) / 100,
        None => (mantissa / 100).checked_shr(1_075 - 64 - small(exponent)).unwrap_or(0),
    }
}

fn small(exponent: u64) -> u32 {
    u32::try_from(exponent).expect("an exponent has 11 bits")
}
