//! The compiled catalog: immutable, shared by every shard, swapped whole.

use std::sync::Arc;

use hashbrown::HashMap;

use super::code::TargetCode;
use super::pivot::CatalogPivots;
use super::placement::{Placement, placements};
use super::schedule::{Window, Zone, zone_named};
use super::target::Rule;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::PopupKey;
use nudged_base::time::{DurationError, DurationMs, Gap, WallMs, parse_duration};
use nudged_base::word;

/// Everything a decision reads beside the user's state: popups, and the settings that hold across
/// them. One decision uses one snapshot from start to end.
#[derive(Debug)]
pub struct Snapshot {
    /// Rises by one with each accepted reload.
    pub version: u64,
    /// Settings that hold for all popups.
    pub settings: Settings,
    /// All popups that the node knows, archived ones too, in the order in which they win: priority
    /// descending, then id ascending.
    pub popups: Vec<Popup>,
    /// The targets of `popups`, in its order.
    pub targets: Arc<TargetCode>,
    /// What `popups` are found by, in its order.
    pub pivots: Arc<CatalogPivots>,
    /// Popups whose status is live, per placement.
    pub placements: HashMap<Box<str>, Placement>,
    /// Every popup by its key.
    pub by_key: HashMap<PopupKey, u32>,
}

/// Placements that are compared each by itself, which is less than a hash costs.
const PLACEMENTS_COMPARED_MAX: usize = 4;

impl Snapshot {
    /// A placement by its name; `None` where it has no live popup. Does not allocate.
    pub(crate) fn placement(&self, name: &str) -> Option<&Placement> {
        if self.placements.len() > PLACEMENTS_COMPARED_MAX {
            return self.placements.get(name);
        }
        let mut all = self.placements.iter();
        let found = all.find(|(known, _)| word::is_same(known.as_bytes(), name.as_bytes()));
        found.map(|(_, placement)| placement)
    }

    /// The live popups of a placement in the order in which they win; empty where there are none.
    /// Does not allocate.
    pub fn live(&self, placement: &str) -> &[u32] {
        self.placement(placement).map_or(&[], |placement| &placement.live)
    }

    /// The popup of a key, archived ones too.
    pub fn popup(&self, key: PopupKey) -> Option<&Popup> {
        self.by_key.get(&key).map(|index| &self.popups[*index as usize])
    }

    /// The same popups with other statuses, as another version. Allocates.
    #[must_use]
    pub fn with_statuses(&self, version: u64, statuses: &HashMap<PopupKey, Status>) -> Snapshot {
        let mut popups = self.popups.clone();
        for popup in &mut popups {
            popup.status = statuses.get(&popup.key).copied().unwrap_or(popup.status);
        }
        let (settings, by_key) = (self.settings.clone(), self.by_key.clone());
        let (targets, pivots) = (Arc::clone(&self.targets), Arc::clone(&self.pivots));
        let placements = placements(&popups, &pivots);
        Snapshot { version, settings, popups, targets, pivots, placements, by_key }
    }

    /// Whether it differs from another in statuses alone: one of them was made of the other by
    /// [`Snapshot::with_statuses`], or both of a third. Their popups then have the same indexes.
    pub(crate) fn has_definitions_of(&self, other: &Snapshot) -> bool {
        // Each compilation makes its own.
        Arc::ptr_eq(&self.targets, &other.targets)
    }

    /// Whether a popup counts as "in the catalog" when a user's 65th popup pushes one out: known
    /// and not archived.
    pub fn is_current(&self, key: PopupKey) -> bool {
        self.popup(key).is_some_and(|popup| popup.status != Status::Archived)
    }
}

/// Settings that hold across popups (docs/semantics.md#limits-across-popups).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// After a show, no popup is shown for this long; 0 for none.
    pub quiet_time: DurationMs,
    /// Shows per user per calendar day; 0 for no limit.
    pub max_per_day: u32,
    /// Shows per session; 0 for no limit.
    pub max_per_session: u32,
    /// The zone whose midnight ends a calendar day.
    pub tz: jiff::tz::TimeZone,
}

impl Default for Settings {
    /// No quiet time, no limits, days that end at midnight UTC.
    fn default() -> Settings {
        Settings {
            quiet_time: DurationMs(0),
            max_per_day: 0,
            max_per_session: 0,
            tz: jiff::tz::TimeZone::UTC,
        }
    }
}

impl Settings {
    /// Reads settings as they are written: a duration, two counts, the name of a zone. Allocates.
    ///
    /// # Errors
    /// [`SettingsError`] for the first of them that can't be read.
    pub fn parse(
        quiet_time: &str,
        max_per_day: u32,
        max_per_session: u32,
        tz: &str,
    ) -> Result<Settings, SettingsError> {
        let quiet_time = parse_duration(quiet_time).map_err(SettingsError::QuietTime)?;
        let tz = zone_named(tz).ok_or(SettingsError::UnknownZone)?.clone();
        Ok(Settings { quiet_time, max_per_day, max_per_session, tz })
    }
}

/// Why a text is not a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// `quiet_time` is not a duration.
    #[error("quiet_time: not a duration of at most 100 years, such as \"10m\"")]
    QuietTime(DurationError),
    /// `tz` is not in the tz database.
    #[error("tz: not a zone of the tz database, such as \"Europe/Berlin\" or \"UTC\"")]
    UnknownZone,
}

/// Whether two tags name one locale: they compare without case, and `_` is as `-`. Does not
/// allocate.
pub(crate) fn is_same_locale(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}

/// A popup's status in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not shown, not yet.
    Draft,
    /// Shown where every gate lets it.
    Live,
    /// Not shown, for now.
    Paused,
    /// Not shown again, kept for its history.
    Archived,
}

impl Status {
    /// Every status with its word in files, requests, answers and SQL.
    pub const WORDS: [(&str, Status); 4] = [
        ("draft", Status::Draft),
        ("live", Status::Live),
        ("paused", Status::Paused),
        ("archived", Status::Archived),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let (word, _) = Status::WORDS[self as usize];
        word
    }

    /// The status of a word; `None` for a word that is none.
    pub fn of_word(word: &str) -> Option<Status> {
        Status::WORDS.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)
    }
}

/// What decides when a user's state can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The popup is not shown.
    Hide,
    /// The node's own memory decides.
    Local,
}

/// Outcomes in their rank: a higher one replaces a lower one. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ShowOutcome {
    /// Shown, and nothing came of it.
    Ignored = 1,
    /// Closed by the user.
    Dismissed = 2,
    /// Clicked by the user.
    Clicked = 3,
    /// Led to what it was made for.
    Converted = 4,
}

impl ShowOutcome {
    /// Every outcome, in their rank.
    pub const ALL: [ShowOutcome; 4] = [
        ShowOutcome::Ignored,
        ShowOutcome::Dismissed,
        ShowOutcome::Clicked,
        ShowOutcome::Converted,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        self.kind().word()
    }

    /// The outcome of a word.
    pub fn of_word(word: &str) -> Option<ShowOutcome> {
        EventKind::of_word(word).and_then(ShowOutcome::of_kind)
    }

    /// The outcome that an event of a kind leads to; a show and `shown` have none.
    pub fn of_kind(kind: EventKind) -> Option<ShowOutcome> {
        ShowOutcome::ALL.into_iter().find(|outcome| outcome.kind() == kind)
    }

    fn kind(self) -> EventKind {
        match self {
            ShowOutcome::Ignored => EventKind::Ignored,
            ShowOutcome::Dismissed => EventKind::Dismissed,
            ShowOutcome::Clicked => EventKind::Clicked,
            ShowOutcome::Converted => EventKind::Converted,
        }
    }
}

/// A sliding cap: blocks while `n` shows or more are younger than `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Shows, 1 to 16.
    pub n: u32,
    /// The sliding length.
    pub per: DurationMs,
}

/// One compiled popup. What is large of it is shared by its copies: a change of a status copies
/// every popup.
#[derive(Clone, Debug)]
pub struct Popup {
    /// Its id, `[a-z0-9_-]{1,64}`.
    pub id: Box<str>,
    /// The pinned hash of the id.
    pub key: PopupKey,
    /// Rises by one with each changed definition, from 1.
    pub version: u32,
    /// Its status, with what an operator set apart from the file.
    pub status: Status,
    /// Where it may be shown, 1 to 8 names.
    pub placements: Vec<Box<str>>,
    /// Higher wins.
    pub priority: i64,
    /// First moment of its schedule.
    pub starts_at: Option<WallMs>,
    /// First moment after its schedule.
    pub ends_at: Option<WallMs>,
    /// When it may be shown; empty for always.
    pub windows: Vec<Window>,
    /// The zone of its windows.
    pub zone: Zone,
    /// Shows per user, for ever; 0 for no limit.
    pub max_shows: u32,
    /// Sliding caps, up to 10.
    pub caps: Vec<Cap>,
    /// Rest after a show.
    pub after_shown: Gap,
    /// Rest after each outcome; read through [`Popup::after`].
    pub after_outcome: [Gap; 4],
    /// Without an outcome for this long, a show counts as ignored.
    pub ignore_after: DurationMs,
    /// Users whose rollout hash is below it see the popup; `1 << 64` for all, 0 for none.
    pub rollout_below: u128,
    /// At least one; a popup without variants has one whose key is empty.
    pub variants: Arc<[Variant]>,
    /// Sum of the variants' weights, at least 1.
    pub weight_total: u64,
    /// Outside quiet_time, max_per_day and max_per_session.
    pub quiet_exempt: bool,
    /// What decides when the user's state can't be read.
    pub on_failure: OnFailure,
    /// Whom it is for; `None` for everyone.
    pub target: Option<Arc<Rule>>,
}

impl Popup {
    /// Whether it depends on the request's zone when it may be shown.
    pub(crate) fn is_in_user_zone(&self) -> bool {
        !self.windows.is_empty() && matches!(self.zone, Zone::User)
    }

    /// The rest after an outcome.
    pub fn after(&self, outcome: ShowOutcome) -> Gap {
        self.after_outcome[outcome as usize - 1]
    }
}

/// A variant: what a share of the users sees.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its key; empty where the popup has no variants.
    pub key: Box<str>,
    /// Its share of `weight_total`.
    pub weight: u32,
    /// Content where no locale matches.
    pub content: Content,
    /// Content per locale: lower-case tag and content, sorted by tag.
    pub locales: Vec<(Box<str>, Content)>,
}

impl Variant {
    /// Its content of a locale, by its place in `locales`; `None` for its own.
    pub fn content_at(&self, locale: Option<usize>) -> &Content {
        locale.map_or(&self.content, |place| &self.locales[place].1)
    }
}

/// A JSON object as text, as it was given, without insignificant white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(pub Box<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_statuses_and_outcomes_come_back() {
        for (word, status) in Status::WORDS {
            assert_eq!((status.word(), Status::of_word(word)), (word, Some(status)));
        }
        for outcome in ShowOutcome::ALL {
            assert_eq!(ShowOutcome::of_word(outcome.word()), Some(outcome));
        }
        assert_eq!((Status::of_word("Live"), ShowOutcome::of_word("shown")), (None, None));
    }
}
