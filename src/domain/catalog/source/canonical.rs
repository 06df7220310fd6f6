//! A popup as JSON: fields in one order, what equals its default left out, durations and moments
//! in one form. Two texts that mean the same popup give the same canonical text; content keeps the
//! order of its keys, since it is returned as it was given.

use super::popup::{DAYS, ON_FAILURES, default_popup};
use super::rules::write_target;
use crate::catalog::schedule::{Window, Zone};
use crate::catalog::snapshot::{Cap, Popup, ShowOutcome, Variant};
use nudged_base::time::{DurationMs, Gap, WallMs};
use nudged_config::tree::{TreeValue, write_text};

/// The fields that hold the rest after each outcome.
pub(crate) const AFTER_OUTCOMES: [(&str, ShowOutcome); 4] = [
    ("after_ignored", ShowOutcome::Ignored),
    ("after_dismissed", ShowOutcome::Dismissed),
    ("after_clicked", ShowOutcome::Clicked),
    ("after_converted", ShowOutcome::Converted),
];

/// The canonical text of a popup whose rollout is in percent and whose target is still a tree.
pub fn json(popup: &Popup, rollout: f64, target: Option<&TreeValue>) -> String {
    let mut object = Object::new();
    identity(popup, &mut object);
    schedule(popup, &mut object);
    limits(popup, &mut object);
    if popup.rollout_below < 1 << 64 {
        object.raw("rollout", &rollout.to_string());
    }
    if let Some(target) = target {
        write_target(target, object.key("target"));
    }
    match &*popup.variants {
        [only] if only.key.is_empty() => contents(only, &mut object),
        variants => object.raw("variants", &list(variants.iter().map(variant))),
    }
    object.end()
}

fn identity(popup: &Popup, object: &mut Object) {
    let default = default_popup();
    object.text("id", &popup.id);
    if popup.status != default.status {
        object.text("status", popup.status.word());
    }
    if popup.placements != default.placements {
        let placements = popup.placements.iter().map(|placement| quoted(placement));
        object.raw("placement", &list(placements));
    }
    if popup.priority != default.priority {
        object.raw("priority", &popup.priority.to_string());
    }
    if popup.quiet_exempt {
        object.raw("quiet_exempt", "true");
    }
    if popup.on_failure != default.on_failure {
        object.text("on_failure", word(&ON_FAILURES, popup.on_failure));
    }
}

fn schedule(popup: &Popup, object: &mut Object) {
    for (key, moment) in [("starts_at", popup.starts_at), ("ends_at", popup.ends_at)] {
        if let Some(WallMs(moment_ms)) = moment {
            let moment = jiff::Timestamp::from_millisecond(moment_ms);
            object.text(key, &moment.expect("moments were checked").to_string());
        }
    }
    if !popup.windows.is_empty() {
        object.raw("windows", &list(popup.windows.iter().copied().map(window)));
    }
    match &popup.zone {
        Zone::User => object.text("tz", "user"),
        Zone::Fixed(zone) => match zone.iana_name() {
            Some("UTC") => {}
            name => object.text("tz", name.expect("zones come from the database")),
        },
    }
}

fn limits(popup: &Popup, object: &mut Object) {
    let default = default_popup();
    if popup.max_shows > 0 {
        object.raw("max_shows", &popup.max_shows.to_string());
    }
    if !popup.caps.is_empty() {
        object.raw("caps", &list(popup.caps.iter().copied().map(cap)));
    }
    if popup.after_shown != default.after_shown {
        object.text("after_shown", &gap(popup.after_shown));
    }
    for (key, outcome) in AFTER_OUTCOMES {
        if popup.after(outcome) != default.after(outcome) {
            object.text(key, &gap(popup.after(outcome)));
        }
    }
    if popup.ignore_after != default.ignore_after {
        object.text("ignore_after", &duration(popup.ignore_after));
    }
}

fn variant(variant: &Variant) -> String {
    let mut object = Object::new();
    object.text("key", &variant.key);
    object.raw("weight", &variant.weight.to_string());
    contents(variant, &mut object);
    object.end()
}

fn contents(variant: &Variant, object: &mut Object) {
    if &*variant.content.0 != "{}" {
        object.raw("content", &variant.content.0);
    }
    if !variant.locales.is_empty() {
        let mut locales = Object::new();
        for (tag, content) in &variant.locales {
            locales.raw(tag, &content.0);
        }
        object.raw("locales", &locales.end());
    }
}

fn window(window: Window) -> String {
    let mut object = Object::new();
    if window.days != 0x7f {
        let days = DAYS.iter().enumerate().filter(|(bit, _)| window.days >> bit & 1 == 1);
        object.raw("days", &list(days.map(|(_, name)| quoted(name))));
    }
    object.text("from", &minute(window.from_minute));
    object.text("to", &minute(window.to_minute));
    object.end()
}

fn cap(cap: Cap) -> String {
    let mut object = Object::new();
    object.raw("n", &cap.n.to_string());
    object.text("per", &duration(cap.per));
    object.end()
}

/// A minute of the day as `HH:MM`.
pub fn minute(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn gap(gap: Gap) -> String {
    match gap {
        Gap::Never => "never".to_owned(),
        Gap::After(length) => duration(length),
    }
}

/// A duration in the largest unit that divides it; a day as `24h` and weeks as days, as the
/// defaults are written.
fn duration(DurationMs(ms): DurationMs) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (length, unit) = match ms {
        0 => (1_000, "s"),
        86_400_000 => (3_600_000, "h"),
        _ => units.into_iter().find(|(length, _)| ms % length == 0).expect("1 divides all"),
    };
    format!("{}{unit}", ms / length)
}

fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).expect("each value has its word").0
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_text(text, &mut out);
    out
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// A JSON object in the making.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object(String::new())
    }

    /// Writes a key; the value is to follow.
    fn key(&mut self, key: &str) -> &mut String {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        write_text(key, &mut self.0);
        self.0.push(':');
        &mut self.0
    }

    fn text(&mut self, key: &str, value: &str) {
        write_text(value, self.key(key));
    }

    /// A value that is JSON already.
    fn raw(&mut self, key: &str, value: &str) {
        self.key(key).push_str(value);
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}
