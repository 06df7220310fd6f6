//! What a file of decision vectors holds. Reading is strict: a key that is not known, a time that
//! is none, a step that does nothing or two things are errors, with the line that serde gives them.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use nudged_base::time::{DurationMs, WallMs, parse_duration};

/// The keys that `expect` may have.
const EXPECTED: [&str; 8] =
    ["popup", "variant", "content", "reason", "next_in", "accepted", "duplicate", "rejected"];

/// One vector.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawCase")]
pub(super) struct Case {
    /// What it shows.
    pub name: String,
    /// Settings that hold across popups.
    pub settings: RawSettings,
    /// The first catalog.
    pub popups: Vec<Value>,
    /// What happens, in turn.
    pub steps: Vec<VectorStep>,
}

/// One step of a vector.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawStep")]
pub(super) struct VectorStep {
    /// How far the clock moves; `None` for not at all.
    pub at: Option<At>,
    /// What happens then.
    pub act: Act,
    /// What must come of it; only the keys that are there.
    pub expect: Map<String, Value>,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Act {
    Decide(Decide),
    Event(VectorEvent),
    SetPopups(Vec<Value>),
    Restart,
}

/// When a step happens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(super) enum At {
    Absolute(WallMs),
    After(DurationMs),
}

/// A time as RFC 3339.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub WallMs);

/// A decide request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    pub user: String,
    pub placement: Option<String>,
    pub session: Option<String>,
    pub locale: Option<String>,
    pub tz: Option<String>,
    /// As it stands in the file, as a body's are: a text's rule sees the text of a number.
    pub attrs: Option<Box<RawValue>>,
}

/// An event about a decision of that user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorEvent {
    pub user: String,
    pub action: String,
    /// The popup whose decision is meant; `None` for that of the latest decision.
    pub popup: Option<String>,
    /// How many shows of that popup before its latest.
    pub back: Option<usize>,
    pub ts: Option<Time>,
}

/// The settings as they are written; what is absent has its default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSettings {
    pub quiet_time: Option<String>,
    pub max_per_day: Option<u32>,
    pub max_per_session: Option<u32>,
    pub tz: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    #[serde(default)]
    settings: RawSettings,
    #[serde(default)]
    popups: Vec<Value>,
    steps: Vec<VectorStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    at: Option<At>,
    decide: Option<Decide>,
    event: Option<VectorEvent>,
    set_popups: Option<Vec<Value>>,
    restart: Option<bool>,
    #[serde(default)]
    expect: Map<String, Value>,
}

impl TryFrom<RawCase> for Case {
    type Error = String;

    fn try_from(raw: RawCase) -> Result<Case, String> {
        let RawCase { name, settings, popups, steps } = raw;
        let mut is_clock_set = false;
        for (number, step) in (1..).zip(&steps) {
            is_clock_set |= matches!(step.at, Some(At::Absolute(_)));
            let needs_clock =
                step.at.is_some() || matches!(step.act, Act::Decide(_) | Act::Event(_));
            if needs_clock && !is_clock_set {
                return Err(format!("vector {name:?}: step {number}: no absolute `at` before it"));
            }
        }
        Ok(Case { name, settings, popups, steps })
    }
}

impl TryFrom<RawStep> for VectorStep {
    type Error = String;

    fn try_from(raw: RawStep) -> Result<VectorStep, String> {
        let RawStep { at, decide, event, set_popups, restart, expect } = raw;
        let mut acts = [
            decide.map(Act::Decide),
            event.map(Act::Event),
            set_popups.map(Act::SetPopups),
            restart.filter(|restart| *restart).map(|_| Act::Restart),
        ]
        .into_iter()
        .flatten();
        let (Some(act), None) = (acts.next(), acts.next()) else {
            return Err("expected a step: one of decide, event, set_popups, restart".into());
        };
        if let Some(key) = expect.keys().find(|key| !EXPECTED.contains(&key.as_str())) {
            return Err(format!("expect: unknown key {key:?}, not one of {}", EXPECTED.join(" ")));
        }
        if matches!(act, Act::SetPopups(_) | Act::Restart) && !expect.is_empty() {
            return Err("expect: only for decide and event".into());
        }
        Ok(VectorStep { at, act, expect })
    }
}

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<At, String> {
        let Some(duration) = text.strip_prefix('+') else {
            return Time::try_from(text).map(|time| At::Absolute(time.0));
        };
        let duration = parse_duration(duration)
            .map_err(|_| format!("{text:?} is not a `+` and a duration, such as \"+1h30m\""))?;
        Ok(At::After(duration))
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Time, String> {
        text.parse::<jiff::Timestamp>()
            .map(|timestamp| Time(WallMs(timestamp.as_millisecond())))
            .map_err(|_| format!("{text:?} is not an RFC 3339 time"))
    }
}
