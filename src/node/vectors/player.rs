//! Plays one vector: a catalog as the store would keep it, users as a shard would keep them,
//! decisions as clients would remember them, and a clock that the steps move.

use std::collections::BTreeMap;
use std::fmt;

use bumpalo::Bump;
use serde_json::{Map, Value, json};

use super::case::{Act, At, Case, Decide, RawSettings, VectorEvent, VectorStep};
use nudged_api::decide::read_attributes as read;
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::{Settings, Snapshot, Status};
use nudged_domain::catalog::source::{
    Definition, SourceError, parse_json_popup, parse_json_values,
};
use nudged_domain::decide::choose::{Decision, content, decide};
use nudged_domain::decide::context::{AttributeValue, Context};
use nudged_domain::decide::timetable::Timetable;
use nudged_domain::state::apply::{self, Action, EventVerdict, ShowId};
use nudged_domain::state::user::{UserState, decode, encode};

/// The placement of a request that names none.
const PLACEMENT: &str = "home";

/// What a vector expected and did not get.
#[derive(Debug)]
pub(super) enum PlayFailure {
    /// Settings or popups were refused; the vector ends there.
    Refused { step: usize, errors: Vec<String> },
    /// A step gave something else.
    Unexpected { step: usize, expected: Map<String, Value>, got: Map<String, Value> },
}

impl fmt::Display for PlayFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlayFailure::Refused { step, errors } => {
                write!(out, "step {step}: refused: {}", errors.join("; "))
            }
            PlayFailure::Unexpected { step, expected, got } => {
                let (expected, got) = (json!(expected), json!(got));
                write!(out, "step {step}: expected {expected}, got {got}")
            }
        }
    }
}

/// A vector under way.
pub(super) struct Player {
    settings: Settings,
    /// Every popup that there ever was, by id.
    store: BTreeMap<String, VectorPopup>,
    pub(super) snapshot: Snapshot,
    times: Timetable,
    users: BTreeMap<String, UserState>,
    /// What clients know of their decisions, per user, oldest first.
    decisions: BTreeMap<String, Vec<ShowId>>,
    now: WallMs,
}

/// A popup as the store keeps it.
struct VectorPopup {
    definition: Definition,
    version: u32,
    /// It is not in the current list of popups.
    is_gone: bool,
}

impl Player {
    /// Plays a vector and returns what went otherwise than it expects.
    pub(super) fn play(case: &Case) -> Vec<PlayFailure> {
        let mut player = match Player::new(&case.settings, &case.popups) {
            Ok(player) => player,
            Err(errors) => return vec![PlayFailure::Refused { step: 0, errors }],
        };
        let mut failures = Vec::new();
        for (number, step) in (1..).zip(&case.steps) {
            let got = match player.step(step) {
                Ok(got) => got,
                Err(errors) => {
                    failures.push(PlayFailure::Refused { step: number, errors });
                    break;
                }
            };
            let differs = |(key, value): (&String, &Value)| got.get(key) != Some(value);
            if step.expect.iter().any(differs) {
                let expected = step.expect.clone();
                failures.push(PlayFailure::Unexpected { step: number, expected, got });
            }
        }
        failures
    }

    pub(super) fn new(settings: &RawSettings, popups: &[Value]) -> Result<Player, Vec<String>> {
        let settings = Settings::parse(
            settings.quiet_time.as_deref().unwrap_or("0s"),
            settings.max_per_day.unwrap_or(0),
            settings.max_per_session.unwrap_or(0),
            settings.tz.as_deref().unwrap_or("UTC"),
        )
        .map_err(|error| vec![error.to_string()])?;
        let snapshot = compile(&[], settings.clone(), 0).map_err(texts)?;
        let mut player = Player {
            settings,
            store: BTreeMap::new(),
            snapshot,
            times: Timetable::default(),
            users: BTreeMap::new(),
            decisions: BTreeMap::new(),
            now: WallMs::default(),
        };
        player.set_popups(popups)?;
        Ok(player)
    }

    fn step(&mut self, step: &VectorStep) -> Result<Map<String, Value>, Vec<String>> {
        match step.at {
            Some(At::Absolute(at)) => self.now = at,
            Some(At::After(duration)) => self.now = self.now.plus(duration),
            None => {}
        }
        let mut got = match &step.act {
            Act::Decide(request) => self.decide(request)?,
            Act::Event(event) => self.event(event),
            Act::SetPopups(popups) => {
                self.set_popups(popups)?;
                Value::Null
            }
            Act::Restart => {
                self.restart()?;
                Value::Null
            }
        };
        Ok(got.as_object_mut().map(std::mem::take).unwrap_or_default())
    }

    fn decide(&mut self, request: &Decide) -> Result<Value, Vec<String>> {
        let bump = Bump::new();
        let attributes = read_attributes(request, &bump)?;
        let context = Context {
            user: &request.user,
            placement: said(request.placement.as_ref()).unwrap_or(PLACEMENT),
            session: said(request.session.as_ref()),
            locale: said(request.locale.as_ref()),
            tz: said(request.tz.as_ref()),
            attributes,
        };
        let state = self.users.entry(request.user.clone()).or_default();
        let (snapshot, now) = (&self.snapshot, self.now);
        self.times.refresh(snapshot, now);
        let decision = decide(snapshot, &self.times, &*state, &context, now);
        Ok(match decision {
            Decision::Nothing { reason, next_in_s } => json!({
                "popup": null, "variant": null, "content": null,
                "reason": reason.as_str(), "next_in": next_in_s,
            }),
            Decision::Show { popup, variant } => {
                let popup = &self.snapshot.popups[popup as usize];
                let shown = apply::show(state, &self.snapshot, popup, context.session, self.now);
                let id = ShowId { popup: popup.key, number: shown.number, at: self.now };
                self.decisions.entry(request.user.clone()).or_default().push(id);
                let variant = &popup.variants[variant];
                let content: Value = serde_json::from_str(&content(variant, context.locale).0)
                    .expect("content was JSON when it was compiled");
                let key = Some(&variant.key).filter(|key| !key.is_empty());
                json!({
                    "popup": popup.id, "variant": key, "content": content,
                    "reason": null, "next_in": null,
                })
            }
        })
    }

    fn event(&mut self, event: &VectorEvent) -> Value {
        let Some(action) = Action::parse(&event.action) else {
            return counts(0, 0, Some("unknown_action"));
        };
        let Some(shown) = self.decision_of(event) else {
            return counts(0, 0, Some("bad_decision"));
        };
        let state = self.users.entry(event.user.clone()).or_default();
        let client_time = event.ts.map(|time| time.0);
        match apply::event(state, shown, action, client_time, self.now) {
            EventVerdict::Accepted { .. } => counts(1, 0, None),
            EventVerdict::Duplicate => counts(0, 1, None),
            EventVerdict::TooLate => counts(0, 0, Some("too_late")),
        }
    }

    /// The decision that an event is about: of the popup that it names, else of that of the user's
    /// latest decision, the latest or one `back` from it.
    fn decision_of(&self, event: &VectorEvent) -> Option<ShowId> {
        let decisions = self.decisions.get(&event.user)?;
        let popup = match &event.popup {
            Some(id) => PopupKey::of(id),
            None => decisions.last()?.popup,
        };
        let mut of_popup = decisions.iter().rev().filter(|decision| decision.popup == popup);
        of_popup.nth(event.back.unwrap_or(0)).copied()
    }

    /// Replaces the catalog as a reload of a popups file does: a changed popup is a new version,
    /// one that is gone is archived and keeps its history.
    pub(super) fn set_popups(&mut self, popups: &[Value]) -> Result<(), Vec<String>> {
        let definitions = parse_json_values(popups).map_err(texts)?;
        for stored in self.store.values_mut() {
            stored.is_gone = true;
        }
        for definition in definitions {
            let id = definition.id().to_owned();
            let version = match self.store.get(&id) {
                Some(stored) if stored.definition == definition => stored.version,
                Some(stored) => stored.version + 1,
                None => 1,
            };
            self.store.insert(id, VectorPopup { definition, version, is_gone: false });
        }
        self.compile()
    }

    fn compile(&mut self) -> Result<(), Vec<String>> {
        let entries: Vec<CatalogEntry<'_>> = self
            .store
            .values()
            .map(|stored| CatalogEntry {
                definition: &stored.definition,
                version: stored.version,
                status: if stored.is_gone { Status::Archived } else { stored.definition.status() },
            })
            .collect();
        let version = self.snapshot.version + 1;
        self.snapshot = compile(&entries, self.settings.clone(), version).map_err(texts)?;
        self.times = Timetable::of(&self.snapshot);
        Ok(())
    }

    /// Forgets everything but what is stored: definitions as text, users as bytes. Decisions are
    /// the clients' to remember.
    fn restart(&mut self) -> Result<(), Vec<String>> {
        for stored in self.store.values_mut() {
            let text = stored.definition.canonical_json();
            stored.definition = parse_json_popup(&text).map_err(texts)?;
        }
        let mut bytes = Vec::new();
        for state in self.users.values_mut() {
            bytes.clear();
            encode(state, &mut bytes);
            *state = UserState::default();
            decode(&bytes, state).map_err(|error| vec![error.to_string()])?;
        }
        self.compile()
    }
}

/// An empty field is as an absent one.
fn said(field: Option<&String>) -> Option<&str> {
    field.map(String::as_str).filter(|text| !text.is_empty())
}

/// A request's attributes, read as those of a body are.
fn read_attributes<'a>(
    request: &'a Decide,
    bump: &'a Bump,
) -> Result<&'a [(&'a str, AttributeValue<'a>)], Vec<String>> {
    let Some(attrs) = &request.attrs else { return Ok(&[]) };
    read(attrs.get().as_bytes(), bump)
        .map_err(|refusal| vec![format!("attrs: {}", refusal.code.name())])
}

fn counts(accepted: u32, duplicate: u32, rejected: Option<&str>) -> Value {
    json!({"accepted": accepted, "duplicate": duplicate, "rejected": rejected})
}

fn texts(errors: Vec<SourceError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
